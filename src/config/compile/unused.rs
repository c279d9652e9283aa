//! Files and names that nobody uses: shared pieces that no `$ref` reaches, instances of a kind that no
//! route calls, authentications and variables of a backend that no route names.

use std::collections::{BTreeMap, BTreeSet};

use super::codes;
use super::names::Surroundings;
use super::reads::Reads;
use super::resource::Sheet;
use crate::config::spec::part::{Written, right};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, FileId, Kind, Node, Span};

/// Shared pieces and schemas that nothing refers to, directly or through another.
pub(super) fn check_shared(around: &Surroundings<'_>, diags: &mut Diagnostics) {
    let files = around.files;
    let mut open: Vec<(FileId, &Node)> = files
        .routes()
        .filter_map(|(id, file)| Some((id, file.node.as_ref()?)))
        .collect();
    let mut reached = BTreeSet::new();
    while let Some((home, node)) = open.pop() {
        let mut paths = Vec::new();
        references(node, &mut paths);
        for path in paths {
            let path = path.strip_prefix("./").unwrap_or(path);
            let file = match path {
                "" => Some(home),
                path => files.find(&format!("routes.d/{path}")),
            };
            if let Some(file) = file
                && reached.insert(file)
                && let Some(node) = &files.get(file).node
            {
                open.push((file, node));
            }
        }
    }
    for (id, file) in files.shared().filter(|(id, _)| !reached.contains(id)) {
        let path = file.path.strip_prefix("routes.d/").unwrap_or(&file.path);
        diags.push(
            Diagnostic::warning(
                codes::UNUSED_FILE,
                Span::new(id, 0, 0),
                format!("no `$ref` names `{path}`"),
            )
            .help(format!(
                "remove the file, or write `$ref: {path}` where its value belongs"
            )),
        );
    }
}

/// The files that the references of a subtree name; empty for the file itself.
fn references<'n>(node: &'n Node, paths: &mut Vec<&'n str>) {
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| references(item, paths)),
        Kind::Map(entries) => {
            for Entry { key, value, .. } in entries {
                match value.as_text() {
                    Some(text) if key == "$ref" => {
                        paths.push(text.split_once('#').map_or(text, |(path, _)| path));
                    }
                    _ => references(value, paths),
                }
            }
        }
        _ => {}
    }
}

/// What the routes of one kind use of its instances.
#[derive(Default)]
struct Used {
    /// The names below `backend.vars`; `None`: all of them, or some that cannot be told.
    vars: Option<BTreeSet<String>>,
    auths: BTreeSet<String>,
}

/// Instances that no route calls, and what they say that no route reads. `reads` is what each sheet
/// reads, its templates included.
pub(super) fn check_backends(
    sheets: &[Sheet],
    reads: &[Reads],
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) {
    let files = around.files;
    // A folder that has no routes yet is about backends alone.
    if sheets.is_empty() {
        return;
    }
    let mut kinds: BTreeMap<&str, Used> = BTreeMap::new();
    for (sheet, reads) in sheets.iter().zip(reads) {
        let used = kinds.entry(sheet.kind()).or_insert_with(|| Used {
            vars: Some(BTreeSet::new()),
            auths: BTreeSet::new(),
        });
        for (path, _) in reads.of_root("backend") {
            let mut steps = path.split('.');
            match (steps.next(), steps.next()) {
                (Some("vars"), Some(name)) => {
                    used.vars.iter_mut().for_each(|vars| {
                        vars.insert(name.to_owned());
                    });
                }
                (Some("vars" | ""), None) => used.vars = None,
                _ => {}
            }
        }
        let routes = right(&sheet.spec.routes)
            .into_iter()
            .flat_map(|routes| &routes.0);
        for (_, route) in routes {
            let auth = right(&route.call).and_then(|call| right(&call.auth));
            used.auths
                .extend(auth.map(Written::text).map(str::to_owned));
        }
    }
    for (_, file) in files.backends() {
        let Some(node) = &file.node else { continue };
        let Some(kind) = node.get("kind") else {
            continue;
        };
        match kind.as_text().map(|text| (text, kinds.get(text))) {
            Some((_, Some(used))) => check_backend(node, used, diags),
            Some((text, None)) => diags.push(
                Diagnostic::warning(
                    codes::UNUSED_BACKEND,
                    kind.span,
                    format!(
                        "no route is for backends of kind `{text}`, so this one is never called"
                    ),
                )
                .did_you_mean(suggest::nearest(text, kinds.keys().copied()))
                .help("add a file with this `kind:` to routes.d/, or remove the backend"),
            ),
            None => {}
        }
    }
}

fn check_backend(node: &Node, used: &Used, diags: &mut Diagnostics) {
    for entry in node.get("vars").map_or(&[][..], Node::entries) {
        let Some(read) = &used.vars else { break };
        if !read.contains(&entry.key) {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_VAR,
                    entry.key_span,
                    format!("no route of this kind reads `backend.vars.{}`", entry.key),
                )
                .did_you_mean(suggest::nearest(
                    &entry.key,
                    read.iter().map(String::as_str),
                ))
                .help("remove it, or use it"),
            );
        }
    }
    let driver = node.get("driver").and_then(|driver| driver.get("https"));
    let auths = driver.and_then(|driver| driver.get("auths"));
    for entry in auths.map_or(&[][..], Node::entries) {
        if !used.auths.contains(&entry.key) {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_AUTH,
                    entry.key_span,
                    format!("no route says `auth: {}`", entry.key),
                )
                .did_you_mean(suggest::nearest(
                    &entry.key,
                    used.auths.iter().map(String::as_str),
                ))
                .help("remove it, or name it in the `call` of a route; without a name, a call uses the backend's `auth`"),
            );
        }
    }
}
