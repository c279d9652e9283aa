//! Which instance: configuration and the mapping table are asked, never a backend.

use ring::digest::{Context, SHA256};

use crate::plan::{Backend, BackendId, BackendState, Plan, Prefer, Select};
use crate::transform::{RenderError, Scope, Text};

/// Why no instance was chosen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChooseError {
    /// `instance` names none of this kind.
    #[error("no backend is called `{0}`")]
    NoSuchBackend(String),
    /// Nothing matches, or all that match drain; the words say which.
    #[error("{0}")]
    NoBackend(String),
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// What the choice may look at beside the plan and the scope.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The instance of the parent that `same_as` names; `None` when that parent is absent.
    pub parent: Option<BackendId>,
    /// Objects per backend, by [`BackendId`]; only asked where `prefer` is `least_objects`.
    pub objects: &'a [u64],
    /// A number that grows by one per choice of this route, for `round_robin`.
    pub turn: u64,
    /// The route changes something. A read may go to a draining instance that `instance` names.
    pub mutating: bool,
    /// What a preference takes if it is among those left; only a trial knows it beforehand.
    pub preferred: Option<BackendId>,
}

/// Chooses the instance for a request without a mapped `object`.
///
/// `same_as` wins: what belongs to an object goes where the object is, on a draining instance too,
/// for that is what "what is mapped on it is still served" means. Otherwise those that match
/// `instance` and `labels` and do not drain are left (a read may name a draining one), and `prefer`
/// takes one of them.
pub fn choose(
    plan: &Plan,
    select: &Select,
    scope: &Scope,
    facts: &Facts<'_>,
) -> Result<BackendId, ChooseError> {
    if select.same_as.is_some()
        && let Some(parent) = facts.parent
    {
        return Ok(parent);
    }
    let mut left = select.candidates.clone();
    if let Some(name) = rendered(select.instance.as_ref(), scope)? {
        left.retain(|id| *plan.backend(*id).name == *name);
        if left.is_empty() {
            return Err(ChooseError::NoSuchBackend(name));
        }
    }
    let wanted = wanted_labels(select, scope)?;
    left.retain(|id| has_labels(plan.backend(*id), &wanted));
    if left.is_empty() {
        return Err(ChooseError::NoBackend(nothing_matches(&wanted)));
    }
    let matching = left.clone();
    let named_read = select.instance.is_some() && !facts.mutating;
    left.retain(|id| named_read || plan.backend(*id).state == BackendState::Active);
    let Some(first) = left.first().copied() else {
        let names = join(
            matching
                .iter()
                .map(|id| format!("`{}`", plan.backend(*id).name)),
        );
        return Err(ChooseError::NoBackend(format!(
            "every backend that matches drains and takes nothing new: {names}"
        )));
    };
    if let Some(preferred) = facts.preferred.filter(|id| left.contains(id)) {
        return Ok(preferred);
    }
    Ok(match &select.prefer {
        Prefer::First => first,
        Prefer::RoundRobin => {
            let count = u64::try_from(left.len()).unwrap_or(u64::MAX);
            let turn = usize::try_from(facts.turn % count).unwrap_or(0);
            left[turn]
        }
        Prefer::LeastObjects => *left
            .iter()
            .min_by_key(|id| facts.objects.get(usize::from(id.0)).copied().unwrap_or(0))
            .unwrap_or(&first),
        Prefer::Hash(text) => match text.render(scope)? {
            Some(key) => *left
                .iter()
                .max_by_key(|id| weight(&plan.backend(**id).name, &key))
                .unwrap_or(&first),
            None => first,
        },
    })
}

/// The labels that are asked for.
pub(super) fn wanted_labels<'s>(
    select: &'s Select,
    scope: &Scope,
) -> Result<Vec<(&'s str, String)>, RenderError> {
    let mut wanted = Vec::with_capacity(select.labels.len());
    for (label, text) in &select.labels {
        // An absent `optional` label is not asked for.
        if let Some(value) = text.render(scope)? {
            wanted.push((&**label, value));
        }
    }
    Ok(wanted)
}

pub(super) fn rendered(text: Option<&Text>, scope: &Scope) -> Result<Option<String>, RenderError> {
    text.map_or(Ok(None), |text| text.render(scope))
}

pub(super) fn has_labels(backend: &Backend, wanted: &[(&str, String)]) -> bool {
    wanted.iter().all(|(label, value)| {
        backend
            .labels
            .iter()
            .any(|(name, own)| **name == **label && **own == **value)
    })
}

fn nothing_matches(wanted: &[(&str, String)]) -> String {
    if wanted.is_empty() {
        return "no backend of this kind is configured".to_owned();
    }
    let labels = join(
        wanted
            .iter()
            .map(|(label, value)| format!("`{label}: {value}`")),
    );
    format!("no backend of this kind has the labels {labels}")
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// Rendezvous hashing (Thaler and Ravishankar, 1998): each name weighs the key for itself, so a
/// backend that comes or goes moves only the keys that it wins or held. The digest is stable over
/// releases and machines.
pub(super) fn weight(name: &str, key: &str) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    // A name has no zero byte, so no two pairs run together.
    digest.update(name.as_bytes());
    digest.update(&[0]);
    digest.update(key.as_bytes());
    let mut weight = [0; 32];
    weight.copy_from_slice(digest.finish().as_ref());
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_key_stays_where_it_is_when_another_backend_goes() {
        let names = ["fw-1", "fw-2", "fw-3", "fw-4"];
        let winner = |names: &[&'static str], key: &str| {
            *names
                .iter()
                .max_by_key(|name| weight(name, key))
                .expect("there are names")
        };
        let keys: Vec<String> = (0..200).map(|number| format!("tenant-{number}")).collect();
        let mut used = std::collections::BTreeSet::new();
        for key in &keys {
            let before = winner(&names, key);
            used.insert(before);
            if before != "fw-4" {
                assert_eq!(winner(&names[..3], key), before, "{key}");
            }
        }
        assert_eq!(used.len(), names.len());
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        assert_eq!(weight("fw-1", "tenant")[..4], [116, 32, 3, 243]);
    }
}
