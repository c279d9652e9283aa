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
        /// The parameters of the route's path, by name.
        path: Option<Entries<Node>>,
        /// The query parameters, by name.
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
        /// What that backend calls it. Default: none yet, it is pending.
        backend_id: Option<Written>,
        /// What was kept beside the id: `object.attributes.<name>`.
        attributes: Option<Entries<Node>>,
    }
}

crate::spec! {
    /// What the backend answers.
    ExampleResponseSpec as "an example's response" {
        /// Default: 200.
        #[schemars(range(min = 100, max = 599))]
        status: Option<At<u16>>,
        /// Its headers.
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
        /// Its status.
        #[schemars(range(min = 100, max = 599))]
        status: Option<At<u16>>,
        /// Its headers; what is not named is not compared.
        headers: Option<Entries<Written>>,
        /// Its JSON body; a member that is not named is not compared.
        body: Option<Node>,
    }
}
