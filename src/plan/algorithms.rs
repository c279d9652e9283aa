//! The algorithms of SSH that the relay can negotiate, by their names on the wire.

/// What is offered, the preferred one first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms {
    pub kex: Vec<Box<str>>,
    pub host_key: Vec<Box<str>>,
    pub cipher: Vec<Box<str>>,
    pub mac: Vec<Box<str>>,
}

/// What an algorithm is for (RFC 4253, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmKind {
    Kex,
    HostKey,
    Cipher,
    Mac,
}

impl AlgorithmKind {
    /// In a sentence: `a key exchange`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Kex => "a key exchange",
            Self::HostKey => "a kind of host key",
            Self::Cipher => "a cipher",
            Self::Mac => "a MAC",
        }
    }
}

/// A list is the modern names, then those that only old devices need.
struct Names {
    modern: &'static [&'static str],
    legacy: &'static [&'static str],
}

const KEX: Names = Names {
    modern: &[
        "mlkem768x25519-sha256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group17-sha512",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group15-sha512",
        "diffie-hellman-group14-sha256",
    ],
    legacy: &[
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group-exchange-sha1",
        "diffie-hellman-group1-sha1",
    ],
};

/// RSA keys with SHA-1 signatures (`ssh-rsa`) are legacy; the keys themselves are not (RFC 8332).
const HOST_KEY: Names = Names {
    modern: &[
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ],
    legacy: &["ssh-rsa"],
};

const CIPHER: Names = Names {
    modern: &[
        "chacha20-poly1305@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
    ],
    legacy: &["aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc"],
};

const MAC: Names = Names {
    modern: &[
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512",
        "hmac-sha2-256",
    ],
    legacy: &["hmac-sha1-etm@openssh.com", "hmac-sha1"],
};

impl Algorithms {
    /// What a device of this decade speaks.
    pub fn modern() -> Self {
        Self::of(|names| names.modern.to_vec())
    }

    /// SHA-1, CBC and small groups after everything modern: for devices that speak nothing better.
    pub fn legacy() -> Self {
        Self::of(|names| [names.modern, names.legacy].concat())
    }

    /// Every name that a list may hold.
    pub fn known(kind: AlgorithmKind) -> Vec<&'static str> {
        let names = names(kind);
        [names.modern, names.legacy].concat()
    }

    fn of(choose: impl Fn(&Names) -> Vec<&'static str>) -> Self {
        let list = |names| choose(names).into_iter().map(Into::into).collect();
        Self {
            kex: list(&KEX),
            host_key: list(&HOST_KEY),
            cipher: list(&CIPHER),
            mac: list(&MAC),
        }
    }

    /// The list of one kind.
    pub fn take(self, kind: AlgorithmKind) -> Vec<Box<str>> {
        match kind {
            AlgorithmKind::Kex => self.kex,
            AlgorithmKind::HostKey => self.host_key,
            AlgorithmKind::Cipher => self.cipher,
            AlgorithmKind::Mac => self.mac,
        }
    }
}

fn names(kind: AlgorithmKind) -> &'static Names {
    match kind {
        AlgorithmKind::Kex => &KEX,
        AlgorithmKind::HostKey => &HOST_KEY,
        AlgorithmKind::Cipher => &CIPHER,
        AlgorithmKind::Mac => &MAC,
    }
}
