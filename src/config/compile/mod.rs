//! The passes, in order. Each reports what it finds and goes on; a plan exists only without errors.

pub mod auth;
pub mod backend;
pub mod codes;
pub mod database;
pub(super) mod echo;
pub mod header;
pub mod login;
pub mod name;
mod pair;
pub mod parts;
pub mod profile;
pub mod route;
pub mod server;
pub mod textfsm;
mod tls;
pub mod url;

// The pieces of `route`.
mod call;
mod choice;
mod close;
mod conflict;
mod endpoint;
mod evidence;
mod example;
mod fields;
mod labels;
mod links;
mod lint;
mod mapping;
mod matching;
mod names;
mod presence;
mod reads;
mod recorded;
mod reference;
mod reply;
mod request;
mod resource;
mod response;
mod scalar;
mod schema;
mod secret_tree;
mod seen;
mod select;
mod shadow;
mod ssh;
mod unused;
mod usage;
mod uses;
mod variants;

#[cfg(test)]
mod tests;

pub(super) use names::variables_at;

use super::env::{Env, World};
use super::example::RouteExamples;
use super::source::SourceFiles;
use crate::diagnostics::Diagnostics;
use crate::plan::Plan;

/// Compiles a whole configuration; the examples of its routes are beside the plan.
pub fn compile(
    files: &SourceFiles,
    env: &Env,
    diags: &mut Diagnostics,
) -> (Option<Plan>, Vec<RouteExamples>) {
    let world = World {
        dir: files.dir(),
        env,
    };
    let server = server::compile(files, world, diags);
    let profiles = profile::compile_all(files, diags);
    let backends = backend::compile(files, &server, &profiles, world, diags);
    let routes = route::compile(files, &backends, &server, env, diags);
    let plan = diags.no_errors().then(|| {
        let mut plan = Plan::new(
            server,
            backends.into_list(),
            routes.resources,
            routes.routes,
            routes.table,
            files.digest(),
        );
        plan.digests = parts::Parts::of(files).digests();
        plan
    });
    (plan, routes.examples)
}

/// All of them, or nothing where one is missing. Each is made first, so that whatever is wrong is reported.
fn complete<T, C: FromIterator<T>>(items: impl Iterator<Item = Option<T>>) -> Option<C> {
    let items: Vec<_> = items.collect();
    items.into_iter().collect()
}
