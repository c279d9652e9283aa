//! Keystone v3 tokens (OpenStack Identity API v3, "Password authentication with scoped
//! authorization" and "Authenticating with an application credential").

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::token::{self, Granted};
use super::{AuthFailure, Credentials, login_failure, secret_header};
use crate::driver::https::body::text_of;
use crate::driver::https::request::{Frame, Particulars};
use crate::driver::https::scrub::{Scrubber, excerpt};
use crate::driver::https::transport::{Failure, Transport};
use crate::driver::{Answer, Async, Clearance};
use crate::plan::{BackendLimits, Keystone, KeystoneCredentials};

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const X_SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// `auth: { keystone: ... }`, over a transport of its own.
pub(super) struct Grant {
    body: (HeaderValue, Bytes),
    frame: Frame,
    transport: Transport,
    scrubber: Scrubber,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl Grant {
    pub(super) fn new(keystone: &Keystone, limits: &BackendLimits) -> Result<Self, String> {
        let mut scrubber = Scrubber::default();
        let secret = match &keystone.credentials {
            KeystoneCredentials::Password { password, .. } => password,
            KeystoneCredentials::ApplicationCredential { secret, .. } => secret,
        };
        scrubber.add(secret.expose());
        let body = request_body(&keystone.credentials).to_string();
        Ok(Self {
            body: (HeaderValue::from_static("application/json"), body.into()),
            frame: Frame::new(&keystone.url, &[], &[])?,
            transport: Transport::new(&keystone.url, &keystone.tls, limits)?,
            scrubber,
        })
    }

    async fn grant(&self, clearance: &Clearance) -> Result<Granted, AuthFailure> {
        let call = Particulars {
            method: &Method::POST,
            path_and_query: "/auth/tokens",
            headers: &[],
            body: Some(&self.body),
        };
        let request = self
            .frame
            .request(call, &Credentials::default())
            .map_err(|detail| AuthFailure::unauthorized(detail, None))?;
        let answer = self
            .transport
            .send(request, clearance)
            .await
            .map_err(|failure| login_failure(failure, "Keystone"))?;
        self.read(&answer)
    }

    fn read(&self, answer: &Answer) -> Result<Granted, AuthFailure> {
        let refused = |why: &str| {
            let detail = format!("Keystone answered {} and {why}", answer.status);
            AuthFailure::unauthorized(detail, Some(answer.status))
        };
        let text = text_of(answer);
        let body: Option<Value> = serde_json::from_str(&text).ok();
        if answer.status != 201 {
            let message = body
                .as_ref()
                .and_then(|body| body.pointer("/error/message")?.as_str())
                .unwrap_or(&text);
            let quoted = self.scrubber.clean(message);
            return Err(refused(&format!("gave no token: {}", excerpt(&quoted))));
        }
        let token = answer
            .headers
            .get(X_SUBJECT_TOKEN)
            .and_then(|token| token.to_str().ok())
            .filter(|token| !token.is_empty())
            .ok_or_else(|| refused("gave no X-Subject-Token"))?;
        Ok(Granted {
            credentials: credentials(token).map_err(|why| refused(&why))?,
            tokens: vec![token.to_owned()],
            life: body.as_ref().and_then(life_of),
        })
    }
}

/// What calls carry of a token.
pub(super) fn credentials(token: &str) -> Result<Credentials, String> {
    let header = secret_header(&X_AUTH_TOKEN, token)?;
    let mut credentials = Credentials::default();
    credentials.headers.push((X_AUTH_TOKEN, header));
    Ok(credentials)
}

/// From `issued_at` to `expires_at`: by Keystone's clock alone, whatever ours says.
fn life_of(body: &Value) -> Option<Duration> {
    let at = |field: &str| {
        let text = body.get("token")?.get(field)?.as_str()?;
        OffsetDateTime::parse(text, &Rfc3339).ok()
    };
    let expires = at("expires_at")?;
    let issued = at("issued_at").unwrap_or_else(OffsetDateTime::now_utc);
    Duration::try_from(expires - issued).ok()
}

fn request_body(credentials: &KeystoneCredentials) -> Value {
    match credentials {
        KeystoneCredentials::Password {
            user,
            user_domain,
            password,
            project,
            project_domain,
        } => json!({
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": user,
                            "domain": { "name": user_domain },
                            "password": password.expose(),
                        }
                    }
                },
                "scope": {
                    "project": { "name": project, "domain": { "name": project_domain } }
                }
            }
        }),
        // An application credential carries its scope; naming one is an error.
        KeystoneCredentials::ApplicationCredential { id, secret } => json!({
            "auth": {
                "identity": {
                    "methods": ["application_credential"],
                    "application_credential": { "id": id, "secret": secret.expose() }
                }
            }
        }),
    }
}

impl token::Grant for Grant {
    fn log_in<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Result<Granted, AuthFailure>> {
        Box::pin(self.grant(clearance))
    }

    fn whom(&self) -> String {
        let url = self.transport.url();
        format!("Keystone at {}:{}", url.host, url.port)
    }

    fn timeout(&self) -> Duration {
        self.transport.limits().timeout
    }

    fn refuses(&self, answer: &Answer) -> bool {
        answer.status == 401
    }

    fn resends(&self) -> bool {
        true
    }

    /// Tokens are left to expire: revoking one invalidates others of the same user in some releases.
    fn log_out<'a>(
        &'a self,
        _credentials: &'a Credentials,
        _clearance: &'a Clearance,
    ) -> Async<'a, Result<(), Failure>> {
        Box::pin(async {
            self.transport.close();
            Ok(())
        })
    }

    fn conceal(&self, scrubber: &mut Scrubber) {
        scrubber.join(&self.scrubber);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_life_is_read_by_keystones_own_clock() {
        let body = json!({ "token": {
            "issued_at": "2015-11-07T01:58:43.578929Z",
            "expires_at": "2015-11-07T02:58:43.578887Z",
        }});
        assert_eq!(life_of(&body).unwrap().as_secs(), 3599);
        assert_eq!(life_of(&json!({ "token": {} })), None);
    }
}
