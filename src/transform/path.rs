//! A call's path: literal and templated segments, each value percent-encoded into one segment.

use super::encode::Slot;
use super::expr::{Context, Expr, Fault, Wrote};
use super::parse::Compiler;
use super::segment::Segment;
use super::{Env, RenderError, Scope};
use crate::diagnostics::{Diagnostic, Diagnostics, codes};
use crate::document::Snippet;

/// A compiled path such as `/v2.0/networks/{{ object.backend_id }}`.
#[derive(Debug)]
pub struct PathTemplate {
    parts: Vec<Part>,
    field: Box<str>,
}

#[derive(Debug)]
enum Part {
    /// Whole segments, or the literal part of one; slashes included.
    Literal(Box<str>),
    Value(Expr),
    /// Ends a segment that holds a value.
    End,
}

impl PathTemplate {
    /// Compiles a path that begins with `/` and has no query; `optional` is refused in it.
    pub fn compile(
        source: Snippet<'_>,
        field: &str,
        env: &Env<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diags.errors();
        let mut compiler = Compiler::new(env, diags);
        let segments = compiler.segments(source, field, false)?;
        let parts = compiler.path_parts(segments, source)?;
        (diags.errors() == before).then(|| Self {
            parts,
            field: field.into(),
        })
    }

    /// Appends the encoded path (RFC 3986: everything but unreserved is percent-encoded in a
    /// value); a segment that renders empty, `.` or `..` is [`RenderError::Unsafe`] (SEMANTICS 22).
    pub fn write(&self, scope: &Scope<'_>, out: &mut String) -> Result<(), RenderError> {
        let start = out.len();
        let mut wanted = false;
        let result = self.fill(Context::new(scope), out, &mut wanted);
        if wanted || result.is_err() {
            out.truncate(start);
        }
        match result {
            _ if wanted => Err(RenderError::Lookups),
            result => result.map_err(|fault| fault.at(&self.field)),
        }
    }

    /// The variables that it reads, such as `object.backend_id`.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in &self.parts {
            if let Part::Value(expr) = part {
                expr.node.variables(&mut names);
            }
        }
        names
    }

    /// The path when it has no expression at all.
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    fn fill(&self, context: Context<'_>, out: &mut String, wanted: &mut bool) -> Result<(), Fault> {
        // A value never holds a slash once it is encoded, so the last one begins the segment.
        let mut last = "";
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Value(expr) => {
                    last = &expr.text;
                    if expr.write(Slot::Segment, context, out)? == Wrote::Wanted {
                        *wanted = true;
                    }
                }
                Part::End => {
                    let segment = out.rfind('/').map_or(out.as_str(), |at| &out[at + 1..]);
                    if !*wanted && matches!(segment, "" | "." | "..") {
                        let what = if segment.is_empty() { "empty" } else { segment };
                        return Err(Fault::refused(
                            last,
                            format!("the path segment would be `{what}`"),
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Compiler<'_> {
    fn path_parts(&mut self, segments: Vec<Segment>, source: Snippet<'_>) -> Option<Vec<Part>> {
        let whole = source.span();
        match segments.first() {
            Some(Segment::Literal(text)) if text.starts_with('/') => {}
            _ => {
                self.diags.push(
                    Diagnostic::error(codes::BAD_PATH, whole, "a path begins with `/`").help(
                        "write the path below the backend's base URL, such as `/v2.0/networks`",
                    ),
                );
                return None;
            }
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        // Of the segment being read: its literal part so far, and whether it holds a value.
        let mut current = String::new();
        let mut valued = false;
        let mut fine = true;
        let mut begun = false;
        for segment in segments {
            match segment {
                Segment::Literal(text) => {
                    let text = with_plain_dots(&text);
                    fine &= self.path_chars(&text, source);
                    for c in text.chars() {
                        if c != '/' {
                            current.push(c);
                            literal.push(c);
                            continue;
                        }
                        if valued {
                            flush(&mut parts, &mut literal);
                            parts.push(Part::End);
                        } else if begun {
                            fine &= self.literal_segment(&current, source);
                        }
                        begun = true;
                        current.clear();
                        valued = false;
                        literal.push('/');
                    }
                }
                Segment::Value { expr, at, .. } => {
                    if expr.node.may_be_absent() {
                        fine = false;
                        self.diags.push(
                            Diagnostic::error(
                                codes::MISPLACED_EXPRESSION,
                                at,
                                "nothing in a path can vanish with an absent value",
                            )
                            .help("drop `optional`, or give the value a `default`"),
                        );
                    }
                    flush(&mut parts, &mut literal);
                    parts.push(Part::Value(expr));
                    valued = true;
                }
                Segment::If { .. } | Segment::Each { .. } => {
                    fine = false;
                    self.error(codes::BAD_PATH, whole, "a path has no blocks");
                }
            }
        }
        flush(&mut parts, &mut literal);
        if valued {
            parts.push(Part::End);
        } else if !current.is_empty() {
            // A slash at the very end is the backend's own way to name a collection.
            fine &= self.literal_segment(&current, source);
        }
        fine.then_some(parts)
    }

    /// RFC 3986, section 3.3: what a path may hold as it is.
    fn path_chars(&mut self, text: &str, source: Snippet<'_>) -> bool {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let size = match c {
                '%' => {
                    let hex = rest.as_bytes().get(1..3);
                    if hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
                        3
                    } else {
                        0
                    }
                }
                c if c.is_ascii_alphanumeric() => 1,
                c if "/-._~!$&'()*+,;=:@".contains(c) => 1,
                _ => 0,
            };
            if size == 0 {
                let at = source.text.find(c).unwrap_or(0);
                let span = source.part_span(at, at + c.len_utf8());
                let (message, help) = match c {
                    '?' => ("a path has no query", "put the parameters under `query`"),
                    _ => (
                        "this character cannot stand in a path as it is",
                        "write it percent-encoded, such as `%20` for a blank",
                    ),
                };
                self.diags
                    .push(Diagnostic::error(codes::BAD_PATH, span, message).help(help));
                return false;
            }
            rest = &rest[size..];
        }
        true
    }

    fn literal_segment(&mut self, segment: &str, source: Snippet<'_>) -> bool {
        if matches!(segment, "" | "." | "..") {
            self.error(
                codes::BAD_PATH,
                source.span(),
                format!(
                    "a path segment cannot be {}",
                    match segment {
                        "" => "empty".to_owned(),
                        dots => format!("`{dots}`"),
                    }
                ),
            );
            return false;
        }
        true
    }
}

/// `%2e` is a dot to every server (RFC 3986, section 6.2.2.2), and is judged as one.
fn with_plain_dots(text: &str) -> String {
    text.replace("%2e", ".").replace("%2E", ".")
}

fn flush(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal).into()));
    }
}
