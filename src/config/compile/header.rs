//! Headers that a configuration sets: names that a call may carry, values that can stand there.

use http::{HeaderName, HeaderValue};

use crate::config::spec::decode::{At, Entries};
use crate::config::spec::part::Written;
use crate::config::spec::secret;
use crate::config::{codes, secrets};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::secret::Secret;

/// What the transport itself writes, and what ends at the next hop (RFC 9110, 7.6.1).
pub(super) const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The name of a header that a call may carry.
pub fn name(text: &str, span: Span, diags: &mut Diagnostics) -> Option<HeaderName> {
    let Ok(name) = text.parse::<HeaderName>() else {
        let message = format!("`{text}` is not a header's name");
        diags.push(Diagnostic::error(codes::BAD_VALUE, span, message));
        return None;
    };
    if RESERVED.contains(&name.as_str()) {
        let message = format!("`{text}` is written by the relay itself");
        diags.push(Diagnostic::error(codes::BAD_VALUE, span, message));
        return None;
    }
    Some(name)
}

/// Literal headers; a credential among them is reported.
pub fn literals(
    entries: &Entries<Written>,
    diags: &mut Diagnostics,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (key, written) in &entries.0 {
        if refuse_credential(key, written, "auth.headers", diags) {
            continue;
        }
        let name = name(&key.value, key.span, diags);
        let text = written.literal("a header of every call", diags);
        let (Some(name), Some(text)) = (name, text) else {
            continue;
        };
        if headers.iter().any(|(known, _)| *known == name) {
            let message = format!("the header `{name}` stands twice");
            diags.push(Diagnostic::error(codes::DUPLICATE_KEY, key.span, message));
            continue;
        }
        match HeaderValue::from_str(text).ok().filter(|_| text.is_ascii()) {
            Some(value) => headers.push((name, value)),
            None => diags.push(Diagnostic::error(
                codes::BAD_VALUE,
                written.span(),
                "a header's value is visible ASCII on one line",
            )),
        }
    }
    headers
}

/// Literal query parameters; a credential among them is reported.
pub fn literal_query(
    entries: &Entries<Written>,
    diags: &mut Diagnostics,
) -> Vec<(Box<str>, Box<str>)> {
    let mut query = Vec::new();
    for (key, written) in &entries.0 {
        if refuse_credential(key, written, "auth.query", diags) {
            continue;
        }
        if let Some(text) = written.literal("a query parameter of every call", diags) {
            query.push((key.value.as_str().into(), text.into()));
        }
    }
    query
}

fn refuse_credential(
    key: &At<String>,
    written: &Written,
    instead: &str,
    diags: &mut Diagnostics,
) -> bool {
    let name = key.value.to_ascii_lowercase();
    let credential = matches!(
        name.as_str(),
        "authorization" | "cookie" | "proxy-authorization"
    ) || name.ends_with("api-key")
        || secrets::smells(&name);
    if credential {
        let help =
            format!("write it under `{instead}`, as `{{ env: NAME }}` or `{{ file: PATH }}`");
        diags.push(secret::in_clear(written.span(), &help));
        diags.mask(written.span());
    }
    credential
}

/// Whether a secret can stand in a header; its value is never quoted.
pub fn check_secret(secret: &Secret, span: Span, diags: &mut Diagnostics) -> bool {
    let value = secret.expose();
    let fits = value.is_ascii() && HeaderValue::from_str(value).is_ok();
    if !fits {
        diags.push(Diagnostic::error(
            codes::BAD_VALUE,
            span,
            format!(
                "the secret `{}` cannot stand in a header: it is not visible ASCII on one line",
                secret.reference()
            ),
        ));
    }
    fits
}
