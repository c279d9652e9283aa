//! A route, compiled: what matches, the one call, what is recorded, what is answered.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BackendId, ResourceId, RouteId, Schema};
use crate::transform::{
    AnswerView, Condition, Parts, PathTemplate, Source, Template, Test, Text, TextFsm, Tree,
};

/// A type of CMP object: the mapping table's key.
#[derive(Debug)]
pub struct Resource {
    pub name: Box<str>,
    /// The kind of backend that serves it.
    pub kind: Box<str>,
    /// One line for people.
    pub summary: Option<Box<str>>,
    /// One CMP object may have one mapping on each of several backends.
    pub per_backend: bool,
}

/// One CMP endpoint.
#[derive(Debug)]
pub struct Route {
    pub id: RouteId,
    /// The route id of the YAML; names it in logs, metrics and OpenAPI.
    pub name: Box<str>,
    pub summary: Option<Box<str>>,
    pub resource: ResourceId,
    pub method: Method,
    /// As written after the method: `/v1/networks/{id}`.
    pub path: Box<str>,
    /// The names in `path`, in order.
    pub path_params: Vec<Box<str>>,
    /// It is journalled: every method but GET and HEAD unless `safe`, and a GET that has `mapping`.
    pub mutating: bool,
    /// A retry after an unknown outcome may run (SEMANTICS 16).
    pub idempotent: bool,
    /// The only clients that may use it; `None`: every client with the role `cmp`.
    pub clients: Option<Vec<Box<str>>>,
    pub request: RequestRules,
    pub object: Option<ObjectRef>,
    pub parents: Vec<Parent>,
    /// Rendered once, in order.
    pub lets: Vec<(Box<str>, Tree)>,
    pub select: Select,
    /// At least one; several where `call` has `variants`. Each instance of the kind is in one of them.
    pub ways: Vec<Way>,
    /// `replication.confirm` of the route, where it has one of its own.
    pub confirm: Option<super::Confirm>,
    /// Whether a template names `request.*`.
    pub reads_request: bool,
    /// What is published of its `examples`.
    pub examples: PublishedExamples,
}

/// What a route does from the choice of an instance on: the whole of it, or one of its `variants`.
#[derive(Debug)]
pub struct Way {
    /// The instances that it is for; `None`: every one of the kind.
    pub takes: Option<Vec<BackendId>>,
    /// `when` of the variant, each label with the values that it takes; empty: the route has none.
    pub when: Vec<(Box<str>, Vec<Box<str>>)>,
    pub call: Call,
    pub response: ResponseRules,
    /// `extracted.*`.
    pub extract: Vec<(Box<str>, Source)>,
    /// Commits together.
    pub mapping: Vec<MappingOp>,
    pub reply: Reply,
    /// Not with `journal: { reply: none }`, nor where the reply could hold a `writeOnly` field.
    pub store_reply: bool,
    pub reads: Reads,
}

/// Examples as JSON: only the document of the API reads them, and as values they were the largest part of a plan.
#[derive(Debug, Default)]
pub struct PublishedExamples(Vec<Box<str>>);

impl PublishedExamples {
    pub fn of(examples: &[PublishedExample]) -> Self {
        let written = serde_json::to_string(examples).expect("JSON takes names and JSON values");
        Self(vec![written.into()])
    }

    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub fn read(&self) -> Vec<PublishedExample> {
        let each = self.0.iter().map(|written| {
            let read: Vec<PublishedExample> = serde_json::from_str(written).expect("written above");
            read
        });
        each.flatten().collect()
    }
}

/// An example as a reader of the API needs it: a request and what it is told.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedExample {
    pub name: Box<str>,
    pub path: Map<String, Value>,
    pub query: Map<String, Value>,
    pub headers: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "value")]
    pub body: Option<Value>,
    /// The status of the reply; `None`: the example does not say it.
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "value")]
    pub reply: Option<Value>,
}

/// A value that is there, if only as `null`.
mod value {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub fn serialize<S: Serializer>(value: &Option<Value>, to: S) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(from).map(Some)
    }
}

/// Whether a template names what has to be made for templates alone.
#[derive(Clone, Debug)]
pub struct Reads {
    /// `response.*` beside the body: status, headers, text.
    pub response_head: bool,
    /// `response.body.*`, and what JSONPaths take of the body; not that a reply passes it on.
    pub response_body: Parts,
    /// Rows of the mapping table, before the call: `backend_id 'network' id`.
    pub rows: bool,
}

impl Way {
    /// What of an answer's body its rules, its `extract`, its mapping changes and its reply read.
    pub fn parts(&self) -> Parts {
        let mut parts = Parts::none();
        let rules = &self.response;
        let errors = rules.errors.iter().map(|rule| &rule.when);
        let changes = self.mapping.iter().flat_map(|change| &change.when);
        for condition in
            (rules.success_when.iter().chain(&rules.fail_when)).chain(errors.chain(changes))
        {
            condition.note_parts(&mut parts);
        }
        let ids = self
            .mapping
            .iter()
            .filter_map(|change| match &change.backend_id {
                Some(BackendIdSource::Extract(source)) => Some(source),
                _ => None,
            });
        let attributes = self.mapping.iter().flat_map(|change| &change.attributes);
        let named = self
            .extract
            .iter()
            .chain(attributes)
            .map(|(_, source)| source);
        ids.chain(named)
            .for_each(|source| source.note_parts(&mut parts));
        let details = rules.errors.iter().flat_map(|rule| &rule.detail);
        let headers = self.reply.headers.iter().map(|(_, text)| text);
        details
            .chain(headers)
            .for_each(|text| text.note_parts(&mut parts));
        if let ReplyBody::Tree(tree) = &self.reply.body {
            tree.note_parts(&mut parts);
        }
        parts
    }
}

impl Route {
    /// The place in [`Route::ways`] of the one for this instance; `None`: it is not of the kind.
    pub fn way_to(&self, backend: BackendId) -> Option<usize> {
        let takes = |way: &Way| {
            way.takes
                .as_ref()
                .is_none_or(|takes| takes.contains(&backend))
        };
        self.ways.iter().position(takes)
    }

    /// Every mapping change of every way.
    pub fn changes(&self) -> impl Iterator<Item = &MappingOp> {
        self.ways.iter().flat_map(|way| &way.mapping)
    }
}

impl Way {
    /// `vendor: panos`, as the variant's `when` says it; empty where the route has no variants.
    pub fn label(&self) -> String {
        let each: Vec<_> = self
            .when
            .iter()
            .map(|(label, values)| format!("{label}: {}", values.join(" | ")))
            .collect();
        each.join(", ")
    }

    /// Whether a 404 or 410 of the backend means "already gone" (SEMANTICS 14). A call that only reads deletes
    /// nothing, whatever is recorded of it: what it does not find may be elsewhere, or come yet.
    pub fn deletes(&self) -> bool {
        let records = self.mapping.iter().any(|op| op.verb == Verb::Delete);
        records && !self.call.action.only_reads()
    }
}

/// What a request must be.
#[derive(Debug, Default)]
pub struct RequestRules {
    /// `None`: a request with a body is refused.
    pub body: Option<Schema>,
    /// An object schema; its properties are the only query parameters that pass.
    pub query: Option<Schema>,
    /// An object schema over lower-case names with `-` as `_`; only these reach `header.*`.
    pub headers: Option<Schema>,
}

/// An id made of one text, or of several joined injectively.
#[derive(Debug)]
pub struct IdTemplate {
    pub parts: Vec<Text>,
}

/// The CMP object that a route is about: `object`.
#[derive(Debug)]
pub struct ObjectRef {
    pub resource: ResourceId,
    pub id: IdTemplate,
}

/// Another CMP object that must be mapped: an entry of `parents`.
#[derive(Debug)]
pub struct Parent {
    pub alias: Box<str>,
    pub resource: ResourceId,
    pub id: IdTemplate,
}

/// How an instance is chosen where no mapping says it.
#[derive(Debug)]
pub struct Select {
    /// Every instance of the route's kind, in the order of their names.
    pub candidates: Vec<BackendId>,
    /// Index into `parents`: the instance of that parent's mapping.
    pub same_as: Option<usize>,
    /// The instance of this name; unknown: 404 `no_such_backend`.
    pub instance: Option<Text>,
    /// All must equal the instance's labels.
    pub labels: Vec<(Box<str>, Text)>,
    /// Among those left.
    pub prefer: Prefer,
}

/// Which of several instances that all match.
#[derive(Debug)]
pub enum Prefer {
    First,
    RoundRobin,
    LeastObjects,
    /// Rendezvous hash of this text over the instances' names.
    Hash(Text),
}

/// The one request that a route sends to a backend.
#[derive(Debug)]
pub struct Call {
    pub action: Action,
    /// The total time; `None`: the backend's `limits.timeout`.
    pub timeout: Option<Duration>,
}

/// What a call is, by driver.
#[derive(Debug)]
pub enum Action {
    Http(HttpCall),
    Cli(CliCall),
    Exec(ExecCall),
    Netconf(NetconfCall),
}

/// Lines for a command line, one after the other in one session.
#[derive(Debug)]
pub struct CliCall {
    /// A mode of the backend's profile; `None`: the one that a login ends in.
    pub mode: Option<Box<str>>,
    pub lines: CliLines,
    /// Run the profile's save command after the last line, in the same session.
    pub save: bool,
}

#[derive(Debug)]
pub enum CliLines {
    /// A line that renders absent is left out.
    Lines(Vec<Text>),
    /// A `.cli.hbs` file: its lines, blank ones left out.
    Template(Template),
}

/// A program and its arguments, run by the remote side's shell.
#[derive(Debug)]
pub struct ExecCall {
    /// The program first; an argument that renders absent is left out.
    pub words: Vec<Text>,
    pub stdin: Option<ExecInput>,
}

/// What a program reads.
#[derive(Debug)]
pub enum ExecInput {
    Text(Text),
    Template(Template),
}

/// One NETCONF operation (RFC 6241).
#[derive(Debug)]
pub struct NetconfCall {
    pub operation: NetconfOperation,
    /// What stands inside `<filter>`, `<config>` or `<rpc>`.
    pub content: Option<Template>,
    /// `None`: `running` is read; `candidate` is written where the device has one, else `running`.
    pub target: Option<Datastore>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetconfOperation {
    Get,
    GetConfig,
    EditConfig,
    /// Any operation: the content is the element inside `<rpc>`.
    Rpc,
}

/// A configuration datastore (RFC 6241, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datastore {
    Running,
    Candidate,
    Startup,
}

impl NetconfOperation {
    /// As YAML and RFC 6241 write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetConfig => "get-config",
            Self::EditConfig => "edit-config",
            Self::Rpc => "rpc",
        }
    }

    /// Whether a template may give it so many elements; the error says what it takes.
    pub fn takes(self, elements: usize) -> Result<(), &'static str> {
        match (self, elements) {
            (_, 0) => Err("no element stands here"),
            (Self::Rpc, 2..) => Err("`rpc` takes one element: the operation"),
            _ => Ok(()),
        }
    }
}

impl Datastore {
    /// As YAML and RFC 6241 write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Candidate => "candidate",
            Self::Startup => "startup",
        }
    }
}

impl Action {
    /// The driver that sends it, by its name in YAML.
    pub fn driver(&self) -> &'static str {
        match self {
            Self::Http(_) => "https",
            Self::Cli(_) | Self::Exec(_) => "ssh",
            Self::Netconf(_) => "netconf",
        }
    }

    /// Whether the call itself is known to change nothing, whatever the route says.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Http(call) => matches!(call.method, Method::GET | Method::HEAD),
            Self::Netconf(call) => matches!(
                call.operation,
                NetconfOperation::Get | NetconfOperation::GetConfig
            ),
            Self::Cli(_) | Self::Exec(_) => false,
        }
    }

    /// Every variable that the call reads, those of `let` left out.
    pub fn variables(&self) -> Vec<&str> {
        match self {
            Self::Http(call) => {
                let mut names = call.path.variables();
                names.extend(call.query.iter().flat_map(|(_, tree)| tree.variables()));
                names.extend(call.headers.iter().flat_map(|(_, text)| text.variables()));
                match &call.body {
                    HttpBody::None => {}
                    HttpBody::Json(tree) => names.extend(tree.variables()),
                    HttpBody::Form(fields) => {
                        names.extend(fields.iter().flat_map(|(_, tree)| tree.variables()));
                    }
                    HttpBody::Template(template) => names.extend(template.variables()),
                }
                names
            }
            Self::Cli(call) => match &call.lines {
                CliLines::Lines(lines) => lines.iter().flat_map(Text::variables).collect(),
                CliLines::Template(template) => template.variables(),
            },
            Self::Exec(call) => {
                let mut names: Vec<_> = call.words.iter().flat_map(Text::variables).collect();
                match &call.stdin {
                    None => {}
                    Some(ExecInput::Text(text)) => names.extend(text.variables()),
                    Some(ExecInput::Template(template)) => names.extend(template.variables()),
                }
                names
            }
            Self::Netconf(call) => call.content.iter().flat_map(Template::variables).collect(),
        }
    }
}

/// A call of the `https` driver.
#[derive(Debug)]
pub struct HttpCall {
    pub method: Method,
    pub path: PathTemplate,
    /// One value or, when it renders a list, the key once per item; absent: no key.
    pub query: Vec<(Box<str>, Tree)>,
    pub headers: Vec<(HeaderName, Text)>,
    pub body: HttpBody,
    /// A name of the backend's `auths`; `None`: its `auth`.
    pub auth: Option<Box<str>>,
}

/// The body of an `https` call.
#[derive(Debug)]
pub enum HttpBody {
    None,
    Json(Tree),
    /// Rendered as `query` is.
    Form(Vec<(Box<str>, Tree)>),
    Template(Template),
}

impl HttpBody {
    /// Whether a line of a command line in it holds a value.
    pub fn holds_cli(&self) -> bool {
        match self {
            Self::None | Self::Template(_) => false,
            Self::Json(tree) => tree.holds_cli(),
            Self::Form(fields) => fields.iter().any(|(_, tree)| tree.holds_cli()),
        }
    }
}

/// How an answer is read and judged.
#[derive(Debug, Default)]
pub struct ResponseRules {
    pub format: Option<BodyFormat>,
    /// XML names that always become lists.
    pub lists: Vec<Box<str>>,
    /// XML attributes that are kept; `None`: all.
    pub attributes: Option<Vec<Box<str>>>,
    pub parse: Option<Parse>,
    /// Statuses that are a success; empty: any 2xx, or 0 where that is what a success is.
    pub success: Vec<u16>,
    /// A success is 0: the call is none of HTTP.
    pub zero_is_success: bool,
    pub success_when: Option<Condition>,
    pub fail_when: Vec<Condition>,
    /// The first that holds wins.
    pub errors: Vec<ErrorRule>,
}

impl ResponseRules {
    /// Whether the status alone is that of a success.
    pub fn takes_status(&self, status: u16) -> bool {
        match self.success.as_slice() {
            [] if self.zero_is_success => status == 0,
            [] => (200..300).contains(&status),
            listed => listed.contains(&status),
        }
    }

    /// Whether an answer that no `fail_when` refuses is a success by its status and `success_when`.
    pub fn accept(&self, view: &AnswerView<'_>) -> bool {
        let asks_status = |condition: &Condition| {
            condition
                .tests()
                .iter()
                .any(|t| matches!(t, Test::Status(_)))
        };
        let by_status = match (self.success.as_slice(), &self.success_when) {
            // A condition that asks for the status decides it; one that does not leaves it as it is.
            ([], Some(condition)) if asks_status(condition) => true,
            _ => self.takes_status(view.status),
        };
        by_status
            && self
                .success_when
                .as_ref()
                .is_none_or(|condition| condition.holds(view))
    }
}

/// How a body becomes JSON; `None` in the rules: by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    Xml,
    Text,
}

/// How text becomes `response.body`.
#[derive(Debug)]
pub enum Parse {
    Json,
    Regex {
        regex: regex::Regex,
        rows: bool,
        types: Vec<(Box<str>, CaptureType)>,
    },
    Table,
    KeyValue {
        separator: Box<str>,
    },
    TextFsm(TextFsm),
}

/// What a captured text is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureType {
    Int,
    /// Split at commas and blanks.
    List,
    Text,
}

/// One rule of `response.errors`.
#[derive(Debug)]
pub struct ErrorRule {
    pub when: Condition,
    pub reply: StatusCode,
    /// Stable, snake_case; `None`: `backend_error`.
    pub code: Option<Box<str>>,
    pub detail: Option<Text>,
    /// `side_effect: none` asserts that nothing was done (SEMANTICS 11).
    pub side_effect: Option<SideEffect>,
}

/// What is known of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideEffect {
    None,
    Unknown,
    Done,
}

/// One change of the mapping table.
#[derive(Debug)]
pub struct MappingOp {
    pub verb: Verb,
    pub resource: ResourceId,
    pub cmp_id: CmpIdSource,
    /// Applied only if it holds of the answer.
    pub when: Option<Condition>,
    /// `None`: an update or delete that leaves the backend id alone.
    pub backend_id: Option<BackendIdSource>,
    pub attributes: Vec<(Box<str>, Source)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    /// Create or update.
    Put,
    Delete,
}

/// Which CMP object a mapping change is about.
#[derive(Debug)]
pub enum CmpIdSource {
    /// The route's `object`.
    Object,
    /// Named by the CMP: known before the call.
    Given(IdTemplate),
    /// A UUIDv7 that the relay makes and fixes in the intent.
    RelayMade,
}

/// Where a backend id comes from.
#[derive(Debug)]
pub enum BackendIdSource {
    Extract(Source),
    /// The id comes later; calls on the object are 409 `pending_object`.
    Pending,
}

/// What the CMP is told on success.
#[derive(Debug)]
pub struct Reply {
    /// `None`: the backend's status.
    pub status: Option<StatusCode>,
    pub headers: Vec<(HeaderName, Text)>,
    pub body: ReplyBody,
}

#[derive(Debug)]
pub enum ReplyBody {
    /// The backend's JSON body as it came (`reply` left out whole).
    PassThrough,
    None,
    Tree(Tree),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn published_examples_are_read_as_they_were_written() {
        let example = |name: &str, body: Option<Value>| PublishedExample {
            name: name.into(),
            path: Map::from_iter([("id".to_owned(), json!("n-1"))]),
            query: Map::new(),
            headers: Map::new(),
            body,
            status: Some(201),
            reply: Some(json!({ "rate": 1.50, "tags": ["a", null] })),
        };
        let all = [
            example("some", Some(json!({ "mtu": 1500 }))),
            example("none", None),
            example("null", Some(Value::Null)),
        ];
        let mut kept = PublishedExamples::of(&all[..2]);
        kept.append(PublishedExamples::of(&all[2..]));
        assert_eq!(kept.read(), all);
    }
}
