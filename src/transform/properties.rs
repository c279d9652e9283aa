//! Invariant 3 as properties: whatever a value holds, in whatever position, what was rendered reads
//! back as the same structure with exactly that value in it, or is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::{Names, compiled, node, scope, text_node};
use super::{
    Env, PathTemplate, Position, Presence, RenderError, Scope, Template, Text, Tree, encode,
};
use crate::document::Span;

/// What has ended a place too early somewhere, once.
const HOSTILE: [&str; 34] = [
    "\"",
    "'",
    "\\",
    "\\u0022",
    "\\ud800",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\0",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{fffe}",
    "../",
    "..",
    ".",
    "/",
    "%2F",
    "%2e%2e",
    "?",
    "#",
    "&a=b",
    ";",
    "{{ body.x }}",
    "{{{",
    "}}",
    "<b>",
    "]]>",
    "-->",
    "&lt;",
    "😀",
    "é",
];

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        2 => "[a-z0-9 ]{0,4}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Numbers at and beyond the edges of `f64` and `i64`, digits kept.
const NUMBERS: [&str; 9] = [
    "0",
    "-0.0",
    "1.10",
    "9007199254740993",
    "18446744073709551616",
    "1e400",
    "-1e-400",
    "1.7976931348623157e308",
    "0.1000000000000000055511151231257827",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop::sample::select(NUMBERS.to_vec())
            .prop_map(|digits| serde_json::from_str(digits).expect("these are numbers")),
        hostile().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((hostile(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    }
}

/// Compiles once and runs the property on what was compiled.
fn holds<T: std::fmt::Debug, S: Strategy>(
    compile: impl FnOnce(&Env<'_>, &mut crate::diagnostics::Diagnostics) -> Option<T>,
    names: Names,
    strategy: S,
    property: impl Fn(&T, S::Value) -> Result<(), TestCaseError>,
) {
    let unit =
        compiled(|diags| compile(&names.env(), diags)).expect("the test's own text compiles");
    proptest::test_runner::TestRunner::new(config())
        .run(&strategy, |value| property(&unit, value))
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn tree_holds<S: Strategy>(
    tree: Value,
    strategy: S,
    property: impl Fn(&Tree, S::Value) -> Result<(), TestCaseError>,
) {
    let node = node(&tree);
    holds(
        |env, diags| Tree::compile(&node, "call.body", env, diags),
        Names::new(),
        strategy,
        property,
    );
}

fn text_holds(
    text: &str,
    position: Position,
    property: impl Fn(Result<Option<String>, RenderError>, &str) -> Result<(), TestCaseError>,
) {
    let node = text_node(text);
    let snippet = node.snippet().expect("it is text");
    holds(
        |env, diags| Text::compile(snippet, position, "f", env, diags),
        Names::new(),
        hostile(),
        |text, x| {
            let scope = scope(json!({ "x": x }));
            property(text.render(&scope), &x)
        },
    );
}

fn template_holds<S: Strategy>(
    name: &str,
    text: &str,
    strategy: S,
    property: impl Fn(Result<String, RenderError>, S::Value) -> Result<(), TestCaseError>,
) where
    S::Value: Clone + serde::Serialize,
{
    holds(
        |env, diags| Template::compile(name, Span::default(), "f", env, diags),
        Names::new().with_template(name, text),
        strategy,
        |template, x| {
            let scope = scope(json!({ "x": x }));
            property(template.render(&scope), x)
        },
    );
}

fn bytes(tree: &Tree, scope: &Scope) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(tree.write_json(scope, &mut out), Ok(Presence::Present));
    out
}

fn is_unsafe<T>(result: &Result<T, RenderError>) -> bool {
    matches!(result, Err(RenderError::Unsafe { .. }))
}

fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// RFC 3986, section 2.1, backwards.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if *first == b'%' {
            let hex = std::str::from_utf8(&more[..2]).expect("two hex digits");
            bytes.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).expect("what was encoded was text")
}

#[test]
fn a_tree_reads_back_with_the_value_in_its_place() {
    let tree = json!({ "a": "{{ body.v }}", "l": ["{{ body.v }}", 1], "z": "end" });
    tree_holds(tree, value(), |tree, v| {
        let scope = scope(json!({ "v": v }));
        let wanted = json!({ "a": v, "l": [v, 1], "z": "end" });
        let read: Value = serde_json::from_slice(&bytes(tree, &scope)).expect("JSON");
        prop_assert_eq!(&read, &wanted);
        prop_assert_eq!(tree.to_value(&scope), Ok(Some(wanted)));
        Ok(())
    });
}

#[test]
fn a_text_in_a_tree_reads_back_as_one_string() {
    let tree = json!({ "t": "a-{{ body.x }}-b", "j": { "$json": { "k": "{{ body.x }}" } } });
    tree_holds(tree, hostile(), |tree, x| {
        let scope = scope(json!({ "x": x }));
        let read: Value = serde_json::from_slice(&bytes(tree, &scope)).expect("JSON");
        prop_assert_eq!(read.as_object().map(serde_json::Map::len), Some(2));
        prop_assert_eq!(&read["t"], &json!(format!("a-{x}-b")));
        let inner: Value =
            serde_json::from_str(read["j"].as_str().expect("a string")).expect("JSON");
        prop_assert_eq!(inner, json!({ "k": x }));
        Ok(())
    });
}

#[test]
fn items_and_absent_members_keep_the_commas_right() {
    let tree = json!([
        { "$for": "body.l", "$item": "{{ item }}" },
        "{{ optional body.o }}",
        { "$for": "body.l", "$where": "ne item 'never'", "$item": { "a": "{{ item }}", "$$o": "{{ optional body.o }}" } },
    ]);
    let strategy = (
        prop::collection::vec(value(), 0..4),
        prop::option::of(value()),
    );
    tree_holds(tree, strategy, |tree, (list, o)| {
        let mut body = json!({ "l": list });
        if let Some(o) = &o {
            body["o"] = o.clone();
        }
        let scope = scope(body);
        let mut wanted: Vec<Value> = list.clone();
        wanted.extend(o.clone());
        for item in list.iter().filter(|item| **item != json!("never")) {
            let mut entry = json!({ "a": item });
            if let Some(o) = &o {
                entry["$o"] = o.clone();
            }
            wanted.push(entry);
        }
        let read: Value = serde_json::from_slice(&bytes(tree, &scope)).expect("JSON");
        prop_assert_eq!(&read, &Value::Array(wanted));
        prop_assert_eq!(tree.to_value(&scope), Ok(Some(read)));
        Ok(())
    });
}

#[test]
fn a_path_keeps_its_segments() {
    let source = text_node("/v1/{{ body.x }}/a-{{ body.x }}");
    holds(
        |env, diags| {
            PathTemplate::compile(source.snippet().expect("text"), "call.http", env, diags)
        },
        Names::new(),
        hostile(),
        |path, x| {
            let mut out = String::new();
            let result = path.write(&scope(json!({ "x": x })), &mut out);
            prop_assert_eq!(is_unsafe(&result), matches!(x.as_str(), "" | "." | ".."));
            if result.is_ok() {
                let segments: Vec<_> = out.split('/').map(decoded).collect();
                prop_assert_eq!(&segments, &["", "v1", &x, &format!("a-{x}")]);
                prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!out.contains(['?', '#']));
            }
            Ok(())
        },
    );
}

#[test]
fn a_parameter_keeps_its_pair() {
    text_holds("x-{{ body.x }}", Position::Parameter, |rendered, x| {
        let rendered = rendered.expect("anything is a parameter").expect("present");
        let mut query = String::from("k=");
        encode::percent(&rendered, &mut query);
        query.push_str("&z=1");
        let pairs: Vec<_> = query
            .split('&')
            .map(|pair| pair.split_once('=').expect("a pair"))
            .map(|(key, value)| (decoded(key), decoded(value)))
            .collect();
        let wanted = [
            ("k".to_owned(), format!("x-{x}")),
            ("z".to_owned(), "1".to_owned()),
        ];
        prop_assert_eq!(pairs, wanted);
        Ok(())
    });
}

#[test]
fn a_header_is_one_header_or_refused() {
    text_holds("v={{ body.x }}", Position::Header, |rendered, x| {
        let fits = x.chars().all(|c| matches!(c, ' '..='~' | '\t')) && !x.ends_with([' ', '\t']);
        prop_assert_eq!(is_unsafe(&rendered), !fits);
        if let Ok(Some(rendered)) = rendered {
            let header = http::HeaderValue::from_str(&rendered).expect("a header value");
            let wanted = format!("v={x}");
            prop_assert_eq!(header.to_str().ok(), Some(wanted.as_str()));
        }
        Ok(())
    });
}

fn xml_reads_back(rendered: Result<String, RenderError>, x: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(is_unsafe(&rendered), !x.chars().all(is_xml_char));
    if let Ok(rendered) = rendered {
        let document = roxmltree::Document::parse(&rendered).expect("XML");
        let root = document.root_element();
        prop_assert_eq!(
            document
                .descendants()
                .filter(|node| node.is_element())
                .count(),
            2
        );
        prop_assert_eq!(
            document
                .descendants()
                .filter(|node| node.is_comment())
                .count(),
            0
        );
        prop_assert_eq!(root.attributes().len(), 2);
        prop_assert_eq!(root.attribute("a"), Some(x));
        let wanted = format!("-{x}-");
        prop_assert_eq!(root.attribute("b"), Some(wanted.as_str()));
        let text: String = root
            .first_element_child()
            .expect("the child")
            .descendants()
            .filter_map(|node| node.is_text().then(|| node.text()).flatten())
            .collect();
        prop_assert_eq!(text, format!("[{x}]"));
    }
    Ok(())
}

const XML: &str = "<r a=\"{{ body.x }}\" b='-{{ body.x }}-'><c>[{{ body.x }}]</c></r>";

#[test]
fn xml_keeps_its_elements_and_attributes() {
    text_holds(XML, Position::Xml, |rendered, x| {
        xml_reads_back(rendered.map(|text| text.expect("present")), x)
    });
    template_holds("a.xml.hbs", XML, hostile(), |rendered, x| {
        xml_reads_back(rendered, &x)
    });
}

#[test]
fn an_xpath_literal_holds_the_value_or_refuses_it() {
    let path = "/a[@b='{{ body.x }}' and @c=\"1\"]";
    text_holds(path, Position::XPath, |rendered, x| {
        let fits = !x.contains('\'') && !x.chars().any(char::is_control);
        prop_assert_eq!(is_unsafe(&rendered), !fits);
        if let Ok(Some(rendered)) = rendered {
            prop_assert_eq!(rendered.matches('\'').count(), 2);
            prop_assert_eq!(rendered.split('\'').nth(1), Some(x));
        }
        Ok(())
    });
}

#[test]
fn a_json_template_keeps_its_keys() {
    let text = r#"{"v": {{ body.x }}, "s": [{{#each body.x.l as |i|}}"-{{ i }}-",{{/each}} 0]}"#;
    let strategy = prop::collection::vec(hostile(), 0..4).prop_map(|l| json!({ "l": l }));
    template_holds("a.json.hbs", text, strategy, |rendered, x| {
        let read: Value = serde_json::from_str(&rendered.expect("rendered")).expect("JSON");
        let mut strings: Vec<Value> = x["l"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|i| json!(format!("-{}-", i.as_str().expect("text"))))
            .collect();
        strings.push(json!(0));
        prop_assert_eq!(read, json!({ "v": x, "s": strings }));
        Ok(())
    });
}

#[test]
fn lines_stay_lines() {
    template_holds(
        "a.txt.hbs",
        "vlan 1\n name {{ body.x }}\nend",
        hostile(),
        |rendered, x| {
            prop_assert_eq!(is_unsafe(&rendered), x.chars().any(char::is_control));
            if let Ok(rendered) = rendered {
                prop_assert_eq!(rendered, format!("vlan 1\n name {x}\nend"));
            }
            Ok(())
        },
    );
}

/// Whether a value may stand on a command line, and there with blanks.
fn fits_a_line(x: &str, blanks: bool) -> bool {
    let bad = |c: char| {
        c.is_control()
            || matches!(c, '?' | '"' | '\\')
            || c.is_whitespace() && !(blanks && c == ' ')
    };
    !x.trim().is_empty() && !x.chars().any(bad)
}

/// The words of a line as a device reads them: blanks part them, double quotes hold them together.
fn words_of(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    let mut inside = false;
    for c in line.chars() {
        match c {
            '"' => open = !open,
            ' ' if !open => inside = false,
            c => {
                if !inside {
                    words.push(String::new());
                    inside = true;
                }
                words.last_mut().expect("one was begun").push(c);
            }
        }
    }
    words
}

#[test]
fn a_bare_value_is_one_word_of_one_line() {
    for (position, ends) in [(Some(Position::CliLine), ""), (None, "\nexit\n")] {
        let text = format!(" name vlan-{{{{ body.x }}}} shut{ends}");
        let check = |rendered: Result<String, RenderError>, x: &str| {
            prop_assert_eq!(is_unsafe(&rendered), !fits_a_line(x, false), "{:?}", x);
            if let Ok(rendered) = rendered {
                let lines: Vec<&str> = rendered.lines().collect();
                prop_assert_eq!(lines.len(), 1 + ends.lines().skip(1).count());
                let wanted = ["name".to_owned(), format!("vlan-{x}"), "shut".to_owned()];
                prop_assert_eq!(words_of(lines[0]), wanted);
            }
            Ok(())
        };
        match position {
            Some(position) => text_holds(&text, position, |rendered, x| {
                check(rendered.map(|text| text.expect("present")), x)
            }),
            None => template_holds("a.cli.hbs", &text, hostile(), |rendered, x| {
                check(rendered, &x)
            }),
        }
    }
}

#[test]
fn a_quoted_value_is_one_word_with_its_blanks() {
    let text = "name \"vlan {{ body.x }}\" shut";
    text_holds(text, Position::CliLine, |rendered, x| {
        prop_assert_eq!(is_unsafe(&rendered), !fits_a_line(x, true), "{:?}", x);
        if let Ok(Some(rendered)) = rendered {
            let wanted = ["name".to_owned(), format!("vlan {x}"), "shut".to_owned()];
            prop_assert_eq!(words_of(&rendered), wanted);
        }
        Ok(())
    });
}

#[test]
fn words_may_be_several_and_stay_on_their_line() {
    let text = "description {{ words body.x }}";
    text_holds(text, Position::CliLine, |rendered, x| {
        prop_assert_eq!(is_unsafe(&rendered), !fits_a_line(x, true), "{:?}", x);
        if let Ok(Some(rendered)) = rendered {
            prop_assert_eq!(rendered, format!("description {x}"));
        }
        Ok(())
    });
}

#[test]
fn what_a_profile_refuses_no_value_holds() {
    let text = "name {{ body.x }}; commit";
    let node = text_node(text);
    let names = Names::new();
    let compile = |diags: &mut _| {
        let snippet = node.snippet().expect("text");
        Text::compile(snippet, Position::CliLine, "f", &names.env(), diags)
    };
    let line = compiled(compile).expect("the route's own `;` is its own affair");
    let render = |x: &str| {
        let mut scope = scope(json!({ "x": x }));
        scope.set_line_rules(super::LineRules {
            refuse: vec![";".into(), "||".into()],
            plain_words: false,
        });
        line.render(&scope)
    };
    assert_eq!(render("a|b"), Ok(Some("name a|b; commit".into())));
    for hostile in ["a;b", ";", "a||b"] {
        assert!(is_unsafe(&render(hostile)), "{hostile}");
    }
}

/// What a real shell makes of a command: the arguments that its program gets.
fn by_a_shell(command: &str) -> Vec<String> {
    let script = format!("printf '%s\\0' {command}");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .expect("a shell is part of every system that tests run on");
    let text = String::from_utf8(output.stdout).expect("it got text");
    let mut words: Vec<String> = text.split('\0').map(str::to_owned).collect();
    words.pop();
    words
}

#[test]
fn a_value_is_a_part_of_one_word_to_a_real_shell() {
    text_holds("--name={{ body.x }}", Position::Word, |rendered, x| {
        prop_assert_eq!(is_unsafe(&rendered), x.chars().any(char::is_control));
        if let Ok(Some(word)) = rendered {
            let command = [&word, "end", x].map(super::command::quoted).join(" ");
            let wanted = [format!("--name={x}"), "end".to_owned(), x.to_owned()];
            prop_assert_eq!(&super::command::words(&command), &wanted);
            prop_assert_eq!(by_a_shell(&command), wanted);
        }
        Ok(())
    });
}

#[test]
fn shell_words_that_did_harm_elsewhere_stay_words() {
    for x in [
        "$(reboot)",
        "`id`",
        "a;b",
        "a&&b",
        "a|b",
        ">f",
        "*",
        "~",
        "$HOME",
        "!!",
        "'",
        "''",
        "\"",
        "-rf",
        "#",
        "{a,b}",
        "\\",
        "a b",
        "",
    ] {
        let command = super::command::quoted(x);
        assert_eq!(by_a_shell(&command), [x], "{x:?}");
        assert_eq!(super::command::words(&command), [x], "{x:?}");
    }
    assert_eq!(super::command::quoted("a-Z_0@%+=:,./"), "a-Z_0@%+=:,./");
}

#[test]
fn where_nothing_is_quoted_a_value_is_plain() {
    let node = text_node("{{ body.x }}");
    let names = Names::new();
    let word = compiled(|diags| {
        let snippet = node.snippet().expect("text");
        Text::compile(snippet, Position::Word, "f", &names.env(), diags)
    });
    let word = word.expect("it compiles");
    let mut runner = proptest::test_runner::TestRunner::new(config());
    let result = runner.run(&hostile(), |x| {
        let mut scope = scope(json!({ "x": x }));
        scope.set_line_rules(super::LineRules {
            refuse: Vec::new(),
            plain_words: true,
        });
        prop_assert_eq!(
            is_unsafe(&word.render(&scope)),
            !super::command::is_plain(&x)
        );
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn lines_that_no_value_may_begin_or_break_do_not_compile() {
    for text in [
        "{{ body.x }}",
        "  {{ body.x }} a",
        "a\nb {{ body.x }}",
        "show run ?",
        "show\trun",
        "name \"{{ body.x }}",
        "name \\\\{{ body.x }}",
        "name \\\"{{ body.x }}\"",
        "",
        "   ",
    ] {
        let node = text_node(text);
        let names = Names::new();
        let snippet = node.snippet().expect("text");
        let line =
            compiled(|diags| Text::compile(snippet, Position::CliLine, "f", &names.env(), diags));
        assert!(line.is_err(), "{text:?}");
    }
    for text in [
        "{{#if body.x}}no {{/if}}{{ body.y }}",
        "{{#each body.l}}a {{this}}\n{{/each}}{{ body.y }}",
        "a \"{{ body.x }}\nb\"",
        "a {{#if body.x}}\"{{/if}}{{ body.y }}\"",
        "\ta {{ body.x }}",
    ] {
        let names = Names::new().with_template("a.cli.hbs", text);
        let template = compiled(|diags| {
            Template::compile("a.cli.hbs", Span::default(), "f", &names.env(), diags)
        });
        assert!(template.is_err(), "{text:?}");
    }
    for misplaced in ["{{ words body.x }}", "a {{ upper (words body.x) }}"] {
        let node = text_node(misplaced);
        let names = Names::new();
        let snippet = node.snippet().expect("text");
        for position in [Position::Plain, Position::Word] {
            let text = compiled(|diags| Text::compile(snippet, position, "f", &names.env(), diags));
            assert!(text.is_err(), "{misplaced}");
        }
    }
}

#[test]
fn a_value_of_a_thousand_levels_is_written_whole() {
    let mut deep = json!("x");
    for _ in 0..1000 {
        deep = Value::Array(vec![deep]);
    }
    let names = Names::new();
    let tree = node(&json!({ "a": "{{ body.v }}" }));
    let tree = compiled(|diags| Tree::compile(&tree, "f", &names.env(), diags)).expect("compiles");
    let scope = scope(json!({ "v": deep }));
    let wanted = format!("{{\"a\":{}\"x\"{}}}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(String::from_utf8(bytes(&tree, &scope)), Ok(wanted));
    assert!(tree.to_value(&scope).is_ok());
}

/// Pieces of templates and JSONPaths, to be put together at random.
const SYNTAX: [&str; 40] = [
    "{{", "}}", "{{{", "}}}", "{{#", "{{/", "{{else", "{{~", "~}}", "{{!", "{{!--", "--}}", "{{&",
    "{{>", "{{{{", "{{^", "\\{{", "body.x", "path.id", "item", "upper ", "eq ", "if ", "each ",
    "as |x|", "(", ")", "'", "\"", "[", "]", "$", ".", "..", "*", "?@", "==", " ", "\n", "é",
];

#[test]
fn no_text_panics_the_compiler_and_every_caret_lies_in_the_text() {
    let strategy = prop::collection::vec(prop::sample::select(SYNTAX.to_vec()), 0..12)
        .prop_map(|pieces| pieces.concat());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1024,
        ..config()
    });
    let result = runner.run(&strategy, |text| {
        let mut diags = crate::diagnostics::Diagnostics::default();
        let names = Names::new().with_template("a.xml.hbs", &text);
        let source = text_node(&text);
        let snippet = source.snippet().expect("it is text");
        let env = names.env();
        let _ = Tree::compile(&source, "f", &env, &mut diags);
        let _ = PathTemplate::compile(snippet, "f", &env, &mut diags);
        let _ = super::Expr::compile(snippet, "f", &env, &mut diags);
        let _ = super::JsonPath::compile(snippet, &mut diags);
        let _ = Template::compile("a.xml.hbs", Span::default(), "f", &env, &mut diags);
        for problem in diags.iter() {
            let span = problem.span.expect("every problem has a place");
            let range = span.start as usize..span.end as usize;
            prop_assert!(text.get(range).is_some(), "{:?}", problem);
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
