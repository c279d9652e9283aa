//! A relay with nothing real behind it: a plan, rows in memory, and backends that answer as they are
//! told. `test`, `explain` and `validate-config` run CMP requests through it.
//!
//! The path of the request is the real one, `relay::Relay::handle`; only the store and the drivers
//! are others. Nothing here opens a socket or a file.
