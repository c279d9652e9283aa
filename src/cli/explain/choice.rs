//! Why the backend: the object's mapping, a parent's, or `select` with what it says of each instance.

use super::account::{BackendAccount, ConsideredAccount, LabelAccount};
use super::tell::Known;
use crate::backend::why::{Choice, Considered, Taken, Verdict};
use crate::plan::{BackendState, Plan, Prefer, Route, Way};
use crate::relay::witness::{Purpose, Sought};

/// The choice, if it came to one.
pub fn of(known: &Known<'_>) -> Option<BackendAccount> {
    let route = known.route()?;
    let plan = known.plan;
    let (name, by, words, considered) = match known.seen.choice.as_ref()? {
        Choice::Object => {
            let (name, object) = mapped(known, &Purpose::Object)?;
            let words = format!("where {object} is mapped");
            (Some(name), "object", words, Vec::new())
        }
        Choice::SameAs(index) => {
            let alias = &route.parents[*index].alias;
            let (name, object) = mapped(known, &Purpose::Parent(alias.to_string()))?;
            let words = format!("where its parent `{alias}`, {object}, is mapped");
            (Some(name), "same_as", words, Vec::new())
        }
        Choice::Selected(considered) => {
            let chosen = considered
                .iter()
                .find(|one| matches!(one.verdict, Verdict::Chosen(_)));
            let name = chosen.map(|one| plan.backend(one.backend).name.to_string());
            let words = selected(plan, route, considered);
            let each = considered.iter().map(|one| told(plan, one)).collect();
            (name, "select", words, each)
        }
    };
    let backend = name.as_deref().and_then(|name| plan.backend_named(name));
    let state = backend.map(|id| plan.backend(id).state);
    let taken = backend.and_then(|id| route.ways.get(route.way_to(id)?));
    let variant = taken.filter(|way| way.takes.is_some()).map(Way::label);
    Some(BackendAccount {
        words: match state {
            Some(BackendState::Drain) => {
                format!("{words}; it drains, and what is mapped there is served")
            }
            _ => words,
        },
        state: state.map(|state| match state {
            BackendState::Active => "active",
            BackendState::Drain => "drain",
        }),
        variant,
        name,
        by,
        considered,
    })
}

/// The instance of the row that was found for this purpose, and the object.
fn mapped(known: &Known<'_>, purpose: &Purpose) -> Option<(String, String)> {
    let row = known.seen.rows.iter().find(|row| row.purpose == *purpose)?;
    let (Some(found), Sought::Object(key)) = (&row.found, &row.key) else {
        return None;
    };
    let object = format!("{} {}", key.resource, key.cmp_id);
    Some((found.backend.clone(), object))
}

fn selected(plan: &Plan, route: &Route, considered: &[Considered]) -> String {
    if considered.is_empty() {
        let kind = &plan.resource(route.resource).kind;
        return format!("no backend of kind {kind} is configured");
    }
    let chosen = considered.iter().find_map(|one| match &one.verdict {
        Verdict::Chosen(taken) => Some(taken),
        _ => None,
    });
    match chosen {
        None => "of no instance is all true that `select` asks".to_owned(),
        Some(None) if considered.len() == 1 => "the only one of its kind".to_owned(),
        Some(None) => "by `select`: the only one that matches".to_owned(),
        Some(Some(taken)) => format!("by `select`, {}", preference(taken, &route.select.prefer)),
    }
}

fn preference(taken: &Taken, prefer: &Prefer) -> String {
    match taken {
        Taken::First => match prefer {
            Prefer::Hash(_) => "the first that matches: what `hash_on` names is absent".to_owned(),
            _ => "`prefer: first` that matches, in the order of the names".to_owned(),
        },
        Taken::Turn(turn) => {
            format!("`prefer: round_robin`: those that match take turns, and this is turn {turn}")
        }
        Taken::FewestObjects(count) => {
            format!("`prefer: least_objects`: it has the fewest, {count}")
        }
        Taken::Told => "`prefer: least_objects`, as the relay counts them".to_owned(),
        Taken::Hash(key) => format!("`prefer: hash` of `{key}`"),
    }
}

fn told(plan: &Plan, one: &Considered) -> ConsideredAccount {
    let mut labels = Vec::new();
    let (verdict, words) = match &one.verdict {
        Verdict::Chosen(_) => ("chosen", "matches, and is taken".to_owned()),
        Verdict::Matches => ("matches", "matches".to_owned()),
        Verdict::Drains => (
            "drains",
            "no: it matches, and drains, so it takes nothing new".to_owned(),
        ),
        Verdict::OtherInstance(wanted) => {
            ("other_instance", format!("no: `instance` names `{wanted}`"))
        }
        Verdict::OtherLabels(differing) => {
            labels = differing
                .iter()
                .map(|(name, wanted, has)| LabelAccount {
                    name: name.to_string(),
                    wanted: wanted.clone(),
                    has: has.as_deref().map(str::to_owned),
                })
                .collect();
            let each: Vec<String> = labels.iter().map(differs).collect();
            ("other_labels", format!("no: {}", each.join("; ")))
        }
    };
    ConsideredAccount {
        name: plan.backend(one.backend).name.to_string(),
        verdict,
        words,
        labels,
    }
}

fn differs(label: &LabelAccount) -> String {
    let LabelAccount { name, wanted, has } = label;
    match has {
        Some(has) => format!("its label `{name}` is `{has}`, not `{wanted}`"),
        None => format!("it has no label `{name}`, and `{wanted}` is asked for"),
    }
}
