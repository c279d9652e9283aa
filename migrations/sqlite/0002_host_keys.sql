-- SSH host keys that were recorded when they were first seen (`host_key: tofu`), one a backend.

CREATE TABLE host_key (
    backend TEXT NOT NULL PRIMARY KEY CHECK (length(CAST(backend AS BLOB)) BETWEEN 1 AND 128),
    -- Kind and fingerprint: `ssh-ed25519 SHA256:...`.
    host_key TEXT NOT NULL CHECK (length(CAST(host_key AS BLOB)) BETWEEN 1 AND 255),
    first_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
