//! Each shipped pack over its simulated backends, through the whole relay, and over a restart of it.

mod fw;
mod life;
mod lists;
mod neo;
mod openstack;
mod switch;
mod waf;
