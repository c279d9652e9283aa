"""The benchmarks' command line; bench/run builds what it needs and starts it."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

import page
import results
import systems
from cases import CASES, Bench
from measure import summary


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all of them where none is named")
    parser.add_argument("--quick", action="store_true", help="2 rounds of a second; nothing is written")
    parser.add_argument("--list", action="store_true", help="name the cases")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in CASES]:
        parser.error(f"there is no case {unknown[0]}: bench/run --list names them")
    return asked


def measured(name, folder, quick):
    """One case as it is kept."""
    with Bench(f"{folder}/{name}", quick) as bench:
        readings, ratios = CASES[name][1](bench)
    of_each = {entrant: summary(of_one) | {"mib": bench.memory.get(entrant)} for entrant, of_one in readings.items()}
    kept = {"rounds": bench.rounds, "seconds": bench.seconds, "systems": of_each, "curve": bench.curve}
    return results.now() | kept | {"ratios": [vars(ratio) | {"verdict": ratio.verdict()} for ratio in ratios]}


def show(case, before, took):
    """What was measured, what moved since it was kept, and how long it took."""
    for entrant, of_one in case["systems"].items():
        least, best = of_one["cpu_us"]["least"], of_one["rate"]["best"]
        print(f"   {entrant:18} {least:8.1f} us of CPU a request at least, {best:8.0f} a second at most")
    for at in case["curve"]:
        print(f"   {at['clients']:4} clients: {at['rate']:6.0f} creates a second, {at['over_flushes']:5.1f} commits a serial fdatasync")
    for ratio in case["ratios"]:
        bounds = f"floor {ratio['floor']}, goal {ratio['goal']}"
        print(f"   #{ratio['number']:<2} {ratio['what']:58} {ratio['value']:7.2f}  {ratio['verdict']:5} ({bounds})")
        for note in ratio["notes"]:
            print(f"       {note}")
    for line in results.moved(before, case["ratios"]):
        print(f"   moved: {line}")
    print(f"   in {took:.0f} s", flush=True)


def main():
    asked = arguments()
    if asked.list:
        for name, (about, _) in CASES.items():
            print(f"{name:10} {about}")
        return 0
    # Stopped by hand, it still stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # All that is compared, and the client: other work on the machine then shows less.
    if os.geteuid() == 0:
        os.nice(-5)
    # Not below /tmp, which may be in memory: what is durable has to meet a disk.
    folder = tempfile.mkdtemp(prefix="cmp-relay-bench.", dir="/var/tmp")
    # Apache has a user of its own.
    os.chmod(folder, 0o755)
    kept, failed = results.committed().get("cases", {}), []
    try:
        for name in asked.cases or CASES:
            print(f"== {name}: {CASES[name][0]}", flush=True)
            before, began = kept.get(name, {}).get("ratios", []), time.monotonic()
            try:
                case = measured(name, folder, asked.quick)
            except Exception:
                # The others can still be measured.
                traceback.print_exc()
                failed.append(name)
                continue
            show(case, before, time.monotonic() - began)
            if not asked.quick:
                results.keep("cases", results.load().get("cases", {}) | {name: case})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not asked.quick:
        results.keep("machine", results.machine(systems.PYTHON, systems.PACKAGES))
        page.render()
    if failed:
        print(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
