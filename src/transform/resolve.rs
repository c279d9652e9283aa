//! Variables: every root, alias and name must exist where an expression stands, or the nearest right
//! name is told. What a request's body holds is checked against its schema elsewhere.

use super::helpers;
use super::node::{Node, PathNode, RoundPart, Start, Step};
use super::parse::Compiler;
use super::scope::Root;
use super::uses::{Place, Use};
use crate::diagnostics::{Diagnostic, codes, suggest};
use crate::document::Span;

impl Compiler<'_> {
    /// Compiles a variable, a loop's `@` variable, or a helper without arguments.
    pub(super) fn variable(&mut self, raw: &str, span: Span) -> Option<Node> {
        if let Some(name) = raw.strip_prefix('@') {
            return self.round_variable(name, raw, span);
        }
        if raw.starts_with("../") || raw.starts_with("./") || has_slash(raw) {
            self.diags.push(
                Diagnostic::error(
                    codes::BAD_TEMPLATE,
                    span,
                    format!("`{raw}`: variables have no relative paths"),
                )
                .help("write a variable by its full name with dots, such as `body.name`"),
            );
            return None;
        }
        let keys = split(raw);
        let first = keys[0];
        // The innermost loop of that name.
        if let Some(depth) = self
            .loops
            .iter()
            .rev()
            .position(|around| *around.name == *first)
        {
            let around = &self.loops[self.loops.len() - 1 - depth];
            let reads = around
                .reads
                .as_ref()
                .map(|list| joined(list, &keys[1..]).into());
            if let Some(place) = &around.place {
                self.note(place.below(&keys[1..]), &keys[1..], raw, span);
            }
            return Some(path(Start::Item(depth), &keys[1..], raw, reads));
        }
        if keys.len() == 1
            && let Some((helper, least, _, example)) = helpers::find(first)
        {
            if let (helpers::Helper::Plain(func), 0) = (helper, least) {
                return Some(Node::Call {
                    func,
                    args: Vec::new(),
                    text: raw.into(),
                });
            }
            self.diags.push(
                Diagnostic::error(
                    codes::BAD_ARGUMENT,
                    span,
                    format!("`{first}` is a helper and needs an argument"),
                )
                .help(format!("write `{example}`")),
            );
            return None;
        }
        let Some(root) = Root::ALL.into_iter().find(|root| root.name() == first) else {
            self.unknown_root(first, raw, span);
            return None;
        };
        if !self.env.roots.contains(&root) {
            let here = self.roots_here();
            let help = match root {
                Root::Response | Root::Extracted => {
                    format!("it exists once the backend has answered; {here}")
                }
                Root::Object => {
                    format!("it exists where the route has `object:`, and after it; {here}")
                }
                Root::Parents => {
                    format!("it exists where the route has `parents:`, and after them; {here}")
                }
                _ => here,
            };
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_VARIABLE,
                    span,
                    format!("`{first}` does not exist here"),
                )
                .help(help),
            );
            return None;
        }
        self.check_keys(root, &keys[1..], raw, span)?;
        let place = Place {
            root,
            keys: Vec::new(),
        };
        self.note(place.below(&keys[1..]), &keys[1..], raw, span);
        let reads = joined(first, &keys[1..]).into();
        Some(path(Start::Root(root), &keys[1..], raw, Some(reads)))
    }

    fn note(&self, place: Place, keys: &[&str], raw: &str, span: Span) {
        let Some(uses) = self.uses else {
            return;
        };
        let standing = &self.standing;
        uses.note(Use {
            place,
            text: raw.into(),
            written: keys.len(),
            span,
            expression: raw.into(),
            field: self.field.clone(),
            landing: standing.landing,
            wants: standing.wants,
            absence: standing.absence,
            fallback: standing.fallback.clone(),
            facts: standing.facts.clone(),
            table: standing.table.clone(),
        });
    }

    /// Whether a loop's item may be called so: nothing may hide a namespace or a helper.
    pub(super) fn may_name_item(&mut self, name: &str, span: Span) -> bool {
        let fine = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && !Root::ALL.iter().any(|root| root.name() == name)
            && helpers::find(name).is_none();
        if !fine {
            self.error(
                codes::BAD_ARGUMENT,
                span,
                format!(
                    "an item cannot be called `{name}`: take a word of letters, digits and `_` that is no namespace and no helper"
                ),
            );
        }
        fine
    }

    fn round_variable(&mut self, name: &str, raw: &str, span: Span) -> Option<Node> {
        let part = match name {
            "index" => RoundPart::Index,
            "first" => RoundPart::First,
            "last" => RoundPart::Last,
            _ => {
                let near = suggest::nearest(raw, ["@index", "@first", "@last"]);
                self.diags.push(
                    Diagnostic::error(
                        codes::UNKNOWN_VARIABLE,
                        span,
                        format!("`{raw}` is not a variable"),
                    )
                    .did_you_mean(near)
                    .help("inside a loop there are `@index`, `@first` and `@last`"),
                );
                return None;
            }
        };
        if self.loops.is_empty() {
            self.error(
                codes::UNKNOWN_VARIABLE,
                span,
                format!("`{raw}` exists inside a loop only"),
            );
            return None;
        }
        Some(Node::Round(0, part))
    }

    fn unknown_root(&mut self, name: &str, raw: &str, span: Span) {
        let rest = raw.strip_prefix(name).unwrap_or_default();
        let near = [
            (Root::Path, self.env.path),
            (Root::Let, self.env.lets),
            (Root::Extracted, self.env.extracted),
        ]
        .into_iter()
        .find(|(_, names)| names.iter().any(|known| **known == *name))
        .map(|(root, _)| format!("{}.{name}", root.name()))
        .or_else(|| {
            let meant = meant_by(name).filter(|root| self.env.roots.contains(root))?;
            Some(format!("{}{rest}", meant.name()))
        })
        .or_else(|| {
            let roots = self.env.roots.iter().map(|root| root.name());
            let items = self.loops.iter().map(|around| &*around.name);
            suggest::nearest(name, roots.chain(items)).map(|near| format!("{near}{rest}"))
        })
        .or_else(|| {
            // A field of the request without its namespace, as other template languages write it;
            // their `this` is the item of a loop.
            let alone = rest.is_empty() && name != "this" && self.env.roots.contains(&Root::Body);
            alone.then(|| format!("body.{name}"))
        });
        let help = self.roots_here();
        self.diags.push(
            Diagnostic::error(
                codes::UNKNOWN_VARIABLE,
                span,
                format!("`{name}` is not a variable here"),
            )
            .did_you_mean(near.as_deref())
            .help(help),
        );
    }

    fn roots_here(&self) -> String {
        let mut names: Vec<_> = self
            .env
            .roots
            .iter()
            .map(|root| format!("`{}.*`", root.name()))
            .collect();
        names.extend(self.loops.iter().map(|around| format!("`{}`", around.name)));
        match names.is_empty() {
            true => "no variables exist here".to_owned(),
            false => format!("here there are {}", names.join(", ")),
        }
    }

    /// Checks what stands behind a root against what the root has.
    fn check_keys(&mut self, root: Root, keys: &[&str], raw: &str, span: Span) -> Option<()> {
        const OBJECT: &[&str] = &["cmp_id", "backend_id", "backend", "attributes.*"];
        const BACKEND: &[&str] = &["name", "kind", "labels.*", "vars.*"];
        const REQUEST: &[&str] = &["id", "operation", "client", "time"];
        const RESPONSE: &[&str] = &["status", "headers.*", "body.*", "text", "stderr"];
        let named = |names: &[Box<str>]| names.iter().map(|name| name.to_string()).collect();
        let first = keys.first().copied();
        let (known, prefix, below): (Vec<String>, &str, &[&str]) = match root {
            Root::Body | Root::Query => return Some(()),
            Root::Header => return self.check_header("header", keys, span),
            Root::Path => (named(self.env.path), "path", &[]),
            Root::Let => (named(self.env.lets), "let", &["*"]),
            Root::Extracted => (named(self.env.extracted), "extracted", &["*"]),
            Root::Tokens => (named(self.env.tokens), "tokens", &[]),
            Root::Parents => (named(self.env.parents), "parents", OBJECT),
            Root::Object => return self.check_fields(OBJECT, "object", keys, raw, span),
            Root::Backend => return self.check_fields(BACKEND, "backend", keys, raw, span),
            Root::Request => return self.check_fields(REQUEST, "request", keys, raw, span),
            Root::Mapping => return self.check_fields(&["cmp_id"], "mapping", keys, raw, span),
            Root::Response => {
                self.check_fields(RESPONSE, "response", keys, raw, span)?;
                return match keys {
                    ["headers", below @ ..] => self.check_header("response.headers", below, span),
                    _ => Some(()),
                };
            }
        };
        let Some(first) = first else {
            return Some(());
        };
        if !known.iter().any(|name| name == first) {
            let near = suggest::nearest(first, known.iter().map(String::as_str))
                .map(|near| format!("{prefix}.{near}"));
            let help = match known.is_empty() {
                true if root == Root::Path => {
                    "the path of this route's `match` has no parameter; one is written `{id}`"
                        .to_owned()
                }
                true if root == Root::Let => {
                    "no `let` stands above: each sees the ones before it".to_owned()
                }
                true if root == Root::Extracted => {
                    "values are extracted from a success, in order: an error's `detail` has none, and \
                     each sees the ones before it; take it from `response.body` itself"
                        .to_owned()
                }
                true => format!("`{prefix}` has no names here"),
                false => format!("`{prefix}` has {}", known.join(", ")),
            };
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_VARIABLE,
                    span,
                    format!("`{prefix}` has no `{first}` here"),
                )
                .did_you_mean(near.as_deref())
                .help(help),
            );
            return None;
        }
        match (keys.get(1), below) {
            (None, _) | (_, ["*"]) => Some(()),
            (Some(_), []) => {
                self.error(
                    codes::UNKNOWN_VARIABLE,
                    span,
                    format!("`{prefix}.{first}` is text and has no parts"),
                );
                None
            }
            (Some(_), fields) => {
                self.check_fields(fields, &format!("{prefix}.{first}"), &keys[1..], raw, span)
            }
        }
    }

    /// `fields` that end in `.*` have names of their own below; the others have nothing below.
    fn check_fields(
        &mut self,
        fields: &[&str],
        owner: &str,
        keys: &[&str],
        raw: &str,
        span: Span,
    ) -> Option<()> {
        let Some((first, below)) = keys.split_first() else {
            return Some(());
        };
        let plain = |field: &&str| field.trim_end_matches(".*").to_owned();
        let Some(field) = fields.iter().find(|field| plain(field) == *first) else {
            let names: Vec<_> = fields.iter().map(plain).collect();
            let near = suggest::nearest(first, names.iter().map(String::as_str))
                .map(|near| format!("{owner}.{near}"))
                .or_else(|| {
                    // `request.body.name`: the parts of a request are namespaces of their own.
                    let meant = meant_by(first).filter(|_| owner == Root::Request.name())?;
                    let rest: String = below.iter().map(|key| format!(".{key}")).collect();
                    Some(format!("{}{rest}", meant.name()))
                });
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_VARIABLE,
                    span,
                    format!("`{owner}` has no `{first}`"),
                )
                .did_you_mean(near.as_deref())
                .help(format!("`{owner}` has {}", fields.join(", "))),
            );
            return None;
        };
        if !below.is_empty() && !field.ends_with(".*") {
            self.error(
                codes::UNKNOWN_VARIABLE,
                span,
                format!("`{raw}`: `{owner}.{first}` has no parts"),
            );
            return None;
        }
        Some(())
    }

    /// Header names stand in lower case, `-` written `_`.
    fn check_header(&mut self, of: &str, keys: &[&str], span: Span) -> Option<()> {
        let Some((name, below)) = keys.split_first() else {
            return Some(());
        };
        if !below.is_empty() {
            self.error(
                codes::UNKNOWN_VARIABLE,
                span,
                format!("`{of}.{name}` is text and has no parts"),
            );
            return None;
        }
        let right = name.to_ascii_lowercase().replace('-', "_");
        if right == *name {
            return Some(());
        }
        self.diags.push(
            Diagnostic::error(
                codes::UNKNOWN_VARIABLE,
                span,
                format!("`{of}.{name}`: header names stand in lower case, `-` written `_`"),
            )
            .did_you_mean(Some(&format!("{of}.{right}"))),
        );
        None
    }
}

fn path(start: Start, keys: &[&str], raw: &str, reads: Option<Box<str>>) -> Node {
    Node::Path(PathNode {
        start,
        steps: keys.iter().map(|key| Step::new(key)).collect(),
        text: raw.into(),
        reads,
    })
}

fn joined(start: &str, keys: &[&str]) -> String {
    let mut name = start.to_owned();
    for key in keys {
        name.push('.');
        name.push_str(key);
    }
    name
}

/// The keys of a path: between dots, or in brackets (`body.[odd key]`), where anything may stand.
fn split(raw: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut rest = raw;
    loop {
        if let Some(inside) = rest.strip_prefix('[')
            && let Some(end) = inside.find(']')
        {
            keys.push(&inside[..end]);
            match inside[end + 1..].strip_prefix('.') {
                Some(more) => rest = more,
                None => return keys,
            }
        } else {
            match rest.split_once('.') {
                Some((key, more)) => {
                    keys.push(key);
                    rest = more;
                }
                None => {
                    keys.push(rest);
                    return keys;
                }
            }
        }
    }
}

fn has_slash(raw: &str) -> bool {
    let mut bracket = false;
    raw.chars().any(|c| {
        match c {
            '[' => bracket = true,
            ']' => bracket = false,
            _ => {}
        }
        c == '/' && !bracket
    })
}

/// The namespace that other languages call so.
fn meant_by(word: &str) -> Option<Root> {
    Some(match word {
        "params" | "param" | "path" | "path_params" => Root::Path,
        "headers" | "header" => Root::Header,
        "query" | "queries" | "args" => Root::Query,
        "payload" | "json" | "data" | "body" | "input" => Root::Body,
        "req" => Root::Request,
        "res" | "resp" | "result" | "answer" => Root::Response,
        "parent" => Root::Parents,
        _ => return None,
    })
}
