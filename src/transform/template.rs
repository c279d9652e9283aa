//! A text template of `templates/`: its name says what it writes, and so how values are encoded.

use serde::de::IgnoredAny;

use super::command;
use super::encode::Slot;
use super::expr::{Context, Fault};
use super::node::PathNode;
use super::parse::Compiler;
use super::scan;
use super::segment::{self, Holder, Rendering, Segment};
use super::uses::{Landing, Wants};
use super::{Env, RenderError, Scope};
use crate::diagnostics::{Diagnostic, Diagnostics, codes, suggest};
use crate::document::{Snippet, Span};

/// What a template writes, from its name: `rule.xml.hbs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
    Cli,
    Text,
}

impl Format {
    /// By the end of a template's name.
    pub fn of(name: &str) -> Option<Self> {
        [
            (".json.hbs", Format::Json),
            (".xml.hbs", Format::Xml),
            (".cli.hbs", Format::Cli),
            (".txt.hbs", Format::Text),
        ]
        .into_iter()
        .find(|(end, _)| name.ends_with(end))
        .map(|(_, format)| format)
    }
}

/// A compiled text template.
#[derive(Debug)]
pub struct Template {
    segments: Vec<Segment>,
    format: Format,
    name: Box<str>,
    field: Box<str>,
}

impl Template {
    /// Compiles the template `name` of `env.templates` for the route in which `used_at` stands.
    pub fn compile(
        name: &str,
        used_at: Span,
        field: &str,
        env: &Env<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        Compiler::new(env, diags).template(name, used_at, field)
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Its name in `templates/`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rendered text; a JSON template's is checked to be JSON.
    pub fn render(&self, scope: &Scope) -> Result<String, RenderError> {
        match self.run(Context::new(scope)) {
            Ok(done) if done.wanted => Err(RenderError::Lookups),
            Ok(done) => Ok(done.out),
            Err((_, true)) => Err(RenderError::Lookups),
            Err((fault, false)) => Err(fault.at(&self.field)),
        }
    }

    /// What it renders with some value in each place: one way through its blocks, and each other way beside it,
    /// with the block that takes it.
    pub fn ways(&self) -> Vec<(Option<Span>, String)> {
        segment::ways(&self.segments)
    }

    /// The variables that it reads, such as `body.user.password`.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        segment::variables(&self.segments, &mut names);
        names
    }

    pub(super) fn paths<'t>(&'t self, see: &mut dyn FnMut(&'t PathNode)) {
        segment::paths(&self.segments, see);
    }

    pub(super) fn field(&self) -> &str {
        &self.field
    }

    pub(super) fn run(&self, context: Context<'_>) -> Result<Rendering, (Fault, bool)> {
        let mut rendering = Rendering::new(Holder::Line);
        if let Err(fault) = rendering.run(&self.segments, context) {
            return Err((fault, rendering.wanted));
        }
        if self.format == Format::Json
            && !rendering.wanted
            && let Err(error) = serde_json::from_str::<IgnoredAny>(&rendering.out)
        {
            let reason = format!(
                "it rendered what is not JSON, at line {} column {}",
                error.line(),
                error.column()
            );
            return Err((Fault::refused(&self.name, reason), false));
        }
        Ok(rendering)
    }
}

/// How many elements XML content has that is to stand inside of an element; the error says why it cannot.
pub fn fragment(text: &str) -> Result<usize, String> {
    let whole = format!("<content>{text}</content>");
    let document = roxmltree::Document::parse(&whole)
        .map_err(|error| format!("this is not well-formed inside of an element: {error}"))?;
    let children = || document.root_element().children();
    if children().any(|node| node.is_text() && !node.text().unwrap_or_default().trim().is_empty()) {
        return Err("text stands outside of every element".to_owned());
    }
    Ok(children().filter(roxmltree::Node::is_element).count())
}

/// Why not all ways through a template are XML, and the block that makes it so, where one does.
fn ill_formed(ways: &[(Option<Span>, String)]) -> Option<(Option<Span>, String)> {
    let judged: Vec<_> = ways.iter().map(|(_, text)| well_formed(text)).collect();
    let wrong = judged.iter().position(Result::is_err)?;
    let error = judged[wrong].as_ref().err()?;
    // What is wrong with the first ways and right with another is that block's doing.
    let right = judged.iter().position(Result::is_ok);
    let block = ways[wrong].0.or(right.and_then(|right| ways[right].0));
    let why = match block {
        None => format!("this is not well-formed XML: {error}"),
        Some(_) => {
            // The place is one of a rendering that nobody sees.
            let error = error.to_string();
            let why = error.split(" at ").next().unwrap_or_default();
            format!("a way through this block is not well-formed XML: {why}")
        }
    };
    Some((block, why))
}

/// Whether text is an XML document, or may stand inside of an element.
fn well_formed(text: &str) -> Result<(), roxmltree::Error> {
    let document = text.trim_start().starts_with("<?xml") || text.contains("<!DOCTYPE");
    let read = if document {
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..roxmltree::ParsingOptions::default()
        };
        roxmltree::Document::parse_with_options(text, options).map(drop)
    } else {
        roxmltree::Document::parse(&format!("<content>{text}</content>")).map(drop)
    };
    match read {
        // XML itself knows no namespaces; who does, looks again.
        Err(roxmltree::Error::UnknownNamespace(..)) => Ok(()),
        read => read,
    }
}

impl Compiler<'_> {
    pub(super) fn template(&mut self, name: &str, used_at: Span, field: &str) -> Option<Template> {
        let env = self.env;
        let Some((file, text)) = env.templates.get(name) else {
            let near = suggest::nearest(name, env.templates.keys().map(|name| &**name));
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_TEMPLATE,
                    used_at,
                    format!("`templates/` has no `{name}`"),
                )
                .did_you_mean(near),
            );
            return None;
        };
        let Some(format) = Format::of(name) else {
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_TEMPLATE,
                    used_at,
                    format!("the name `{name}` does not say what the template writes"),
                )
                .help("end it with `.json.hbs`, `.xml.hbs`, `.cli.hbs` or `.txt.hbs`"),
            );
            return None;
        };
        // The template is one file and its uses are many: each problem names this use as well.
        let mut found = Diagnostics::default();
        let standing = self.standing.landing(match format {
            Format::Json | Format::Xml => Landing::Markup,
            Format::Cli | Format::Text => Landing::Line,
        });
        let standing = match format {
            // Whether a value stands inside of a string is known to its scanner alone.
            Format::Json => standing.argument(Wants::Anything),
            _ => standing,
        };
        let source = Snippet::file(*file, text);
        let mut inside = self.reporting(&mut found);
        inside.standing = standing;
        let segments = inside.template_segments(source, format, field);
        for problem in found.iter() {
            self.diags.push(
                problem
                    .clone()
                    .related(used_at, "the template is used here"),
            );
        }
        Some(Template {
            segments: segments?,
            format,
            name: name.into(),
            field: field.into(),
        })
    }

    fn template_segments(
        &mut self,
        source: Snippet<'_>,
        format: Format,
        field: &str,
    ) -> Option<Vec<Segment>> {
        self.on_line = format == Format::Cli;
        let segments = self.segments(source, field, true);
        self.on_line = false;
        let mut segments = segments?;
        // What is still open at the end is told at the last line.
        let end = source.text.trim_end().len();
        let last = source.text[..end].rfind('\n').map_or(0, |at| at + 1);
        let whole = source.part_span(last, end);
        let placed = match format {
            Format::Xml => scan::assign(scan::Xml::default(), &mut segments, whole, self.diags),
            Format::Json => scan::assign(scan::Json::default(), &mut segments, whole, self.diags),
            Format::Cli => {
                if let Err(why) = command::literals(&segments, true) {
                    self.error(codes::BAD_TEMPLATE, whole, why);
                    return None;
                }
                let scanner = command::CliLine::default();
                scan::assign(scanner, &mut segments, whole, self.diags)
            }
            Format::Text => {
                segment::put_into(&mut segments, Slot::Line);
                true
            }
        };
        let by_line = matches!(format, Format::Cli | Format::Text);
        let before = self.diags.errors();
        segment::each_value(&segments, &mut |expr, at| {
            if !by_line && expr.node.may_be_absent() {
                self.diags.push(
                    Diagnostic::error(
                        codes::MISPLACED_EXPRESSION,
                        at,
                        "nothing here can vanish with an absent value",
                    )
                    .help("write `{{#if (has x)}} ... {{/if}}` around it, or give it a `default`"),
                );
            }
        });
        if format == Format::Xml
            && placed
            && let Some((block, why)) = ill_formed(&segment::ways(&segments))
        {
            self.error(codes::BAD_TEMPLATE, block.unwrap_or(source.span()), why);
        }
        (placed && self.diags.errors() == before).then_some(segments)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{Names, compiled, scope};
    use super::*;
    use crate::document::FileId;

    fn compile(name: &str, text: &str) -> Result<Template, Vec<Diagnostic>> {
        let names = Names::new().with_template(name, text);
        let used_at = Span::new(FileId(0), 3, 9);
        compiled(|diags| Template::compile(name, used_at, "call.template", &names.env(), diags))
    }

    fn render(name: &str, text: &str, body: Value) -> Result<String, RenderError> {
        compile(name, text).unwrap().render(&scope(body))
    }

    #[test]
    fn its_name_says_what_it_writes() {
        for (name, format) in [
            ("a.json.hbs", Format::Json),
            ("fw/a.xml.hbs", Format::Xml),
            ("a.cli.hbs", Format::Cli),
            ("a.txt.hbs", Format::Text),
        ] {
            assert_eq!(compile(name, "").unwrap().format(), format);
        }
        assert_eq!(
            compile("a.hbs", "").unwrap_err()[0].code,
            codes::UNKNOWN_TEMPLATE
        );
    }

    #[test]
    fn an_unknown_template_suggests_the_nearest() {
        let names = Names::new().with_template("fw/rule.xml.hbs", "");
        let problems = compiled(|diags| {
            Template::compile("fw/rul.xml.hbs", Span::default(), "f", &names.env(), diags)
        })
        .unwrap_err();
        assert_eq!(
            problems[0].label.as_deref(),
            Some("did you mean `fw/rule.xml.hbs`?")
        );
    }

    #[test]
    fn a_problem_names_the_template_and_its_use() {
        let problems = compile("a.txt.hbs", "line\nx {{ bdy.x }}\n").unwrap_err();
        let span = problems[0].span.unwrap();
        assert_eq!((span.file, span.start, span.end), (FileId(1), 10, 15));
        assert_eq!(problems[0].related[0].0, Span::new(FileId(0), 3, 9));
    }

    /// Whatever way its blocks take, an XML template is well-formed; what is not is told at the block.
    #[test]
    fn xml_is_well_formed_whichever_way_its_blocks_take() {
        for fine in [
            "<a>{{#if body.x}}<b/>{{else}}<c>1</c><d/>{{/if}}</a>",
            "<a{{#if body.x}} b='1'{{/if}}/>",
            "<a>{{#each body.list as |one|}}<b{{#if one}} c='{{ one }}'{{/if}}/>{{else}}-{{/each}}</a>",
            // Both ways close what stands before and open what stands behind.
            "<a>{{#if body.x}}</a><b>{{else}}1</a><b>{{/if}}</b>",
            "<?xml version='1.0'?>\n<!DOCTYPE a [<!ENTITY e 'v'>]>\n<a>&e;{{ body.x }}</a>",
            "",
        ] {
            assert!(compile("a.xml.hbs", fine).is_ok(), "{fine}");
        }
        let each = "{{#each body.list as |one|}}";
        for (wrong, block) in [
            ("<a>{{#if body.x}}<b>{{/if}}</a>", "{{#if body.x}}"),
            (
                "<a>{{#if body.x}}1{{else}}</a>{{/if}}</a>",
                "{{#if body.x}}",
            ),
            (
                "<a>{{#unless body.x}}<b>{{/unless}}</a>",
                "{{#unless body.x}}",
            ),
            ("<a>{{#each body.list as |one|}}</a><b>{{/each}}</b>", ""),
            ("<a>{{#each body.list as |one|}}<b>{{/each}}</a>", each),
            (
                "<a>{{#each body.list as |one|}}1{{else}}<b>{{/each}}</a>",
                each,
            ),
            ("<a{{#each body.list as |one|}} b='1'{{/each}}/>", each),
            (
                "<a>{{#if body.x}}1{{else}}{{#if body.y}}2{{else}}<b>{{/if}}{{/if}}</a>",
                "{{#if body.y}}",
            ),
            // No block knows of another.
            (
                "{{#if body.x}}<a>{{/if}}<b/>{{#if body.x}}</a>{{/if}}",
                "{{#if body.x}}",
            ),
            ("<a>{{ body.x }}</b>", ""),
            ("<a>&nbsp;</a>", ""),
        ] {
            let problems = compile("a.xml.hbs", wrong).unwrap_err();
            assert_eq!(problems.len(), 1, "{wrong}: {problems:?}");
            assert_eq!(problems[0].code, codes::BAD_TEMPLATE, "{wrong}");
            let span = problems[0].span.unwrap();
            let told = &wrong[span.start as usize..span.end as usize];
            let whole = if block.is_empty() { wrong } else { block };
            assert_eq!(told, whole, "{}", problems[0].message);
        }
    }

    #[test]
    fn xml_blocks_are_strict_and_escaped() {
        let text = "<r>\n{{#each body.rules as |rule|}}\n  <e n=\"{{ rule.n }}\" i='{{ @index }}'>{{#if rule.on}}on{{else}}off{{/if}}</e>\n{{/each}}\n</r>\n";
        let body = json!({ "rules": [{ "n": "<\"", "on": true }, { "n": "b", "on": false }] });
        assert_eq!(
            render("a.xml.hbs", text, body),
            Ok(
                "<r>\n  <e n=\"&lt;&quot;\" i='0'>on</e>\n  <e n=\"b\" i='1'>off</e>\n</r>\n"
                    .into()
            )
        );
        assert!(matches!(
            render("a.xml.hbs", text, json!({})),
            Err(RenderError::Missing { variable, .. }) if variable == "body.rules"
        ));
        assert!(matches!(
            render("a.xml.hbs", text, json!({ "rules": [{ "n": "a", "on": "yes" }] })),
            Err(RenderError::Unsafe { variable, .. }) if variable == "rule.on"
        ));
        assert!(matches!(
            render("a.xml.hbs", text, json!({ "rules": {} })),
            Err(RenderError::Unsafe { variable, .. }) if variable == "body.rules"
        ));
    }

    #[test]
    fn else_chains_unless_and_this_work() {
        let text = "{{#each body.l}}{{#if (eq this.k 1)}}one{{else if (eq this.k 2)}}two{{else if (eq this.k 3)}}three{{else}}many{{/if}}{{#unless @last}},{{/unless}}{{else}}none{{/each}}";
        let body = json!({ "l": [{ "k": 1 }, { "k": 2 }, { "k": 3 }, { "k": 4 }] });
        assert_eq!(
            render("a.txt.hbs", text, body),
            Ok("one,two,three,many".into())
        );
        assert_eq!(
            render("a.txt.hbs", text, json!({ "l": [] })),
            Ok("none".into())
        );
    }

    #[test]
    fn wrong_tokens_in_blocks_are_marked() {
        let text = "{{#each body.l as |x|}}{{#if bdy.a}}{{else if (uper x.b)}}{{ y.c }}{{/if}}{{/each}}{{#iff a}}{{/iff}}";
        let problems = compile("a.txt.hbs", text).unwrap_err();
        let marked: Vec<_> = problems
            .iter()
            .map(|problem| problem.span.unwrap())
            .map(|span| &text[span.start as usize..span.end as usize])
            .collect();
        assert_eq!(marked, ["bdy.a", "uper", "y.c", "iff"]);
    }

    #[test]
    fn raw_blocks_do_not_compile() {
        let text = "{{{{if body.x}}}} {{ body.y }} {{{{/if}}}}";
        let problems = compile("a.txt.hbs", text).unwrap_err();
        assert_eq!(problems[0].code, codes::BAD_TEMPLATE);
    }

    #[test]
    fn each_way_through_a_block_ends_where_it_began() {
        for (name, text) in [
            ("a.xml.hbs", "<a b='{{#if body.x}}'{{/if}}/>"),
            ("a.xml.hbs", "{{#each body.x as |i|}}<a {{/each}}>"),
            ("a.json.hbs", "[{{#if body.x}}{{else}}{ {{/if}}]"),
            ("a.json.hbs", "{{#if body.x}}\"{{/if}}a\""),
        ] {
            assert!(compile(name, text).is_err(), "{text}");
        }
        // The attribute goes on in both ways.
        assert!(
            compile(
                "a.xml.hbs",
                "<a b='{{#if body.x}}1{{else}}{{ body.y }}{{/if}}'/>"
            )
            .is_ok()
        );
    }

    #[test]
    fn json_values_stand_as_values_or_inside_strings_never_as_keys() {
        let text = r#"{"a": {{ body.v }}, "b": "x-{{ body.s }}", "c": [{{#each body.l as |i|}}{"i": {{ i }}}{{#unless @last}},{{/unless}}{{/each}}]}"#;
        let body = json!({ "v": { "k": [null, "\""] }, "s": "q\"\\\n{{é", "l": [1, "\"x"] });
        let rendered = render("a.json.hbs", text, body.clone()).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&rendered).unwrap(),
            json!({ "a": body["v"], "b": "x-q\"\\\n{{é", "c": [{ "i": 1 }, { "i": "\"x" }] })
        );
        for misplaced in [
            r#"{"{{ body.k }}": 1}"#,
            r#"{ {{ body.k }}: 1}"#,
            r#"{"a": 1, "k{{ body.k }}": 1}"#,
            r#"{"a": 1{{#if body.x}}, {{/if}}"{{ body.k }}": 2}"#,
            // Handlebars reads two backslashes before braces as one, which would escape the value.
            r#"{"a": "\\{{ body.k }}"}"#,
            r#"{"a": "\u00{{ body.k }}"}"#,
            // Behind the block it stands as a value one way, and as a key the other.
            r#"{ {{#if body.x}}"a": {{/if}}{{ body.k }}: 1}"#,
            r#"["a" {{ body.k }}]"#,
        ] {
            let problems = compile("a.json.hbs", misplaced).unwrap_err();
            assert!(
                problems
                    .iter()
                    .any(|problem| problem.code == codes::MISPLACED_EXPRESSION),
                "{misplaced}: {problems:?}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_refused_when_rendered() {
        let text = "[1 {{#if body.x}}2{{/if}}]";
        assert_eq!(
            render("a.json.hbs", text, json!({ "x": false })),
            Ok("[1 ]".into())
        );
        let error = render("a.json.hbs", text, json!({ "x": true })).unwrap_err();
        assert!(
            matches!(&error, RenderError::Unsafe { variable, .. } if variable == "a.json.hbs"),
            "{error}"
        );
    }

    #[test]
    fn a_line_vanishes_with_an_absent_value() {
        let text = "interface {{ body.i }}\n mtu {{ body.i }} {{ optional body.m }}\n no shutdown\n x {{ optional body.m }}";
        assert_eq!(
            render("a.cli.hbs", text, json!({ "i": "e1" })),
            Ok("interface e1\n no shutdown\n".into())
        );
        assert_eq!(
            render("a.cli.hbs", text, json!({ "i": "e1", "m": 9 })),
            Ok("interface e1\n mtu e1 9\n no shutdown\n x 9".into())
        );
        let problems = compile("a.xml.hbs", "<a>{{ optional body.x }}</a>").unwrap_err();
        assert_eq!(problems[0].code, codes::MISPLACED_EXPRESSION);
    }

    #[test]
    fn a_cli_value_is_one_part_of_one_line() {
        for hostile in ["a\nreload", "a?", "a\tb", "a\r"] {
            let body = json!({ "x": hostile });
            assert!(
                render("a.cli.hbs", "name {{ body.x }}", body).is_err(),
                "{hostile:?}"
            );
        }
    }

    #[test]
    fn its_variables_tell_the_items_of_lists() {
        let template = compile(
            "a.txt.hbs",
            "{{#if (has body.a)}}{{#each body.users as |user|}}{{ user.password }}{{/each}}{{/if}}",
        )
        .unwrap();
        assert_eq!(
            template.variables(),
            ["body.a", "body.users", "body.users.*.password"]
        );
    }
}
