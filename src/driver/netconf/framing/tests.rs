//! Framing as RFC 6242 has it, in whatever pieces the bytes come.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 4096;

fn decoder(framing: Framing) -> Decoder {
    let mut decoder = Decoder::new(LIMIT);
    decoder.switch(framing, LIMIT);
    decoder
}

/// Every message of the bytes, fed in pieces of these lengths, the last one repeated.
fn decode(framing: Framing, bytes: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, FramingError> {
    let mut decoder = decoder(framing);
    let mut messages = Vec::new();
    let mut rest = bytes;
    let mut turn = 0;
    while !rest.is_empty() {
        let length = pieces[turn.min(pieces.len() - 1)].clamp(1, rest.len());
        turn += 1;
        let (mut piece, behind) = rest.split_at(length);
        rest = behind;
        while !piece.is_empty() {
            let (taken, message) = decoder.take(piece)?;
            assert!(taken > 0 && (message.is_some() || taken == piece.len()));
            piece = &piece[taken..];
            messages.extend(message);
        }
    }
    Ok(messages)
}

fn whole(framing: Framing, bytes: &[u8]) -> Result<Vec<Vec<u8>>, FramingError> {
    decode(framing, bytes, &[usize::MAX])
}

fn texts(messages: Vec<Vec<u8>>) -> Vec<String> {
    let text = |message| String::from_utf8(message).unwrap();
    messages.into_iter().map(text).collect()
}

#[test]
fn the_example_of_the_specification_is_one_message() {
    // RFC 6242, section 4.2: three chunks, the line feeds at their edges belong to them.
    let frame = b"\n#4\n<rpc\n#18\n message-id=\"102\"\n\n#79\n     xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\">\n  <close-session/>\n</rpc>\n##\n";
    let messages = texts(whole(Framing::Chunked, frame).unwrap());
    assert_eq!(
        messages,
        [
            "<rpc message-id=\"102\"\n     xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\">\n  <close-session/>\n</rpc>"
        ]
    );
}

#[test]
fn lengths_are_in_bytes() {
    let message = "<name>\u{53f0}\u{5317}</name>";
    let frame = encode(Framing::Chunked, message.as_bytes()).unwrap();
    assert!(frame.starts_with(format!("\n#{}\n", message.len()).as_bytes()));
    assert_eq!(texts(whole(Framing::Chunked, &frame).unwrap()), [message]);
}

#[test]
fn what_looks_like_framing_within_a_chunk_is_data() {
    let message = "\n##\n\n#1\n########]]>]]>\r\n";
    let frame = encode(Framing::Chunked, message.as_bytes()).unwrap();
    assert_eq!(texts(whole(Framing::Chunked, &frame).unwrap()), [message]);
}

#[test]
fn a_delimiter_may_be_split_anywhere() {
    let frame = b"<a/>]]>]]>]]><b>]]]]>]]>";
    let expected = ["<a/>", "]]><b>]]"];
    for cut in 1..frame.len() {
        let messages = decode(Framing::EndOfMessage, frame, &[cut, 1]).unwrap();
        assert_eq!(texts(messages), expected, "cut at {cut}");
    }
}

#[test]
fn line_feeds_between_messages_belong_to_none() {
    let frame = b"\n\n#1\na\n##\n\n\n\n#1\nb\n##\n";
    assert_eq!(texts(whole(Framing::Chunked, frame).unwrap()), ["a", "b"]);
    // Within a message they are no framing.
    assert!(whole(Framing::Chunked, b"\n#1\na\n\n#1\nb\n##\n").is_err());
}

#[test]
fn a_hello_is_followed_by_chunks() {
    let mut bytes = encode(Framing::EndOfMessage, b"<hello/>").unwrap();
    bytes.extend(encode(Framing::Chunked, b"<rpc-reply/>").unwrap());
    let mut decoder = Decoder::new(LIMIT);
    let (taken, hello) = decoder.take(&bytes).unwrap();
    assert_eq!(hello.unwrap(), b"<hello/>");
    decoder.switch(Framing::Chunked, LIMIT);
    let (_, reply) = decoder.take(&bytes[taken..]).unwrap();
    assert_eq!(reply.unwrap(), b"<rpc-reply/>");
    assert!(!decoder.within_message());
}

#[test]
fn what_is_not_framing_ends_the_session() {
    for (frame, why) in [
        (&b"#1\na\n##\n"[..], "no line feed"),
        (b"\n##\n", "no chunk at all"),
        (b"\n#0\n\n##\n", "an empty chunk"),
        (b"\n#01\na\n##\n", "a leading zero"),
        (b"\n#1a\n", "a size that is no number"),
        (b"\n#-1\n", "a size below zero"),
        (b"\n#1\r\na\n##\n", "a carriage return"),
        (b"\n#1\nab\n##\n", "a chunk longer than it says"),
        (b"\n#1\na\n##a", "an end that is none"),
        (b"<rpc-reply/>]]>]]>", "the other framing"),
        (b"\n#4294967296\n", "a chunk beyond the specification"),
    ] {
        let mut decoder = decoder(Framing::Chunked);
        let error = decoder.take(frame).expect_err(why);
        // And nothing that follows is believed again.
        assert_eq!(decoder.take(b"\n#1\na\n##\n"), Err(error), "{why}");
    }
}

#[test]
fn a_message_has_a_limit_in_both_framings() {
    let fits = vec![b'x'; LIMIT];
    let too_large = vec![b'x'; LIMIT + 1];
    for framing in [Framing::EndOfMessage, Framing::Chunked] {
        let frame = encode(framing, &fits).unwrap();
        assert_eq!(whole(framing, &frame).unwrap(), std::slice::from_ref(&fits));
        let frame = encode(framing, &too_large).unwrap();
        let error = whole(framing, &frame).unwrap_err();
        assert_eq!(error, FramingError::TooLarge { limit: LIMIT });
    }
    // Many small chunks are one message.
    let frame = b"\n#1\nx".repeat(LIMIT + 1);
    let error = whole(Framing::Chunked, &frame).unwrap_err();
    assert_eq!(error, FramingError::TooLarge { limit: LIMIT });
    // A size is refused by what it says, not by what comes.
    let error = whole(Framing::Chunked, b"\n#4294967295\n").unwrap_err();
    assert_eq!(error, FramingError::TooLarge { limit: LIMIT });
    // Beyond what the specification lets it say, whatever the limit: and before the number overflows.
    let mut decoder = Decoder::new(usize::MAX);
    decoder.switch(Framing::Chunked, usize::MAX);
    assert!(decoder.take(b"\n#4294967295\n").is_ok());
    for digits in ["4294967296", "99999999999999999999999999999999"] {
        let mut decoder = Decoder::new(usize::MAX);
        decoder.switch(Framing::Chunked, usize::MAX);
        let error = decoder.take(format!("\n#{digits}\n").as_bytes());
        assert_eq!(error, Err(FramingError::ChunkSize), "{digits}");
    }
    // A message without an end is refused once it is too large.
    let error = whole(Framing::EndOfMessage, &vec![b'x'; LIMIT + 7]).unwrap_err();
    assert_eq!(error, FramingError::TooLarge { limit: LIMIT });
}

#[test]
fn a_message_that_would_end_itself_is_not_written() {
    for message in [
        &b"<a b=']]>]]>'/>"[..],
        b"<a/>]]>",
        b"<a/>]]>]]>",
        b"]]>]]>",
    ] {
        let error = encode(Framing::EndOfMessage, message).unwrap_err();
        assert_eq!(error, FramingError::HoldsDelimiter);
        assert!(encode(Framing::Chunked, message).is_ok());
    }
    for framing in [Framing::EndOfMessage, Framing::Chunked] {
        assert_eq!(encode(framing, b""), Err(FramingError::Empty));
    }
}

/// A message's chunks, cut at these places.
fn chunked(message: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut rest = message;
    for cut in cuts.iter().chain([&usize::MAX]) {
        let (chunk, behind) = rest.split_at((*cut).min(rest.len()));
        rest = behind;
        if !chunk.is_empty() {
            frame.extend_from_slice(format!("\n#{}\n", chunk.len()).as_bytes());
            frame.extend_from_slice(chunk);
        }
    }
    frame.extend_from_slice(b"\n##\n");
    frame
}

/// Bytes that are likely to be taken for framing.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'\n'),
        Just(b'#'),
        Just(b']'),
        Just(b'>'),
        Just(b'1'),
        any::<u8>(),
    ];
    prop::collection::vec(byte, 1..200)
}

proptest! {
    #[test]
    fn messages_come_back_under_any_split(
        messages in prop::collection::vec(message(), 1..4),
        pieces in prop::collection::vec(1usize..20, 1..20),
    ) {
        for framing in [Framing::EndOfMessage, Framing::Chunked] {
            let mut bytes = Vec::new();
            let mut sent = Vec::new();
            for message in &messages {
                // What cannot be framed is refused, and nothing else is.
                let Ok(frame) = encode(framing, message) else {
                    prop_assert_eq!(framing, Framing::EndOfMessage);
                    continue;
                };
                bytes.extend(frame);
                sent.push(message.clone());
            }
            prop_assert_eq!(decode(framing, &bytes, &pieces).unwrap(), sent);
        }
    }

    #[test]
    fn chunks_may_be_cut_anywhere(
        message in message(),
        cuts in prop::collection::vec(0usize..40, 0..8),
        pieces in prop::collection::vec(1usize..20, 1..20),
    ) {
        let frame = chunked(&message, &cuts);
        prop_assert_eq!(decode(Framing::Chunked, &frame, &pieces).unwrap(), [message]);
    }

    #[test]
    fn pieces_change_nothing(
        bytes in message(),
        pieces in prop::collection::vec(1usize..20, 1..20),
    ) {
        for framing in [Framing::EndOfMessage, Framing::Chunked] {
            prop_assert_eq!(decode(framing, &bytes, &pieces), whole(framing, &bytes));
        }
    }
}
