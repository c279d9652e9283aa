//! `mapping` as written: what is recorded when the call succeeds.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, Entries, wrong_type};
use super::part::{OneOrMany, Written};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, Kind, Node, Span};
use crate::plan::Verb;

const VERBS: [(&str, Verb); 4] = [
    ("create", Verb::Create),
    ("update", Verb::Update),
    ("put", Verb::Put),
    ("delete", Verb::Delete),
];

/// `delete`; a map of verbs; or a list of such, which commits together.
#[derive(Clone, Debug, Default)]
pub struct MappingSpec(pub Vec<VerbSpec>);

/// One change of the mapping table.
#[derive(Clone, Debug)]
pub struct VerbSpec {
    pub verb: Verb,
    pub span: Span,
    /// `None`: it is wrong, and that has been reported.
    pub op: Option<MappingOpSpec>,
}

crate::spec! {
    /// One change of the mapping table.
    #[derive(Default)]
    MappingOpSpec as "a mapping change" {
        /// Default: the file's resource.
        resource: Option<Written>,
        /// The CMP id; a list is a composite id. Default: the `object`, in a create a UUIDv7. One that is
        /// `optional` and absent leaves the change out.
        #[schemars(extend("x-stage" = "identity"))]
        cmp_id: Option<OneOrMany<Written>>,
        /// A condition on the answer: applied only if it holds.
        #[schemars(extend("x-holds" = "condition"))]
        when: Option<Node>,
        /// A source, or `pending` for an id that comes later.
        #[schemars(extend("x-holds" = "source", "x-stage" = "answer"))]
        backend_id: Option<Node>,
        /// Sources of what is kept beside the id: `object.attributes.<name>`.
        #[schemars(extend("x-holds" = "source", "x-stage" = "answer"))]
        attributes: Option<Entries<Node>>,
    }
}

impl Decode for MappingSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        let mut ops = Vec::new();
        match &node.kind {
            Kind::List(items) => {
                for item in items {
                    one(item, &mut ops, diags);
                }
            }
            _ => one(node, &mut ops, diags),
        }
        Some(Self(ops))
    }
}

fn one(node: &Node, ops: &mut Vec<VerbSpec>, diags: &mut Diagnostics) {
    match &node.kind {
        Kind::Text(scalar) if scalar.text == "delete" => ops.push(VerbSpec {
            verb: Verb::Delete,
            span: node.span,
            op: Some(MappingOpSpec::default()),
        }),
        Kind::Text(scalar) if VERBS.iter().any(|(word, _)| *word == scalar.text) => {
            diags.push(
                Diagnostic::error(
                    super::decode::codes::WRONG_TYPE,
                    node.span,
                    format!("`{}` needs to know what is mapped", scalar.text),
                )
                .help(format!("write `{}:` with a map below it", scalar.text)),
            );
            ops.push(broken(Verb::Update, node.span));
        }
        Kind::Text(scalar) => {
            diags.push(
                Diagnostic::error(
                    super::decode::codes::BAD_VALUE,
                    node.span,
                    format!("`{}` is not a mapping change", scalar.text),
                )
                .did_you_mean(suggest::nearest(&scalar.text, ["delete"]))
                .help("write `mapping: delete`, or below it `create:`, `update:` or `put:`"),
            );
            ops.push(broken(Verb::Update, node.span));
        }
        Kind::Map(entries) => ops.extend(entries.iter().map(|entry| verb(entry, diags))),
        _ => {
            wrong_type(node, "`delete`, a map of changes or a list", diags);
            ops.push(broken(Verb::Update, node.span));
        }
    }
}

fn verb(entry: &Entry, diags: &mut Diagnostics) -> VerbSpec {
    let words = VERBS.map(|(word, _)| word);
    let known = |name: &str| VERBS.iter().find(|(word, _)| *word == name);
    let near = suggest::nearest(&entry.key, words);
    if known(&entry.key).is_none() {
        diags.push(
            Diagnostic::error(
                super::decode::codes::UNKNOWN_KEY,
                entry.key_span,
                format!("`{}` is not a mapping change", entry.key),
            )
            .did_you_mean(near)
            .help(format!("keys here: {}", words.join(", "))),
        );
    }
    // A slip of the fingers is read as what was meant: nobody misses the change as well.
    let meant = near.filter(|near| suggest::is_slip(&entry.key, near));
    let Some((_, verb)) = known(&entry.key).or_else(|| known(meant?)) else {
        return broken(Verb::Update, entry.key_span);
    };
    let op = match &entry.value.kind {
        Kind::Null if *verb == Verb::Delete => Some(MappingOpSpec::default()),
        _ => MappingOpSpec::decode(&entry.value, diags),
    };
    VerbSpec {
        verb: *verb,
        span: entry.key_span,
        op,
    }
}

fn broken(verb: Verb, span: Span) -> VerbSpec {
    VerbSpec {
        verb,
        span,
        op: None,
    }
}

impl JsonSchema for MappingSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mapping".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let op = generator.subschema_for::<MappingOpSpec>();
        let described = |words: &str| {
            let mut op = op.clone();
            op.insert("description".to_owned(), words.into());
            op
        };
        let map = json_schema!({
            "type": "object",
            "title": "mapping changes",
            "properties": {
                "create": described("A new CMP object is mapped."),
                "update": described("What is recorded of an object changes."),
                "put": described("The object is mapped, or its mapping updated."),
                "delete": {
                    "description": "The object's mapping goes; in a list of changes, of any object.",
                    "if": { "type": "null" },
                    "else": op,
                },
            },
            "additionalProperties": false,
            "minProperties": 1,
        });
        // By type, so that an editor knows which of the forms is meant and says what is wrong in that one.
        let one = json_schema!({ "if": { "type": "string" }, "then": { "enum": ["delete"] }, "else": map });
        json_schema!({
            "description": "`delete`; a map with `create`, `update`, `put` or `delete`; or a list of such, which commits together.",
            "if": { "type": "array" },
            "then": { "items": one, "minItems": 1 },
            "else": one,
        })
    }
}
