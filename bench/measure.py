"""What is read off while systems run: CPU of a tree of processes, memory, wrk's counts, rounds in turn."""

import os
import re
import statistics
import subprocess
from dataclasses import dataclass

TICK = os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and all below it."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            below = [int(child) for child in children.read().split()]
    except OSError:
        return [pid]
    return [pid] + [one for child in below for one in family(child)]


def cpu_seconds(pids):
    """User and system time of processes and of what they started, in seconds."""
    total = 0
    for pid in {one for pid in pids for one in family(pid)}:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                # The name may hold blanks and parentheses: what counts is behind the last one.
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def proportional(pids):
    """Proportional set size of processes and of what they started, in MiB."""
    total = 0
    for pid in {one for pid in pids for one in family(pid)}:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                total += int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M)[1])
        except (OSError, TypeError):
            continue
    return total / 1024


def resident(pid, which="VmRSS"):
    """What of a process is resident, in MiB; as `VmHWM` the most that ever was."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        return int(re.search(rf"^{which}:\s+(\d+)", status.read(), re.M)[1]) / 1024


@dataclass
class Reading:
    """One system in one round."""

    rate: float
    cpu_us: float
    p50_ms: float
    bad: int
    requests: int


def wrk(system, script, seconds, clients, cores):
    """Loads `system` with wrk for a while: requests a second, its CPU a request, the median latency, refused ones."""
    before = cpu_seconds(system.pids())
    command = ["taskset", "-c", cores, "wrk", "-t1", "--timeout", "20s", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", script]
    environment = {**os.environ, "BENCH_PATH": system.path, "BENCH_TOKEN": system.token}
    done = subprocess.run([*command, system.url], capture_output=True, text=True, check=True, env=environment)
    spent = cpu_seconds(system.pids()) - before
    found = re.search(r"^COUNTS (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.M)
    requests, micros, bad, p50 = (int(number) for number in found.groups())
    return Reading(requests / micros * 1e6, spent / max(1, requests) * 1e6, p50 / 1000, bad, requests)


def rounds(systems, count, load):
    """`load` of each system, `count` times, each round beginning with another one: name to readings."""
    readings = {system.name: [] for system in systems}
    for number in range(count):
        for system in systems[number % len(systems) :] + systems[: number % len(systems)]:
            readings[system.name].append(load(system))
    for name, of_one in readings.items():
        bad = sum(one.bad for one in of_one)
        if bad:
            raise RuntimeError(f"{name} refused {bad} requests: what it did is not what is measured")
    return readings


def least(of_one):
    """The least CPU a request over the rounds. A round in which the machine left it less than ten ticks says nothing of that."""
    told = [one.cpu_us for one in of_one if one.cpu_us * one.requests / 1e6 * TICK >= 10]
    if not told:
        raise RuntimeError("the machine was too busy: no round had a tenth of a second of CPU")
    return min(told)


def efficiency(readings, name, to="nginx"):
    """The least CPU a request of `to` over the rounds, divided by that of `name`."""
    return least(readings[to]) / least(readings[name])


def peak(readings, name, to):
    """Best rate over best rate."""
    return max(one.rate for one in readings[name]) / max(one.rate for one in readings[to])


def by_round(readings, name, to):
    """The ratios of the rates round by round, in words."""
    ratios = sorted(one.rate / other.rate for one, other in zip(readings[name], readings[to]))
    return f"round by round {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def summary(of_one):
    """What of one system's readings is kept."""
    return {
        "cpu_us": {"least": least(of_one), "median": statistics.median(one.cpu_us for one in of_one)},
        "rate": {"best": max(one.rate for one in of_one), "median": statistics.median(one.rate for one in of_one)},
        "p50_ms": statistics.median(one.p50_ms for one in of_one),
    }
