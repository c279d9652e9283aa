//! Where one NETCONF message ends and the next begins (RFC 6242, section 4): end-of-message and chunks.
//!
//! The decoder is a state machine that counts bytes, never characters, and takes them in whatever
//! pieces they arrive. It knows no XML and uses the standard library alone, so that the fuzzer builds
//! this file by itself. What it refuses cannot be resumed: the session has to end (section 4.2).

use std::fmt;

/// What ends a message of framing 1.0, and every hello.
pub const END_OF_MESSAGE: &[u8] = b"]]>]]>";

/// The largest chunk of RFC 6242, section 4.2: ten digits, and no more than this.
const LARGEST_CHUNK: u64 = 4_294_967_295;

/// The chunks that we write: one for all but the largest messages.
const OUR_CHUNK: usize = 1024 * 1024;

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `base:1.0`: `]]>]]>` behind each message.
    EndOfMessage,
    /// `base:1.1`: chunks that say their length, and an end of chunks.
    Chunked,
}

impl Framing {
    /// As an operator reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndOfMessage => "end-of-message framing (1.0)",
            Self::Chunked => "chunked framing (1.1)",
        }
    }
}

/// Why bytes are no message. The session cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// A byte that cannot stand where it stands: what was expected there.
    Unexpected { byte: u8, expected: &'static str },
    /// A chunk that says it is larger than the specification has them.
    ChunkSize,
    /// More bytes than a message may have.
    TooLarge { limit: usize },
    /// A message that we were to send holds what would end it.
    HoldsDelimiter,
    /// A message that we were to send is empty: there are no empty chunks.
    Empty,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected { byte, expected } => write!(
                f,
                "byte {byte:#04x} stands where {expected} must stand in chunked framing"
            ),
            Self::ChunkSize => write!(
                f,
                "a chunk says that it has more than {LARGEST_CHUNK} bytes"
            ),
            Self::TooLarge { limit } => write!(f, "a message has more than {limit} bytes"),
            Self::HoldsDelimiter => write!(
                f,
                "the message holds `]]>]]>`, which would end it in end-of-message framing"
            ),
            Self::Empty => write!(f, "the message is empty"),
        }
    }
}

impl std::error::Error for FramingError {}

/// Writes a message in a framing. The error names what of the message cannot be framed.
pub fn encode(framing: Framing, message: &[u8]) -> Result<Vec<u8>, FramingError> {
    if message.is_empty() {
        return Err(FramingError::Empty);
    }
    let mut frame = Vec::with_capacity(message.len() + 32);
    match framing {
        Framing::EndOfMessage => {
            // XML allows it in attributes and comments, so well-formedness is no guard. One that straddles
            // the end counts too: the receiver would cut there.
            frame.extend_from_slice(message);
            frame.extend_from_slice(END_OF_MESSAGE);
            let first = frame
                .windows(END_OF_MESSAGE.len())
                .position(|window| window == END_OF_MESSAGE);
            if first != Some(message.len()) {
                return Err(FramingError::HoldsDelimiter);
            }
        }
        Framing::Chunked => {
            for chunk in message.chunks(OUR_CHUNK) {
                frame.extend_from_slice(format!("\n#{}\n", chunk.len()).as_bytes());
                frame.extend_from_slice(chunk);
            }
            frame.extend_from_slice(b"\n##\n");
        }
    }
    Ok(frame)
}

/// Puts messages together from the bytes of a session.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    /// Bytes that a message may have.
    limit: usize,
    message: Vec<u8>,
    state: State,
}

/// Where in a chunked message the next byte stands; end-of-message framing stays in `Start`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Before the first chunk. Line feeds are passed over here: devices send one behind their hello's
    /// `]]>]]>`, and it belongs to no message.
    Start,
    /// Behind a line feed before the first chunk.
    StartLine,
    /// Behind a chunk: the line feed of the next, or of the end.
    Line,
    /// Behind a later chunk's line feed.
    Hash,
    /// Behind `\n#`: a digit, or behind the first chunk the second `#` of the end.
    Size { first: bool },
    /// Behind the first digit.
    Digits { size: u64 },
    /// Within a chunk.
    Data { left: u64 },
    /// Behind `\n##`.
    End,
    /// It was refused, and stays so.
    Refused(FramingError),
}

impl Decoder {
    /// Of a session's first message, which is always in end-of-message framing.
    pub fn new(limit: usize) -> Self {
        Self {
            framing: Framing::EndOfMessage,
            limit,
            message: Vec::new(),
            state: State::Start,
        }
    }

    /// Goes on, between messages, in another framing and with another limit.
    pub fn switch(&mut self, framing: Framing, limit: usize) {
        self.framing = framing;
        self.limit = limit;
    }

    /// Whether bytes of a message have come, and not its end.
    pub fn within_message(&self) -> bool {
        match self.framing {
            Framing::EndOfMessage => !self.message.is_empty(),
            Framing::Chunked => !matches!(self.state, State::Start | State::StartLine),
        }
    }

    /// Takes bytes up to the end of a message: how many it took, and the message if it is complete.
    /// Without one, all were taken.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Vec<u8>>), FramingError> {
        if let State::Refused(error) = &self.state {
            return Err(error.clone());
        }
        let taken = match self.framing {
            Framing::EndOfMessage => self.take_to_delimiter(bytes),
            Framing::Chunked => self.take_chunks(bytes),
        };
        if let Err(error) = &taken {
            self.message = Vec::new();
            self.state = State::Refused(error.clone());
        }
        taken
    }

    fn take_to_delimiter(
        &mut self,
        bytes: &[u8],
    ) -> Result<(usize, Option<Vec<u8>>), FramingError> {
        for (place, byte) in bytes.iter().enumerate() {
            self.message.push(*byte);
            if *byte == b'>' && self.message.ends_with(END_OF_MESSAGE) {
                let length = self.message.len() - END_OF_MESSAGE.len();
                self.message.truncate(length);
                self.refuse_above_limit(length)?;
                return Ok((place + 1, Some(std::mem::take(&mut self.message))));
            }
            // A message of just the limit has its delimiter still to come.
            self.refuse_above_limit(self.message.len().saturating_sub(END_OF_MESSAGE.len()))?;
        }
        Ok((bytes.len(), None))
    }

    fn take_chunks(&mut self, bytes: &[u8]) -> Result<(usize, Option<Vec<u8>>), FramingError> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let State::Data { left } = self.state {
                let rest = &bytes[at..];
                let length = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                self.message.extend_from_slice(&rest[..length]);
                at += length;
                self.state = match left - length as u64 {
                    0 => State::Line,
                    left => State::Data { left },
                };
                continue;
            }
            at += 1;
            if self.state == State::End && byte == b'\n' {
                self.state = State::Start;
                return Ok((at, Some(std::mem::take(&mut self.message))));
            }
            self.state = self.behind(byte)?;
        }
        Ok((at, None))
    }

    /// The state behind a byte that frames.
    fn behind(&self, byte: u8) -> Result<State, FramingError> {
        let digit = u64::from(byte.wrapping_sub(b'0'));
        Ok(match (&self.state, byte) {
            (State::Start | State::StartLine, b'\n') => State::StartLine,
            (State::StartLine, b'#') => State::Size { first: true },
            (State::Line, b'\n') => State::Hash,
            (State::Hash, b'#') => State::Size { first: false },
            (State::Size { .. }, b'1'..=b'9') => State::Digits { size: digit },
            (State::Size { first: false }, b'#') => State::End,
            (State::Digits { size }, b'0'..=b'9') => {
                let size = size * 10 + digit;
                if size > LARGEST_CHUNK {
                    return Err(FramingError::ChunkSize);
                }
                State::Digits { size }
            }
            (State::Digits { size }, b'\n') => {
                // Refused by what it says, before a byte of it is kept.
                let whole = u64::try_from(self.message.len()).map_or(u64::MAX, |had| had + size);
                if usize::try_from(whole).map_or(true, |whole| whole > self.limit) {
                    return Err(FramingError::TooLarge { limit: self.limit });
                }
                State::Data { left: *size }
            }
            (state, byte) => {
                return Err(FramingError::Unexpected {
                    byte,
                    expected: state.expected(),
                });
            }
        })
    }

    fn refuse_above_limit(&self, length: usize) -> Result<(), FramingError> {
        match length > self.limit {
            true => Err(FramingError::TooLarge { limit: self.limit }),
            false => Ok(()),
        }
    }
}

impl State {
    /// What may stand next, for people.
    fn expected(&self) -> &'static str {
        match self {
            Self::Start | Self::Line => "a line feed",
            Self::StartLine => "a line feed or `#`",
            Self::Hash => "`#`",
            Self::Size { first: true } => "the first digit of a size",
            Self::Size { first: false } => "the first digit of a size or `#`",
            Self::Digits { .. } => "a digit or a line feed",
            Self::End => "the line feed of the end of chunks",
            Self::Data { .. } | Self::Refused(_) => "nothing",
        }
    }
}

// By its path, which is the same from the fuzzer.
#[cfg(test)]
#[path = "framing/tests.rs"]
mod tests;
