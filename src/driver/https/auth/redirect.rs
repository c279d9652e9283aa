//! Where a login's answer leads: the redirects that `follow_redirects` allows, to the backend itself and to nobody else,
//! for a login holds a password and its answer a session. Calls follow none.

use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderValue, Uri};

use crate::driver::Answer;
use crate::plan::BaseUrl;

/// A step on the way of a login.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// From the host's root on, with its query.
    pub(super) path: String,
    /// The same request again (307, 308); otherwise it goes on with a GET, as every client does (RFC 9110, 15.4).
    pub(super) same: bool,
}

/// Where the answer to a request for the path `from` leads; `None`: it is no redirect. The error says why it is not followed,
/// and does not repeat the target, which may hold a session.
pub(super) fn hop(answer: &Answer, from: &str, home: &BaseUrl) -> Result<Option<Hop>, String> {
    let same = match answer.status {
        301..=303 => false,
        307 | 308 => true,
        _ => return Ok(None),
    };
    let Some(location) = answer.headers.get(LOCATION) else {
        return Ok(None);
    };
    let location = location
        .to_str()
        .map_err(|_| "leads to what is no URL".to_owned())?;
    target(location, from, home).map(|path| Some(Hop { path, same }))
}

/// A URL reference (RFC 3986, 4.2) as a path of the backend.
fn target(location: &str, from: &str, home: &BaseUrl) -> Result<String, String> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = if home.https { "https" } else { "http" };
    let absolute = match location.strip_prefix("//") {
        Some(rest) => Some(format!("{scheme}://{rest}")),
        None => location.contains("://").then(|| location.to_owned()),
    };
    let path = from.split('?').next().unwrap_or_default();
    let Some(absolute) = absolute else {
        return Ok(match location.as_bytes().first() {
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            None => from.to_owned(),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
                format!("{folder}{location}")
            }
        });
    };
    let uri: Uri = absolute
        .parse()
        .map_err(|_| "leads to what is no URL".to_owned())?;
    let port = uri.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    });
    let here = uri.scheme_str() == Some(scheme)
        && uri
            .host()
            .is_some_and(|host| host.eq_ignore_ascii_case(&home.host))
        && port == Some(home.port);
    match (here, uri.path_and_query()) {
        (true, Some(path)) => Ok(path.to_string()),
        (true, None) => Ok("/".to_owned()),
        (false, _) => Err(format!(
            "leads away from {scheme}://{}, and is not followed there",
            home.authority()
        )),
    }
}

/// The cookies that were set on the way, of each name the last one, as a `Cookie` header; one that was cleared is none.
pub(super) fn cookies<'h>(set: impl Iterator<Item = &'h HeaderValue>) -> Option<HeaderValue> {
    let mut held: Vec<(&str, &str)> = Vec::new();
    let pairs = set
        .filter_map(|header| header.to_str().ok())
        .filter_map(|header| header.split(';').next()?.split_once('='));
    for (name, value) in pairs {
        held.retain(|(other, _)| *other != name.trim());
        held.push((name.trim(), value.trim()));
    }
    held.retain(|(_, value)| !value.is_empty());
    let joined: Vec<String> = held
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut header = HeaderValue::try_from(joined.join("; ")).ok()?;
    header.set_sensitive(true);
    (!held.is_empty()).then_some(header)
}

/// Puts the cookies of the way before those of the answer at its end.
pub(super) fn with_cookies_of_the_way(mut answer: Answer, way: Vec<HeaderValue>) -> Answer {
    let own: Vec<HeaderValue> = answer.headers.get_all(SET_COOKIE).iter().cloned().collect();
    answer.headers.remove(SET_COOKIE);
    for cookie in way.into_iter().chain(own) {
        answer.headers.append(SET_COOKIE, cookie);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_followed_to_the_backend_itself_alone() {
        let home = BaseUrl {
            https: true,
            host: "sw.example.net".into(),
            port: 443,
            path: "".into(),
        };
        let from = "/admin/launch?script=login";
        for (location, expected) in [
            ("/home", Some("/home")),
            ("status?a=1#top", Some("/admin/status?a=1")),
            ("?script=home", Some("/admin/launch?script=home")),
            ("", Some(from)),
            ("https://SW.example.net/home?a", Some("/home?a")),
            ("https://sw.example.net:443", Some("/")),
            ("//sw.example.net/home", Some("/home")),
            ("http://sw.example.net/home", None),
            ("https://sw.example.net:8443/home", None),
            ("https://sw.example.net.evil.test/home", None),
            ("https://sw.example.net@evil.test/", None),
            ("//evil.test/home", None),
            ("https://", None),
        ] {
            let found = target(location, from, &home);
            assert_eq!(found.as_deref().ok(), expected, "{location}");
        }
    }

    #[test]
    fn of_the_cookies_of_the_way_the_last_of_a_name_is_held() {
        let set = ["a=1; Path=/", "b=2", "a=3; Secure", "b=; Max-Age=0"];
        let set: Vec<_> = set.map(HeaderValue::from_static).to_vec();
        assert_eq!(cookies(set.iter()).unwrap(), "a=3");
        assert_eq!(cookies(set[1..2].iter().chain(&set[3..])), None);
    }
}
