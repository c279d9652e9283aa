//! Which instance: configuration and the mapping table are asked, never a backend.

use crate::plan::{BackendId, Plan, Select};
use crate::transform::{RenderError, Scope};

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
}

/// Chooses the instance for a request without a mapped `object`.
pub fn choose(
    _plan: &Plan,
    _select: &Select,
    _scope: &Scope<'_>,
    _facts: &Facts<'_>,
) -> Result<BackendId, ChooseError> {
    unimplemented!()
}
