//! Misspelled routes: over the shipped pack, each key, each variable and each name is misspelled in
//! turn, and `validate-config`, which plays the examples too, must notice.
//!
//! A slip keeps the length of its word, so that every place stays where it was. That lets one load carry a slip
//! in every route at once: an error at a route is about that route's slip. What a crowded load leaves
//! unsaid is tried again, for examples are played only when all compiles; what is left then is tried
//! alone, and there a warning counts too. A slip that nobody can notice must fit a row of [`EXCUSED`], which
//! says why; a reason that excuses nothing fails, too. What an example makes up, such as the name of
//! a network, is no name: in examples the keys are misspelled, and the names of resources and backends.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cmp_relay::config::{self, Env, yaml};
use cmp_relay::diagnostics::{Diagnostic, Diagnostics, Severity};
use cmp_relay::document::{FileId, Kind, Node, Span};
use cmp_relay::trial;
use regex::Regex;

/// What cannot be noticed, and why: a row is the kind of the word, a pattern of where it stands, and the
/// reason. A place is written as its keys, `routes.create_port.call.http`.
const EXCUSED: &str = "tests/mutants.md";

/// A word that can be misspelled.
#[derive(Clone, Debug)]
struct Site {
    /// The file, as `validate-config` names it.
    path: String,
    range: Range<usize>,
    /// The keys that lead there, with dots; list items have no name of their own.
    place: String,
    what: &'static str,
    /// The route in which it stands.
    route: Option<String>,
}

/// The pack in memory.
struct Pack {
    files: Vec<(String, String)>,
    /// By file and route: where the route's text stands.
    routes: BTreeMap<(String, String), Range<usize>>,
}

static NAMES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[A-Za-z_][A-Za-z0-9_]*").expect("a literal pattern"));

/// What only people read: any word is as right as another.
const PROSE: [&str; 3] = ["summary", "description", "title"];

impl Pack {
    fn read() -> Self {
        let mut files = Vec::new();
        for folder in [
            "backends.d",
            "routes.d",
            "routes.d/shared",
            "routes.d/schemas",
        ] {
            let mut paths: Vec<_> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_file())
                .collect();
            paths.sort();
            for path in paths {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.to_str().unwrap().to_owned(), text));
            }
        }
        Self {
            files,
            routes: BTreeMap::new(),
        }
    }

    /// Every word of the route files and of what they share.
    fn sites(&mut self) -> Vec<Site> {
        let mut sites = Vec::new();
        for (path, text) in &self.files {
            if !path.starts_with("routes.d/") {
                continue;
            }
            let mut diags = Diagnostics::default();
            let root = yaml::parse(FileId(0), text, &mut diags).expect("the pack is YAML");
            if let Some(Kind::Map(routes)) = root.get("routes").map(|node| &node.kind) {
                for route in routes {
                    let range = route.key_span.start as usize..route.value.span.end as usize;
                    self.routes.insert((path.clone(), route.key.clone()), range);
                }
            }
            let mut walk = Walk {
                path,
                text,
                keys: Vec::new(),
                sites: &mut sites,
            };
            walk.node(&root);
        }
        sites
    }

    /// The pack with these words misspelled.
    fn with(&self, slips: &[&Site]) -> Vec<(String, String)> {
        let mut files = self.files.clone();
        for slip in slips {
            let (_, text) = files
                .iter_mut()
                .find(|(path, _)| *path == slip.path)
                .expect("a site stands in a file of the pack");
            let wrong = misspelled(&text[slip.range.clone()]);
            text.replace_range(slip.range.clone(), &wrong);
        }
        files
    }
}

struct Walk<'w> {
    path: &'w str,
    text: &'w str,
    keys: Vec<String>,
    sites: &'w mut Vec<Site>,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    self.keys.push(entry.key.clone());
                    let range = range(entry.key_span);
                    match entry.key.starts_with("$.") {
                        true => self.words(range, "JSONPath name"),
                        false => self.words(range, "key"),
                    }
                    if !PROSE.contains(&entry.key.as_str()) {
                        self.node(&entry.value);
                    }
                    self.keys.pop();
                }
            }
            Kind::List(items) => items.iter().for_each(|item| self.node(item)),
            Kind::Text(scalar) => {
                let Some(at) = scalar.verbatim_at else { return };
                let at = at as usize;
                self.scalar(&scalar.text, at..at + scalar.text.len());
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }

    fn scalar(&mut self, text: &str, range: Range<usize>) {
        let key = self.keys.last().cloned().unwrap_or_default();
        let in_example = self.keys.iter().any(|key| key == "examples");
        if in_example && !["resource", "backend"].contains(&key.as_str()) {
            return;
        }
        if text.contains("{{") {
            let mut from = 0;
            while let Some(open) = text[from..].find("{{").map(|at| from + at) {
                let end = text[open..].find("}}").map_or(text.len(), |at| open + at);
                self.words(range.start + open..range.start + end, "variable");
                from = end;
            }
            if ["match", "http"].contains(&key.as_str()) {
                let end = text.find("{{").unwrap_or(text.len());
                self.words(range.start..range.start + end, "path");
            }
        } else if ["$for", "$if", "$where"].contains(&key.as_str()) {
            self.words(range, "variable");
        } else if ["match", "http"].contains(&key.as_str()) {
            self.words(range, "path");
        } else if text.starts_with('$') {
            self.words(range, "JSONPath name");
        } else if !text.contains(' ') {
            self.words(range, "word");
        }
    }

    fn words(&mut self, range: Range<usize>, what: &'static str) {
        for found in NAMES.find_iter(&self.text[range.clone()]) {
            if found.len() < 2 {
                continue;
            }
            let route = match self.keys.as_slice() {
                [routes, route, ..] if routes == "routes" => Some(route.clone()),
                _ => None,
            };
            self.sites.push(Site {
                path: self.path.to_owned(),
                range: range.start + found.start()..range.start + found.end(),
                place: self.keys.join("."),
                what,
                route,
            });
        }
    }
}

fn range(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// Two neighbours change places; where all letters are the same, the last one becomes another.
fn misspelled(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let middle = letters.len() / 2;
    let swap = (middle.max(1)..letters.len()).chain(1..middle).find(|at| {
        letters[*at] != letters[at - 1] && !letters[at - 1..=*at].iter().any(char::is_ascii_digit)
    });
    match swap {
        Some(at) => letters.swap(at - 1, at),
        None => {
            let last = letters.len() - 1;
            letters[last] = if letters[last] == 'x' { 'y' } else { 'x' };
        }
    }
    letters.into_iter().collect()
}

/// What is said of the pack with these slips.
fn said(pack: &Pack, slips: &[&Site]) -> (Vec<Diagnostic>, Vec<String>) {
    let files = pack.with(slips);
    let borrowed: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let env = Env::new([]).ignoring_secrets();
    let mut loaded = config::load_from_memory(&borrowed, &env);
    trial::check(&mut loaded).unwrap();
    let paths = loaded
        .files
        .iter()
        .map(|(_, file)| file.path.to_string())
        .collect();
    (loaded.diagnostics.iter().cloned().collect(), paths)
}

/// Which of these slips, each in a route of its own, are noticed at their routes. What is said of one
/// route because of another is never an error, so in company only errors count.
fn noticed(pack: &Pack, slips: &[&Site]) -> Vec<bool> {
    let (mut diagnostics, paths) = said(pack, slips);
    if slips.len() == 1 {
        return vec![!diagnostics.is_empty()];
    }
    diagnostics.retain(|diagnostic| diagnostic.severity == Severity::Error);
    slips
        .iter()
        .map(|slip| {
            let route = slip.route.as_ref().expect("company is kept in routes");
            let inside = &pack.routes[&(slip.path.clone(), route.clone())];
            diagnostics.iter().any(|diagnostic| {
                let spans = diagnostic
                    .span
                    .into_iter()
                    .chain(diagnostic.related.iter().map(|(span, _)| *span));
                spans.into_iter().any(|span| {
                    paths[span.file.0 as usize] == slip.path
                        && inside.contains(&(span.start as usize))
                })
            })
        })
        .collect()
}

/// The slips that a load with one in every route does not notice.
fn unnoticed<'s>(pack: &Pack, sites: &[&'s Site]) -> Vec<&'s Site> {
    let mut queues: BTreeMap<(&str, &str), Vec<&Site>> = BTreeMap::new();
    let mut loads: Vec<Vec<&Site>> = Vec::new();
    for site in sites {
        match &site.route {
            Some(route) => queues.entry((&site.path, route)).or_default().push(site),
            None => loads.push(vec![site]),
        }
    }
    let longest = queues.values().map(Vec::len).max().unwrap_or(0);
    for turn in 0..longest {
        loads.push(
            queues
                .values()
                .filter_map(|queue| queue.get(turn).copied())
                .collect(),
        );
    }
    in_parallel(&loads, |load| {
        let noticed = noticed(pack, load);
        load.iter()
            .zip(noticed)
            .filter_map(|(site, noticed)| (!noticed).then_some(*site))
            .collect()
    })
}

/// Runs every load on the machine's cores.
fn in_parallel<'s, T: Sync>(
    loads: &[T],
    run: impl Fn(&T) -> Vec<&'s Site> + Sync,
) -> Vec<&'s Site> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(load) = loads.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(run(load));
        }
        found
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("a load does not panic"))
            .collect()
    })
}

/// The rows of the table: the kind of the word, and where it stands. Each must give a reason.
fn excused() -> Vec<(String, Regex)> {
    let page = fs::read_to_string(EXCUSED).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, what, place, why, _] = cells[..] else {
                panic!("a row has three cells: {row}")
            };
            assert!(!why.is_empty(), "no reason: {row}");
            let place = place.trim_matches('`');
            (what.to_owned(), Regex::new(place).expect("a pattern"))
        })
        .collect()
}

#[test]
fn every_slip_in_the_pack_is_noticed_or_excused() {
    let mut pack = Pack::read();
    let (clean, _) = said(&pack, &[]);
    assert!(clean.is_empty(), "{clean:?}");
    let sites = pack.sites();
    assert!(sites.len() > 1500, "found only {} words", sites.len());
    let all: Vec<&Site> = sites.iter().collect();
    let left = unnoticed(&pack, &all);
    let in_routes: Vec<&Site> = left
        .iter()
        .filter(|site| site.route.is_some())
        .copied()
        .collect();
    let mut left: Vec<&Site> = left
        .into_iter()
        .filter(|site| site.route.is_none())
        .collect();
    let still = unnoticed(&pack, &in_routes);
    let alone: Vec<Vec<&Site>> = still.iter().map(|site| vec![*site]).collect();
    left.extend(in_parallel(&alone, |load| match noticed(&pack, load)[0] {
        true => Vec::new(),
        false => load.clone(),
    }));
    left.sort_by_key(|site| (&site.path, site.range.start));

    let excused = excused();
    let mut used = vec![false; excused.len()];
    let mut unexcused = Vec::new();
    for site in &left {
        let reason = excused
            .iter()
            .position(|(what, place)| *what == site.what && place.is_match(&site.place));
        match reason {
            Some(reason) => used[reason] = true,
            None => {
                let (_, text) = pack
                    .files
                    .iter()
                    .find(|(path, _)| *path == site.path)
                    .unwrap();
                let line = text[..site.range.start].lines().count().max(1);
                let word = &text[site.range.clone()];
                unexcused.push(format!(
                    "{}:{line} {} `{word}` -> `{}` at {}",
                    site.path,
                    site.what,
                    misspelled(word),
                    site.place
                ));
            }
        }
    }
    assert!(
        unexcused.is_empty(),
        "{} of {} slips go unnoticed:\n{}",
        unexcused.len(),
        sites.len(),
        unexcused.join("\n")
    );
    for (used, (what, place)) in used.iter().zip(&excused) {
        assert!(used, "nothing needs the excuse for a {what} at {place}");
    }
}
