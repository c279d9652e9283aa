//! Whether the address that keepalived moves is on this host, and whether it may be.

use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

/// Below the state folder: `0` where the address may be here, `1` where not. keepalived watches it (`track_file` in
/// keepalived.conf(5)) and moves the address at once; by its script it would know up to a second later.
const FLAG: &str = "address";

/// An address can be bound to where it is, and nowhere else: while `net.ipv4.ip_nonlocal_bind` is off.
pub fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Tells keepalived.
pub fn tell(state: &Path, may: bool) -> io::Result<()> {
    fs::write(state.join(FLAG), if may { "0\n" } else { "1\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_hosts_addresses_are_here_and_others_are_not() {
        assert!(is_here([127, 0, 0, 1].into()));
        // TEST-NET-3 (RFC 5737).
        assert!(!is_here([203, 0, 113, 7].into()));
    }
}
