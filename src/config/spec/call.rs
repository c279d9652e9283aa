//! `call` as written: the one request that a route sends to a backend.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{At, Decode, Entries, TimeSpan, wrong_type};
use super::mapping::MappingSpec;
use super::part::{OneOrMany, Part, Written};
use super::response::ResponseSpec;
use super::route::ReplySpec;
use crate::diagnostics::Diagnostics;
use crate::document::{Kind, Node};
use crate::driver::Protocol;
use crate::plan::{Datastore, NetconfOperation};

crate::spec! {
    /// The one request that a route sends to a backend.
    CallSpec as "a call" {
        /// Method and path, such as `POST /v2.0/networks`; the backend's base path stands before it.
        #[schemars(extend("pattern" = "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) +/"))]
        #[schemars(extend("x-stage" = "call"))]
        http: Option<Part<Written>>,
        /// Query parameters; a list repeats the key, what is absent sends none.
        #[schemars(extend("x-holds" = "tree", "x-stage" = "call"))]
        query: Option<Part<Entries<Node>>>,
        /// Headers; `Content-Type` replaces the default.
        #[schemars(extend("x-stage" = "call"))]
        headers: Option<Part<Entries<Written>>>,
        /// A JSON body: a tree with expressions.
        #[schemars(extend("x-holds" = "tree", "x-stage" = "call"))]
        body: Option<Node>,
        /// A form body, `application/x-www-form-urlencoded`.
        #[schemars(extend("x-holds" = "tree", "x-stage" = "call"))]
        form: Option<Part<Entries<Node>>>,
        /// A text body: a file of `templates/`, such as `fw/rule.xml.hbs`.
        #[schemars(extend("x-holds" = "template", "x-stage" = "call"))]
        template: Option<Part<Written>>,
        /// A name of the backend's `auths`.
        auth: Option<Part<Written>>,
        /// The total time, such as `20s`. Default: the backend's `limits.timeout`.
        timeout: Option<Part<At<TimeSpan>>>,
        /// Lines for a command line, one after the other in one session; or a file of `templates/`.
        #[schemars(extend("x-stage" = "call"))]
        cli: Option<Part<CliLinesSpec>>,
        /// A mode of the backend's CLI profile, such as `config`. Default: the one that a login ends in.
        mode: Option<Part<Written>>,
        /// Run the profile's save command after the last line. Default: false.
        save: Option<Part<At<bool>>>,
        /// A program and its arguments, quoted for the remote shell.
        #[schemars(extend("x-stage" = "call"))]
        exec: Option<Part<At<Vec<Part<Written>>>>>,
        /// What the program of `exec` reads: text, or a file of `templates/`.
        #[schemars(extend("x-stage" = "call"))]
        stdin: Option<Part<StdinSpec>>,
        /// A NETCONF operation (RFC 6241); `template` is what stands inside of it.
        netconf: Option<Part<At<NetconfWord>>>,
        /// The datastore of a NETCONF operation. Default: `running` is read, and `candidate` written where the
        /// device has one.
        target: Option<Part<At<DatastoreWord>>>,
        /// Calls by the backend's labels: the first variant whose `when` fits the backend is its call. What stands
        /// beside `variants` counts for each of them.
        #[schemars(with = "Option<Vec<VariantSchema>>")]
        variants: Option<Node>,
    }
}

/// What a variant may hold. The compiler writes it out as a route before that is decoded.
struct VariantSchema;

impl JsonSchema for VariantSchema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Variant".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = CallSpec::json_schema(generator);
        let own = VariantKeys::json_schema(generator);
        for key in ["title", "description", "required"] {
            schema.insert(key.into(), own.get(key).cloned().unwrap_or_default());
        }
        let own = own
            .get("properties")
            .and_then(|own| own.as_object())
            .cloned();
        if let Some(keys) = schema
            .get_mut("properties")
            .and_then(|keys| keys.as_object_mut())
        {
            keys.remove("variants");
            // Described where they stand first.
            for key in keys.values_mut().filter_map(|key| key.as_object_mut()) {
                key.insert("x-of".into(), "a call".into());
            }
            keys.extend(own.into_iter().flatten());
        }
        schema
    }
}

crate::spec! {
    /// A call for some of the kind's backends, with what of the route goes with it: its keys are those of a
    /// call, and these.
    VariantKeys as "a variant" {
        /// The labels of the backends that it is for, each with a value or a list of them; `{}`: all that are left.
        when: Entries<OneOrMany<Written>>,
        /// How its answer is read and judged: joined to the route's, as that is to the file's.
        response: Option<Part<ResponseSpec>>,
        /// Further sources of its answer: joined to the route's.
        #[schemars(extend("x-holds" = "source", "x-stage" = "answer"))]
        extract: Option<Part<Entries<Node>>>,
        /// What is recorded when it succeeds, instead of the route's.
        mapping: Option<Part<MappingSpec>>,
        /// What the CMP is told when it succeeds, instead of the route's.
        reply: Option<Part<ReplySpec>>,
    }
}

impl CallSpec {
    /// What it speaks; a call that does not say is taken to be one of HTTP.
    pub fn protocol(&self) -> Protocol {
        match (&self.http, &self.cli, &self.exec, &self.netconf) {
            (None, Some(_), ..) => Protocol::Cli,
            (None, None, Some(_), _) => Protocol::Exec,
            (None, None, None, Some(_)) => Protocol::Netconf,
            _ => Protocol::Http,
        }
    }
}

crate::words! {
    /// A NETCONF operation.
    NetconfWord as "a NETCONF operation" {
        /// State and configuration (RFC 6241, section 7.7); `template` stands inside `<filter>`.
        Get = "get",
        /// Configuration (section 7.1); `template` stands inside `<filter>`.
        GetConfig = "get-config",
        /// A change of the configuration (section 7.2); `template` stands inside `<config>`.
        EditConfig = "edit-config",
        /// Any operation: `template` is the element inside `<rpc>`.
        Rpc = "rpc",
    }
}

crate::words! {
    /// A configuration datastore (RFC 6241, section 5).
    DatastoreWord as "a datastore" {
        Running = "running",
        Candidate = "candidate",
        Startup = "startup",
    }
}

impl NetconfWord {
    pub fn operation(self) -> NetconfOperation {
        match self {
            NetconfWord::Get => NetconfOperation::Get,
            NetconfWord::GetConfig => NetconfOperation::GetConfig,
            NetconfWord::EditConfig => NetconfOperation::EditConfig,
            NetconfWord::Rpc => NetconfOperation::Rpc,
        }
    }
}

impl DatastoreWord {
    pub fn datastore(self) -> Datastore {
        match self {
            DatastoreWord::Running => Datastore::Running,
            DatastoreWord::Candidate => Datastore::Candidate,
            DatastoreWord::Startup => Datastore::Startup,
        }
    }
}

crate::spec! {
    /// Text from a file of `templates/`.
    TemplateSpec as "a template (a map with `template`)" {
        /// A file of `templates/`, such as `sw/vlan.cli.hbs`.
        #[schemars(extend("x-holds" = "template", "x-stage" = "call"))]
        template: Written,
    }
}

/// Lines as they stand, or a template of them.
#[derive(Clone, Debug)]
pub enum CliLinesSpec {
    Lines(At<Vec<Part<Written>>>),
    Template(Box<TemplateSpec>),
}

impl Decode for CliLinesSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => At::decode(node, diags).map(Self::Lines),
            Kind::Map(_) => {
                TemplateSpec::decode(node, diags).map(|spec| Self::Template(Box::new(spec)))
            }
            _ => {
                wrong_type(node, "a list of lines, or a map with `template`", diags);
                None
            }
        }
    }
}

impl JsonSchema for CliLinesSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CliLines".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let line = generator.subschema_for::<Written>();
        let template = generator.subschema_for::<TemplateSpec>();
        json_schema!({ "if": { "type": "array" }, "then": { "items": line }, "else": template })
    }
}

/// Text as it stands, or a template of it.
#[derive(Clone, Debug)]
pub enum StdinSpec {
    Text(Written),
    Template(Box<TemplateSpec>),
}

impl Decode for StdinSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => {
                TemplateSpec::decode(node, diags).map(|spec| Self::Template(Box::new(spec)))
            }
            _ => Written::decode(node, diags).map(Self::Text),
        }
    }
}

impl JsonSchema for StdinSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Stdin".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = generator.subschema_for::<Written>();
        let template = generator.subschema_for::<TemplateSpec>();
        json_schema!({ "if": { "type": "string" }, "then": text, "else": template })
    }
}
