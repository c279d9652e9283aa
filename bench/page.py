"""docs/performance.md and its plot, from bench/results.json and the prose of bench/page.md. `python3 bench/page.py` renders them anew."""

import os
import re
from html import escape

import results
from cases import CASES

HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = f"{HERE}/../docs"
# What each system is called on the page, and what it does.
SYSTEMS = {
    "nginx": ("nginx", "forwards"),
    "haproxy": ("haproxy", "forwards"),
    "envoy": ("Envoy", "forwards"),
    "hyper": ("hyper", "forwards: the floor of the relay's stack"),
    "relay-passed": ("the relay, passed through", "token, route, call, answer as it is"),
    "relay": ("the relay, full read", "all of it"),
    "relay-silent": ("the relay, full read, `log.level: warn`", "all of it but the log's line"),
    "nginx-lua": ("nginx with Lua", "the full read, mappings from a table in memory, no store"),
    "falcon": ("Falcon", "the original plan"),
    "relay-unrecorded": ("the relay, without a record", "the same call by a route that maps nothing"),
    "unconfirmed": ("the relay, a standby that replicates", "two commits"),
    "confirmed": ("the relay, `confirm: required`", "two commits, each applied by the standby"),
}
# What other scripts keep, and under which heading it stands.
MORE = {"instructions": "Instructions", "micro": "Parts by themselves", "scale": "Scale"}
VERDICTS = {"goal": "goal reached", "floor": "floor reached", "below": "**below the floor**"}


def table(columns, rows):
    """Markdown; the first column is text, and a column of numbers is set to the right."""
    if not rows:
        return "Not measured yet."
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    numeric = [all(re.fullmatch(r"[\d.,]+", row[at]) for row in cells) for at in range(len(columns))]
    lines = [[str(column) for column in columns], ["---:" if right else "---" for right in numeric], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(value):
    """Three digits that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def ratios(kept):
    every = [ratio for case in kept.get("cases", {}).values() for ratio in case["ratios"]]
    return sorted(every, key=lambda ratio: ratio["number"])


def machine(kept):
    found = kept.get("machine", {})
    return "The machine: " + ", ".join(f"{name} {value}" for name, value in found.items()) + "." if found else ""


def the_table(kept):
    bound = lambda ratio, of: ("" if ratio["more"] else "at most ") + f"{ratio[of]:g}"
    rows = [
        [
            ratio["number"],
            ratio["what"],
            f"**{figure(ratio['value'])}**",
            bound(ratio, "floor"),
            bound(ratio, "goal"),
            ratio["limit"],
            VERDICTS[ratio["verdict"]],
        ]
        for ratio in ratios(kept)
    ]
    notes = [f"* {ratio['number']}: {note}." for ratio in ratios(kept) for note in ratio["notes"]]
    return "\n".join([table(["#", "case", "measured", "floor", "goal", "limit known", ""], rows), "", *notes])


def measured(kept):
    """When each case was, the same ones together."""
    groups = {}
    for name, case in kept.get("cases", {}).items():
        groups.setdefault((case["date"], case["commit"], case["rounds"], case["seconds"]), []).append(f"`{name}`")
    lines = [
        f"Measured on {date} at commit {commit}, {rounds} rounds of {seconds} s: {', '.join(names)}."
        for (date, commit, rounds, seconds), names in groups.items()
    ]
    if any(commit.endswith("+") for _, commit, _, _ in groups):
        lines.append("A `+` behind a commit: with changes, or a binary that was given.")
    if missing := [f"`{name}`" for name in CASES if name not in kept.get("cases", {})]:
        lines.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n".join(lines)


def efficiencies(kept):
    """Of the reads, by `eff`, the best first: name, eff, what else is known of it."""
    read = kept.get("cases", {}).get("read", {}).get("systems", {})
    if "nginx" not in read:
        return []
    nginx = read["nginx"]["cpu_us"]["least"]
    return sorted(((name, nginx / one["cpu_us"]["least"], one) for name, one in read.items()), key=lambda row: -row[1])


def the_systems(kept):
    rows = [
        [
            SYSTEMS[name][0],
            SYSTEMS[name][1],
            figure(one["cpu_us"]["least"]),
            figure(one["cpu_us"]["median"]),
            figure(eff),
            figure(one["rate"]["best"] / kept["cases"]["read"]["systems"]["nginx"]["rate"]["best"]),
            figure(one["mib"]),
        ]
        for name, eff, one in efficiencies(kept)
    ]
    columns = ["system", "does", "CPU, us, least", "CPU, us, median", "eff", "best rate over nginx's", "memory, MiB"]
    return table(columns, rows) + "\n\nMemory is the proportional set size of all its processes, after the last round."


def creates(kept):
    rows = []
    for case, store in (("durable", "SQLite"), ("mariadb", "MariaDB")):
        for name, one in kept.get("cases", {}).get(case, {}).get("systems", {}).items():
            named = ("the relay", "two commits") if name == "relay" else SYSTEMS[name]
            named = (named[0], "two commits") if name == "falcon" else named
            rows.append([named[0], store, named[1], figure(one["cpu_us"]["least"]), figure(one["rate"]["best"]), figure(one["p50_ms"])])
    columns = ["system", "store", "does", "CPU, us, least", "creates a second, best", "ms, median"]
    return table(columns, rows)


def curve(kept):
    found = kept.get("cases", {}).get("durable", {}).get("curve", [])
    rows = [[at["clients"], figure(at["rate"]), figure(at["over_flushes"])] for at in found]
    return table(["clients", "creates a second", "commits over serial fdatasyncs"], rows)


def more(kept):
    """The tables that other scripts keep."""
    parts = []
    for key, heading in MORE.items():
        if found := kept.get(key):
            parts.append(f"## {heading}\n")
            for one in found if isinstance(found, list) else [found]:
                parts += [one["about"], "", table(one["columns"], one["rows"]), ""]
    return "\n".join(parts)


def below(kept):
    """Which goals are not reached; why is for page.md to say."""
    lines = [
        f"* {ratio['number']}, {ratio['what']}: {figure(ratio['value'])} where {ratio['goal']:g} is the goal."
        for ratio in ratios(kept)
        if ratio["verdict"] != "goal"
    ]
    return "\n".join(["Goals that are not reached:", "", *lines]) if lines else "Every goal is reached."


def plot(kept):
    """Bars of `eff`, and on the relay's own the marks of floor and goal."""
    bars = efficiencies(kept)
    bounds = {1: "relay", 3: "relay-passed"}
    marks = {bounds[ratio["number"]]: ratio for ratio in ratios(kept) if ratio["number"] in bounds}
    left, width, row = 250, 400, 26
    scale = width / max([1.0, *(eff for _, eff, _ in bars)])
    height = row * len(bars) + 52
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" font-family="sans-serif" font-size="13">',
        "<style>text{fill:#24292f}.bar{fill:#8c959f}.own{fill:#0969da}.floor{stroke:#cf222e}.goal{stroke:#1a7f37}"
        "line{stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bar{fill:#6e7681}.own{fill:#4493f8}"
        ".floor{stroke:#ff7b72}.goal{stroke:#56d364}}</style>",
    ]
    for at, (name, eff, _) in enumerate(bars):
        y = 8 + at * row
        own = "own" if name.startswith("relay") else "bar"
        title = escape(SYSTEMS[name][0].replace("`", ""))
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{title}</text>')
        parts.append(f'<rect class="{own}" x="{left}" y="{y}" width="{max(1, eff * scale):.1f}" height="18"/>')
        far = max([eff, *([marks[name]["goal"]] if name in marks else [])])
        parts.append(f'<text x="{left + far * scale + 6:.1f}" y="{y + 14}">{figure(eff)}</text>')
        for kind in ("floor", "goal") if name in marks else ():
            x = left + marks[name][kind] * scale
            parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3}" y2="{y + 21}"/>')
    y = height - 26
    for x, kind in ((left, "floor"), (left + 60, "goal")):
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{y - 12}" y2="{y + 4}"/><text x="{x + 8}" y="{y}">{kind}</text>')
    parts.append(f'<text x="{left}" y="{y + 20}">a read: CPU per request, nginx over the system (more is better)</text></svg>\n')
    return "\n".join(parts)


def render():
    """Writes the page and the plot."""
    kept = results.load()
    parts = {
        "machine": machine,
        "table": the_table,
        "measured": measured,
        "systems": the_systems,
        "creates": creates,
        "curve": curve,
        "more": more,
        "below": below,
    }
    with open(f"{HERE}/page.md", encoding="utf-8") as file:
        text = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]](kept), file.read())
    with open(f"{DOCS}/performance.md", "w", encoding="utf-8") as file:
        file.write(re.sub(r"\n{3,}", "\n\n", text))
    with open(f"{DOCS}/performance.svg", "w", encoding="utf-8") as file:
        file.write(plot(kept))


if __name__ == "__main__":
    render()
