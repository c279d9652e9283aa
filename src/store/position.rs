//! Where a commit stands in the binary log: MariaDB's GTID (mariadb.com/kb/en/gtid).

use std::fmt;

use serde::{Deserialize, Serialize};

/// `domain-server-sequence`, written `0-1-4711`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position {
    pub domain: u32,
    pub server: u32,
    pub sequence: u64,
}

impl Position {
    /// Reads `@@last_gtid`, or one of the list that `@@gtid_binlog_pos` is; `None` of anything else, such as the empty
    /// text of a session that has committed nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let position = Self {
            domain: parts.next()?.parse().ok()?,
            server: parts.next()?.parse().ok()?,
            sequence: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(position)
    }

    /// The first id of a list such as `0-1-5,7-2-9`, which may be empty: a pair writes in one domain.
    pub fn first_of(list: &str) -> Option<Self> {
        list.split(',').find_map(Self::parse)
    }

    /// Whether who has applied this has applied `other`, too: numbers of one domain grow from commit to
    /// commit, as long as one server writes. So it may be asked only within one epoch.
    pub fn covers(self, other: Self) -> bool {
        self.domain == other.domain && self.sequence >= other.sequence
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl TryFrom<String> for Position {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not `domain-server-sequence`"))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gtid_is_read_and_written_as_mariadb_does() {
        let read = Position::parse("0-1-4711").unwrap();
        assert_eq!(read.to_string(), "0-1-4711");
        for wrong in ["", "0-1", "0-1-2-3", "0-1-x", "0-1-2,1-1-2", "-1-1-2"] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Position::first_of("0-1-4711,3-2-9"), Some(read));
        assert_eq!(Position::first_of(""), None);
    }

    #[test]
    fn a_position_covers_what_came_before_it_in_its_own_domain() {
        let [one, two, elsewhere] =
            ["0-1-1", "0-1-2", "1-1-1"].map(|gtid| Position::parse(gtid).unwrap());
        assert!(two.covers(one) && one.covers(one) && !one.covers(two));
        assert!(!two.covers(elsewhere));
    }
}
