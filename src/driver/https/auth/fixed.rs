//! Credentials that stand in the configuration: nothing is asked for, nothing is renewed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::AUTHORIZATION;

use super::tree::{conceal, expose, plain};
use super::{AuthFailure, Authenticator, Credentials, secret_header};
use crate::driver::https::request::percent_encode;
use crate::driver::https::scrub::Scrubber;
use crate::driver::{Answer, Async, AuthState, Clearance};
use crate::plan::Auth;

/// One set of credentials for good.
#[derive(Debug)]
pub(in crate::driver::https) struct Fixed {
    credentials: Arc<Credentials>,
    scrubber: Scrubber,
}

impl Fixed {
    pub(super) fn new(auth: &Auth) -> Result<Self, String> {
        let mut scrubber = Scrubber::default();
        match auth {
            Auth::Basic { user, password } => {
                scrubber.add(password.expose());
                scrubber.add(&format!("{user}:{}", password.expose()));
            }
            Auth::Bearer(token) => scrubber.add(token.expose()),
            Auth::Headers(headers) => {
                let trees = headers.iter().map(|(_, tree)| tree);
                trees.for_each(|tree| conceal(tree, &mut scrubber));
            }
            Auth::Query(pairs) => {
                let secrets = pairs.iter().map(|(_, secret)| secret.expose());
                secrets.for_each(|secret| scrubber.add(secret));
            }
            Auth::None | Auth::ClientCertificate | Auth::Keystone(_) | Auth::Login(_) => {}
        }
        Ok(Self {
            credentials: Arc::new(credentials(auth, |secret| secret)?),
            scrubber,
        })
    }
}

/// What calls carry; `show` decides what stands where a secret does, encoded for its place.
pub(super) fn credentials(
    auth: &Auth,
    show: impl Fn(String) -> String,
) -> Result<Credentials, String> {
    let mut credentials = Credentials::default();
    let mut header = |name: &HeaderName, value: &str| {
        let value = secret_header(name, value)?;
        credentials.headers.push((name.clone(), value));
        Ok::<(), String>(())
    };
    match auth {
        Auth::Basic { user, password } => {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            header(&AUTHORIZATION, &format!("Basic {}", show(pair)))?;
        }
        Auth::Bearer(token) => {
            let token = show(token.expose().to_owned());
            header(&AUTHORIZATION, &format!("Bearer {token}"))?;
        }
        Auth::Headers(headers) => {
            for (name, tree) in headers {
                header(name, &show(plain(expose(tree))))?;
            }
        }
        Auth::Query(pairs) => {
            let pairs = pairs.iter().map(|(name, secret)| {
                let secret = show(percent_encode(secret.expose()));
                format!("{}={secret}", percent_encode(name))
            });
            credentials.query = pairs.collect::<Vec<_>>().join("&").into();
        }
        // Tokens have their own authenticator; the certificate is the transport's.
        Auth::None | Auth::ClientCertificate | Auth::Keystone(_) | Auth::Login(_) => {}
    }
    Ok(credentials)
}

impl Authenticator for Fixed {
    fn ready(&self) -> Option<Arc<Credentials>> {
        Some(Arc::clone(&self.credentials))
    }

    fn obtain<'a>(
        &'a self,
        _clearance: &'a Clearance,
        _refused: Option<u64>,
    ) -> Async<'a, Result<Arc<Credentials>, AuthFailure>> {
        Box::pin(async { Ok(Arc::clone(&self.credentials)) })
    }

    /// A refusal of fixed credentials is an answer like any other.
    fn refuses(&self, _answer: &Answer) -> bool {
        false
    }

    fn resends(&self) -> bool {
        false
    }

    fn retire(&self, _generation: u64) {}

    fn settle(&self, _generation: u64, _refused: bool) {}

    fn conceal(&self, scrubber: &mut Scrubber) {
        scrubber.join(&self.scrubber);
    }

    fn end(&self) -> Async<'_, ()> {
        Box::pin(async {})
    }

    fn state(&self) -> AuthState {
        AuthState::Fixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SecretTree;
    use crate::secret::Secret;

    fn secret(value: &str) -> Secret {
        Secret::new(value.into(), "env TEST")
    }

    /// `{ $base64: { $json: { user: relay, password: { $env: TEST } } } }`
    fn built() -> SecretTree {
        let fields = vec![
            ("user".into(), SecretTree::Literal("relay".into())),
            ("password".into(), SecretTree::Secret(secret("hunter2"))),
        ];
        let json = SecretTree::Json(Box::new(SecretTree::Map(fields)));
        SecretTree::Base64(Box::new(json))
    }

    #[test]
    fn a_built_value_is_sent_whole_and_concealed_whole() {
        let auth = Auth::Headers(vec![(AUTHORIZATION, built())]);
        let fixed = Fixed::new(&auth).unwrap();
        let (_, value) = &fixed.credentials.headers[0];
        // {"user":"relay","password":"hunter2"}
        let sent = "eyJ1c2VyIjoicmVsYXkiLCJwYXNzd29yZCI6Imh1bnRlcjIifQ==";
        assert_eq!(value, sent);
        assert!(value.is_sensitive());
        let mut scrubber = Scrubber::default();
        fixed.conceal(&mut scrubber);
        assert_eq!(scrubber.clean(&format!("you sent {sent}")), "you sent ***");
        let masked = credentials(&auth, |_| "***".to_owned()).unwrap();
        assert_eq!(masked.headers[0].1, "***");
    }

    #[test]
    fn secrets_are_marked_sensitive_and_concealed() {
        let fixed = Fixed::new(&Auth::Basic {
            user: "relay".into(),
            password: secret("hunter2"),
        })
        .unwrap();
        let (name, value) = &fixed.credentials.headers[0];
        assert_eq!(name, AUTHORIZATION);
        assert_eq!(value, "Basic cmVsYXk6aHVudGVyMg==");
        assert!(value.is_sensitive());
        let mut scrubber = Scrubber::default();
        fixed.conceal(&mut scrubber);
        assert_eq!(
            scrubber.clean("you sent hunter2 as cmVsYXk6aHVudGVyMg=="),
            "you sent *** as ***"
        );
        assert!(!format!("{fixed:?}").contains("hunter2"));
    }

    #[test]
    fn whatever_carries_a_secret_conceals_it() {
        for auth in [
            Auth::Basic {
                user: "relay".into(),
                password: secret("hunter2"),
            },
            Auth::Bearer(secret("hunter2")),
            Auth::Headers(vec![(
                http::header::COOKIE,
                SecretTree::Secret(secret("hunter2")),
            )]),
            Auth::Headers(vec![(AUTHORIZATION, built())]),
            Auth::Query(vec![("key".into(), secret("hunter2"))]),
        ] {
            let fixed = Fixed::new(&auth).unwrap();
            let mut scrubber = Scrubber::default();
            fixed.conceal(&mut scrubber);
            assert_eq!(scrubber.clean("you sent hunter2"), "you sent ***");
            let printed = format!("{fixed:?} {auth:?}");
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }

    #[test]
    fn a_query_key_is_encoded() {
        let fixed = Fixed::new(&Auth::Query(vec![("key".into(), secret("a&b=c"))])).unwrap();
        assert_eq!(&*fixed.credentials.query, "key=a%26b%3Dc");
    }

    #[test]
    fn a_secret_that_cannot_stand_in_a_header_is_refused_without_being_quoted() {
        let message = Fixed::new(&Auth::Bearer(secret("line\nbreak"))).unwrap_err();
        assert!(message.contains("authorization"), "{message}");
        assert!(!message.contains("break"), "{message}");
    }
}
