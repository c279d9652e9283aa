//! Route files -> resources, routes and their table.

use super::backend::Backends;
use crate::config::source::SourceFiles;
use crate::diagnostics::Diagnostics;
use crate::plan::{Resource, Route, RouteTable, Server};

/// What the route files come to.
#[derive(Debug, Default)]
pub struct Compiled {
    pub resources: Vec<Resource>,
    pub routes: Vec<Route>,
    pub table: RouteTable,
}

/// Compiles every route file.
pub fn compile(
    _files: &SourceFiles,
    _backends: &Backends,
    _server: &Server,
    _diags: &mut Diagnostics,
) -> Compiled {
    Compiled::default()
}
