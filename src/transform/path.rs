//! A call's path: literal and templated segments, each value percent-encoded into one segment.

use super::{Env, RenderError, Scope};
use crate::diagnostics::Diagnostics;
use crate::document::Snippet;

/// A compiled path such as `/v2.0/networks/{{ object.backend_id }}`.
#[derive(Debug)]
pub struct PathTemplate {}

impl PathTemplate {
    /// Compiles a path that begins with `/` and has no query; `optional` is refused in it.
    pub fn compile(
        _source: Snippet<'_>,
        _field: &str,
        _env: &Env<'_>,
        _diags: &mut Diagnostics,
    ) -> Option<Self> {
        unimplemented!()
    }

    /// Appends the encoded path (RFC 3986: everything but unreserved is percent-encoded in a
    /// value); a segment that renders empty, `.` or `..` is [`RenderError::Unsafe`] (SEMANTICS 22).
    pub fn write(&self, _scope: &Scope<'_>, _out: &mut String) -> Result<(), RenderError> {
        unimplemented!()
    }
}
