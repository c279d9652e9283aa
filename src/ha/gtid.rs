//! MariaDB's global transaction ids: `domain-server-sequence`
//! (mariadb.com/kb/en/gtid, "The domain id").
//!
//! A pair writes in one domain. Within one epoch a larger sequence number is a later commit; across epochs
//! numbers say nothing of whether a commit survived: its operation's row does.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One commit's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Gtid {
    pub domain: u32,
    pub server: u32,
    pub sequence: u64,
}

impl Gtid {
    /// The id of the pair's domain in a position such as `0-1-5,7-2-9`; a position may be empty. The relay's
    /// pair writes in the first domain that is named.
    pub fn first_of(position: &str) -> Option<Self> {
        position.split(',').find_map(|one| one.trim().parse().ok())
    }
}

impl FromStr for Gtid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not `domain-server-sequence`");
        let mut parts = text.split('-');
        let (Some(domain), Some(server), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        Ok(Self {
            domain: domain.parse().map_err(|_| wrong())?,
            server: server.parse().map_err(|_| wrong())?,
            sequence: sequence.parse().map_err(|_| wrong())?,
        })
    }
}

impl TryFrom<String> for Gtid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Gtid> for String {
    fn from(gtid: Gtid) -> Self {
        gtid.to_string()
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_gives_its_first_id_and_an_empty_one_gives_none() {
        let gtid = Gtid::first_of("0-1-7620,3-2-9").unwrap();
        assert_eq!((gtid.domain, gtid.server, gtid.sequence), (0, 1, 7620));
        assert_eq!(gtid.to_string(), "0-1-7620");
        assert_eq!(Gtid::first_of(""), None);
        assert!("0-1".parse::<Gtid>().is_err() && "0-1-2-3".parse::<Gtid>().is_err());
    }
}
