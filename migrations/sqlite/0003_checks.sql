-- The checks of operation as comparisons: for an IN, SQLite builds and drops a table whenever a row is written, which
-- was a quarter of a create's time in the store. A check cannot be altered, so the table is made anew.

CREATE TABLE operation_anew (
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
    state TEXT NOT NULL CHECK (state = 'pending' OR state = 'succeeded' OR state = 'failed' OR state = 'unknown'),
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
    side_effect TEXT NOT NULL CHECK (side_effect = 'none' OR side_effect = 'unknown' OR side_effect = 'done'),
    safe_to_retry INTEGER NOT NULL,
    note TEXT,
    deadline INTEGER NOT NULL,
    node TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;

INSERT INTO operation_anew SELECT * FROM operation ORDER BY id;
DROP TABLE operation;
ALTER TABLE operation_anew RENAME TO operation;

CREATE UNIQUE INDEX operation_key ON operation (client, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX operation_claim ON operation (claim) WHERE claim IS NOT NULL;
CREATE INDEX operation_state ON operation (state, created_at, id);
