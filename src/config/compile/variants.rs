//! `call.variants`: a route whose call differs by the instance's labels is as many routes behind one match.
//!
//! Before a file is decoded, such a route is written out: once for each variant, with the variant's keys where
//! they would stand in a route without variants, and with the examples that are about its instances. Every
//! pass then sees plain routes, and `route` joins what comes of them.

use std::collections::BTreeMap;

use super::backend::Backends;
use super::codes;
use super::labels::{check_label, label_of};
use crate::config::spec::decode::wrong_type;
use crate::config::spec::part::misplaced;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, Kind, Node, Span};
use crate::plan::{Backend, BackendId};

/// The keys of a variant that belong to the route; all others are those of a call.
const OF_THE_ROUTE: [&str; 4] = ["response", "extract", "mapping", "reply"];

/// One variant of a route's call.
#[derive(Debug)]
pub(super) struct Variant {
    pub span: Span,
    pub when: When,
    /// The instances that it is for: of those whose labels are right, the ones that no earlier variant takes.
    pub takes: Vec<BackendId>,
}

/// The variants of a file's routes, by the place of a route's id.
pub(super) type Variants = BTreeMap<Span, Vec<Variant>>;

/// `when` of a variant: each label with the values that it takes.
type When = Vec<(Box<str>, Vec<Box<str>>)>;

/// The instances of a kind.
type Instances<'a> = [(BackendId, &'a Backend)];

/// A route file with each route that has variants written out once for each of them, one after the other.
pub(super) fn write_out(
    mut file: Node,
    backends: &Backends,
    diags: &mut Diagnostics,
) -> (Node, Variants) {
    let kind = file
        .get("kind")
        .and_then(Node::as_text)
        .unwrap_or_default()
        .to_owned();
    let instances: Vec<(BackendId, &Backend)> = (0u16..)
        .zip(backends.iter())
        .filter(|(_, backend)| *backend.kind == *kind)
        .map(|(id, backend)| (BackendId(id), backend))
        .collect();
    let select = file.get("select").cloned();
    let ground = Ground {
        kind: &kind,
        select: select.as_ref(),
        instances: &instances,
        all_known: backends.all_known(),
    };
    let mut variants = Variants::new();
    let routes = match &mut file.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == "routes"),
        _ => None,
    };
    if let Some(Kind::Map(routes)) = routes.map(|entry| &mut entry.value.kind) {
        let written = std::mem::take(routes);
        for route in written {
            let list = route
                .value
                .get("call")
                .and_then(|call| call.get("variants"));
            match list.cloned() {
                None => routes.push(route),
                Some(list) => routes.extend(ground.ways(&route, &list, &mut variants, diags)),
            }
        }
    }
    (file, variants)
}

struct Ground<'a> {
    kind: &'a str,
    /// `select` of the file.
    select: Option<&'a Node>,
    instances: &'a Instances<'a>,
    /// Whether every backend compiled: what is missing then is really missing.
    all_known: bool,
}

impl Ground<'_> {
    /// The route once for each variant. One that cannot be read is left out, and has been reported.
    fn ways(
        &self,
        route: &Entry,
        list: &Node,
        variants: &mut Variants,
        diags: &mut Diagnostics,
    ) -> Vec<Entry> {
        let items = match &list.kind {
            Kind::List(items) => items.as_slice(),
            _ => {
                wrong_type(list, "a list", diags);
                &[]
            }
        };
        if let Kind::List(items) = &list.kind
            && items.is_empty()
        {
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, list.span, "`variants` has none, so the route has no call")
                    .help("write each as `- when: { vendor: acme }` with a call beside it, such as `http: GET /things`"),
            );
        }
        let errors = diags.errors();
        let mut found: Vec<Variant> = Vec::new();
        let mut read = Vec::new();
        for item in items {
            if let Some(when) = self.when(item, diags) {
                let taken = |id: &BackendId| found.iter().any(|earlier| earlier.takes.contains(id));
                let fits = |backend: &Backend| {
                    when.iter().all(|(label, values)| {
                        label_of(backend, label)
                            .is_some_and(|has| values.iter().any(|v| **v == *has))
                    })
                };
                let takes = self
                    .instances
                    .iter()
                    .filter(|(id, b)| !taken(id) && fits(b));
                found.push(Variant {
                    span: item.span,
                    takes: takes.map(|(id, _)| *id).collect(),
                    when,
                });
                read.push(item);
            }
        }
        self.check(list, &found, diags.errors() == errors, diags);
        let examples = self.examples(route, &found, diags);
        let ways = read.into_iter().zip(examples);
        let ways = ways.map(|(item, examples)| way(route, item, examples));
        let ways = ways.collect();
        variants.insert(route.key_span, found);
        ways
    }

    /// Every instance has a variant, and every variant an instance.
    fn check(&self, list: &Node, found: &[Variant], right: bool, diags: &mut Diagnostics) {
        if !self.all_known || !right || found.is_empty() {
            return;
        }
        for (id, backend) in self.instances {
            if !found.iter().any(|variant| variant.takes.contains(id)) {
                let has: Vec<_> = backend
                    .labels
                    .iter()
                    .map(|(l, v)| format!("{l}: {v}"))
                    .collect();
                let has = match has.as_slice() {
                    [] => "it has no labels".to_owned(),
                    has => format!("its labels: {}", has.join(", ")),
                };
                let message = format!("no variant is for the backend `{}`", backend.name);
                diags.push(
                    Diagnostic::error(codes::NO_VARIANT, list.span, message)
                        .label(has)
                        .help("add a variant whose `when` fits it, or one without a condition (`when: {}`) as the last"),
                );
            }
        }
        // A kind that has no backends at all is told of once.
        let unused = found
            .iter()
            .filter(|variant| variant.takes.is_empty() && !self.instances.is_empty());
        for variant in unused {
            let message = format!("this variant is for no backend of kind `{}`", self.kind);
            let near = variant.when.iter().find_map(|(label, values)| {
                let known = || {
                    self.instances
                        .iter()
                        .filter_map(|(_, backend)| label_of(backend, label))
                };
                let odd = values
                    .iter()
                    .find(|value| !known().any(|has| has == &***value))?;
                suggest::nearest(odd, known())
            });
            diags.push(
                Diagnostic::warning(codes::UNUSED_VARIANT, variant.span, message)
                    .did_you_mean(near)
                    .help("remove it, or add a backend with its labels; of several variants that fit a backend, the first is taken"),
            );
        }
    }

    /// `when` of a variant: labels, each with a value or a list of them.
    fn when(&self, item: &Node, diags: &mut Diagnostics) -> Option<When> {
        let Kind::Map(_) = item.kind else {
            wrong_type(item, "a variant (a map with `when`)", diags);
            return None;
        };
        let Some(when) = item.get("when") else {
            diags.push(
                Diagnostic::error(codes::MISSING_KEY, item.span, "`when` is missing").help(
                    "say which backends the variant is for, by their labels, such as `when: { vendor: acme }`",
                ),
            );
            return None;
        };
        let Kind::Map(labels) = &when.kind else {
            wrong_type(when, "a map", diags);
            return None;
        };
        let mut read = Vec::new();
        for label in labels {
            check_label(&label.key, label.key_span, self.kind, self.instances, diags);
            let values = match &label.value.kind {
                Kind::List(values) => values.as_slice(),
                _ => std::slice::from_ref(&label.value),
            };
            let mut texts: Vec<Box<str>> = Vec::new();
            for value in values {
                let Some(text) = value.as_text() else {
                    wrong_type(value, "text", diags);
                    return None;
                };
                if text.contains("{{") {
                    diags.push(misplaced(value.span, "`when` takes no expression"));
                    return None;
                }
                texts.push(text.into());
            }
            read.push((label.key.as_str().into(), texts));
        }
        Some(read)
    }

    /// The examples of each variant. One is about the instance that it names as its `backend`, that the route's
    /// `select` takes for its request, or that a row of its `mappings` or its request names; one that no backend is
    /// asked in may be about none.
    fn examples(
        &self,
        route: &Entry,
        found: &[Variant],
        diags: &mut Diagnostics,
    ) -> Vec<Vec<Node>> {
        let mut each = vec![Vec::new(); found.len()];
        let Some(Kind::List(examples)) = route.value.get("examples").map(|node| &node.kind) else {
            return each;
        };
        let takes = |id: BackendId| found.iter().position(|variant| variant.takes.contains(&id));
        for example in examples {
            let variant = example
                .get("backend")
                .and_then(|name| self.named(name))
                .and_then(takes)
                .or_else(|| self.selected(&route.value, example, takes))
                .or_else(|| self.mentioned(example).and_then(takes));
            let asks = example.get("response").is_some() || example.get("expect_call").is_some();
            if variant.is_none() && asks && found.len() > 1 && self.all_known {
                let place = example.get("name").unwrap_or(example);
                diags.push(
                    Diagnostic::error(
                        codes::BAD_EXAMPLE,
                        place.span,
                        "this example does not say which variant of the call it is about",
                    )
                    .help("add `backend:` with the name of a backend that the variant is for"),
                );
            }
            if let Some(examples) = each.get_mut(variant.unwrap_or(0)) {
                examples.push(example.clone());
            }
        }
        each
    }

    fn named(&self, node: &Node) -> Option<BackendId> {
        let name = node.as_text()?;
        let mut instances = self.instances.iter();
        let known = instances.find(|(_, backend)| *backend.name == *name);
        known.map(|(id, _)| *id)
    }

    /// The variant of every instance whose labels are those that `select` takes for the example's request; `None`
    /// where they are of several, where the mapping of `object` decides, or where a label is more than a variable.
    fn selected(
        &self,
        route: &Node,
        example: &Node,
        takes: impl Fn(BackendId) -> Option<usize>,
    ) -> Option<usize> {
        if route.get("object").is_some() {
            return None;
        }
        let labels = route.get("select").or(self.select)?.get("labels")?;
        let wanted = labels.entries().iter();
        let wanted: Vec<(&str, &str)> = wanted
            .map(|label| Some((label.key.as_str(), said(&label.value, example)?)))
            .collect::<Option<_>>()?;
        let fits = |backend: &Backend| {
            let mut wanted = wanted.iter();
            wanted.all(|(label, value)| label_of(backend, label) == Some(value))
        };
        let mut ways = self
            .instances
            .iter()
            .filter(|(_, backend)| fits(backend))
            .map(|(id, _)| takes(*id));
        let first = ways.next()??;
        ways.all(|way| way == Some(first)).then_some(first)
    }

    /// The instance that a row, or else the request, names.
    fn mentioned(&self, example: &Node) -> Option<BackendId> {
        let rows = || match example.get("mappings").map(|rows| &rows.kind) {
            Some(Kind::List(rows)) => rows.iter().find_map(|row| self.named(row.get("backend")?)),
            _ => None,
        };
        let asked = || {
            let request = example.get("request")?;
            let parts = ["path", "query", "body"].into_iter();
            let values = parts
                .filter_map(|part| request.get(part))
                .flat_map(Node::entries);
            values
                .map(|entry| &entry.value)
                .find_map(|value| self.named(value))
        };
        rows().or_else(asked)
    }
}

/// What a label of `select` is for an example's request: a literal, or a variable of `path`, `query` or `body`.
fn said<'n>(label: &'n Node, example: &'n Node) -> Option<&'n str> {
    let text = label.as_text()?;
    let variable = text.trim().strip_prefix("{{");
    let Some(variable) = variable.and_then(|rest| rest.strip_suffix("}}")) else {
        return (!text.contains("{{")).then_some(text);
    };
    let mut value = example.get("request")?;
    for key in variable.trim().split('.') {
        value = value.get(key)?;
    }
    value.as_text()
}

/// The route as this variant has it.
fn way(route: &Entry, variant: &Node, examples: Vec<Node>) -> Entry {
    let own = |key: &str| entry(variant, key);
    let of_the_call = |entry: &&Entry| entry.key != "when" && !OF_THE_ROUTE.contains(&&*entry.key);
    let written = entry(&route.value, "call").expect("a route with variants has a call");
    let beside = written
        .value
        .entries()
        .iter()
        .filter(|entry| entry.key != "variants");
    let calls = variant.entries().iter().filter(of_the_call);
    let call = joined(beside, calls, variant.span);

    let mut entries = Vec::new();
    for entry in route.value.entries() {
        let value = match entry.key.as_str() {
            "call" => call.clone(),
            "examples" if examples.is_empty() => continue,
            "examples" => Node {
                kind: Kind::List(examples.clone()),
                ..entry.value
            },
            "response" => own("response").map_or_else(
                || entry.value.clone(),
                |own| responses(&entry.value, &own.value),
            ),
            "extract" => own("extract").map_or_else(
                || entry.value.clone(),
                |own| {
                    joined(
                        entry.value.entries().iter(),
                        own.value.entries().iter(),
                        own.value.span,
                    )
                },
            ),
            key => own(key)
                .filter(|_| OF_THE_ROUTE.contains(&key))
                .map_or(&entry.value, |own| &own.value)
                .clone(),
        };
        entries.push(Entry {
            value,
            ..entry.clone()
        });
    }
    for key in OF_THE_ROUTE {
        if entry(&route.value, key).is_none() {
            entries.extend(own(key).cloned());
        }
    }
    Entry {
        value: Node {
            kind: Kind::Map(entries),
            span: route.value.span,
        },
        ..route.clone()
    }
}

fn entry<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    node.entries().iter().find(|entry| entry.key == key)
}

/// Two maps as one; the second one's keys win.
fn joined<'n>(
    under: impl Iterator<Item = &'n Entry>,
    over: impl Iterator<Item = &'n Entry> + Clone,
    span: Span,
) -> Node {
    let hidden = |entry: &&Entry| over.clone().any(|own| own.key == entry.key);
    let mut entries: Vec<Entry> = under.filter(|entry| !hidden(entry)).cloned().collect();
    entries.extend(over.cloned());
    Node {
        kind: Kind::Map(entries),
        span,
    }
}

/// `response` of the route under that of the variant: own keys win, own error rules come first.
fn responses(route: &Node, variant: &Node) -> Node {
    let (Kind::Map(_), Kind::Map(_)) = (&route.kind, &variant.kind) else {
        return variant.clone();
    };
    let mut both = joined(
        route.entries().iter(),
        variant.entries().iter(),
        variant.span,
    );
    let rules = |node: &Node| match node.get("errors").map(|errors| &errors.kind) {
        Some(Kind::List(rules)) => Some(rules.clone()),
        _ => None,
    };
    if let (Some(first), Some(then), Kind::Map(entries)) =
        (rules(variant), rules(route), &mut both.kind)
        && let Some(errors) = entries.iter_mut().find(|entry| entry.key == "errors")
    {
        errors.value.kind = Kind::List(first.into_iter().chain(then).collect());
    }
    both
}
