//! What a template can see: one value per namespace, so that no request field shadows anything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::command::LineRules;

/// The namespaces of LANGUAGE "Variables". Loop variables (`$as`) are not roots: they are resolved
/// to a depth when the tree is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    Path,
    Query,
    Header,
    Body,
    Object,
    Parents,
    Backend,
    Request,
    Let,
    Mapping,
    Response,
    Extracted,
    /// Inside a login's `send` only.
    Tokens,
}

impl Root {
    pub const ALL: [Root; 13] = [
        Root::Path,
        Root::Query,
        Root::Header,
        Root::Body,
        Root::Object,
        Root::Parents,
        Root::Backend,
        Root::Request,
        Root::Let,
        Root::Mapping,
        Root::Response,
        Root::Extracted,
        Root::Tokens,
    ];

    /// The word in a template.
    pub fn name(self) -> &'static str {
        match self {
            Root::Path => "path",
            Root::Query => "query",
            Root::Header => "header",
            Root::Body => "body",
            Root::Object => "object",
            Root::Parents => "parents",
            Root::Backend => "backend",
            Root::Request => "request",
            Root::Let => "let",
            Root::Mapping => "mapping",
            Root::Response => "response",
            Root::Extracted => "extracted",
            Root::Tokens => "tokens",
        }
    }
}

/// A question to the mapping table that a helper asks while rendering.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// `backend_id 'network' cmp_id`.
    BackendId { resource: Box<str>, cmp_id: String },
    /// `cmp_id 'network' backend_id` and `mapped 'network' backend_id`, on the chosen backend.
    CmpId {
        resource: Box<str>,
        backend_id: String,
    },
}

/// What the mapping table answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupRow {
    Unmapped,
    /// Mapped, its backend id not known yet.
    Pending,
    /// The other side's id.
    Id(String),
}

/// The values of one request, filled in as the request proceeds.
///
/// A namespace is owned or shared; one that is not set has no values: a variable of it is missing.
#[derive(Debug, Default)]
pub struct Scope {
    slots: [Slot; Root::ALL.len()],
    line_rules: LineRules,
    lookups: Mutex<Lookups>,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Absent,
    Owned(Value),
    Shared(Arc<Value>),
}

#[derive(Debug, Default)]
struct Lookups {
    known: HashMap<Lookup, LookupRow>,
    wanted: Vec<Lookup>,
}

impl Scope {
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a namespace its value.
    pub fn set(&mut self, root: Root, value: Value) {
        self.slots[root as usize] = Slot::Owned(value);
    }

    /// Gives a namespace a value that others have too.
    pub fn share(&mut self, root: Root, value: &Arc<Value>) {
        self.slots[root as usize] = Slot::Shared(Arc::clone(value));
    }

    /// Adds one name to a namespace that is a map, such as the next `let`.
    pub fn insert(&mut self, root: Root, name: &str, value: Value) {
        let slot = &mut self.slots[root as usize];
        if !matches!(slot, Slot::Owned(Value::Object(_))) {
            *slot = Slot::Owned(Value::Object(serde_json::Map::new()));
        }
        if let Slot::Owned(Value::Object(map)) = slot {
            map.insert(name.to_owned(), value);
        }
    }

    /// What the chosen backend's command line refuses in values.
    pub fn set_line_rules(&mut self, rules: LineRules) {
        self.line_rules = rules;
    }

    pub(super) fn line_rules(&self) -> &LineRules {
        &self.line_rules
    }

    /// The value of a namespace.
    pub fn get(&self, root: Root) -> Option<&Value> {
        match &self.slots[root as usize] {
            Slot::Absent => None,
            Slot::Owned(value) => Some(value),
            Slot::Shared(value) => Some(value),
        }
    }

    /// What the mapping table said to this question; when it has not been asked yet, the question
    /// is noted and the rendering ends in [`super::RenderError::Lookups`].
    pub fn lookup(&self, question: Lookup) -> Option<LookupRow> {
        let mut lookups = self.lookups();
        if let Some(row) = lookups.known.get(&question) {
            return Some(row.clone());
        }
        if !lookups.wanted.contains(&question) {
            lookups.wanted.push(question);
        }
        None
    }

    /// The questions noted so far; the caller answers them with [`Scope::supply`].
    pub fn take_wanted(&self) -> Vec<Lookup> {
        std::mem::take(&mut self.lookups().wanted)
    }

    /// Answers questions for the next rendering.
    pub fn supply(&self, rows: impl IntoIterator<Item = (Lookup, LookupRow)>) {
        self.lookups().known.extend(rows);
    }

    fn lookups(&self) -> std::sync::MutexGuard<'_, Lookups> {
        self.lookups
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
