//! A call's path: literal and templated segments, each value percent-encoded into one segment.

use super::encode::Slot;
use super::expr::{Context, Expr, Fault, Wrote};
use super::parse::Compiler;
use super::segment::Segment;
use super::uses::Landing;
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
        let mut compiler = Compiler::new(env, diags).landing(Landing::Path);
        let segments = compiler.segments(source, field, false)?;
        let parts = compiler.path_parts(segments, source)?;
        (diags.errors() == before).then(|| Self {
            parts,
            field: field.into(),
        })
    }

    /// Appends the encoded path (RFC 3986: everything but unreserved is percent-encoded in a
    /// value); a segment that renders empty, `.` or `..` is [`RenderError::Unsafe`] (SEMANTICS 22).
    pub fn write(&self, scope: &Scope, out: &mut String) -> Result<(), RenderError> {
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
                // Behind the first expression the place is not known to the character.
                let literal = source.text.find("{{").unwrap_or(source.text.len());
                let span = match source.text[..literal].find(c) {
                    Some(at) => source.part_span(at, at + c.len_utf8()),
                    None => source.span(),
                };
                let (message, help) = match c {
                    '?' => ("a path has no query", "put the parameters under `query`"),
                    '{' | '}' => (
                        "a single brace is no expression",
                        "write a value in double braces, such as `/api/things/{{ path.id }}`",
                    ),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{Names, compiled, scope, text_node};
    use super::*;

    fn compile(text: &str) -> Result<PathTemplate, Vec<Diagnostic>> {
        let names = Names::new();
        let node = text_node(text);
        compiled(|diags| {
            PathTemplate::compile(node.snippet().unwrap(), "call.http", &names.env(), diags)
        })
    }

    fn write(text: &str, body: Value) -> Result<String, RenderError> {
        let mut out = String::from("base");
        let result = compile(text).unwrap().write(&scope(body), &mut out);
        match result {
            Ok(()) => Ok(out["base".len()..].to_owned()),
            Err(error) => {
                assert_eq!(out, "base", "on an error nothing is appended");
                Err(error)
            }
        }
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        assert_eq!(
            write(
                "/v1/a-{{ body.x }}/{{ body.y }}",
                json!({ "x": "a/b?c", "y": 7 })
            ),
            Ok("/v1/a-a%2Fb%3Fc/7".into())
        );
        assert_eq!(
            write(
                "/{{ body.x }}{{ body.y }}/",
                json!({ "x": "../", "y": "%2F" })
            ),
            Ok("/..%2F%252F/".into())
        );
    }

    #[test]
    fn a_segment_that_means_another_one_is_refused() {
        for (path, x) in [
            ("/a/{{ body.x }}", ""),
            ("/a/{{ body.x }}/b", "."),
            ("/a/{{ body.x }}/b", ".."),
            ("/a/.{{ body.x }}", "."),
            ("/a/%2e{{ body.x }}", "."),
            ("/a/{{ body.x }}{{ body.x }}", "."),
        ] {
            assert!(
                matches!(
                    write(path, json!({ "x": x })),
                    Err(RenderError::Unsafe { .. })
                ),
                "{path} {x:?}"
            );
        }
        assert_eq!(
            write("/a/{{ body.x }}", json!({ "x": "..." })),
            Ok("/a/...".into())
        );
    }

    #[test]
    fn a_literal_path_is_checked_when_it_compiles() {
        for path in ["/", "/v2.0/ports", "/a/b/", "/a:b@c;d=1,2(3)!*'", "/%20"] {
            assert_eq!(compile(path).unwrap().as_literal(), Some(path));
        }
        for path in [
            "",
            "v1",
            "{{ body.x }}",
            "/a//b",
            "/./a",
            "/a/..",
            "/%2e%2E/a",
            "/a?b=1",
            "/a#b",
            "/a b",
            "/é",
            "/%zz",
            "//a",
        ] {
            let problems = compile(path).unwrap_err();
            assert!(
                problems
                    .iter()
                    .all(|problem| problem.code == codes::BAD_PATH),
                "{path}: {problems:?}"
            );
        }
    }

    #[test]
    fn nothing_in_a_path_is_optional() {
        let problems = compile("/a/{{ upper (optional body.x) }}").unwrap_err();
        assert_eq!(problems[0].code, codes::MISPLACED_EXPRESSION);
        assert!(compile("/a/{{ default (optional body.x) 'b' }}").is_ok());
    }

    #[test]
    fn its_variables_are_told() {
        let path = compile("/{{ object.backend_id }}/{{ backend.vars.vdom }}").unwrap();
        assert_eq!(path.variables(), ["object.backend_id", "backend.vars.vdom"]);
    }
}
