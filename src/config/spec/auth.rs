//! How calls to a backend authenticate, as written.

use super::backend::TlsSpec;
use super::choice::Nothing;
use super::decode::{At, Decode, Entries, TimeSpan};
use super::part::{METHOD_AND_PATH, OneOrMany, Part, Written};
use super::secret::{SecretRef, SecretValue};
use crate::diagnostics::Diagnostics;
use crate::document::{Kind, Node};

crate::choice! {
    /// How calls to a backend authenticate.
    AuthSpec as "an authentication" {
        /// They do not.
        None = "none" (Nothing),
        /// HTTP Basic (RFC 7617).
        Basic = "basic" (BasicSpec),
        /// `Authorization: Bearer` with this secret (RFC 6750).
        Bearer = "bearer" (SecretRef),
        /// Headers by name, each with a secret, or with a text that `$json` and `$base64` build around secrets.
        Headers = "headers" (Entries<Part<SecretValue>>),
        /// Query parameters by name, each with a secret.
        Query = "query" (Entries<Part<SecretRef>>),
        /// The certificate of `tls.client_cert` is all there is.
        ClientCertificate = "client_certificate" (Nothing),
        /// A token of OpenStack Identity v3 in `X-Auth-Token`.
        Keystone = "keystone" (Box<KeystoneSpec>),
        /// A request that gives tokens, and how calls carry them.
        Login = "login" (Box<LoginSpec>),
    }
}

crate::spec! {
    /// HTTP Basic.
    BasicSpec as "basic authentication" {
        /// The user.
        user: Written,
        /// The password.
        password: SecretRef,
    }
}

crate::spec! {
    /// A token of OpenStack Identity v3: a user's password or an application credential.
    KeystoneSpec as "keystone authentication" {
        /// Where Keystone is, with `/v3`.
        #[schemars(required)]
        url: Option<Part<Written>>,
        /// The user.
        user: Option<Part<Written>>,
        /// The user's password.
        password: Option<Part<SecretRef>>,
        /// The user's domain. Default: `Default`.
        user_domain: Option<Part<Written>>,
        /// The project that the token is for.
        project: Option<Part<Written>>,
        /// The project's domain. Default: `Default`.
        project_domain: Option<Part<Written>>,
        /// Instead of user, password and project.
        application_credential: Option<Part<ApplicationCredentialSpec>>,
        /// TLS towards Keystone. Default: the backend's, without its `server_name`, its pins and
        /// `verify: false`.
        tls: Option<Part<At<TlsSpec>>>,
    }
}

crate::spec! {
    /// An application credential.
    ApplicationCredentialSpec as "an application credential" {
        /// Its id.
        id: Written,
        /// Its secret.
        secret: SecretRef,
    }
}

crate::spec! {
    /// A login: one at a time per backend, shared by all calls, renewed before it expires.
    LoginSpec as "a login" {
        /// Method and path below the backend's URL, such as `POST /login`.
        #[schemars(required, extend("pattern" = METHOD_AND_PATH))]
        http: Option<Part<Written>>,
        /// Headers of the login.
        headers: Option<Part<Entries<Written>>>,
        /// A JSON body; a secret in it is `{ $env: NAME }` or `{ $file: PATH }`, and `$json` and `$base64` make texts of what is below them.
        body: Option<Part<Node>>,
        /// A form instead of a body; a secret in it is `{ $env: NAME }` or `{ $file: PATH }`.
        form: Option<Part<Entries<Node>>>,
        /// A condition; a missing token is a failure in any case. Default: any 2xx.
        #[schemars(extend("x-holds" = "condition"))]
        success_when: Option<Part<Node>>,
        /// How many redirects (0 to 5) the login follows, to the backend itself alone, with the cookies that were set on the
        /// way; calls follow none. Default: 0.
        #[schemars(range(max = 5))]
        follow_redirects: Option<Part<At<u32>>>,
        /// By name: a JSONPath into the answer, `{ cookie: NAME }` or `{ header: NAME }`.
        #[schemars(required)]
        tokens: Option<Part<Entries<Part<TokenSpec>>>>,
        /// When the tokens end. Default: when an answer says so.
        expires: Option<Part<ExpiresSpec>>,
        /// How calls carry the tokens.
        #[schemars(required)]
        send: Option<Part<Vec<Part<SendSpec>>>>,
        /// A condition on a call's answer that means "log in again", or several of which one must hold. Default: status 401.
        #[schemars(extend("x-holds" = "condition"))]
        expired_when: Option<Part<OneOrMany<Node>>>,
        /// Method and path, such as `POST /logout`, that end the session, at shutdown and when a reload replaces the login.
        logout: Option<Part<Written>>,
        /// `renew`: log in again and send the refused call once more. `fail`: do not. Default: `renew`.
        on_unauthorized: Option<Part<UnauthorizedSpec>>,
    }
}

crate::words! {
    /// What a refused call leads to.
    UnauthorizedSpec as "a rule for refused calls" {
        Renew = "renew",
        Fail = "fail",
    }
}

crate::choice! {
    /// When the tokens of a login end.
    ExpiresSpec as "an expiry" {
        /// So long after the login.
        After = "after" (TimeSpan),
        /// At the time that this JSONPath finds: RFC 3339, or seconds since the epoch.
        At = "at" (Written),
        /// After the seconds that this JSONPath finds.
        In = "in" (Written),
    }
}

crate::choice! {
    /// Where else than in the body a token is.
    TokenPlaceSpec as "a token's source" {
        /// The cookie of this name.
        Cookie = "cookie" (Written),
        /// The header of this name.
        Header = "header" (Written),
    }
}

/// Where a token is found in the answer to a login.
#[derive(Clone, Debug)]
pub enum TokenSpec {
    /// A JSONPath.
    Body(Written),
    Elsewhere(TokenPlaceSpec),
}

impl Decode for TokenSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => TokenPlaceSpec::decode(node, diags).map(Self::Elsewhere),
            _ => Written::decode(node, diags).map(Self::Body),
        }
    }
}

impl schemars::JsonSchema for TokenSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TokenSource".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let place = generator.subschema_for::<TokenPlaceSpec>();
        schemars::json_schema!({
            "if": { "type": "string" },
            "then": { "pattern": "^\\$" },
            "else": place,
        })
    }
}

crate::spec! {
    /// How calls carry a token: a cookie or a header.
    SendSpec as "a token's carrier" {
        /// The name of the cookie.
        cookie: Option<Written>,
        /// The name of the header.
        header: Option<Written>,
        /// What it holds, such as `"Bearer {{ tokens.access }}"`.
        #[schemars(extend("x-stage" = "tokens"))]
        value: Written,
    }
}
