//! `$ref`: the value of another file, or a part of it, put where it is named.
//!
//! A reference is `shared/x.yaml` or `schemas/x.yaml#/$defs/port`: a path below `routes.d/`, with
//! the JSON pointer (RFC 6901) of a part behind `#`. Keys beside `$ref` win over those that come with it; nothing
//! is ever fetched. In a schema a `#/pointer` alone is JSON Schema's own: it stays, and means the
//! schema in which it stands; inside a shared file it means that file. A schema file that contains itself
//! becomes such a local reference; anywhere else a cycle is an error.

use super::codes;
use crate::config::source::{FileRole, SourceFiles};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, FileId, Kind, Node, Scalar, Span};

const REF: &str = "$ref";

/// A route file with every reference outside of its schemas and examples replaced.
pub(super) fn expand_file(node: &Node, files: &SourceFiles, diags: &mut Diagnostics) -> Node {
    Expansion::new(files, Mode::Structure, diags).node(node, None, &mut Vec::new())
}

/// A schema that refers to no other file any more.
pub(super) fn expand_schema(node: &Node, files: &SourceFiles, diags: &mut Diagnostics) -> Node {
    Expansion::new(files, Mode::Schema, diags).node(node, None, &mut Vec::new())
}

/// The node at a JSON pointer; without the leading `#`.
pub(super) fn at_pointer<'n>(root: &'n Node, pointer: &str) -> Option<&'n Node> {
    pointer
        .split('/')
        .skip(1)
        .try_fold(root, |node, segment| step(node, &unescape(segment)))
}

/// One segment, escaped for a JSON pointer.
pub(super) fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn step<'n>(node: &'n Node, segment: &str) -> Option<&'n Node> {
    match &node.kind {
        Kind::List(items) => items.get(segment.parse::<usize>().ok()?),
        _ => node.get(segment),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Structure,
    Schema,
}

/// A reference being replaced right now.
struct Frame {
    file: FileId,
    fragment: String,
    /// Where its value lands, as segments.
    at: Vec<String>,
}

struct Expansion<'f, 'd> {
    files: &'f SourceFiles,
    mode: Mode,
    stack: Vec<Frame>,
    diags: &'d mut Diagnostics,
}

impl<'f, 'd> Expansion<'f, 'd> {
    fn new(files: &'f SourceFiles, mode: Mode, diags: &'d mut Diagnostics) -> Self {
        Self {
            files,
            mode,
            stack: Vec::new(),
            diags,
        }
    }

    /// `home` is the shared file in which `node` stands; `at` is where its value lands.
    fn node(&mut self, node: &Node, home: Option<FileId>, at: &mut Vec<String>) -> Node {
        if self.mode == Mode::Structure && is_opaque(at) {
            return self.opaque(node, home);
        }
        let kind = match &node.kind {
            Kind::Map(_) => match reference_of(node) {
                Some(reference) => return self.reference(node, reference, home, at),
                None => Kind::Map(self.entries(node, home, at)),
            },
            Kind::List(items) => Kind::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.child(item, index.to_string(), home, at))
                    .collect(),
            ),
            other => other.clone(),
        };
        Node {
            span: node.span,
            kind,
        }
    }

    fn entries(&mut self, map: &Node, home: Option<FileId>, at: &mut Vec<String>) -> Vec<Entry> {
        let Kind::Map(entries) = &map.kind else {
            return Vec::new();
        };
        entries
            .iter()
            .filter(|entry| entry.key != REF || reference_of(map).is_none())
            .map(|entry| Entry {
                key: entry.key.clone(),
                key_span: entry.key_span,
                value: self.child(&entry.value, entry.key.clone(), home, at),
            })
            .collect()
    }

    fn child(
        &mut self,
        node: &Node,
        segment: String,
        home: Option<FileId>,
        at: &mut Vec<String>,
    ) -> Node {
        at.push(segment);
        let child = self.node(node, home, at);
        at.pop();
        child
    }

    fn reference(
        &mut self,
        node: &Node,
        reference: &Node,
        home: Option<FileId>,
        at: &mut Vec<String>,
    ) -> Node {
        let text = reference.as_text().unwrap_or_default();
        let beside = self.entries(node, home, at);
        let as_map = |entries| Node {
            span: node.span,
            kind: Kind::Map(entries),
        };
        if self.mode == Mode::Schema && home.is_none() && text.starts_with('#') {
            return as_map(with_local(text, reference.span, beside));
        }
        // A broken reference leaves what is written beside it, so that the rest is still checked.
        let Some((file, fragment, target)) = self.resolve(text, reference.span, home) else {
            return as_map(beside);
        };
        if let Some(open) = self
            .stack
            .iter()
            .find(|frame| frame.file == file && frame.fragment == fragment)
        {
            if self.mode == Mode::Schema && open.at != *at {
                let local = local_reference(&open.at);
                return as_map(with_local(&local, reference.span, beside));
            }
            self.diags.push(
                Diagnostic::error(
                    codes::REFERENCE_CYCLE,
                    reference.span,
                    format!("`{text}` refers to itself"),
                )
                .help("a value cannot contain itself: take the part that both need into a file of its own"),
            );
            return as_map(beside);
        }
        self.stack.push(Frame {
            file,
            fragment,
            at: at.clone(),
        });
        let value = self.node(target, Some(file), at);
        self.stack.pop();
        if beside.is_empty() {
            return value;
        }
        match value.kind {
            Kind::Map(entries) => as_map(merge(entries, beside)),
            _ => {
                self.diags.push(Diagnostic::error(
                    codes::BAD_REFERENCE,
                    reference.span,
                    format!(
                        "`{text}` is {}, so no key can stand beside it",
                        target.describe()
                    ),
                ));
                as_map(beside)
            }
        }
    }

    fn resolve(
        &mut self,
        text: &str,
        span: Span,
        home: Option<FileId>,
    ) -> Option<(FileId, String, &'f Node)> {
        let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
        let file = if path.is_empty() {
            match home {
                Some(home) => home,
                None => {
                    self.diags.push(
                        Diagnostic::error(
                            codes::BAD_REFERENCE,
                            span,
                            format!("`{text}` names no file"),
                        )
                        .help("write a path below routes.d/, such as `shared/x.yaml`; `#/...` alone stands in schemas"),
                    );
                    return None;
                }
            }
        } else {
            self.file(path, span)?
        };
        let root = self.files.get(file).node.as_ref()?;
        let target = self.part(root, file, fragment, span)?;
        Some((file, fragment.to_owned(), target))
    }

    fn file(&mut self, path: &str, span: Span) -> Option<FileId> {
        if path.contains("://") || path.starts_with("//") {
            self.diags.push(
                Diagnostic::error(
                    codes::REMOTE_REFERENCE,
                    span,
                    format!("`{path}` is not a file here, and nothing is fetched"),
                )
                .help("keep a copy below routes.d/ and refer to that"),
            );
            return None;
        }
        let path = path.strip_prefix("./").unwrap_or(path);
        let full = format!("routes.d/{path}");
        let found = self
            .files
            .find(&full)
            .filter(|file| self.files.get(*file).role == FileRole::Shared);
        if found.is_none() {
            let nearest = suggest::nearest(path, shared_paths(self.files));
            self.diags.push(
                Diagnostic::error(
                    codes::MISSING_FILE,
                    span,
                    format!("`{full}` is not a file that can be referred to"),
                )
                .did_you_mean(nearest)
                .help("shared pieces are YAML or JSON files in folders of routes.d/, such as routes.d/shared/"),
            );
        }
        found
    }

    fn part(
        &mut self,
        root: &'f Node,
        file: FileId,
        fragment: &str,
        span: Span,
    ) -> Option<&'f Node> {
        let mut node = root;
        for segment in fragment.split('/').skip(1) {
            let segment = unescape(segment);
            let Some(next) = step(node, &segment) else {
                let keys = match &node.kind {
                    Kind::Map(entries) => entries.iter().map(|entry| entry.key.as_str()).collect(),
                    _ => Vec::new(),
                };
                self.diags.push(
                    Diagnostic::error(
                        codes::BAD_REFERENCE,
                        span,
                        format!(
                            "`{}` has no `{segment}` at `#{fragment}`",
                            self.files.get(file).path
                        ),
                    )
                    .did_you_mean(suggest::nearest(&segment, keys)),
                );
                return None;
            };
            node = next;
        }
        Some(node)
    }

    /// A subtree that is expanded later (a schema) or never (an example): only the value itself may
    /// be a reference, and local references inside are tied to the file that they came from.
    fn opaque(&mut self, node: &Node, home: Option<FileId>) -> Node {
        let mut node = tied(node, home.map(|file| self.shared_path(file)).as_deref());
        // A chain of references is as long as there are files, or it is a cycle.
        for _ in 0..=self.files.len() {
            let Some(reference) = reference_of(&node).cloned() else {
                return node;
            };
            let text = reference.as_text().unwrap_or_default();
            let beside = match &node.kind {
                Kind::Map(entries) => entries
                    .iter()
                    .filter(|entry| entry.key != REF)
                    .cloned()
                    .collect(),
                _ => Vec::new(),
            };
            let mut entries = Vec::new();
            if let Some((file, _, target)) = self.resolve(text, reference.span, None)
                && let Kind::Map(found) = tied(target, Some(&self.shared_path(file))).kind
            {
                entries = found;
            }
            node = Node {
                span: node.span,
                kind: Kind::Map(merge(entries, beside)),
            };
        }
        self.diags.push(Diagnostic::error(
            codes::REFERENCE_CYCLE,
            node.span,
            "this reference refers to itself",
        ));
        node
    }

    fn shared_path(&self, file: FileId) -> String {
        let path = &self.files.get(file).path;
        path.strip_prefix("routes.d/").unwrap_or(path).to_owned()
    }
}

/// `request` and `examples` of a route.
fn is_opaque(at: &[String]) -> bool {
    matches!(at, [routes, _, key] if routes == "routes" && (key == "request" || key == "examples"))
}

fn shared_paths(files: &SourceFiles) -> impl Iterator<Item = &str> {
    files
        .shared()
        .filter_map(|(_, file)| file.path.strip_prefix("routes.d/"))
}

/// The text of `$ref`, where the node is a reference.
fn reference_of(node: &Node) -> Option<&Node> {
    node.get(REF).filter(|value| value.as_text().is_some())
}

/// The node with each `#/pointer` in it tied to the shared file `path`.
fn tied(node: &Node, path: Option<&str>) -> Node {
    let Some(path) = path else {
        return node.clone();
    };
    let kind = match &node.kind {
        Kind::List(items) => Kind::List(items.iter().map(|item| tied(item, Some(path))).collect()),
        Kind::Map(entries) => Kind::Map(
            entries
                .iter()
                .map(|entry| Entry {
                    key: entry.key.clone(),
                    key_span: entry.key_span,
                    value: match entry.value.as_text() {
                        Some(text) if entry.key == REF && text.starts_with('#') => {
                            text_node(format!("{path}{text}"), entry.value.span)
                        }
                        _ => tied(&entry.value, Some(path)),
                    },
                })
                .collect(),
        ),
        other => other.clone(),
    };
    Node {
        span: node.span,
        kind,
    }
}

fn merge(mut entries: Vec<Entry>, beside: Vec<Entry>) -> Vec<Entry> {
    for entry in beside {
        match entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
    entries
}

fn with_local(text: &str, span: Span, mut beside: Vec<Entry>) -> Vec<Entry> {
    beside.insert(
        0,
        Entry {
            key: REF.to_owned(),
            key_span: span,
            value: text_node(text.to_owned(), span),
        },
    );
    beside
}

fn text_node(text: String, span: Span) -> Node {
    Node {
        span,
        kind: Kind::Text(Scalar {
            text,
            verbatim_at: None,
            plain: false,
        }),
    }
}

/// A `#/pointer` as a URI fragment (RFC 6901 section 6).
fn local_reference(at: &[String]) -> String {
    let mut out = String::from("#");
    for segment in at {
        out.push('/');
        for byte in escape(segment).bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'$' => {
                    out.push(char::from(byte));
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}
