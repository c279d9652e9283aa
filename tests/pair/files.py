"""What a node reads: the very files that `cmp-relay ha init` writes, below a folder of its own instead of `/`.

Only places are changed, and what a laboratory has not: users. Backend and routes are the laboratory's.
"""

import os
import subprocess

from net import ADDRESS, CLIENTS, VIP

CMP_PORT, ADMIN_PORT, BACKEND_PORT = 8443, 8081, 9000


def render(program, out):
    """Both nodes' files, as they would be copied onto two machines."""
    nodes = [word for name, address in ADDRESS.items() for word in ("--node", f"{name}={address}")]
    command = [program, "ha", "init", "--vip", f"{VIP}/24", "--interface", "eth0", *nodes, "--out", out]
    subprocess.run(command, check=True, capture_output=True, text=True)


def secret(out, name):
    """The content of one of the secrets, which are the same for both nodes."""
    with open(f"{out}/a/etc/cmp-relay/secrets/{name}", encoding="utf-8") as file:
        return file.read().strip()


def place(rendered, node, folder, program, priority, confirm, settings):
    """Lays a node's files below `folder`, with its keepalived's priority and what relay.yaml says otherwise."""
    source = f"{rendered}/{node}"
    moved = {
        "/usr/local/bin/cmp-relay": program,
        "/usr/local/libexec": f"{folder}/usr/local/libexec",
        "/etc/cmp-relay": f"{folder}/etc/cmp-relay",
        "/var/lib/cmp-relay": f"{folder}/var/lib/cmp-relay",
        "script_user cmp-relay": "script_user root",
        # Its scripts would have to lie where root alone may write, all the way from `/`.
        "enable_script_security": "",
        "confirm: required": f"confirm: {confirm}",
    }
    for place, _, names in os.walk(source):
        for name in names:
            path = f"{place}/{name}"
            with open(path, encoding="utf-8") as file:
                text = file.read()
            for old, new in moved.items():
                text = text.replace(old, new)
            write(folder + path.removeprefix(source), text, os.stat(path).st_mode & 0o777)
    relay = f"{folder}/etc/cmp-relay"
    append(f"{relay}/relay.yaml", "".join(f"  {key}: {value}\n" for key, value in settings.items()))
    write(f"{relay}/backends.d/store-1.yaml", BACKEND)
    write(f"{relay}/routes.d/things.yaml", ROUTES)
    os.makedirs(f"{folder}/var/lib/cmp-relay/ha")
    set_priority(folder, priority)
    # What Debian's own files say, for a server in a folder.
    options = "[mysqld]\nuser=root\nperformance-schema=OFF\ninnodb-buffer-pool-size=32M\ninnodb-log-file-size=16M\n"
    options += f"datadir={folder}/data\nsocket={folder}/db.sock\npid-file={folder}/db.pid\ntmpdir={folder}/tmp\n"
    write(f"{folder}/my.cnf", f"{options}!includedir {folder}/etc/mysql/mariadb.conf.d\n")


def set_priority(folder, priority):
    path = f"{folder}/etc/keepalived/keepalived.conf"
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("priority "))
    lines[at] = f"    priority {priority}"
    write(path, "\n".join(lines) + "\n")


def write(path, text, mode=0o600):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def append(path, text):
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


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
