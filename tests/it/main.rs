//! The only integration binary. Each module is one subject; `support` holds what they share.

mod broken;
mod codes;
mod config;
mod crash;
mod demo;
mod docs;
mod driver;
mod editor;
mod hostile;
mod http;
mod invariants;
mod neutron;
mod openapi;
mod program;
mod relay;
mod store;
mod support;
mod trial;
