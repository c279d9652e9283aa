//! A Cisco-like command line, read.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn rules() -> Rules {
    Rules {
        pager: Some(regex("^ ?--More-- ?$").unwrap()),
        questions: vec![regex(r"\[confirm\]$").unwrap()],
        secret: regex("(?i)password: ?$").unwrap(),
        failures: vec![regex("^% ").unwrap()],
        ignored: vec![regex(r"^%[A-Z]+-\d-[A-Z_]+: ").unwrap()],
    }
}

/// A session whose first prompt was `sw1#`.
fn at_prompt() -> Reader {
    static READER: LazyLock<Reader> = LazyLock::new(|| {
        let patterns = ["^{host}>$", "^{host}#$", r"^{host}\(config[^)]*\)#$"];
        let mut reader = Reader::new(Prompts::new(patterns).unwrap(), rules(), 10_000);
        reader.feed(b"\r\nWelcome to lab#\r\nsw1# ");
        reader.learn();
        assert_eq!(reader.sight(), Sight::Prompt(1));
        reader
    });
    READER.clone()
}

fn answer(line: &str, bytes: &str) -> (Sight, Said) {
    let mut reader = at_prompt();
    reader.begin(line, false);
    reader.feed(bytes.as_bytes());
    (reader.sight(), reader.take())
}

fn text(text: &str) -> Said {
    Said {
        text: text.into(),
        ..Said::default()
    }
}

#[test]
fn an_answer_is_what_stands_between_echo_and_prompt() {
    let said = answer("show vlan", "show vlan\r\n1 default\r\n\r\n2 two\r\nsw1# ");
    assert_eq!(said, (Sight::Prompt(1), text("1 default\n\n2 two\n")));
    let said = answer("conf t", "conf t\r\nsw1(config)# ");
    assert_eq!(said, (Sight::Prompt(2), text("")));
}

#[test]
fn a_prompt_before_the_echo_is_no_answer() {
    let (sight, _) = answer("show vlan", "\r\nsw1# ");
    assert_eq!(sight, Sight::Nothing);
    let (sight, _) = answer("show vlan", "\r\nsw1# show vlan");
    assert_eq!(sight, Sight::Nothing);
    let (sight, said) = answer("show vlan", "\r\nsw1# show vlan\r\nx\r\nsw1# ");
    assert_eq!((sight, &*said.text), (Sight::Prompt(1), "x\n"));
}

#[test]
fn the_echo_of_a_long_line_may_be_broken_or_scrolled() {
    let line = format!("description {}", "abcdefghi ".repeat(9).trim_end());
    let (head, tail) = line.split_at(50);
    for echo in [
        format!("{line}\r\n"),
        format!("{head}\r\n{tail}\r\n"),
        format!("{head}\rsw1#$efghi {tail}\r\n"),
    ] {
        let (sight, said) = answer(&line, &format!("{echo}sw1(config-if)#"));
        assert_eq!((sight, &*said.text), (Sight::Prompt(2), ""), "{echo}");
    }
}

#[test]
fn a_log_message_is_neither_a_prompt_nor_a_failure() {
    let log = "%SYS-5-CONFIG_I: Configured from console by relay";
    for bytes in [
        format!("\r\n{log}\r\nshow vlan\r\nx\r\nsw1#"),
        format!("\r\n{log}\r\nsw1# show vlan\r\nx\r\nsw1#"),
        format!("show vlan\r\n{log}\r\nx\r\nsw1#"),
        format!("show vlan\r\nx\r\n{log}\r\nsw1#"),
        format!("show vlan\r\nx\r\nsw1#\r\n{log}\r\n"),
    ] {
        let said = answer("show vlan", &bytes);
        assert_eq!(said, (Sight::Prompt(1), text("x\n")), "{bytes:?}");
    }
}

#[test]
fn a_failure_is_a_line_of_the_answer() {
    let (sight, said) = answer("shw", "shw\r\n ^\r\n% Unknown command: shw\r\nsw1# ");
    assert_eq!(sight, Sight::Prompt(1));
    assert_eq!(said.failure.as_deref(), Some("% Unknown command: shw"));
    let (_, said) = answer("echo % x", "echo % x\r\nfine % x\r\nsw1# ");
    assert_eq!(said.failure, None);
}

#[test]
fn what_looks_like_a_prompt_of_another_device_is_output() {
    let (sight, _) = answer("show banner", "show banner\r\nother# ");
    assert_eq!(sight, Sight::Nothing);
    // Unless the line gave the device that name.
    let (sight, _) = answer("hostname sw2", "hostname sw2\r\nsw2(config)# ");
    assert_eq!(sight, Sight::Prompt(2));
}

#[test]
fn a_page_is_turned_and_leaves_nothing() {
    let mut reader = at_prompt();
    reader.begin("show run", false);
    reader.feed(b"show run\r\none\r\n\x1b[7m --More-- \x1b[27m");
    assert_eq!(reader.sight(), Sight::Pager);
    reader.turned();
    assert_eq!(reader.sight(), Sight::Nothing);
    reader.feed(b"\r          \rtwo\r\nsw1# ");
    assert_eq!(reader.sight(), Sight::Prompt(1));
    assert_eq!(reader.take().text, "one\ntwo\n");
}

#[test]
fn a_question_is_asked_once_until_it_is_asked_again() {
    let mut reader = at_prompt();
    reader.begin("reload", false);
    reader.feed(b"reload\r\nProceed? [confirm]");
    assert_eq!(reader.sight(), Sight::Question(0));
    reader.answered();
    assert_eq!(reader.sight(), Sight::Nothing);
    reader.feed(b" ");
    assert_eq!(reader.sight(), Sight::Nothing);
    reader.feed(b"\r\nProceed? [confirm]");
    assert_eq!(reader.sight(), Sight::Question(0));
    reader.answered();
    reader.feed(b"\r\x1b[KProceed? [confirm]");
    assert_eq!(reader.sight(), Sight::Question(0));
}

#[test]
fn a_password_is_asked_for_only_where_one_is_awaited() {
    let mut reader = at_prompt();
    reader.begin("show motd", false);
    reader.feed(b"show motd\r\nyour password: ");
    assert_eq!(reader.sight(), Sight::Nothing);
    let mut reader = at_prompt();
    reader.begin("enable", true);
    reader.feed(b"enable\r\nPassword: ");
    assert_eq!(reader.sight(), Sight::Secret);
    reader.answered();
    reader.feed(b"\r\nPassword: ");
    assert_eq!(reader.sight(), Sight::Secret, "it was refused");
}

#[test]
fn the_first_prompt_is_the_one_that_answers_an_empty_line() {
    let patterns = ["^{host}>$", "^{host}#$"];
    let mut reader = Reader::new(Prompts::new(patterns).unwrap(), rules(), 1000);
    reader.feed(b"Access#\r\nThe password is >");
    assert_eq!(reader.first_prompt(), None);
    reader.feed(b"\r\nAuthorized>");
    assert_eq!(reader.first_prompt(), Some((0, false)));
    reader.feed(b"\r\n\r\nsw1>");
    assert_eq!(reader.first_prompt(), Some((0, false)));
    reader.feed(b"\r\nsw1>");
    assert_eq!(reader.first_prompt(), Some((0, true)));
}

#[test]
fn an_endless_line_is_bounded_and_cheap() {
    let mut reader = at_prompt();
    reader.begin("show x", false);
    reader.feed(b"show x\r\n");
    for _ in 0..2000 {
        reader.feed(&[b'x'; 1000]);
        assert_eq!(reader.sight(), Sight::Nothing);
    }
    reader.feed(b"\r\nsw1#");
    assert_eq!(reader.sight(), Sight::Prompt(1));
    let said = reader.take();
    assert!(said.cut && said.text.is_empty());
}

/// Pieces of what devices say, wild bytes among them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"sw1# ".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"--More--".to_vec()),
        Just(b"\x08 \x08".to_vec()),
        Just(b"\x1b[7m".to_vec()),
        Just(b"\x1b[K\x1b[5D".to_vec()),
        Just(b"% no\n".to_vec()),
        Just("ü".as_bytes().to_vec()),
        Just(b"show vlan\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same(bytes in bytes(), cuts in proptest::collection::vec(0..200usize, 0..8)) {
        let mut whole = at_prompt();
        whole.begin("show vlan", false);
        whole.feed(&bytes);
        let mut split = at_prompt();
        split.begin("show vlan", false);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            split.feed(&bytes[from..cut]);
            split.sight();
            from = cut;
        }
        split.feed(&bytes[from..]);
        prop_assert_eq!(whole.sight(), split.sight());
        prop_assert_eq!(whole.take(), split.take());
    }
}

/// What the fuzzer keeps is read whole and in pieces here, too.
#[test]
fn the_seeds_of_the_fuzzer_give_the_same_in_any_pieces() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/prompt_reader");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        let mut whole = at_prompt();
        whole.begin("show vlan", true);
        whole.feed(&seed[1..]);
        let mut pieces = at_prompt();
        pieces.begin("show vlan", true);
        for piece in seed[1..].chunks(usize::from(seed[0]).max(1)) {
            pieces.feed(piece);
            pieces.sight();
        }
        assert_eq!(
            (whole.sight(), whole.take()),
            (pieces.sight(), pieces.take())
        );
        read += 1;
    }
    assert!(read >= 8, "only {read} seeds");
}
