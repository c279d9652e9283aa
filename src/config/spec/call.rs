//! `call` as written: the one request that a route sends to a backend.

use super::decode::{At, Entries, TimeSpan};
use super::part::{Part, Written};
use crate::document::Node;

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
        /// Lines for a command line. Not in this version.
        cli: Option<Node>,
        /// A mode of the backend's CLI profile. Not in this version.
        mode: Option<Node>,
        /// Run the profile's save command. Not in this version.
        save: Option<Node>,
        /// A program and its arguments. Not in this version.
        exec: Option<Node>,
        /// What `exec` reads. Not in this version.
        stdin: Option<Node>,
        /// A NETCONF operation. Not in this version.
        netconf: Option<Node>,
        /// The datastore of a NETCONF operation. Not in this version.
        target: Option<Node>,
        /// Calls by the backend's labels. Not in this version.
        variants: Option<Node>,
    }
}

impl CallSpec {
    /// The keys of calls that this version cannot send, with what is written there.
    pub fn unsupported(&self) -> impl Iterator<Item = (&'static str, &Node)> {
        [
            ("cli", &self.cli),
            ("mode", &self.mode),
            ("save", &self.save),
            ("exec", &self.exec),
            ("stdin", &self.stdin),
            ("netconf", &self.netconf),
            ("target", &self.target),
            ("variants", &self.variants),
        ]
        .into_iter()
        .filter_map(|(key, node)| node.as_ref().map(|node| (key, node)))
    }
}
