//! The backends of one plan, each with its own limits, breaker and driver: a sick one harms nobody
//! else (invariant 8).

use std::time::Duration;

use crate::clock::Boottime;
use crate::driver::{Answer, Clearance, DriverError, RenderedCall};
use crate::plan::{BackendId, Plan};

/// Every backend of a plan.
#[derive(Debug)]
pub struct BackendManager {}

/// Leave to make one call to one backend; dropped, it frees its place.
#[derive(Debug)]
pub struct Place {}

/// Why a backend takes no call now. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmitError {
    /// Its places and its queue are full, or the deadline passed in the queue.
    Busy,
    BreakerOpen {
        retry_after: Duration,
    },
}

impl BackendManager {
    /// Makes the drivers; limits, breakers, logins and connections are carried over by name where
    /// the previous manager's backend has the same configuration (SEMANTICS 32).
    pub fn new(_plan: &Plan, _previous: Option<&BackendManager>) -> anyhow::Result<Self> {
        unimplemented!()
    }

    /// Checks the breaker, then waits for a place, at most until the deadline.
    pub async fn admit(
        &self,
        _backend: BackendId,
        _deadline: Boottime,
    ) -> Result<Place, AdmitError> {
        unimplemented!()
    }

    /// Sends through the backend's driver and tells its breaker what came of it.
    pub async fn send(
        &self,
        _place: &Place,
        _call: &RenderedCall,
        _clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        unimplemented!()
    }

    /// Logs out and closes what `next` does not carry on; all of it when there is no next.
    pub async fn close(&self, _next: Option<&BackendManager>) {
        unimplemented!()
    }
}
