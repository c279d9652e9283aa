//! From what is written in a route to what is sent: trees, text, paths, conditions and sources.
//!
//! Everything here is compiled once, at load, from `document` nodes, and rendered per request from
//! a [`Scope`]. Handlebars' own parser reads every `{{ }}`; the evaluation is ours, because it must
//! be strict, typed, and encoded by the position in which a value lands (invariants 3 and 4).
//! Nothing here knows a route, a backend or the network.

pub mod command;
pub mod condition;
mod directive;
pub mod encode;
pub mod expr;
mod facts;
mod helpers;
pub mod link;
mod node;
mod number;
pub mod outline;
mod parse;
pub mod parts;
pub mod path;
mod program;
mod resolve;
mod scan;
pub mod scope;
mod segment;
pub mod select;
pub mod shared;
pub mod source;
pub mod template;
pub mod text;
pub mod textfsm;
mod tokens;
pub mod tree;
pub mod uses;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::document::FileId;

pub use command::LineRules;
pub use condition::{AnswerView, Condition, Expected, Test};
pub use expr::Expr;
pub use number::same_value;
pub use outline::Outline;
pub use parts::Parts;
pub use path::PathTemplate;
pub use scope::{Lookup, LookupRow, Root, Scope};
pub use select::{Found, JsonPath};
pub use source::{ExtractError, Source};
pub use template::{Format, Template};
pub use text::{Position, Text};
pub use textfsm::TextFsm;
pub use tree::Tree;
pub use uses::Uses;

/// What a position may name: the roots, aliases and tables that exist when it is rendered.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The namespaces that exist at this stage of a request.
    pub roots: &'a [Root],
    /// The parameters of the route's path (`path.*`).
    pub path: &'a [Box<str>],
    /// The aliases of `parents`.
    pub parents: &'a [Box<str>],
    /// The `let` names rendered before this position.
    pub lets: &'a [Box<str>],
    /// The names of `extract`.
    pub extracted: &'a [Box<str>],
    /// The names of a login's tokens.
    pub tokens: &'a [Box<str>],
    /// The file's `maps`.
    pub maps: &'a BTreeMap<Box<str>, Arc<ValueMap>>,
    /// Every resource of the configuration, for `backend_id 'network' id` and its siblings.
    pub resources: &'a BTreeSet<Box<str>>,
    /// The files of `templates/` by their name, such as `fw/rule.xml.hbs`.
    pub templates: &'a BTreeMap<Box<str>, (FileId, Arc<str>)>,
    /// Where each use of a variable is noted, if anybody asks.
    pub uses: Option<&'a Uses>,
}

/// One table of `maps`: CMP word -> backend word; `unmap` reads it backwards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueMap {
    pub entries: Vec<(Value, Value)>,
}

impl ValueMap {
    /// Whether `map` has an answer to this word.
    pub fn has_word(&self, word: &Value) -> bool {
        node::translate(self, word, false).is_some()
    }
}

/// Whether a position that may be `optional` holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Present,
    Absent,
}

/// Why a value could not be rendered. `field` is where in the route (`call.body.network.name`).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RenderError {
    /// A variable has no value, and the position is neither `optional` nor has a `default`.
    #[error("`{field}` needs `{variable}`, which has no value")]
    Missing { field: String, variable: String },
    /// A value that cannot stand where it is put (a control character in a header, `..` as a path
    /// segment, an object inside text, a word that `map` does not list, a boolean that is none).
    #[error("`{variable}` cannot stand in `{field}`: {reason}")]
    Unsafe {
        field: String,
        variable: String,
        reason: String,
    },
    /// `backend_id` or `cmp_id` of an object that no mapping names.
    #[error("`{field}` names {resource} `{id}`, which is not mapped")]
    NotMapped {
        field: String,
        resource: String,
        id: String,
    },
    /// `backend_id` of an object whose backend id is not known yet.
    #[error("`{field}` names {resource} `{id}`, whose backend id is not known yet")]
    Pending {
        field: String,
        resource: String,
        id: String,
    },
    /// Rows of the mapping table are wanted first: [`Scope::take_wanted`], [`Scope::supply`], again.
    #[error("rows of the mapping table are wanted first")]
    Lookups,
}
