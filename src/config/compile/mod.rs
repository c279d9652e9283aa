//! From what is written to what is served: the passes.

pub mod codes;
pub mod route;

mod call;
mod close;

mod conflict;
mod example;
mod mapping;
mod matching;
mod names;
mod reads;
mod reference;
mod reply;
mod request;
mod resource;
mod response;
mod schema;
mod select;
mod usage;
