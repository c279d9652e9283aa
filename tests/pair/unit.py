"""A unit: one program that is kept running, as systemd's `Restart=always` would.

Whatever is done to it is done to its process by number: killed, frozen, thawed. `Unit.stop` is the only way in which it
stays away.
"""

import asyncio
import os
import signal


class Unit:
    """`argv` with its output appended to `log`; started again `restart` seconds after it ended, or never (None)."""

    def __init__(self, name, argv, log, restart=1.0, env=None):
        self.name, self.argv, self.log, self.restart = name, argv, log, restart
        self.env = env or {}
        self.process = None
        self.starts = 0
        self._keeper = None
        self._halt = asyncio.Event()

    async def start(self):
        """Starts it, and keeps it running from then on."""
        await self.stop()
        self._halt = asyncio.Event()
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def _spawn(self):
        with open(self.log, "ab") as log:
            log.write(f"-- started ({self.starts})\n".encode())
            log.flush()
            self.process = await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
            )
        self.starts += 1

    async def _keep(self):
        while True:
            await self.process.wait()
            if self.restart is None or self._halt.is_set():
                return
            try:
                await asyncio.wait_for(self._halt.wait(), self.restart)
                return
            except asyncio.TimeoutError:
                await self._spawn()

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.returncode is None

    def pids(self):
        """It and what it started: keepalived's VRRP half is a process of its own."""
        return family(self.pid) if self.running else []

    def send(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """SIGKILL to it and its children; it comes back after `restart` seconds."""
        self.send(signal.SIGKILL)

    def freeze(self):
        self.send(signal.SIGSTOP)

    def thaw(self):
        self.send(signal.SIGCONT)

    async def end(self, patience=30):
        """SIGTERM, as an operator's restart would; it comes back after `restart` seconds."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
            await asyncio.wait_for(self.process.wait(), patience)

    async def stop(self, number=signal.SIGTERM, patience=20):
        """Stops it for good: SIGTERM, and SIGKILL for what does not heed it."""
        self._halt.set()
        if self.running:
            self.thaw()
            if number == signal.SIGKILL:
                self.kill()
            else:
                os.kill(self.pid, number)
            try:
                await asyncio.wait_for(self.process.wait(), patience)
            except asyncio.TimeoutError:
                self.kill()
                await self.process.wait()
        if self._keeper:
            await self._keeper
            self._keeper = None


def family(pid):
    """A process and all below it."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            below = [int(child) for child in children.read().split()]
    except FileNotFoundError:
        return []
    return [pid] + [one for child in below for one in family(child)]


async def run(*argv, patience=60, env=None, stdin=None, check=True):
    """A program that ends: its status and its output. With `check`, a failure is an error that quotes it."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(stdin and stdin.encode()), patience)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        raise Late(f"{' '.join(argv)}: no end within {patience} s") from None
    output = output.decode(errors="replace")
    if check and process.returncode != 0:
        raise Failed(f"{' '.join(argv)}: status {process.returncode}: {output.strip()[-2000:]}")
    return process.returncode, output


class Failed(Exception):
    """Something that a fault takes for granted is not so."""


class Late(Failed):
    """It did not happen in its time."""
