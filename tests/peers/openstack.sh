#!/usr/bin/env bash
# A real Keystone and two real Neutron API servers, with service function chaining, for the tests: loopback,
# SQLite, no root, no agents.
#
#   openstack.sh setup              the packages, the schemas, the users
#   openstack.sh start              the three servers, on free ports; their addresses in $PEER_DIR/endpoints
#   openstack.sh stop
#   openstack.sh run                setup and start, print the endpoints and `ready`; at the end of stdin
#                                   stop and remove PEER_DIR. Exit status 3: the packages cannot be had
#   openstack.sh shortttl SECONDS   Keystone anew: the tokens that it gives from now on live so long
#   openstack.sh revoke             make every token of the user `relay` invalid
#
# PEER_DIR         everything that a run makes (required)
# OPENSTACK_VENV   the packages, kept between runs (default: ~/.cache/cmp-relay/openstack)
#
# How Neutron is brought up without MariaDB and RabbitMQ: its migrations do not run on SQLite, so the
# head schema is made from the models; `fake://` stands for the message bus. waitress serves both. The plugins of
# networking-sfc keep their objects with their own driver `dummy`, which programs no switch.
set -euo pipefail

: "${PEER_DIR:?says where everything of a run goes}"
venv=${OPENSTACK_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/cmp-relay/openstack}
python=$venv/bin/python
keystone_version=30.0.0
neutron_version=29.0.0
chaining_version=23.0.0
admin_password=admin-of-a-test
relay_password=relay-of-a-test
service_password=neutron-of-a-test

say() { echo "openstack: $*" >&2; }

# --- packages -------------------------------------------------------------------------------------

packages_are_there() {
    [ -x "$python" ] && "$python" - "$keystone_version" "$neutron_version" "$chaining_version" <<'PY' 2>/dev/null
import sys
from importlib.metadata import version
version("waitress"), version("keystonemiddleware")
sys.exit([version(name) for name in ("keystone", "neutron", "networking-sfc")] != sys.argv[1:])
PY
}

packages() {
    packages_are_there && return
    say "installing keystone $keystone_version, neutron $neutron_version and networking-sfc $chaining_version into $venv"
    # In place of a half-made one: a marker cannot lie about what pip did, the versions can be asked.
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary \
        "keystone==$keystone_version" "neutron==$neutron_version" "networking-sfc==$chaining_version" \
        keystonemiddleware waitress
    packages_are_there
}

# --- configuration --------------------------------------------------------------------------------

free_ports() {
    "$python" - <<'PY'
import socket
held = [socket.socket() for _ in range(3)]
for s in held:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])
PY
}

keystone_conf() { # LIFE-OF-A-TOKEN
    cat >"$PEER_DIR/keystone.conf" <<CONF
[DEFAULT]
log_file = $PEER_DIR/keystone.log
public_endpoint = $KEYSTONE_ROOT/
[database]
connection = sqlite:///$PEER_DIR/keystone.db
[token]
expiration = $1
[fernet_tokens]
key_repository = $PEER_DIR/fernet
[credential]
key_repository = $PEER_DIR/credential
[cache]
enabled = false
CONF
}

neutron_conf() { # REGION
    mkdir -p "$PEER_DIR/$1"
    cat >"$PEER_DIR/$1/neutron.conf" <<CONF
[DEFAULT]
log_file = $PEER_DIR/$1.log
state_path = $PEER_DIR/$1
api_paste_config = $venv/etc/neutron/api-paste.ini
core_plugin = ml2
service_plugins = router,flow_classifier,sfc
auth_strategy = keystone
transport_url = fake://
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
dhcp_agent_notification = false
[oslo_concurrency]
lock_path = $PEER_DIR/lock
[oslo_messaging_notifications]
driver = noop
[database]
connection = sqlite:///$PEER_DIR/$1/neutron.db
[keystone_authtoken]
auth_type = password
auth_url = $KEYSTONE_URL
www_authenticate_uri = $KEYSTONE_URL
username = neutron
password = $service_password
project_name = service
user_domain_id = default
project_domain_id = default
# A revoked token is refused after this many seconds; without the cache every call costs one more.
token_cache_time = 3
[ml2]
type_drivers = local,flat,vlan,vxlan
tenant_network_types = vxlan
mechanism_drivers = openvswitch
extension_drivers = port_security
[ml2_type_vxlan]
vni_ranges = 1:2000
[securitygroup]
enable_security_group = true
CONF
}

serve_py() {
    # The arguments are taken away before the import: Neutron reads them itself.
    cat >"$PEER_DIR/serve.py" <<'PY'
import importlib, sys
module, port = sys.argv[1], int(sys.argv[2])
sys.argv = [module]
application = importlib.import_module(module).application
import waitress
waitress.serve(application, host="127.0.0.1", port=port, threads=4, ident="")
PY
}

neutron_schema() { # REGION
    "$python" - "$PEER_DIR/$1/neutron.db" <<'PY'
import sys
import sqlalchemy
from neutron.db.migration.models import head
# Its import adds the tables of service function chaining to the same metadata.
import networking_sfc.db.migration.models.head
head.get_metadata().create_all(sqlalchemy.create_engine("sqlite:///" + sys.argv[1]))
PY
}

setup() {
    packages
    mkdir -p "$PEER_DIR"/{fernet,credential,lock}
    chmod 700 "$PEER_DIR"/{fernet,credential}
    local ports
    read -r -a ports <<<"$(free_ports)"
    cat >"$PEER_DIR/endpoints" <<ENV
KEYSTONE_ROOT=http://127.0.0.1:${ports[0]}
KEYSTONE_URL=http://127.0.0.1:${ports[0]}/v3
NEUTRON_1_URL=http://127.0.0.1:${ports[1]}
NEUTRON_2_URL=http://127.0.0.1:${ports[2]}
RELAY_PASSWORD=$relay_password
ENV
    endpoints
    keystone_conf 3600
    neutron_conf RegionOne
    neutron_conf RegionTwo
    serve_py
    neutron_schema RegionOne & local one=$!
    neutron_schema RegionTwo & local two=$!
    local manage=("$venv/bin/keystone-manage" --config-file "$PEER_DIR/keystone.conf")
    "${manage[@]}" db_sync
    "${manage[@]}" fernet_setup --keystone-user "$(id -un)" --keystone-group "$(id -gn)"
    "${manage[@]}" credential_setup --keystone-user "$(id -un)" --keystone-group "$(id -gn)"
    "${manage[@]}" bootstrap --bootstrap-password "$admin_password" --bootstrap-region-id RegionOne \
        --bootstrap-public-url "$KEYSTONE_URL/" --bootstrap-internal-url "$KEYSTONE_URL/"
    wait "$one" "$two"
}

endpoints() {
    # shellcheck disable=SC1091
    . "$PEER_DIR/endpoints"
}

# --- servers --------------------------------------------------------------------------------------

serve() { # NAME MODULE URL, the environment before it
    local name=$1 module=$2 port=${3##*:}
    setsid "$python" "$PEER_DIR/serve.py" "$module" "$port" >"$PEER_DIR/$name.out" 2>&1 </dev/null &
    echo $! >"$PEER_DIR/$name.pid"
}

answers() { # NAME URL
    for _ in $(seq 1 240); do
        kill -0 "$(cat "$PEER_DIR/$1.pid")" 2>/dev/null || break
        [ "$(curl -s -o /dev/null -w '%{http_code}' "$2")" != 000 ] && return
        sleep 0.5
    done
    say "$1 does not answer at $2:"
    tail -n 20 "$PEER_DIR/$1.out" >&2
    return 1
}

start_keystone() {
    OS_KEYSTONE_CONFIG_DIR=$PEER_DIR OS_KEYSTONE_CONFIG_FILES=keystone.conf \
        serve keystone keystone.wsgi.api "$KEYSTONE_ROOT"
    answers keystone "$KEYSTONE_URL"
}

start_neutron() { # REGION URL
    OS_NEUTRON_CONFIG_DIR=$PEER_DIR/$1 OS_NEUTRON_CONFIG_FILES=neutron.conf \
        serve "$1" neutron.wsgi.api "$2"
}

stop_one() { # NAME
    local file=$PEER_DIR/$1.pid pid
    [ -f "$file" ] || return 0
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 1 20); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$file"
}

start() {
    endpoints
    start_keystone
    identity seed
    start_neutron RegionOne "$NEUTRON_1_URL"
    start_neutron RegionTwo "$NEUTRON_2_URL"
    answers RegionOne "$NEUTRON_1_URL/"
    answers RegionTwo "$NEUTRON_2_URL/"
}

stop() {
    stop_one RegionOne
    stop_one RegionTwo
    stop_one keystone
}

shortttl() { # SECONDS
    endpoints
    stop_one keystone
    keystone_conf "$1"
    start_keystone
}

run() {
    packages >&2 || exit 3
    trap 'stop; rm -rf "$PEER_DIR"' EXIT
    trap 'exit 1' INT TERM
    setup >&2
    start >&2
    cat "$PEER_DIR/endpoints"
    echo ready
    # The end of stdin is the end of whoever started this, however it came.
    cat >/dev/null
}

# --- users ----------------------------------------------------------------------------------------

identity() { # seed | revoke
    "$python" - "$1" "$KEYSTONE_URL" "$admin_password" "$relay_password" "$service_password" \
        "$NEUTRON_1_URL" "$NEUTRON_2_URL" <<'PY'
import json, sys, urllib.request

verb, keystone, admin, relay, service, one, two = sys.argv[1:]
token = None


def call(method, path, body=None):
    request = urllib.request.Request(keystone + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("X-Auth-Token", token)
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(request, data) as answer:
        text = answer.read()
        return answer.headers, json.loads(text) if text else None


def first(kind, **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    found = call("GET", f"/{kind}?{query}")[1][kind]
    return found[0]["id"] if found else None


def made(kind, member, **attributes):
    return call("POST", f"/{kind}", {member: attributes})[1][member]["id"]


scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
user = {"name": "admin", "domain": {"id": "default"}, "password": admin}
headers, _ = call("POST", "/auth/tokens", {"auth": {
    "identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}})
token = headers["X-Subject-Token"]

if verb == "revoke":
    # A password that is set, to the same as before, ends every token of its user.
    user = first("users", name="relay")
    call("PATCH", f"/users/{user}", {"user": {"password": relay}})
    sys.exit()

if first("users", name="relay"):
    sys.exit()
role = first("roles", name="admin")
projects = {"admin": first("projects", name="admin"),
            "service": made("projects", "project", name="service", domain_id="default")}
for name, password, project in [("relay", relay, "admin"), ("neutron", service, "service")]:
    user = made("users", "user", name=name, password=password, domain_id="default")
    call("PUT", f"/projects/{projects[project]}/users/{user}/roles/{role}")
call("POST", "/regions", {"region": {"id": "RegionTwo"}})
network = made("services", "service", name="neutron", type="network")
for region, url in [("RegionOne", one), ("RegionTwo", two)]:
    made("endpoints", "endpoint", service_id=network, interface="public", region_id=region, url=url)
PY
}

revoke() {
    endpoints
    identity revoke
}

case ${1:-} in
    setup | start | stop | run | revoke) "$1" ;;
    shortttl) shortttl "${2:?SECONDS}" ;;
    *)
        say "usage: openstack.sh setup | start | stop | run | shortttl SECONDS | revoke"
        exit 2
        ;;
esac
