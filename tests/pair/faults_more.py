"""The faults that need more than a signal.

Kills at chosen points, a full disk, a bad link, flapping, many clients with one key, a backend that hangs, a power cut.
"""

import asyncio
import os

import net
from checker import acknowledges
from faults import arm, expect, fault, gap_until, load
from files import write

# Where a debug build of the relay ends itself when CMP_RELAY_FAILPOINT names the place.
REQUEST = ["after_intent", "intent_confirmed", "after_call", "after_outcome", "outcome_confirmed"]
ASKED = ["yield_asked", "yield_promised"]
ASKS = ["asking_peer", "yielded", "drained", "promoted_unwritten", "epoch_written"]


async def armed(lab, node, point):
    """`node`, a standby now, ends itself at `point`, once."""
    await arm(node, point)
    await lab.role(node, "standby")
    await lab.sees_standby(lab.other(node))


async def died(lab, unit, point):
    """Until the unit has been started again since it was armed; one that never reached the point proves nothing."""
    starts = unit.starts

    async def again():
        return unit.starts > starts or not unit.running

    await lab.until(again, f"{unit.name} never reached the point {point}")


@fault(17, "kill -9 of a relay at each step of a switchover")
async def switchover_killed(lab):
    for point in ASKS + ASKED:
        await load(lab, 1)
        active = await lab.active()
        standby = lab.other(active)
        if point in ASKED:
            # It is the active one that must be armed, and arming restarts it: so it becomes active armed.
            await armed(lab, standby, point)
            await active.order("switchover")
            active, standby = standby, active
            await lab.role(active, "active")
            await lab.sees_standby(active)
        else:
            await armed(lab, standby, point)
        victim = active if point in ASKED else standby
        order = asyncio.create_task(active.order("switchover", check=False))
        await died(lab, victim.relay, point)
        await order
        await lab.clients.stop()
        await lab.heal()


async def killed_in_requests(lab, point, whole):
    """The active node ends itself in the middle of a request; `whole`: and its server and keepalived with it."""
    standby = lab.other(await lab.active())
    await armed(lab, standby, point)
    await lab.other(standby).order("switchover")
    victim = standby
    await lab.role(victim, "active")
    await lab.promotable(lab.other(victim))
    if whole:
        victim.relay.restart = None
    lab.clients.start()
    since = lab.now()
    await died(lab, victim.relay, point)
    if whole:
        await victim.crash()
        victim.relay.restart = 1.0
    await lab.any_acknowledges(since)
    await asyncio.sleep(1)
    await lab.clients.stop()
    if whole:
        await victim.boot()
    await lab.heal()
    # A second failover so soon is a person's decision.
    await (await lab.active()).order("acknowledge")


@fault(18, "kill -9 of the relay at each point of a request")
async def request_killed(lab):
    for point in REQUEST if lab.long else REQUEST[1:3]:
        await killed_in_requests(lab, point, whole=False)


@fault(19, "failover at each point of a request")
async def request_failed_over(lab):
    for point in REQUEST if lab.long else REQUEST[2:3]:
        await killed_in_requests(lab, point, whole=True)


def fill(node):
    """Takes the rest of the disk; the file that does."""
    path = f"{node.folder}/data/filler"
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
    return path


@fault(24, "disk full on the active node, then on the standby", room=320)
async def disk_full(lab):
    await load(lab)
    filler = fill(lab.a)
    await asyncio.sleep(10)
    os.remove(filler)
    free = lab.now()
    await lab.any_acknowledges(free)
    await lab.heal()
    active = await lab.active()
    filler = fill(lab.other(active))
    await asyncio.sleep(10)
    refusals = [one for one in lab.clients.requests if one["status"] == 503 and one["sent"] > free]
    wrong = [one for one in refusals if one["side_effect"] != "none"]
    expect(not wrong, f"a 503 that does not say side_effect: none: {wrong[:2]}")
    os.remove(filler)
    free = lab.now()
    await lab.acknowledges(active, free)
    await lab.heal()


@fault(25, "50 ms, up to 200 ms more, and 5 % loss between the nodes: no failover")
async def bad_link(lab):
    before = await lab.epochs()
    wire = await net.lossy("b", f"{lab.folder}/wire.log", delay=50, jitter=200, loss=5)
    seconds = 600 if lab.long else 60
    lab.clients.start(writers=2, pace=0.5)
    await asyncio.sleep(seconds)
    await net.mend("b", wire)
    expect(await lab.epochs() == before, f"a failover within {seconds} s of a bad link")
    times = sorted(one["answered"] - one["sent"] for one in lab.clients.acks())
    expect(times, "nothing was acknowledged over a bad link")
    await lab.healthy("a")
    lab.measured["commits over a bad link"] = times


@fault(26, "readiness that flaps, red and green every 1.5 s")
async def flapping(lab):
    before = await lab.epochs()
    red = f"{lab.folder}/red"
    for node in lab.nodes.values():
        path = f"{node.folder}/usr/local/libexec/cmp-relay/check"
        with open(path, encoding="utf-8") as file:
            check = file.read()
        write(path, check.replace("\nexec", f'\ntest "$(cat {red})" = {node.name} && exit 1\nexec'), 0o700)
    write(red, "")
    await load(lab)
    for _ in range(20 if lab.long else 6):
        write(red, "a")
        await asyncio.sleep(1.5)
        write(red, "")
        await asyncio.sleep(1.5)
    after = await lab.epochs()
    unasked = [row for row in after if row not in before and row["reason"] == "failover"]
    # Each change of the active node that both agree on is a hand-over; one that only one wanted is a failover.
    await lab.heal()
    expect(len(after) - len(before) <= 1, f"more than one take-over within the block period: {unasked}")


@fault(27, "one key, 50 requests at once, while the active database dies", subset=True)
async def one_key(lab):
    await load(lab, 2)
    lab.backend.slow = 0.5
    wish = lab.clients.wish()
    since = lab.now()
    connections = [lab.clients.connection() for _ in range(50)]
    at_once = [asyncio.create_task(lab.clients.send(wish, one)) for one in connections]
    await asyncio.sleep(0.4)
    lab.a.db.kill()
    lines = await asyncio.gather(*at_once)
    for connection in connections:
        connection.close()
    lab.backend.slow = 0.0
    fresh = [one for one in lines if acknowledges(one) and not one["replayed"]]
    expect(len(fresh) <= 1, f"one key was acknowledged {len(fresh)} times as new")
    calls = [call for call in lab.backend.journal if call["key"] == wish.key]
    expect(len(calls) <= 1, f"one key made {len(calls)} calls: {calls}")
    await gap_until(lab, since)
    await lab.heal()


@fault(28, "the backend hangs for 60 s while the active node dies")
async def backend_hangs(lab):
    await load(lab, 2)
    await lab.clients.stop()
    lab.backend.mute = 60.0
    hung = [lab.clients.wish() for _ in range(3)]
    at_once = [asyncio.create_task(lab.clients.send(wish, lab.clients.connection())) for wish in hung]
    await asyncio.sleep(1)
    await lab.a.crash()
    lab.backend.mute = 0.0
    await asyncio.gather(*at_once)
    lab.clients.start()
    since = lab.now()
    await gap_until(lab, since - 1, lab.b)
    for wish in hung:
        line = await lab.clients.send(wish, lab.clients.connection())
        expect(line["code"] == "outcome_unknown", f"what hung is not said to be unknown: {line}")
        wish.outcome = "doubtful"
    await lab.clients.stop()
    await lab.a.boot()
    await lab.heal(lab.a, active="b")


@fault(30, "both down; one of them starts, the other, both", subset=True)
async def reboot_order(lab):
    await load(lab, 2)
    for first, second in ((lab.a, lab.b), (lab.b, lab.a), (None, None)):
        await lab.clients.stop()
        await asyncio.gather(lab.a.crash(), lab.b.crash())
        if first:
            await first.boot()
            await lab.never_active(first, 6)
            await second.boot()
        else:
            await asyncio.gather(lab.a.boot(), lab.b.boot())
        await lab.heal()
        lab.clients.start()
        await asyncio.sleep(1)
