//! `examples` as written: requests with what they must cause.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::call::{DatastoreWord, NetconfWord};
use super::decode::{At, Decode, Entries};
use super::part::{OneOrMany, Written};
use crate::diagnostics::Diagnostics;
use crate::document::{Kind, Node, Span};

crate::spec! {
    /// A request, what the backend answers, and what must come of it. `"*"` stands for any value.
    ExampleSpec as "an example" {
        /// Names it in reports; unique in its route.
        name: Written,
        /// What the CMP sends.
        request: Option<ExampleRequestSpec>,
        /// What is mapped before.
        mappings: Option<Vec<At<ExampleMappingSpec>>>,
        /// The instance that a preference among several is taken to have chosen.
        backend: Option<Written>,
        /// The call that must be sent; what is not said here is not compared. `null`: no call may be
        /// made.
        expect_call: Option<At<OrNull<ExpectedCallSpec>>>,
        /// What the backend answers. Left out: no call may be made, or, beside `expect_call`, nothing but
        /// the call is looked at.
        response: Option<At<ExampleActSpec>>,
        /// What the CMP must be told; what is not said here is not compared. Left out: any success.
        expect_reply: Option<At<ExpectedReplySpec>>,
        /// What must be mapped after, one row or several; `null`: what the route is about is not mapped.
        expect_mapping: Option<At<OrNull<OneOrMany<At<ExpectedMappingSpec>>>>>,
    }
}

crate::spec! {
    /// What the CMP sends.
    ExampleRequestSpec as "an example's request" {
        /// The parameters of the route's path, by name.
        path: Option<Entries<Node>>,
        /// Query parameters; a list repeats the parameter.
        query: Option<Entries<Node>>,
        /// The headers that the route declares, by name.
        headers: Option<Entries<Node>>,
        /// The JSON body.
        body: Option<Node>,
    }
}

crate::spec! {
    /// A row of the mapping table.
    ExampleMappingSpec as "an example's mapping" {
        /// The resource of the CMP object.
        resource: Written,
        /// The CMP object's id.
        cmp_id: Written,
        /// The backend that has it.
        backend: Written,
        /// Left out, or `pending`: it is not known yet.
        backend_id: Option<Written>,
        /// What was kept beside the id: `object.attributes.<name>`.
        attributes: Option<Entries<Node>>,
    }
}

crate::spec! {
    /// The call that must be sent, as the route renders it: below the backend's base path, without what
    /// the backend's own file joins to every call.
    ExpectedCallSpec as "an expected call" {
        /// Method and path, such as `POST /v2.0/networks`; the path percent-encoded.
        http: Option<Written>,
        /// Every query parameter; a list where one repeats.
        query: Option<Entries<Node>>,
        /// Headers that must be there.
        headers: Option<Entries<Node>>,
        /// The whole body: a value for JSON, names and texts for a form, text for anything else.
        body: Option<Node>,
        /// Every line for the command line.
        cli: Option<At<Vec<Written>>>,
        /// The mode that the lines are sent in.
        mode: Option<Written>,
        /// Whether the save command is run.
        save: Option<At<bool>>,
        /// The program and its arguments, as they are before they are quoted.
        exec: Option<At<Vec<Written>>>,
        /// What the program reads.
        stdin: Option<Written>,
        /// The NETCONF operation.
        netconf: Option<At<NetconfWord>>,
        /// The datastore that the call names.
        target: Option<At<DatastoreWord>>,
        /// What stands inside the operation; white space between elements is not compared.
        xml: Option<Written>,
    }
}

crate::spec! {
    /// What the backend answers.
    ExampleResponseSpec as "an example's response" {
        /// A status of HTTP; what a program ends with; the number of the line that a command line refuses.
        /// Default: 200 of HTTP, and 0 of anything else.
        #[schemars(range(min = 0, max = 599))]
        status: Option<At<u16>>,
        /// Its headers.
        headers: Option<Entries<Written>>,
        /// A JSON body.
        body: Option<Node>,
        /// A body that is not JSON, byte for byte; what a program or a command line writes; an `<rpc-reply>`.
        text: Option<Written>,
        /// What a program writes as its errors.
        stderr: Option<Written>,
    }
}

crate::words! {
    /// How a backend does not answer.
    ExampleSilence as "what a backend does (or a map with `status`, `headers`, `body`, `text`)" {
        /// No connection is made.
        Unreachable = "unreachable",
        /// The call is sent, and no answer comes.
        Timeout = "timeout",
    }
}

/// What the backend does when it is called.
#[derive(Clone, Debug)]
pub enum ExampleActSpec {
    Silence(ExampleSilence),
    Answer(Box<ExampleResponseSpec>),
}

impl Decode for ExampleActSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Map(_) => {
                ExampleResponseSpec::decode(node, diags).map(|spec| Self::Answer(Box::new(spec)))
            }
            _ => ExampleSilence::decode(node, diags).map(Self::Silence),
        }
    }
}

impl JsonSchema for ExampleActSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExampleAct".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let answer = generator.subschema_for::<ExampleResponseSpec>();
        let silence = generator.subschema_for::<ExampleSilence>();
        json_schema!({ "if": { "type": "string" }, "then": silence, "else": answer })
    }
}

crate::spec! {
    /// What the CMP must be told.
    ExpectedReplySpec as "an example's reply" {
        /// Its status.
        #[schemars(range(min = 100, max = 599))]
        status: Option<At<u16>>,
        /// Headers that must be there.
        headers: Option<Entries<Node>>,
        /// The whole body of a success; of a problem (4xx, 5xx) the members that must be there. `null`:
        /// there is none.
        body: Option<Node>,
    }
}

crate::spec! {
    /// A row that must be mapped; what is not said is not compared.
    ExpectedMappingSpec as "an expected mapping" {
        /// Default: the file's resource.
        resource: Option<Written>,
        /// The CMP object; `*` stands for any id, such as one that the relay makes.
        cmp_id: Written,
        /// The instance that has it.
        backend: Option<Written>,
        /// `pending`: it is not known yet.
        backend_id: Option<Written>,
        /// Attributes that must be there.
        attributes: Option<Entries<Node>>,
    }
}

/// Something, or `null` to say that there must be none.
#[derive(Clone, Debug)]
pub struct OrNull<T>(pub Option<T>);

impl<T: Decode> Decode for OrNull<T> {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Null => Some(Self(None)),
            _ => T::decode(node, diags).map(|some| Self(Some(some))),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OrNull<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OrNull_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let some = generator.subschema_for::<T>();
        json_schema!({ "if": { "type": "null" }, "else": some })
    }
}

impl ExampleSpec {
    /// The answer, where the backend gives one.
    pub fn answer(&self) -> Option<&ExampleResponseSpec> {
        match &self.response.as_ref()?.value {
            ExampleActSpec::Answer(answer) => Some(answer),
            ExampleActSpec::Silence(_) => None,
        }
    }

    /// Whether it says that the CMP is told a client error.
    pub fn expects_refusal(&self) -> bool {
        let status = self
            .expect_reply
            .as_ref()
            .and_then(|reply| reply.value.status.as_ref());
        status.is_some_and(|status| (400..500).contains(&status.value))
    }

    pub fn span(&self) -> Span {
        self.name.span()
    }
}
