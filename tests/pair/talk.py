"""HTTP/1.1 over TLS, as much of it as the laboratory needs; an answer knows which node gave it, by its certificate."""

import asyncio
import json
import ssl
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    headers: dict
    body: object
    node: str


def context(ca):
    """Any of the pair's nodes, whatever address it has at the moment."""
    made = ssl.create_default_context(cafile=ca)
    made.check_hostname = False
    return made


class Connection:
    """One connection that is used again while it lasts. Not for several tasks at once."""

    def __init__(self, host, port, tls, token=None):
        self.host, self.port, self.tls, self.token = host, port, tls, token
        self.reader = self.writer = None

    async def ask(self, method, path, body=None, headers=(), patience=5.0):
        """The answer, or OSError, EOFError or TimeoutError; then the connection is gone as well."""
        try:
            return await asyncio.wait_for(self._ask(method, path, body, dict(headers)), patience)
        except BaseException:
            self.close()
            raise

    async def _ask(self, method, path, body, headers):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
        text = b"" if body is None else json.dumps(body).encode()
        headers |= {"Host": f"{self.host}:{self.port}", "Content-Length": str(len(text))}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.writer.write("\r\n".join(lines).encode() + text)
        status, headers = await read_head(self.reader)
        answer = Answer(int(status.split()[1]), headers, await read_body(self.reader, headers), self.node())
        if headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def node(self):
        certificate = self.writer.get_extra_info("peercert") or {}
        return dict(pair for part in certificate.get("subject", ()) for pair in part).get("commonName")

    def close(self):
        if self.writer is not None:
            self.writer.transport.abort()
            self.reader = self.writer = None


async def read_head(reader):
    """The first line and the headers, names in small letters."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    return first, {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}


async def read_body(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        text = b""
        while size := int((await reader.readline()).strip(), 16):
            text += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        text = await reader.readexactly(int(headers.get("content-length", 0)))
    if "json" in headers.get("content-type", ""):
        return json.loads(text or b"null")
    return text.decode(errors="replace")


async def once(host, port, tls, method, path, token=None, body=None, headers=(), patience=5.0):
    """One request over a connection of its own."""
    connection = Connection(host, port, tls, token)
    try:
        return await connection.ask(method, path, body, headers, patience)
    finally:
        connection.close()


# What a request may end with when there is nobody, or somebody who ends in the middle of it.
FAILURES = (OSError, EOFError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError)
