//! Instances: which one, whether it can bear another call, and how its driver is reached.

pub mod breaker;
pub mod choose;
mod fingerprint;
pub mod limits;
pub mod manager;
pub mod why;

pub use breaker::BreakerState;
pub use choose::{ChooseError, Facts, choose};
pub use manager::{AdmitError, BackendHealth, BackendManager, Place, Turn};
