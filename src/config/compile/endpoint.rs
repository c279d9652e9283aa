//! One route: its parts compiled in the order of a request, and what they say about each other.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;

use super::call;
use super::codes;
use super::complete;
use super::conflict::Declared;
use super::example;
use super::mapping;
use super::matching::{self, Match};
use super::name::Shape;
use super::names::{Names, Stage, Surroundings, check_name};
use super::reads::Reads;
use super::reply;
use super::request::{self, RequestSchemas};
use super::resource::Sheet;
use super::response;
use super::seen;
use super::select::{self, Wanted};
use super::usage::{self, WriteOnly};
use super::uses;
use super::variants::Variant;
use crate::config::example::Example;
use crate::config::spec::call::CallSpec;
use crate::config::spec::decode::At;
use crate::config::spec::part::{Part, Written, right};
use crate::config::spec::route::{ConfirmWord, JournalReply, RouteSpec};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Node, Span};
use crate::driver::Protocol;
use crate::plan::{
    self, Backend, BackendId, Call, Confirm, ObjectRef, Parent, ResponseRules, Route, RouteId,
    Select, Verb,
};
use crate::transform::{Parts, Root, Text, Uses, ValueMap};

/// One route, as written, and where it stands.
pub(super) struct Endpoint<'a> {
    pub sheet: &'a Sheet,
    pub around: &'a Surroundings<'a>,
    pub name: &'a At<String>,
    pub spec: &'a RouteSpec,
    pub node: &'a Node,
    /// Which of its variants this is, where it has some.
    pub variant: Option<&'a Variant>,
    /// What it reads, once somebody asked; and that with the file's `select`.
    pub reads: [OnceCell<Reads>; 2],
}

impl<'a> Endpoint<'a> {
    /// The instances that may be called, in the order of their names.
    pub(super) fn instances(&self) -> Vec<&'a Backend> {
        let of_kind = self.around.of_kind(self.sheet.kind()).into_iter();
        let takes = |id: &BackendId| {
            self.variant
                .is_none_or(|variant| variant.takes.contains(id))
        };
        of_kind
            .filter(|(id, _)| takes(id))
            .map(|(_, backend)| backend)
            .collect()
    }

    /// Compiles every part, whatever became of the others.
    pub(super) fn compile(
        &self,
        id: RouteId,
        maps: &BTreeMap<Box<str>, Arc<ValueMap>>,
        diags: &mut Diagnostics,
    ) -> (Option<Route>, Declared, Vec<Example>) {
        let (spec, around) = (self.spec, self.around);
        check_name(&self.name.value, self.name.span, "a route", diags);

        // In the order in which a request meets them: each part sees the names of those before it.
        let matched = self.matched(diags);
        let schemas = right(&spec.request)
            .map(|request| request::compile(request, matched.as_ref(), around, diags))
            .unwrap_or_default();
        let mut names = self.names(matched.as_ref(), maps);

        let object = right(&spec.object).map(|id| {
            request::id(
                id,
                self.name.span,
                "object",
                Stage::Request,
                &names,
                around,
                diags,
            )
        });
        let parents = match right(&spec.parents) {
            Some(parents) => request::parents(parents, &names, around, diags),
            None => Some(Vec::new()),
        };
        names.absent_parents = parents
            .iter()
            .flatten()
            .filter(|parent| parent.id.parts.iter().any(Text::may_be_absent))
            .map(|parent| parent.alias.clone())
            .collect();
        let select = self.select(parents.as_deref(), &names, diags);
        let lets = match right(&spec.r#let) {
            Some(lets) => request::lets(lets, &mut names, around, diags),
            None => Some(Vec::new()),
        };
        // One that did not compile is a name all the same.
        for name in usage::keys(self.node.get("let")) {
            if !names.lets.contains(&name) {
                names.lets.push(name);
            }
        }
        let call = self.call(&names, diags);
        let protocol = right(&spec.call).map_or(Protocol::Http, CallSpec::protocol);
        let is_http = protocol == Protocol::Http;
        let response = response::compile(
            right(&spec.response),
            right(&self.sheet.spec.response),
            (&names, is_http),
            around,
            diags,
        );
        let extract = response::extract(right(&spec.extract), &mut names, around, diags);
        names.extracted = usage::keys(self.node.get("extract"));
        let mapping = match right(&spec.mapping) {
            Some(mapping) => mapping::compile(mapping, self.sheet.resource, &names, around, diags),
            None => Some(Vec::new()),
        };
        let reply = match &spec.reply {
            Some(Part(None)) => None,
            reply => reply::compile(right(reply), &names, around, diags),
        };
        let behaviour = self.behaviour(matched.as_ref(), call.as_ref(), diags);
        let store_reply = self.check_usage(&schemas, diags);
        self.check_uses(
            &schemas,
            &names,
            parents.as_deref(),
            select.as_ref(),
            response.as_ref(),
            diags,
        );
        let clients = self.clients(diags);
        let of = example::Of {
            matched: matched.as_ref(),
            params: &names.path,
            schemas: &schemas,
            resource: right(&self.sheet.spec.resource).map_or("", Written::text),
            kind: self.sheet.kind(),
            protocol,
            format: response.as_ref().and_then(|response| response.format),
            around,
        };
        let examples = right(&spec.examples)
            .map(|examples| example::compile(examples, &of, diags))
            // What only a check asks for would leave holes in memory between what is served.
            .filter(|_| around.tries_examples)
            .unwrap_or_default();

        let route = matched.clone().and_then(|matched| {
            let resource = self.sheet.resource?;
            let mut way = plan::Way {
                takes: self.variant.map(|variant| variant.takes.clone()),
                when: self
                    .variant
                    .map_or_else(Vec::new, |variant| variant.when.clone()),
                call: call?,
                response: response?,
                extract: extract?,
                mapping: mapping?,
                reply: reply?,
                store_reply,
                reads: self.reads_for_templates(),
            };
            way.reads.response_body = way.parts();
            Some(Route {
                id,
                name: self.name.value.as_str().into(),
                summary: right(&spec.summary).map(|summary| summary.text().into()),
                resource,
                method: matched.method,
                path: matched.path,
                path_params: matched.params,
                mutating: behaviour.mutating,
                idempotent: behaviour.idempotent,
                clients: clients?,
                request: schemas.into_rules(),
                object: match object {
                    Some(id) => Some(ObjectRef { resource, id: id? }),
                    None => None,
                },
                parents: parents?,
                lets: lets?,
                select: select?,
                ways: vec![way],
                confirm: self.confirm(),
                reads_request: self
                    .reads_and_select()
                    .of_root(Root::Request.name())
                    .next()
                    .is_some(),
                examples: example::published(
                    right(&spec.examples).map_or(&[], |examples| examples.as_slice()),
                ),
            })
        });
        let declared = Declared {
            name: self.name.clone(),
            matched,
            match_span: right(&spec.r#match).map_or(self.name.span, Written::span),
        };
        (route, declared, examples)
    }

    fn matched(&self, diags: &mut Diagnostics) -> Option<Match> {
        if let Some(summary) = right(&self.spec.summary) {
            summary.literal("`summary`", diags);
        }
        match &self.spec.r#match {
            Some(Part(written)) => matching::compile(written.as_ref()?, diags),
            None => {
                diags.push(
                    Diagnostic::error(codes::MISSING_KEY, self.name.span, "`match` is missing")
                        .help("such as `match: GET /v1/networks/{id}`"),
                );
                None
            }
        }
    }

    /// The names that exist in this route; those of broken parts too, so that a use of one is no
    /// second error.
    fn names(&self, matched: Option<&Match>, maps: &BTreeMap<Box<str>, Arc<ValueMap>>) -> Names {
        let spec = self.spec;
        let parents = usage::keys(self.node.get("parents"));
        let per_backend = |alias: &str| {
            self.node
                .get("parents")
                .and_then(|parents| parents.get(alias)?.get("resource")?.as_text())
                .and_then(|resource| self.around.resource(resource))
                .is_some_and(|(_, resource)| resource.per_backend)
        };
        Names {
            path: match matched {
                Some(matched) => matched.params.clone(),
                None => right(&spec.r#match)
                    .map(|m| braced(m.text()))
                    .unwrap_or_default(),
            },
            declared: right(&spec.request)
                .map(request::declared)
                .unwrap_or_default(),
            object: spec.object.is_some(),
            early_parents: parents
                .iter()
                .filter(|alias| !per_backend(alias))
                .cloned()
                .collect(),
            parents,
            absent_parents: Vec::new(),
            lets: Vec::new(),
            absent_lets: Vec::new(),
            extracted: Vec::new(),
            absent_extracted: Vec::new(),
            creates: right(&spec.mapping).is_some_and(mapping::creates),
            records: spec.mapping.is_some(),
            maps: maps.clone(),
            uses: Uses::default(),
        }
    }

    fn select(
        &self,
        parents: Option<&[Parent]>,
        names: &Names,
        diags: &mut Diagnostics,
    ) -> Option<Select> {
        let wanted = Wanted {
            route: self.name.span,
            kind: self.sheet.kind(),
            per_backend: self.sheet.per_backend(),
            object: self.spec.object.is_some(),
            // With a wrong parent nothing can be said of the choice that its place would not change.
            parents: parents?,
            own: right(&self.spec.select),
            own_span: self.node.get("select").map(|node| node.span),
            inherited: right(&self.sheet.spec.select),
        };
        select::compile(&wanted, names, self.around, diags)
    }

    fn call(&self, names: &Names, diags: &mut Diagnostics) -> Option<Call> {
        let Some(Part(call)) = &self.spec.call else {
            diags.push(
                Diagnostic::error(codes::MISSING_KEY, self.name.span, "`call` is missing").help(
                    "a route sends one request: write `call:` with `http: METHOD /path` below it",
                ),
            );
            return None;
        };
        let span = self
            .node
            .get("call")
            .map_or(self.name.span, |node| node.span);
        call::compile(
            call.as_ref()?,
            span,
            (self.sheet.kind(), self.instances()),
            names,
            self.around,
            diags,
        )
    }

    fn behaviour(
        &self,
        matched: Option<&Match>,
        call: Option<&Call>,
        diags: &mut Diagnostics,
    ) -> Behaviour {
        let records = self.spec.mapping.is_some();
        let safe = right(&self.spec.safe).filter(|safe| safe.value);
        if let (true, Some(safe)) = (records, safe) {
            diags.push(
                Diagnostic::error(
                    codes::SAFE_WITH_MAPPING,
                    safe.span,
                    "a route with `mapping` changes something, so it is not `safe`",
                )
                .help("remove one of the two"),
            );
        }
        let method = matched.map_or(&Method::GET, |matched| &matched.method);
        let reads = [Method::GET, Method::HEAD].contains(method);
        let by_default = match *method {
            Method::PUT => true,
            Method::DELETE => self.spec.object.is_some(),
            // A journalled GET asks again without harm, if that is what its call does.
            _ if reads => call.is_none_or(|call| call.action.only_reads()),
            _ => false,
        };
        let mutating = records || !reads && safe.is_none();
        self.check_effect(matched, mutating, diags);
        Behaviour {
            mutating,
            idempotent: right(&self.spec.idempotent).copied().unwrap_or(by_default),
        }
    }

    /// Where the route reads a part of the request that it does not declare, and the key that would.
    pub(super) fn undeclared(&self) -> Vec<(Span, &'static str)> {
        let declared = right(&self.spec.request)
            .map(request::declared)
            .unwrap_or_default();
        let reads = self.reads_and_select();
        [
            (Root::Body, "body"),
            (Root::Query, "query"),
            (Root::Header, "headers"),
        ]
        .into_iter()
        .filter(|(root, _)| !declared.contains(root))
        .flat_map(|(root, key)| {
            let spans = reads.of_root(root.name());
            spans.map(move |(_, span)| (span, key)).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Everything that the route reads; the file's error rules are its own too.
    fn reads(&self) -> &Reads {
        self.reads[0].get_or_init(|| {
            let mut reads = usage::of_route(self.node, self.around);
            if let Some(inherited) = self.sheet.node.get("response") {
                reads.extend(&usage::of_node(inherited, self.around));
            }
            reads
        })
    }

    /// As [`Self::reads`], with the file's `select`.
    fn reads_and_select(&self) -> &Reads {
        let Some(inherited) = self.sheet.node.get("select") else {
            return self.reads();
        };
        self.reads[1].get_or_init(|| {
            let mut reads = self.reads().clone();
            reads.extend(&usage::of_node(inherited, self.around));
            reads
        })
    }

    /// What need not be made for a request, because nothing in the route names it.
    fn reads_for_templates(&self) -> plan::Reads {
        let reads = self.reads_and_select();
        let is_body = |path: &str| path.split('.').next() == Some("body");
        plan::Reads {
            // Known when the way is made.
            response_body: Parts::Whole,
            response_head: reads
                .of_root(Root::Response.name())
                .any(|(path, _)| !is_body(path)),
            rows: self.asks_for_rows(),
        }
    }

    /// Whether something that is rendered before the call names a helper over the mapping table.
    fn asks_for_rows(&self) -> bool {
        let before_call = ["let", "call"]
            .into_iter()
            .filter_map(|key| self.node.get(key));
        before_call.into_iter().any(|node| {
            let reads = usage::of_node(node, self.around);
            reads
                .variables
                .iter()
                .any(|(name, _)| matches!(name.as_str(), "backend_id" | "cmp_id" | "mapped"))
        })
    }

    /// Keys that say what happens anyway, or that nothing reads.
    fn check_effect(&self, matched: Option<&Match>, mutating: bool, diags: &mut Diagnostics) {
        let Some(matched) = matched.filter(|_| !mutating) else {
            return;
        };
        let mut warn = |span: Option<Span>, message: &str| {
            if let Some(span) = span {
                diags.push(
                    Diagnostic::warning(codes::NO_EFFECT, span, message).help("remove the key"),
                );
            }
        };
        let at = |key: &str| self.node.get(key).map(|node| node.span);
        if [Method::GET, Method::HEAD].contains(&matched.method) {
            warn(at("safe"), "a GET or HEAD without `mapping` is safe anyway");
        }
        warn(
            at("idempotent"),
            "what is not journalled may always be repeated",
        );
        warn(at("journal"), "this route is not journalled");
        warn(
            at("replication"),
            "this route writes nothing that could be replicated",
        );
    }

    /// What the parts say about each other; whether the reply may be stored.
    fn check_usage(&self, schemas: &RequestSchemas, diags: &mut Diagnostics) -> bool {
        let node = self.node;
        let reads = self.reads();
        let lets = right(&self.spec.r#let)
            .map(|lets| lets.0.as_slice())
            .unwrap_or_default();
        let extract = right(&self.spec.extract)
            .map(|e| e.0.as_slice())
            .unwrap_or_default();
        usage::check_unused_names(
            lets.iter().map(|(name, _)| name),
            extract.iter().map(|(name, _)| name),
            reads,
            diags,
        );
        let write_only = WriteOnly::of(schemas, node.get("let"), node.get("extract"), self.around);
        if let Some(mapping) = right(&self.spec.mapping) {
            usage::check_stored(mapping, &write_only, self.around, diags);
        }
        let kept = right(&self.spec.journal).and_then(|j| j.reply) != Some(JournalReply::None);
        let secret = node.get("reply").is_some_and(|reply| {
            write_only
                .touches(&usage::of_node(reply, self.around))
                .is_some()
        });
        kept && !secret
    }

    /// Each variable against what is known of it.
    fn check_uses(
        &self,
        schemas: &RequestSchemas,
        names: &Names,
        parents: Option<&[Parent]>,
        select: Option<&Select>,
        response: Option<&ResponseRules>,
        diags: &mut Diagnostics,
    ) {
        let mut noted = names.uses.noted();
        if let Some(parent) = select.and_then(|select| parents?.get(select.same_as?)) {
            uses::only_without(&parent.alias, &mut noted);
        }
        let resources: Vec<_> = right(&self.spec.parents)
            .iter()
            .flat_map(|parents| &parents.0)
            .map(|(alias, parent)| (alias.value.as_str(), parent.resource.text()))
            .collect();
        let deletes = right(&self.spec.mapping)
            .is_some_and(|mapping| mapping.0.iter().any(|op| op.verb == Verb::Delete));
        let route = uses::Route {
            names,
            schemas,
            around: self.around,
            kind: self.sheet.kind(),
            backends: &self.instances(),
            resource: right(&self.sheet.spec.resource).map_or("", Written::text),
            parents: &resources,
            own: self.node.span,
            deletes,
        };
        uses::check(&route, &noted, diags);
        if let (true, Some(rules), Some(examples)) = (
            self.around.tries_examples,
            response,
            right(&self.spec.examples),
        ) {
            let specs = [&self.spec.response, &self.sheet.spec.response];
            let details: Vec<_> = specs
                .into_iter()
                .filter_map(right)
                .filter_map(|spec| right(&spec.errors))
                .flatten()
                .filter_map(|rule| rule.0.as_ref())
                .map(|rule| rule.detail.as_ref().map(Written::span))
                .collect();
            seen::check(rules, &details, examples, &noted, diags);
        }
    }

    fn clients(&self, diags: &mut Diagnostics) -> Option<Option<Vec<Box<str>>>> {
        let Some(written) = right(&self.spec.clients) else {
            return Some(None);
        };
        let known: Vec<&str> = self
            .around
            .server
            .clients
            .iter()
            .map(|c| &*c.name)
            .collect();
        let names = written.iter().map(|client| {
            let name = client.literal("`clients`", diags)?;
            if !known.contains(&name) {
                unknown_client(name, client.span(), &known, diags);
                return None;
            }
            Some(name.into())
        });
        complete(names).map(Some)
    }

    fn confirm(&self) -> Option<Confirm> {
        let confirm = right(&self.spec.replication).and_then(|rule| rule.confirm)?;
        Some(match confirm {
            ConfirmWord::None => Confirm::None,
            ConfirmWord::Preferred => Confirm::Preferred,
            ConfirmWord::Required => Confirm::Required,
        })
    }
}

fn unknown_client(name: &str, span: Span, known: &[&str], diags: &mut Diagnostics) {
    let help = match known.is_empty() {
        true => "relay.yaml has no `clients`: add this one there, or remove the key".to_owned(),
        false => format!("clients of relay.yaml: {}", known.join(", ")),
    };
    diags.push(
        Diagnostic::error(
            codes::UNKNOWN_CLIENT,
            span,
            format!("`{name}` is not a client of relay.yaml"),
        )
        .did_you_mean(suggest::nearest(name, known.iter().copied()))
        .help(help),
    );
}

/// Whether a request is journalled, and whether it may be repeated.
struct Behaviour {
    mutating: bool,
    idempotent: bool,
}

/// The parameters of a path that is wrong otherwise.
fn braced(text: &str) -> Vec<Box<str>> {
    // As other notations have them, too: `{{ path.id }}`, `:id`.
    text.split('/')
        .filter_map(|segment| {
            let (_, name) = segment.split_once(['{', ':'])?;
            let name = name.trim_matches(['{', '}', ' ']);
            let name = name.strip_prefix("path.").unwrap_or(name);
            Shape::Word.fits(name).then(|| name.into())
        })
        .collect()
}
