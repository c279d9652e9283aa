"""The original plan, written as well as its parts allow: Falcon, SQLAlchemy Core with a pool, a requests session per
thread, Jinja2 compiled at start. The same work as the relay's routes: a token, a schema, a mapping, one call, a shaped reply; a
create commits its intent before the call and its outcome after it.
"""

import hashlib
import hmac
import json
import os
import threading
import time
import uuid

import falcon
import fastjsonschema
import jinja2
import requests
from settings import BACKEND, DATABASE, TOKEN
from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text, create_engine, event, insert, select, update

ENGINE = create_engine(DATABASE, pool_size=4, max_overflow=0)
if DATABASE.startswith("sqlite"):

    @event.listens_for(ENGINE, "connect")
    def durable(connection, _):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 10000")


META = MetaData()
# As unique as the relay's: a key is used once, one change of an object is under way, an object of the backend is mapped once.
OPERATION = Table(
    "operation",
    META,
    Column("id", String(36), primary_key=True),
    Column("idempotency_key", String(128), unique=True),
    Column("fingerprint", String(64)),
    Column("cmp_id", String(64)),
    Column("claim", String(64), unique=True),
    Column("state", String(16), index=True),
    Column("created_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("reply", Text),
)
MAPPING = Table(
    "mapping",
    META,
    Column("cmp_id", String(64), primary_key=True),
    Column("backend_id", String(64), unique=True),
    Column("operation", String(36)),
    Column("created_at", BigInteger),
)
META.create_all(ENGINE, checkfirst=True)


def fill(count):
    """The mappings that reads ask for: what the relay made by as many creates."""
    made = [{"cmp_id": f"t-{number}", "backend_id": f"be-{number:012}"} for number in range(1, count + 1)]
    with ENGINE.begin() as connection:
        if made:
            connection.execute(insert(MAPPING), made)


HASH = hashlib.sha256(TOKEN.encode()).digest()
BODY = jinja2.Environment(autoescape=False).from_string(
    '{"mark": {{ body.id|tojson }}, "name": {{ body.name|tojson }}, "vlan": {{ body.vlan|tojson }}'
    + "".join(f', "field_{n:02}": {{{{ body.field_{n:02}|tojson }}}}' for n in range(1, 18))
    + "}"
)
TEXT = {"type": "string", "maxLength": 64}
FIELDS = [f"field_{n:02}" for n in range(1, 19)]
VALID = fastjsonschema.compile(
    {
        "type": "object",
        "required": ["id", "name", "vlan", *FIELDS[:17]],
        "additionalProperties": False,
        "properties": {
            "id": TEXT,
            "name": TEXT,
            "vlan": {"type": "integer", "minimum": 1, "maximum": 4094},
            **{field: TEXT for field in FIELDS},
        },
    }
)
LOCAL = threading.local()


def session():
    if not hasattr(LOCAL, "session"):
        LOCAL.session = requests.Session()
        LOCAL.session.trust_env = False
        LOCAL.session.mount("http://", requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=4))
    return LOCAL.session


class Token:
    """Who asks, before anything else."""

    def process_request(self, request, _):
        if request.path == "/livez":
            return
        given = (request.auth or "").removeprefix("Bearer ")
        if not hmac.compare_digest(hashlib.sha256(given.encode()).digest(), HASH):
            raise falcon.HTTPUnauthorized()


class Thing:
    def on_get(self, request, response, cmp_id):
        if set(request.params) - {"verbose"} or request.params.get("verbose", "true") not in ("true", "false"):
            raise falcon.HTTPBadRequest(description="a query that is not known")
        with ENGINE.connect() as connection:
            row = connection.execute(select(MAPPING.c.backend_id).where(MAPPING.c.cmp_id == cmp_id)).first()
        if row is None:
            raise falcon.HTTPNotFound()
        answer = session().get(f"{BACKEND}/objects/{row.backend_id}", timeout=10)
        if answer.status_code != 200:
            raise falcon.HTTPBadGateway()
        data = answer.json()["data"]
        response.media = {
            "id": cmp_id,
            "name": data["name"],
            "status": data["status"],
            "vlan": data["vlan"],
            "mtu": data["mtu"],
            "enabled": data["enabled"],
            "first": data["fact_00"],
            "second": data["fact_01"],
            "third": data["fact_02"],
        }


class Things:
    def on_post(self, request, response):
        try:
            body = VALID(request.media)
        except fastjsonschema.JsonSchemaValueException as error:
            raise falcon.HTTPBadRequest(description=error.message) from error
        key = request.get_header("Idempotency-Key") or uuid.uuid4().hex
        fingerprint = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        name = str(uuid.uuid4())
        intent = {
            "id": name,
            "idempotency_key": key,
            "fingerprint": fingerprint,
            "cmp_id": body["id"],
            "claim": body["id"],
            "state": "pending",
            "created_at": time.time_ns(),
        }
        with ENGINE.begin() as connection:
            connection.execute(insert(OPERATION).values(intent))
        headers = {"Content-Type": "application/json"}
        answer = session().post(f"{BACKEND}/objects", data=BODY.render(body=body), headers=headers, timeout=10)
        if answer.status_code != 201:
            raise falcon.HTTPBadGateway()
        reply = {"id": body["id"]}
        now = time.time_ns()
        made = {"cmp_id": body["id"], "backend_id": answer.json()["data"]["id"], "operation": name, "created_at": now}
        done = {"state": "succeeded", "claim": None, "finished_at": now, "reply": json.dumps(reply)}
        with ENGINE.begin() as connection:
            connection.execute(insert(MAPPING).values(made))
            connection.execute(update(OPERATION).where(OPERATION.c.id == name).values(done))
        response.status = falcon.HTTP_201
        response.media = reply


class Livez:
    def on_get(self, _, response):
        response.text = str(os.getpid())


application = falcon.App(middleware=[Token()])
application.add_route("/v1/things", Things())
application.add_route("/v1/things/{cmp_id}", Thing())
application.add_route("/livez", Livez())
