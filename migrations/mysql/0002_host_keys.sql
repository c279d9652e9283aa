-- SSH host keys that were recorded when they were first seen (`host_key: tofu`), one a backend.

CREATE TABLE host_key (
    backend VARBINARY(128) NOT NULL PRIMARY KEY,
    -- Kind and fingerprint: `ssh-ed25519 SHA256:...`.
    host_key VARBINARY(255) NOT NULL,
    first_seen BIGINT NOT NULL
) ENGINE = InnoDB;
