//! Misspelled routes: over the shipped pack, each key, each variable and each name is misspelled in
//! turn, and `validate-config`, which plays the examples too, must notice.
//!
//! A slip keeps the length of its word, so that every place stays where it was, and one load can carry
//! many: all keys of one depth, where only "unknown key" at that very place counts; then one slip in
//! each of many routes, where only an error at that route counts, first without playing the examples, then with
//! them. What is left is tried alone, and there a warning counts too, first in the pack with no other route, then
//! in the whole one. A slip that nobody can notice must fit a row of [`EXCUSED`], which says why; a row that
//! excuses nothing fails, too.

mod pack;
mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use cmp_relay::config::codes::UNKNOWN_KEY;
use cmp_relay::diagnostics::{Diagnostic, Severity};
use regex::Regex;

use pack::Pack;
use sites::{Site, misspelled};

/// What cannot be noticed, and why: a row is the kind of the word, a pattern of where it stands (its keys,
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

/// The slips that no error at their routes tells, where each of many routes holds one. What is said of one
/// route because of another's slip would be taken for its own: what a mapping records is read by other
/// routes, so it is tried alone, and so is what stands in no route.
fn after_company<'s>(pack: &Pack, sites: &[&'s Site], examples: bool) -> Vec<&'s Site> {
    let mut queues: BTreeMap<(&str, &str), Vec<&Site>> = BTreeMap::new();
    let mut left = Vec::new();
    for site in sites {
        match &site.route {
            Some(route) if !site.place.contains(".mapping.create.attributes") => {
                queues.entry((&site.path, route)).or_default().push(site);
            }
            _ => left.push(*site),
        }
    }
    let longest = queues.values().map(Vec::len).max().unwrap_or(0);
    let loads: Vec<Vec<&Site>> = (0..longest)
        .map(|turn| {
            let here = queues.values().filter_map(|queue| queue.get(turn));
            here.copied().collect()
        })
        .collect();
    left.extend(in_parallel(&loads, |load| {
        let said = pack.around(load).load(load, examples);
        let told = |site: &Site| {
            let route = site.route.as_ref().expect("company is kept in routes");
            let inside = pack.route(&site.path, route);
            said.diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .any(|diagnostic| said.begins(diagnostic, &site.path, inside))
        };
        let left = load.iter().copied();
        left.filter(|site| !told(site)).collect()
    }));
    left
}

/// The slips of which nothing is said when each is the only one, in the pack with no other route. What stands in
/// no route is left for the whole pack.
fn after_each_alone<'s>(pack: &Pack, sites: &[&'s Site]) -> Vec<&'s Site> {
    let mut routes: BTreeMap<_, Vec<&Site>> = BTreeMap::new();
    let mut left = Vec::new();
    for site in sites {
        match &site.route {
            Some(route) => routes.entry((&site.path, route)).or_default().push(site),
            None => left.push(*site),
        }
    }
    let routes: Vec<_> = routes.into_values().collect();
    left.extend(in_parallel(&routes, |sites| {
        let small = pack.around(&sites[..1]);
        // Of so little of a pack a few things are said without any slip.
        let before = small.load(&[], true).diagnostics;
        let silent = |site: &&Site| {
            let said = small.load(&[site], true).diagnostics;
            said.iter().all(|diagnostic| before.contains(diagnostic))
        };
        sites.iter().copied().filter(silent).collect()
    }));
    left
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

/// The rows of the table: the kind of the word, and where it stands. Each must give a reason.
fn excused() -> Vec<(String, Regex)> {
    let page = fs::read_to_string(EXCUSED).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    rows.skip(1)
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let [what, place, why] = cells[..] else {
                panic!("a row has three cells: {row}")
            };
            assert!(why.len() > 20, "no reason: {row}");
            let place = place.trim().trim_matches('`');
            let place = Regex::new(&format!("^(?:{place})$")).expect("a pattern");
            (what.trim_start_matches("| ").to_owned(), place)
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

#[test]
fn every_slip_in_the_pack_is_noticed_or_excused() {
    let pack = Pack::read();
    let clean = pack.load(&[], true).diagnostics;
    assert!(clean.is_empty(), "{clean:?}");
    let sites = pack.sites();
    assert!(sites.len() > 5000, "found only {} words", sites.len());
    let all: Vec<&Site> = sites.iter().collect();
    let left = after_known_keys(&pack, &all);
    let (for_examples, left): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|site| site.is_for_examples());
    let mut left = after_company(&pack, &left, false);
    left.extend(for_examples);
    let left = after_company(&pack, &left, true);
    let left = after_each_alone(&pack, &left);

    let excused = excused();
    let mut used = vec![false; excused.len()];
    let mut unexcused = Vec::new();
    for site in left {
        let reason = excused
            .iter()
            .position(|(what, place)| *what == site.what && place.is_match(&site.place));
        match reason {
            Some(reason) => used[reason] = true,
            None => unexcused.push(site),
        }
    }
    let mut unexcused = after_the_whole_pack(&pack, &unexcused);
    unexcused.sort_by_key(|site| id(site));
    let lines: Vec<String> = unexcused.iter().map(|site| line(&pack, site)).collect();
    assert!(
        lines.is_empty(),
        "{} of {} slips go unnoticed:\n{}",
        lines.len(),
        sites.len(),
        lines.join("\n")
    );
    for (used, (what, place)) in used.iter().zip(&excused) {
        assert!(used, "nothing needs the excuse for a {what} at {place}");
    }
}
