//! Shipped packs in memory: with words misspelled, and without the routes that a slip cannot touch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cmp_relay::config::{self, Env, yaml};
use cmp_relay::demo::packs;
use cmp_relay::diagnostics::{Diagnostic, Diagnostics};
use cmp_relay::document::{FileId, Kind};
use cmp_relay::trial;

use super::sites::{self, Site, misspelled};

/// The packs whose words are tried. The others are not yet: each slip is tried with every route that it can touch, so
/// the time grows with the square of the routes, and all packs at once would take more than an hour.
const PACKS: [&packs::Pack; 2] = [&packs::openstack::PACK, &packs::switches::PACK];

/// Of the first, service function chaining is left out.
const CHAINING: [&str; 4] = [
    "flow_classifiers.yaml",
    "port_chains.yaml",
    "port_pair_groups.yaml",
    "port_pairs.yaml",
];

/// The files, and where their routes stand.
pub struct Pack {
    files: Vec<(String, String)>,
    /// By file and route.
    routes: BTreeMap<(String, String), Range<usize>>,
}

/// What a load said.
pub struct Said {
    pub diagnostics: Vec<Diagnostic>,
    /// The paths that the files of the diagnostics have.
    paths: Vec<String>,
}

impl Said {
    /// Whether a diagnostic, or a place beside it, begins there.
    pub fn begins(&self, diagnostic: &Diagnostic, path: &str, range: &Range<usize>) -> bool {
        let beside = diagnostic.related.iter().map(|(span, _)| *span);
        diagnostic.span.into_iter().chain(beside).any(|span| {
            self.paths[span.file.0 as usize] == path && range.contains(&(span.start as usize))
        })
    }
}

impl Pack {
    pub fn read() -> Self {
        let mut files: Vec<(String, String)> = PACKS
            .iter()
            .flat_map(|pack| pack.whole())
            .filter(|(path, _)| !CHAINING.iter().any(|file| path.ends_with(file)))
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .collect();
        files.sort();
        files.dedup();
        let mut routes = BTreeMap::new();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".yaml")) {
            let root = yaml::parse(FileId(0), text, &mut Diagnostics::default());
            let root = root.expect("the pack is YAML");
            let Some(Kind::Map(found)) = root.get("routes").map(|node| &node.kind) else {
                continue;
            };
            for route in found {
                let range = route.key_span.start as usize..route.value.span.end as usize;
                routes.insert((path.clone(), route.key.clone()), range);
            }
        }
        Self { files, routes }
    }

    /// Every word of the route files and of what they share, and the expressions of templates.
    pub fn sites(&self) -> Vec<Site> {
        let of = |(path, text): &(String, String)| match path.split('/').next() {
            Some("routes.d") => sites::of(path, text),
            Some("templates") => sites::of_template(path, text),
            _ => Vec::new(),
        };
        self.files.iter().flat_map(of).collect()
    }

    pub fn text(&self, path: &str) -> &str {
        let found = self.files.iter().find(|(known, _)| known == path);
        &found.expect("a file of the pack").1
    }

    /// Where a route stands in its file.
    pub fn route(&self, path: &str, route: &str) -> &Range<usize> {
        &self.routes[&(path.to_owned(), route.to_owned())]
    }

    fn routes_of<'p>(&'p self, path: &'p str) -> impl Iterator<Item = (&'p str, &'p Range<usize>)> {
        self.routes
            .iter()
            .filter(move |((of, _), _)| of == path)
            .map(|((_, route), range)| (route.as_str(), range))
    }

    /// The pack without the routes that hold none of the slips. In a file that holds one every place stays where it
    /// was: blanks stand for its other routes. Of the other files the resource alone is left, for those who refer to it.
    pub fn around(&self, slips: &[&Site]) -> Self {
        let held: BTreeSet<_> = slips
            .iter()
            .filter_map(|slip| Some((slip.path.as_str(), slip.route.as_deref()?)))
            .collect();
        let files = self.files.iter().map(|(path, text)| {
            let mut text = text.clone();
            if held.iter().any(|(held, _)| held == path) {
                for (route, range) in self.routes_of(path) {
                    if !held.contains(&(path.as_str(), route)) {
                        let blank: String = text[range.clone()]
                            .bytes()
                            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
                            .collect();
                        text.replace_range(range.clone(), &blank);
                    }
                }
            } else if let Some(first) = self.routes_of(path).map(|(_, range)| range.start).min() {
                text.truncate(first);
                text.push_str("{}\n");
            }
            (path.clone(), text)
        });
        Self {
            files: files.collect(),
            routes: self.routes.clone(),
        }
    }

    /// What is said of the pack with these words misspelled; its examples are played where all compiles.
    pub fn load(&self, slips: &[&Site], examples: bool) -> Said {
        let mut files = self.files.clone();
        for slip in slips {
            let (_, text) = files
                .iter_mut()
                .find(|(path, _)| *path == slip.path)
                .expect("a site stands in a file of the pack");
            let wrong = misspelled(&text[slip.range.clone()]);
            text.replace_range(slip.range.clone(), &wrong);
        }
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let env = Env::new([]).ignoring_secrets();
        let mut loaded = config::load_from_memory(&sources, &env);
        if examples {
            trial::check(&mut loaded).unwrap();
        }
        Said {
            paths: loaded
                .files
                .iter()
                .map(|(_, file)| file.path.to_string())
                .collect(),
            diagnostics: loaded.diagnostics.iter().cloned().collect(),
        }
    }
}
