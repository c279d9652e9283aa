-- The tables of cmp-relay on SQLite. migrations/mysql holds the same tables with the same meaning.
-- Text compares by its bytes (the BINARY collation), and STRICT keeps every column to its type.

CREATE TABLE mapping (
    resource TEXT NOT NULL CHECK (length(CAST(resource AS BLOB)) BETWEEN 1 AND 64),
    cmp_id TEXT NOT NULL CHECK (length(CAST(cmp_id AS BLOB)) BETWEEN 1 AND 255),
    scope TEXT NOT NULL CHECK (length(CAST(scope AS BLOB)) <= 128),
    backend TEXT NOT NULL CHECK (length(CAST(backend AS BLOB)) BETWEEN 1 AND 128),
    kind TEXT NOT NULL,
    -- NULL while the id is pending.
    backend_id TEXT CHECK (length(CAST(backend_id AS BLOB)) BETWEEN 1 AND 512),
    attributes TEXT NOT NULL,
    created_operation BLOB,
    updated_operation BLOB,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (resource, cmp_id, scope)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX mapping_backend_id ON mapping (resource, backend, backend_id)
    WHERE backend_id IS NOT NULL;
CREATE INDEX mapping_backend ON mapping (backend);

CREATE TABLE operation (
    id BLOB NOT NULL PRIMARY KEY,
    route TEXT NOT NULL,
    client TEXT NOT NULL,
    idempotency_key TEXT,
    fingerprint BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    resource TEXT NOT NULL,
    cmp_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    backend TEXT NOT NULL,
    effects TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed', 'unknown')),
    idempotent INTEGER NOT NULL,
    -- NULL once settled; kept by an unknown create or delete.
    claim BLOB,
    call_hash BLOB NOT NULL,
    backend_status INTEGER,
    sends INTEGER NOT NULL,
    reply_status INTEGER,
    reply_headers TEXT NOT NULL,
    reply_body BLOB,
    error_code TEXT,
    error_detail TEXT,
    side_effect TEXT NOT NULL CHECK (side_effect IN ('none', 'unknown', 'done')),
    safe_to_retry INTEGER NOT NULL,
    note TEXT,
    deadline INTEGER NOT NULL,
    node TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

CREATE UNIQUE INDEX operation_key ON operation (client, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX operation_claim ON operation (claim) WHERE claim IS NOT NULL;
CREATE INDEX operation_state ON operation (state, created_at, id);

CREATE TABLE audit (
    id BLOB NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

-- Single values, such as the key of fingerprints.
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a promotion.
CREATE TABLE ha_epoch (
    epoch INTEGER NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    fork_gtid TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
