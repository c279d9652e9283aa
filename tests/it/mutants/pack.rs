//! Shipped packs in memory: with words misspelled, and without the routes that a slip cannot touch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use cmp_relay::config::{self, Env, yaml};
use cmp_relay::demo::packs;
use cmp_relay::diagnostics::{Diagnostic, Diagnostics, Severity};
use cmp_relay::document::{FileId, Kind};
use cmp_relay::trial;

use super::sites::{self, Site, misspelled};

/// The files, and where their routes stand.
pub struct Pack {
    files: Vec<(String, String)>,
    /// Those whose words are tried.
    own: BTreeSet<&'static str>,
    /// The environment variables of the secrets.
    secrets: Vec<&'static str>,
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
    /// Whether an error begins there.
    pub fn has_error(&self, path: &str, range: &Range<usize>) -> bool {
        let mut errors = self
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors.any(|diagnostic| self.begins(diagnostic, path, range))
    }

    /// Whether a diagnostic, or a place beside it, begins there.
    pub fn begins(&self, diagnostic: &Diagnostic, path: &str, range: &Range<usize>) -> bool {
        let beside = diagnostic.related.iter().map(|(span, _)| *span);
        diagnostic.span.into_iter().chain(beside).any(|span| {
            self.paths[span.file.0 as usize] == path && range.contains(&(span.start as usize))
        })
    }
}

impl Pack {
    /// All that a folder has with this pack, and the one that it needs.
    pub fn read(pack: &packs::Pack, beside: Option<&packs::Pack>) -> Self {
        // As they stand in the repository, not as the binary holds them: an example is tried without a build.
        let read = |path: &str| (path.to_owned(), fs::read_to_string(path).unwrap());
        let all = || beside.into_iter().chain([pack]);
        let paths: BTreeSet<&str> = all()
            .flat_map(packs::Pack::whole)
            .map(|(path, _)| path)
            .collect();
        let files: Vec<(String, String)> = paths.into_iter().map(read).collect();
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
        Self {
            files,
            own: pack.whole().map(|(path, _)| path).collect(),
            secrets: all().flat_map(|pack| pack.secrets).copied().collect(),
            routes,
        }
    }

    /// Every word of the pack's own route files, backends and what they share, and the expressions of templates.
    pub fn sites(&self) -> Vec<Site> {
        let of = |(path, text): &(String, String)| match path.split('/').next() {
            Some("routes.d" | "backends.d") => sites::of(path, text),
            Some("templates") => sites::of_template(path, text),
            _ => Vec::new(),
        };
        let own = |(path, _): &&(String, String)| self.own.contains(path.as_str());
        self.files.iter().filter(own).flat_map(of).collect()
    }

    pub fn text(&self, path: &str) -> &str {
        let found = self.files.iter().find(|(known, _)| known == path);
        &found.expect("a file of the pack").1
    }

    /// The example or the route that holds a slip.
    pub fn holder<'p>(&'p self, site: &'p Site) -> Option<&'p Range<usize>> {
        let route = || Some(&self.routes[&(site.path.clone(), site.route.clone()?)]);
        site.example.as_ref().or_else(route)
    }

    fn routes_of<'p>(&'p self, path: &'p str) -> impl Iterator<Item = (&'p str, &'p Range<usize>)> {
        self.routes
            .iter()
            .filter(move |((of, _), _)| of == path)
            .map(|((_, route), range)| (route.as_str(), range))
    }

    /// A route that a slip can touch: its own, one of its file, one of a file that names the slip's, or any.
    pub fn user<'p>(&'p self, site: &'p Site) -> (&'p str, &'p str) {
        if let Some(route) = &site.route {
            return (&site.path, route);
        }
        let (_, name) = site.path.split_once('/').expect("files stand in folders");
        let names =
            |path: &str, range: &Range<usize>| self.text(path)[range.clone()].contains(name);
        let find = |uses: &dyn Fn(&str, &Range<usize>) -> bool| {
            let mut routes = self.routes.iter();
            let found = routes.find(|((path, _), range)| uses(path, range));
            found.map(|((path, route), _)| (path.as_str(), route.as_str()))
        };
        find(&|path, _| path == site.path)
            .or_else(|| find(&names))
            .or_else(|| find(&|path, _| self.text(path).contains(name)))
            .or_else(|| find(&|_, _| true))
            .expect("a pack has routes")
    }

    /// The pack without the routes that hold none of the slips.
    pub fn around(&self, slips: &[&Site]) -> Self {
        let held = slips
            .iter()
            .filter_map(|slip| Some((slip.path.as_str(), slip.route.as_deref()?)));
        self.with(&held.collect())
    }

    /// The pack with no other routes. In a file that holds one every place stays where it was: blanks stand for its
    /// other routes. Of the other files the resource alone is left, for those who refer to it.
    pub fn with(&self, held: &BTreeSet<(&str, &str)>) -> Self {
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
            own: self.own.clone(),
            secrets: self.secrets.clone(),
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
        let secrets = self.secrets.iter();
        let env = Env::new(secrets.map(|name| ((*name).to_owned(), "secret".to_owned())));
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
