//! Instances: which one, whether it can bear another call, and how its driver is reached.

pub mod breaker;
pub mod choose;
pub mod limits;
pub mod manager;

pub use choose::{ChooseError, choose};
pub use manager::{AdmitError, BackendManager, Place};
