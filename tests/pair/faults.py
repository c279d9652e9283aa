"""The faults, by their numbers. Each has a fresh pair under load, does one thing to it, and says what must be so afterwards.

A fault is a function of the laboratory; what it measures is in `Lab.measured`. Those that kill at chosen points, and
those from 24 on, are in `faults_more.py`; 17 to 19 need a program that heeds CMP_RELAY_FAILPOINT, as a debug build does.
"""

import asyncio
import time

import net
from lab import expect

FAULTS = {}


def fault(number, title, subset=False, **settings):
    """Registers a fault: whether a short run has it, and the settings of its pair (those of `Lab`)."""

    def register(act):
        FAULTS[number] = {"act": act, "title": title, "subset": subset, "settings": settings}
        return act

    return register


async def load(lab, seconds=3.0):
    lab.clients.start()
    await asyncio.sleep(seconds)


async def gap_until(lab, since, node=None, seconds=2.0):
    """Waits until `node` acknowledges (either, some seconds on), and a little more; measures the gap since then."""
    if node:
        await lab.acknowledges(node, since)
    else:
        await lab.any_acknowledges(since + 4)
    await asyncio.sleep(seconds)
    lab.measured["gap"] = lab.clients.gap(since, time.monotonic())


@fault(1, "MS->XM: kill -9 of the active mariadbd", subset=True)
async def database_dies(lab):
    await load(lab)
    since = lab.now()
    lab.a.db.kill()
    # systemd has it back within a second: where that comes first, the node goes on by its peer's leave.
    await gap_until(lab, since)
    await lab.heal()


@fault(2, "the same with confirm=none, after 0.3 s without a link", confirm="none")
async def database_dies_unconfirmed(lab):
    lab.a.db.restart = None
    await load(lab)
    # As it is once it has timed out; else a commit would wait out so short a cut.
    await lab.a.sql("SET GLOBAL rpl_semi_sync_master_enabled = 0")
    net.part()
    await asyncio.sleep(0.3)
    lab.a.db.kill()
    since = lab.now()
    net.part(False)
    await gap_until(lab, since, lab.b)
    await lab.clients.stop()
    held = await lab.post_mortem(lab.a)
    lab.a.db.restart = 1.0
    await lab.a.start_db()
    await lab.heal(lab.a, held=held)
    expect(lab.lost, "nothing was lost: the fault did not happen")


@fault(3, "kill -9 of the active relay", subset=True)
async def relay_dies(lab):
    await load(lab)
    since = lab.now()
    lab.a.relay.kill()
    await gap_until(lab, since)
    await lab.heal()


@fault(4, "kill -9 of the active keepalived: the address on both", subset=True)
async def keepalived_dies(lab):
    await load(lab)
    since = lab.now()
    lab.a.vrrp.kill()
    await gap_until(lab, since)
    await lab.heal()


@fault(5, "SIGTERM to the active keepalived")
async def keepalived_ends(lab):
    await load(lab)
    since = lab.now()
    await lab.a.vrrp.end()
    await lab.address_at(lab.b)
    moved = lab.now() - since
    await gap_until(lab, since)
    lab.measured["address"] = moved
    await lab.heal()


@fault(6, "the active node isolated", subset=True)
async def active_isolated(lab):
    await load(lab)
    since = lab.now()
    net.isolate("a")
    await gap_until(lab, since, lab.b)
    await asyncio.sleep(3)
    net.isolate("a", False)
    await lab.heal(lab.a)


async def parted(lab):
    await load(lab)
    since = lab.now()
    net.part()
    await gap_until(lab, since, lab.b)
    await asyncio.sleep(5)
    net.part(False)
    healed = lab.now()
    await lab.heal(lab.a)
    expect((await lab.active()) is lab.b, "the side that went on did not stay the active one")
    strays = [one for one in lab.clients.acks() if one["node"] == "a" and one["sent"] > since + 5]
    expect(not strays, f"a acknowledged after it was cut off: {strays[:2]} (healed at {healed:.1f})")


@fault(7, "the nodes cut from each other, clients reach both", subset=True)
async def inter_node_cut(lab):
    await parted(lab)


@fault(8, "the same with the priorities reversed", priorities=(100, 101))
async def inter_node_cut_reversed(lab):
    await parted(lab)


@fault(9, "all of the active node frozen for 10 s", subset=True)
async def frozen(lab):
    await load(lab)
    since = lab.now()
    lab.a.freeze()
    try:
        await gap_until(lab, since, lab.b)
        await asyncio.sleep(max(0.0, 10 - (lab.now() - since)))
    finally:
        lab.a.thaw()
    thawed = lab.now()
    await asyncio.sleep(3)
    await lab.clients.stop()
    calls = [call for call in lab.backend.journal if call["caller"] == lab.a.address and call["at"] > thawed]
    expect(not calls, f"a called the backend after it had thawed: {calls[:2]}")
    acks = [one for one in lab.clients.acks() if one["node"] == "a" and one["sent"] > thawed]
    expect(not acks, f"a acknowledged after it had thawed: {acks[:2]}")
    await lab.heal(lab.a)


@fault(10, "only the active mariadbd frozen for 10 s")
async def database_frozen(lab):
    await load(lab)
    since = lab.now()
    lab.a.db.freeze()
    try:
        await gap_until(lab, since, lab.b)
        await asyncio.sleep(max(0.0, 10 - (lab.now() - since)))
    finally:
        lab.a.db.thaw()
    await lab.role(lab.b, "active")
    await lab.heal(lab.a)


async def refused_while_alone(lab):
    """Nothing is acknowledged, refusals say that nothing was done, and reads go on."""
    thing = next(line["cmp_id"] for line in reversed(lab.clients.acks()) if line["verb"] == "create")
    await asyncio.sleep(4)
    since = lab.now()
    await asyncio.sleep(3)
    acks = [one for one in lab.clients.acks() if one["sent"] > since]
    expect(not acks, f"acknowledged without a standby: {acks[:2]}")
    refusals = [one for one in lab.clients.requests if one["sent"] > since and one["status"] == 503]
    expect(refusals, "nothing was refused with 503")
    wrong = [one for one in refusals if one["side_effect"] != "none"]
    expect(not wrong, f"a 503 that does not say side_effect: none: {wrong[:2]}")
    answer = await lab.get(thing)
    # A delete of it may have been in hand: then its mapping is claimed, and not gone.
    expect(answer.status in (200, 404), f"a read while the standby is away: {answer}")


@fault(11, "MS->MX: the standby dies, and comes back", subset=True)
async def standby_dies(lab):
    await load(lab)
    await lab.b.crash()
    await refused_while_alone(lab)
    await lab.b.boot()
    back = lab.now()
    await lab.acknowledges(lab.a, back)
    lab.measured["writes resumed"] = lab.now() - back
    await lab.heal(by_hand=False, active="a")


@fault(12, "the standby restarted with what it had received unapplied, then the active node dies")
async def unapplied_standby(lab):
    await load(lab)
    await lab.b.sql("STOP SLAVE SQL_THREAD")
    await asyncio.sleep(2)
    lab.b.db.restart = 0.5
    lab.b.db.kill()
    await asyncio.sleep(1.5)
    await lab.a.crash()
    # It may have got and applied the rest before that, and then it may take over: the checker knows whether it had.
    await asyncio.sleep(8)
    await lab.a.boot()
    await lab.heal()


@fault(13, "MS->MX->XX->XM: the stale standby returns first")
async def stale_standby_first(lab):
    await load(lab)
    await lab.b.crash()
    await lab.a.order("standalone")
    alone = lab.now()
    await lab.acknowledges(lab.a, alone)
    await asyncio.sleep(2)
    await lab.a.crash()
    await lab.b.boot()
    await lab.never_active(lab.b, 8)
    await lab.a.boot()
    await lab.heal(active="a")


@fault(14, "MS->XM->XX->MX: the old master returns alone", subset=True)
async def old_master_alone(lab):
    await load(lab)
    since = lab.now()
    await lab.a.crash()
    await gap_until(lab, since, lab.b)
    await lab.b.crash()
    await lab.a.boot()
    await lab.never_active(lab.a, 8)
    await lab.b.boot()
    await lab.heal(lab.a, active="b")


async def switchovers(lab, count):
    await load(lab, 2)
    gaps, commands = [], []
    for _ in range(count):
        active = await lab.active()
        since = lab.now()
        await active.order("switchover")
        commands.append(lab.now() - since)
        await gap_until(lab, since, lab.other(active))
        gaps.append(lab.measured["gap"])
        await lab.healthy(lab.other(active).name)
    doubt = [one for one in lab.clients.requests if one["code"] == "outcome_unknown"]
    expect(not doubt, f"a switchover left something in doubt: {doubt[:2]}")
    lab.measured |= {"gap": max(gaps), "gaps": gaps, "commands": commands}


@fault(15, "switchover under load, there and back", subset=True)
async def switchover(lab):
    await switchovers(lab, 20 if lab.long else 4)


@fault(16, "a switchover that must be refused: lag, a lock, a broken standby")
async def switchover_refused(lab):
    await load(lab)
    hold = "FLUSH TABLES WITH READ LOCK; SELECT SLEEP(12);"
    for node, disturb, undo in (
        (lab.b, hold, None),
        (lab.a, hold, None),
        (lab.b, "STOP SLAVE SQL_THREAD;", "resume"),
    ):
        if undo:
            # Or its relay starts it again.
            await node.order("pause")
        holding = asyncio.create_task(node.sql(disturb, patience=60))
        await asyncio.sleep(2)
        status, output = await lab.a.order("switchover", check=False)
        expect(status != 0, f"a switchover was not refused though {node.name} was in {disturb!r}: {output}")
        expect((await lab.roles())["b"] != "active", f"b became active though {node.name} was in {disturb!r}")
        await holding
        if undo:
            await node.order(undo)
        free = lab.now()
        await lab.acknowledges(lab.a, free)
        await lab.healthy("a")


@fault(20, "an errant write on the standby, by a privileged account")
async def errant_write(lab):
    await load(lab)
    await lab.b.sql("INSERT INTO relay.meta (name, value) VALUES ('errant', 'x')")

    async def red():
        return not await lab.ready(lab.b, "/ha/vip")

    await lab.until(red, "b calls itself promotable in spite of an errant write")
    status, output = await lab.b.command("ha", "doctor", "--config", lab.b.config, check=False)
    expect(status == 1, f"the doctor finds nothing (status {status}): {output}")
    lab.a.db.kill()
    await lab.never_active(lab.b, 8)
    await lab.role(lab.a, "active")
    await lab.heal(lab.b, active="a")


async def arm(node, point):
    """The relay of `node`, started anew, ends itself at `point`, once."""
    node.relay.env["CMP_RELAY_FAILPOINT"] = point
    await node.relay.start()
    del node.relay.env["CMP_RELAY_FAILPOINT"]


async def killed_while_copying(lab, node):
    """A rebuild that ends in the middle leaves a node that is nothing, whatever happens to the other one."""
    await arm(node, "table_copied")
    starts = node.relay.starts
    status, output = await lab.rejoin(node, "--rebuild")
    expect(status != 0, f"the rebuild was not interrupted: {output}")

    async def again():
        return node.relay.starts > starts

    await lab.until(again, "the relay was not started again")
    lab.other(node).relay.kill()
    await lab.never_active(node, 5)
    await lab.role(lab.other(node), "active")
    await lab.role(node, "fenced")


@fault(21, "the old master diverged: rejoin refuses, lists, rebuilds", subset=True)
async def diverged(lab):
    await load(lab)
    since = lab.now()
    await lab.a.crash()
    await gap_until(lab, since, lab.b)
    # What no standby ever saw: written by the old master's own server, before its relay is there again.
    await lab.a.start_db()
    columns = "route, client, fingerprint, attempt, resource, cmp_id, scope, backend, effects, state, idempotent, call_hash"
    columns += ", sends, reply_headers, side_effect, safe_to_retry, deadline, node, epoch, created_at"
    await lab.a.sql(
        f"SET GLOBAL read_only = 0; INSERT INTO relay.operation (id, idempotency_key, {columns})"
        f" SELECT UNHEX(MD5(id)), CONCAT('stray-', idempotency_key), {columns} FROM relay.operation LIMIT 3"
    )
    held = await lab.operations(lab.a)
    await lab.clients.stop()
    await lab.a.db.stop()
    await lab.a.boot()
    status, output = await lab.rejoin(lab.a)
    expect(status == 1, f"rejoin of a diverged node was not refused (status {status}): {output}")
    await killed_while_copying(lab, lab.a)
    await lab.heal(lab.a, held=held, active="b")
    expect(len(lab.lost) >= 3, f"three rows were written, and {len(lab.lost)} are lost")


@fault(22, "the binary logs that the standby needs are purged")
async def purged(lab):
    await load(lab)
    await lab.b.crash()
    await lab.a.order("standalone")
    alone = lab.now()
    await lab.acknowledges(lab.a, alone)
    await asyncio.sleep(1)
    await lab.a.sql("FLUSH BINARY LOGS")
    newest = (await lab.a.sql("SHOW BINARY LOGS"))[-1][0]
    await lab.a.sql(f"PURGE BINARY LOGS TO '{newest}'")
    await lab.b.boot()
    status, output = await lab.rejoin(lab.b)
    expect("purged" in output, f"rejoin does not say that logs are purged (status {status}): {output}")
    await lab.heal(lab.b, active="a")
    expect(not lab.listed, f"nothing was lost, and rejoin lists {lab.listed[:2]}")


@fault(23, "a standby that was seeded naively: its import is in its own binary log")
async def naively_seeded(lab):
    await load(lab, 1)
    await lab.clients.stop()
    await lab.b.vrrp.stop()
    await lab.b.relay.stop()
    await lab.b.sql("STOP SLAVE; RESET SLAVE ALL; RESET MASTER; SET GLOBAL gtid_slave_pos = ''")
    await lab.b.sql("SET GLOBAL read_only = 0; DROP DATABASE relay")
    await lab.b.sql(await lab.dump(lab.a), patience=60)
    await lab.b.sql("SET GLOBAL read_only = 1")
    await lab.b.relay.start()
    await lab.b.vrrp.start()
    await lab.answers(lab.b)
    status, output = await lab.rejoin(lab.b)
    expect(status == 1, f"rejoin took a node with a history of its own (status {status}): {output}")
    slave = await lab.b.slave()
    expect(slave.get("Slave_IO_Running", "No") == "No", f"replication runs into a node with a history of its own: {slave}")
    await lab.heal(lab.b, active="a")
