"""The laboratory: a pair that was set up as docs/pair.md says, its backend and its clients, and what a fault needs of them."""

import asyncio
import glob
import json
import os
import shutil
import signal
import time

import checker
import files
import net
from backend import Backend
from clients import Clients
from node import Node, until
from talk import FAILURES, context, once
from unit import Failed, run

# Everything is slower on a machine that compiles beside it: bounds that only say "it does happen" are wide.
PATIENCE = 90


class Lab:
    """One pair; `async with Lab(...)` sets it up and takes it down. `confirm` is relay.yaml's."""

    def __init__(self, folder, program, confirm="required", **settings):
        self.folder, self.program, self.confirm = folder, program, confirm
        self.settings = settings
        self.nodes = {name: Node(name, f"{folder}/{name}", program) for name in net.ADDRESS}
        self.a, self.b = self.nodes.values()
        self.backend = Backend()
        self.listed, self.lost = [], None
        self.marks = {}

    async def __aenter__(self):
        try:
            await self._set_up()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        if hasattr(self, "clients"):
            await self.clients.stop()
        self.backend.stop()
        await asyncio.gather(*(unit.stop(signal.SIGKILL) for node in self.nodes.values() for unit in node.units))
        for name in self.nodes:
            await run("ip", "-n", name, "addr", "flush", "dev", "eth0", "to", f"{net.VIP}/32", check=False)

    async def _set_up(self):
        base = os.environ["PAIR_FOLDER"]
        await template(f"{base}/template")
        certs = f"{base}/certs"
        if not os.path.exists(certs):
            files.certificates(certs)
        self.tls = context(f"{certs}/ca.pem")
        self.clients = Clients(self.tls)
        await self.backend.start(net.CLIENTS, files.BACKEND_PORT)
        for node, priority in ((self.a, 101), (self.b, 100)):
            node.prepare(f"{base}/template", certs, priority, files.relay_yaml(node.name, self.confirm, **self.settings))
        await asyncio.gather(*(node.start_db() for node in self.nodes.values()))
        for node in self.nodes.values():
            await node.sql(files.accounts())
        await self.bring_up()

    async def bring_up(self):
        """From two empty servers to a pair: the commands of the manual, in its order."""
        await self.a.sql("SET GLOBAL read_only = 0")
        await self.a.command("migrate")
        await self.a.sql("SET GLOBAL read_only = 1")
        for node in self.nodes.values():
            await node.relay.start()
            await node.vrrp.start()
        await self.answers(self.a)
        await self.a.command("ha", "promote", "--force")
        await self.answers(self.b)
        await self.b.command("ha", "bootstrap")
        await self.healthy("a")

    # --- what is so -------------------------------------------------------------------------------

    async def status(self, node):
        """`GET /relay/v1/ha` of a node; None where nothing answers."""
        token = files.TOKENS["operator"]
        try:
            answer = await once(node.address, files.ADMIN_PORT, self.tls, "GET", "/relay/v1/ha", token, patience=3)
        except FAILURES:
            return None
        return answer.body if answer.status == 200 else None

    async def answers(self, node):
        return await until(lambda: self.status(node), PATIENCE, f"the relay of {node.name} does not answer")

    async def roles(self):
        """What each node says that it is; None for a silent one."""
        said = await asyncio.gather(*(self.status(node) for node in self.nodes.values()))
        return {name: one and one["role"] for name, one in zip(self.nodes, said)}

    async def role(self, node, role, patience=PATIENCE):
        async def has():
            status = await self.status(node)
            return status and status["role"] == role and status

        try:
            return await until(has, patience, "")
        except Failed:
            status = await self.status(node)
            raise Failed(f"{node.name} is not {role} after {patience} s, but {json.dumps(status)}") from None

    async def ready(self, node, path="/primary"):
        """Whether the node's own endpoint is green."""
        try:
            answer = await once(node.address, files.ADMIN_PORT, self.tls, "GET", path, patience=3)
        except FAILURES:
            return False
        return answer.status == 200

    async def healthy(self, active=None, patience=PATIENCE):
        """Until one node is active and has the address, and the other is its standby and confirms; the active one."""

        async def is_so():
            roles = await self.roles()
            if sorted(roles.values(), key=str) != ["active", "standby"]:
                return None
            first = next(name for name, role in roles.items() if role == "active")
            if active not in (None, first) or net.holders() != [first]:
                return None
            status = await self.status(self.nodes[first])
            return first if status and not status.get("alone") and await self.writes() else None

        try:
            return self.nodes[await until(is_so, patience, "")]
        except Failed:
            said = {name: await self.status(node) for name, node in self.nodes.items()}
            wanted = f"a healthy pair with {active or 'one'} active"
            raise Failed(f"no {wanted} after {patience} s: address at {net.holders()}, {json.dumps(said)}") from None

    async def writes(self, replicated=("yes", "off")):
        """Whether a create through the address succeeds, and is said to be on both nodes."""
        wish = self.clients.wish()
        connection = self.clients.connection()
        line = await self.clients.send(wish, connection)
        connection.close()
        return checker.acknowledges(line) and line["replicated"] in replicated

    def other(self, node):
        return self.b if node is self.a else self.a

    # --- the end of a run -------------------------------------------------------------------------

    async def judge(self, master=None, both=True):
        """Ends the load, settles what is in doubt, and checks the run: violations and counts."""
        await self.clients.stop()
        settled = await self.clients.finish(self.backend)
        active = master or await self.active()
        if both:
            await self.caught_up(active)
        nodes = {name: await node.tables() if both or node is active else None for name, node in self.nodes.items()}
        evidence = {
            "mode": self.confirm,
            "requests": self.clients.requests,
            "calls": self.backend.journal,
            "things": self.backend.things,
            "nodes": nodes,
            "master": active.name,
            "listed": self.listed,
            "lost": self.lost,
        }
        with open(f"{self.folder}/evidence.json", "w", encoding="utf-8") as file:
            json.dump(evidence, file)
        violations, counts = checker.check(evidence)
        violations += [
            f"a {wish.verb} ended {wish.outcome}: {wish.key}, {self.clients.last(wish.key)}"
            for wish in self.clients.wishes.values()
            if wish.outcome != "acked"
        ][:5]
        counts |= {"unknown": settled["unknown"], "settle_seconds": settled["seconds"]}
        return violations, counts

    async def active(self):
        async def one():
            names = [name for name, role in (await self.roles()).items() if role == "active"]
            return self.nodes[names[0]] if len(names) == 1 else None

        return await until(one, PATIENCE, "there is not one active node")

    async def caught_up(self, active):
        position = await active.value("@@gtid_binlog_pos")
        standby = self.other(active)
        if await standby.value(f"MASTER_GTID_WAIT('{position}', 30)", patience=40) != "0":
            raise Failed(f"{standby.name} has not applied {position} within 30 s: {await standby.slave()}")

    # --- what is lost -----------------------------------------------------------------------------

    async def post_mortem(self, node):
        """The operations that a dead server holds, read from a copy of it that is started by itself."""
        copy = f"{self.folder}/copy-of-{node.name}"
        shutil.rmtree(copy, ignore_errors=True)
        os.makedirs(f"{copy}/tmp")
        shutil.copytree(f"{node.folder}/data", f"{copy}/data")
        files.write(f"{copy}/my.cnf", files.my_cnf(node.name, copy).replace("bind-address=0.0.0.0", "skip-networking"))
        reader = Node(node.name, copy, self.program)
        # As the master that it was: nothing of its tail is cut off.
        reader.db.argv[-1] = "--init-rpl-role=MASTER"
        await reader.start_db()
        try:
            return {row["id"]: row for row in (await reader.tables())["operation"]}
        finally:
            await reader.db.stop()

    def archives(self, node):
        """What `ha rejoin` archived on a node: every listed operation."""
        listed = []
        for path in sorted(glob.glob(f"{node.config}/state/**/*.json", recursive=True)):
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            listed += content.get("operations", []) if isinstance(content, dict) else []
        return listed

    # --- marks ------------------------------------------------------------------------------------

    def mark(self, name):
        """Remembers now; what is measured is measured from there."""
        self.marks[name] = time.monotonic()
        return self.marks[name]


async def template(folder):
    """The empty datadir that every server of this run begins with."""
    if os.path.exists(folder):
        return
    os.makedirs(f"{folder}.tmp")
    making = ["mariadb-install-db", "--no-defaults", "--user=root", "--auth-root-authentication-method=normal"]
    making += ["--skip-test-db", "--innodb-log-file-size=16M", f"--datadir={folder}.data"]
    await run(*making, env={"TMPDIR": f"{folder}.tmp"})
    os.rename(f"{folder}.data", folder)
