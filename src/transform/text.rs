//! A string with expressions, rendered for the position in which it stands.

use super::{Env, RenderError, Scope};
use crate::diagnostics::Diagnostics;
use crate::document::Snippet;

/// Where a text lands, and so how its values are encoded and what they are refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A plain string: an id, a label, a reply detail. Values are put in as they are.
    Plain,
    /// A query parameter or a form field: put in as they are; the writer percent-encodes the whole.
    Parameter,
    /// A header value: RFC 9110 field content; control characters and non-ASCII are refused.
    Header,
    /// XML 1.0 text or a quoted attribute value: escaped; what XML cannot hold is refused.
    Xml,
    /// An XPath 1.0 string literal: a value that holds the literal's quote is refused.
    XPath,
}

/// A compiled text.
#[derive(Debug)]
pub struct Text {}

impl Text {
    /// Compiles `source`; `field` names the place for errors at render time (`select.labels.site`).
    pub fn compile(
        _source: Snippet<'_>,
        _position: Position,
        _field: &str,
        _env: &Env<'_>,
        _diags: &mut Diagnostics,
    ) -> Option<Self> {
        unimplemented!()
    }

    /// The text; `None` when an `optional` in it is absent.
    pub fn render(&self, _scope: &Scope<'_>) -> Result<Option<String>, RenderError> {
        unimplemented!()
    }

    /// Its value when it has no expression at all.
    pub fn as_literal(&self) -> Option<&str> {
        unimplemented!()
    }
}
