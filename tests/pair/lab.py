"""The laboratory: a pair set up by the commands of the manual, its backend, its clients, and what a fault asks of them."""

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
from unit import Failed, Late, run

# Everything is slower on a machine that compiles beside it: bounds that only say "it does happen" are wide.
PATIENCE = 60


class Lab:
    """One pair; `async with Lab(...)` sets it up and takes it down.

    `confirm`, `failover` and `block` are relay.yaml's, `priorities` keepalived's; `room` is the size of each server's
    disk in MiB, where it has a small one of its own. A `long` run takes the time that a short one has not.
    """

    def __init__(self, folder, program, long=False, confirm="required", priorities=(101, 100), room=None, **settings):
        self.folder, self.program, self.long, self.confirm = folder, program, long, confirm
        self.priorities, self.room, self.settings = priorities, room, settings
        base = os.environ["PAIR_FOLDER"]
        self.rendered, self.template = f"{base}/rendered", f"{base}/template"
        if not os.path.exists(self.rendered):
            files.render(program, self.rendered)
        self.operator = files.secret(self.rendered, "ops")
        self.nodes = {name: Node(name, f"{folder}/{name}", program, self.operator) for name in net.ADDRESS}
        self.a, self.b = self.nodes.values()
        self.tls = context(f"{self.rendered}/a/etc/cmp-relay/tls/ca.pem")
        self.clients = Clients(self.tls, files.secret(self.rendered, "cmp"))
        self.backend = Backend()
        self.listed, self.lost = [], None
        # What was measured so far: a fault that fails afterwards has it all the same.
        self.measured = {}

    async def __aenter__(self):
        try:
            await self._set_up()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        await self.clients.stop()
        self.backend.stop()
        await asyncio.gather(*(unit.stop(signal.SIGKILL) for node in self.nodes.values() for unit in node.units))
        for node in self.nodes.values():
            await node.leave()

    async def _set_up(self):
        net.mend_all()
        await template(self.template)
        await self.backend.start(net.CLIENTS, files.BACKEND_PORT)
        for node, priority in zip(self.nodes.values(), self.priorities):
            files.place(self.rendered, node.name, node.folder, self.program, priority, self.confirm, self.settings)
            node.prepare(self.template, self.room)
        await asyncio.gather(*(node.start_db() for node in self.nodes.values()))
        for node in self.nodes.values():
            with open(f"{node.folder}/root/cmp-relay-accounts.sql", encoding="utf-8") as accounts:
                await node.sql(accounts.read())
        await self.bring_up()

    async def bring_up(self):
        """From two empty servers to a pair: the commands of the manual, in its order."""
        await self.a.command("migrate", "--config", f"{self.a.config}-migrate")
        await self.a.relay.start()
        await self.a.vrrp.start()
        await self.answers(self.a)
        await self.a.order("promote", "--force")
        await self.b.command("ha", "bootstrap", "--config", self.b.config)
        await self.b.relay.start()
        await self.b.vrrp.start()
        await self.healthy("a")

    # --- what is so -------------------------------------------------------------------------------

    async def status(self, node):
        """`GET /relay/v1/ha` of a node; None where nothing answers."""
        try:
            answer = await once(
                node.address, files.ADMIN_PORT, self.tls, "GET", "/relay/v1/ha", self.operator, patience=3
            )
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
            raise Late(f"{node.name} is not {role} after {patience} s, but {json.dumps(status)}") from None

    async def sees_standby(self, active):
        """Until the active node knows of its standby: before that it hands over to nobody."""

        async def does():
            peer = ((await self.status(active)) or {}).get("peer", {})
            # What it said before it was restarted is no word of it now.
            fresh = peer.get("status") and peer["age_ms"] < 500
            return fresh and peer["status"]["role"] == "standby"

        await until(does, PATIENCE, f"{active.name} does not see a standby")

    async def promotable(self, node):
        """Until `node` has all that was acknowledged, and may take over from silence."""

        async def is_so():
            return ((await self.status(node)) or {}).get("promotable")

        await until(is_so, PATIENCE, f"{node.name} is not fit to take over")

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
            raise Late(f"no {wanted} after {patience} s: address at {net.holders()}, {json.dumps(said)}") from None

    async def writes(self):
        """Whether a create through the address succeeds, and is said to be on both nodes where anything is said of it."""
        wish = self.clients.wish()
        connection = self.clients.connection()
        line = await self.clients.send(wish, connection)
        connection.close()
        return checker.acknowledges(line) and (line["replicated"] == "yes" or self.confirm == "none")

    def other(self, node):
        return self.b if node is self.a else self.a

    def now(self):
        return time.monotonic()

    async def until(self, ask, complaint, patience=PATIENCE):
        return await until(ask, patience, complaint)

    async def acknowledges(self, node, since, patience=PATIENCE):
        """Until `node` has acknowledged something that was asked after `since`."""

        async def does():
            return any(line["node"] == node.name and line["sent"] > since for line in self.clients.acks(since))

        try:
            await until(does, patience, "")
        except Failed:
            said = {name: await self.status(one) for name, one in self.nodes.items()}
            last = self.clients.requests[-3:]
            complaint = f"{node.name} acknowledges nothing after {patience} s: address at {net.holders()}"
            raise Late(f"{complaint}, last answers {last}, {json.dumps(said)}") from None

    async def any_acknowledges(self, since):
        async def does():
            return self.clients.acks(since)

        await until(does, PATIENCE, "nobody acknowledges anything")

    async def epochs(self):
        """The promotions that the active node knows."""
        return (await (await self.active()).tables())["ha_epoch"]

    async def never_active(self, node, seconds):
        """For so long, `node` answers and is not active."""
        await self.answers(node)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = await self.status(node)
            expect(not status or status["role"] != "active", f"{node.name} became active: {json.dumps(status)}")
            await asyncio.sleep(0.2)

    async def address_at(self, node):
        async def is_there():
            return net.holders() == [node.name]

        await until(is_there, PATIENCE, f"the address is not at {node.name} alone")

    async def get(self, cmp_id):
        """A read of one thing through the address."""
        return await self.clients.connection().ask("GET", f"/v1/things/{cmp_id}")

    async def dump(self, node):
        """The relay's tables of a node, as plain SQL."""
        dump = ["mariadb-dump", "--no-defaults", "--user=root", f"--socket={node.folder}/db.sock"]
        _, text = await run(*dump, "--single-transaction", "--hex-blob", "--databases", "relay")
        return text

    # --- the way back -----------------------------------------------------------------------------

    async def heal(self, node=None, held=None, by_hand=True, active=None):
        """The pair whole again, as its operator would: `ha rejoin` on a node that does not come back by itself.

        `held` is what the node had, where it may have forgotten some of it since. How long it took is measured: by itself,
        from the node's first answer; else from the operator's order.
        """
        first = await self.active()
        node = node or self.other(first)
        await self.answers(node)
        began = time.monotonic()
        how = "by itself"
        try:
            await self.role(node, "standby", PATIENCE if not by_hand else 6)
        except Failed:
            if not by_hand:
                raise
            began = time.monotonic()
            how = await self.by_hand(node, held)
        await self.healthy(active)
        self.measured |= {"back": time.monotonic() - began, "how": how}

    async def by_hand(self, node, held):
        """`ha rejoin`, and with `--rebuild` where that is refused; what was lost is held against what it lists."""
        if held is None:
            held = await self.operations(node)
        kept = await self.operations(self.other(node))
        self.lost = sorted({*(self.lost or ()), *(name for name, row in held.items() if is_lost(row, kept.get(name)))})
        status, output = await self.rejoin(node)
        if status != 0:
            await self.rejoin(node, "--rebuild", check=True)
        self.listed = self.archives(node)
        return "rejoin" if status == 0 else f"rebuild, since {output.strip().splitlines()[-1][:80]}"

    async def rejoin(self, node, *words, check=False):
        await self.answers(node)
        return await node.order("rejoin", *words, patience=240, check=check)

    async def operations(self, node):
        return {row["id"]: row for row in (await node.tables())["operation"]}

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
            # Under the other modes a thing that was lost may be asked for, and refused.
            if wish.outcome != "acked" and (self.confirm == "required" or wish.outcome != "refused")
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
        with open(f"{node.folder}/my.cnf", encoding="utf-8") as options:
            files.write(f"{copy}/my.cnf", options.read().replace(f"{node.folder}/d", f"{copy}/d") + "[mysqld]\n")
        files.append(f"{copy}/my.cnf", f"skip-networking\ntmpdir={copy}/tmp\n")
        reader = Node(node.name, copy, self.program, self.operator)
        reader.db.argv = ["mariadbd", f"--defaults-file={copy}/my.cnf"]
        await reader.start_db()
        try:
            return await self.operations(reader)
        finally:
            await reader.db.stop()

    def archives(self, node):
        """What `ha rejoin` archived on a node: every operation that it listed, once."""
        listed = {}
        for path in glob.glob(f"{node.state}/lost-*.json"):
            with open(path, encoding="utf-8") as file:
                for one in json.load(file)["operations"]:
                    name = one["operation"].replace("-", "").upper()
                    listed[name] = {"id": name, "key": one["idempotency_key"]}
        return list(listed.values())


def is_lost(row, kept):
    """An operation that the other node does not have, or does not know the outcome of."""
    if kept is None:
        return True
    settled = row["state"] in ("succeeded", "failed")
    return settled and kept["state"] in ("pending", "unknown") and kept["attempt"] == row["attempt"]


def expect(so, complaint):
    if not so:
        raise Failed(complaint)


async def template(folder):
    """The empty datadir that every server of this run begins with."""
    if os.path.exists(folder):
        return
    os.makedirs(f"{folder}.tmp")
    making = ["mariadb-install-db", "--no-defaults", "--user=root", "--auth-root-authentication-method=normal"]
    making += ["--skip-test-db", "--innodb-log-file-size=16M", f"--datadir={folder}.data"]
    await run(*making, env={"TMPDIR": f"{folder}.tmp"})
    os.rename(f"{folder}.data", folder)
