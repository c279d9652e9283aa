"""What a node reads: certificates, MariaDB's options and accounts, keepalived's configuration, the relay's folder."""

import hashlib
import os
import subprocess

from net import ADDRESS, CLIENTS, VIP

TOKENS = {"cmp": "cmprelay_laboratory-cmp", "operator": "cmprelay_laboratory-operator"}
PASSWORDS = {"repl": "pw-repl", "relay": "pw-relay", "relaymon": "pw-relaymon", "relayha": "pw-relayha"}
CMP_PORT, ADMIN_PORT, BACKEND_PORT = 8443, 8444, 9000


def write(path, text, mode=0o600):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def other(node):
    return "b" if node == "a" else "a"


def certificates(folder):
    """A CA, and a certificate for each node that names the node: whoever connects knows who answered."""
    os.makedirs(folder, exist_ok=True)

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    authority = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=laboratory", *authority)
    for node, address in ADDRESS.items():
        openssl("req", *key, "-keyout", f"{node}.key", "-out", f"{node}.csr", "-subj", f"/CN={node}")
        names = f"subjectAltName=IP:{address},IP:{VIP},IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
        write(f"{folder}/{node}.ext", names)
        sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{node}.ext"]
        openssl("x509", "-req", "-in", f"{node}.csr", "-out", f"{node}.pem", *sign)


def my_cnf(node, folder):
    return f"""[mariadbd]
user=root
datadir={folder}/data
socket={folder}/db.sock
pid-file={folder}/db.pid
tmpdir={folder}/tmp
bind-address=0.0.0.0
port=3306
skip-name-resolve=ON
innodb-buffer-pool-size=32M
innodb-log-file-size=16M
performance-schema=OFF
max-connections=300
server-id={1 if node == "a" else 2}
report-host={ADDRESS[node]}
gtid-domain-id=0
log-bin=bin
log-slave-updates=ON
gtid-strict-mode=ON
binlog-format=ROW
binlog-row-image=FULL
binlog-annotate-row-events=ON
sync-binlog=1
innodb-flush-log-at-trx-commit=1
relay-log=relay
relay-log-recovery=ON
skip-slave-start=ON
read-only=ON
slave-net-timeout=4
expire-logs-days=7
rpl-semi-sync-master-enabled=ON
rpl-semi-sync-slave-enabled=ON
rpl-semi-sync-master-wait-point=AFTER_SYNC
rpl-semi-sync-master-timeout=2000
rpl-semi-sync-slave-kill-conn-timeout=1
"""


def accounts():
    """The accounts of one server; each with what it needs. They are not replicated: each server has its own."""
    said = PASSWORDS
    return f"""SET SESSION sql_log_bin = 0;
CREATE USER repl@'10.81.0.%' IDENTIFIED BY '{said["repl"]}';
GRANT REPLICATION SLAVE ON *.* TO repl@'10.81.0.%';
CREATE USER relay@'127.0.0.1' IDENTIFIED BY '{said["relay"]}';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX ON relay.* TO relay@'127.0.0.1';
CREATE USER relaymon@'10.81.0.%' IDENTIFIED BY '{said["relaymon"]}';
GRANT SLAVE MONITOR, BINLOG MONITOR ON *.* TO relaymon@'10.81.0.%';
GRANT SELECT ON relay.* TO relaymon@'10.81.0.%';
CREATE USER relayha@'127.0.0.1' IDENTIFIED BY '{said["relayha"]}';
GRANT READ_ONLY ADMIN, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, SLAVE MONITOR, BINLOG MONITOR, BINLOG ADMIN,
    CONNECTION ADMIN, RELOAD, PROCESS ON *.* TO relayha@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX ON relay.* TO relayha@'127.0.0.1';
CREATE DATABASE relay;
"""


def keepalived_conf(node, folder, priority):
    return f"""global_defs {{
  router_id relay_{node}
  script_user root
  vrrp_version 3
  vrrp_garp_master_refresh 30
  vrrp_startup_delay 2
}}
vrrp_script relay {{
  script "{folder}/check"
  interval 0.5
  timeout 1
  fall 2
  rise 2
  init_fail
}}
vrrp_instance RELAY {{
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id 81
  priority {priority}
  advert_int 0.2
  unicast_src_ip {ADDRESS[node]}
  unicast_peer {{
    {ADDRESS[other(node)]}
  }}
  virtual_ipaddress {{
    {VIP}/24 dev eth0
  }}
  track_script {{
    relay
  }}
  notify "{folder}/notify"
}}
"""


def scripts(folder, program):
    ask = f'#!/bin/sh\nexec "{program}" ha'
    write(f"{folder}/check", f'{ask} check --state "{folder}/relay/state"\n', 0o700)
    write(f"{folder}/notify", f'{ask} notify --state "{folder}/relay/state" "$@"\n', 0o700)


def relay_yaml(node, confirm, failover="auto", block="10m"):
    peer = ADDRESS[other(node)]
    hashes = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
    return f"""version: 1
listen: 0.0.0.0:{CMP_PORT}
admin_listen: 0.0.0.0:{ADMIN_PORT}
database:
  url: mysql://relay@127.0.0.1:3306/relay
  password: {{ file: secrets/relay }}
tls:
  cert_file: tls/node.pem
  key_file: tls/node.key
clients:
  - name: cmp
    token_sha256: ["{hashes["cmp"]}"]
    roles: [cmp]
  - name: operator
    token_sha256: ["{hashes["operator"]}"]
    roles: [operator]
replication:
  standby:
    url: mysql://relaymon@{peer}:3306/relay
    password: {{ file: secrets/relaymon }}
  confirm: {confirm}
  timeout: 1s
ha:
  node: {node}
  vip: {VIP}
  peer:
    url: https://{peer}:{ADMIN_PORT}
    token: {{ file: secrets/operator }}
    ca_file: tls/ca.pem
  control:
    url: mysql://relayha@127.0.0.1:3306/relay
    password: {{ file: secrets/relayha }}
  source:
    url: mysql://repl@{peer}:3306/relay
    password: {{ file: secrets/repl }}
  state: state
  failover: {failover}
  block: {block}
log:
  format: text
  level: info
"""


BACKEND = f"""version: 1
name: store-1
kind: store
limits:
  concurrency: 64
  queue: 512
  connect_timeout: 2s
  timeout: 5s
breaker:
  failures: 1000
  open_for: 1s
driver:
  https:
    url: http://{CLIENTS}:{BACKEND_PORT}
"""

# Each call carries the key of the CMP's request, and each object the CMP's id: the journal of the backend can be laid
# beside the journal of the clients.
ROUTES = """version: 1
resource: thing
kind: store
routes:
  create_thing:
    match: POST /v1/things
    request:
      body:
        type: object
        required: [id, key]
        properties:
          id: { type: string }
          key: { type: string }
    select:
      instance: store-1
    call:
      http: POST /things
      body:
        mark: "{{ body.id }}"
        key: "{{ body.key }}"
    mapping:
      create:
        cmp_id: "{{ body.id }}"
        backend_id: $.id
    reply:
      status: 201
      body:
        id: "{{ mapping.cmp_id }}"
  get_thing:
    match: GET /v1/things/{id}
    object: "{{ path.id }}"
    call:
      http: GET /things/{{ object.backend_id }}
    reply:
      status: 200
      body:
        id: "{{ object.cmp_id }}"
  update_thing:
    match: PUT /v1/things/{id}
    object: "{{ path.id }}"
    request:
      body:
        type: object
        required: [key]
        properties:
          key: { type: string }
    call:
      http: PUT /things/{{ object.backend_id }}
      body:
        key: "{{ body.key }}"
    reply:
      status: 200
      body:
        id: "{{ object.cmp_id }}"
  delete_thing:
    match: DELETE /v1/things/{id}
    object: "{{ path.id }}"
    request:
      query:
        type: object
        required: [key]
        properties:
          key: { type: string }
    call:
      http: DELETE /things/{{ object.backend_id }}
      query:
        key: "{{ query.key }}"
    mapping: delete
    reply:
      status: 204
"""


def relay_folder(node, folder, certs, text):
    """The configuration folder `folder` of one node, `text` being its relay.yaml."""
    write(f"{folder}/relay.yaml", text)
    write(f"{folder}/backends.d/store-1.yaml", BACKEND)
    write(f"{folder}/routes.d/things.yaml", ROUTES)
    for name, secret in {**PASSWORDS, "operator": TOKENS["operator"]}.items():
        write(f"{folder}/secrets/{name}", secret + "\n")
    for name, source in {"node.pem": f"{node}.pem", "node.key": f"{node}.key", "ca.pem": "ca.pem"}.items():
        with open(f"{certs}/{source}", encoding="utf-8") as pem:
            write(f"{folder}/tls/{name}", pem.read())
