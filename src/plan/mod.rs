//! The compiled configuration: whole, checked, immutable, every name resolved; swapped atomically.
//!
//! `config::compile` builds it; everybody else only reads it. No serde, no tokio, no I/O. What is
//! optional in a file is settled here: after compilation nobody asks whether a timeout is set.

mod algorithms;
mod backend;
mod ids;
mod profile;
mod route;
mod schema;
mod server;
mod ssh;
mod table;

use std::collections::BTreeMap;

pub use algorithms::*;
pub use backend::*;
pub use ids::*;
pub use profile::*;
pub use route::*;
pub use schema::*;
pub use server::*;
pub use ssh::*;
pub use table::*;

/// One whole configuration.
#[derive(Debug)]
pub struct Plan {
    pub server: Server,
    /// By name; a [`BackendId`] is an index.
    pub backends: Vec<Backend>,
    /// A [`ResourceId`] is an index.
    pub resources: Vec<Resource>,
    /// A [`RouteId`] is an index.
    pub routes: Vec<Route>,
    pub table: RouteTable,
    /// SHA-256 over every file of the load, in hex: equal digests, equal behaviour.
    pub digest: Box<str>,
    pub digests: Digests,
    backends_by_name: BTreeMap<Box<str>, BackendId>,
    routes_by_name: BTreeMap<Box<str>, RouteId>,
    resources_by_name: BTreeMap<Box<str>, ResourceId>,
}

/// A digest of each part as it is written, by name: equal digests, the same part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// With all that a route takes from its file, from shared files and from templates.
    pub routes: BTreeMap<Box<str>, Box<str>>,
    pub backends: BTreeMap<Box<str>, Box<str>>,
}

impl Plan {
    pub fn new(
        server: Server,
        backends: Vec<Backend>,
        resources: Vec<Resource>,
        routes: Vec<Route>,
        table: RouteTable,
        digest: Box<str>,
    ) -> Self {
        let backends_by_name = (0u16..)
            .zip(&backends)
            .map(|(id, backend)| (backend.name.clone(), BackendId(id)))
            .collect();
        let routes_by_name = (0u16..)
            .zip(&routes)
            .map(|(id, route)| (route.name.clone(), RouteId(id)))
            .collect();
        let resources_by_name = (0u16..)
            .zip(&resources)
            .map(|(id, resource)| (resource.name.clone(), ResourceId(id)))
            .collect();
        Self {
            server,
            backends,
            resources,
            routes,
            table,
            digest,
            digests: Digests::default(),
            backends_by_name,
            routes_by_name,
            resources_by_name,
        }
    }

    pub fn backend(&self, id: BackendId) -> &Backend {
        &self.backends[usize::from(id.0)]
    }

    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[usize::from(id.0)]
    }

    pub fn resource(&self, id: ResourceId) -> &Resource {
        &self.resources[usize::from(id.0)]
    }

    pub fn backend_named(&self, name: &str) -> Option<BackendId> {
        self.backends_by_name.get(name).copied()
    }

    pub fn route_named(&self, name: &str) -> Option<RouteId> {
        self.routes_by_name.get(name).copied()
    }

    pub fn resource_named(&self, name: &str) -> Option<ResourceId> {
        self.resources_by_name.get(name).copied()
    }
}
