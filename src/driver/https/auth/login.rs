//! A login of the backend's own: a form or a JSON body in, tokens out of cookies, headers or the
//! body, and carried by cookies or headers. "Logged in" is not "status 200": a token that is not
//! there is a failure in any case, and a redirect is an answer, followed only where `follow_redirects` says so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use super::token::{self, Granted};
use super::tree::{conceal, expose, plain};
use super::{AuthFailure, Credentials, login_failure, redirect, secret_header};
use crate::clock;
use crate::driver::https::body::text_of;
use crate::driver::https::request::{Frame, Particulars, encode_pairs};
use crate::driver::https::scrub::{Scrubber, excerpt};
use crate::driver::https::transport::{Failure, Transport};
use crate::driver::{Answer, Async, Clearance, Phase, SendOutcome};
use crate::plan::{BaseUrl, Expiry, HttpsDriver, Login, LoginBody, TokenCarrier, TokenSource};
use crate::transform::{AnswerView, Condition, JsonPath, Root, Scope};

/// `auth: { login: ... }`.
#[derive(Debug)]
pub(super) struct Grant {
    login: Arc<Login>,
    body: Option<SecretBody>,
    frame: Frame,
    /// Where redirects lead: below no base path, and with no query but their own.
    whole: Frame,
    home: Arc<Transport>,
    scrubber: Scrubber,
}

/// A content type and a body with secrets in it.
struct SecretBody((HeaderValue, Bytes));

impl std::fmt::Debug for SecretBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Grant {
    pub(super) fn new(
        login: &Arc<Login>,
        driver: &HttpsDriver,
        home: &Arc<Transport>,
    ) -> Result<Self, String> {
        let mut scrubber = Scrubber::default();
        let body = match &login.body {
            LoginBody::None => None,
            LoginBody::Form(fields) => {
                let mut pairs = Vec::new();
                for (name, tree) in fields {
                    conceal(tree, &mut scrubber);
                    let items = match expose(tree) {
                        Value::Array(items) => items,
                        item => vec![item],
                    };
                    pairs.extend(items.into_iter().map(|item| (name.clone(), plain(item))));
                }
                let encoded =
                    encode_pairs(pairs.iter().map(|(name, value)| (&**name, value.as_str())));
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                Some(SecretBody((form, encoded.into())))
            }
            LoginBody::Json(tree) => {
                conceal(tree, &mut scrubber);
                let json = HeaderValue::from_static("application/json");
                Some(SecretBody((json, expose(tree).to_string().into())))
            }
        };
        let root = BaseUrl {
            path: "".into(),
            ..home.url().clone()
        };
        Ok(Self {
            login: Arc::clone(login),
            body,
            frame: Frame::new(home.url(), &driver.headers, &driver.query)?,
            whole: Frame::new(&root, &driver.headers, &[])?,
            home: Arc::clone(home),
            scrubber,
        })
    }

    async fn send(
        &self,
        frame: &Frame,
        call: Particulars<'_>,
        credentials: &Credentials,
        clearance: &Clearance,
    ) -> Result<Answer, Failure> {
        let request = frame.request(call, credentials).map_err(|detail| Failure {
            phase: Phase::Authenticate,
            outcome: SendOutcome::NotSent,
            sent: false,
            detail,
        })?;
        self.home.send(request, clearance).await
    }

    /// The answer to the login, at the end of the redirects that it may follow.
    async fn answer(&self, clearance: &Clearance) -> Result<Answer, AuthFailure> {
        let login = &self.login;
        let failed = |failure| login_failure(failure, "the backend");
        let mut call = Particulars {
            method: &login.method,
            path_and_query: &login.path,
            headers: &login.headers,
            body: self.body.as_ref().map(|body| &body.0),
        };
        let none = Credentials::default();
        let sent = self.send(&self.frame, call, &none, clearance);
        let mut answer = sent.await.map_err(failed)?;
        let mut at = format!("{}{}", self.home.url().path, login.path);
        let mut way = Vec::new();
        for _ in 0..login.follow_redirects {
            let hop = redirect::hop(&answer, &at, self.home.url()).map_err(|why| {
                let detail = format!("the login was answered {} and {why}", answer.status);
                AuthFailure::unauthorized(detail, Some(answer.status))
            })?;
            let Some(hop) = hop else { break };
            if !hop.same {
                (call.method, call.body) = (&Method::GET, None);
            }
            at = hop.path;
            way.extend(answer.headers.get_all(SET_COOKIE).iter().cloned());
            let so_far = Credentials {
                cookie: redirect::cookies(way.iter()),
                ..Credentials::default()
            };
            let next = Particulars {
                path_and_query: &at,
                ..call
            };
            let sent = self.send(&self.whole, next, &so_far, clearance);
            answer = sent.await.map_err(failed)?;
        }
        Ok(redirect::with_cookies_of_the_way(answer, way))
    }

    async fn grant(&self, clearance: &Clearance) -> Result<Granted, AuthFailure> {
        let login = &self.login;
        let answer = self.answer(clearance).await?;
        let refused = |why: String| {
            let detail = format!("the login was answered {} and {why}", answer.status);
            AuthFailure::unauthorized(detail, Some(answer.status))
        };
        let text = text_of(&answer);
        let json: Option<Value> = serde_json::from_str(&text).ok();
        let successful = match &login.success_when {
            Some(condition) => condition.holds(&AnswerView {
                status: answer.status,
                headers: &answer.headers,
                body: json.as_ref(),
                text: &text,
                stderr: "",
            }),
            None => (200..300).contains(&answer.status),
        };
        let mut tokens = Vec::with_capacity(login.tokens.len());
        let mut missing = None;
        for (name, source) in &login.tokens {
            match token_of(source, &answer.headers, json.as_ref()) {
                Some(token) => tokens.push((&**name, token)),
                None => missing = missing.or(Some(name)),
            }
        }
        if !successful {
            let mut scrubber = self.scrubber.clone();
            tokens.iter().for_each(|(_, token)| scrubber.add(token));
            let quoted = scrubber.clean(&text);
            return Err(refused(format!("is no success: {}", excerpt(&quoted))));
        }
        if let Some(name) = missing {
            let why = answer.body_error.as_deref().unwrap_or("it is not there");
            return Err(refused(format!("gave no token `{name}` ({why})")));
        }
        let life = login
            .expires
            .as_ref()
            .and_then(|expires| life_of(expires, &answer.headers, json.as_ref()));
        let named = tokens
            .iter()
            .map(|(name, token)| (Box::from(*name), token.clone()));
        let credentials = credentials(login, named).map_err(refused)?;
        Ok(Granted {
            credentials,
            tokens: tokens.into_iter().map(|(_, token)| token).collect(),
            life,
        })
    }
}

/// `send`, rendered: its cookies in one header.
pub(super) fn credentials(
    login: &Login,
    tokens: impl Iterator<Item = (Box<str>, String)>,
) -> Result<Credentials, String> {
    let values: serde_json::Map<_, _> = tokens
        .map(|(name, token)| (name.into(), Value::from(token)))
        .collect();
    let mut scope = Scope::new();
    scope.set(Root::Tokens, Value::Object(values));
    let mut credentials = Credentials::default();
    let mut cookies = Vec::new();
    for carrier in &login.send {
        let (TokenCarrier::Cookie { value, .. } | TokenCarrier::Header { value, .. }) = carrier;
        // A render error names variables, never their values.
        let Some(value) = value.render(&scope).map_err(|error| error.to_string())? else {
            continue;
        };
        match carrier {
            TokenCarrier::Cookie { name, .. } => cookies.push(format!("{name}={value}")),
            TokenCarrier::Header { name, .. } => credentials
                .headers
                .push((name.clone(), secret_header(name, &value)?)),
        }
    }
    if !cookies.is_empty() {
        let joined = secret_header(&http::header::COOKIE, &cookies.join("; "))?;
        credentials.cookie = Some(joined);
    }
    Ok(credentials)
}

impl token::Grant for Grant {
    fn log_in<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Result<Granted, AuthFailure>> {
        Box::pin(self.grant(clearance))
    }

    fn whom(&self) -> String {
        format!("{}:{}", self.home.url().host, self.home.url().port)
    }

    fn timeout(&self) -> Duration {
        self.home.limits().timeout
    }

    fn refuses(&self, answer: &Answer) -> bool {
        match self.login.expired_when.as_slice() {
            [] => answer.status == 401,
            conditions => conditions.iter().any(|condition| holds(condition, answer)),
        }
    }

    fn resends(&self) -> bool {
        self.login.resend
    }

    fn log_out<'a>(
        &'a self,
        credentials: &'a Credentials,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<(), Failure>> {
        Box::pin(async move {
            if let Some((method, path)) = &self.login.logout {
                let call = Particulars {
                    method,
                    path_and_query: path,
                    headers: &[],
                    body: None,
                };
                self.send(&self.frame, call, credentials, clearance).await?;
            }
            Ok(())
        })
    }

    fn conceal(&self, scrubber: &mut Scrubber) {
        scrubber.join(&self.scrubber);
    }
}

fn holds(condition: &Condition, answer: &Answer) -> bool {
    let text = text_of(answer);
    let json: Option<Value> = if condition.reads_body() {
        serde_json::from_str(&text).ok()
    } else {
        None
    };
    condition.holds(&AnswerView {
        status: answer.status,
        headers: &answer.headers,
        body: json.as_ref(),
        text: &text,
        stderr: "",
    })
}

fn token_of(source: &TokenSource, headers: &HeaderMap, body: Option<&Value>) -> Option<String> {
    let found = match source {
        TokenSource::Json(path) => one(path, body?).map(plain)?,
        TokenSource::Header(name) => headers.get(name)?.to_str().ok()?.to_owned(),
        TokenSource::Cookie(name) => cookie(headers, name)?.to_owned(),
    };
    (!found.is_empty()).then_some(found)
}

/// The value of the last cookie of this name that the answer sets (RFC 6265, 5.2).
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .filter_map(|header| header.split(';').next()?.split_once('='))
        .filter(|(found, _)| found.trim() == name)
        .map(|(_, value)| value.trim())
        .next_back()
}

/// The scalar that a path selects; several are none.
fn one(path: &JsonPath, body: &Value) -> Option<Value> {
    match path.select(body).as_slice() {
        [value @ (Value::String(_) | Value::Number(_))] => Some((*value).clone()),
        _ => None,
    }
}

/// How long the tokens live; `None` where the answer does not say what was declared.
fn life_of(expires: &Expiry, headers: &HeaderMap, body: Option<&Value>) -> Option<Duration> {
    let seconds = |path: &JsonPath| {
        let text = plain(one(path, body?)?);
        text.parse::<f64>().ok().filter(|number| number.is_finite())
    };
    let life = match expires {
        Expiry::After(life) => Some(*life),
        Expiry::In(path) => seconds(path).and_then(|span| Duration::try_from_secs_f64(span).ok()),
        Expiry::At(path) => {
            let at = match seconds(path) {
                // Some backends count milliseconds: no second of this century has 12 digits.
                Some(epoch) if epoch >= 1e11 => Some(epoch / 1e3),
                Some(epoch) => Some(epoch),
                None => body
                    .and_then(|body| one(path, body))
                    .and_then(|value| OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok())
                    .map(epoch_seconds),
            };
            at.and_then(|at| Duration::try_from_secs_f64(at - backend_now(headers)).ok())
        }
    };
    if life.is_none() {
        tracing::warn!(
            "a login's answer does not say when it expires: it is renewed when it is refused"
        );
    }
    life
}

/// The backend's own clock where its answer carries one: its expiry is meant by that clock.
fn backend_now(headers: &HeaderMap) -> f64 {
    headers
        .get(http::header::DATE)
        .and_then(|date| OffsetDateTime::parse(date.to_str().ok()?, &Rfc2822).ok())
        .map_or_else(
            || {
                Duration::from_micros(u64::try_from(clock::unix_micros()).unwrap_or(0))
                    .as_secs_f64()
            },
            epoch_seconds,
        )
}

fn epoch_seconds(at: OffsetDateTime) -> f64 {
    let since = at - OffsetDateTime::UNIX_EPOCH;
    since.as_seconds_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_secrets_in_it_is_not_printed() {
        let json = HeaderValue::from_static("application/json");
        let body = SecretBody((json, Bytes::from_static(b"hunter2")));
        assert_eq!(format!("{body:?}"), "***");
    }

    #[test]
    fn the_last_cookie_of_a_name_counts_and_a_cleared_one_is_none() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1; Path=/; HttpOnly", "b=2", "a=3; Secure"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        assert_eq!(cookie(&headers, "a"), Some("3"));
        assert_eq!(cookie(&headers, "c"), None);
        headers.append(SET_COOKIE, HeaderValue::from_static("b=; Max-Age=0"));
        let source = TokenSource::Cookie("b".into());
        assert_eq!(token_of(&source, &headers, None), None);
    }

    #[test]
    fn the_backends_own_clock_is_what_its_expiry_is_measured_by() {
        let mut headers = HeaderMap::new();
        headers.insert(
            http::header::DATE,
            HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
        );
        assert!((backend_now(&headers) - 784_111_777.0).abs() < 1.0);
    }
}
