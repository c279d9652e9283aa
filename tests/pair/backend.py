"""The backend: things with an id of its own and the CMP's mark, and a journal of every call that reached it.

A call is journalled when it has been carried out, before it is answered. `slow` seconds pass before each change is
carried out, `mute` seconds after it.
"""

import asyncio
import itertools
import json
import time

from talk import read_body, read_head

REASONS = {200: "OK", 201: "Created", 204: "No Content", 404: "Not Found"}


class Backend:
    def __init__(self):
        self.things = {}
        self.journal = []
        self.slow = self.mute = 0.0
        self._ids = itertools.count(1)
        self._server = None

    async def start(self, host, port):
        self._server = await asyncio.start_server(self._serve, host, port)

    def stop(self):
        self._server.close()

    async def _serve(self, reader, writer):
        caller = writer.get_extra_info("peername")[0]
        try:
            while True:
                first, headers = await read_head(reader)
                method, target, _ = first.split()
                body = await read_body(reader, headers)
                if method != "GET":
                    await asyncio.sleep(self.slow)
                status, answer = self._act(caller, method, target, body)
                if method != "GET":
                    await asyncio.sleep(self.mute)
                text = b"" if status == 204 else json.dumps(answer).encode()
                head = [f"HTTP/1.1 {status} {REASONS[status]}", "Content-Type: application/json"]
                head += [f"Content-Length: {len(text)}", "", ""]
                writer.write("\r\n".join(head).encode() + text)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass  # The caller is gone; what it asked for has been done.
        finally:
            writer.transport.abort()

    def _act(self, caller, method, target, body):
        path, _, query = target.partition("?")
        asked = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        name = path.removeprefix("/things").lstrip("/")
        if method == "POST":
            name = f"be-{next(self._ids)}"
            self.things[name] = {"id": name, "mark": body["mark"], "key": body["key"]}
            status = 201
        elif name and name not in self.things:
            status = 404
        else:
            status = 204 if method == "DELETE" else 200
        thing = self.things.get(name, {"id": name, "error": "no such thing"})
        if method == "PUT" and status == 200:
            thing["key"] = body["key"]
        if method == "DELETE":
            self.things.pop(name, None)
        if method != "GET":
            self.journal.append(
                {
                    "at": time.monotonic(),
                    "caller": caller,
                    "method": method,
                    "key": asked.get("key") or (body or {}).get("key"),
                    "mark": thing.get("mark"),
                    "object": name,
                    "status": status,
                }
            )
        return status, thing if name else {"things": list(self.things.values())}
