//! Route files as sheets, and the resources that they declare: one each, each once.

use super::backend::Backends;
use super::codes;
use super::name;
use super::names::check_name;
use super::reference::expand_file;
use super::variants::{self, Variants};
use crate::config::source::SourceFiles;
use crate::config::spec::decode::Decode;
use crate::config::spec::part::{Written, right};
use crate::config::spec::route::RouteFileSpec;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Node, Span};
use crate::plan::{Resource, ResourceId};

/// One route file, read.
pub(super) struct Sheet {
    /// References outside of schemas and examples are replaced, calls with variants written out.
    pub node: Node,
    pub spec: RouteFileSpec,
    /// Of the routes that stand here once for each variant of their call.
    pub variants: Variants,
    /// `None`: its name is wrong, and that has been reported.
    pub resource: Option<ResourceId>,
}

impl Sheet {
    pub(super) fn kind(&self) -> &str {
        right(&self.spec.kind).map_or("", Written::text)
    }

    pub(super) fn per_backend(&self) -> bool {
        right(&self.spec.per_backend).copied().unwrap_or(false)
    }
}

/// Reads every route file; what cannot be read at all has been reported.
pub(super) fn sheets(
    files: &SourceFiles,
    backends: &Backends,
    diags: &mut Diagnostics,
) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    for (_, file) in files.routes() {
        let Some(node) = &file.node else { continue };
        let node = expand_file(node, files, diags);
        let (node, variants) = variants::write_out(node, backends, diags);
        let Some(spec) = RouteFileSpec::decode(&node, diags) else {
            continue;
        };
        check_file(&node, &spec, diags);
        sheets.push(Sheet {
            node,
            spec,
            variants,
            resource: None,
        });
    }
    sheets
}

fn check_file(node: &Node, spec: &RouteFileSpec, diags: &mut Diagnostics) {
    name::check_version(spec.version.as_ref(), diags);
    let start = Span {
        end: node.span.start,
        ..node.span
    };
    for (key, missing) in [
        ("resource", spec.resource.is_none()),
        ("kind", spec.kind.is_none()),
        ("routes", spec.routes.is_none()),
    ] {
        if missing {
            diags.push(Diagnostic::error(
                codes::MISSING_KEY,
                start,
                format!("`{key}` is missing"),
            ));
        }
    }
    if let Some(summary) = right(&spec.summary) {
        summary.literal("`summary`", diags);
    }
}

/// Gives each sheet its resource.
pub(super) fn compile(
    sheets: &mut [Sheet],
    backends: &Backends,
    diags: &mut Diagnostics,
) -> Vec<Resource> {
    let mut resources: Vec<Resource> = Vec::new();
    let mut places: Vec<Span> = Vec::new();
    for sheet in sheets {
        check_kind(sheet, backends, diags);
        let Some(written) = right(&sheet.spec.resource) else {
            continue;
        };
        let Some(name) = written.literal("`resource`", diags) else {
            continue;
        };
        if !check_name(name, written.span(), "a resource", diags) {
            continue;
        }
        if let Some(first) = resources.iter().position(|known| *known.name == *name) {
            diags.push(
                Diagnostic::error(
                    codes::DUPLICATE_RESOURCE,
                    written.span(),
                    format!("`{name}` has a route file already"),
                )
                .related(places[first], "the other file is here")
                .help("a resource has one file: move these routes there"),
            );
            sheet.resource = u16::try_from(first).ok().map(ResourceId);
            continue;
        }
        let Ok(id) = u16::try_from(resources.len()) else {
            diags.push(Diagnostic::error(
                codes::TOO_MANY,
                written.span(),
                "there are more than 65536 resources",
            ));
            continue;
        };
        sheet.resource = Some(ResourceId(id));
        places.push(written.span());
        resources.push(Resource {
            name: name.into(),
            kind: sheet.kind().into(),
            summary: right(&sheet.spec.summary).map(|summary| summary.text().into()),
            per_backend: sheet.per_backend(),
        });
    }
    resources
}

fn check_kind(sheet: &Sheet, backends: &Backends, diags: &mut Diagnostics) {
    let Some(written) = right(&sheet.spec.kind) else {
        return;
    };
    let Some(kind) = written.literal("`kind`", diags) else {
        return;
    };
    if !check_name(kind, written.span(), "a kind", diags) {
        return;
    }
    if !backends.may_have_kind(kind) {
        let nearest = suggest::nearest(kind, backends.iter().map(|backend| &*backend.kind));
        diags.push(
            Diagnostic::warning(
                codes::NO_BACKEND_OF_KIND,
                written.span(),
                format!("no backend is of kind `{kind}`, so these routes can reach nothing"),
            )
            .did_you_mean(nearest)
            .help("add a file with this `kind:` to backends.d/"),
        );
    }
}
