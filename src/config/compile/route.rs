//! Route files -> resources, routes and their table: the passes, in order.
//!
//! Nothing stops at the first problem: one wrong route hides no other, one wrong part of a route no
//! other part. What comes out means something only when no error was reported.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::backend::Backends;
use super::choice::{Instances, Reach};
use super::codes;
use super::conflict::{self, Declared};
use super::endpoint::Endpoint;
use super::evidence::Evidence;
use super::example;
use super::links::{self, Links};
use super::names::{Surroundings, check_names};
use super::reads::Reads;
use super::recorded::Recorded;
use super::resource::{self, Sheet};
use super::schema::Schemas;
use super::shadow;
use super::unused;
use super::usage;
use crate::config::env::Env;
use crate::config::example::{Example, RouteExamples};
use crate::config::parallel;
use crate::config::source::{SourceFile, SourceFiles};
use crate::config::spec::decode::{At, Entries, wrong_type};
use crate::config::spec::part::{misplaced, right};
use crate::config::spec::route::RouteSpec;
use crate::diagnostics::codes::UNKNOWN_VARIABLE;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{FileId, Kind, Node, Span};
use crate::plan::{Resource, Route, RouteId, RouteTable, Server};
use crate::transform::ValueMap;
use crate::transform::shared::on_a_thread_of_a_compilation;

/// What route files become.
#[derive(Debug)]
pub struct Compiled {
    pub resources: Vec<Resource>,
    /// By [`RouteId`], when no error was reported.
    pub routes: Vec<Route>,
    pub table: RouteTable,
    /// Of every route, whether it has examples or not.
    pub examples: Vec<RouteExamples>,
}

/// Compiles every route file against the backends and the server's settings.
pub fn compile(
    files: &SourceFiles,
    backends: &Backends,
    server: &Server,
    env: &Env,
    diags: &mut Diagnostics,
) -> Compiled {
    let mut found = Diagnostics::default();
    let mut sheets = resource::sheets(files, backends, &mut found);
    let resources = resource::compile(&mut sheets, backends, &mut found);
    let recorded = Recorded::of(&sheets);
    let around = surroundings(files, backends, server, &resources, recorded, env);

    let mut declared = Vec::new();
    let mut routes = Vec::new();
    let mut examples = Vec::new();
    let mut links = Links::default();
    let mut reach = Reach::default();
    let mut evidence = Evidence::default();
    let mut reads = Vec::new();
    let mut idle = Diagnostics::default();
    for (sheet, (said, made)) in sheets.iter().zip(each_sheet(&sheets, &around)) {
        found.append(said);
        for ways in made {
            let mut compiled = Vec::with_capacity(ways.len());
            let mut unused = Vec::with_capacity(ways.len());
            for (way, made) in ways.into_iter().enumerate() {
                let (context, mut said) = (made.endpoint, made.said);
                let (route, matched, written) = made.compiled;
                links.note(&context);
                if let Some(route) = &route {
                    links::check_mark(route, &context, &mut idle);
                    reach.note(route, &context, &mut said);
                    if around.tries_examples {
                        evidence.note(&route.ways[0], &written, &context);
                    }
                }
                unused.push(report_with_route(said, &context, &mut found));
                if way == 0 {
                    declared.push(matched);
                }
                compiled.push(route);
                let name = context.name;
                examples.push(RouteExamples {
                    route: name.value.as_str().into(),
                    span: context.variant.map_or(name.span, |variant| variant.span),
                    way,
                    examples: written,
                    rules: example::places(
                        right(&context.spec.response),
                        right(&sheet.spec.response),
                        right(&context.spec.mapping),
                    ),
                });
            }
            report_unused(unused, &mut found);
            routes.extend(
                compiled
                    .into_iter()
                    .collect::<Option<Vec<_>>>()
                    .and_then(joined),
            );
        }
        reads.push(check_sheet_usage(sheet, &around, &mut found));
    }
    let table = conflict::table(&declared, &mut found);
    let templates = reads
        .iter()
        .flat_map(|reads| reads.templates.clone())
        .collect();
    usage::check_unused_templates(&around, &templates, &mut found);
    // What is missing, and what nobody uses, can be told once everything else is right: a part that is
    // wrong may be the one.
    let all_read = files
        .iter()
        .all(|(_, file)| file.role.is_text() || file.node.is_some());
    if all_read && found.no_errors() && diags.no_errors() {
        links.check(&around, &mut found);
        reach.check(&Instances::of(&around), &mut found);
        evidence.check(&mut found);
        shadow::check(&declared, &routes, &around, &mut found);
        unused::check_shared(&around, &mut found);
        unused::check_backends(&sheets, &reads, &around, &mut found);
        idle.iter().for_each(|said| found.push(said.clone()));
    }
    report_once(found, diags);
    Compiled {
        resources,
        routes,
        table,
        examples,
    }
}

/// A way of a route, by itself.
struct Made<'a> {
    endpoint: Endpoint<'a>,
    compiled: (Option<Route>, Declared, Vec<Example>),
    said: Diagnostics,
}

/// The ways of the routes of every file, beside each other, and what is wrong with the file's tables.
fn each_sheet<'a>(
    sheets: &'a [Sheet],
    around: &'a Surroundings<'a>,
) -> Vec<(Diagnostics, Vec<Vec<Made<'a>>>)> {
    // A route with variants stands there once for each of them.
    let ways_of = |sheet: &'a Sheet| {
        let written = right(&sheet.spec.routes).map_or(&[][..], |routes| &routes.0);
        written.chunk_by(|(one, _), (next, _)| one.span == next.span)
    };
    let mut next = 0;
    let firsts: Vec<usize> = sheets
        .iter()
        .map(|sheet| {
            let first = next;
            next += ways_of(sheet).count();
            first
        })
        .collect();
    let of_one = |at: usize| {
        on_a_thread_of_a_compilation();
        let sheet = &sheets[at];
        let mut said = Diagnostics::default();
        let maps = maps(sheet, &mut said);
        let made = (firsts[at]..).zip(ways_of(sheet)).map(|(id, ways)| {
            let id = RouteId(u16::try_from(id).unwrap_or(u16::MAX));
            let way = |(way, (name, spec)): (usize, &'a (At<String>, RouteSpec))| {
                let variants = sheet.variants.get(&name.span);
                let endpoint = Endpoint {
                    sheet,
                    around,
                    name,
                    spec,
                    node: route_node(sheet, name.span, way),
                    variant: variants.and_then(|variants| variants.get(way)),
                    reads: Default::default(),
                };
                let mut said = Diagnostics::default();
                let compiled = endpoint.compile(id, &maps, &mut said);
                Made {
                    endpoint,
                    compiled,
                    said,
                }
            };
            ways.iter().enumerate().map(way).collect()
        });
        let made = made.collect();
        (said, made)
    };
    parallel::map(sheets.len(), of_one)
}

/// One route of what became of its ways.
fn joined(ways: Vec<Route>) -> Option<Route> {
    ways.into_iter().reduce(|mut route, other| {
        route.ways.extend(other.ways);
        route.mutating |= other.mutating;
        route.idempotent &= other.idempotent;
        route.reads_request |= other.reads_request;
        route.examples.append(other.examples);
        route
    })
}

/// What no way of a route uses.
fn report_unused(each: Vec<Vec<Diagnostic>>, diags: &mut Diagnostics) {
    let [first, others @ ..] = each.as_slice() else {
        return;
    };
    let everywhere = |said: &&Diagnostic| others.iter().all(|other| other.contains(said));
    first
        .iter()
        .filter(everywhere)
        .for_each(|said| diags.push(said.clone()));
}

/// Says with a problem outside of the route's own text for which route it is one. Gives what is unused as far
/// as this way of the route goes.
fn report_with_route(
    said: Diagnostics,
    context: &Endpoint<'_>,
    diags: &mut Diagnostics,
) -> Vec<Diagnostic> {
    let mut unused = Vec::new();
    let own = context.node.span;
    let mut undeclared = None;
    for diagnostic in said.iter() {
        let elsewhere = diagnostic.span.is_some_and(|span| {
            span.file != own.file
                || span.end > own.end
                || span.start < own.start && span != context.name.span
        });
        let mut diagnostic = diagnostic.clone();
        if diagnostic.code == UNKNOWN_VARIABLE
            && let Some((_, key)) = undeclared
                .get_or_insert_with(|| context.undeclared())
                .iter()
                .find(|(span, _)| diagnostic.span == Some(*span))
        {
            diagnostic = diagnostic.help(format!(
                "declare what a request may hold in `request.{key}`"
            ));
        }
        if elsewhere && diagnostic.related.is_empty() {
            let place = format!("for route `{}`", context.name.value);
            diagnostic = diagnostic.related(context.name.span, place);
        }
        match [codes::UNUSED_LET, codes::UNUSED_EXTRACT].contains(&diagnostic.code) {
            true => unused.push(diagnostic),
            false => diags.push(diagnostic),
        }
    }
    unused
}

/// A shared piece is compiled once per use; what is wrong with it is said once.
fn report_once(found: Diagnostics, diags: &mut Diagnostics) {
    let mut said = HashSet::new();
    for diagnostic in found.iter() {
        let key = (
            diagnostic.span,
            diagnostic.code,
            diagnostic.message.as_str(),
        );
        if said.insert(key) {
            diags.push(diagnostic.clone());
        }
    }
}

fn surroundings<'a>(
    files: &'a SourceFiles,
    backends: &'a Backends,
    server: &'a Server,
    resources: &'a [Resource],
    recorded: Recorded,
    env: &Env,
) -> Surroundings<'a> {
    let named = |(id, file): (FileId, &SourceFile)| {
        let name = file.path.strip_prefix("templates/")?;
        Some((name.into(), (id, Arc::from(&*file.text))))
    };
    let templates = files.templates().filter_map(named).collect();
    let textfsm = files.textfsm().filter_map(named).collect();
    Surroundings {
        files,
        backends,
        server,
        resources,
        resource_names: resources
            .iter()
            .map(|resource| resource.name.clone())
            .collect(),
        templates,
        textfsm,
        recorded,
        schemas: Schemas::default(),
        tries_examples: env.informs(),
    }
}

/// The tables of a file.
fn maps(sheet: &Sheet, diags: &mut Diagnostics) -> BTreeMap<Box<str>, Arc<ValueMap>> {
    let Some(specs) = right(&sheet.spec.maps) else {
        // A table that cannot be read is still a name that routes use.
        let written = sheet.node.get("maps");
        return usage::keys(written)
            .into_iter()
            .map(|name| (name, Arc::default()))
            .collect();
    };
    check_names(specs.0.iter().map(|(name, _)| name), "a map", diags);
    specs
        .0
        .iter()
        .map(|(name, words)| {
            let map = value_map(words, diags);
            (name.value.as_str().into(), Arc::new(map))
        })
        .collect()
}

fn value_map(words: &Entries<Node>, diags: &mut Diagnostics) -> ValueMap {
    let mut entries = Vec::new();
    for (word, value) in &words.0 {
        if value.as_text().is_some_and(|text| text.contains("{{")) {
            diags.push(misplaced(value.span, "a map takes no expression"));
        }
        if matches!(value.kind, Kind::List(_) | Kind::Map(_)) {
            wrong_type(value, "a word, a number or true/false", diags);
        }
        entries.push((word.value.clone().into(), value.to_json()));
    }
    ValueMap { entries }
}

/// Unused tables; gives what the file's routes read.
fn check_sheet_usage(sheet: &Sheet, around: &Surroundings<'_>, diags: &mut Diagnostics) -> Reads {
    let mut reads = Reads::default();
    for key in ["select", "response"] {
        if let Some(node) = sheet.node.get(key) {
            reads.extend(&usage::of_node(node, around));
        }
    }
    if let Some(Kind::Map(routes)) = sheet.node.get("routes").map(|n| &n.kind) {
        for route in routes {
            reads.extend(&usage::of_route(&route.value, around));
        }
    }
    let maps = right(&sheet.spec.maps)
        .map(|maps| maps.0.as_slice())
        .unwrap_or_default();
    usage::check_unused_maps(maps.iter().map(|(name, _)| name), &reads, diags);
    reads
}

/// The node of a way of a route, by the place of the route's id: `routes` may be misspelled and read as meant.
fn route_node(sheet: &Sheet, id: Span, way: usize) -> &Node {
    let file = sheet.node.entries().iter();
    file.flat_map(|entry| entry.value.entries())
        .filter(|entry| entry.key_span == id)
        .nth(way)
        .map(|entry| &entry.value)
        .expect("a decoded route stands in its file")
}
