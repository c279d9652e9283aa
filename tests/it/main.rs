//! The only integration binary. Each module is one subject; `support` holds what they share.

mod authoring;
mod broken;
mod cli;
mod codes;
mod config;
mod crash;
mod demo;
mod docs;
mod driver;
mod editor;
mod explain;
mod hostile;
mod http;
mod import;
mod invariants;
mod mutants;
mod neutron;
mod new;
mod openapi;
mod program;
mod relay;
mod sarif;
mod store;
mod support;
mod trial;
