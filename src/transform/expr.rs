//! One expression: `{{ helper argument ... }}`, compiled to what it means and evaluated to a typed value.

use std::borrow::Cow;

use serde_json::Value;

use super::{Env, RenderError, Scope};
use crate::diagnostics::Diagnostics;
use crate::document::Snippet;

/// A compiled expression.
#[derive(Debug)]
pub struct Expr {}

impl Expr {
    /// Compiles a bare expression (`body.rules`, `optional body.mtu`), as `$for` and `$if` take it.
    pub fn compile(
        _source: Snippet<'_>,
        _field: &str,
        _env: &Env<'_>,
        _diags: &mut Diagnostics,
    ) -> Option<Self> {
        unimplemented!()
    }

    /// The value; `None` when it is `optional` and absent.
    pub fn eval<'s>(
        &'s self,
        _scope: &'s Scope<'_>,
    ) -> Result<Option<Cow<'s, Value>>, RenderError> {
        unimplemented!()
    }
}
