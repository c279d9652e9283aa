//! Misspelled packs: each key, each variable and each name of a shipped pack is misspelled in turn, and
//! `validate-config`, which plays the examples too, must notice.
//!
//! A slip keeps the length of its word, so that every place stays where it was, and one load can carry
//! many: all keys of one depth, where only "unknown key" at that very place counts, and names of variables, where
//! only an error there does; then one slip in each of many routes, or of many examples, where only an error in that
//! route or example counts, first without playing the examples, then with them. What is left, and not in
//! the list of excuses, is tried alone, and there a warning counts too, first in the pack with no other route, then
//! in the whole one. A slip that nobody can notice must fit a row of [`EXCUSED`], which says why; a row that
//! excuses nothing fails, too.

mod pack;
mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use cmp_relay::config::codes::UNKNOWN_KEY;
use cmp_relay::demo::packs;
use cmp_relay::diagnostics::{Diagnostic, Severity};
use regex::Regex;

use pack::Pack;
use sites::{Site, misspelled};

/// A pack whose words are tried.
struct Tried {
    /// In the list of excuses.
    name: &'static str,
    pack: &'static packs::Pack,
    /// Whose routes its own need.
    beside: Option<&'static packs::Pack>,
}

impl Tried {
    const fn new(name: &'static str, pack: &'static packs::Pack) -> Self {
        Self {
            name,
            pack,
            beside: None,
        }
    }
}

/// Every pack.
static TRIED: [Tried; 6] = [
    Tried::new("openstack", &packs::openstack::PACK),
    Tried::new("switches", &packs::switches::PACK),
    Tried::new("firewalls", &packs::firewalls::PACK),
    Tried::new("waf", &packs::waf::PACK),
    Tried::new("neo", &packs::neo::PACK),
    Tried {
        beside: Some(&packs::openstack::PACK),
        ..Tried::new("chaining", &packs::chaining::PACK)
    },
];

/// What cannot be noticed, and why: a row is the packs, the kind of the word, a pattern of where it stands (its keys,
/// `routes.create_port.call.http`), and the reason.
const EXCUSED: &str = "tests/mutants.md";

/// The slips that no "unknown key" tells. A key cannot stand in a map that is not read, because its own key is
/// wrong: so each depth has a load of its own.
fn after_known_keys<'s>(pack: &Pack, sites: &[&'s Site]) -> Vec<&'s Site> {
    let mut depths: BTreeMap<usize, Vec<&Site>> = BTreeMap::new();
    for site in sites.iter().filter(|site| site.what == "key") {
        depths.entry(site.depth).or_default().push(site);
    }
    let loads: Vec<_> = depths.into_values().collect();
    let told = in_parallel(&loads, |load| {
        let said = pack.load(load, false);
        let unknown: Vec<&Diagnostic> = said
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.code == UNKNOWN_KEY)
            .collect();
        let told = |site: &&Site| {
            unknown
                .iter()
                .any(|diagnostic| said.begins(diagnostic, &site.path, &site.range))
        };
        load.iter().copied().filter(told).collect()
    });
    let told: BTreeSet<_> = told.into_iter().map(id).collect();
    let left = sites.iter().copied();
    left.filter(|site| !told.contains(&id(site))).collect()
}

/// The slips in variables, and in words of routes, that no error tells which begins at the word itself. None makes
/// another of these places wrong: one of each expression and of each text is in a load.
fn after_known_names<'s>(pack: &Pack, sites: &[&'s Site]) -> Vec<&'s Site> {
    let (names, mut left): (Vec<&Site>, Vec<&Site>) = sites
        .iter()
        .partition(|site| site.what == "variable" || site.what == "word" && site.route.is_some());
    let mut turns: BTreeMap<_, Vec<&Site>> = BTreeMap::new();
    for site in names {
        turns.entry((site.what, site.nth)).or_default().push(site);
    }
    let loads: Vec<_> = turns.into_values().collect();
    left.extend(in_parallel(&loads, |load| {
        let said = pack.load(load, false);
        let silent = |site: &&Site| !said.has_error(&site.path, &site.range);
        load.iter().copied().filter(silent).collect()
    }));
    left
}

/// The slips that no error tells at their routes, or at their examples, where each of many holds one. What is said of one
/// route because of another's slip would be taken for its own: what a mapping records is read by other
/// routes, so it is tried alone, and so is what stands in no route.
fn after_company<'s>(pack: &Pack, sites: &[&'s Site], examples: bool) -> Vec<&'s Site> {
    // By the file and the place of what holds the slip; an example and its route are never wrong in one load.
    type Queues<'q, 's> = BTreeMap<(&'q str, usize, usize), Vec<&'s Site>>;
    let mut queues: [Queues; 2] = Default::default();
    let mut left = Vec::new();
    for site in sites {
        match pack.holder(site) {
            Some(range) if !site.place.contains(".mapping.create.attributes") => {
                queues[usize::from(site.example.is_some())]
                    .entry((&site.path, range.start, range.end))
                    .or_default()
                    .push(site);
            }
            _ => left.push(*site),
        }
    }
    let loads: Vec<Vec<&Site>> = queues
        .iter()
        .flat_map(|queues| {
            let longest = queues.values().map(Vec::len).max().unwrap_or(0);
            (0..longest).map(|turn| {
                let here = queues.values().filter_map(|queue| queue.get(turn));
                here.copied().collect()
            })
        })
        .collect();
    left.extend(in_parallel(&loads, |load| {
        let said = pack.around(load).load(load, examples);
        let silent = |site: &&Site| {
            let holder = pack.holder(site).expect("company is kept in routes");
            !said.has_error(&site.path, holder)
        };
        load.iter().copied().filter(silent).collect()
    }));
    left
}

/// The slips of which nothing is said when each is the only one, in the pack with no other route. Of what stands in no
/// route an error counts, in the pack with one route that uses it.
fn after_each_alone<'s>(pack: &Pack, sites: &[&'s Site]) -> Vec<&'s Site> {
    let mut routes: BTreeMap<_, Vec<&Site>> = BTreeMap::new();
    for site in sites {
        routes.entry(pack.user(site)).or_default().push(site);
    }
    let loads: Vec<_> = routes
        .iter()
        .flat_map(|(route, sites)| sites.chunks(20).map(move |sites| (*route, sites)))
        .collect();
    in_parallel(&loads, |(route, sites)| {
        let small = pack.with(&BTreeSet::from([*route]));
        // Of so little of a pack a few things are said without any slip.
        let before = small.load(&[], true).diagnostics;
        let silent = |site: &&Site| {
            let said = small.load(&[site], true).diagnostics;
            said.iter()
                .filter(|said| site.route.is_some() || said.severity == Severity::Error)
                .all(|said| before.contains(said))
        };
        sites.iter().copied().filter(silent).collect()
    })
}

/// The slips of which nothing is said when each is the only one in the whole pack.
fn after_the_whole_pack<'s>(pack: &Pack, sites: &[&'s Site]) -> Vec<&'s Site> {
    in_parallel(sites, |site| {
        match pack.load(&[site], true).diagnostics.is_empty() {
            true => vec![*site],
            false => Vec::new(),
        }
    })
}

/// Which site it is.
fn id(site: &Site) -> (&str, usize) {
    (&site.path, site.range.start)
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

/// A row of the table.
struct Excuse {
    /// Whether it is for whatever pack has such a word.
    for_all: bool,
    what: String,
    place: Regex,
}

impl Excuse {
    fn fits(&self, site: &Site) -> bool {
        self.what == site.what && self.place.is_match(&site.place)
    }
}

/// The rows for a pack. Each must give a reason.
fn excuses(pack: &str) -> Vec<Excuse> {
    let page = fs::read_to_string(EXCUSED).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.skip(1)
        .filter_map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let [packs, what, place, why] = cells[..] else {
                panic!("a row has four cells: {row}")
            };
            assert!(why.len() > 20, "no reason: {row}");
            let packs = packs.trim_start_matches("| ");
            let packs: Vec<&str> = packs.split(", ").collect();
            for one in &packs {
                let known = *one == "all" || TRIED.iter().any(|tried| tried.name == *one);
                assert!(known, "no pack is called so: {row}");
            }
            let for_all = packs == ["all"];
            let is_for = for_all || packs.contains(&pack);
            let place = place.trim().trim_matches('`');
            is_for.then(|| Excuse {
                for_all,
                what: what.to_owned(),
                place: Regex::new(&format!("^(?:{place})$")).expect("a pattern"),
            })
        })
        .collect()
}

/// A slip as its author would look for it.
fn line(pack: &Pack, site: &Site) -> String {
    let text = pack.text(&site.path);
    let line = text[..site.range.start].matches('\n').count() + 1;
    let word = &text[site.range.clone()];
    let wrong = misspelled(word);
    let (path, what, place) = (&site.path, site.what, &site.place);
    format!("{path}:{line} {what} `{word}` -> `{wrong}` at {place}")
}

/// Tries every word of a pack.
fn check(name: &str) {
    let tried = TRIED.iter().find(|tried| tried.name == name).unwrap();
    let pack = Pack::read(tried.pack, tried.beside);
    let clean = pack.load(&[], true).diagnostics;
    assert!(clean.is_empty(), "{clean:?}");
    let sites = pack.sites();
    assert!(sites.len() > 1000, "found only {} words", sites.len());
    let all: Vec<&Site> = sites.iter().collect();
    let left = after_known_keys(&pack, &all);
    let left = after_known_names(&pack, &left);
    let (for_examples, left): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|site| site.is_for_examples());
    let mut left = after_company(&pack, &left, false);
    left.extend(for_examples);
    let left = after_company(&pack, &left, true);
    let excuses = excuses(name);
    let (excused, left): (Vec<&Site>, Vec<&Site>) = left
        .into_iter()
        .partition(|site| excuses.iter().any(|excuse| excuse.fits(site)));
    let left = after_each_alone(&pack, &left);
    let mut left = after_the_whole_pack(&pack, &left);
    left.sort_by_key(|site| id(site));
    let lines: Vec<String> = left.iter().map(|site| line(&pack, site)).collect();
    assert!(
        lines.is_empty(),
        "{} of {} slips go unnoticed:\n{}",
        lines.len(),
        sites.len(),
        lines.join("\n")
    );
    for excuse in &excuses {
        let fitting: Vec<&Site> = excused
            .iter()
            .copied()
            .filter(|site| excuse.fits(site))
            .collect();
        let needed = |site: &&Site| !after_the_whole_pack(&pack, &[site]).is_empty();
        assert!(
            excuse.for_all && fitting.is_empty() || fitting.iter().any(needed),
            "nothing needs the excuse for a {} at {}",
            excuse.what,
            excuse.place
        );
    }
}

#[test]
fn every_pack_has_its_words_tried() {
    let tried: Vec<_> = TRIED.iter().map(|tried| tried.pack.title).collect();
    let shipped: Vec<_> = packs::PACKS.iter().map(|pack| pack.title).collect();
    assert_eq!(shipped, tried);
}

#[test]
fn an_excuse_for_all_packs_fits_a_word_of_some() {
    let packs = TRIED.iter().map(|tried| Pack::read(tried.pack, None));
    let sites: Vec<Site> = packs.flat_map(|pack| pack.sites()).collect();
    for excuse in excuses("all").iter().filter(|excuse| excuse.for_all) {
        let fits = sites.iter().any(|site| excuse.fits(site));
        assert!(fits, "no {} stands at {}", excuse.what, excuse.place);
    }
}

#[test]
fn every_slip_in_the_openstack_pack_is_noticed_or_excused() {
    check("openstack");
}

#[test]
fn every_slip_in_the_switch_pack_is_noticed_or_excused() {
    check("switches");
}

#[test]
fn every_slip_in_the_firewall_pack_is_noticed_or_excused() {
    check("firewalls");
}

#[test]
fn every_slip_in_the_waf_pack_is_noticed_or_excused() {
    check("waf");
}

#[test]
fn every_slip_in_the_neo_pack_is_noticed_or_excused() {
    check("neo");
}

#[test]
fn every_slip_in_the_chaining_pack_is_noticed_or_excused() {
    check("chaining");
}
