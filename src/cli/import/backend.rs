//! A backend file for a kind that has none yet: where it is, and how calls authenticate, as far as the
//! document says it.

use serde_json::{Value, json};

use super::document::{Document, list, object, one_line};
use super::yaml::Yaml;

/// Drafts the file.
pub fn draft(document: &Document, kind: &str, name: &str) -> String {
    let https = Yaml::map()
        .with("url", url(document))
        .with_some("auth", auth(document, kind));
    let body = Yaml::map()
        .with("version", json!(1))
        .with("name", name)
        .with("kind", kind)
        .with("driver", Yaml::map().with("https", https))
        .write();
    format!(
        "# yaml-language-server: $schema=../schema/backend.schema.json\n\
         #\n# Drafted from \"{}\". The name goes into the mapping table, so it never changes.\n{body}",
        one_line(document.title()).unwrap_or_default()
    )
}

/// The first server; what is no absolute `https` URL is a question.
fn url(document: &Document) -> Yaml {
    let Some(server) = list(document.servers()).next() else {
        let candidates = vec![Yaml::text("https://backend.example.net")];
        return Yaml::decide(
            "where is the backend? The document names no server",
            candidates,
        );
    };
    let mut url = server["url"].as_str().unwrap_or_default().to_owned();
    let has_variables = url.contains('{');
    for (name, variable) in object(&server["variables"]) {
        let default = variable["default"].as_str().unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
    }
    let url = url.trim_end_matches('/').to_owned();
    let rest = url.strip_prefix("http://").unwrap_or(&url);
    let secure = match rest.split_once("://") {
        Some(_) => rest.to_owned(),
        None if url.starts_with("http://") => format!("https://{rest}"),
        // Relative to where the document was served from.
        None => format!(
            "https://backend.example.net/{}",
            rest.trim_start_matches('/')
        ),
    };
    let secure = secure.trim_end_matches('/').to_owned();
    let others = list(document.servers()).count() > 1;
    if url.starts_with("https://") && !has_variables && !others {
        return Yaml::text(url);
    }
    Yaml::decide(
        "where is the backend, this instance of it?",
        vec![Yaml::text(secure)],
    )
}

fn auth(document: &Document, kind: &str) -> Option<Yaml> {
    let schemes = document.security_schemes();
    let variable = |end: &str| format!("{}_{end}", kind.to_uppercase());
    let secret = |end: &str| Yaml::map().with("env", variable(end));
    let mut candidates: Vec<Yaml> = Vec::new();
    let mut sure = schemes.len() == 1;
    for (_, scheme) in &schemes {
        let name = scheme["name"].as_str().unwrap_or_default();
        let word = |key: &str| {
            scheme[key]
                .as_str()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let known = match (
            word("type").as_str(),
            word("scheme").as_str(),
            word("in").as_str(),
        ) {
            ("http", "bearer", _) => Some(Yaml::map().with("bearer", secret("TOKEN"))),
            ("http", "basic", _) => {
                let user = Yaml::decide(
                    "as which user does the relay call?",
                    vec![Yaml::text("relay")],
                );
                let basic = Yaml::map()
                    .with("user", user)
                    .with("password", secret("PASSWORD"));
                Some(Yaml::map().with("basic", basic))
            }
            ("apikey", _, "header") if !name.is_empty() => {
                Some(Yaml::map().with("headers", Yaml::map().with(name, secret("KEY"))))
            }
            ("apikey", _, "query") if !name.is_empty() => {
                Some(Yaml::map().with("query", Yaml::map().with(name, secret("KEY"))))
            }
            _ => None,
        };
        match known {
            // A question inside a candidate would be one too many.
            Some(known) if schemes.len() == 1 || !matches!(word("scheme").as_str(), "basic") => {
                candidates.push(known)
            }
            _ => sure = false,
        }
    }
    if schemes.is_empty() {
        return None;
    }
    if sure {
        return candidates.pop();
    }
    if candidates.is_empty() {
        candidates.push(Yaml::map().with("bearer", secret("TOKEN")));
    }
    let names: Vec<String> = schemes
        .iter()
        .map(|(name, scheme)| {
            let kind = scheme.get("type").and_then(Value::as_str).unwrap_or("?");
            format!("{name} ({kind})")
        })
        .collect();
    let question = format!(
        "how do calls authenticate? The document names {}",
        names.join(", ")
    );
    Some(Yaml::decide(&question, candidates))
}
