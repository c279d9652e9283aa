//! From a rendered call to the HTTP/1.1 request that a socket gets: the base path and the joined
//! query before and behind it, the headers in their order of precedence.

use bytes::Bytes;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING, USER_AGENT,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::auth::Credentials;
use crate::driver::HttpRequest;
use crate::plan::BaseUrl;

/// What every request to one base URL has in common.
#[derive(Debug)]
pub(super) struct Frame {
    base_path: Box<str>,
    /// Encoded pairs without a leading `?`; joined to every call.
    query: Box<str>,
    headers: HeaderMap,
}

/// What is particular to one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Particulars<'a> {
    pub(super) method: &'a Method,
    pub(super) path_and_query: &'a str,
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    pub(super) body: Option<&'a (HeaderValue, Bytes)>,
}

impl<'a> Particulars<'a> {
    pub(super) fn of(call: &'a HttpRequest) -> Self {
        Self {
            method: &call.method,
            path_and_query: &call.path_and_query,
            headers: &call.headers,
            body: call.body.as_ref(),
        }
    }
}

impl Frame {
    pub(super) fn new(
        url: &BaseUrl,
        headers: &[(HeaderName, HeaderValue)],
        query: &[(Box<str>, Box<str>)],
    ) -> Result<Self, String> {
        let host = HeaderValue::try_from(url.authority())
            .map_err(|_| format!("`{}` cannot stand in a Host header", url.host))?;
        let mut common = HeaderMap::new();
        common.insert(HOST, host);
        common.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("cmp-relay/", env!("CARGO_PKG_VERSION"))),
        );
        common.insert(ACCEPT, HeaderValue::from_static("*/*"));
        put_all(&mut common, headers);
        Ok(Self {
            base_path: url.path.clone(),
            query: encode_pairs(query.iter().map(|(name, value)| (&**name, &**value))).into(),
            headers: common,
        })
    }

    /// The request. A header of the call replaces a common one, a credential replaces both; cookies
    /// of all three are joined into one header (RFC 6265, 5.4).
    pub(super) fn request(
        &self,
        call: Particulars<'_>,
        credentials: &Credentials,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut headers = self.headers.clone();
        put_all(&mut headers, call.headers);
        let mut body = Bytes::new();
        match call.body {
            Some((content_type, bytes)) => {
                // A call's own `Content-Type` stands.
                if !call.headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
                    headers.insert(CONTENT_TYPE, content_type.clone());
                }
                body = bytes.clone();
            }
            None if matches!(*call.method, Method::POST | Method::PUT | Method::PATCH) => {
                // Many backends answer 411 to a POST that says nothing of its length.
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            None => {}
        }
        for (name, value) in &credentials.headers {
            headers.insert(name, value.clone());
        }
        if let Some(cookie) = &credentials.cookie {
            join_cookie(&mut headers, cookie)?;
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = self.uri(call.path_and_query, credentials)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn uri(&self, path_and_query: &str, credentials: &Credentials) -> Result<Uri, String> {
        let joined: usize = self.query.len() + credentials.query.len() + 2;
        let mut whole = String::with_capacity(self.base_path.len() + path_and_query.len() + joined);
        whole.push_str(&self.base_path);
        whole.push_str(path_and_query);
        let mut separator = if path_and_query.contains('?') {
            '&'
        } else {
            '?'
        };
        for pairs in [&self.query, &credentials.query] {
            if !pairs.is_empty() {
                whole.push(separator);
                whole.push_str(pairs);
                separator = '&';
            }
        }
        if !whole.starts_with('/') {
            whole.insert(0, '/');
        }
        // A fragment would be cut off in silence, and with it what is joined behind it.
        if whole.contains('#') {
            return Err("the path and query hold a `#`, which must be written `%23`".to_owned());
        }
        // The message must not quote the URI: a secret may stand in its query.
        PathAndQuery::from_maybe_shared(Bytes::from(whole))
            .map(Uri::from)
            .map_err(|error| format!("the path and query are no valid URI: {error}"))
    }
}

/// Puts headers in: one name given twice is sent twice, and replaces what stood there before. What
/// belongs to the connection is not a call's to set.
fn put_all(map: &mut HeaderMap, headers: &[(HeaderName, HeaderValue)]) {
    for (index, (name, value)) in headers.iter().enumerate() {
        if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            continue;
        }
        let repeated = headers[..index].iter().any(|(earlier, _)| earlier == name);
        if repeated {
            map.append(name, value.clone());
        } else {
            map.insert(name, value.clone());
        }
    }
}

fn join_cookie(headers: &mut HeaderMap, cookie: &HeaderValue) -> Result<(), String> {
    let mut joined = match headers.get(COOKIE) {
        None => cookie.clone(),
        Some(own) => {
            let whole = [own.as_bytes(), b"; ", cookie.as_bytes()].concat();
            HeaderValue::from_bytes(&whole)
                .map_err(|_| "the cookies cannot stand in one header".to_owned())?
        }
    };
    joined.set_sensitive(true);
    headers.insert(COOKIE, joined);
    Ok(())
}

/// Query or form pairs, percent-encoded.
pub(super) fn encode_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(&percent_encode(name));
        out.push('=');
        out.push_str(&percent_encode(value));
    }
    out
}

/// Percent-encodes all but the unreserved characters (RFC 3986, 2.3).
pub(super) fn percent_encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(path: &str, query: &[(&str, &str)]) -> Frame {
        let url = BaseUrl {
            https: true,
            host: "fw.example.net".into(),
            port: 8443,
            path: path.into(),
        };
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        Frame::new(
            &url,
            &[(ACCEPT, HeaderValue::from_static("application/json"))],
            &query,
        )
        .unwrap()
    }

    fn get<'a>(
        path_and_query: &'a str,
        headers: &'a [(HeaderName, HeaderValue)],
    ) -> Particulars<'a> {
        Particulars {
            method: &Method::GET,
            path_and_query,
            headers,
            body: None,
        }
    }

    #[test]
    fn the_base_path_and_every_query_are_joined() {
        let credentials = Credentials {
            query: "key=s%26cret".into(),
            ..Credentials::default()
        };
        let request = frame("/api", &[("vdom", "a b")])
            .request(get("/rules?limit=5", &[]), &credentials)
            .unwrap();
        assert_eq!(request.uri(), "/api/rules?limit=5&vdom=a%20b&key=s%26cret");
        let request = frame("", &[("vdom", "root")])
            .request(get("/rules", &[]), &Credentials::default())
            .unwrap();
        assert_eq!(request.uri(), "/rules?vdom=root");
        assert_eq!(request.headers()[HOST], "fw.example.net:8443");
    }

    #[test]
    fn a_fragment_is_refused() {
        let refused = frame("", &[("vdom", "root")])
            .request(get("/rules#top", &[]), &Credentials::default())
            .unwrap_err();
        assert!(refused.contains("`%23`"), "{refused}");
    }

    #[test]
    fn a_call_replaces_common_headers_and_joins_cookies() {
        let headers = [
            (ACCEPT, HeaderValue::from_static("text/plain")),
            (COOKIE, HeaderValue::from_static("lang=en")),
            (CONNECTION, HeaderValue::from_static("close")),
        ];
        let credentials = Credentials {
            cookie: Some(HeaderValue::from_static("session=1")),
            ..Credentials::default()
        };
        let request = frame("", &[])
            .request(get("/", &headers), &credentials)
            .unwrap();
        assert_eq!(request.headers()[ACCEPT], "text/plain");
        assert_eq!(request.headers()[COOKIE], "lang=en; session=1");
        assert!(request.headers()[COOKIE].is_sensitive());
        assert!(!request.headers().contains_key(CONNECTION));
    }

    #[test]
    fn a_post_without_a_body_says_so() {
        let call = Particulars {
            method: &Method::POST,
            ..get("/", &[])
        };
        let request = frame("", &[])
            .request(call, &Credentials::default())
            .unwrap();
        assert_eq!(request.headers()[CONTENT_LENGTH], "0");
    }
}
