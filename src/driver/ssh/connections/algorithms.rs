//! The plan's algorithms as russh takes them, and what is said when the two sides have none in common.

use std::borrow::Cow;

use russh::client::GexParams;
use russh::keys::Algorithm;
use russh::{AlgorithmKind, Preferred, compression, kex};

use crate::plan::{self, Algorithms};

/// The shortest group of a group exchange that is taken, the shortest that russh can be told, and the
/// one that is asked for: old daemons have no long ones and end the connection when asked for them.
const SHORTEST_GROUP: usize = 2048;
const LONGEST_GROUP: usize = 8192;

/// What is offered. The error names the algorithm that this relay does not have.
pub(super) fn preferred(algorithms: &Algorithms) -> Result<Preferred, String> {
    let mut kex = each(&algorithms.kex, "key exchange", |name| {
        kex::Name::try_from(name).ok()
    })?;
    // Strict key exchange is what closes CVE-2023-48795 (Terrapin); RFC 8308 tells which signatures a
    // server takes.
    kex.extend([
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
    ]);
    let key = each(&algorithms.host_key, "kind of host key", |name| {
        Algorithm::new(name).ok()
    })?;
    let cipher = each(&algorithms.cipher, "cipher", |name| {
        russh::cipher::Name::try_from(name).ok()
    })?;
    let mac = each(&algorithms.mac, "MAC", |name| {
        russh::mac::Name::try_from(name).ok()
    })?;
    Ok(Preferred {
        kex: kex.into(),
        key: key.into(),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: cipher.into(),
        mac: mac.into(),
        compression: Cow::Borrowed(&[compression::NONE]),
    })
}

/// The groups of a group exchange (RFC 4419).
pub(super) fn groups(algorithms: &Algorithms) -> GexParams {
    let legacy = algorithms.kex.iter().any(|name| name.ends_with("-sha1"));
    let asked = if legacy { SHORTEST_GROUP } else { 3072 };
    GexParams::new(SHORTEST_GROUP, asked, LONGEST_GROUP)
        .expect("the three sizes grow, and russh takes 2048 bits")
}

fn each<T>(
    names: &[Box<str>],
    what: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    let found = names
        .iter()
        .map(|name| find(name).ok_or_else(|| format!("`{name}` is no {what} that this relay has")));
    found.collect()
}

/// The words for a negotiation that failed: both sides' lists, and what would help.
pub(super) fn disagreement(kind: &AlgorithmKind, ours: &[String], theirs: &[String]) -> String {
    let (what, plan_kind) = match kind {
        AlgorithmKind::Kex => ("key exchange", Some(plan::AlgorithmKind::Kex)),
        AlgorithmKind::Key => ("kind of host key", Some(plan::AlgorithmKind::HostKey)),
        AlgorithmKind::Cipher => ("cipher", Some(plan::AlgorithmKind::Cipher)),
        AlgorithmKind::Mac => ("MAC", Some(plan::AlgorithmKind::Mac)),
        AlgorithmKind::Compression => ("compression", None),
    };
    let had = plan_kind.map_or_else(Vec::new, Algorithms::known);
    let common: Vec<&str> = had
        .into_iter()
        .filter(|name| theirs.iter().any(|theirs| theirs == name))
        .collect();
    let help = if common.is_empty() {
        "this relay has none of the server's: it must be configured to offer another".to_owned()
    } else {
        format!(
            "`algorithms: legacy`, or a list with {}, would agree with it",
            common.join(", ")
        )
    };
    format!(
        "no {what} in common: we offer {}; the server offers {}; {help}",
        real(ours).join(", "),
        real(theirs).join(", ")
    )
}

/// Names that are algorithms: markers of extensions travel in the same list.
fn real(names: &[String]) -> Vec<&str> {
    let marker = |name: &&str| name.starts_with("ext-info-") || name.starts_with("kex-strict-");
    names
        .iter()
        .map(String::as_str)
        .filter(|name| !marker(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::AlgorithmKind as Kind;

    #[test]
    fn every_name_that_a_file_may_hold_is_one_that_can_be_offered() {
        let offered = preferred(&Algorithms::legacy()).unwrap();
        assert_eq!(offered.kex.len(), Algorithms::known(Kind::Kex).len() + 2);
        assert_eq!(offered.key.len(), Algorithms::known(Kind::HostKey).len());
        assert_eq!(offered.cipher.len(), Algorithms::known(Kind::Cipher).len());
        assert_eq!(offered.mac.len(), Algorithms::known(Kind::Mac).len());
        let names: Vec<_> = offered.key.iter().map(ToString::to_string).collect();
        assert_eq!(names, Algorithms::known(Kind::HostKey));
    }

    #[test]
    fn a_name_that_nobody_has_is_told() {
        let mut algorithms = Algorithms::modern();
        algorithms.mac = vec!["hmac-md5".into()];
        let error = preferred(&algorithms).unwrap_err();
        assert_eq!(error, "`hmac-md5` is no MAC that this relay has");
    }

    #[test]
    fn a_disagreement_names_both_lists_and_what_would_help() {
        let ours = ["aes256-ctr".to_owned()];
        let old = ["aes128-cbc".to_owned(), "arcfour".to_owned()];
        let words = disagreement(&AlgorithmKind::Cipher, &ours, &old);
        assert_eq!(
            words,
            "no cipher in common: we offer aes256-ctr; the server offers aes128-cbc, arcfour; \
             `algorithms: legacy`, or a list with aes128-cbc, would agree with it"
        );
        let ancient = ["hmac-md5".to_owned()];
        let words = disagreement(&AlgorithmKind::Mac, &ours, &ancient);
        assert!(
            words.contains("this relay has none of the server's"),
            "{words}"
        );
    }
}
