//! Drivers by backend: made from a plan, carried over by name at a reload.
pub struct DriverManager;
