//! A condition on a backend's answer: a map whose entries must all hold.

use http::HeaderMap;
use serde_json::Value;

use crate::diagnostics::Diagnostics;
use crate::document::Node;

/// An answer as conditions and sources see it.
#[derive(Clone, Copy, Debug)]
pub struct AnswerView<'a> {
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// The body as JSON (parsed from XML or text where the route says so); `None` when it has none.
    pub body: Option<&'a Value>,
    pub text: &'a str,
    pub stderr: &'a str,
}

/// A compiled condition: `status`, JSONPaths, `text` (a regex), `header.<name>`; each against a
/// value, a list of values, or `present`.
#[derive(Debug)]
pub struct Condition {}

impl Condition {
    pub fn compile(_node: &Node, _diags: &mut Diagnostics) -> Option<Self> {
        unimplemented!()
    }

    pub fn holds(&self, _answer: &AnswerView<'_>) -> bool {
        unimplemented!()
    }

    /// Whether it reads the parsed body.
    pub fn reads_body(&self) -> bool {
        unimplemented!()
    }
}
