//! The reader of command lines under any bytes: it must not panic, must keep no more than its limit, must see the
//! same whatever pieces the bytes come in, and must take nothing for a prompt before the echo of what was sent.
//!
//! An input's first byte is the length of the pieces.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../../src/driver/ssh/cli/reader/mod.rs"]
#[expect(dead_code, reason = "the driver uses more of it than the fuzzer")]
mod reader;

use reader::{Prompts, Reader, Rules, Said, Sight, regex};

const LIMIT: usize = 2048;

static FRESH: LazyLock<Reader> = LazyLock::new(|| {
    let pattern = |pattern: &str| regex(pattern).expect("it is a constant");
    let rules = Rules {
        pager: Some(pattern("^ ?--More-- ?$")),
        questions: vec![pattern(r"\[confirm\]$")],
        secret: pattern("(?i)password: ?$"),
        failures: vec![pattern("^% ")],
        ignored: vec![pattern(r"^%[A-Z]+-\d-[A-Z_]+: ")],
    };
    let prompts = ["^{host}>$", "^{host}#$", r"^{host}\(config[^)]*\)#$"];
    let prompts = Prompts::new(prompts).expect("they are constants");
    Reader::new(prompts, rules, LIMIT)
});

/// A session that stands at its first prompt.
static READY: LazyLock<Reader> = LazyLock::new(|| {
    let mut reader = FRESH.clone();
    reader.feed(b"sw1# ");
    reader.learn();
    reader
});

/// What a session sees at the end of the bytes, fed in pieces of `length`, and what it was answered.
fn read(mut reader: Reader, bytes: &[u8], length: usize) -> (Sight, Option<(usize, bool)>, Said) {
    for piece in bytes.chunks(length) {
        reader.feed(piece);
        reader.sight();
        reader.first_prompt();
    }
    (reader.sight(), reader.first_prompt(), reader.take())
}

fuzz_target!(|input: &[u8]| {
    let [length, bytes @ ..] = input else {
        return;
    };
    let length = usize::from(*length).max(1);
    for secret in [false, true] {
        let mut sent = READY.clone();
        sent.begin("show vlan", secret);
        let whole = read(sent.clone(), bytes, usize::MAX);
        assert_eq!(whole, read(sent, bytes, length));
        let (sight, _, said) = whole;
        assert!(said.text.len() <= LIMIT);
        let echoed = String::from_utf8_lossy(bytes).contains('\n');
        assert!(echoed || sight == Sight::Nothing);
        assert!(secret || sight != Sight::Secret);
    }
    let whole = read(FRESH.clone(), bytes, usize::MAX);
    assert_eq!(whole, read(FRESH.clone(), bytes, length));
});
