//! A text template of `templates/`: its name says what it writes, and so how values are encoded.

use serde::de::IgnoredAny;

use super::encode::Slot;
use super::expr::{Context, Fault};
use super::parse::Compiler;
use super::scan;
use super::segment::{self, Holder, Rendering, Segment};
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
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, RenderError> {
        match self.run(Context::new(scope)) {
            Ok(done) if done.wanted => Err(RenderError::Lookups),
            Ok(done) => Ok(done.out),
            Err((_, true)) => Err(RenderError::Lookups),
            Err((fault, false)) => Err(fault.at(&self.field)),
        }
    }

    /// The variables that it reads, such as `body.user.password`.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        segment::variables(&self.segments, &mut names);
        names
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
        let segments =
            self.reporting(&mut found)
                .template_segments(Snippet::file(*file, text), format, field);
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
        let mut segments = self.segments(source, field, true)?;
        let whole = source.part_span(0, 0);
        let placed = match format {
            Format::Xml => scan::assign(scan::Xml::default(), &mut segments, whole, self.diags),
            Format::Json => scan::assign(scan::Json::default(), &mut segments, whole, self.diags),
            Format::Cli => {
                segment::put_into(&mut segments, Slot::Cli);
                true
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
        (placed && self.diags.errors() == before).then_some(segments)
    }
}
