"""Much of everything: routes, mappings, connections, backends that hang, hours. bench/scale builds what it needs and starts it.

Each case gives one table for docs/performance.md; ratios are inside one run, systems in turn.
"""

import argparse
import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import results
import systems
from cases import ALONE, BESIDE, BOTH, Bench, fill, port_of
from measure import peak, proportional, rounds, wrk

HERE = os.path.dirname(os.path.abspath(__file__))
SPREAD, MIXED = f"{HERE}/spread.lua", f"{HERE}/mixed.lua"
CASES = {}


def case(name, about):
    def register(act):
        CASES[name] = (about, act)
        return act

    return register


def table(about, columns, rows):
    return {"about": about, "columns": columns, "rows": rows}


@contextlib.contextmanager
def environment(**words):
    """What the Lua scripts are told."""
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in words.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def spread(bench, system, first, last, seconds=None, clients=64, **more):
    """Reads of the things between two numbers."""
    with environment(BENCH_FIRST=first, BENCH_LAST=last, **more):
        return bench.load(system, SPREAD, clients, seconds=seconds)


def ask(url, path, token=systems.TOKEN, method="GET", body=None):
    """One request: status and body."""
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    headers = {"Authorization": f"Bearer {token}"} | ({"Content-Type": "application/json"} if body else {})
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def least_cpu(readings, name):
    return round(min(one.cpu_us for one in readings[name]), 1)


@case("routes", "10,000 routes: start to ready, memory")
def routes(bench):
    rows = []
    for count in (100, 1_000, 10_000):
        home = f"{bench.folder}/of-{count}"
        words = [sys.executable, f"{HERE}/bundle.py", home, "--routes", str(count), "--no-examples"]
        subprocess.run(words, check=True)
        port, admin = systems.free_port(), systems.free_port()
        with open(f"{home}/relay.yaml", "a", encoding="utf-8") as file:
            file.write(f"listen: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{admin}\nlog: {{ level: warn }}\n")
        each = [(systems.served(f"relay-{count}", home, port, admin, "/", cores), []) for cores in (ALONE, BOTH)]
        for _ in range(bench.rounds):
            for one, took in each:
                try:
                    took.append(one.start(bench.folder))
                    time.sleep(2)
                    used = proportional(one.pids())
                    _, text = ask(one.url, "/openapi.json")
                finally:
                    one.stop()
                served = sum(len([key for key in item if key in METHODS]) for item in json.loads(text)["paths"].values())
                if served < count:
                    raise RuntimeError(f"{served} of {count} routes are served")
        files = len(os.listdir(f"{home}/routes.d"))
        rows.append([f"{count:,}", files, *(round(statistics.median(took) * 1000) for _, took in each), round(used, 1)])
    heads = ["routes", "files", "start to ready on one core, ms", "on both, ms", "PSS, MiB"]
    return table("Routes: start to ready, and memory two seconds later", heads, rows)


METHODS = {"get", "post", "put", "patch", "delete"}
# What a mapping takes on disk, in all its indexes, at most.
BYTES_A_MAPPING = 250


def mapped(bench, store, count, more=""):
    """A relay over so many mappings, `t-00000001` and so on, not started."""
    name = f"relay-{count}"
    one = systems.relay(bench.folder, store.url, ALONE, name=name, more=more, path="/v1/things/t-%08d")
    one.start(bench.folder)
    fields = {f"field_{number:02}": "x" for number in range(1, 19)}
    body = json.dumps({"id": "seed", "name": "thing", "vlan": 101, **fields})
    status, said = ask(one.url, "/v1/things", method="POST", body=body)
    one.stop()
    if status != 201:
        raise RuntimeError(f"no mapping could be made: {said.decode()}")
    began = time.monotonic()
    with contextlib.closing(sqlite3.connect(f"{one.home}/relay.db", isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -512000;")
        # Copies of a row that the relay wrote, whatever columns it has.
        columns = [row[1] for row in database.execute("PRAGMA table_info(mapping)")]
        made = {"cmp_id": "printf('t-%08d', n)", "backend_id": "printf('be-%08d', n)"}
        values = ", ".join(made.get(column, column) for column in columns)
        database.execute(
            "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)"
            f" INSERT INTO mapping ({', '.join(columns)}) SELECT {values} FROM number, (SELECT * FROM mapping WHERE cmp_id = 'seed')",
            [count],
        )
    size = os.path.getsize(f"{one.home}/relay.db") / 1024**2
    print(f"   {count:,} mappings made in {time.monotonic() - began:.0f} s, {size:.0f} MiB", flush=True)
    return one


@case("mappings", "1,000, 1 million and 10 million mappings: start, hits, misses, bytes of memory a mapping")
def mappings(bench):
    store = bench.start(systems.backend(BESIDE))
    sizes = [1_000, 1_000_000, 10_000_000]
    room = shutil.disk_usage(bench.folder).free
    if room < 3 * BYTES_A_MAPPING * sizes[-1]:
        print(f"   LEFT OUT: 10 million mappings want {3 * BYTES_A_MAPPING * sizes[-1] / 1e9:.0f} GB of room, there are {room / 1e9:.0f}")
        sizes.pop()
    relays = {size: mapped(bench, store, size) for size in sizes}
    started = {}
    for size, one in relays.items():
        # The second start: what the first one may have to do once is not in it.
        one.start(bench.folder)
        one.stop()
        started[size] = bench.start(one).took * 1000
        status, text = ask(one.url, f"/v1/things/t-{size:08d}")
        if status != 200 or json.loads(text)["id"] != f"t-{size:08d}":
            raise RuntimeError(f"the last mapping does not serve: {text.decode()}")
    for one in relays.values():
        spread(bench, one, 1, 1000, 1)
    hits = rounds(list(relays.values()), bench.rounds, lambda one: spread(bench, one, 1, 1000))
    steps = {one.name: 0 for one in relays.values()}

    def walk(one, size):
        steps[one.name] += 100_000
        return spread(bench, one, 1, size, BENCH_WALK=steps[one.name])

    large = {relays[size].name: size for size in sizes[1:]}
    misses = rounds([relays[size] for size in sizes[1:]], bench.rounds, lambda one: walk(one, large[one.name]))
    smallest = relays[sizes[0]].name
    rows = []
    for size, one in relays.items():
        row = [f"{size:,}", round(started[size]), round(peak(hits, one.name, smallest), 2), least_cpu(hits, one.name)]
        if one.name in misses:
            row += [round(max(reading.rate for reading in misses[one.name]) / max(reading.rate for reading in hits[one.name]), 2), least_cpu(misses, one.name)]
        else:
            row += ["-", "-"]
        rows.append([*row, round(proportional(one.pids()), 1)])
    columns = ["mappings", "start to ready, ms", "hits: rate over that with 1,000", "CPU us", "misses: rate over hits", "CPU us", "PSS after all, MiB"]
    about = "Mappings on SQLite: reads of a working set of 1,000 that is in memory, and reads that are not"
    return [table(about, columns, rows), bytes_a_mapping(bench, relays[1_000_000])]


def bytes_a_mapping(bench, one):
    """Memory with mappings in it, less memory without, by their number."""
    one.stop()
    bench.start(one)
    # Connections, and the pages that the database keeps in memory, are there before.
    spread(bench, one, 1, 1_000_000, 2, BENCH_WALK=500_000)
    before, held = proportional(one.pids()), 0
    step = 600_000
    while held < 50_000:
        held += spread(bench, one, 1, 1_000_000, 2, BENCH_WALK=step).requests
        step += 100_000
        if step > 2_600_000:
            raise RuntimeError(f"only {held} mappings could be read")
    grown = (proportional(one.pids()) - before) * 1024**2
    return table("Memory of the mapping cache", ["mappings read", "grown by, MiB", "bytes a mapping"], [[f"{held:,}", round(grown / 1024**2, 1), round(grown / held)]])


def idle_connections(url, count):
    """So many connections that have asked once and wait."""
    host, port = url.removeprefix("http://").split(":")
    text = f"GET /v1/things/t-00000001 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {systems.TOKEN}\r\n\r\n".encode()

    def asks(one):
        one.sendall(text)
        answer = http.client.HTTPResponse(one)
        answer.begin()
        answer.read()
        return answer.status == 200

    made = []
    for _ in range(count):
        made.append(socket.create_connection((host, int(port)), timeout=10))
        if not asks(made[-1]):
            raise RuntimeError(f"connection {len(made)} was refused")
    return made, asks


@case("connections", "10,000 idle connections, 2,000 busy ones")
def connections(bench):
    store = bench.start(systems.backend(BESIDE))
    one = bench.start(mapped(bench, store, 10_000, "limits:\n  connections: 12000\n"))
    empty = proportional(one.pids())
    few = rounds([one], bench.rounds, lambda one: spread(bench, one, 1, 10_000))[one.name]
    busy = rounds([one], bench.rounds, lambda one: spread(bench, one, 1, 10_000, clients=2_000))[one.name]
    after_busy = proportional(one.pids())
    before = proportional(one.pids())
    idle, asks = idle_connections(one.url, 10_000)
    with_idle = proportional(one.pids())
    # Shorter than the 75 s after which an idle connection is closed.
    beside = rounds([one], bench.rounds, lambda one: spread(bench, one, 1, 10_000))[one.name]
    alive = sum(asks(each) for each in idle)
    for each in idle:
        each.close()
    if alive != len(idle):
        raise RuntimeError(f"only {alive} of {len(idle)} idle connections still answer")
    again = rounds([one], bench.rounds, lambda one: spread(bench, one, 1, 10_000))[one.name]
    best = lambda readings: max(reading.rate for reading in readings)
    at_64 = max(best(few), best(again))
    rows = [
        ["64 busy", 1, 0, round(empty, 1)],
        ["2,000 busy", round(best(busy) / at_64, 2), sum(reading.bad for reading in busy), round(after_busy, 1)],
        ["64 busy beside 10,000 idle", round(best(beside) / at_64, 2), len(idle) - alive, round(with_idle, 1)],
    ]
    about = f"Connections: what is left of the rate; an idle one takes {(with_idle - before) * 1024 / len(idle):.1f} KiB. `limits.connections` is raised to 12,000"
    return table(about, ["clients", "rate over that of 64", "errors", "PSS, MiB"], rows)


class Hanging:
    """A backend that accepts, and never answers."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._kept = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                self._kept.append(self._listener.accept()[0])

    @property
    def met(self):
        return len(self._kept)

    def close(self):
        self._listener.close()
        for one in self._kept:
            one.close()


MANY = """version: 1
resource: object
kind: many
routes:
  read_one_of_many:
    match: GET /v1/many/{backend}/{id}
    select:
      instance: "{{ path.backend }}"
    call:
      http: GET /objects/{{ path.id }}
"""


def many(bench, name, first_half, second_half):
    """A relay with 200 backends: `many-1` to `many-100` and `many-101` to `many-200`."""
    one = systems.relay(bench.folder, first_half, ALONE, name=name, path="/v1/many/many-%d/be-1")
    systems.write(f"{one.home}/routes.d/many.yaml", MANY)
    for number in range(1, 201):
        url = first_half if number <= 100 else second_half
        text = f"version: 1\nname: many-{number}\nkind: many\nlimits: {{ concurrency: 8, queue: 64, timeout: 5s }}\ndriver: {{ https: {{ url: {url} }} }}\n"
        systems.write(f"{one.home}/backends.d/many-{number}.yaml", text)
    return bench.start(one)


@case("hanging", "200 backends, of which 100 hang")
def hanging(bench):
    store = bench.start(systems.backend(BESIDE))
    hung = Hanging()
    entrants = [many(bench, "calm", store.url, store.url), many(bench, "sick", store.url, hung.url)]

    def load(one):
        # The second half is asked by 200 clients, each at most every two seconds: too little to matter where it answers.
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(beside_it, one, bench.seconds + 2)
            time.sleep(1)
            mine = spread(bench, one, 1, 100)
            beside.result()
        return mine

    load(entrants[0])
    load(entrants[1])
    seen = rounds(entrants, bench.rounds, load)
    met = hung.met
    hung.close()
    if met < 100:
        raise RuntimeError(f"only {met} connections were made to the backends that hang")
    pairs = [sick.rate / calm.rate for calm, sick in zip(seen["calm"], seen["sick"])]
    rows = [["200 answer", 1, "-", least_cpu(seen, "calm")], ["100 of 200 hang", round(peak(seen, "sick", "calm"), 2), round(statistics.median(pairs), 2), least_cpu(seen, "sick")]]
    about = "Backends that accept and never answer, while both halves are asked: the rate of the half that answers"
    return table(about, ["backends", "best rate over best", "median over rounds", "CPU us"], rows)


def beside_it(one, seconds):
    """Asks the second half, 200 clients with pauses; how that ends is not looked at."""
    words = {"BENCH_PATH": one.path, "BENCH_TOKEN": one.token, "BENCH_FIRST": "101", "BENCH_LAST": "200", "BENCH_PAUSE": "2000"}
    command = ["taskset", "-c", BESIDE, "wrk", "-t1", "-c200", f"-d{seconds}s", "-s", SPREAD, one.url]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **words})


def vitals(one, backend):
    """Memory in MiB, descriptors, threads, connections to the backend."""
    [pid] = one.pids()
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    with open("/proc/net/tcp", encoding="ascii") as sockets:
        port = f":{port_of(backend):04X}"
        # Established ones, as the relay has them.
        sessions = sum(fields[2].endswith(port) and fields[3] == "01" for fields in map(str.split, sockets))
    return round(proportional([pid]), 1), len(os.listdir(f"/proc/{pid}/fd")), threads, sessions


def gauges(one, *names):
    """Sums of gauges in its metrics."""
    _, text = ask(one.admin, "/metrics")
    found = [line.rsplit(" ", 1) for line in text.decode().splitlines() if line and line[0] != "#"]
    return [sum(float(value) for series, value in found if series.split("{")[0] == name) for name in names]


@case("soak", "half the peak rate for --minutes: memory, descriptors, threads, sessions")
def soak(bench):
    store = bench.start(systems.backend(None))
    # An hour of a line for each request would be gigabytes.
    one = bench.start(systems.relay(bench.folder, store.url, path="/v1/things", more="log:\n  level: warn\n"))
    fill(one)

    def load(seconds, **more):
        with environment(BENCH_RUN=f"{time.monotonic_ns():x}", **more):
            return wrk(one, MIXED, seconds, 64, BOTH)

    load(2)
    full = max(load(5).rate for _ in range(2))
    # A pause of its own and some time to answer between two requests of a client.
    pause = round(64_000 / (full / 2))
    time.sleep(2)
    start = vitals(one, store)
    minutes = bench.minutes
    every = min(60, minutes * 60 / 20)
    rows = []
    with ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(load, round(minutes * 60), BENCH_PAUSE=pause)
        began = time.monotonic()
        while not loaded.done():
            time.sleep(every)
            if not loaded.done():
                rows.append([round((time.monotonic() - began) / 60, 1), *vitals(one, store)])
        run = loaded.result()
    # What is idle is closed by then.
    time.sleep(30)
    end = vitals(one, store)
    in_flight, at_backends = gauges(one, "cmp_relay_requests_in_flight", "cmp_relay_backend_in_flight")
    columns = ["", "PSS, MiB", "descriptors", "threads", "connections to the backend"]
    quarter = max(1, len(rows) // 4)
    middle = lambda some: [round(statistics.median(column), 1) for column in list(zip(*some))[1:]]
    first, last = middle(rows[:quarter]), middle(rows[-quarter:])
    growth = last[0] / first[0] - 1
    about = (
        f"{minutes:g} minutes at {run.rate / full:.2f} of the peak rate, four reads for each create, {run.bad} errors: memory of the last quarter"
        f" {growth:+.1%} over the first; {in_flight:.0f} requests and {at_backends:.0f} calls in hand at the end"
    )
    kept = [["before", *start], ["first quarter, median", *first], ["last quarter, median", *last], ["half a minute after it", *end]]
    print("   minute, MiB, descriptors, threads, connections: " + "; ".join(" ".join(map(str, row)) for row in rows), flush=True)
    return table(about, columns, kept)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/scale")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--minutes", type=float, default=60, help="of the soak")
    parser.add_argument("--quick", action="store_true", help="2 rounds of a second; nothing is kept")
    parser.add_argument("--list", action="store_true", help="name the cases")
    asked = parser.parse_args()
    if unknown := [name for name in asked.cases if name not in CASES]:
        parser.error(f"there is no case {unknown[0]}")
    return asked


def show(found):
    print(f"   {found['about']}")
    rows = [found["columns"], *found["rows"]]
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("   " + "  ".join(str(cell).rjust(width) for cell, width in zip(row, widths)), flush=True)


def main():
    asked = arguments()
    if asked.list:
        for name, (about, _) in CASES.items():
            print(f"{name:12} {about}")
        return 0
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most != resource.RLIM_INFINITY and most < 13_000:
        print(f"10,000 connections want 13,000 descriptors, `ulimit -Hn` is {most}", file=sys.stderr)
        return 2
    # What was started is stopped, however this ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = tempfile.mkdtemp(prefix="cmp-relay-scale.")
    try:
        for name in asked.cases or [name for name in CASES if name != "soak"]:
            about, act = CASES[name]
            print(f"== {name}: {about}", flush=True)
            with Bench(f"{home}/{name}", asked.quick) as bench:
                bench.minutes = asked.minutes
                found = act(bench)
            shutil.rmtree(f"{home}/{name}")
            found = found if isinstance(found, list) else [found]
            for one in found:
                show(one)
            if not asked.quick:
                others = [one for one in results.load().get("scale", []) if one["case"] != name]
                kept = others + [{"case": name, **one} for one in found]
                results.keep("scale", sorted(kept, key=lambda one: list(CASES).index(one["case"])))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
