//! Names: how the words of a backend's document become names of the language.

/// `firewallRules`, `Firewall-Rules` -> `firewall_rules`.
pub fn snake(text: &str) -> String {
    let mut out = String::new();
    let mut previous = ' ';
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase()
                && (previous.is_ascii_lowercase() || previous.is_ascii_digit())
            {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        previous = c;
    }
    let out = out.trim_matches('_').to_owned();
    let shortened: String = out.chars().take(48).collect();
    match shortened.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => shortened,
        Some(_) => format!("r_{shortened}"),
        None => "thing".to_owned(),
    }
}

/// `firewall_rules` -> `firewall-rules`.
pub fn kebab(snake: &str) -> String {
    snake.replace('_', "-")
}

/// `policies` -> `policy`, `networks` -> `network`.
pub fn singular(word: &str) -> String {
    for (end, with) in [
        ("ies", "y"),
        ("sses", "ss"),
        ("xes", "x"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("uses", "us"),
    ] {
        if let Some(stem) = word.strip_suffix(end)
            && stem.len() > 1
        {
            return format!("{stem}{with}");
        }
    }
    for same in ["ss", "us", "is"] {
        if word.ends_with(same) {
            return word.to_owned();
        }
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 1 => stem.to_owned(),
        _ => word.to_owned(),
    }
}

/// `policy` -> `policies`, `network` -> `networks`.
pub fn plural(word: &str) -> String {
    if let Some(stem) = word.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    match ["s", "x", "ch", "sh"].iter().any(|end| word.ends_with(end)) {
        true => format!("{word}es"),
        false => format!("{word}s"),
    }
}

/// Letters and digits in lower case: `petId`, `pet_id` and `PetID` are one name.
pub fn plain(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// A step of a variable: `.name`, or `.[na:me]`; `None` where the language has no way to write it.
pub fn step(name: &str) -> Option<String> {
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let bracketed = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
    match (word, bracketed) {
        _ if name.is_empty() => None,
        (true, _) => Some(format!(".{name}")),
        (_, true) => Some(format!(".[{name}]")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_names_of_the_language() {
        for (from, to) in [
            ("firewallRules", "firewall_rules"),
            ("Firewall-Rules", "firewall_rules"),
            ("2fa", "r_2fa"),
            ("IPAddresses", "ipaddresses"),
        ] {
            assert_eq!(snake(from), to);
        }
        for (one, many) in [
            ("policy", "policies"),
            ("network", "networks"),
            ("address", "addresses"),
            ("box", "boxes"),
        ] {
            assert_eq!(plural(one), many);
            assert_eq!(singular(many), one);
        }
        assert_eq!(singular("status"), "status");
        assert_eq!(
            step("router:external").as_deref(),
            Some(".[router:external]")
        );
        assert_eq!(step("a b"), None);
    }
}
