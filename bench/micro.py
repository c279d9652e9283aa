"""Keeps criterion's medians, which it left below CRITERION_HOME; bench/micro ran it."""

import glob
import json
import os

import results


def main():
    rows = []
    for path in sorted(glob.glob(f"{os.environ['CRITERION_HOME']}/**/new/estimates.json", recursive=True)):
        with open(path, encoding="utf-8") as file:
            median = json.load(file)["median"]
        with open(f"{os.path.dirname(path)}/benchmark.json", encoding="utf-8") as file:
            name = json.load(file)["full_id"]
        bounds = median["confidence_interval"]
        between = f"{bounds['lower_bound']:,.0f} to {bounds['upper_bound']:,.0f}"
        rows.append([name, round(median["point_estimate"]), between])
    if not rows:
        raise SystemExit("criterion left no estimates")
    about = "Parts of one request by themselves (criterion): the median, and where it lies with 95 % confidence"
    results.keep("micro", {"about": about, "columns": ["part", "ns", "between, ns"], "rows": rows})


if __name__ == "__main__":
    main()
