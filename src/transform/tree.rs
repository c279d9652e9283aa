//! A JSON tree whose leaves are templates; keys are always literal, so no value can add one.

use serde_json::Value;

use super::{Env, Presence, RenderError, Scope};
use crate::diagnostics::Diagnostics;
use crate::document::Node;

/// A compiled tree: literals, typed leaves, `$for`, `$if`, `$xml`, `$xpath`, `$json`, `$template`.
#[derive(Debug)]
pub struct Tree {}

impl Tree {
    /// Compiles a node; `field` names the tree's place for errors at render time (`call.body`).
    pub fn compile(
        _node: &Node,
        _field: &str,
        _env: &Env<'_>,
        _diags: &mut Diagnostics,
    ) -> Option<Self> {
        unimplemented!()
    }

    /// Appends the tree as JSON text in one pass; on `Absent` and on an error `out` is unchanged.
    pub fn write_json(
        &self,
        _scope: &Scope<'_>,
        _out: &mut Vec<u8>,
    ) -> Result<Presence, RenderError> {
        unimplemented!()
    }

    /// The tree as a value; `None` when it is absent as a whole.
    pub fn to_value(&self, _scope: &Scope<'_>) -> Result<Option<Value>, RenderError> {
        unimplemented!()
    }

    /// The request fields (`body.user.password`) that its expressions read, for `writeOnly`.
    pub fn variables(&self) -> Vec<&str> {
        unimplemented!()
    }
}
