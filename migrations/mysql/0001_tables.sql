-- The tables of cmp-relay on MariaDB. migrations/sqlite holds the same tables with the same meaning.
-- Ids and keys are VARBINARY: equal when their bytes are, without padding, folding or normalising.

CREATE TABLE mapping (
    resource VARBINARY(64) NOT NULL,
    cmp_id VARBINARY(255) NOT NULL,
    scope VARBINARY(128) NOT NULL,
    backend VARBINARY(128) NOT NULL,
    kind VARBINARY(64) NOT NULL,
    -- NULL while the id is pending.
    backend_id VARBINARY(512),
    attributes LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_operation BINARY(16),
    updated_operation BINARY(16),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (resource, cmp_id, scope),
    UNIQUE KEY mapping_backend_id (resource, backend, backend_id),
    KEY mapping_backend (backend)
) ENGINE = InnoDB;

CREATE TABLE operation (
    id BINARY(16) NOT NULL PRIMARY KEY,
    route VARBINARY(255) NOT NULL,
    client VARBINARY(255) NOT NULL,
    idempotency_key VARBINARY(255),
    fingerprint VARBINARY(64) NOT NULL,
    attempt BIGINT NOT NULL,
    resource VARBINARY(64) NOT NULL,
    cmp_id VARBINARY(255) NOT NULL,
    scope VARBINARY(128) NOT NULL,
    backend VARBINARY(128) NOT NULL,
    effects LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    state VARBINARY(16) NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed', 'unknown')),
    idempotent BIGINT NOT NULL,
    -- NULL once settled; kept by an unknown create or delete.
    claim BINARY(32),
    call_hash VARBINARY(64) NOT NULL,
    backend_status BIGINT,
    sends BIGINT NOT NULL,
    reply_status BIGINT,
    reply_headers LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    reply_body LONGBLOB,
    error_code VARBINARY(255),
    error_detail LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
    side_effect VARBINARY(16) NOT NULL CHECK (side_effect IN ('none', 'unknown', 'done')),
    safe_to_retry BIGINT NOT NULL,
    note VARBINARY(255),
    deadline BIGINT NOT NULL,
    node VARBINARY(255) NOT NULL,
    epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE KEY operation_key (client, idempotency_key),
    UNIQUE KEY operation_claim (claim),
    KEY operation_state (state, created_at, id)
) ENGINE = InnoDB;

CREATE TABLE audit (
    id BINARY(16) NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor VARBINARY(255) NOT NULL,
    action VARBINARY(64) NOT NULL,
    detail LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
) ENGINE = InnoDB;

-- Single values, such as the key of fingerprints.
CREATE TABLE meta (
    name VARBINARY(64) NOT NULL PRIMARY KEY,
    value VARBINARY(255) NOT NULL
) ENGINE = InnoDB;

-- One row a promotion.
CREATE TABLE ha_epoch (
    epoch BIGINT NOT NULL PRIMARY KEY,
    node VARBINARY(255) NOT NULL,
    fork_gtid VARBINARY(255) NOT NULL,
    reason VARBINARY(255) NOT NULL,
    at BIGINT NOT NULL
) ENGINE = InnoDB;
