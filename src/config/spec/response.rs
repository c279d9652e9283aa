//! `response` as written: how an answer is read and judged.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{At, Decode, Entries};
use super::part::{OneOrMany, Part, Written};
use crate::diagnostics::Diagnostics;
use crate::document::{Kind, Node};

crate::spec! {
    /// How an answer is read and judged.
    ResponseSpec as "response rules" {
        /// Statuses that are a success, `[0, 1]` of a program. Default: any 2xx; 0 of a program, a command line
        /// and NETCONF.
        success: Option<Part<OneOrMany<At<u16>>>>,
        /// A condition that a success must also meet.
        #[schemars(extend("x-holds" = "condition"))]
        success_when: Option<Node>,
        /// A condition, or a list of them, that makes the answer a failure.
        #[schemars(extend("x-holds" = "condition"))]
        fail_when: Option<Part<OneOrMany<Node>>>,
        /// Rules for answers that are no success; the first that holds wins.
        errors: Option<Part<Vec<Part<ErrorRuleSpec>>>>,
        /// How the body becomes JSON. Default: by its content type.
        format: Option<Part<FormatWord>>,
        /// XML names that always become lists.
        lists: Option<Part<Vec<Written>>>,
        /// XML attributes that are kept. Default: all.
        attributes: Option<Part<Vec<Written>>>,
        /// How text becomes `response.body`.
        parse: Option<Part<At<ParseSpec>>>,
    }
}

crate::spec! {
    /// A failure that the backend reports, and what the CMP hears of it.
    ErrorRuleSpec as "an error rule" {
        /// The condition.
        #[schemars(extend("x-holds" = "condition"))]
        when: Node,
        /// The CMP's status, 4xx or 5xx, such as `409`.
        #[schemars(range(min = 400, max = 599))]
        reply: At<u16>,
        /// The CMP's stable code, in snake_case, such as `quota_exceeded`. Default: `backend_error`.
        #[schemars(extend("pattern" = "^[a-z][a-z0-9_]*$"))]
        code: Option<Written>,
        /// A text, such as `{{ response.body.message }}`.
        #[schemars(extend("x-stage" = "refusal"))]
        detail: Option<Written>,
        /// What is known of the backend; `none` asserts that nothing was done.
        side_effect: Option<SideEffectWord>,
    }
}

crate::words! {
    /// How a body is read.
    FormatWord as "a format" {
        Json = "json",
        Xml = "xml",
        Text = "text",
    }
}

crate::words! {
    /// What is known of the backend.
    SideEffectWord as "a side effect" {
        None = "none",
        Unknown = "unknown",
        Done = "done",
    }
}

crate::words! {
    /// What a captured text is turned into.
    CaptureWord as "a type of a captured text" {
        Int = "int",
        List = "list",
        Text = "text",
    }
}

/// How text becomes `response.body`.
#[derive(Clone, Debug)]
pub enum ParseSpec {
    Json,
    Map(Box<ParseMapSpec>),
}

impl Decode for ParseSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => ParseMapSpec::decode(node, diags).map(|map| Self::Map(Box::new(map))),
            _ => ParseWord::decode(node, diags).map(|ParseWord::Json| Self::Json),
        }
    }
}

impl JsonSchema for ParseSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parse".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<ParseMapSpec>();
        json_schema!({ "if": { "type": "string" }, "then": { "enum": ["json"] }, "else": map })
    }
}

crate::words! {
    /// A way to parse that needs nothing more.
    ParseWord as "a way to parse text (or a map with `regex`, `table`, `kv` or `textfsm`)" {
        Json = "json",
    }
}

crate::spec! {
    /// How text becomes `response.body`: exactly one of `regex`, `table`, `kv` and `textfsm`.
    ParseMapSpec as "a way to parse text" {
        /// A regular expression with named groups, `(?P<name>...)`.
        regex: Option<Written>,
        /// Every match is a row. Default: false, the first match is the body.
        rows: Option<bool>,
        /// The expression may match over several lines. Default: false, `^`, `$` and `.` mean a line.
        multiline: Option<bool>,
        /// What the named groups are turned into.
        types: Option<Entries<CaptureWord>>,
        /// `true`: columns under a line of headings.
        table: Option<At<bool>>,
        /// Lines of names and values, split at this text.
        kv: Option<Written>,
        /// A TextFSM template: a file of `templates/` that ends in `.textfsm`, or the template itself.
        #[schemars(extend("x-holds" = "textfsm"))]
        textfsm: Option<Written>,
    }
}
