//! JSONPath (RFC 9535), compiled at load: a singular query walks, the others go to jsonpath-rust.

use serde_json::Value;

use crate::diagnostics::Diagnostics;
use crate::document::Snippet;

/// A compiled JSONPath.
#[derive(Debug)]
pub struct JsonPath {}

impl JsonPath {
    pub fn compile(_source: Snippet<'_>, _diags: &mut Diagnostics) -> Option<Self> {
        unimplemented!()
    }

    /// The nodes it selects, in order.
    pub fn select<'v>(&self, _value: &'v Value) -> Vec<&'v Value> {
        unimplemented!()
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        unimplemented!()
    }
}
