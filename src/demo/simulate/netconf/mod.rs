//! A simulated NETCONF server (RFC 6241, RFC 6242) with the interfaces of RFC 8343.
//!
//! It has running and candidate, locks, subtree filters and the errors of RFC 6241, appendix A; no
//! other module, no notifications, no access control. [`data`] is the model and its edits, [`rpc`] the
//! operations, [`filter`] what a reader asked for; this file is the session around them.

mod data;
mod error;
mod filter;
mod rpc;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use roxmltree::Document;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::data::Interfaces;
use self::error::RpcError;
use super::kept;
use crate::driver::netconf::framing::{Decoder, Framing, encode};

const BASE: &str = "urn:ietf:params:xml:ns:netconf:base:1.0";
const BASE_1_1: &str = "urn:ietf:params:netconf:base:1.1";

const CAPABILITIES: [&str; 7] = [
    "urn:ietf:params:netconf:base:1.0",
    BASE_1_1,
    "urn:ietf:params:netconf:capability:candidate:1.0",
    "urn:ietf:params:netconf:capability:writable-running:1.0",
    "urn:ietf:params:netconf:capability:rollback-on-error:1.0",
    "urn:ietf:params:netconf:capability:validate:1.1",
    "urn:ietf:params:xml:ns:yang:ietf-interfaces?module=ietf-interfaces&amp;revision=2018-02-20",
];

/// Bytes of a message.
const LARGEST_MESSAGE: usize = 1024 * 1024;

/// The one server, whose sessions share its datastores.
#[derive(Debug)]
pub(super) struct Server {
    stores: Mutex<Stores>,
    sessions: AtomicU32,
    heard: Mutex<Vec<String>>,
    file: Option<PathBuf>,
}

/// Both datastores, and who has locked which.
#[derive(Debug)]
struct Stores {
    running: Store,
    candidate: Store,
}

#[derive(Debug, Default)]
struct Store {
    held: Interfaces,
    /// The session that holds the lock.
    lock: Option<u32>,
}

impl Server {
    /// Opens a server with what its file holds for running.
    pub(super) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        let held: Interfaces = kept::read(file.as_ref())?.unwrap_or_default();
        let store = |held| Store { held, lock: None };
        Ok(Self {
            stores: Mutex::new(Stores {
                running: store(held.clone()),
                candidate: store(held),
            }),
            sessions: AtomicU32::new(0),
            heard: Mutex::default(),
            file,
        })
    }

    /// The messages that came so far, of all sessions, hellos left out.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("a push does not panic").clone()
    }

    fn stores(&self) -> MutexGuard<'_, Stores> {
        self.stores.lock().expect("no operation panics")
    }

    /// Answers an `<rpc>`: the reply, and whether it ends the session.
    fn answer(&self, session: u32, message: &str) -> io::Result<(String, bool)> {
        let mut heard = self.heard.lock().expect("a push does not panic");
        heard.push(message.to_owned());
        drop(heard);
        let Ok(document) = Document::parse(message) else {
            return Ok((reply("", &RpcError::malformed().to_xml()), false));
        };
        let request = document.root_element();
        // All of them come back, whatever they are (RFC 6241, section 4.1).
        let attributes: String = request
            .attributes()
            .filter(|attribute| attribute.namespace().is_none())
            .map(|attribute| format!(" {}=\"{}\"", attribute.name(), escaped(attribute.value())))
            .collect();
        let mut stores = self.stores();
        let before = stores.running.held.clone();
        let done = rpc::run(&mut stores, session, request);
        if let Some(file) = &self.file
            && stores.running.held != before
        {
            kept::write(file, &stores.running.held)?;
        }
        let (inside, ends) = match done {
            Ok(rpc::Done::Ok) => ("<ok/>".to_owned(), false),
            Ok(rpc::Done::Data(data)) => (format!("<data>{data}</data>"), false),
            Ok(rpc::Done::Close) => ("<ok/>".to_owned(), true),
            Err(error) => (error.to_xml(), false),
        };
        Ok((reply(&attributes, &inside), ends))
    }

    /// What a session leaves when it ends: no lock, and nothing in the candidate that it had locked
    /// (section 8.3.5.2).
    fn forget(&self, session: u32) {
        let mut stores = self.stores();
        if stores.candidate.lock == Some(session) {
            stores.candidate.held = stores.running.held.clone();
            stores.candidate.lock = None;
        }
        if stores.running.lock == Some(session) {
            stores.running.lock = None;
        }
    }
}

/// Serves one session on a channel, to its `close-session` or its end.
pub(super) async fn converse<S>(stream: S, server: &Server) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let session = server.sessions.fetch_add(1, Ordering::Relaxed) + 1;
    let ended = serve(stream, server, session).await;
    server.forget(session);
    ended
}

async fn serve<S>(mut stream: S, server: &Server, session: u32) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = encode(Framing::EndOfMessage, hello(session).as_bytes());
    stream.write_all(&hello.map_err(io::Error::other)?).await?;
    stream.flush().await?;

    let mut decoder = Decoder::new(LARGEST_MESSAGE);
    // Until their hello has come.
    let mut framing = None;
    let mut some = vec![0; 16 * 1024];
    loop {
        let length = stream.read(&mut some).await?;
        if length == 0 {
            return Ok(());
        }
        let mut bytes = &some[..length];
        while !bytes.is_empty() {
            // What cannot be framed ends the session (RFC 6242, section 4.2).
            let (taken, message) = decoder.take(bytes).map_err(io::Error::other)?;
            bytes = &bytes[taken..];
            let Some(message) = message else { continue };
            let message = String::from_utf8(message).map_err(io::Error::other)?;
            let message = message.trim_start_matches('\u{feff}').trim();
            let Some(framing) = framing else {
                let chosen = greeted(message)?;
                decoder.switch(chosen, LARGEST_MESSAGE);
                framing = Some(chosen);
                continue;
            };
            let (reply, ends) = server.answer(session, message)?;
            let reply = encode(framing, reply.as_bytes()).map_err(io::Error::other)?;
            stream.write_all(&reply).await?;
            stream.flush().await?;
            if ends {
                return Ok(());
            }
        }
    }
}

fn hello(session: u32) -> String {
    let capabilities: String = CAPABILITIES
        .iter()
        .map(|capability| format!("<capability>{capability}</capability>"))
        .collect();
    format!(
        "<hello xmlns=\"{BASE}\"><capabilities>{capabilities}</capabilities>\
         <session-id>{session}</session-id></hello>"
    )
}

/// The framing behind the client's hello: chunks where it can do them (RFC 6242, section 4.1).
fn greeted(message: &str) -> io::Result<Framing> {
    let document = Document::parse(message).map_err(io::Error::other)?;
    if !document.root_element().has_tag_name((BASE, "hello")) {
        return Err(io::Error::other("the first message is no hello"));
    }
    let chunks = document
        .descendants()
        .filter(|node| node.has_tag_name((BASE, "capability")))
        .any(|node| node.text().is_some_and(|text| text.trim() == BASE_1_1));
    Ok(match chunks {
        true => Framing::Chunked,
        false => Framing::EndOfMessage,
    })
}

fn reply(attributes: &str, inside: &str) -> String {
    format!("<rpc-reply xmlns=\"{BASE}\"{attributes}>{inside}</rpc-reply>")
}

/// Text inside an element or a quoted attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
