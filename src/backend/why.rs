//! Why an instance was chosen: what `choose` does without a word, told for each instance.

use super::choose::{Facts, has_labels, rendered, wanted_labels, weight};
use crate::plan::{BackendId, BackendState, Plan, Prefer, Select};
use crate::transform::{RenderError, Scope};

/// Why a request goes to the instance that it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Its `object` is mapped there.
    Object,
    /// The parent that `same_as` names is mapped there: an index into the route's `parents`.
    SameAs(usize),
    /// By `select`: every instance of the kind, in the order of their names.
    Selected(Vec<Considered>),
}

/// One instance of the route's kind, and what `select` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    pub backend: BackendId,
    pub verdict: Verdict,
}

/// What `select` says of an instance; the first that applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `instance` names another one: this.
    OtherInstance(String),
    /// Labels that differ: the name, what is asked for, what the instance has.
    OtherLabels(Vec<(Box<str>, String, Option<Box<str>>)>),
    /// It matches, drains, and takes nothing new.
    Drains,
    /// It matches, and `prefer` takes another one.
    Matches,
    /// It is the one, by the preference among those that match; `None`: it alone matches.
    Chosen(Option<Taken>),
}

/// How `prefer` took one of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    First,
    /// The turn of this route.
    Turn(u64),
    /// Mapped objects.
    FewestObjects(u64),
    /// What the trial was told to take, which has no history that a preference could go by.
    Told,
    /// The text that is hashed.
    Hash(String),
}

/// What [`super::choose`] comes to, and why. Its answer is the instance whose verdict is `Chosen`.
pub fn why(
    plan: &Plan,
    select: &Select,
    scope: &Scope,
    facts: &Facts<'_>,
) -> Result<Choice, RenderError> {
    if let (Some(index), Some(_)) = (select.same_as, facts.parent) {
        return Ok(Choice::SameAs(index));
    }
    let instance = rendered(select.instance.as_ref(), scope)?;
    let wanted = wanted_labels(select, scope)?;
    let mut considered: Vec<Considered> = select
        .candidates
        .iter()
        .map(|id| {
            let backend = plan.backend(*id);
            let reads_by_name = select.instance.is_some() && !facts.mutating;
            let verdict = match &instance {
                Some(name) if *backend.name != **name => Verdict::OtherInstance(name.clone()),
                _ if !has_labels(backend, &wanted) => {
                    let own = |label: &str| {
                        let mut own = backend.labels.iter();
                        own.find(|(name, _)| **name == *label)
                            .map(|(_, value)| value.clone())
                    };
                    let differing = wanted
                        .iter()
                        .map(|(label, value)| (Box::from(*label), value.clone(), own(label)))
                        .filter(|(_, value, own)| own.as_deref() != Some(value.as_str()));
                    Verdict::OtherLabels(differing.collect())
                }
                _ if backend.state == BackendState::Drain && !reads_by_name => Verdict::Drains,
                _ => Verdict::Matches,
            };
            Considered {
                backend: *id,
                verdict,
            }
        })
        .collect();
    let left: Vec<usize> = (0..considered.len())
        .filter(|index| considered[*index].verdict == Verdict::Matches)
        .collect();
    if let Some((index, taken)) = preferred(plan, select, scope, facts, &considered, &left)? {
        let several = left.len() > 1;
        considered[index].verdict = Verdict::Chosen(several.then_some(taken));
    }
    Ok(Choice::Selected(considered))
}

/// Which of those left `prefer` takes.
fn preferred(
    plan: &Plan,
    select: &Select,
    scope: &Scope,
    facts: &Facts<'_>,
    considered: &[Considered],
    left: &[usize],
) -> Result<Option<(usize, Taken)>, RenderError> {
    let Some(first) = left.first().copied() else {
        return Ok(None);
    };
    let id = |index: &usize| considered[*index].backend;
    let objects = |index: &usize| {
        let count = facts.objects.get(usize::from(id(index).0));
        count.copied().unwrap_or(0)
    };
    let told = |index: &&usize| Some(id(index)) == facts.preferred;
    if let Some(index) = left.iter().find(told) {
        return Ok(Some((*index, Taken::Told)));
    }
    Ok(Some(match &select.prefer {
        Prefer::First => (first, Taken::First),
        Prefer::RoundRobin => {
            let turn = facts.turn % left.len() as u64;
            let index = left[usize::try_from(turn).unwrap_or(0)];
            (index, Taken::Turn(turn + 1))
        }
        Prefer::LeastObjects => {
            let index = left.iter().min_by_key(|index| objects(index));
            let index = index.copied().unwrap_or(first);
            (index, Taken::FewestObjects(objects(&index)))
        }
        Prefer::Hash(text) => match text.render(scope)? {
            Some(key) => {
                let heaviest = left
                    .iter()
                    .max_by_key(|index| weight(&plan.backend(id(index)).name, &key));
                (heaviest.copied().unwrap_or(first), Taken::Hash(key))
            }
            None => (first, Taken::First),
        },
    }))
}
