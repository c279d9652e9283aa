//! A call as its bytes, and nothing sent: what `explain` shows.
//!
//! The request is made by the [`Frame`] that makes the one that is sent, and written by a connection
//! of the same [`protocol`], onto paper instead of a socket. So whatever hyper adds to a request is
//! in it. Only the credentials are others: each secret is `***`, and nobody is asked for a token.

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::auth;
use super::pool::protocol;
use super::request::{Frame, Particulars};
use crate::driver::HttpRequest;
use crate::plan::HttpsDriver;

/// A request as a backend would hear it, with `***` for each secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    pub method: String,
    /// Where it goes: scheme, host, the port where it is not the scheme's own, path and query.
    pub url: String,
    /// In the order in which they are sent.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// All of it, from the request line to the last byte of the body.
    pub bytes: Bytes,
}

/// The request that the driver of this backend would send for a call; the error names what cannot
/// stand in one.
pub fn of(driver: &HttpsDriver, call: &HttpRequest) -> Result<Wire, String> {
    let auth = match call.auth.as_deref() {
        None => driver.auths.first(),
        Some(name) => driver.auths.iter().find(|(known, _)| **known == *name),
    };
    let (_, auth) = auth.ok_or_else(|| {
        let name = call.auth.as_deref().unwrap_or("auth");
        format!("this backend has no auth `{name}`")
    })?;
    let frame = Frame::new(&driver.url, &driver.headers, &driver.query)?;
    let request = frame.request(Particulars::of(call), &auth::masked(auth)?)?;
    let bytes = written(request)?;
    read(driver, bytes).ok_or_else(|| "the request was not written whole".to_owned())
}

/// Lets hyper write the request.
fn written(request: Request<Full<Bytes>>) -> Result<Bytes, String> {
    let paper = Paper::default();
    let mut cx = Context::from_waker(Waker::noop());
    let failed = |error: hyper::Error| error.to_string();
    let Poll::Ready(joined) = pin!(protocol().handshake(paper.clone())).poll(&mut cx) else {
        return Err("the connection was not made".to_owned());
    };
    let (mut send, connection) = joined.map_err(failed)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(send.send_request(request));
    // Paper takes every byte at once and never answers; a round that writes nothing is the last one.
    loop {
        let before = paper.length();
        let ended = connection.as_mut().poll(&mut cx);
        if let Poll::Ready(Err(error)) = answer.as_mut().poll(&mut cx) {
            return Err(failed(error));
        }
        if ended.is_ready() || paper.length() == before {
            return Ok(paper.take());
        }
    }
}

fn read(driver: &HttpsDriver, bytes: Bytes) -> Option<Wire> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next()?.split(' ');
    let (method, target) = (request_line.next()?, request_line.next()?);
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").or(line.split_once(':'))?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Wire {
        method: method.to_owned(),
        url: format!("{}{target}", driver.url.origin()),
        headers,
        body: bytes.slice(end + 4..),
        bytes,
    })
}

/// What is written to, and says nothing.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn length(&self) -> usize {
        self.with(|bytes| bytes.len())
    }

    fn take(&self) -> Bytes {
        self.with(|bytes| std::mem::take(bytes).into())
    }
}

impl Write for Paper {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|all| all.extend_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Read for Paper {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}
