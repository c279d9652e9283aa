//! The `https` driver against real sockets: exactly one call, what "sent" means, TLS of every age,
//! and credentials that are shared, renewed and backed off.

mod auth;
mod backends;
mod once;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cmp_relay::clock::Boottime;
use cmp_relay::driver::https::HttpsDriver;
use cmp_relay::driver::{Answer, Clearance, Driver, DriverError, HttpRequest, RenderedCall};
use cmp_relay::plan::{Auth, BackendLimits, BackendTls, BaseUrl, HttpsDriver as Spec};
use cmp_relay::secret::Secret;
use http::{HeaderValue, Method};

use crate::support::fake_backend::FakeBackend;

/// Limits that no test runs into by itself.
fn limits() -> BackendLimits {
    BackendLimits {
        concurrency: 64,
        queue: 64,
        connect_timeout: Duration::from_secs(10),
        first_byte_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(20),
        idle_reuse: Duration::from_secs(4),
        response_body: 64 * 1024,
    }
}

fn base_url(https: bool, port: u16) -> BaseUrl {
    BaseUrl {
        https,
        host: "127.0.0.1".into(),
        port,
        path: "".into(),
    }
}

fn spec(backend: &FakeBackend, auth: Auth) -> Spec {
    Spec {
        url: base_url(backend.url().starts_with("https"), backend.port()),
        headers: Vec::new(),
        query: Vec::new(),
        auths: vec![("auth".into(), auth)],
        tls: BackendTls::default(),
        profile: None,
    }
}

fn driver(backend: &FakeBackend, auth: Auth) -> Arc<HttpsDriver> {
    Arc::new(HttpsDriver::new(&spec(backend, auth), &limits()).expect("the driver can be made"))
}

fn secret(value: &str) -> Secret {
    Secret::new(value.to_owned(), "env TEST_SECRET")
}

fn clearance(mutating: bool) -> Clearance {
    Clearance {
        deadline: Boottime::now() + Duration::from_secs(20),
        mutating,
        gate: Arc::new(|| true),
    }
}

fn call(method: Method, path: &str) -> RenderedCall {
    let body = (method == Method::POST).then(|| {
        (
            HeaderValue::from_static("application/json"),
            Bytes::from_static(b"{\"name\":\"x\"}"),
        )
    });
    RenderedCall::Http(HttpRequest {
        method,
        path_and_query: path.to_owned(),
        headers: Vec::new(),
        body,
        auth: None,
    })
}

async fn get(driver: &HttpsDriver, path: &str) -> Result<Answer, DriverError> {
    driver
        .send(&call(Method::GET, path), &clearance(false))
        .await
}

async fn post(driver: &HttpsDriver, path: &str) -> Result<Answer, DriverError> {
    driver
        .send(&call(Method::POST, path), &clearance(true))
        .await
}
