//! `match:` of a route: the method and the path pattern.

use http::Method;

use super::codes;
use super::names::check_name;
use crate::config::spec::part::Written;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Snippet;

pub(super) const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// What the relay's own listener serves.
const RESERVED: [&str; 3] = ["/relay", "/openapi.json", "/docs"];

/// What a request must look like to be for a route.
#[derive(Clone, Debug)]
pub(super) struct Match {
    pub method: Method,
    pub path: Box<str>,
    pub params: Vec<Box<str>>,
}

/// Reads `METHOD /path/{param}`.
pub(super) fn compile(written: &Written, diags: &mut Diagnostics) -> Option<Match> {
    written.literal("`match`", diags)?;
    let (method, path) = method_and_path(written.snippet(), "match", &METHODS, diags)?;
    let errors = diags.errors();
    let params = pattern(path, diags);
    (diags.errors() == errors).then(|| Match {
        method,
        path: path.text.into(),
        params,
    })
}

/// Splits `METHOD /path`, as `match` and `call.http` are written; both parts are reported.
pub(super) fn method_and_path<'t>(
    snippet: Snippet<'t>,
    key: &str,
    methods: &[Method],
    diags: &mut Diagnostics,
) -> Option<(Method, Snippet<'t>)> {
    let text = snippet.text;
    let split = text.split_once(' ').filter(|_| !text.starts_with('/'));
    let Some((word, rest)) = split else {
        diags.push(
            Diagnostic::error(
                codes::BAD_MATCH,
                snippet.span(),
                format!("`{key}` is a method and a path"),
            )
            .help(match key {
                "match" => "such as `GET /v1/networks/{id}`",
                _ => "such as `GET /v2.0/networks/{{ object.backend_id }}`",
            }),
        );
        return None;
    };
    let method = methods
        .iter()
        .find(|method| method.as_str() == word)
        .cloned();
    if method.is_none() {
        let upper = word.to_ascii_uppercase();
        let nearest = suggest::nearest(&upper, methods.iter().map(Method::as_str));
        diags.push(
            Diagnostic::error(
                codes::BAD_MATCH,
                snippet.part_span(0, word.len()),
                format!("`{word}` is not a method that `{key}` takes"),
            )
            .did_you_mean(nearest)
            .help(format!(
                "methods here: {}",
                methods
                    .iter()
                    .map(Method::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        );
    }
    let path_at = text.len() - rest.trim_start().len();
    let path = snippet.cut(path_at, text.len());
    if !path.text.starts_with('/') {
        let help = match (key, path.text.contains("://")) {
            ("match", _) => {
                "write the path alone: where the relay listens is `listen` of relay.yaml"
            }
            (_, true) => "write the path alone: the host is the `url` of the backend",
            (_, false) => "begin it with `/`: it is joined to the backend's `url`",
        };
        diags.push(
            Diagnostic::error(codes::BAD_MATCH, path.span(), "a path begins with `/`").help(help),
        );
        return None;
    }
    Some((method?, path))
}

/// Checks a path pattern and gives the names of its parameters.
fn pattern(path: Snippet<'_>, diags: &mut Diagnostics) -> Vec<Box<str>> {
    let text = path.text;
    let error = |start: usize, end: usize, message: String| {
        Diagnostic::error(codes::BAD_MATCH, path.part_span(start, end), message)
    };
    let mut params: Vec<Box<str>> = Vec::new();
    if let Some(at) = text.find(['?', '#']) {
        diags.push(
            error(
                at,
                text.len(),
                "a pattern is a path, without a query".into(),
            )
            .help("declare query parameters in `request.query`"),
        );
        return params;
    }
    let mut start = 1;
    let last = text.matches('/').count() - 1;
    for (index, segment) in text[1..].split('/').enumerate() {
        let end = start + segment.len();
        match segment {
            "" if index == last => diags.push(
                error(end - 1, end, "a pattern has no trailing `/`".into())
                    .help("paths are compared as they are: `/v1/x/` is not `/v1/x`"),
            ),
            "" => diags.push(error(start - 1, start, "an empty path segment".into())),
            "." | ".." => diags.push(error(
                start,
                end,
                format!("`{segment}` is not a path segment"),
            )),
            _ => {
                if let Some(name) = self::segment(path, start, segment, &params, diags) {
                    params.push(name.into());
                }
            }
        }
        start = end + 1;
    }
    if let Some(reserved) = RESERVED.iter().find(|reserved| {
        text.strip_prefix(**reserved)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }) {
        diags.push(
            Diagnostic::error(
                codes::RESERVED_PATH,
                path.part_span(0, reserved.len()),
                format!("`{reserved}` is the relay's own"),
            )
            .help("choose another path, such as one below `/v1`"),
        );
    }
    params
}

/// Checks one segment: literal characters around at most one `{name}`.
fn segment<'t>(
    path: Snippet<'t>,
    start: usize,
    segment: &'t str,
    known: &[Box<str>],
    diags: &mut Diagnostics,
) -> Option<&'t str> {
    let span = |from: usize, to: usize| path.part_span(start + from, start + to);
    let (open, close) = (segment.find('{'), segment.find('}'));
    let (literal, name) = match (open, close) {
        (None, None) => {
            if let Some(name) = segment.strip_prefix(':').filter(|name| !name.is_empty()) {
                diags.push(
                    Diagnostic::error(
                        codes::BAD_MATCH,
                        span(0, segment.len()),
                        "a parameter is a name in braces, `{id}`",
                    )
                    .did_you_mean(Some(&format!("{{{name}}}"))),
                );
                return Some(name);
            }
            (segment.to_owned(), None)
        }
        (Some(open), Some(close)) if open < close => (
            format!("{}{}", &segment[..open], &segment[close + 1..]),
            Some((open + 1, close)),
        ),
        _ => {
            diags.push(Diagnostic::error(
                codes::BAD_MATCH,
                span(0, segment.len()),
                "a parameter is a name in braces, `{id}`",
            ));
            return None;
        }
    };
    if literal.contains(['{', '}']) {
        diags.push(Diagnostic::error(
            codes::BAD_MATCH,
            span(0, segment.len()),
            "a path segment has at most one parameter",
        ));
        return None;
    }
    // RFC 3986 pchar, without escapes: requests are compared before they are decoded.
    let odd = literal
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(*c)));
    if let Some(odd) = odd {
        let at = segment.find(odd).unwrap_or(0);
        diags.push(
            Diagnostic::error(
                codes::BAD_MATCH,
                span(at, at + odd.len_utf8()),
                format!("`{odd}` cannot stand in a pattern"),
            )
            .help("write letters, digits and -._~!$&'()*+,;=:@"),
        );
    }
    let (from, to) = name?;
    let name = &segment[from..to];
    if name.starts_with('*') {
        diags.push(Diagnostic::error(
            codes::BAD_MATCH,
            span(from, to),
            "a parameter is one path segment; none takes the rest of a path",
        ));
        return None;
    }
    if !check_name(name, span(from, to), "a parameter", diags) {
        return None;
    }
    if known.iter().any(|known| **known == *name) {
        diags.push(Diagnostic::error(
            codes::BAD_MATCH,
            span(from, to),
            format!("`{name}` is already a parameter of this path"),
        ));
        return None;
    }
    Some(name)
}
