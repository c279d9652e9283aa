//! Somebody else's session with a device: requests as they are given, in end-of-message framing, without
//! locks, without tidying up.

use std::sync::Arc;
use std::time::Duration;

use cmp_relay::driver::netconf::framing::{Decoder, Framing, encode};
use cmp_relay::driver::ssh::connections::{Connections, Stream};
use cmp_relay::plan::{BackendLimits, SshAccess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// A session. Dropped, it is lost rather than closed.
pub(super) struct Plain {
    pub(super) session_id: String,
    stream: Stream,
    decoder: Decoder,
    _connections: Connections,
}

impl Plain {
    pub(super) async fn open(access: &Arc<SshAccess>, limits: &BackendLimits) -> Self {
        let connections = Connections::new(access, limits).unwrap();
        let stream = connections.subsystem("netconf", &super::leave(|| ())).await;
        let mut plain = Self {
            session_id: String::new(),
            stream: stream.unwrap(),
            decoder: Decoder::new(1 << 20),
            _connections: connections,
        };
        let hello = plain
            .exchange(
                "<hello xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\"><capabilities>\
                 <capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>",
            )
            .await;
        let id = hello.split("<session-id>").nth(1).unwrap();
        plain.session_id = id.split('<').next().unwrap().to_owned();
        plain
    }

    /// An operation's reply.
    pub(super) async fn ask(&mut self, operation: &str) -> String {
        let rpc = format!(
            "<rpc xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\" message-id=\"1\">{operation}</rpc>"
        );
        self.exchange(&rpc).await
    }

    /// An operation that must be done.
    pub(super) async fn must(&mut self, operation: &str) {
        let reply = self.ask(operation).await;
        assert!(reply.contains("<ok/>"), "{operation}: {reply}");
    }

    async fn exchange(&mut self, message: &str) -> String {
        let frame = encode(Framing::EndOfMessage, message.as_bytes()).unwrap();
        self.stream.write_all(&frame).await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = timeout(Duration::from_secs(30), self.stream.read(&mut buffer));
            let read = read.await.expect("the device answers").unwrap();
            assert_ne!(read, 0, "the device closed the session");
            let (taken, message) = self.decoder.take(&buffer[..read]).unwrap();
            if let Some(message) = message {
                assert_eq!(taken, read, "one answer to one request");
                return String::from_utf8(message).unwrap();
            }
        }
    }
}
