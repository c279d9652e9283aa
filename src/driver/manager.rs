//! Drivers by what a backend's file says: the one place that knows which there are.

use std::sync::Arc;

use super::Driver;
use super::https::HttpsDriver;
use crate::plan::{Backend, DriverSpec};

/// Makes the drivers.
#[derive(Clone, Copy, Debug)]
pub struct DriverManager;

impl DriverManager {
    /// The driver of a backend; the error names what of its file cannot be used.
    pub fn make(backend: &Backend) -> Result<Arc<dyn Driver>, String> {
        match &backend.driver {
            DriverSpec::Https(spec) => Ok(Arc::new(HttpsDriver::new(spec, &backend.limits)?)),
        }
    }
}
