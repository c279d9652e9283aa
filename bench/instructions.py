"""Counts the instructions of single requests under callgrind; bench/instructions builds what it needs and starts it.

The kernel's part is not in them, and requests come one after the other (`--clients` makes more at once): what a
change of the relay's own work adds or saves, not how fast it is.
"""

import argparse
import json
import shutil
import socket
import sys
import tempfile
from http.client import HTTPResponse

import results
import systems
from callgrind import Costs, control, under_callgrind

FIELDS = {f"field_{number:02}": f"value-{number:02}-of-it" for number in range(1, 19)}
ABOUT = "Instructions of one request, the kernel's not counted (callgrind, 500 requests): which layer executes them"
# A layer that costs less than this part of the whole is not worth a line.
LEAST = 0.002


class Clients:
    """Connections that are kept; each gives one request of a round."""

    def __init__(self, relay, count, prefix):
        host, port = relay.url.removeprefix("http://").split(":")
        self._head = f"HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {relay.token}\r\n"
        self._sockets = [socket.create_connection((host, int(port))) for _ in range(count)]
        self._prefix, self._made = prefix, 0

    def read(self, number):
        return f"GET /v1/things/{self._prefix}{number % self._made} {self._head}\r\n", 200

    def passed(self, number):
        return f"GET /v1/objects/be-{number} {self._head}\r\n", 200

    def create(self, _):
        body = json.dumps({"id": f"{self._prefix}{self._made}", "name": "thing", "vlan": 101, **FIELDS}, separators=(",", ":"))
        more = f'Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: "{self._prefix}{self._made}"\r\n'
        self._made += 1
        return f"POST /v1/things {self._head}{more}\r\n{body}", 201

    def run(self, kind, count):
        for first in range(0, count, len(self._sockets)):
            asked = self._sockets[: count - first]
            wanted = []
            for number, one in enumerate(asked, first):
                text, status = kind(self, number)
                one.sendall(text.encode())
                wanted.append(status)
            for one, status in zip(asked, wanted):
                answer = HTTPResponse(one)
                answer.begin()
                body = answer.read()
                if answer.status != status:
                    raise RuntimeError(f"{answer.status} instead of {status}: {body.decode()}")


KINDS = {"read": Clients.read, "pass": Clients.passed, "create": Clients.create}


def arguments():
    parser = argparse.ArgumentParser(prog="bench/instructions")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=500, help="requests that are counted")
    parser.add_argument("--clients", type=int, default=1, help="requests at once; they are answered before others are sent")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="the functions that cost the most themselves")
    parser.add_argument("--inclusive", metavar="PART", help="functions with this in their name, with what they call")
    parser.add_argument("--callers", metavar="PART", help="who calls functions with this in their name")
    asked = parser.parse_args()
    if unknown := [kind for kind in asked.kinds if kind not in KINDS]:
        parser.error(f"there is no kind {unknown[0]}")
    return asked


def count(wanted, requests):
    """The costs of each kind with so many clients, counted in one relay."""
    home = tempfile.mkdtemp(prefix="cmp-relay-instructions.")
    started = []
    try:
        backend = systems.backend(None)
        started.append(backend)
        backend.start(home)
        relay = systems.relay(home, backend.url)
        relay._argv = under_callgrind(relay._argv, f"{home}/dump")
        relay.patience = 600
        started.append(relay)
        relay.start(home)
        [pid] = relay.pids()
        seen = {}
        for number, (kind, clients) in enumerate(wanted, 1):
            driver = Clients(relay, clients, f"{number}-")
            # Connections, caches and lazily made things are there before anything is counted.
            driver.run(Clients.create, 200)
            driver.run(KINDS[kind], 200)
            control(pid, "-z")
            driver.run(KINDS[kind], requests)
            control(pid, "-d")
            seen[kind if clients == 1 else f"{kind}, {clients} at once"] = Costs(f"{home}/dump.{number}")
        return seen
    finally:
        for one in reversed(started):
            one.stop()
        shutil.rmtree(home, ignore_errors=True)


def layers_table(seen, requests):
    """A row a layer, a column a kind, the costliest first."""
    found = {kind: costs.layers() for kind, costs in seen.items()}
    names = sorted({name for of_one in found.values() for name in of_one}, key=lambda name: -max(of_one[name] for of_one in found.values()))
    shown = [name for name in names if any(found[kind][name] > LEAST * seen[kind].total for kind in seen)]
    rows = [["all", *(round(costs.total / requests) for costs in seen.values())]]
    rows += [[name, *(round(found[kind][name] / requests) for kind in seen)] for name in shown]
    rows.append(["rest", *(round(sum(found[kind][name] for name in names if name not in shown) / requests) for kind in seen)])
    return rows


def main():
    asked = arguments()
    looks = asked.kinds or asked.clients > 1 or asked.top or asked.inclusive is not None or asked.callers is not None
    wanted = [(kind, asked.clients) for kind in asked.kinds or KINDS]
    seen = count(wanted if looks else [*wanted, ("create", 16)], asked.count)
    rows = layers_table(seen, asked.count)
    columns = ["instructions a request", *seen]
    print(f"{columns[0]:28}" + "".join(f"{name:>22}" for name in seen))
    for name, *numbers in rows:
        print(f"{name:28}" + "".join(f"{number:22,}" for number in numbers))
    if not looks:
        shown = [[name, *(f"{number:,}" for number in numbers)] for name, *numbers in rows]
        results.keep("instructions", {"about": ABOUT, "columns": columns, "rows": shown})
    for kind, costs in seen.items():
        lists = []
        if asked.top:
            found = [(cost, f"{function}  [{where.rsplit('/', 1)[-1]}]") for (function, where), cost in costs.own.most_common(asked.top)]
            lists.append((f"{kind}: themselves", found))
        if asked.inclusive is not None:
            found = [(cost, name) for name, cost in costs.whole.most_common() if asked.inclusive in name][:60]
            lists.append((f"{kind}: with what they call", found))
        if asked.callers is not None:
            found = [(cost, f"{by}  ->  {name}") for (by, name), cost in costs.calls.most_common() if asked.callers in name][:60]
            lists.append((f"{kind}: by caller", found))
        for title, found in lists:
            print(f"\n{title}")
            for cost, what in found:
                print(f"{round(cost / asked.count):12,}  {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
