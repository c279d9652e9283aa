"""The checker is fed one violation of each kind, and must name it; and a clean run, of which it must say nothing."""

import copy
import unittest

from checker import check


def operation(number, epoch=1, node="a", verb="create", cmp_id=None, **changed):
    row = {
        "id": f"op-{number}",
        "idempotency_key": f"key-{number}",
        "cmp_id": cmp_id or f"thing-{number}",
        "state": "succeeded",
        "node": node,
        "epoch": epoch,
        "attempt": 1,
        "note": None,
    }
    return row | changed


def request(number, node="a", at=0.0, verb="create", cmp_id=None, **changed):
    line = {
        "key": f"key-{number}",
        "verb": verb,
        "cmp_id": cmp_id or f"thing-{number}",
        "sent": at,
        "answered": at + 0.1,
        "status": 201,
        "node": node,
        "replicated": "yes",
        "replayed": False,
    }
    return line | changed


def call(number, method="POST", **changed):
    line = {"key": f"key-{number}", "method": method, "mark": f"thing-{number}", "object": f"be-{number}", "caller": "a"}
    return line | changed


def clean(mode="required"):
    """Two things of epoch 1 on a, one of epoch 2 on b, which is the master now."""
    tables = {
        "operation": [operation(1), operation(2), operation(3, epoch=2, node="b")],
        "mapping": [{"cmp_id": f"thing-{n}", "backend_id": f"be-{n}"} for n in (1, 2, 3)],
        "ha_epoch": [{"epoch": 1, "node": "a"}, {"epoch": 2, "node": "b"}],
        "meta": [],
    }
    return {
        "mode": mode,
        "requests": [request(1, at=1.0), request(2, at=2.0), request(3, "b", at=5.0)],
        "calls": [call(1), call(2), call(3)],
        "things": {f"be-{n}": {"id": f"be-{n}", "mark": f"thing-{n}", "key": f"key-{n}"} for n in (1, 2, 3)},
        "nodes": {"a": tables, "b": copy.deepcopy(tables)},
        "master": "b",
        "listed": [],
        "lost": None,
    }


def both(run, table):
    return [tables[table] for tables in run["nodes"].values()]


class Checker(unittest.TestCase):
    def violated(self, run, invariant, times=1):
        violations, _ = check(run)
        self.assertEqual([one[:2] for one in violations], [invariant] * times, violations)

    def test_a_clean_run_has_nothing(self):
        violations, counts = check(clean())
        self.assertEqual(violations, [])
        self.assertEqual(counts["acknowledged"], 3)
        self.assertEqual(counts["acknowledged_and_lost"], 0)

    def test_an_acknowledged_create_that_is_gone(self):
        run = clean()
        for rows in both(run, "operation") + both(run, "mapping"):
            del rows[0]
        del run["things"]["be-1"]
        self.violated(run, "I1", 2)
        self.assertEqual(check(run)[1]["acknowledged_and_lost"], 1)

    def test_an_acknowledged_create_that_is_only_pending(self):
        run = clean()
        for rows in both(run, "operation"):
            rows[0]["state"] = "pending"
        self.violated(run, "I1")

    def test_an_acknowledged_create_without_its_mapping(self):
        run = clean()
        for rows in both(run, "mapping"):
            del rows[0]
        del run["things"]["be-1"]
        self.violated(run, "I1")

    def test_an_acknowledged_delete_whose_mapping_stays(self):
        run = clean()
        run["requests"].append(request(4, "b", at=6.0, verb="delete", cmp_id="thing-3", status=204))
        for rows in both(run, "operation"):
            rows.append(operation(4, epoch=2, node="b", cmp_id="thing-3"))
        self.violated(run, "I1")

    def test_what_was_flagged_unconfirmed_is_exempt_and_counted(self):
        for mode, violations in (("required", 2), ("preferred", 0), ("none", 0)):
            run = clean(mode)
            run["requests"][0]["replicated"] = "no"
            for rows in both(run, "operation") + both(run, "mapping"):
                del rows[0]
            del run["things"]["be-1"]
            found, counts = check(run)
            self.assertEqual(len(found), violations, (mode, found))
            self.assertEqual(counts["acknowledged_and_lost"], 1)
            self.assertEqual(counts["exempted"], 0 if mode == "required" else 1)

    def test_two_calls_for_one_key(self):
        run = clean()
        run["calls"].append(call(2, object="be-9", caller="b"))
        self.violated(run, "I2")

    def test_a_repeated_delete_needs_an_attempt_each(self):
        for attempts, violations in ((1, 1), (2, 0)):
            run = clean()
            run["calls"] += [call(9, "DELETE"), call(9, "DELETE")]
            for rows in both(run, "operation"):
                rows.append(operation(9, epoch=2, node="b", cmp_id="thing-9", attempt=attempts))
            self.violated(run, "I2", violations)

    def test_an_object_that_nothing_names(self):
        run = clean()
        run["things"]["be-9"] = {"id": "be-9", "mark": "thing-9", "key": "key-9"}
        self.violated(run, "I3")

    def test_an_object_that_is_in_doubt_or_listed_is_named(self):
        run = clean()
        for number in (8, 9):
            run["things"][f"be-{number}"] = {"id": f"be-{number}", "mark": f"thing-{number}", "key": f"key-{number}"}
        for rows in both(run, "operation"):
            rows.append(operation(8, state="unknown"))
        run |= {"listed": [{"id": "op-9", "key": "key-9"}], "lost": ["op-9"]}
        self.assertEqual(check(run)[0], [])

    def test_a_mapping_of_what_is_not_there(self):
        run = clean()
        del run["things"]["be-2"]
        self.violated(run, "I3")

    def test_a_mapping_that_a_lost_delete_left_is_named(self):
        run = clean()
        del run["things"]["be-2"]
        run["requests"].append(request(9, verb="delete", cmp_id="thing-2", status=None))
        run |= {"listed": [{"id": "op-9", "key": "key-9"}], "lost": ["op-9"]}
        self.assertEqual(check(run)[0], [])

    def test_a_mapping_of_anothers_object(self):
        run = clean()
        run["things"]["be-2"]["mark"] = "thing-7"
        self.violated(run, "I3")

    def test_rows_that_differ(self):
        for table in ("operation", "mapping", "ha_epoch"):
            run = clean()
            run["nodes"]["a"][table][0]["created_at"] = 7
            self.violated(run, "I4", 2)

    def test_a_row_too_many_on_the_standby(self):
        run = clean()
        run["nodes"]["a"]["operation"].append(operation(9))
        self.violated(run, "I4")

    def test_a_node_that_is_down_is_not_compared(self):
        run = clean()
        run["nodes"]["a"] = None
        self.assertEqual(check(run)[0], [])

    def test_the_old_node_acknowledges_after_the_new_one(self):
        run = clean()
        run["requests"].append(request(4, "a", at=7.0))
        run["calls"].append(call(4))
        run["things"]["be-4"] = {"id": "be-4", "mark": "thing-4", "key": "key-4"}
        for rows in both(run, "operation"):
            rows.append(operation(4))
        for rows in both(run, "mapping"):
            rows.append({"cmp_id": "thing-4", "backend_id": "be-4"})
        self.violated(run, "I5")

    def test_the_old_node_replays_after_the_new_one(self):
        run = clean()
        run["requests"].append(request(1, "a", at=7.0, replayed=True))
        self.violated(run, "I5")

    def test_a_request_that_began_before_the_promotion_may_end_after_it(self):
        run = clean()
        run["requests"][1]["sent"], run["requests"][1]["answered"] = 4.0, 6.0
        self.assertEqual(check(run)[0], [])

    def test_a_node_acknowledges_in_the_others_epoch(self):
        run = clean()
        run["requests"][2]["node"] = "a"
        self.violated(run, "I5")

    def test_there_and_back_again_is_no_violation(self):
        run = clean()
        run["requests"].append(request(1, "a", at=9.0, replayed=True))
        for rows in both(run, "ha_epoch"):
            rows.append({"epoch": 3, "node": "a"})
        run["master"] = "a"
        self.assertEqual(check(run)[0], [])

    def test_a_list_that_lacks_one_and_a_list_with_one_too_many(self):
        run = clean()
        run |= {"lost": ["op-8"], "listed": []}
        self.violated(run, "I6")
        run |= {"lost": [], "listed": [{"id": "op-8", "key": "key-8"}]}
        self.violated(run, "I6")
        run |= {"lost": ["op-8"]}
        self.assertEqual(check(run)[0], [])


if __name__ == "__main__":
    unittest.main()
