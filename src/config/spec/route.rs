//! A route file as written: one resource, the kind of backend that serves it, and its routes.

use serde_json::json;

use super::call::CallSpec;
use super::decode::{At, Entries};
use super::example::ExampleSpec;
use super::mapping::MappingSpec;
use super::part::{METHOD_AND_PATH, NAME, OneOrMany, Part, Written};
use super::response::ResponseSpec;
use crate::document::Node;

crate::spec! {
    /// A file of `routes.d/`: one type of CMP object and the endpoints that serve it.
    ///
    /// `$ref: shared/x.yaml` puts the value of another file, by its path below `routes.d/`, where it
    /// stands; a `#/pointer` behind the path takes a part of that file, and keys that are written
    /// beside `$ref` win over the ones that come with it. Remote references are never fetched.
    RouteFileSpec as "a route file" {
        /// The version of the language: 1.
        #[schemars(extend("const" = 1))]
        version: Option<Part<Node>>,
        /// The CMP object type, such as `firewall_rule`: the mapping table's key. One file each.
        #[schemars(required, extend("pattern" = NAME))]
        resource: Option<Part<Written>>,
        /// The kind of backend that serves these routes, such as `fw`.
        #[schemars(required, extend("pattern" = NAME))]
        kind: Option<Part<Written>>,
        /// One line for people and for OpenAPI.
        summary: Option<Part<Written>>,
        /// One CMP object may have one mapping on each of several backends. Default: false.
        per_backend: Option<Part<bool>>,
        /// How an instance is chosen, for every route that has no `select` of its own.
        select: Option<Part<SelectSpec>>,
        /// Tables for `map` and `unmap`: CMP word to backend word.
        maps: Option<Part<Entries<Entries<Node>>>>,
        /// Defaults for every route: a route's own keys win, and its error rules come first.
        response: Option<Part<ResponseSpec>>,
        /// The endpoints, by route id; a route id is unique over all files.
        #[schemars(required, extend("propertyNames" = json!({ "pattern": NAME })))]
        routes: Option<Part<Entries<RouteSpec>>>,
    }
}

crate::spec! {
    /// A CMP endpoint: what matches, the one call, what is recorded, what is answered.
    RouteSpec as "a route" {
        /// Method and path, such as `GET /v1/networks/{id}`.
        #[schemars(required, extend("pattern" = METHOD_AND_PATH))]
        r#match: Option<Part<Written>>,
        /// One line for people and for OpenAPI, such as `Read a network`.
        summary: Option<Part<Written>>,
        /// What a request must be.
        request: Option<Part<RequestSpec>>,
        /// The CMP object that the route is about, by its CMP id, such as `{{ path.id }}`; a list is a composite id.
        #[schemars(extend("x-stage" = "request"))]
        object: Option<Part<OneOrMany<Written>>>,
        /// Other CMP objects that must be mapped, by alias: `parents.<alias>.backend_id`.
        parents: Option<Part<Entries<ParentSpec>>>,
        /// Values that are rendered once, in order: `let.<name>`.
        #[schemars(extend("x-holds" = "tree", "x-stage" = "call"))]
        r#let: Option<Part<Entries<Node>>>,
        /// How an instance is chosen; it takes the place of the file's `select`.
        select: Option<Part<SelectSpec>>,
        /// The one request that the route sends to a backend.
        #[schemars(required)]
        call: Option<Part<CallSpec>>,
        /// How the answer is read and judged.
        response: Option<Part<ResponseSpec>>,
        /// Further sources of the answer: `extracted.<name>`.
        #[schemars(extend("x-holds" = "source", "x-stage" = "answer"))]
        extract: Option<Part<Entries<Node>>>,
        /// What is recorded when the call succeeds.
        mapping: Option<Part<MappingSpec>>,
        /// What the CMP is told on success; left out whole: the backend's status and JSON body.
        reply: Option<Part<ReplySpec>>,
        /// It changes nothing, whatever its method: it is not journalled. For a search by POST.
        safe: Option<Part<At<bool>>>,
        /// A retry after an unknown outcome may run. Default: for PUT and for DELETE on `object`, true.
        idempotent: Option<Part<bool>>,
        /// The only clients that may use it. Default: every client with the role `cmp`.
        clients: Option<Part<Vec<Written>>>,
        /// What the journal keeps of it.
        journal: Option<Part<JournalSpec>>,
        /// Where this route's confirmation differs from the server's.
        replication: Option<Part<RouteReplicationSpec>>,
        /// Requests with what they must cause; `cmp-relay test` runs them.
        examples: Option<Part<Vec<ExampleSpec>>>,
    }
}

crate::spec! {
    /// What a request must be. JSON Schema 2020-12; an object with `properties` is closed unless it says
    /// `additionalProperties: true`; `format` is asserted; `default` is not applied; a field marked
    /// `writeOnly: true` is masked in logs and never stored.
    RequestSpec as "a request" {
        /// The schema of the JSON body; without it a body is refused.
        #[schemars(extend("x-holds" = "schema"))]
        body: Option<Node>,
        /// The schema of an object of scalars: only these query parameters pass.
        #[schemars(extend("x-holds" = "schema"))]
        query: Option<Node>,
        /// The schema of an object of scalars, names in lower case with `_` for `-`: only these reach
        /// `header.*`.
        #[schemars(extend("x-holds" = "schema"))]
        headers: Option<Node>,
    }
}

crate::spec! {
    /// Another CMP object that must be mapped.
    ParentSpec as "a parent" {
        /// Its resource.
        resource: Written,
        /// Its CMP id; a list is a composite id. Where an `optional` in it is absent, so is the parent.
        #[schemars(extend("x-stage" = "request"))]
        id: OneOrMany<Written>,
    }
}

crate::spec! {
    /// How an instance is chosen where no mapping says it.
    SelectSpec as "a selection" {
        /// The instance of this parent; the default where exactly one parent is of the same kind.
        same_as: Option<Part<Written>>,
        /// The instance of this name, such as `{{ path.switch }}`; unknown: 404 `no_such_backend`.
        #[schemars(extend("x-stage" = "select"))]
        instance: Option<Part<Written>>,
        /// All must equal the instance's labels.
        #[schemars(extend("x-stage" = "select"))]
        labels: Option<Part<Entries<Written>>>,
        /// Among those left. Without it, what is left must be one instance.
        prefer: Option<Part<At<PreferWord>>>,
        /// With `prefer: hash`: the text whose hash decides.
        #[schemars(extend("x-stage" = "select"))]
        hash_on: Option<Part<Written>>,
    }
}

crate::words! {
    /// Which of several instances that all match.
    PreferWord as "a preference" {
        /// The first by name.
        First = "first",
        /// One after the other.
        RoundRobin = "round_robin",
        /// The one with the fewest mapped objects.
        LeastObjects = "least_objects",
        /// Rendezvous hash of `hash_on`.
        Hash = "hash",
    }
}

crate::spec! {
    /// What the CMP is told on success.
    ReplySpec as "a reply" {
        /// A 2xx. Default: the backend's status.
        #[schemars(range(min = 200, max = 299))]
        status: Option<Part<At<u16>>>,
        /// Header values are texts with expressions.
        #[schemars(extend("x-stage" = "answer"))]
        headers: Option<Part<Entries<Written>>>,
        /// A tree with expressions; left out: no body.
        #[schemars(extend("x-holds" = "tree", "x-stage" = "answer"))]
        body: Option<Node>,
    }
}

crate::spec! {
    /// What the journal keeps of a request.
    JournalSpec as "a journal rule" {
        /// `none`: the status and the ids only. Default: the reply, so that a retry gets it again.
        reply: Option<JournalReply>,
    }
}

crate::words! {
    /// Whether replies are kept.
    JournalReply as "a journal rule for replies" {
        /// A retry gets the same reply again.
        Kept = "kept",
        /// The status and the ids only.
        None = "none",
    }
}

crate::spec! {
    /// The confirmation of one route.
    RouteReplicationSpec as "a replication rule" {
        /// Whether the standby must have confirmed. Default: relay.yaml's `replication.confirm`.
        confirm: Option<ConfirmWord>,
    }
}

crate::words! {
    /// How far a commit must have come.
    ConfirmWord as "a confirmation" {
        None = "none",
        Preferred = "preferred",
        Required = "required",
    }
}
