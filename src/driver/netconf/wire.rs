//! The bytes of a session: messages out, messages in, over any stream.
//!
//! Whatever is written is written while reading: a device that talks before it listens, or that stops
//! listening until it has been heard, cannot make both sides wait for each other.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::framing::{Decoder, Framing, FramingError, encode};

/// A read takes at most this much at once.
const PIECE: usize = 16 * 1024;

/// A stream, and what of it has been read and is no message yet.
#[derive(Debug)]
pub(super) struct Wire<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    decoder: Decoder,
    framing: Framing,
    /// Read, and not yet decoded.
    inbox: BytesMut,
    /// What may wait in `inbox` while we write.
    limit: usize,
    /// Bytes that the stream has taken.
    pub(super) handed: u64,
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the device closed the session")]
    Closed,
    #[error("the connection was lost ({0})")]
    Lost(#[from] io::Error),
    #[error("the device's message cannot be read: {0}")]
    Framing(#[from] FramingError),
    #[error("the device's message is not UTF-8")]
    NotUtf8,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Before the hellos: end-of-message framing, and messages up to `limit` bytes.
    pub(super) fn new(stream: S, limit: usize) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            decoder: Decoder::new(limit),
            framing: Framing::EndOfMessage,
            inbox: BytesMut::new(),
            limit,
            handed: 0,
        }
    }

    /// Behind the hellos.
    pub(super) fn switch(&mut self, framing: Framing, limit: usize) {
        self.decoder.switch(framing, limit);
        self.framing = framing;
        self.limit = limit;
    }

    /// The framing of what is written.
    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn into_stream(self) -> S {
        self.reader.unsplit(self.writer)
    }

    /// The message's bytes on this wire; the error says what of it cannot be framed.
    pub(super) fn frame(&self, message: &str) -> Result<Vec<u8>, FramingError> {
        encode(self.framing, message.as_bytes())
    }

    /// Writes a frame whole. Dropped before its end, it leaves half a frame, and the session is over.
    pub(super) async fn write(&mut self, frame: &[u8]) -> Result<(), Broken> {
        let mut left = frame;
        // One that has stopped talking may listen still.
        let mut talks = true;
        while !left.is_empty() {
            let listens = talks && self.inbox.len() < self.limit;
            tokio::select! {
                biased;
                taken = self.writer.write(left) => {
                    let taken = taken?;
                    if taken == 0 {
                        return Err(Broken::Closed);
                    }
                    self.handed += taken as u64;
                    left = &left[taken..];
                }
                read = read_piece(&mut self.reader, &mut self.inbox), if listens => {
                    talks = read? > 0;
                }
            }
        }
        self.writer.flush().await?;
        Ok(())
    }

    /// Waits until something of a message is there.
    pub(super) async fn first_byte(&mut self) -> Result<(), Broken> {
        if self.inbox.is_empty() && !self.decoder.within_message() {
            self.read().await?;
        }
        Ok(())
    }

    /// The next message. It may be dropped and asked for again: nothing is lost.
    pub(super) async fn message(&mut self) -> Result<String, Broken> {
        loop {
            if !self.inbox.is_empty() {
                let (taken, message) = self.decoder.take(&self.inbox)?;
                self.inbox.advance(taken);
                if let Some(message) = message {
                    return String::from_utf8(message).map_err(|_| Broken::NotUtf8);
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Broken> {
        match read_piece(&mut self.reader, &mut self.inbox).await? {
            0 => Err(Broken::Closed),
            _ => Ok(()),
        }
    }
}

async fn read_piece<S: AsyncRead>(
    reader: &mut ReadHalf<S>,
    inbox: &mut BytesMut,
) -> io::Result<usize> {
    inbox.reserve(PIECE);
    reader.read_buf(inbox).await
}
