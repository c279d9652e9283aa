"""The CMP: writers that follow the published retry rule through the virtual address, and journal all that they are told.

A wish is one intent of the CMP: one key, one body, as many requests as it takes. It ends `acked` (a 2xx), `doubtful` (its
outcome is unknown until a person settles it), `refused` (an answer that forbids a retry) or `open` (the time was up).
"""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass

from checker import acknowledges
from files import CMP_PORT
from net import VIP
from talk import FAILURES, Connection

STATUSES = {"create": ("POST", 201), "update": ("PUT", 200), "delete": ("DELETE", 204)}


@dataclass
class Wish:
    key: str
    verb: str
    cmp_id: str
    outcome: str = "open"

    def request(self):
        method, _ = STATUSES[self.verb]
        if self.verb == "create":
            return method, "/v1/things", {"id": self.cmp_id, "key": self.key}
        if self.verb == "update":
            return method, f"/v1/things/{self.cmp_id}", {"key": self.key}
        return method, f"/v1/things/{self.cmp_id}?key={self.key}", None


class Clients:
    def __init__(self, tls, token):
        self.tls, self.token = tls, token
        self.requests = []
        self.wishes = {}
        self.made = 0
        self._numbers = itertools.count(1)
        self._tasks = []
        self._stopping = asyncio.Event()

    # --- the load ---------------------------------------------------------------------------------

    def start(self, writers=4, pace=0.1):
        """`writers` that send one wish after the other, and a create every `pace` seconds whatever became of the last.

        The second is what gaps are measured by: it never waits out a back-off.
        """
        self._stopping.clear()
        self._tasks = [asyncio.create_task(self._writer()) for _ in range(writers)]
        if pace:
            self._tasks.append(asyncio.create_task(self._pacer(pace)))

    async def stop(self, grace=0.0):
        """No new wishes; those in hand may go on being retried for `grace` seconds."""
        self._stopping.set()
        tasks, self._tasks = self._tasks, []
        _, late = await asyncio.wait(tasks, timeout=grace + 15) if tasks else ((), ())
        for task in late:
            task.cancel()
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception():
                raise task.exception()

    async def _writer(self):
        connection = self.connection()
        mine = []
        while not self._stopping.is_set():
            wish = self._next(mine)
            await self.pursue(wish, connection)
            if wish.outcome == "acked":
                if wish.verb == "create":
                    mine.append(wish.cmp_id)
            elif wish.verb != "create" and wish.cmp_id in mine:
                mine.remove(wish.cmp_id)
        connection.close()

    def _next(self, mine):
        verb = random.choices(("create", "update", "delete"), (6, 2, 2))[0] if len(mine) > 2 else "create"
        if verb == "create":
            return self.wish()
        cmp_id = random.choice(mine)
        if verb == "delete":
            mine.remove(cmp_id)
        return self.wish(verb, cmp_id)

    async def _pacer(self, pace):
        at_once = set()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._stopping.is_set():
            task = asyncio.create_task(self._alone(self.wish()))
            at_once.add(task)
            task.add_done_callback(at_once.discard)
            due = max(due + pace, loop.time())
            await asyncio.sleep(due - loop.time())
        if at_once:
            await asyncio.wait(at_once)

    async def _alone(self, wish):
        connection = self.connection()
        try:
            await self.pursue(wish, connection)
        finally:
            connection.close()

    def connection(self):
        return Connection(VIP, CMP_PORT, self.tls, self.token)

    def wish(self, verb="create", cmp_id=None):
        number = next(self._numbers)
        wish = Wish(f"key-{number}", verb, cmp_id or f"thing-{number}")
        self.wishes[wish.key] = wish
        return wish

    # --- the retry rule ---------------------------------------------------------------------------

    async def pursue(self, wish, connection, patience=60.0):
        """Same key, same body; after a failure, 503 or 409 again, 0.2 to 5 s later, with jitter."""
        end = time.monotonic() + patience
        pause = 0.2
        while True:
            wish.outcome = verdict(await self.send(wish, connection))
            if wish.outcome != "again":
                return
            wish.outcome = "open"
            if time.monotonic() + pause > end or self._stopping.is_set():
                return
            await self._rest(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 5.0)

    async def _rest(self, seconds):
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def send(self, wish, connection):
        """One request; its line of the journal."""
        method, path, body = wish.request()
        line = {"key": wish.key, "verb": wish.verb, "cmp_id": wish.cmp_id, "sent": time.monotonic()}
        line |= dict.fromkeys(("status", "node", "replicated", "replayed", "operation", "code", "side_effect"))
        line |= {"safe_to_retry": None, "failure": None}
        try:
            answer = await connection.ask(method, path, body, {"Idempotency-Key": f'"{wish.key}"'})
        except FAILURES as error:
            line["failure"] = type(error).__name__
        else:
            problem = answer.body if isinstance(answer.body, dict) else {}
            line |= {
                "status": answer.status,
                "node": answer.node,
                "replicated": answer.headers.get("relay-replicated"),
                "replayed": answer.headers.get("idempotency-replayed") == "true",
                "operation": answer.headers.get("relay-operation") or problem.get("operation"),
                "code": problem.get("code"),
                "side_effect": problem.get("side_effect"),
                "safe_to_retry": problem.get("safe_to_retry"),
            }
        line["answered"] = time.monotonic()
        self.requests.append(line)
        return line

    # --- afterwards -------------------------------------------------------------------------------

    async def finish(self, backend, patience=60.0):
        """Ends every wish, as a person would who can look at the backend; how many were doubtful, and for how long."""
        began = time.monotonic()
        self._stopping.clear()
        connection = self.connection()
        doubtful = 0
        for wish in [one for one in self.wishes.values() if one.outcome in ("open", "doubtful")]:
            await self.pursue(wish, connection, patience)
            if wish.outcome == "doubtful":
                doubtful += 1
                await self._settle(wish, connection, backend, patience)
        connection.close()
        return {"unknown": doubtful, "seconds": time.monotonic() - began}

    async def _settle(self, wish, connection, backend, patience):
        end = time.monotonic() + patience
        while wish.outcome != "acked" and time.monotonic() < end:
            try:
                await self._resolve(wish, connection, backend)
            except FAILURES:
                pass
            await asyncio.sleep(0.3)
            wish.outcome = verdict(await self.send(wish, connection))

    async def _resolve(self, wish, connection, backend):
        found = await connection.ask("GET", f"/relay/v1/operations?key={wish.key}")
        operations = found.body["items"] if found.status == 200 else []
        if not operations or operations[0]["state"] != "unknown":
            return
        body = {"verdict": "failed"}
        there = next((thing for thing in backend.things.values() if thing["mark"] == wish.cmp_id), None)
        if wish.verb == "create" and there:
            body = {"verdict": "succeeded", "backend_id": there["id"]}
        elif wish.verb == "update" and there and there["key"] == wish.key or wish.verb == "delete" and not there:
            body = {"verdict": "succeeded"}
        await connection.ask("POST", f"/relay/v1/operations/{operations[0]['id']}/resolve", body)

    def last(self, key):
        """The journal's last line of a key."""
        return next((line for line in reversed(self.requests) if line["key"] == key), None)

    def acks(self, since=0.0):
        """The acknowledged requests that were sent after `since`."""
        return [line for line in self.requests if line["sent"] > since and acknowledges(line)]

    def gap(self, since, until):
        """The longest time without a 2xx, in seconds, of a stretch of this run."""
        times = sorted(line["answered"] for line in self.acks() if since <= line["answered"] <= until)
        edges = [since, *times, until]
        return max(later - earlier for earlier, later in zip(edges, edges[1:]))


def verdict(line):
    """What a CMP makes of an answer: `acked`, `again`, `doubtful` or `refused`."""
    if acknowledges(line):
        return "acked"
    if line["status"] is None or line["safe_to_retry"] or line["code"] == "operation_in_progress":
        return "again"
    if line["code"] == "outcome_unknown":
        return "doubtful"
    return "again" if line["status"] == 503 else "refused"
