//! Simulated backends, in this process: [`openstack`]'s Keystone and any number of Neutron regions, [`neo`]'s
//! fabric manager, and [`devices`] behind SSH.
//!
//! They answer as the real ones do (shapes, statuses, errors, 401s, paging), keep their objects, and
//! check what a CMP runs into: addresses, overlaps, references, what is in use. What the relay never asks of
//! those is not here. For the demo and for tests; loopback only. All stand on a [`Stage`].

mod address;
mod attributes;
mod authority;
mod chaining;
pub mod devices;
mod error;
pub mod fortios;
mod kept;
mod keystone;
mod list;
pub mod neo;
mod netconf;
mod neutron;
mod onyx;
pub mod openstack;
pub mod panos;
mod region;
mod routing;
mod rules;
mod ssh;
mod stage;
pub mod waf;

pub use authority::{Authority, Ca};
pub use stage::{Port, Stage};
