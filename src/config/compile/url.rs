//! URLs of backends: scheme, host, port and base path, and never a credential.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

use crate::config::codes;
use crate::config::spec::part::Written;
use crate::config::spec::secret;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Span;
use crate::plan::BaseUrl;

/// Compiles `https://HOST[:PORT][/BASE]`.
pub fn compile(written: &Written, diags: &mut Diagnostics) -> Option<BaseUrl> {
    let text = written.literal("a URL", diags)?;
    let span = written.span();
    if refuse_credentials(written, diags) {
        return None;
    }
    let (scheme, _) = text.split_once("://").unwrap_or(("", text));
    let mut bad = |message: String| {
        let near = suggest::nearest(scheme, ["https", "http"]);
        let known = ["https", "http"].contains(&scheme);
        diags.push(
            Diagnostic::error(codes::BAD_URL, span, message)
                .did_you_mean(near.filter(|_| !known))
                .help("write `https://HOST`, and behind it `:PORT` and `/BASE` where needed"),
        );
    };
    let https = match scheme {
        "https" => true,
        "http" => false,
        "" => {
            bad("this URL does not say https://".into());
            return None;
        }
        other => {
            bad(format!("`{other}` is not a scheme that this driver speaks"));
            return None;
        }
    };
    if text.contains('#') {
        bad("a fragment (`#`) is never sent".into());
        return None;
    }
    let uri: Uri = match text.parse() {
        Ok(uri) => uri,
        Err(error) => {
            bad(format!("this is not a URL: {error}"));
            return None;
        }
    };
    let Some(host) = uri.host().filter(|host| is_host(host)) else {
        bad("this URL names no host".into());
        return None;
    };
    let port_text = uri.authority().and_then(|a| a.as_str().rsplit_once(':'));
    let has_port = port_text.is_some_and(|(_, port)| !port.contains(']'));
    let port = match (uri.port_u16(), has_port) {
        (Some(0), _) | (None, true) => {
            bad("a port is a number from 1 to 65535".into());
            return None;
        }
        (Some(port), _) => port,
        (None, false) if https => 443,
        (None, false) => 80,
    };
    let path = uri.path().trim_end_matches('/');
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        bad("`.` and `..` cannot stand in a base path".into());
        return None;
    }
    Some(BaseUrl {
        https,
        host: host.into(),
        port,
        path: path.into(),
    })
}

/// Reports a user, a password or a query in a URL, and masks what stands there.
fn refuse_credentials(written: &Written, diags: &mut Diagnostics) -> bool {
    let text = written.text();
    let authority = text.find("://").map_or(0, |at| at + 3);
    let end = text[authority..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |end| authority + end);
    // A password may hold what ends an authority; the last `@` is behind it in any case.
    let userinfo = text[authority..]
        .rfind('@')
        .map(|at| authority + at)
        .filter(|at| *at < end || text[authority..*at].contains(':'));
    if let Some(at) = userinfo {
        let span = written.snippet().part_span(authority, at);
        diags.push(secret::in_clear(
            span,
            "write the user and the password under `auth`",
        ));
        diags.mask(span);
        return true;
    }
    if let Some(query) = text.find('?') {
        let span: Span = written.snippet().part_span(query, text.len());
        diags.mask(span);
        diags.push(
            Diagnostic::error(codes::BAD_URL, span, "a URL here has no query")
                .help("write it under `query`; a key or token under `auth`"),
        );
        return true;
    }
    false
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.starts_with('[') && !host.contains(['%', '@', '{']),
    }
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &BaseUrl) -> bool {
    let bare = url.host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::decode::Decode;
    use crate::config::yaml;
    use crate::document::FileId;

    fn compiled(url: &str) -> (Option<BaseUrl>, Diagnostics) {
        let mut diags = Diagnostics::default();
        let source = format!("url: '{url}'\n");
        let node = yaml::parse(FileId(0), &source, &mut diags).unwrap();
        let written = Written::decode(node.get("url").unwrap(), &mut diags).unwrap();
        let url = compile(&written, &mut diags);
        (url, diags)
    }

    #[test]
    fn a_url_becomes_scheme_host_port_and_base_path() {
        for (text, https, host, port, path) in [
            ("https://a.example", true, "a.example", 443, ""),
            ("http://10.0.0.1/", false, "10.0.0.1", 80, ""),
            ("https://a:8443/neo/api/", true, "a", 8443, "/neo/api"),
            (
                "https://[2001:db8::1]:9696/v2.0",
                true,
                "[2001:db8::1]",
                9696,
                "/v2.0",
            ),
            ("https://[::1]", true, "[::1]", 443, ""),
        ] {
            let (url, diags) = compiled(text);
            let url = url.unwrap_or_else(|| panic!("{text}: {diags:?}"));
            assert_eq!(
                (url.https, &*url.host, url.port, &*url.path),
                (https, host, port, path)
            );
        }
    }

    #[test]
    fn what_is_no_url_of_a_backend_is_refused() {
        for text in [
            "a.example",
            "ftp://a.example",
            "https://",
            "https:///x",
            "https://a b",
            "https://a:99999",
            "https://a:0",
            "https://a:/x",
            "https://a/#x",
            "https://a/../b",
            "https://[::zz]",
            "https://{{ x }}",
        ] {
            let (url, diags) = compiled(text);
            assert!(
                url.is_none() && diags.errors() == 1,
                "{text}: {url:?} {diags:?}"
            );
        }
    }

    #[test]
    fn a_credential_in_a_url_is_masked() {
        for (text, hidden) in [
            ("https://u:hunter2@a.example/x", "u:hunter2"),
            ("https://u:hun/ter2@a.example", "u:hun/ter2"),
            ("https://a.example/x?key=hunter2", "?key=hunter2"),
        ] {
            let (url, diags) = compiled(text);
            assert!(url.is_none());
            let source = format!("url: '{text}'\n");
            let span = diags.masked()[0];
            assert_eq!(&source[span.start as usize..span.end as usize], hidden);
            assert!(!diags.iter().any(|d| d.message.contains("hunter2")));
        }
    }

    #[test]
    fn loopback_is_an_address_or_localhost() {
        for (text, expected) in [
            ("http://127.0.0.9", true),
            ("http://[::1]:80", true),
            ("http://localhost", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&compiled(text).0.unwrap()), expected, "{text}");
        }
    }
}
