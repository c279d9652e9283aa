"""The laboratory's command line; tests/pair/run starts it in namespaces of its own."""

import argparse
import asyncio
import os
import shutil
import sys
import time
import traceback

import faults_more  # noqa: F401  Registers its faults.
import net
from faults import FAULTS
from lab import Lab
from unit import Failed, Late


def arguments():
    parser = argparse.ArgumentParser(prog="tests/pair/run")
    parser.add_argument("numbers", nargs="*", type=int, metavar="N", help="a fault's number")
    parser.add_argument("--all", action="store_true", help="every fault, at full length")
    parser.add_argument("--figures", action="store_true", help="every fault several times; writes docs/pair-figures.md")
    parser.add_argument("--times", type=int, default=5, help="how often, with --figures")
    parser.add_argument("--strict", action="store_true", help="no second try for what did not happen in its time")
    parser.add_argument("--keep", action="store_true", help="leave the folder of logs and data")
    parser.add_argument("--list", action="store_true", help="name the faults")
    return parser.parse_args()


async def one(number, long, keep):
    """One fault on a fresh pair: what is wrong, what was counted, what was measured.

    The counts are None where the checker was not reached, because something did not happen in its time.
    """
    spec = FAULTS[number]
    folder = f"{os.environ['PAIR_FOLDER']}/{number}-{time.monotonic_ns()}"
    wrong, counts = [], {}
    lab = Lab(folder, os.environ["CMP_RELAY"], long, **spec["settings"])
    try:
        async with lab:
            try:
                await spec["act"](lab)
                wrong, counts = await lab.judge()
            except Late as error:
                wrong, counts = [str(error)], None
            except Failed as error:
                wrong = [str(error)]
            except Exception:  # pylint: disable=broad-exception-caught
                # The other faults are still to be tried.
                wrong = traceback.format_exc().splitlines()
            if wrong:
                for node in lab.nodes.values():
                    wrong += [f"   relay of {node.name} | {line}" for line in node.tail()]
    except Exception as error:  # pylint: disable=broad-exception-caught
        wrong = [f"the pair could not be set up: {error}"]
        counts = None if isinstance(error, Late) else counts
        for node in lab.nodes.values():
            wrong += [f"   relay of {node.name} | {line}" for line in node.tail()]
    if not wrong and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return wrong, counts, lab.measured


def line(number, wrong, counts, measured, seconds):
    """What a fault came to, on one line; what is wrong follows on lines of its own."""
    said = [f"{name} {value:.2f} s" for name, value in measured.items() if isinstance(value, float)]
    for name in ("acknowledged", "acknowledged_and_lost", "unknown"):
        said += [f"{counts[name]} {name.replace('_', ' ')}"] if counts else []
    verdict = "FAILED" if wrong else "ok"
    print(f"fault {number:2} {verdict:6} {seconds:4.0f} s  {FAULTS[number]['title']}: {', '.join(said)}", flush=True)
    for complaint in wrong:
        print(f"    {complaint}", flush=True)


async def main(asked):
    net.build()
    if asked.figures:
        from figures import figures  # pylint: disable=import-outside-toplevel

        return await figures(asked.numbers or sorted(FAULTS), asked.times, one)
    numbers = asked.numbers or sorted(number for number, spec in FAULTS.items() if asked.all or spec["subset"])
    failed = 0
    for number in numbers:
        began = time.monotonic()
        wrong, counts, measured = await one(number, asked.all, asked.keep)
        if wrong and counts is None and not asked.strict:
            print(f"fault {number:2} again: {wrong[0]}", flush=True)
            wrong, counts, measured = await one(number, asked.all, asked.keep)
        line(number, wrong, counts, measured, time.monotonic() - began)
        failed += bool(wrong)
    print(f"the pair: {len(numbers) - failed} of {len(numbers)} faults are as they must be", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    asked = arguments()
    if asked.list:
        for number, spec in sorted(FAULTS.items()):
            print(f"{number:2} {'*' if spec['subset'] else ' '} {spec['title']}")
        sys.exit(0)
    if unknown := [number for number in asked.numbers if number not in FAULTS]:
        sys.exit(f"there is no fault {unknown[0]}")
    sys.exit(asyncio.run(main(asked)))
