#!/usr/bin/env python3
"""Writes a configuration of many routes, as integrators write them: parents, schemas, a choice by labels,
error rules, shared pieces, examples of successes and of failures. It has no mistake in it.

    bench/bundle.py DIR [--routes 1000] [--no-examples]

Every resource has one file of twenty routes: create, list, read, change, delete, and fifteen actions on one
object. Files and names differ by number alone, so equal arguments write equal bytes.
"""

import argparse
import pathlib

KINDS = 5
SITES = ["tpe", "khh", "txg", "hsz"]
ACTIONS = 15

RELAY = """\
version: 1
clients:
  - name: cmp
    token_sha256:
      - "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    roles: [cmp]
"""

BACKEND = """\
version: 1
name: k{kind}-{site}
kind: k{kind}
labels:
  site: {site}
vars:
  tenant: t{kind}
limits:
  concurrency: 8
  timeout: 15s
driver:
  https:
    url: https://k{kind}-{site}.example.net/api
    headers:
      Accept: application/json
    auth: none
"""

RESPONSE = """\
fail_when:
  $.status: error
errors:
  - when:
      $.error: -5
    reply: 409
    code: duplicate
    detail: "{{ response.body.message }}"
  - when:
      status: 400
    reply: 422
    code: invalid_value
    detail: "{{ response.body.message }}"
"""

ID = "type: string\nminLength: 1\nmaxLength: 64\n"

HEAD = """\
version: 1
resource: {r}
kind: k{kind}
summary: Objects of type {r}
maps:
  mode:
    open: accept
    closed: drop
response:
  $ref: shared/response.yaml

routes:
"""

CREATE = """\
  create_{r}:
    match: POST /v1/{r}
    summary: Make one
    request:
      body:
        type: object
        required: [id, name, {where}, port, mode]
        properties:
          id: {{ $ref: schemas/id.yaml }}
          name: {{ type: string, maxLength: 35 }}
          {where}: {{ {where_schema} }}
          port: {{ type: integer, minimum: 1, maximum: 65535 }}
          mode: {{ enum: [open, closed] }}
          note: {{ type: string }}
          rules:
            type: array
            items:
              type: object
              required: [source]
              properties:
                source: {{ type: string }}
                log: {{ type: boolean }}
{choice}    let:
      name: "cmp-{{{{ body.id }}}}-{{{{ body.name }}}}"
    call:
      http: POST {call}
      query:
        tenant: "{{{{ backend.vars.tenant }}}}"
      body:
        name: "{{{{ let.name }}}}"
        port: "{{{{ body.port }}}}"
        mode: "{{{{ map 'mode' body.mode }}}}"
        comment: "{{{{ optional body.note }}}}"
        rules:
          - $for: optional body.rules
            $as: rule
            $item:
              from: "{{{{ rule.source }}}}"
              log: "{{{{ default rule.log false }}}}"
    mapping:
      create:
        cmp_id: "{{{{ body.id }}}}"
        backend_id: $.data.id
        attributes:
          revision: $.data.revision
    reply:
      status: 201
      body:
        id: "{{{{ mapping.cmp_id }}}}"
        name: "{{{{ body.name }}}}"
"""

CREATE_EXAMPLES = """\
    examples:
      - name: makes
        request:
          body: {{ id: a1, name: web, {where}: {where_value}, port: 443, mode: open, rules: [{{ source: any }}] }}
{rows}        expect_call:
          http: POST {called}
          query: {{ tenant: t{kind} }}
          body: {{ name: cmp-a1-web, port: 443, mode: accept, rules: [{{ from: any, log: false }}] }}
        response:
          status: 201
          body: {{ status: success, data: {{ id: 7, revision: r1 }} }}
        expect_reply:
          status: 201
          body: {{ id: a1, name: web }}
        expect_mapping: {{ resource: {r}, cmp_id: a1, backend_id: "7" }}
      - name: there is one of this name
        request:
          body: {{ id: a1, name: web, {where}: {where_value}, port: 443, mode: open }}
{rows}        response:
          status: 200
          body: {{ status: error, error: -5, message: it exists }}
        expect_reply:
          status: 409
          body: {{ code: duplicate, detail: it exists }}
      - name: the backend refuses a value
        request:
          body: {{ id: a1, name: web, {where}: {where_value}, port: 443, mode: closed }}
{rows}        response:
          status: 400
          body: {{ status: error, message: no such port }}
        expect_reply:
          status: 422
          body: {{ code: invalid_value, detail: no such port }}
"""

LIST = """\

  list_{r}:
    match: GET /v1/{r}
    summary: List those of a site
    request:
      query:
        type: object
        required: [site]
        properties:
          site: {{ enum: [{sites}] }}
          limit: {{ type: integer, minimum: 1, maximum: 100 }}
    select:
      labels:
        site: "{{{{ query.site }}}}"
    call:
      http: GET /{r}
      query:
        limit: "{{{{ optional query.limit }}}}"
    reply:
      status: 200
      body:
        items:
          - $for: response.body.items
            $as: one
            $where: mapped '{r}' one.id
            $item:
              id: "{{{{ cmp_id '{r}' one.id }}}}"
              name: "{{{{ one.name }}}}"
"""

LIST_EXAMPLES = """\
    examples:
      - name: leaves out what the CMP did not make
        request:
          query: {{ site: tpe, limit: 10 }}
        mappings:
          - {{ resource: {r}, cmp_id: a1, backend: k{kind}-tpe, backend_id: "7" }}
        expect_call:
          http: GET /{r}
          query: {{ limit: 10 }}
        response:
          body: {{ items: [{{ id: 7, name: web }}, {{ id: 8, name: other }}] }}
        expect_reply:
          status: 200
          body: {{ items: [{{ id: a1, name: web }}] }}
"""

READ = """\

  get_{r}:
    match: GET /v1/{r}/{{id}}
    summary: Read one
    object: "{{{{ path.id }}}}"
    call:
      http: GET /{r}/{{{{ object.backend_id }}}}
    reply:
      status: 200
      body:
        id: "{{{{ object.cmp_id }}}}"
        name: "{{{{ response.body.data.name }}}}"
        mode: "{{{{ unmap 'mode' response.body.data.mode }}}}"
"""

READ_EXAMPLES = """\
    examples:
      - name: reads
        request:
          path: {{ id: a1 }}
        mappings:
          - {{ resource: {r}, cmp_id: a1, backend: k{kind}-tpe, backend_id: "7" }}
        expect_call:
          http: GET /{r}/7
        response:
          body: {{ data: {{ name: web, mode: drop }} }}
        expect_reply:
          status: 200
          body: {{ id: a1, name: web, mode: closed }}
"""

CHANGE = """\

  update_{r}:
    match: PUT /v1/{r}/{{id}}
    summary: Change one
    object: "{{{{ path.id }}}}"
    request:
      body:
        type: object
        required: [port]
        properties:
          port: {{ type: integer, minimum: 1, maximum: 65535 }}
          note: {{ type: string }}
    call:
      http: PUT /{r}/{{{{ object.backend_id }}}}
      body:
        port: "{{{{ body.port }}}}"
        comment: "{{{{ optional body.note }}}}"
    mapping:
      update:
        attributes:
          revision: $.data.revision
    reply:
      status: 200
      body:
        id: "{{{{ object.cmp_id }}}}"
        port: "{{{{ body.port }}}}"
"""

CHANGE_EXAMPLES = """\
    examples:
      - name: changes
        request:
          path: {{ id: a1 }}
          body: {{ port: 80 }}
        mappings:
          - {{ resource: {r}, cmp_id: a1, backend: k{kind}-tpe, backend_id: "7", attributes: {{ revision: r1 }} }}
        expect_call:
          http: PUT /{r}/7
          body: {{ port: 80 }}
        response:
          body: {{ status: success, data: {{ revision: r2 }} }}
        expect_reply:
          status: 200
          body: {{ id: a1, port: 80 }}
"""

DELETE = """\

  delete_{r}:
    match: DELETE /v1/{r}/{{id}}
    summary: Delete one
    object: "{{{{ path.id }}}}"
    call:
      http: DELETE /{r}/{{{{ object.backend_id }}}}
    mapping: delete
    reply:
      status: 204
"""

DELETE_EXAMPLES = """\
    examples:
      - name: deletes
        request:
          path: {{ id: a1 }}
        mappings:
          - {{ resource: {r}, cmp_id: a1, backend: k{kind}-tpe, backend_id: "7" }}
        expect_call:
          http: DELETE /{r}/7
        response:
          status: 204
        expect_reply:
          status: 204
        expect_mapping: null
"""

ACTION = """\

  act_{a}_{r}:
    match: POST /v1/{r}/{{id}}/act-{a}
    summary: Have it do a thing
    object: "{{{{ path.id }}}}"
    request:
      body:
        type: object
        required: [level]
        properties:
          level: {{ type: integer, minimum: 0, maximum: 9 }}
          reason: {{ type: string, maxLength: 100 }}
    call:
      http: POST /{r}/{{{{ object.backend_id }}}}/act/{a}
      body:
        level: "{{{{ body.level }}}}"
        reason: "{{{{ default body.reason 'by the CMP' }}}}"
    reply:
      status: 200
      body:
        id: "{{{{ object.cmp_id }}}}"
        state: "{{{{ response.body.data.state }}}}"
"""

ACTION_EXAMPLES = """\
    examples:
      - name: acts
        request:
          path: {{ id: a1 }}
          body: {{ level: 3 }}
        mappings:
          - {{ resource: {r}, cmp_id: a1, backend: k{kind}-tpe, backend_id: "7" }}
        expect_call:
          http: POST /{r}/7/act/{a}
          body: {{ level: 3, reason: by the CMP }}
        response:
          body: {{ status: success, data: {{ state: done }} }}
        expect_reply:
          status: 200
          body: {{ id: a1, state: done }}
"""

SELECT = """\
    select:
      labels:
        site: "{{ body.site }}"
"""

PARENT = """\
    parents:
      parent:
        resource: {parent}
        id: "{{{{ body.parent }}}}"
"""


def route_file(number: int, examples: bool) -> str:
    """One resource with its twenty routes. From the sixth on, each has a parent of the same kind."""
    kind, r = number % KINDS, f"r{number}"
    names = {"r": r, "kind": kind, "sites": ", ".join(SITES)}
    if number < KINDS:
        create = {
            "where": "site",
            "where_schema": f"enum: [{', '.join(SITES)}]",
            "where_value": "tpe",
            "choice": SELECT,
            "call": f"/{r}",
            "called": f"/{r}",
            "rows": "",
        }
    else:
        parent = f"r{number - KINDS}"
        create = {
            "where": "parent",
            "where_schema": "$ref: schemas/id.yaml",
            "where_value": "p1",
            "choice": PARENT.format(parent=parent),
            "call": f"/{parent}/{{{{ parents.parent.backend_id }}}}/{r}",
            "called": f"/{parent}/5/{r}",
            "rows": "        mappings:\n"
            f"          - {{ resource: {parent}, cmp_id: p1, backend: k{kind}-tpe, backend_id: \"5\" }}\n",
        }
    parts = [
        (CREATE, CREATE_EXAMPLES, create),
        (LIST, LIST_EXAMPLES, {}),
        (READ, READ_EXAMPLES, {}),
        (CHANGE, CHANGE_EXAMPLES, {}),
        (DELETE, DELETE_EXAMPLES, {}),
    ]
    parts += [(ACTION, ACTION_EXAMPLES, {"a": a}) for a in range(ACTIONS)]
    text = HEAD.format(**names)
    for route, tried, more in parts:
        text += route.format(**names, **more)
        if examples:
            text += tried.format(**names, **more)
    return text


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("dir", type=pathlib.Path)
    arguments.add_argument("--routes", type=int, default=1000)
    arguments.add_argument("--no-examples", action="store_true")
    given = arguments.parse_args()

    def write(path: str, text: str) -> None:
        full = given.dir / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text, encoding="utf-8", newline="\n")

    write("relay.yaml", RELAY)
    for kind in range(KINDS):
        for site in SITES:
            write(f"backends.d/k{kind}-{site}.yaml", BACKEND.format(kind=kind, site=site))
    write("routes.d/shared/response.yaml", RESPONSE)
    write("routes.d/schemas/id.yaml", ID)
    for number in range(given.routes // (5 + ACTIONS)):
        write(f"routes.d/r{number}.yaml", route_file(number, not given.no_examples))


if __name__ == "__main__":
    main()
