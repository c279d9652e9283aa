//! A string with expressions, rendered for the position in which it stands.

use super::command;
use super::encode::{self, Slot};
use super::expr::{Context, Fault};
use super::node::PathNode;
use super::parse::Compiler;
use super::scan;
use super::segment::{self, Holder, Rendering, Segment};
use super::uses::Landing;
use super::{Env, Parts, RenderError, Scope};
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
    /// A cookie's value: RFC 6265 cookie octets; what would end the value is refused.
    Cookie,
    /// XML 1.0 text or a quoted attribute value: escaped; what XML cannot hold is refused.
    Xml,
    /// An XPath 1.0 string literal: a value that holds the literal's quote is refused.
    XPath,
    /// Text of lines: alone it is whatever the value is; beside other text a value holds no control
    /// character, and so adds no line.
    Lines,
    /// One line of a command line: nothing is encoded, and what could add a line or a word is refused.
    CliLine,
    /// One word of a program's command: control characters are refused, and the writer quotes the whole.
    Word,
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

    /// A text without expressions, however many braces it holds.
    pub fn literal(text: &str, field: &str) -> Self {
        Self {
            segments: vec![Segment::Literal(text.into())],
            position: Position::Plain,
            field: field.into(),
        }
    }

    /// The text; `None` when an `optional` in it is absent.
    pub fn render(&self, scope: &Scope) -> Result<Option<String>, RenderError> {
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

    /// The variable that it is, where it is one and nothing else: `body.region`.
    pub fn as_variable(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [Segment::Value { expr, .. }] => expr.node.list_variable(),
            _ => None,
        }
    }

    /// Whether it begins with a value, so that nobody knows how.
    pub fn begins_with_a_value(&self) -> bool {
        matches!(self.segments.first(), Some(Segment::Value { .. }))
    }

    /// The variables that it reads, such as `body.user.password`.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        segment::variables(&self.segments, &mut names);
        names
    }

    /// Notes what it reads of the answer's body.
    pub fn note_parts(&self, parts: &mut Parts) {
        self.paths(&mut |path| path.note(parts));
    }

    pub(super) fn paths<'t>(&'t self, see: &mut dyn FnMut(&'t PathNode)) {
        segment::paths(&self.segments, see);
    }

    /// Whether it is a line of a command line.
    pub(super) fn is_cli(&self) -> bool {
        self.position == Position::CliLine
    }

    /// Whether an `optional` in it may make it vanish.
    pub fn may_be_absent(&self) -> bool {
        let mut found = false;
        segment::each_value(&self.segments, &mut |expr, _| {
            found |= expr.node.may_be_absent();
        });
        found
    }

    /// Where it stands, for errors at render time.
    pub fn field(&self) -> &str {
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
        let landing = match position {
            Position::Header | Position::Cookie => Landing::Header,
            Position::CliLine => Landing::Line,
            _ => Landing::Text,
        };
        let standing = self.standing.landing(landing);
        self.on_line = position == Position::CliLine;
        let segments = self.standing(standing, |this| this.segments(source, field, false));
        self.on_line = false;
        let mut segments = segments?;
        let fine = match position {
            Position::Plain | Position::Parameter => true,
            Position::Header => {
                segment::put_into(&mut segments, Slot::Header);
                self.header_literals(&segments, source, encode::header_chars)
            }
            Position::Cookie => {
                segment::put_into(&mut segments, Slot::Cookie);
                self.header_literals(&segments, source, encode::cookie_chars)
            }
            Position::Xml => scan::assign(
                scan::Xml::default(),
                &mut segments,
                source.span(),
                self.diags,
            ),
            Position::Lines => {
                if !matches!(segments.as_slice(), [Segment::Value { .. }]) {
                    segment::put_into(&mut segments, Slot::Line);
                }
                true
            }
            Position::CliLine => self.cli_line(&mut segments, source),
            Position::Word => {
                segment::put_into(&mut segments, Slot::Word);
                match source.text.chars().any(char::is_control) {
                    true => {
                        let why = "a word of a command cannot hold a control character";
                        self.error(codes::BAD_TEMPLATE, source.span(), why);
                        false
                    }
                    false => true,
                }
            }
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

    /// A line without a command, or of several lines, is none.
    fn cli_line(&mut self, segments: &mut [Segment], source: Snippet<'_>) -> bool {
        let wrong = match source.text.trim().is_empty() {
            true => Err("an empty line says nothing to a device"),
            false => command::literals(segments, false),
        };
        if let Err(why) = wrong {
            self.error(codes::BAD_TEMPLATE, source.span(), why);
            return false;
        }
        let scanner = command::CliLine::default();
        scan::assign(scanner, segments, source.span(), self.diags)
    }

    fn header_literals(
        &mut self,
        segments: &[Segment],
        source: Snippet<'_>,
        judge: fn(&str) -> Result<(), &'static str>,
    ) -> bool {
        for part in segments {
            if let Segment::Literal(text) = part
                && let Err(why) = judge(text)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{Names, compiled, scope, text_node};
    use super::*;

    fn compile(text: &str, position: Position) -> Result<Text, Vec<Diagnostic>> {
        let names = Names::new();
        let node = text_node(text);
        compiled(|diags| {
            Text::compile(
                node.snippet().unwrap(),
                position,
                "call.x",
                &names.env(),
                diags,
            )
        })
    }

    fn render(text: &str, position: Position, x: Value) -> Result<Option<String>, RenderError> {
        let scope = scope(json!({ "x": x }));
        compile(text, position).unwrap().render(&scope)
    }

    fn plain(text: &str, x: Value) -> Result<Option<String>, RenderError> {
        render(text, Position::Plain, x)
    }

    #[test]
    fn literals_around_values_stay_byte_for_byte() {
        for (text, wanted) in [
            ("  a {{ body.x }}  {{body.x}} b  ", "  a 7  7 b  "),
            ("{{ body.x }} ", "7 "),
            ("\n{{ body.x }}\n\n", "\n7\n\n"),
            ("é{{ body.x }}é", "é7é"),
            ("a {{~ body.x ~}} b", "a7b"),
            ("a{{! a comment }}b", "ab"),
            (r"\{{ not }} {{ body.x }}", "{{ not }} 7"),
            ("}} {{ body.x }}", "}} 7"),
        ] {
            assert_eq!(plain(text, json!(7)), Ok(Some(wanted.into())), "{text:?}");
        }
    }

    #[test]
    fn a_text_without_expressions_is_a_literal() {
        let text = compile("a b", Position::Plain).unwrap();
        assert_eq!(text.as_literal(), Some("a b"));
        assert_eq!(compile("", Position::Plain).unwrap().as_literal(), Some(""));
        assert_eq!(
            compile("{{ body.x }}", Position::Plain)
                .unwrap()
                .as_literal(),
            None
        );
    }

    #[test]
    fn values_in_text_are_scalars_with_their_own_digits() {
        let digits = "123456789012345678901234567890.10";
        let number: Value = serde_json::from_str(digits).unwrap();
        assert_eq!(plain("{{ body.x }}", number), Ok(Some(digits.into())));
        assert_eq!(plain("{{ body.x }}", json!(true)), Ok(Some("true".into())));
        for bad in [json!(null), json!([1]), json!({})] {
            assert!(matches!(
                plain("a{{ body.x }}", bad),
                Err(RenderError::Unsafe { field, variable, .. })
                    if field == "call.x" && variable == "body.x"
            ));
        }
    }

    #[test]
    fn a_text_vanishes_with_an_absent_value() {
        let text = compile("cmp-{{ optional body.y }}", Position::Plain).unwrap();
        assert!(text.may_be_absent());
        assert_eq!(text.render(&scope(json!({}))), Ok(None));
    }

    #[test]
    fn a_value_in_a_text_is_not_a_template() {
        assert_eq!(
            plain("{{ body.x }}", json!("{{ body.y }} {{{z}}}")),
            Ok(Some("{{ body.y }} {{{z}}}".into()))
        );
    }

    #[test]
    fn raw_output_and_blocks_do_not_compile() {
        for (text, code) in [
            ("{{{ body.x }}}", codes::RAW_OUTPUT),
            ("a {{& body.x }}", codes::RAW_OUTPUT),
            ("{{ { body.x } }}", codes::RAW_OUTPUT),
            ("{{> part }}", codes::BAD_TEMPLATE),
            ("{{* deco x }}", codes::BAD_TEMPLATE),
            ("{{#if body.x}}a{{/if}}", codes::BAD_TEMPLATE),
            ("{{{{raw x}}}} a {{{{/raw}}}}", codes::BAD_TEMPLATE),
            ("{{ body.x", codes::BAD_TEMPLATE),
            ("{{}}", codes::BAD_TEMPLATE),
        ] {
            let problems = compile(text, Position::Plain).unwrap_err();
            assert_eq!(problems[0].code, code, "{text}");
        }
    }

    #[test]
    fn every_wrong_expression_of_a_text_is_reported_at_its_place() {
        let text = "é {{ body.x }} {{ bdy.y }} {{ upper 'a } b' }} {{ uper body.z }}";
        let problems = compile(text, Position::Plain).unwrap_err();
        let marked: Vec<_> = problems
            .iter()
            .map(|problem| problem.span.unwrap())
            .map(|span| &text[span.start as usize..span.end as usize])
            .collect();
        assert_eq!(marked, ["bdy.y", "uper"]);
    }

    #[test]
    fn a_header_refuses_what_it_cannot_hold() {
        let header = |x: Value| render("v={{ body.x }}", Position::Header, x);
        assert_eq!(header(json!("a b")), Ok(Some("v=a b".into())));
        for hostile in ["a\r\nX-Evil: 1", "a\nb", "a\0", "é", "b "] {
            assert!(header(json!(hostile)).is_err(), "{hostile:?}");
        }
        assert!(render("{{ body.x }}", Position::Header, json!(" a")).is_err());
        assert!(compile("é{{ body.x }}", Position::Header).is_err());
        assert!(compile("a ", Position::Header).is_err());
    }

    #[test]
    fn xml_values_stand_in_text_and_quoted_attributes_only() {
        let xml = "<a b=\"{{ body.x }}\" c='{{ body.x }}'><!-- n --><d/>{{ body.x }}</a>";
        assert_eq!(
            render(xml, Position::Xml, json!("\"'<&>")),
            Ok(Some(
                "<a b=\"&quot;&apos;&lt;&amp;&gt;\" c='&quot;&apos;&lt;&amp;&gt;'><!-- n --><d/>&quot;&apos;&lt;&amp;&gt;</a>"
                    .into()
            ))
        );
        for misplaced in [
            "<{{ body.x }}/>",
            "<a {{ body.x }}='1'/>",
            "<a b={{ body.x }}/>",
            "<a \"{{ body.x }}\"/>",
            "<a{{ body.x }}/>",
            "</{{ body.x }}>",
            "<!-- {{ body.x }} -->",
            "<![CDATA[ {{ body.x }} ]]>",
            "<?pi {{ body.x }}?>",
            "<!DOCTYPE {{ body.x }}>",
            "<!DOCTYPE a [ <!ENTITY e 'v'> {{ body.x }} ]>",
            "&{{ body.x }};",
            "<a b='&{{ body.x }};'/>",
            "<a b='>' {{ body.x }}>",
            "<!-- > {{ body.x }} -->",
        ] {
            let problems = compile(misplaced, Position::Xml).unwrap_err();
            assert_eq!(problems[0].code, codes::MISPLACED_EXPRESSION, "{misplaced}");
        }
        assert!(compile("<a b='{{ body.x }}", Position::Xml).is_err());
        assert!(compile("<a>{{ body.x }}</a", Position::Xml).is_err());
        assert!(compile("<a b=\"1 > 0 & 'q'\">{{ body.x }}</a>", Position::Xml).is_ok());
    }

    #[test]
    fn xpath_values_stand_inside_quotes_and_never_hold_them() {
        let path = "/config/entry[@name='{{ body.x }}']";
        assert_eq!(
            render(path, Position::XPath, json!("a\"b")),
            Ok(Some("/config/entry[@name='a\"b']".into()))
        );
        assert!(render(path, Position::XPath, json!("a' or '1'='1")).is_err());
        let problems = compile("/config/{{ body.x }}", Position::XPath).unwrap_err();
        assert_eq!(problems[0].code, codes::MISPLACED_EXPRESSION);
        assert!(compile("/a[@b='{{ body.x }}]", Position::XPath).is_err());
    }
}
