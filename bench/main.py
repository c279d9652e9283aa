"""The benchmarks' command line; bench/run builds what it needs and starts it."""

import argparse
import os
import shutil
import sys
import tempfile

from cases import CASES, Bench


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--quick", action="store_true", help="2 rounds of a second; nothing is written")
    parser.add_argument("--list", action="store_true", help="name the cases")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in CASES]:
        parser.error(f"there is no case {unknown[0]}")
    return asked


def main():
    asked = arguments()
    if asked.list:
        for name, (about, _) in CASES.items():
            print(f"{name:10} {about}")
        return 0
    home = tempfile.mkdtemp(prefix="cmp-relay-bench.")
    # Apache has a user of its own.
    os.chmod(home, 0o755)
    below = 0
    try:
        for name in asked.cases or CASES:
            about, act = CASES[name]
            print(f"== {name}: {about}", flush=True)
            with Bench(f"{home}/{name}", asked.quick) as bench:
                readings, ratios = act(bench)
            for entrant, of_one in readings.items():
                least = min(one.cpu_us for one in of_one)
                best = max(one.rate for one in of_one)
                print(f"   {entrant:26} {least:8.1f} us of CPU a request at least, {best:8.0f} a second at most", flush=True)
            for ratio in ratios:
                bounds = f"floor {ratio.floor}, goal {ratio.goal}"
                print(f"   #{ratio.number:<2} {ratio.what:52} {ratio.value:7.2f}  {ratio.verdict():5} ({bounds})", flush=True)
                for note in ratio.notes:
                    print(f"       {note}", flush=True)
                below += ratio.verdict() == "below"
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"{below} below their floor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
