//! The tenant's story: what the demo invites to try, in parts, each with what it shows.
//!
//! A step is data: it is printed as a curl line, it is sent by `demo --script`, and tests do both. Each works
//! as it stands, in order, on the first run and on every later one: what is made twice is a replay, and a replay
//! is a lesson too.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::packs::Backend;

/// One request to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does and what to look at.
    pub title: String,
    pub method: &'static str,
    /// `{found}` in it stands for what [`Self::find`] finds.
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Option<Value>,
    /// The status that it answers with.
    pub expect_status: u16,
    /// What is looked up first.
    pub find: Option<Find>,
    /// The CA to trust, for a request to a simulated backend itself.
    pub ca_file: Option<PathBuf>,
}

/// A text out of another answer: the first match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    pub url: String,
    /// What POSIX extended regular expressions and those of the `regex` crate have in common.
    pub pattern: &'static str,
}

/// A part of the story.
#[derive(Clone, Debug)]
pub struct Part {
    pub title: &'static str,
    pub steps: Vec<Step>,
}

/// Where a pack's part of the story takes place.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// `http://127.0.0.1:8080`
    pub relay: &'a str,
    pub admin: &'a str,
    /// Those of the pack.
    pub backends: &'a [Backend],
    /// The CA of their certificates.
    pub ca_file: &'a Path,
}

impl Scene<'_> {
    /// A URL of the CMP listener.
    pub fn to(&self, path: &str) -> String {
        format!("{}{path}", self.relay)
    }

    /// A URL of the admin listener.
    pub fn to_admin(&self, path: &str) -> String {
        format!("{}{path}", self.admin)
    }

    /// The URL of a backend of the pack.
    pub fn backend(&self, name: &str) -> &str {
        let backend = self.backends.iter().find(|backend| backend.name == name);
        &backend.expect("a pack names its own backends").url
    }
}

/// The last part: what the relay has written down.
pub fn ending(scene: &Scene<'_>) -> Part {
    Part {
        title: "What the relay holds now",
        steps: vec![
            Step::get(
                "The table: which CMP object is which object of which backend",
                &scene.to_admin("/relay/v1/mappings"),
                200,
            ),
            Step::get(
                "The journal: every change that was asked for, and what came of it",
                &scene.to_admin("/relay/v1/operations"),
                200,
            ),
        ],
    }
}

impl Step {
    pub fn get(title: &str, url: &str, expect_status: u16) -> Self {
        Self::bare(title, "GET", url, None, expect_status)
    }

    /// A request without a body, perhaps with an `Idempotency-Key`.
    pub fn bare(
        title: &str,
        method: &'static str,
        url: &str,
        key: Option<&str>,
        expect_status: u16,
    ) -> Self {
        let key = key.map(|key| ("Idempotency-Key", key.to_owned()));
        Self {
            title: title.to_owned(),
            method,
            url: url.to_owned(),
            headers: key.into_iter().collect(),
            body: None,
            expect_status,
            find: None,
            ca_file: None,
        }
    }

    pub fn post(
        title: &str,
        url: &str,
        key: Option<&str>,
        body: &Value,
        expect_status: u16,
    ) -> Self {
        Self::bare(title, "POST", url, key, expect_status).with(body)
    }

    pub fn put(title: &str, url: &str, body: &Value, expect_status: u16) -> Self {
        Self::bare(title, "PUT", url, None, expect_status).with(body)
    }

    /// The same with a body.
    pub fn with(mut self, body: &Value) -> Self {
        let json = "application/json".to_owned();
        self.headers.push(("Content-Type", json));
        self.body = Some(body.clone());
        self
    }

    /// The same after a look at what this URL answers: the first match takes the place of `{found}`.
    pub fn found_in(mut self, url: &str, pattern: &'static str) -> Self {
        let url = url.to_owned();
        self.find = Some(Find { url, pattern });
        self
    }

    /// The same, to a server that a certificate of this CA names.
    pub fn trusting(mut self, ca_file: &Path) -> Self {
        self.ca_file = Some(ca_file.to_owned());
        self
    }

    /// The step as a line for a POSIX shell.
    pub fn command(&self) -> String {
        let mut words = vec!["curl -si".to_owned()];
        if let Some(file) = &self.ca_file {
            words.push(format!("--cacert {}", quoted(&file.to_string_lossy())));
        }
        if self.method != "GET" {
            words.push(format!("-X {}", self.method));
        }
        let url = self.url.split("{found}").map(quoted).collect::<Vec<_>>();
        let found = self.find.as_ref().map(|Find { url, pattern }| {
            let (url, pattern) = (quoted(url), quoted(pattern));
            format!("$(curl -s {url} | grep -oE {pattern} | head -n 1)")
        });
        words.push(url.join(&found.unwrap_or_default()));
        for (name, value) in &self.headers {
            words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
        }
        if let Some(body) = &self.body {
            words.push(format!("-d {}", quoted(&body.to_string())));
        }
        words.join(" ")
    }
}

/// One shell word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_one_shell_word() {
        let step = Step::post(
            "t",
            "http://h/v1/x",
            Some("k"),
            &json!({ "n": "it's" }),
            201,
        );
        assert_eq!(
            step.command(),
            r#"curl -si -X POST http://h/v1/x -H 'Idempotency-Key: k' -H 'Content-Type: application/json' -d '{"n":"it'\''s"}'"#
        );
    }

    #[test]
    fn a_query_does_not_reach_the_shell() {
        let step = Step::get("t", "http://h/v1/x?region=a", 200);
        assert_eq!(step.command(), "curl -si 'http://h/v1/x?region=a'");
    }

    #[test]
    fn what_is_looked_up_first_stands_in_the_line() {
        let step = Step::get("t", "http://h/v1/jobs/{found}", 200)
            .found_in("http://h/v1/jobs?state=new", "[0-9a-f-]{36}");
        assert_eq!(
            step.command(),
            "curl -si http://h/v1/jobs/$(curl -s 'http://h/v1/jobs?state=new' | grep -oE '[0-9a-f-]{36}' | head -n 1)"
        );
    }
}
