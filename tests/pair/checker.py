"""The checker: what the journals and both databases must have in common. A pure function; it asks nobody.

What it gets is one run:

    mode      none, preferred or required
    requests  the clients' journal: key, verb, cmp_id, sent, answered, status, node, replicated, replayed
    calls     the backend's journal: key, method, mark (the CMP's id), object, status, caller
    things    what the backend holds at the end: id -> { id, mark, key }
    nodes     what both databases hold: node -> table -> rows; None for a node that is down
    master    the node that is active at the end
    listed    operations that `ha rejoin` archived as lost: [{ id, key }], of every rejoin of the run
    lost      the operations that were in fact on the old master and not on the new one, ids; None where nobody rejoined

Times are seconds of one monotonic clock. The answer is a list of violations, each beginning with its invariant (I1 to I6),
and what was counted.
"""

import hashlib
import json
from collections import defaultdict

TABLES = ("mapping", "operation", "ha_epoch", "meta")


def check(run):
    """Violations, and counts."""
    rules = (acknowledged_is_kept, one_call_a_key, nothing_unnamed, equal_rows, one_acknowledges, the_list_is_exact)
    violations = [violation for rule in rules for violation in rule(run)]
    return violations, count(run)


def count(run):
    acks = list(acknowledged(run))
    operations = by_key(run)
    return {
        "acknowledged": len({line["key"] for line in acks}),
        "acknowledged_and_lost": len(lost_acks(run)),
        "exempted": len(exempted(run)),
        "unknown": sum(1 for one in operations.values() if one["state"] in ("unknown", "pending")),
        "settled_by_a_person": sum(1 for one in operations.values() if one["note"] == "operator"),
    }


def acknowledges(line):
    return line["status"] is not None and 200 <= line["status"] < 300


def acknowledged(run):
    return (line for line in run["requests"] if acknowledges(line))


def master(run):
    return run["nodes"][run["master"]]


def by_key(run):
    return {row["idempotency_key"]: row for row in master(run)["operation"]}


def exempted(run):
    """Keys that no answer called replicated: under `required` none is exempt."""
    if run["mode"] == "required":
        return set()
    acks = list(acknowledged(run))
    return {line["key"] for line in acks} - {line["key"] for line in acks if line["replicated"] == "yes"}


def lost_acks(run):
    """Keys with a 2xx whose operation the final master does not have as succeeded."""
    operations = by_key(run)
    keys = {line["key"] for line in acknowledged(run)}
    return {key for key in keys if operations.get(key, {}).get("state") != "succeeded"}


def acknowledged_is_kept(run):
    """I1: every 2xx is on the final master, the operation and what it did to the mapping."""
    exempt = exempted(run)
    for key in sorted(lost_acks(run) - exempt):
        yield f"I1: {key} was acknowledged, and {run['master']} does not have it as succeeded"
    mapped = {row["cmp_id"] for row in master(run)["mapping"]}
    for cmp_id, lines in group(acknowledged(run), "cmp_id").items():
        if any(line["key"] in exempt for line in lines) or cmp_id in in_doubt(run):
            continue
        gone = any(line["verb"] == "delete" for line in lines)
        if gone and cmp_id in mapped:
            yield f"I1: the delete of {cmp_id} was acknowledged, and {run['master']} has its mapping"
        # A delete that nobody was told of may have been done all the same.
        asked = any(line["verb"] == "delete" for line in run["requests"] if line["cmp_id"] == cmp_id)
        if not asked and cmp_id not in mapped:
            yield f"I1: {cmp_id} was acknowledged, and {run['master']} has no mapping of it"


def in_doubt(run):
    """CMP ids with an operation that is pending or unknown on the final master."""
    return {row["cmp_id"] for row in master(run)["operation"] if row["state"] in ("unknown", "pending")}


def one_call_a_key(run):
    """I2: one call a key; a PUT or DELETE, which may be repeated, one an attempt."""
    attempts = {key: int(row["attempt"]) for key, row in by_key(run).items()}
    exempt = exempted(run) | {one["key"] for one in run["listed"]}
    for key, calls in group(run["calls"], "key").items():
        method = calls[0]["method"]
        allowed = 1 if method == "POST" else attempts.get(key, 1)
        if len(calls) > allowed and not (run["mode"] != "required" and key in exempt):
            callers = ", ".join(call["caller"] for call in calls)
            yield f"I2: {len(calls)} calls ({method}) for {key}, by {callers}; {allowed} allowed"


def nothing_unnamed(run):
    """I3: what the backend holds is mapped, or named by an operation in doubt or listed as lost; and the reverse."""
    mapped = {row["backend_id"]: row["cmp_id"] for row in master(run)["mapping"]}
    listed = {one["key"] for one in run["listed"]}
    for name, thing in run["things"].items():
        named = thing["mark"] in in_doubt(run) or thing["key"] in listed
        if name in mapped and mapped[name] != thing["mark"]:
            yield f"I3: {name} is mapped to {mapped[name]}, and was made for {thing['mark']}"
        elif name not in mapped and not named:
            yield f"I3: the backend has {name} (for {thing['mark']}, key {thing['key']}), and nothing names it"
    # A delete that is lost leaves the mapping that it ended.
    told = in_doubt(run) | {line["cmp_id"] for line in run["requests"] if line["key"] in listed}
    for name, cmp_id in mapped.items():
        if name not in run["things"] and cmp_id not in told:
            yield f"I3: {cmp_id} is mapped to {name}, which the backend does not have"


def equal_rows(run):
    """I4: both nodes hold the same rows."""
    both = [tables for tables in run["nodes"].values() if tables is not None]
    if len(both) < 2:
        return
    for table in TABLES:
        left, right = ({digest(row): row for row in tables[table]} for tables in both)
        for name, one in [(digest, left[digest]) for digest in left.keys() - right.keys()][:3]:
            yield f"I4: only the first node has {table} {name[:8]}: {json.dumps(one)[:300]}"
        for name, one in [(digest, right[digest]) for digest in right.keys() - left.keys()][:3]:
            yield f"I4: only the second node has {table} {name[:8]}: {json.dumps(one)[:300]}"


def one_acknowledges(run):
    """I5: once an epoch has acknowledged something, no earlier one acknowledges what is asked after that."""
    operations = by_key(run)
    nodes = {int(row["epoch"]): row["node"] for row in master(run)["ha_epoch"]}
    told = []
    for line in sorted(acknowledged(run), key=lambda line: line["answered"]):
        row = operations.get(line["key"])
        # A replay tells an epoch's node, and not which of its epochs: the newest one that it may be is assumed.
        if row is None or line["replayed"]:
            epoch = max((epoch for epoch, node in nodes.items() if node == line["node"]), default=None)
        else:
            epoch = int(row["epoch"])
            if nodes.get(epoch, line["node"]) != line["node"]:
                yield f"I5: {line['key']} was acknowledged by {line['node']} in epoch {epoch}, which is {nodes[epoch]}'s"
        if epoch is not None:
            told.append((line, epoch, bool(line["replayed"])))
    first = {}
    for line, epoch, replayed in told:
        if not replayed:
            first.setdefault(epoch, line["answered"])
    for line, epoch, _ in told:
        later = [other for other, at in first.items() if other > epoch and at < line["sent"]]
        if later:
            late = line["sent"] - first[max(later)]
            yield (
                f"I5: {line['key']} was asked {late:.3f} s after epoch {max(later)} had begun to acknowledge,"
                f" and {line['node']} acknowledged it in epoch {epoch}"
            )


def the_list_is_exact(run):
    """I6: rejoin lists the operations that were lost, all of them and no other."""
    if run["lost"] is None:
        return
    listed, lost = {one["id"] for one in run["listed"]}, set(run["lost"])
    for name in sorted(lost - listed):
        yield f"I6: the operation {name} was lost, and no list has it"
    for name in sorted(listed - lost):
        yield f"I6: the operation {name} is listed as lost, and was not"


def group(lines, name):
    groups = defaultdict(list)
    for line in lines:
        groups[line[name]].append(line)
    return groups


def digest(row):
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
