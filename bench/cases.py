"""The cases: what is compared with what, and what a ratio has to be at least (`floor`) and is to reach (`goal`)."""

import http.client
import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import systems
from measure import efficiency, peak, resident, rounds, wrk

HERE = os.path.dirname(os.path.abspath(__file__))
GET, POST = f"{HERE}/get.lua", f"{HERE}/post.lua"
# The system under test alone on one core, backend and client on the other.
ALONE, BESIDE, BOTH = "0", "1", "0,1"
MAPPINGS = 10_000

CASES = {}


@dataclass
class Ratio:
    """One line of the table."""

    number: int
    what: str
    value: float
    floor: float
    goal: float
    limit: str
    more: bool = True
    notes: list = field(default_factory=list)

    def verdict(self):
        reached = (lambda bound: self.value >= bound) if self.more else (lambda bound: self.value <= bound)
        return "goal" if reached(self.goal) else "floor" if reached(self.floor) else "below"


def case(name, about):
    def register(act):
        CASES[name] = (about, act)
        return act

    return register


class Bench:
    """What a case works with: a folder, how long, and systems that end with it."""

    def __init__(self, folder, quick):
        self.folder, self.quick = folder, quick
        self.rounds, self.seconds = (2, 1) if quick else (5, 2)
        self._started = []

    def __enter__(self):
        os.makedirs(self.folder)
        return self

    def __exit__(self, *_):
        for one in reversed(self._started):
            one.stop()

    def start(self, system):
        self._started.append(system)
        system.took = system.start(self.folder)
        return system

    def race(self, entrants, script=GET, clients=64, cores=BESIDE, count=None):
        def load(system):
            os.environ["BENCH_RUN"] = f"{time.monotonic_ns():x}"
            return wrk(system, script, self.seconds, clients, cores)

        # Connections are made, caches filled.
        for one in entrants:
            os.environ["BENCH_RUN"] = f"{time.monotonic_ns():x}"
            wrk(one, script, 1, clients, cores)
        return rounds(entrants, count or self.rounds, load)


def port_of(system):
    return int(system.url.rsplit(":", 1)[1])


def fill(relay):
    """10,000 mappings, made as the CMP makes them, over four connections."""

    def some(first):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(relay), timeout=30)
        fields = {f"field_{n:02}": f"value-{n:02}-of-it" for n in range(1, 19)}
        headers = {"Authorization": f"Bearer {relay.token}", "Content-Type": "application/json"}
        for number in range(first, MAPPINGS + 1, 4):
            body = json.dumps({"id": f"t-{number}", "name": "thing", "vlan": 101, **fields})
            connection.request("POST", "/v1/things", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                raise RuntimeError(f"a mapping could not be made: {answer.status}")

    with ThreadPoolExecutor(4) as four:
        list(four.map(some, range(1, 5)))


def seeded(bench):
    """A database with 10,000 mappings, made once a run."""
    path = f"{os.path.dirname(bench.folder)}/seed/relay.db"
    if not os.path.exists(path):
        with Bench(os.path.dirname(path), True) as making:
            store = making.start(systems.backend(None))
            fill(making.start(systems.relay(making.folder, store.url, name="maker")))
        shutil.copy(f"{os.path.dirname(path)}/maker/relay.db", path)
    return path


def reader(bench, url, **how):
    """The relay over a copy of that database."""
    one = systems.relay(bench.folder, url, ALONE, **how)
    for end in ("-wal", "-shm", ""):
        if os.path.exists(f"{one.home}/relay.db{end}"):
            os.remove(f"{one.home}/relay.db{end}")
    shutil.copy(seeded(bench), f"{one.home}/relay.db")
    return bench.start(one)


@case("read", "a full read and one that is passed through, beside bare proxies")
def read(bench):
    store = bench.start(systems.backend(BESIDE))
    port = port_of(store)
    relay = reader(bench, store.url)
    entrants = [
        bench.start(systems.nginx_forward(bench.folder, port, ALONE)),
        bench.start(systems.haproxy(bench.folder, port, ALONE)),
        bench.start(systems.forward(port, ALONE)),
        relay,
        systems.Again(relay, "relay, passed through", "/v1/objects/be-%d"),
    ]
    seen = bench.race(entrants)
    return seen, [
        Ratio(1, "full read: CPU, nginx over ours", efficiency(seen, "relay"), 0.38, 0.50, "0.55"),
        Ratio(3, "pass-through: CPU, nginx over ours", efficiency(seen, "relay, passed through"), 0.50, 0.65, "0.73"),
    ]


@case("tls", "a full read whose backend is asked over HTTPS")
def over_tls(bench):
    store = bench.start(systems.tls_backend(bench.folder, BESIDE))
    ca = f"{bench.folder}/ca.pem"
    tls = f"    tls: {{ ca_file: {ca} }}\n"
    relay = reader(bench, f"https://localhost:{store.tls_port}", tls=tls)
    entrants = [bench.start(systems.nginx_forward(bench.folder, store.tls_port, ALONE, ca)), relay]
    seen = bench.race(entrants)
    return seen, [Ratio(2, "full read over HTTPS: CPU, nginx over ours", efficiency(seen, "relay"), 0.50, 0.65, "0.68")]


@case("slow", "a backend that takes 20 ms, 256 clients")
def slow(bench):
    store = bench.start(systems.backend(BESIDE, delay=20))
    entrants = [
        bench.start(systems.nginx_forward(bench.folder, port_of(store), BOTH)),
        reader(bench, store.url),
    ]
    seen = bench.race(entrants, clients=256, cores=BOTH)
    return seen, [Ratio(9, "20 ms backend, 256 clients: rate over nginx's", peak(seen, "relay", "nginx"), 0.95, 0.98, "1")]


@case("gentle", "what is added to a read at 200 requests a second")
def gentle(bench):
    store = bench.start(systems.backend(BESIDE))
    relay = reader(bench, store.url)
    proxy = bench.start(systems.nginx_forward(bench.folder, port_of(store), ALONE))
    least = {}
    for _ in range(bench.rounds):
        for one in (store, proxy, relay):
            url = one.url + one.path.replace("%d", "%25")
            words = systems.tool("gentle", "--url", url, "--rate", 200, "--seconds", bench.seconds, "--token", one.token)
            done = subprocess.run(["taskset", "-c", BESIDE, *words], capture_output=True, text=True, check=True)
            least[one.name] = min(int(done.stdout), least.get(one.name, 1 << 40))
    direct = least[store.name]
    added = {name: micros - direct for name, micros in least.items()}
    notes = [f"direct {direct} us, nginx adds {added['nginx']} us, the relay {added['relay']} us"]
    value = added["relay"] / max(1, added["nginx"])
    return {}, [Ratio(10, "median latency added, over nginx's", value, 2.0, 1.4, "1.15", more=False, notes=notes)]


@case("durable", "creates with two durable commits on SQLite, beside Falcon's and without a record")
def durable(bench):
    store = bench.start(systems.backend(None))
    relay = bench.start(systems.relay(bench.folder, store.url, path="/v1/things"))
    plain = systems.Again(relay, "relay, without a record", "/v1/asked")
    other = bench.start(systems.falcon(bench.folder, port_of(store), f"sqlite:///{bench.folder}/falcon/falcon.db"))
    seen = bench.race([relay, plain, systems.Again(other, "falcon", "/v1/things")], POST, cores=BOTH)
    flush = systems.tool("flush", "--folder", bench.folder, "--seconds", bench.seconds)
    flushes = float(subprocess.run(flush, capture_output=True, text=True, check=True).stdout)
    curve = {}
    for clients in (1, 16, 64, 256):
        of_these = bench.race([relay], POST, clients, BOTH)["relay"]
        curve[clients] = max(one.rate for one in of_these)
    rising = "rises" if sorted(curve.values()) == list(curve.values()) else "does not rise"
    said = ", ".join(f"{clients}: {rate:.0f}/s" for clients, rate in curve.items())
    return seen, [
        Ratio(4, "durable create on SQLite: rate over Falcon's", peak(seen, "relay", "falcon"), 22, 35, "33-40 seen"),
        Ratio(6, "durable create over ours without a record: rate", peak(seen, "relay", plain.name), 0.65, 0.85, "1"),
        Ratio(
            7,
            "durable commits over serial fdatasyncs, 64 clients",
            2 * curve[64] / flushes,
            4,
            7,
            "32",
            notes=[f"{flushes:.0f} fdatasyncs a second; creates by clients: {said}; the curve {rising}"],
        ),
    ]


@case("mariadb", "creates with two durable commits on MariaDB, beside Falcon's; and confirmed by a second server")
def on_mariadb(bench):
    store = bench.start(systems.backend(None))
    own, standby = (bench.start(systems.MariaDb(number)) for number in (1, 2))
    standby.follow(own)
    own.sql("CREATE DATABASE falcon; CREATE DATABASE relay")
    relay = bench.start(systems.relay(bench.folder, store.url, database=own.url("relay"), path="/v1/things"))
    other = bench.start(systems.falcon(bench.folder, port_of(store), f"mysql+pymysql://root@127.0.0.1:{own.port}/falcon"))
    seen = bench.race([relay, systems.Again(other, "falcon", "/v1/things")], POST, cores=BOTH)
    other.stop()
    relay.stop()
    # The same database, now with somebody to wait for.
    more = f"replication:\n  standby: {standby.url('relay')}\n  confirm: required\n"
    confirmed = systems.relay(bench.folder, store.url, name="confirmed", database=own.url("relay"), path="/v1/things", more=more)
    plain = systems.relay(bench.folder, store.url, name="plain", database=own.url("relay"), path="/v1/things")
    turns = {"confirmed": [], "unconfirmed": []}
    for _ in range(bench.rounds):
        for name, one in (("unconfirmed", plain), ("confirmed", confirmed)):
            # One relay at a time: a database has one.
            one.start(bench.folder)
            turns[name] += bench.race([one], POST, cores=BOTH, count=1)[one.name]
            one.stop()
    seen |= turns
    return seen, [
        Ratio(5, "durable create on MariaDB: rate over Falcon's", peak(seen, "relay", "falcon"), 7, 10, "9.5 seen"),
        Ratio(8, "confirmed by a standby over unconfirmed, 64 clients: rate", peak(seen, "confirmed", "unconfirmed"), 0.5, 0.7, "1"),
    ]


@case("size", "memory, start, binary")
def size(bench):
    store = bench.start(systems.backend(BESIDE))
    relay = reader(bench, store.url)
    idle = resident(relay.pids())
    bench.race([relay])
    loaded = resident(relay.pids())
    binary = os.path.getsize(os.environ["BENCH_RELAY"]) / 1024**2
    return {}, [
        Ratio(12, "resident after start, MiB", idle, 40, 25, "-", more=False),
        Ratio(12, "resident under load with 10,000 mappings, MiB", loaded, 80, 50, "-", more=False),
        Ratio(12, "start to ready, ms", relay.took * 1000, 250, 100, "-", more=False),
        Ratio(12, "binary, MiB", binary, 30, 20, "-", more=False),
    ]
