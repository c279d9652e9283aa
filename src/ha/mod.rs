//! The pair: which node may write, and whether the other one has what was written.
//!
//! The role machine decides (docs/decisions/0019); keepalived moves the address and MariaDB the rows, and
//! neither is asked for permission.

pub mod confirm;
pub mod doctor;
pub mod keepalived;
