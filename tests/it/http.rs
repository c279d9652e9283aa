//! The listeners over real sockets: what a connection may do, who may ask, and how it ends.

mod admin;
mod client;
mod cmp;
mod operations;
mod orders;
mod serving;
mod tls;
