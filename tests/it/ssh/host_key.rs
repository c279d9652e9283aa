//! host_key
