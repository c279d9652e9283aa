//! Whether the address that keepalived moves is on this host.

use std::net::{IpAddr, UdpSocket};

/// An address can be bound to where it is, and nowhere else: while `net.ipv4.ip_nonlocal_bind` is off.
pub fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
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
