"""The network: two nodes, a switch between them, and the clients and backend beside them.

This process already is in a network namespace of its own (`run`): it is where clients and backend are. Nodes and switch
get theirs here. One bridge joins all; a pair's own link is cut at the bridge, so that clients still reach both nodes.
"""

import os
import subprocess
import sys

from unit import Unit

ADDRESS = {"a": "10.81.0.1", "b": "10.81.0.2"}
CLIENTS = "10.81.0.50"
VIP = "10.81.0.100"
HERE = os.path.dirname(os.path.abspath(__file__))


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def build():
    """Namespaces, bridge and addresses. What is under /run/netns is this run's alone."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)
    ip("netns", "add", "switch")
    ip("-n", "switch", "link", "add", "bridge0", "type", "bridge", "stp_state", "0")
    ip("-n", "switch", "link", "set", "bridge0", "up")
    for node, address in ADDRESS.items():
        ip("netns", "add", node)
        ip("-n", "switch", "link", "add", port(node), "type", "veth", "peer", "name", "eth0", "netns", node)
        plug(port(node))
        ip("-n", node, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", node, "link", "set", "eth0", "up")
        ip("-n", node, "link", "set", "lo", "up")
    ip("link", "add", "eth0", "type", "veth", "peer", "name", port("clients"), "netns", "switch")
    plug(port("clients"))
    ip("addr", "add", f"{CLIENTS}/24", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    ip("link", "set", "lo", "up")


def mend_all():
    """Every link as it was built: a fault that failed leaves them as they were then."""
    for node in ADDRESS:
        isolate(node, False)
    part(False)


def port(who):
    return f"to-{who}"


def plug(end):
    ip("-n", "switch", "link", "set", end, "master", "bridge0")
    ip("-n", "switch", "link", "set", end, "up")


def isolate(node, cut=True):
    """The node alone: nobody reaches it and it reaches nobody."""
    ip("-n", node, "link", "set", "eth0", "down" if cut else "up")


def part(cut=True):
    """The nodes from each other, and from nobody else."""
    for node in ADDRESS:
        ip("-n", "switch", "link", "set", port(node), "type", "bridge_slave", "isolated", "on" if cut else "off")


def holders():
    """The nodes that have the virtual address."""
    return [node for node in ADDRESS if f" {VIP}/" in ip("-n", node, "-4", "addr", "show", "dev", "eth0")]


async def lossy(node, log, delay, jitter, loss):
    """A bad link between the switch and `node`, both ways, until the unit is given to `mend`."""
    ip("-n", "switch", "link", "set", port(node), "nomaster")
    ip("-n", "switch", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
    plug("wire1")
    ip("-n", "switch", "link", "set", "wire0", "up")
    words = [port(node), "wire0", str(delay), str(jitter), str(loss)]
    wire = Unit("wire", ["ip", "netns", "exec", "switch", sys.executable, f"{HERE}/wire.py", *words], log, restart=None)
    await wire.start()
    return wire


async def mend(node, wire):
    await wire.stop()
    ip("-n", "switch", "link", "del", "wire0")
    plug(port(node))
