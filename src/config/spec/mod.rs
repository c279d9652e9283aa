//! What the YAML says, one to one: each struct is a map of the language, each field a key.
//!
//! The [`spec!`] macro makes three things of one declaration: the struct, its decoder (every unknown,
//! missing and mistyped key is reported, with its place and the nearest right name, and decoding goes
//! on) and its JSON Schema. Private to `config`: what leaves it is compiled.

pub mod amount;
pub mod auth;
pub mod backend;
pub mod call;
pub mod choice;
pub mod decode;
pub mod editor;
pub mod example;
pub mod mapping;
pub mod part;
pub mod profile;
pub mod response;
pub mod route;
pub mod secret;
pub mod server;
pub mod ssh;
