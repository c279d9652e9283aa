//! The ssh driver against OpenSSH's own server.

mod auth;
mod exec;
mod host_key;
mod negotiation;
mod pool;
mod shells;
