//! Examples, checked: what a CMP asks, what the backend does, and what must come of it, with the
//! places where that is written. They are beside the plan, not in it: `trial` plays them.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::document::{Node, Span};
use crate::driver::netconf::{self, Severity};
use crate::driver::{Answer, Protocol, Ruling};
use crate::plan::{Datastore, NetconfOperation};

/// The examples of one way of a route, and where the rules stand that they should meet.
#[derive(Clone, Debug)]
pub struct RouteExamples {
    pub route: Box<str>,
    /// Of the route's id in its file, or of the variant.
    pub span: Span,
    /// The place in the route's ways of the one that these are about.
    pub way: usize,
    pub examples: Vec<Example>,
    pub rules: RulePlaces,
}

/// Where the rules of a route stand, in the order of the compiled ones. A file's default rule stands at
/// one place for all of its routes.
#[derive(Clone, Debug, Default)]
pub struct RulePlaces {
    pub success_when: Option<Span>,
    pub fail_when: Vec<Span>,
    pub errors: Vec<Span>,
    /// `when` of each mapping change.
    pub changes: Vec<Option<Span>>,
}

/// One example.
#[derive(Clone, Debug)]
pub struct Example {
    pub name: Box<str>,
    /// Of the name.
    pub span: Span,
    pub request: Asked,
    pub rows: Vec<ExampleRow>,
    /// The instance that a preference is taken to have chosen.
    pub backend: Option<(Box<str>, Span)>,
    pub call: Expected<ExpectedCall>,
    /// `None`: it says no `response`.
    pub act: Option<(ExampleAct, Span)>,
    pub reply: Option<ExpectedReply>,
    pub mapping: Expected<Vec<ExpectedRow>>,
}

impl Example {
    /// The answer that its backend gives, where it gives one.
    pub fn answer(&self) -> Option<Answer> {
        match &self.act.as_ref()?.0 {
            ExampleAct::Answer {
                status,
                headers,
                body,
                stderr,
                protocol,
            } => Some(Answer {
                status: *status,
                headers: headers.clone(),
                body: body.clone(),
                stderr: stderr.clone(),
                body_error: None,
                sends: 1,
                protocol: *protocol,
                ruling: ruling(*protocol, *status, body),
            }),
            ExampleAct::Unreachable | ExampleAct::Timeout => None,
        }
    }
}

/// What a driver would say of such an answer. The number of the lines of a call is not known here; who
/// plays the example says it.
fn ruling(protocol: Protocol, status: u16, body: &[u8]) -> Ruling {
    let detail = String::from_utf8_lossy(body).trim().to_owned();
    match (protocol, status) {
        (Protocol::Http | Protocol::Exec, _) | (_, 0) => Ruling::ByStatus,
        (Protocol::Cli, 1) => Ruling::NotDone {
            reply: None,
            detail,
        },
        (Protocol::Cli, line) => Ruling::Partly {
            applied: usize::from(line) - 1,
            total: usize::from(line),
            detail,
        },
        (Protocol::Netconf, _) => {
            let errors = netconf::rpc_errors(&detail);
            let failure = errors.iter().find(|one| one.severity == Severity::Error);
            match failure {
                Some(error) if error.leaves_half_done() => Ruling::Unclear {
                    detail: error.to_string(),
                },
                Some(error) => Ruling::NotDone {
                    reply: Some(error.status()),
                    detail: error.to_string(),
                },
                None => Ruling::NotDone {
                    reply: None,
                    detail,
                },
            }
        }
    }
}

/// What an example says of a thing.
#[derive(Clone, Debug)]
pub enum Expected<T> {
    NotSaid,
    /// There must be none; said here.
    None(Span),
    Some(T),
}

/// What the CMP sends.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    /// Percent-encoded.
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A row of the mapping table.
#[derive(Clone, Debug)]
pub struct ExampleRow {
    pub resource: Box<str>,
    pub cmp_id: Box<str>,
    pub backend: Box<str>,
    pub backend_id: Option<Box<str>>,
    pub attributes: Map<String, Value>,
}

/// What the backend does.
#[derive(Clone, Debug)]
pub enum ExampleAct {
    /// No connection is made.
    Unreachable,
    /// The call is sent, and no answer comes.
    Timeout,
    Answer {
        status: u16,
        headers: HeaderMap,
        body: Bytes,
        stderr: Bytes,
        protocol: Protocol,
    },
}

/// The call that must be sent.
#[derive(Clone, Debug)]
pub struct ExpectedCall {
    pub span: Span,
    pub method: Option<(Method, Span)>,
    pub path: Option<(Box<str>, Span)>,
    /// A map of texts and lists of them.
    pub query: Option<Node>,
    pub headers: Vec<(Box<str>, Node)>,
    pub body: Option<Node>,
    /// Of what is not HTTP.
    pub device: Option<ExpectedDevice>,
}

/// The call of a device that must be sent; what is not said is not compared.
#[derive(Clone, Debug)]
pub enum ExpectedDevice {
    Cli {
        lines: Option<(Vec<Box<str>>, Span)>,
        mode: Option<(Box<str>, Span)>,
        save: Option<(bool, Span)>,
    },
    Exec {
        words: Option<(Vec<Box<str>>, Span)>,
        stdin: Option<(Box<str>, Span)>,
    },
    Netconf {
        operation: Option<(NetconfOperation, Span)>,
        target: Option<(Datastore, Span)>,
        xml: Option<(Box<str>, Span)>,
    },
}

/// What the CMP must be told.
#[derive(Clone, Debug)]
pub struct ExpectedReply {
    pub span: Span,
    pub status: Option<(u16, Span)>,
    pub headers: Vec<(Box<str>, Node)>,
    pub body: Option<Node>,
}

/// A row that must be mapped.
#[derive(Clone, Debug)]
pub struct ExpectedRow {
    pub span: Span,
    pub resource: Box<str>,
    pub cmp_id: (Box<str>, Span),
    pub backend: Option<(Box<str>, Span)>,
    /// `pending` stands for one that is not known yet.
    pub backend_id: Option<(Box<str>, Span)>,
    pub attributes: Vec<(Box<str>, Node)>,
}

impl Example {
    /// Whether it is about the call alone: what comes after is not looked at.
    pub fn is_about_the_call(&self) -> bool {
        self.act.is_none() && matches!(self.call, Expected::Some(_))
    }
}
