//! The shipped packs over simulated backends, through the whole relay.

mod neo;
