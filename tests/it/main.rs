//! The only integration binary. Each module is one subject; `support` holds what they share.

mod config;
mod crash;
mod demo;
mod driver;
mod hostile;
mod http;
mod invariants;
mod neutron;
mod relay;
mod store;
mod support;
