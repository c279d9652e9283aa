//! Did you mean: the nearest right name to a wrong one.

/// The candidate nearest to `name`, when it is near enough to be what was meant: a slip of the
/// fingers, or the same word with more or less behind it.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A version is not a typing error of another one.
    let a_word = |candidate: &&str| candidate.contains(char::is_alphabetic);
    let candidates: Vec<&str> = candidates.into_iter().filter(a_word).collect();
    let longer = |a: &str, b: &str| {
        a.len() > 3
            && b.strip_prefix(a)
                .is_some_and(|rest| rest.starts_with('_') || a.len() + 5 > b.len())
    };
    candidates
        .iter()
        .copied()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= name.chars().count().max(candidate.chars().count()) / 3 + 1
                && *distance < candidate.chars().count()
        })
        .min()
        .map(|(_, candidate)| candidate)
        .or_else(|| {
            let by_beginning =
                |candidate: &&&str| longer(name, candidate) || longer(candidate, name);
            candidates.iter().find(by_beginning).copied()
        })
}

/// Whether `name` is surely `meant` with a slip of the fingers: nearer than what is worth a suggestion.
pub fn is_slip(name: &str, meant: &str) -> bool {
    let allowed = if meant.len() > 5 { 2 } else { 1 };
    strsim::damerau_levenshtein(name, meant) <= allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_less_than_another_word() {
        assert!(is_slip("nmae", "name") && is_slip("resorce", "resource"));
        assert!(!is_slip("note", "name") && !is_slip("username", "user"));
    }

    #[test]
    fn a_slip_of_the_fingers_finds_its_name() {
        assert_eq!(nearest("nmae", ["name", "note", "port"]), Some("name"));
        assert_eq!(nearest("subent", ["network", "subnet"]), Some("subnet"));
    }

    #[test]
    fn the_same_word_with_more_behind_it_is_found() {
        assert_eq!(nearest("listen_address", ["tls", "listen"]), Some("listen"));
        assert_eq!(nearest("username", ["url", "user"]), Some("user"));
        assert_eq!(
            nearest("token", ["name", "token_sha256"]),
            Some("token_sha256")
        );
        assert_eq!(nearest("portal", ["id", "a_long_portal"]), None);
    }

    #[test]
    fn what_is_far_from_everything_is_not_guessed() {
        assert_eq!(nearest("vlan", ["network", "firewall_rule"]), None);
    }
}
