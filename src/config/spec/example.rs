//! `examples` as written: requests with what they must cause.

use super::decode::{At, Entries};
use super::part::Written;
use crate::document::Node;

crate::spec! {
    /// A request, what the backend answers, and what must come of it.
    ExampleSpec as "an example" {
        /// Names it in reports; unique in its route.
        name: Written,
        /// What the CMP sends.
        request: Option<ExampleRequestSpec>,
        /// What is mapped before.
        mappings: Option<Vec<ExampleMappingSpec>>,
        /// The instance that a preference among several is taken to have chosen.
        backend: Option<Written>,
        /// The call that must be sent; what is not said here is not compared.
        expect_call: Option<Node>,
        /// What the backend answers.
        response: Option<ExampleResponseSpec>,
        /// What the CMP must be told; what is not said here is not compared.
        expect_reply: Option<ExampleReplySpec>,
        /// What must be mapped after; `null`: nothing is.
        expect_mapping: Option<Node>,
    }
}

crate::spec! {
    /// What the CMP sends.
    ExampleRequestSpec as "an example's request" {
        /// The parameters of the route's path.
        path: Option<Entries<Node>>,
        query: Option<Entries<Node>>,
        headers: Option<Entries<Node>>,
        body: Option<Node>,
    }
}

crate::spec! {
    /// A row of the mapping table.
    ExampleMappingSpec as "an example's mapping" {
        resource: Written,
        cmp_id: Written,
        backend: Written,
        backend_id: Option<Written>,
        attributes: Option<Entries<Node>>,
    }
}

crate::spec! {
    /// What the backend answers.
    ExampleResponseSpec as "an example's response" {
        /// Default: 200.
        status: Option<At<u16>>,
        headers: Option<Entries<Written>>,
        /// A JSON body.
        body: Option<Node>,
        /// A body that is not JSON, byte for byte.
        text: Option<Written>,
    }
}

crate::spec! {
    /// What the CMP must be told.
    ExampleReplySpec as "an example's reply" {
        status: Option<At<u16>>,
        headers: Option<Entries<Written>>,
        body: Option<Node>,
    }
}
