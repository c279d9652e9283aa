//! A text template of `templates/`: its name says what it writes, and so how values are encoded.

use super::{Env, RenderError, Scope};
use crate::diagnostics::Diagnostics;
use crate::document::Span;

/// What a template writes, from its name: `rule.xml.hbs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
    Cli,
    Text,
}

/// A compiled text template.
#[derive(Debug)]
pub struct Template {}

impl Template {
    /// Compiles the template `name` of `env.templates` for the route in which `used_at` stands.
    pub fn compile(
        _name: &str,
        _used_at: Span,
        _field: &str,
        _env: &Env<'_>,
        _diags: &mut Diagnostics,
    ) -> Option<Self> {
        unimplemented!()
    }

    pub fn format(&self) -> Format {
        unimplemented!()
    }

    /// The rendered text; a JSON template's is checked to be JSON.
    pub fn render(&self, _scope: &Scope<'_>) -> Result<String, RenderError> {
        unimplemented!()
    }
}
