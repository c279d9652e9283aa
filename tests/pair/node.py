"""One node: mariadbd, keepalived and the relay in a network namespace, each a unit, and what they hold."""

import asyncio
import json
import os
import shutil
import signal
import subprocess

import files
from net import ADDRESS, VIP
from unit import Failed, Late, Unit, run

# Ids are binary; everything else that the tables hold is text or a number.
COLUMNS = {
    "mapping": "resource cmp_id scope backend kind backend_id attributes created_operation# updated_operation# created_at"
    " updated_at",
    "operation": "id# route client idempotency_key fingerprint# attempt resource cmp_id scope backend effects state"
    " idempotent claim# call_hash# backend_status sends reply_status reply_headers reply_body# error_code error_detail"
    " side_effect safe_to_retry note deadline node epoch created_at finished_at",
    "ha_epoch": "epoch node fork_gtid reason at",
    "meta": "name value#",
}

QUIET = {"RUST_BACKTRACE": "0", "NO_COLOR": "1"}


class Node:
    def __init__(self, name, folder, program, token):
        self.name, self.folder, self.program, self.token = name, folder, program, token
        self.address = ADDRESS[name]
        self.config, self.state = f"{folder}/etc/cmp-relay", f"{folder}/var/lib/cmp-relay/ha"
        self.db = self._unit("db", ["mariadbd", f"--defaults-file={folder}/my.cnf"])
        pids = ["-p", f"{folder}/ka.pid", "-r", f"{folder}/ka-vrrp.pid"]
        keepalived = ["keepalived", "-n", "-l", "-D", "-f", f"{folder}/etc/keepalived/keepalived.conf", *pids]
        self.vrrp = self._unit("vrrp", keepalived)
        self.relay = self._unit("relay", [program, "serve", "--config", self.config])
        self.relay.env = dict(QUIET)

    def _unit(self, name, argv):
        log = f"{self.folder}/{name}.log"
        return Unit(f"{name} of {self.name}", ["ip", "netns", "exec", self.name, *argv], log)

    @property
    def units(self):
        return [self.vrrp, self.relay, self.db]

    def prepare(self, template, room=None):
        """An empty server like `template`, on a disk of `room` MiB where that is said."""
        os.makedirs(f"{self.folder}/tmp")
        data = f"{self.folder}/data"
        os.makedirs(data)
        if room:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}M", "none", data], check=True)
        shutil.copytree(template, data, dirs_exist_ok=True)

    async def start_db(self):
        await self.db.start()
        await self.wait_db()

    async def wait_db(self, patience=60):
        async def answers():
            try:
                return await self.sql("SELECT 1", patience=2)
            except Failed:
                return None

        await until(answers, patience, f"mariadbd of {self.name} does not answer, see {self.db.log}")

    async def sql(self, text, patience=10):
        """The rows that a statement gives, each a list of texts; by root, through the socket."""
        client = ["mariadb", "--no-defaults", "--user=root", f"--socket={self.folder}/db.sock", "--batch"]
        _, output = await run(*client, "--skip-column-names", "--raw", stdin=text, patience=patience)
        return [line.split("\t") for line in output.splitlines()]

    async def value(self, text, patience=10):
        return (await self.sql(f"SELECT {text}", patience))[0][0]

    async def slave(self):
        """SHOW SLAVE STATUS, by name; empty where there is no replication."""
        client = ["mariadb", "--no-defaults", "--user=root", f"--socket={self.folder}/db.sock"]
        _, output = await run(*client, "--vertical", "-e", "SHOW SLAVE STATUS", patience=5)
        pairs = (line.strip().split(": ", 1) for line in output.splitlines() if ": " in line or line.endswith(":"))
        return {pair[0].rstrip(":"): pair[1] if len(pair) > 1 else "" for pair in pairs}

    async def tables(self):
        """Every row of the relay's tables, read at one moment."""
        selects = []
        for table, columns in COLUMNS.items():
            pairs = (
                f"'{one[:-1]}', HEX({one[:-1]})" if one.endswith("#") else f"'{one}', CONVERT({one} USING utf8mb4)"
                for one in columns.split()
            )
            selects.append(f"SELECT '{table}', JSON_OBJECT({', '.join(pairs)}) FROM relay.{table};")
        text = "START TRANSACTION WITH CONSISTENT SNAPSHOT; " + " ".join(selects) + " COMMIT;"
        tables = {table: [] for table in COLUMNS}
        for table, row in await self.sql(text, patience=60):
            tables[table].append(json.loads(row))
        return tables

    async def command(self, *words, patience=120, check=True):
        """A `cmp-relay` command as it is typed on this node: status and output."""
        argv = ["ip", "netns", "exec", self.name, self.program, *words]
        return await run(*argv, patience=patience, env=QUIET, check=check)

    async def order(self, verb, *words, patience=120, check=True):
        """A `cmp-relay ha` order to the relay of this node: status and output."""
        argv = ["ip", "netns", "exec", self.name, self.program, "ha", verb, *words]
        argv += ["--admin", f"https://{self.address}:{files.ADMIN_PORT}", "--ca-file", f"{self.config}/tls/ca.pem"]
        env = {**QUIET, "CMP_RELAY_TOKEN": self.token}
        return await run(*argv, patience=patience, env=env, check=check)

    def freeze(self):
        for unit in self.units:
            unit.freeze()

    def thaw(self):
        for unit in self.units:
            unit.thaw()

    async def crash(self):
        """As if its power was cut; it stays off."""
        await asyncio.gather(*(unit.stop(signal.SIGKILL) for unit in self.units))
        await run("ip", "-n", self.name, "link", "set", "eth0", "down")
        await self.leave()

    async def leave(self):
        """The virtual address outlives the keepalived that set it; a machine that is off has none."""
        await run("ip", "-n", self.name, "addr", "flush", "dev", "eth0", "to", f"{VIP}/32", check=False)

    async def boot(self):
        """Switches it on again."""
        await run("ip", "-n", self.name, "link", "set", "eth0", "up")
        await self.start_db()
        await self.relay.start()
        await self.vrrp.start()

    async def stop(self):
        await self.vrrp.stop()
        await self.relay.stop()
        await self.db.stop()

    def tail(self, lines=15):
        """The end of what the relay logged, requests aside."""
        if not os.path.exists(self.relay.log):
            return []
        with open(self.relay.log, encoding="utf-8", errors="replace") as log:
            return [line for line in log.read().splitlines() if "layers: request " not in line][-lines:]


async def until(ask, patience, complaint, every=0.1):
    """What `ask` gives as soon as that is something; after `patience` seconds, a failure."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while True:
        got = await ask()
        if got:
            return got
        if loop.time() > end:
            raise Late(f"{complaint} (waited {patience} s)")
        await asyncio.sleep(every)
