"""The figures: every fault several times, and what commits, switchovers and rebuilds take; docs/pair-figures.md."""

import asyncio
import math
import os
import platform
import time

from faults import FAULTS
from lab import Lab

PAGE = "docs/pair-figures.md"
# Those whose gap is to stay below a figure (docs/pair.md) are run three times as often.
AIMED = (1, 3, 4, 6)
# Twenty switchovers, and ten minutes of a bad link, which one run is enough of.
LONG = (15, 25)
ONCE = (25,)


def quantile(values, share):
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values, unit="s"):
    """`p50 / p95 / max`, or nothing where nothing was measured."""
    if not values:
        return "-"
    scale, digits = (1000, 1) if unit == "ms" else (1, 2)
    three = (quantile(values, 0.5), quantile(values, 0.95), max(values))
    return " / ".join(f"{value * scale:.{digits}f}" for value in three)


async def figures(numbers, times, one):
    """Runs, prints each, and writes the page; the exit status."""
    rows, back, failed, gaps, commands, slow = [], {}, 0, [], [], []
    for number in numbers:
        runs = []
        turns = 1 if number in ONCE else times * 3 if number in AIMED else times
        for turn in range(turns):
            began = time.monotonic()
            wrong, counts, measured = await one(number, number in LONG, False)
            said, seconds = "FAILED" if wrong else "ok", time.monotonic() - began
            print(f"fault {number:2} run {turn + 1} of {turns}: {said}, {seconds:.0f} s", flush=True)
            for complaint in wrong:
                print(f"    {complaint}", flush=True)
            failed += bool(wrong)
            runs.append((wrong, counts, measured))
            gaps += measured.get("gaps", [])
            commands += measured.get("commands", [])
            slow += measured.get("commits over a bad link", [])
            if "back" in measured:
                back.setdefault(measured["how"].split(",")[0], []).append(measured["back"])
        rows.append(row(number, runs))
    latencies = [await latency(mode, writers) for mode in ("none", "preferred", "required") for writers in (1, 4, 16)]
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page(rows, gaps, commands, latencies, back, slow))
    print(f"written: {PAGE}; {failed} runs failed", flush=True)
    return 1 if failed else 0


def row(number, runs):
    ended = [counts for wrong, counts, _ in runs if counts]
    gaps = []
    for _, _, measured in runs:
        gaps += measured.get("gaps", [measured["gap"]] if "gap" in measured else [])
    names = ("acknowledged", "acknowledged_and_lost", "unknown", "settled_by_a_person")
    total = {name: sum(counts[name] for counts in ended) for name in names}
    settings = FAULTS[number]["settings"].get("confirm", "required")
    fine = sum(1 for wrong, _, _ in runs if not wrong)
    cells = [number, FAULTS[number]["title"], settings, f"{fine} of {len(runs)}", spread(gaps), *total.values()]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


async def latency(mode, writers, seconds=10):
    """How long a create takes while nothing is wrong."""
    folder = f"{os.environ['PAIR_FOLDER']}/latency-{mode}-{writers}"
    async with Lab(folder, os.environ["CMP_RELAY"], confirm=mode) as lab:
        since = lab.now()
        lab.clients.start(writers, pace=None)
        await asyncio.sleep(seconds)
        await lab.clients.stop()
        times = [one["answered"] - one["sent"] for one in lab.clients.acks(since)]
    return f"| {mode} | {writers} | {len(times) / seconds:.0f} | {spread(times, 'ms')} |"


def page(rows, gaps, commands, latencies, back, slow):
    with open(os.environ["CMP_RELAY"], "rb") as file:
        # What only a debug build looks at.
        program = "a debug build" if b"CMP_RELAY_FAILPOINT" in file.read() else "a release build"
    returns = "\n".join(f"| {how} | {len(values)} | {spread(values)} |" for how, values in sorted(back.items()))
    table = "\n".join(rows)
    return f"""# The pair in figures

Written by `tests/pair/run --figures`: {program}, {os.cpu_count()} CPUs ({platform.machine()}), both nodes, the backend and
the clients on one machine. Figures, not promises: what must be so is checked in each run.

What is aimed at: no acknowledged write lost under `required`, ever; a gap below 3 s (p95) for a killed server, relay or keepalived and for an isolated node (faults 1,
3, 4, 6); below 1 s and nothing unknown for a switchover (15); no failover in ten minutes of a bad link (25).

## Faults

Each run is a fresh pair under load: four writers, and a create every 100 ms whatever became of the last. The gap is the longest time
without an acknowledged write, p50 / p95 / max in seconds. `unknown` are operations whose outcome nobody could say; each was settled by
looking at the backend, as a person would.

| # | fault | confirm | runs as they must be | gap, s | acknowledged | of them lost | unknown | settled |
|---|---|---|---|---|---|---|---|---|
{table}

## Switchover

The gap, p50 / p95 / max of {len(gaps)}: {spread(gaps)} s. The command itself: {spread(commands)} s.

## A write, by mode

Creates, updates and deletes through the address, over a connection that is kept, the backend's call included.

| confirm | writers | a second | p50 / p95 / max, ms |
|---|---|---|---|
{chr(10).join(latencies)}

Over a bad link between the nodes (50 ms, up to 200 ms more, 5 % loss; fault 25), {len(slow)} writes with `confirm: required`: {spread(slow)} s.

## The way back

Until the pair is whole, its rows compared and the first write confirmed: from the moment the lost node answers again where it comes back by
itself, and else from the operator's `ha rejoin`.

| how | runs | p50 / p95 / max, s |
|---|---|---|
{returns}
"""
