//! Where an id or an attribute is taken from: a JSONPath, a header, the text, a value, with a regex.

use serde_json::Value;

use super::{AnswerView, Env, RenderError, Scope};
use crate::diagnostics::Diagnostics;
use crate::document::Node;

/// A compiled source.
#[derive(Debug)]
pub struct Source {}

/// Why a source gave nothing usable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExtractError {
    /// Nothing is there, and the source is not `optional`.
    #[error("{source_text} is not in the answer")]
    Absent { source_text: String },
    /// Something is there that cannot be what is wanted.
    #[error("{source_text} {reason}")]
    Unusable { source_text: String, reason: String },
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl Source {
    pub fn compile(
        _node: &Node,
        _field: &str,
        _env: &Env<'_>,
        _diags: &mut Diagnostics,
    ) -> Option<Self> {
        unimplemented!()
    }

    /// The value; `None` when it is `optional` and absent. Several nodes are unusable.
    pub fn extract(
        &self,
        _answer: &AnswerView<'_>,
        _scope: &Scope<'_>,
    ) -> Result<Option<Value>, ExtractError> {
        unimplemented!()
    }

    /// The value as an id: one non-empty string or exact integer (its decimal digits), at most
    /// `limit` bytes, no control characters (SEMANTICS 21, 22).
    pub fn extract_id(
        &self,
        _answer: &AnswerView<'_>,
        _scope: &Scope<'_>,
        _limit: usize,
    ) -> Result<Option<String>, ExtractError> {
        unimplemented!()
    }

    /// Whether it reads the parsed body.
    pub fn reads_body(&self) -> bool {
        unimplemented!()
    }
}
