//! The skeletons and how they are filled in.
//!
//! `@name@` is replaced. Lines behind `#{case a b}` stand only where all these cases hold, up to the
//! next `#{case ...}` or `#{end}`.

use super::Auth;

const ROUTE: &str = include_str!("skeleton/route.yaml");
const CHILD: &str = include_str!("skeleton/child.yaml");
const SHARED: &str = include_str!("skeleton/shared.yaml");
const BACKEND: &str = include_str!("skeleton/backend.yaml");

/// What goes into a skeleton.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Fill {
    values: Vec<(&'static str, String)>,
    cases: Vec<&'static str>,
}

impl Fill {
    pub(in crate::cli) fn new() -> Self {
        Self::default()
    }

    pub(in crate::cli) fn put(mut self, name: &'static str, value: &str) -> Self {
        self.values.push((name, value.to_owned()));
        self
    }

    pub(in crate::cli) fn case(mut self, case: &'static str) -> Self {
        self.cases.push(case);
        self
    }

    pub(super) fn route(&self) -> String {
        self.filled(ROUTE)
    }

    pub(super) fn child(&self) -> String {
        self.filled(CHILD)
    }

    pub(super) fn shared(&self) -> String {
        self.filled(SHARED)
    }

    pub(super) fn backend(self, auth: Auth) -> String {
        let lines: Vec<String> = snippet(auth)
            .lines()
            .map(|line| format!("    {line}"))
            .collect();
        // First, for it holds names that are filled in themselves.
        let mut fill = Self::new().put("auth", &lines.join("\n"));
        fill.values.extend(self.values);
        fill.cases = self.cases;
        fill.filled(BACKEND)
    }

    pub(in crate::cli) fn filled(&self, skeleton: &str) -> String {
        let mut holds = true;
        let mut text = String::new();
        for line in skeleton.lines() {
            match line.strip_prefix("#{case ") {
                Some(cases) => {
                    let mut cases = cases.trim_end_matches('}').split(' ');
                    holds = cases.all(|case| self.cases.contains(&case));
                }
                None if line == "#{end}" => holds = true,
                None if holds => {
                    text.push_str(line);
                    text.push('\n');
                }
                None => {}
            }
        }
        for (name, value) in &self.values {
            text = text.replace(&format!("@{name}@"), value);
        }
        text
    }
}

fn snippet(auth: Auth) -> &'static str {
    match auth {
        Auth::None => include_str!("skeleton/auth/none.yaml"),
        Auth::Basic => include_str!("skeleton/auth/basic.yaml"),
        Auth::Bearer => include_str!("skeleton/auth/bearer.yaml"),
        Auth::Headers => include_str!("skeleton/auth/headers.yaml"),
        Auth::Query => include_str!("skeleton/auth/query.yaml"),
        Auth::ClientCertificate => include_str!("skeleton/auth/client_certificate.yaml"),
        Auth::Keystone => include_str!("skeleton/auth/keystone.yaml"),
        Auth::Login => include_str!("skeleton/auth/login.yaml"),
    }
}

/// `firewall_policy` is `firewall_policies`.
pub(super) fn plural(word: &str) -> String {
    let vowel = |c: char| "aeiou".contains(c);
    if let Some(stem) = word.strip_suffix('y')
        && !stem.ends_with(vowel)
    {
        return format!("{stem}ies");
    }
    match ["s", "x", "z", "ch", "sh"]
        .iter()
        .any(|end| word.ends_with(end))
    {
        true => format!("{word}es"),
        false => format!("{word}s"),
    }
}

/// `firewall_policy` is at `firewall-policies`.
pub(super) fn path(resource: &str) -> String {
    plural(resource).replace('_', "-")
}

/// `firewall_policy` is a `firewall policy`.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_get_their_plural() {
        for (one, many) in [
            ("network", "networks"),
            ("firewall_policy", "firewall_policies"),
            ("gateway", "gateways"),
            ("address", "addresses"),
            ("switch", "switches"),
        ] {
            assert_eq!(plural(one), many);
        }
        assert_eq!(path("firewall_policy"), "firewall-policies");
    }

    #[test]
    fn cases_choose_lines() {
        let skeleton =
            "a: @a@\n#{case one}\none\n#{case two}\ntwo\n#{case one two}\nboth\n#{end}\nend\n";
        let fill = |cases: &[&'static str]| {
            let fill = cases.iter().fold(Fill::new(), |fill, case| fill.case(case));
            fill.put("a", "1").filled(skeleton)
        };
        assert_eq!(fill(&["one"]), "a: 1\none\nend\n");
        assert_eq!(fill(&["one", "two"]), "a: 1\none\ntwo\nboth\nend\n");
        assert_eq!(fill(&[]), "a: 1\nend\n");
    }
}
