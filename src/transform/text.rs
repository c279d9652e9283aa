//! A string with expressions, rendered for the position in which it stands.

use super::encode::{self, Slot};
use super::expr::{Context, Fault};
use super::parse::Compiler;
use super::scan;
use super::segment::{self, Holder, Rendering, Segment};
use super::{Env, RenderError, Scope};
use crate::diagnostics::{Diagnostic, Diagnostics, codes};
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
pub struct Text {
    segments: Vec<Segment>,
    position: Position,
    field: Box<str>,
}

impl Text {
    /// Compiles `source`; `field` names the place for errors at render time (`select.labels.site`).
    pub fn compile(
        source: Snippet<'_>,
        position: Position,
        field: &str,
        env: &Env<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        Compiler::new(env, diags).text(source, position, field)
    }

    /// The text; `None` when an `optional` in it is absent.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Option<String>, RenderError> {
        match self.run(Context::new(scope)) {
            Ok(done) if done.wanted => Err(RenderError::Lookups),
            Ok(done) if done.absent => Ok(None),
            Ok(done) => Ok(Some(done.out)),
            Err((_, true)) => Err(RenderError::Lookups),
            Err((fault, false)) => Err(fault.at(&self.field)),
        }
    }

    /// Its value when it has no expression at all.
    pub fn as_literal(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [] => Some(""),
            [Segment::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The variables that it reads, such as `body.user.password`.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        segment::variables(&self.segments, &mut names);
        names
    }

    /// Whether an `optional` in it may make it vanish.
    pub fn may_be_absent(&self) -> bool {
        let mut found = false;
        segment::each_value(&self.segments, &mut |expr, _| {
            found |= expr.node.may_be_absent();
        });
        found
    }

    pub(super) fn field(&self) -> &str {
        &self.field
    }

    /// Renders inside loops; beside a fault, whether rows were wanted before it.
    pub(super) fn run(&self, context: Context<'_>) -> Result<Rendering, (Fault, bool)> {
        let mut rendering = Rendering::new(Holder::Whole);
        if let Err(fault) = rendering.run(&self.segments, context) {
            return Err((fault, rendering.wanted));
        }
        if self.position == Position::Header
            && !rendering.wanted
            && encode::blank_ends(&rendering.out)
        {
            let names = self.variables().join("`, `");
            return Err((
                Fault::refused(&names, "a header cannot begin or end with a blank"),
                false,
            ));
        }
        Ok(rendering)
    }
}

impl Compiler<'_> {
    pub(super) fn text(
        &mut self,
        source: Snippet<'_>,
        position: Position,
        field: &str,
    ) -> Option<Text> {
        let mut segments = self.segments(source, field, false)?;
        let fine = match position {
            Position::Plain | Position::Parameter => true,
            Position::Header => {
                segment::put_into(&mut segments, Slot::Header);
                self.header_literals(&segments, source)
            }
            Position::Xml => scan::assign(
                scan::Xml::default(),
                &mut segments,
                source.span(),
                self.diags,
            ),
            Position::XPath => scan::assign(
                scan::XPath::default(),
                &mut segments,
                source.span(),
                self.diags,
            ),
        };
        fine.then(|| Text {
            segments,
            position,
            field: field.into(),
        })
    }

    fn header_literals(&mut self, segments: &[Segment], source: Snippet<'_>) -> bool {
        for part in segments {
            if let Segment::Literal(text) = part
                && let Err(why) = encode::header_chars(text)
            {
                self.error(codes::BAD_TEMPLATE, source.span(), why);
                return false;
            }
        }
        if encode::blank_ends(source.text) {
            self.diags.push(
                Diagnostic::error(
                    codes::BAD_TEMPLATE,
                    source.span(),
                    "a header cannot begin or end with a blank",
                )
                .help("drop the blanks at the ends"),
            );
            return false;
        }
        true
    }
}
