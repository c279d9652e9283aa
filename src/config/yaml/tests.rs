//! What the reader makes of YAML: places to the byte, the traps of 1.1, and every mistake in its own words.

use super::*;

fn read(text: &str) -> (Option<Node>, Diagnostics) {
    let mut diags = Diagnostics::default();
    let node = parse(FileId(0), text, &mut diags);
    (node, diags)
}

fn good(text: &str) -> Node {
    let (node, diags) = read(text);
    let found: Vec<_> = diags.iter().collect();
    assert!(found.is_empty(), "{found:?}");
    node.unwrap()
}

fn found(text: &str) -> Vec<(&'static str, &str)> {
    let (_, diags) = read(text);
    diags
        .iter()
        .map(|d| {
            let span = d.span.unwrap();
            (d.code, &text[span.start as usize..span.end as usize])
        })
        .collect()
}

/// Each text scalar whose verbatim place is known stands there byte for byte.
fn check_places(node: &Node, source: &str) {
    let place = &source[node.span.start as usize..node.span.end as usize];
    match &node.kind {
        Kind::Text(scalar) => {
            if let Some(at) = scalar.verbatim_at {
                assert!(source[at as usize..].starts_with(&scalar.text));
            }
        }
        Kind::Number(_) | Kind::Bool(_) => assert!(!place.trim().is_empty()),
        Kind::Null => {}
        Kind::List(items) => items.iter().for_each(|item| check_places(item, source)),
        Kind::Map(entries) => {
            for entry in entries {
                let key = &source[entry.key_span.start as usize..entry.key_span.end as usize];
                assert_eq!(key.trim_matches(['"', '\'']), entry.key);
                check_places(&entry.value, source);
            }
        }
    }
}

fn place<'s>(node: &Node, source: &'s str) -> &'s str {
    &source[node.span.start as usize..node.span.end as usize]
}

#[test]
fn every_value_has_its_exact_place() {
    let source = "# é comes before\nname: \"ä {{ body.name }}\"\nlist:\n  - one\n  - {a: 'x', b: [1, 2]}\nport: 443\nlast: |\n  one line\nafter: z\n";
    let node = good(source);
    check_places(&node, source);
    assert_eq!(
        place(node.get("name").unwrap(), source),
        "\"ä {{ body.name }}\""
    );
    assert_eq!(place(node.get("port").unwrap(), source), "443");
    assert_eq!(
        place(node.get("list").unwrap(), source),
        "- one\n  - {a: 'x', b: [1, 2]}"
    );
    let Kind::List(items) = &node.get("list").unwrap().kind else {
        panic!("a list");
    };
    assert_eq!(place(&items[1], source), "{a: 'x', b: [1, 2]}");
    assert_eq!(place(items[1].get("b").unwrap(), source), "[1, 2]");
    assert_eq!(place(node.get("last").unwrap(), source), "one line");
}

#[test]
fn a_part_of_a_text_has_its_own_place_where_it_stands_verbatim() {
    let source = "a: plain {{ x }}\nb: \"double {{ x }}\"\nc: 'single {{ x }}'\nd: |\n  block {{ x }}\ne: \"esc\\t{{ x }}\"\nf: 'it''s {{ x }}'\ng: |\n  two\n  {{ x }}\nh: folded\n  {{ x }}\n";
    let node = good(source);
    for key in ["a", "b", "c", "d"] {
        let snippet = node.get(key).unwrap().snippet().unwrap();
        let open = snippet.text.find("{{").unwrap();
        let span = snippet.part_span(open, open + 7);
        assert_eq!(
            &source[span.start as usize..span.end as usize],
            "{{ x }}",
            "{key}"
        );
    }
    for key in ["e", "f", "g", "h"] {
        let value = node.get(key).unwrap();
        let snippet = value.snippet().unwrap();
        assert_eq!(snippet.part_span(1, 2), value.span, "{key}");
    }
}

#[test]
fn scalars_follow_the_core_schema_and_numbers_keep_their_digits() {
    let node = good(
        "a: 0.10\nb: 12345678901234567890123\nc: -0.50\nd: +5\ne: .5\nf: 1e3\ng: true\nh: ~\ni:\nj: \"1\"\nk: 2024-01-02\nl: 00:1a:2b\nm: 1.2.3\nn: '~'\no: 10.0.0.0/8\n",
    );
    let text = node.to_json().to_string();
    assert_eq!(
        text,
        r#"{"a":0.10,"b":12345678901234567890123,"c":-0.50,"d":5,"e":0.5,"f":1e3,"g":true,"h":null,"i":null,"j":"1","k":"2024-01-02","l":"00:1a:2b","m":"1.2.3","n":"~","o":"10.0.0.0/8"}"#
            .replace("1e3", &good("f: 1e3").to_json()["f"].to_string())
    );
}

#[test]
fn what_older_readers_read_differently_is_text_with_a_warning() {
    for trap in [
        "yes",
        "No",
        "ON",
        "off",
        "0755",
        "010",
        "1_000",
        "0x1F",
        "0o17",
        ".inf",
        "-.INF",
        ".nan",
        "22:30",
        "1:02:03",
        "52:54:00:12:34:56",
    ] {
        let source = format!("a: {trap}\n");
        assert_eq!(found(&source), [(codes::YAML_TRAP, trap)]);
        let (node, diags) = read(&source);
        assert_eq!(node.unwrap().get("a").unwrap().as_text(), Some(trap));
        assert!(diags.no_errors());
        assert!(found(&format!("a: \"{trap}\"\n")).is_empty());
    }
}

#[test]
fn equal_keys_are_reported_with_both_places_and_reading_goes_on() {
    let source = "a: 1\nb: {x: 1, x: 2}\n\"a\": 3\na: 4\nc: 5\n";
    let (node, diags) = read(source);
    assert_eq!(
        found(source),
        [
            (codes::DUPLICATE_KEY, "x"),
            (codes::DUPLICATE_KEY, "\"a\""),
            (codes::DUPLICATE_KEY, "a")
        ]
    );
    let first = diags.iter().nth(1).unwrap().related[0].0;
    assert_eq!((first.start, first.end), (0, 1));
    let node = node.unwrap();
    assert_eq!(node.to_json().to_string(), r#"{"a":1,"b":{"x":1},"c":5}"#);
}

#[test]
fn an_unquoted_expression_is_named_as_such() {
    for source in [
        "a: {{ body.name }}\n",
        "a:\n  - {{ body.name }}\n",
        "a: {{ body.name }}-x\n",
        "a: {{ map 'action' body.action }}\nb: 1\n",
        "a: {{ default body.x \"y\" }}\nb: 1\n",
        "a: { b: {{ body.name }}, c: 1 }\n",
        "a: {{ optional body.name }} {{ body.x }}\nb: c\n",
    ] {
        let found = found(source);
        assert_eq!(found.len(), 1, "{source}: {found:?}");
        assert_eq!(found[0].0, codes::UNQUOTED_TEMPLATE, "{source}");
        assert!(
            found[0].1.starts_with("{{") && found[0].1.ends_with("}}"),
            "{found:?}"
        );
    }
    // What is read on counts as the text that was meant.
    let (node, _) = read("a: {{ body.name }}\n");
    assert_eq!(
        node.unwrap().get("a").unwrap().as_text(),
        Some("{{ body.name }}")
    );
}

#[test]
fn what_a_configuration_is_better_without_is_refused_by_name() {
    assert_eq!(found("a: !!str 1\n"), [(codes::YAML_TAG, "!!str")]);
    assert_eq!(found("a: !x {b: 1}\n"), [(codes::YAML_TAG, "!x")]);
    assert_eq!(
        found("a: &a {b: 1}\nc:\n  <<: *a\n"),
        [(codes::YAML_MERGE, "<<")]
    );
    assert_eq!(found("a: 1\n---\nb: 2\n"), [(codes::YAML_DOCUMENTS, "---")]);
    assert_eq!(found("? [a, b]\n: 1\n"), [(codes::YAML_KEY, "[a, b]")]);
    assert_eq!(found("a:\n\tb: 1\n"), [(codes::YAML_TAB, "\t")]);
    // The parser's own place is where the text begins that the tab interrupts.
    assert_eq!(found("- x\né\n\tb: 1\n"), [(codes::YAML_TAB, "\t")]);
}

#[test]
fn a_file_that_is_not_yaml_has_one_diagnostic_with_its_place() {
    for source in [
        "a: [1, 2\nb: 3\n",
        "a: \"open\nb: 1\n",
        "a: b: c\n",
        "a: *nowhere\n",
        "a: 1\n b: 2\n",
        "%",
        "- a\nb: 1\n",
    ] {
        let (node, diags) = read(source);
        assert!(node.is_none(), "{source}");
        assert_eq!(diags.errors(), 1, "{source}");
        assert_eq!(
            diags.iter().next().unwrap().code,
            codes::YAML_SYNTAX,
            "{source}"
        );
    }
}

#[test]
fn aliases_repeat_a_value_within_a_budget() {
    let node = good("a: &x {b: [1, 2]}\nc: *x\n");
    assert_eq!(
        node.get("a").unwrap().to_json(),
        node.get("c").unwrap().to_json()
    );

    let mut bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        let items = [alias.as_str(); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{items}]\n");
    }
    let (node, diags) = read(&bomb);
    assert!(node.is_none());
    assert_eq!(diags.iter().next().unwrap().code, codes::YAML_BUDGET);

    let (node, _) = read("a: &a [*a]\n");
    assert!(node.is_none());
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for source in [
        "[".repeat(5_000),
        "- ".repeat(5_000) + "a",
        "{a: ".repeat(5_000),
    ] {
        let (node, diags) = read(&source);
        assert!(node.is_none());
        assert_eq!(diags.errors(), 1);
    }
}

#[test]
fn an_empty_file_is_an_empty_map() {
    for source in ["", "# only a comment\n", "---\n", "\n\n", "~\n"] {
        assert_eq!(good(source).kind, Kind::Map(Vec::new()), "{source:?}");
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_move_no_place() {
    let source = "\u{feff}a: x\r\nb: 'y'\r\nc: |\r\n  z\r\n";
    let node = good(source);
    check_places(&node, source);
    assert_eq!(place(node.get("a").unwrap(), source), "x");
    assert_eq!(place(node.get("b").unwrap(), source), "'y'");
}

#[test]
fn a_secret_in_a_broken_file_is_masked() {
    let source = "user: a\npassword: hunter2\nauth: { token: \"hunter3\", x: [ }\nbody: { password: { env: X } }\n";
    let (_, diags) = read(source);
    let masked: Vec<_> = diags
        .masked()
        .iter()
        .map(|span| &source[span.start as usize..span.end as usize])
        .collect();
    assert!(masked.contains(&"hunter2"));
    assert!(masked.iter().any(|text| text.starts_with("\"hunter3\"")));
    assert!(!masked.iter().any(|text| text.contains("env")));
}

/// Every place lies within the text, on boundaries of characters.
fn check_bounds(node: &Node, source: &str) {
    assert!(
        source
            .get(node.span.start as usize..node.span.end as usize)
            .is_some()
    );
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| check_bounds(item, source)),
        Kind::Map(entries) => {
            for entry in entries {
                let key = entry.key_span.start as usize..entry.key_span.end as usize;
                assert!(source.get(key).is_some());
                check_bounds(&entry.value, source);
            }
        }
        Kind::Text(scalar) => {
            if let Some(at) = scalar.verbatim_at {
                assert!(source[at as usize..].starts_with(&scalar.text));
            }
        }
        _ => {}
    }
}

proptest::proptest! {
    #[test]
    fn no_text_moves_a_place_out_of_bounds(
        lines in proptest::collection::vec(
            "( |  |- |\t)?(é|a|b|\"a\"|<<|password|&x a|\\? a)?(: |:|, )?(\\{|\\[|\\}|\\]|'x|\"\u{e9}\"|\\|[+-]?|>|\\*x|&x 1|!t|yes|0x1F|\\{\\{ x \\}\\}|---|🦀|# c)?( |\r)?",
            0..8,
        ),
    ) {
        let source = lines.join("\n");
        let (node, diags) = read(&source);
        if let Some(node) = node {
            check_bounds(&node, &source);
        }
        for span in diags.iter().filter_map(|d| d.span).chain(diags.masked().iter().copied()) {
            assert!(source.get(span.start as usize..span.end as usize).is_some(), "{source:?}");
        }
        let files = crate::config::SourceFiles::from_memory(
            &[("relay.yaml", &source)],
            &mut Diagnostics::default(),
        );
        crate::diagnostics::text::render_text(&diags, &files, false);
        crate::diagnostics::json::render_json(&diags, &files);
    }
}

#[test]
fn what_yaml_drops_without_a_word_is_told() {
    for (source, fault) in [
        ("a: x #1\n", "#1"),
        ("a: #fff\nb: c\n", "#fff"),
        ("a: { b: 1, 2 }\n", "2"),
        ("a: {b:1}\n", "b:1"),
        ("a: &b\nc: d\n", "&b"),
        ("a: &b x\n", "&b"),
        ("a: \u{201c}x\u{201d}\n", "\u{201c}x\u{201d}"),
        ("a: 1.10\n", "1.10"),
    ] {
        assert_eq!(found(source), [(codes::YAML_TRAP, fault)], "{source}");
    }
    for fine in [
        "a: x # 1\n",
        "a: # f\n",
        "a: 'x #1'\n",
        "a: { b: 1, c: null }\n",
        "a: &b x\nc: *b\n",
        "a: http://x#y\n",
        "a: 12:60\n",
    ] {
        assert_eq!(found(fine), [], "{fine}");
    }
}

#[test]
fn what_was_meant_is_read_on() {
    let meant = |source: &str| read(source).0.unwrap().to_json().to_string();
    assert_eq!(meant("a: #fff\nb: c\n"), r##"{"a":"#fff","b":"c"}"##);
    assert_eq!(meant("a: &b\nc: d\n"), r#"{"a":"&b","c":"d"}"#);
    assert_eq!(meant("x: 1\n\u{a0}\u{a0}a: 1\n"), r#"{"x":1,"a":1}"#);
}

#[test]
fn a_comment_that_may_be_the_rest_of_a_secret_is_masked() {
    let source = "password: hunter #2\n";
    let (_, diags) = read(source);
    let masked = diags.masked();
    let is = |text: &str| {
        masked
            .iter()
            .any(|span| &source[span.start as usize..span.end as usize] == text)
    };
    assert!(is("hunter") && is("#2"), "{masked:?}");
}

#[test]
fn a_line_that_is_no_key_is_pointed_at_itself() {
    for (source, fault) in [
        ("name:x\nkind: y\n", ":"),
        ("a: b\nname:x\n", ":"),
        ("a: b\nroutes\n  c: d\n", "routes"),
        ("a: b: c\n", "b: c"),
        ("a: \"x\\d\"\n", "\\d"),
    ] {
        assert_eq!(found(source), [(codes::YAML_SYNTAX, fault)], "{source}");
    }
}
