//! Links of answers: `Link` headers (RFC 8288), and single parameters of the URLs that they hold.
//!
//! A backend tells where its next page is by a URL of its own. The CMP is given no such URL, only what it
//! must hand back: one parameter of it.

use http::HeaderMap;

use super::encode::percent_decoded;

/// The target of the first link with this relation, in any of the `Link` headers.
pub fn target(headers: &HeaderMap, relation: &str) -> Option<String> {
    headers
        .get_all(http::header::LINK)
        .iter()
        .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
        .flat_map(links)
        .find(|link| link.is(relation))
        .map(|link| link.target.to_owned())
}

/// One link-value: its target, and its parameters by lower-case names.
#[derive(Debug)]
struct Link<'h> {
    target: &'h str,
    parameters: Vec<(String, String)>,
}

impl Link<'_> {
    /// RFC 8288, section 3.3: the first `rel` counts, and holds one or more relations. A link with an
    /// `anchor` is about something else than the answer that it came with (section 3.2).
    fn is(&self, relation: &str) -> bool {
        let rel = self.parameters.iter().find(|(name, _)| name == "rel");
        let anchored = self.parameters.iter().any(|(name, _)| name == "anchor");
        !anchored
            && rel.is_some_and(|(_, relations)| {
                let mut each = relations.split_ascii_whitespace();
                each.any(|one| one.eq_ignore_ascii_case(relation))
            })
    }
}

/// The links of one header (RFC 8288, appendix B.2). What cannot be read ends them: behind it nobody knows
/// where the next one begins.
fn links(mut rest: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((target, tail)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'))
        else {
            return links;
        };
        let (parameters, tail) = parameters(tail);
        rest = tail;
        links.push(Link { target, parameters });
    }
}

/// `; name=value; name="quoted, value"; name`, and what follows them.
fn parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        let Some(tail) = rest.strip_prefix(';') else {
            return (found, rest);
        };
        let tail = tail.trim_start();
        let end = tail.find([';', ',', '=']).unwrap_or(tail.len());
        let name = tail[..end].trim_end().to_ascii_lowercase();
        rest = &tail[end..];
        let mut value = String::new();
        if let Some(tail) = rest.strip_prefix('=') {
            let tail = tail.trim_start();
            rest = match tail.strip_prefix('"') {
                Some(quoted) => unquote(quoted, &mut value),
                None => {
                    let end = tail.find([';', ',']).unwrap_or(tail.len());
                    value.push_str(tail[..end].trim_end());
                    &tail[end..]
                }
            };
        }
        if !name.is_empty() {
            found.push((name, value));
        }
    }
}

/// Reads a quoted-string (RFC 9110, section 5.6.4) up to its closing quote; what follows it.
fn unquote<'h>(text: &'h str, into: &mut String) -> &'h str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return &text[at + 1..],
            '\\' => into.extend(chars.next().map(|(_, escaped)| escaped)),
            plain => into.push(plain),
        }
    }
    ""
}

/// The first parameter of this name in the query of a URL or of a relative reference, decoded as forms are:
/// `+` is a blank.
pub fn parameter(url: &str, name: &str) -> Option<String> {
    let decoded = |text: &str| percent_decoded(&text.replace('+', " "));
    let (_, query) = url.split('#').next()?.split_once('?')?;
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decoded(key) == name)
        .map(|(_, value)| decoded(value))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn next(headers: &[&'static str]) -> Option<String> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append("link", HeaderValue::from_static(header));
        }
        target(&map, "next")
    }

    #[test]
    fn a_relation_is_found_wherever_it_stands() {
        for headers in [
            &["</a?page=2>; rel=next"][..],
            &["</a?page=2>; rel=\"next\""],
            &["</a?page=2>;rel=NEXT;title=x"],
            &["</a?page=2> ; REL = \"last next\""],
            &["</a?page=9>; rel=last, </a?page=2>; rel=next, </a?page=3>; rel=next"],
            &["</a?page=9>; rel=last", "</a?page=2>; rel=next"],
            &["</a?page=9>; title=\"a, \\\"b\\\"; rel=next\"; rel=last, </a?page=2>; rel=next"],
            &["</a?page=9>; rel=last; rel=next,</a?page=2>; crossorigin; rel=next"],
            &["</a?page=9>; rel=next; anchor=\"#x\", </a?page=2>; rel=next"],
            &[", ,</a?page=2>; rel=next"],
        ] {
            assert_eq!(next(headers).as_deref(), Some("/a?page=2"), "{headers:?}");
        }
    }

    #[test]
    fn a_comma_in_a_target_is_a_part_of_it() {
        let found = next(&["</a?ids=1,2;3&x=%2C>; rel=next"]);
        assert_eq!(found.as_deref(), Some("/a?ids=1,2;3&x=%2C"));
    }

    #[test]
    fn what_is_no_link_is_none() {
        for headers in [
            &[][..],
            &[""],
            &["</a>; rel=prev"],
            &["</a>; title=next"],
            &["</a"],
            &["/a; rel=next"],
            &["</a>; rel=\"nextish\""],
            &["</a>; rel"],
            &["nonsense, </a>; rel=next"],
        ] {
            assert_eq!(next(headers), None, "{headers:?}");
        }
    }

    #[test]
    fn a_parameter_is_decoded_once() {
        for (url, value) in [
            ("http://b/x?limit=1&marker=a%2Bb+c%2520", Some("a+b c%20")),
            ("?marker=1&marker=2", Some("1")),
            ("/x?a=1#?marker=2", None),
            ("/x?amarker=1", None),
            ("/x?mark%65r=1", Some("1")),
            ("/x?marker", Some("")),
            ("/x", None),
        ] {
            assert_eq!(parameter(url, "marker").as_deref(), value, "{url}");
        }
    }
}
