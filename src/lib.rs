//! cmp-relay: one CMP request, one backend call, one recorded mapping.
//!
//! The layers, in reading order; arrows go one way, one may be skipped, never reversed:
//!
//! ```text
//! main -> cli -> { config, http, trial, telemetry }
//! trial -> { config, relay, http::problem }
//! http -> relay (route -> resource) -> { backend -> driver, store } -> plan -> transform
//! config -> { diagnostics, plan, transform }            secret, clock, shutdown, workers: leaves
//! config -> relay::{ answer, outcome }                  what an example's answer says, for evidence
//! ```

pub mod cli;
pub mod config;
pub mod diagnostics;
pub mod document;

pub mod ha;
pub mod http;

pub mod relay;

pub mod backend;
pub mod driver;
pub mod store;

pub mod plan;
pub mod transform;

pub mod trial;

pub mod demo;
pub mod embedded;
pub mod telemetry;

pub mod clock;
pub mod failpoint;
pub mod secret;
pub mod shutdown;
pub mod workers;
