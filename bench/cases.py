"""The cases: what is compared with what, and what a ratio has to be at least (`floor`) and is to reach (`goal`)."""

import http.client
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import systems
from measure import by_round, cpu_seconds, efficiency, family, peak, proportional, resident, rounds, wrk

HERE = os.path.dirname(os.path.abspath(__file__))
GET, POST = f"{HERE}/get.lua", f"{HERE}/post.lua"
# The system under test alone on one core, backend and client on the other.
ALONE, BESIDE, BOTH = "0", "1", "0,1"
MAPPINGS = 10_000
# Of 10,000 mappings one is kept in memory, so nearly each read misses.
CACHE_OF_ONE = "limits:\n  cached_mappings: 1\n"

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
    """What a case works with: a folder, how long, systems that end with it; and what it found beside its readings."""

    def __init__(self, folder, quick):
        self.folder, self.quick = folder, quick
        self.rounds, self.seconds = (2, 1) if quick else (5, 2)
        # MiB by system, after its last race; and of `durable` the rates by clients.
        self.memory, self.curve = {}, []
        self._started, self._asked = [], {}

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

    def load(self, system, script=GET, clients=64, cores=BESIDE, seconds=None):
        """Loads a system once."""
        for _ in range(5):
            # Ids that no earlier load used.
            os.environ["BENCH_RUN"] = f"{time.time_ns():x}"
            reading = wrk(system, script, seconds or self.seconds, clients, cores)
            if reading.requests:
                break
            print(f"   {system.name} answered nothing in {seconds or self.seconds} s: asked again", flush=True)
        else:
            raise RuntimeError(f"{system.name} answers nothing")
        self._asked[system.name] = self._asked.get(system.name, 0) + reading.requests
        return reading

    def warm(self, relay):
        """Reads every mapping once, so that it is in memory."""
        read = 0
        while read < MAPPINGS:
            os.environ["BENCH_FIRST"] = str(read)
            read += self.load(relay, seconds=1).requests
        del os.environ["BENCH_FIRST"]

    def race(self, entrants, script=GET, clients=64, cores=BESIDE, count=None):
        """Loads each in turn, `count` times, after a first time that counts for nothing: name to readings."""
        for one in entrants:
            self.load(one, script, clients, cores, 1)
        seen = rounds(entrants, count or self.rounds, lambda one: self.load(one, script, clients, cores))
        self.memory |= {one.name: proportional(one.pids()) for one in entrants}
        return seen

    def recorded(self, name, rows):
        """Every create that was answered is a mapping in the store, or the rates say nothing."""
        if rows < self._asked[name]:
            raise RuntimeError(f"{name} answered {self._asked[name]} creates and recorded {rows}")


def port_of(system):
    return int(system.url.rsplit(":", 1)[1])


def fill(relay):
    """10,000 mappings, made as the CMP makes them, over 64 connections."""

    def some(first):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(relay), timeout=60)
        fields = {f"field_{n:02}": f"value-{n:02}-of-it" for n in range(1, 19)}
        headers = {"Authorization": f"Bearer {relay.token}", "Content-Type": "application/json"}
        for number in range(first, MAPPINGS + 1, 64):
            body = json.dumps({"id": f"t-{number}", "name": "thing", "vlan": 101, **fields})
            connection.request("POST", "/v1/things", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 201:
                raise RuntimeError(f"a mapping could not be made: {answer.status} {said[:500]}")
        connection.close()

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(some, range(1, 65)))


def seeded(bench):
    """A database with 10,000 mappings, made once a run."""
    path = f"{os.path.dirname(bench.folder)}/seed/relay.db"
    if not os.path.exists(path):
        with Bench(os.path.dirname(path), True) as making:
            store = making.start(systems.backend(None))
            fill(making.start(systems.relay(making.folder, store.url, name="maker")))
        shutil.copy(f"{os.path.dirname(path)}/maker/relay.db", path)
    return path


def reader(bench, url, core=ALONE, **how):
    """The relay over a copy of that database, with what it keeps in memory."""
    one = systems.relay(bench.folder, url, core, **how)
    for end in ("-wal", "-shm", ""):
        if os.path.exists(f"{one.home}/relay.db{end}"):
            os.remove(f"{one.home}/relay.db{end}")
    shutil.copy(seeded(bench), f"{one.home}/relay.db")
    bench.start(one)
    bench.warm(one)
    return one


def rows(path, table="mapping"):
    """How many rows a table of SQLite has."""
    with sqlite3.connect(path) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def literal(value):
    """A value of SQLite as MariaDB reads it."""
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    return "0x" + (value if isinstance(value, bytes) else value.encode()).hex() if value else "''"


def copied(path, to, databases):
    """The mappings of a SQLite database into the tables of these on MariaDB, which have the same columns."""
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT * FROM mapping")
        names = ", ".join(column[0] for column in found.description)
        made = ",\n".join(f"({', '.join(map(literal, row))})" for row in found)
    for database in databases:
        to.sql(f"INSERT INTO {database}.mapping ({names}) VALUES {made};")


@case("read", "a full read and one that is passed through, beside bare proxies and the same job done otherwise")
def read(bench):
    store = bench.start(systems.backend(BESIDE))
    port = port_of(store)
    relay = reader(bench, store.url)
    silent = reader(bench, store.url, name="relay-silent", more="log:\n  level: warn\n")
    other = bench.start(systems.falcon(bench.folder, port, f"sqlite:///{bench.folder}/falcon/falcon.db", ALONE, MAPPINGS))
    entrants = [
        bench.start(systems.nginx_forward(bench.folder, port, ALONE)),
        bench.start(systems.haproxy(bench.folder, port, ALONE)),
        bench.start(systems.envoy(bench.folder, port, ALONE)),
        bench.start(systems.forward(port, ALONE)),
        bench.start(systems.lua(bench.folder, port, ALONE)),
        relay,
        systems.Again(relay, "relay-passed", "/v1/objects/be-%d"),
        silent,
        other,
    ]
    seen = bench.race(entrants)
    noted = (
        f"without the log's line a request (`log.level: warn`) {efficiency(seen, silent.name):.2f};"
        f" best rate over nginx's {peak(seen, 'relay', 'nginx'):.2f}"
    )
    return seen, [
        Ratio(
            1,
            "full read: CPU, nginx over ours",
            efficiency(seen, "relay"),
            0.38,
            0.50,
            "0.55",
            notes=[noted],
        ),
        Ratio(3, "pass-through: CPU, nginx over ours", efficiency(seen, "relay-passed"), 0.50, 0.65, "0.73"),
    ]


@case("tls", "a full read whose backend is asked over HTTPS")
def over_tls(bench):
    store = bench.start(systems.tls_backend(bench.folder, BESIDE))
    ca = f"{bench.folder}/ca.pem"
    relay = reader(bench, f"https://localhost:{store.tls_port}", tls=f"    tls: {{ ca_file: {ca} }}\n")
    seen = bench.race([bench.start(systems.nginx_forward(bench.folder, store.tls_port, ALONE, ca)), relay])
    return seen, [Ratio(2, "full read over HTTPS: CPU, nginx over ours", efficiency(seen, "relay"), 0.50, 0.65, "0.68")]


@case("slow", "a backend that takes 20 ms, 256 clients")
def slow(bench):
    store = bench.start(systems.backend(None, delay=20))
    entrants = [bench.start(systems.nginx_forward(bench.folder, port_of(store), BOTH)), reader(bench, store.url, BOTH)]
    seen = bench.race(entrants, clients=256, cores=BOTH)
    value, notes = peak(seen, "relay", "nginx"), [by_round(seen, "relay", "nginx")]
    return seen, [Ratio(9, "20 ms backend, 256 clients: rate over nginx's", value, 0.95, 0.98, "1", notes=notes)]


@case("gentle", "what is added to a read at 200 requests a second")
def gentle(bench):
    store = bench.start(systems.backend(BESIDE))
    relay = reader(bench, store.url)
    proxy = bench.start(systems.nginx_forward(bench.folder, port_of(store), ALONE))
    entrants = [store, proxy, relay]
    # Ahead of everything else on the machine: what is left is what they do themselves.
    ahead = ["chrt", "--rr", "1"] if os.geteuid() == 0 else []
    for pid in [pid for one in entrants for own in one.pids() for pid in family(own)] if ahead else []:
        subprocess.run(["chrt", "--all-tasks", "--rr", "--pid", "1", str(pid)], check=True)
    times = {one.name: [] for one in entrants}
    for number in range(2 * bench.rounds):
        for one in entrants[number % 3 :] + entrants[: number % 3]:
            url = one.url + one.path.replace("%d", "%25")
            words = systems.tool("gentle", "--url", url, "--rate", 200, "--seconds", bench.seconds, "--token", one.token)
            done = subprocess.run([*ahead, "taskset", "-c", BESIDE, *words], capture_output=True, text=True, check=True)
            times[one.name].append(int(done.stdout))
    least = {name: min(of_one) for name, of_one in times.items()}
    added = {name: micros - least[store.name] for name, micros in least.items()}
    if added["nginx"] <= 0:
        raise RuntimeError(f"nginx answers sooner than what is behind it: {times}")
    notes = [f"direct {least[store.name]} us, nginx adds {added['nginx']} us, the relay {added['relay']} us (least medians of the rounds)"]
    value = added["relay"] / added["nginx"]
    return {}, [Ratio(10, "median latency added at 200/s, over nginx's", value, 2.0, 1.4, "1.15", more=False, notes=notes)]


@case("durable", "creates with two durable commits on SQLite, beside Falcon's and without a record")
def durable(bench):
    store = bench.start(systems.backend(None))
    relay = bench.start(systems.relay(bench.folder, store.url, path="/v1/things"))
    plain = systems.Again(relay, "relay-unrecorded", "/v1/asked")
    other = bench.start(systems.falcon(bench.folder, port_of(store), f"sqlite:///{bench.folder}/falcon/falcon.db"))
    other.path = "/v1/things"
    seen = bench.race([relay, plain, other], POST, cores=BOTH)
    bench.recorded("falcon", rows(f"{bench.folder}/falcon/falcon.db"))
    other.stop()

    # The disk is another one each minute: each round has its own reading of it.
    several = (1, 16, 64, 256)
    flushes, rates = [], {clients: [] for clients in several}
    for number in range(bench.rounds):
        words = systems.tool("flush", "--folder", bench.folder, "--ms", 500 * bench.seconds)
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        flushes.append([float(rate) for rate in said])
        for clients in several[number % 4 :] + several[: number % 4]:
            rates[clients].append(bench.load(relay, POST, clients, BOTH))
    bench.recorded("relay", rows(f"{relay.home}/relay.db"))
    if bad := sum(one.bad for of_these in rates.values() for one in of_these):
        raise RuntimeError(f"the relay refused {bad} creates")
    over = {
        clients: statistics.median(2 * one.rate / flush for one, (flush, _) in zip(of_these, flushes))
        for clients, of_these in rates.items()
    }
    middle = {clients: statistics.median(one.rate for one in of_these) for clients, of_these in rates.items()}
    bench.curve = [{"clients": clients, "rate": middle[clients], "over_flushes": over[clients]} for clients in several]
    rising = "rises" if sorted(middle.values()) == list(middle.values()) else "does not rise"
    appended, written_over = (statistics.median(rates) for rates in zip(*flushes))
    noted = f"{appended:.0f} fdatasyncs a second of a growing file, {written_over:.0f} of one that is written over; the curve {rising}"
    return seen, [
        Ratio(
            4,
            "durable create on SQLite: rate over Falcon's",
            peak(seen, "relay", "falcon"),
            22,
            35,
            "33-40 seen",
            notes=[by_round(seen, "relay", "falcon")],
        ),
        Ratio(
            6,
            "durable create over ours without a record: rate",
            peak(seen, "relay", plain.name),
            0.65,
            0.85,
            "1",
            notes=[by_round(seen, "relay", plain.name)],
        ),
        Ratio(7, "durable commits over serial fdatasyncs, 64 clients", over[64], 4, 7, "32", notes=[noted]),
    ]


@case("mariadb", "creates with two durable commits on MariaDB, beside Falcon's; and confirmed by a second server")
def on_mariadb(bench):
    store = bench.start(systems.backend(None))
    own, standby = (bench.start(systems.MariaDb(number)) for number in (1, 2))
    own.sql("CREATE DATABASE falcon; CREATE DATABASE relay")
    relay = bench.start(systems.relay(bench.folder, store.url, database=own.url("relay"), path="/v1/things"))
    path = f"mysql+pymysql://root@127.0.0.1:{own.port}/falcon"
    other = bench.start(systems.falcon(bench.folder, port_of(store), path))
    other.path = "/v1/things"
    seen = bench.race([relay, other], POST, cores=BOTH)
    for one in (relay, other):
        bench.recorded(one.name, int(own.sql(f"SELECT count(*) FROM {one.name}.mapping").split()[-1]))
        one.stop()

    # A database of its own, now with somebody to wait for. One relay at a time: a database has one.
    standby.follow(own)
    own.sql("CREATE DATABASE pair")
    more = f"replication:\n  standby: {standby.url('pair')}\n  confirm: required\n"
    confirmed, plain = (
        systems.relay(bench.folder, store.url, name=name, database=own.url("pair"), path="/v1/things", more=words)
        for name, words in (("confirmed", more), ("unconfirmed", ""))
    )
    turns = {plain.name: [], confirmed.name: []}
    for number in range(bench.rounds):
        for one in (plain, confirmed) if number % 2 else (confirmed, plain):
            # What the standby has still to apply is not this turn's.
            standby.caught_up(own)
            bench.start(one)
            turns[one.name] += bench.race([one], POST, cores=BOTH, count=1)[one.name]
            one.stop()
    seen |= turns
    both = (confirmed.name, plain.name)
    return seen, [
        Ratio(
            5,
            "durable create on MariaDB: rate over Falcon's",
            peak(seen, "relay", "falcon"),
            7,
            10,
            "9.5 seen",
            notes=[by_round(seen, "relay", "falcon")],
        ),
        Ratio(8, "confirmed by a standby over unconfirmed: rate", peak(seen, *both), 0.5, 0.7, "1", notes=[by_round(seen, *both)]),
    ]


@case("miss", "a read whose mapping is looked up in the table, over one whose mapping is in memory")
def miss(bench):
    store = bench.start(systems.backend(BESIDE))
    hit = reader(bench, store.url, name="hit")
    seen = bench.race([hit, reader(bench, store.url, name="miss", more=CACHE_OF_ONE)])

    # The same on MariaDB, where a database has one relay: two databases with the same rows.
    own = bench.start(systems.MariaDb(1))
    own.sql("CREATE DATABASE hit; CREATE DATABASE miss")
    pair = [
        systems.relay(bench.folder, store.url, ALONE, f"{name}-mariadb", own.url(name), more)
        for name, more in (("hit", ""), ("miss", CACHE_OF_ONE))
    ]
    copied(seeded(bench), own, ("hit", "miss"))
    for one in pair:
        bench.start(one)
        bench.warm(one)
    seen |= bench.race(pair)
    notes = [f"on MariaDB {peak(seen, 'miss-mariadb', 'hit-mariadb'):.2f}; {by_round(seen, 'miss', 'hit')} on SQLite"]
    return seen, [Ratio(11, "read that misses the cache over one that hits: rate", peak(seen, "miss", "hit"), 0.55, 0.7, "-", notes=notes)]


@case("size", "memory, start, binary")
def size(bench):
    took, spent = [], []
    for number in range(bench.rounds):
        one = bench.start(systems.shipped(f"{bench.folder}/{number}"))
        took.append(one.took * 1000)
        spent.append(cpu_seconds(one.pids()) * 1000)
        # What the compile left is returned a second and a half later.
        time.sleep(2)
        idle = resident(one.pids()[0])
        one.stop()
    store = bench.start(systems.backend(BESIDE))
    # Each create leaves a mapping: as many as it began with are kept in memory.
    relay = reader(bench, store.url, BOTH, more=f"limits:\n  cached_mappings: {MAPPINGS}\n")
    bench.race([relay], cores=BOTH)
    bench.race([systems.Again(relay, "creating", "/v1/things")], POST, cores=BOTH)
    loaded = resident(relay.pids()[0], "VmHWM")
    stripped = f"{bench.folder}/stripped"
    subprocess.run(["strip", "-o", stripped, os.environ["BENCH_RELAY"]], check=True)
    binary = os.path.getsize(stripped) / 1024**2
    spread = f"least of {len(took)}; median {statistics.median(took):.0f} ms; CPU until then {min(spent):.0f} ms"
    return {}, [
        Ratio(12, "resident after start with the shipped configuration, MiB", idle, 40, 25, "-", more=False),
        Ratio(12, "resident under load with 10,000 mappings, MiB", loaded, 80, 50, "-", more=False),
        Ratio(12, "start to ready with the shipped configuration, ms", min(took), 250, 100, "-", more=False, notes=[spread]),
        Ratio(12, "stripped binary, MiB", binary, 30, 20, "-", more=False),
    ]
