//! A trial that is seen: for `explain`, which tells why.

use std::sync::Arc;

use super::Trial;
use crate::relay::witness::Witness;

impl Trial {
    /// Lets a witness see every scene to come; it holds what the last one came to.
    pub fn witnessed_by(&self, witness: Arc<Witness>) {
        self.relay.witnessed_by(witness);
    }
}
