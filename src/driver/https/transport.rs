//! The way to one host: HTTP/1.1 connections over which a request goes exactly once.
//!
//! There is no redirect, no retry, no proxy and no second protocol in here, so that one call stays
//! one call. A connection is owned by the request that uses it and driven by that request's own
//! task: a dropped request closes it, and no half-used connection ever returns to the pool.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::body;
use super::pool::{Conn, Pool};
use super::stream::{Opened, open};
use super::tls::{self, TlsClient};
use crate::driver::{Answer, Clearance, Found, Phase, Refusal, SendOutcome};
use crate::plan::{BackendLimits, BackendTls, BaseUrl};

/// Where requests go and what they may cost.
pub(super) struct Transport {
    url: BaseUrl,
    tls: Option<TlsClient>,
    limits: BackendLimits,
    pool: Arc<Pool>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer to one sending of a request.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    /// `Unauthorized` where TLS refused our certificate only after the request was on its way.
    pub(super) outcome: SendOutcome,
    /// The backend may have heard the request.
    pub(super) sent: bool,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn refused(refusal: Refusal) -> Self {
        let detail = match refusal {
            Refusal::Gate => "this node is not the active one",
            Refusal::Deadline => "the deadline had passed before anything was sent",
        };
        Self {
            phase: Phase::Send,
            outcome: SendOutcome::Refused(refusal),
            sent: false,
            detail: detail.to_owned(),
        }
    }
}

impl Transport {
    pub(super) fn new(
        url: &BaseUrl,
        tls: &BackendTls,
        limits: &BackendLimits,
    ) -> Result<Self, String> {
        let tls = if url.https {
            Some(TlsClient::new(tls, &url.host)?)
        } else {
            None
        };
        Ok(Self {
            url: url.clone(),
            tls,
            limits: limits.clone(),
            pool: Arc::new(Pool::new(limits.concurrency)),
        })
    }

    pub(super) fn url(&self) -> &BaseUrl {
        &self.url
    }

    pub(super) fn limits(&self) -> &BackendLimits {
        &self.limits
    }

    /// Sends `request` once and reads its answer.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        clearance: &Clearance,
    ) -> Result<Answer, Failure> {
        let left = clearance.check().map_err(Failure::refused)?;
        let deadline = Instant::now() + left;
        let pooled = self.pool.take(clearance.mutating, self.limits.idle_reuse);
        let mut conn = match pooled {
            Some(conn) => conn,
            None => {
                let conn = self.connect(deadline).await?;
                // Connecting took its time: leave to send is asked again, right before the bytes.
                clearance.check().map_err(Failure::refused)?;
                conn
            }
        };
        let (mut answer, clean) = self.exchange(&mut conn, request, deadline).await?;
        if clean && conn.settle().await {
            self.pool.put(conn);
        }
        body::decode(&mut answer, self.limits.response_body);
        Ok(answer)
    }

    /// Forgets the idle connections; those in use close when their request ends.
    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// Makes a connection, says what it found, and lets it go.
    pub(super) async fn probe(&self, clearance: &Clearance) -> Result<Vec<Found>, Failure> {
        let left = clearance.check().map_err(Failure::refused)?;
        let opened = self.open(Instant::now() + left).await?;
        let mut found = Vec::new();
        if let Ok(peer) = opened.probe.peer_addr() {
            let phase = Phase::Connect;
            let what = format!("{peer} takes connections");
            found.push(Found { phase, what });
        }
        if let Some(what) = opened.stream.tls().map(tls::describe) {
            let phase = Phase::Tls;
            found.push(Found { phase, what });
        }
        Ok(found)
    }

    async fn connect(&self, deadline: Instant) -> Result<Box<Conn>, Failure> {
        let opened = self.open(deadline).await?;
        Conn::new(opened, &self.pool)
            .await
            .map_err(|error| unopened(Phase::Connect, error.to_string()))
    }

    async fn open(&self, deadline: Instant) -> Result<Opened, Failure> {
        let by = deadline.min(Instant::now() + self.limits.connect_timeout);
        open(&self.url, self.tls.as_ref(), by)
            .await
            .map_err(|error| unopened(error.phase, error.detail))
    }

    /// One request and its answer over `conn`; the flag says that the answer was read to its end.
    async fn exchange(
        &self,
        conn: &mut Conn,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<(Answer, bool), Failure> {
        conn.sent.store(false, Ordering::Relaxed);
        let first_byte = deadline.min(Instant::now() + self.limits.first_byte_timeout);
        let mut timer = pin!(sleep_until(first_byte));
        let response = {
            let mut response = pin!(conn.send.send_request(request));
            let driver = &mut conn.driver;
            poll_fn(|cx| {
                driver.advance(cx);
                if let Poll::Ready(answered) = response.as_mut().poll(cx) {
                    return Poll::Ready(Some(answered));
                }
                timer.as_mut().poll(cx).map(|()| None)
            })
            .await
        };
        let sent = conn.sent.load(Ordering::Relaxed);
        let response: Response<Incoming> = match response {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(broken(&error, sent)),
            None => return Err(silence(sent, first_byte < deadline)),
        };
        timer.as_mut().reset(deadline);
        let (head, incoming) = response.into_parts();
        let read = body::read(
            incoming,
            &mut conn.driver,
            self.limits.response_body,
            timer.as_mut(),
        )
        .await;
        let clean = read.error.is_none();
        let answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: read.bytes,
            body_error: read.error,
            sends: 1,
            ..Answer::default()
        };
        Ok((answer, clean))
    }
}

/// A connection that was not made.
fn unopened(phase: Phase, detail: String) -> Failure {
    Failure {
        phase,
        outcome: SendOutcome::NotSent,
        sent: false,
        detail,
    }
}

/// What a connection that broke before the head of an answer means.
fn broken(error: &hyper::Error, sent: bool) -> Failure {
    let causes = causes(error);
    let outcome = if sent {
        SendOutcome::Unknown
    } else {
        SendOutcome::NotSent
    };
    // In TLS 1.3 a server looks at our certificate when we may already be sending: it ran nothing.
    if tls::refuses_certificate(&causes) {
        return Failure {
            phase: Phase::Tls,
            outcome: if sent {
                SendOutcome::Unauthorized
            } else {
                outcome
            },
            sent,
            detail: format!(
                "the backend wants another client certificate, see `tls.client_cert` ({causes})"
            ),
        };
    }
    let (phase, what) = if !sent {
        (Phase::Send, "the connection was lost before the first byte")
    } else if error.is_parse() {
        (Phase::Read, "the answer cannot be read as HTTP/1.1")
    } else {
        (Phase::Wait, "the connection was lost before an answer came")
    };
    Failure {
        phase,
        outcome,
        sent,
        detail: format!("{what} ({causes})"),
    }
}

/// An error and what it came from.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn silence(sent: bool, first_byte: bool) -> Failure {
    if !sent {
        return Failure {
            phase: Phase::Send,
            outcome: SendOutcome::NotSent,
            sent: false,
            detail: "the socket took no byte in time".to_owned(),
        };
    }
    let detail = if first_byte {
        "no answer began within `first_byte_timeout`"
    } else {
        "no answer came before the deadline"
    };
    Failure {
        phase: Phase::Wait,
        outcome: SendOutcome::Unknown,
        sent: true,
        detail: detail.to_owned(),
    }
}
