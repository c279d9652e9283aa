//! The NETCONF decoder under any bytes: it must not panic, must not keep more than its limit, must give the
//! same whatever pieces the bytes come in, and must read back what the encoder writes.
//!
//! An input's first byte, `0` or `1` in the seeds, chooses the framing; its second is the length of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/driver/netconf/framing.rs"]
#[expect(dead_code, reason = "the driver uses more of it than the fuzzer")]
mod framing;

use framing::{Decoder, Framing, FramingError, encode};

const LIMIT: usize = 512;

/// Every message of the bytes, fed in pieces of `length`; and what ended them, if anything did.
fn decode(framing: Framing, bytes: &[u8], length: usize) -> (Vec<Vec<u8>>, Option<FramingError>) {
    let mut decoder = Decoder::new(LIMIT);
    decoder.switch(framing, LIMIT);
    let mut messages = Vec::new();
    for piece in bytes.chunks(length) {
        let mut rest = piece;
        while !rest.is_empty() {
            match decoder.take(rest) {
                Ok((taken, message)) => {
                    assert!(taken > 0 && taken <= rest.len());
                    assert!(message.is_some() || taken == rest.len());
                    rest = &rest[taken..];
                    messages.extend(message);
                }
                Err(error) => {
                    // What is refused stays refused.
                    assert_eq!(decoder.take(b"\n#1\na\n##\n]]>]]>"), Err(error.clone()));
                    return (messages, Some(error));
                }
            }
        }
    }
    (messages, None)
}

fuzz_target!(|input: &[u8]| {
    let [framing, length, bytes @ ..] = input else {
        return;
    };
    let framing = match framing % 2 {
        0 => Framing::EndOfMessage,
        _ => Framing::Chunked,
    };
    let length = usize::from(*length).max(1);
    let whole = decode(framing, bytes, usize::MAX);
    assert_eq!(whole, decode(framing, bytes, length));
    for message in &whole.0 {
        assert!(message.len() <= LIMIT);
    }
    if let Ok(frame) = encode(framing, bytes) {
        let (messages, error) = decode(framing, &frame, length);
        match bytes.len() > LIMIT {
            true => assert_eq!(error, Some(FramingError::TooLarge { limit: LIMIT })),
            false => assert_eq!((messages, error), (vec![bytes.to_vec()], None)),
        }
    }
});
