//! `response` and `extract`: how an answer is read and judged, the file's defaults merged in.

use http::StatusCode;
use regex::RegexBuilder;

use super::codes;
use super::names::{Names, Stage, Surroundings, check_name, check_names};
use super::textfsm;
use crate::config::spec::decode::{At, Entries};
use crate::config::spec::part::{Part, Written, misplaced, right, wrong};
use crate::config::spec::response::{
    CaptureWord, ErrorRuleSpec, FormatWord, ParseMapSpec, ParseSpec, ResponseSpec, SideEffectWord,
};
use crate::diagnostics::{Diagnostic, Diagnostics, codes as expression_codes, suggest};
use crate::document::{Kind, Node, Span};
use crate::plan::{BodyFormat, CaptureType, ErrorRule, Parse, ResponseRules, SideEffect};
use crate::transform::{Condition, Position, Source, Text};

/// Compiles the rules of a route; its own keys win over the file's, its error rules come first.
pub(super) fn compile(
    own: Option<&ResponseSpec>,
    inherited: Option<&ResponseSpec>,
    (names, is_http): (&Names, bool),
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<ResponseRules> {
    let errors = diags.errors();
    let specs = || [own, inherited].into_iter().flatten();

    let success = specs().find_map(|spec| right(&spec.success));
    let success = success.map(|codes| {
        let codes = codes.0.iter();
        codes.filter_map(|at| status(at, is_http, diags)).collect()
    });
    let success_when = specs().find_map(|spec| spec.success_when.as_ref());
    let success_when = success_when.and_then(|node| condition(node, diags));
    let fail_when = specs().find_map(|spec| right(&spec.fail_when));
    let fail_when = fail_when.map(|nodes| {
        nodes
            .0
            .iter()
            .filter_map(|node| condition(node, diags))
            .collect()
    });
    let format = specs().find_map(|spec| right(&spec.format));
    let lists = specs().find_map(|spec| right(&spec.lists));
    let lists = lists.map(|lists| names_in(lists, "`lists`", diags));
    let attributes = specs().find_map(|spec| right(&spec.attributes));
    let attributes = attributes.map(|names| names_in(names, "`attributes`", diags));
    let parse = specs().find_map(|spec| right(&spec.parse));
    let parse = parse.and_then(|parse| self::parse(&parse.value, around, diags));

    if let Some(own) = own {
        without_effect(own, format, diags);
    }

    let rules: Vec<&ErrorRuleSpec> = specs()
        .filter_map(|spec| right(&spec.errors))
        .flatten()
        .filter_map(|rule| rule.0.as_ref())
        .collect();
    let compiled: Vec<_> = rules
        .iter()
        .map(|rule| error_rule(rule, names, around, diags))
        .collect();
    unreachable_rules(&rules, diags);

    let broken = specs().any(|spec| {
        wrong(&spec.success)
            || wrong(&spec.fail_when)
            || wrong(&spec.errors)
            || wrong(&spec.format)
            || wrong(&spec.lists)
            || wrong(&spec.attributes)
            || wrong(&spec.parse)
            || right(&spec.errors).is_some_and(|rules| rules.iter().any(|rule| rule.0.is_none()))
    });
    if broken || diags.errors() > errors {
        return None;
    }
    Some(ResponseRules {
        format: format.map(|format| match format {
            FormatWord::Json => BodyFormat::Json,
            FormatWord::Xml => BodyFormat::Xml,
            FormatWord::Text => BodyFormat::Text,
        }),
        lists: lists.unwrap_or_default(),
        attributes,
        parse,
        success: success.unwrap_or_default(),
        zero_is_success: !is_http,
        success_when,
        fail_when: fail_when.unwrap_or_default(),
        errors: compiled.into_iter().collect::<Option<_>>()?,
    })
}

/// Names of XML, as written.
fn names_in(names: &[Written], key: &str, diags: &mut Diagnostics) -> Vec<Box<str>> {
    let names = names.iter().filter_map(|name| name.literal(key, diags));
    names.map(Into::into).collect()
}

/// Keys of a route that its format leaves unread.
fn without_effect(own: &ResponseSpec, format: Option<&FormatWord>, diags: &mut Diagnostics) {
    let mut warn = |span: Option<Span>, message: &str| {
        if let Some(span) = span {
            diags.push(
                Diagnostic::warning(codes::NO_EFFECT, span, message)
                    .help("remove the key, or change `format`"),
            );
        }
    };
    if let Some(FormatWord::Json | FormatWord::Text) = format {
        let first = |names: &Option<Part<Vec<Written>>>| {
            let first = right(names).and_then(|names| names.first());
            first.map(Written::span)
        };
        warn(first(&own.lists), "`lists` is about XML");
        warn(first(&own.attributes), "`attributes` is about XML");
    }
    if let Some(FormatWord::Json | FormatWord::Xml) = format {
        let parse = right(&own.parse).map(|at| at.span);
        warn(parse, "`parse` is about text");
    }
}

/// Compiles a condition; an expression in it is reported here, with the reason.
pub(super) fn condition(node: &Node, diags: &mut Diagnostics) -> Option<Condition> {
    if let Some(place) = expression_in(node) {
        diags.push(misplaced(
            place.span,
            "a condition is about the answer alone, and takes no expression",
        ));
        return None;
    }
    Condition::compile(node, diags)
}

fn expression_in(node: &Node) -> Option<&Node> {
    match &node.kind {
        Kind::Text(scalar) => scalar.text.contains("{{").then_some(node),
        Kind::List(items) => items.iter().find_map(expression_in),
        Kind::Map(entries) => entries.iter().find_map(|entry| expression_in(&entry.value)),
        _ => None,
    }
}

/// A status of HTTP; of anything else, what a program ends with.
pub(super) fn status(at: &At<u16>, is_http: bool, diags: &mut Diagnostics) -> Option<u16> {
    let (fits, what) = match is_http {
        true => ((100..600).contains(&at.value), "an HTTP status"),
        false => (at.value < 256, "an exit status, which is 0 to 255"),
    };
    if fits {
        return Some(at.value);
    }
    diags.push(Diagnostic::error(
        codes::BAD_STATUS,
        at.span,
        format!("{} is not {what}", at.value),
    ));
    None
}

fn error_rule(
    spec: &ErrorRuleSpec,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<ErrorRule> {
    let when = condition(&spec.when, diags);
    let reply = StatusCode::from_u16(spec.reply.value)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error());
    if reply.is_none() {
        diags.push(
            Diagnostic::error(
                codes::BAD_STATUS,
                spec.reply.span,
                format!("an error rule cannot reply {}", spec.reply.value),
            )
            .help("write a status from 400 to 599; what is a success is said by `success` and `success_when`"),
        );
    }
    let code = match &spec.code {
        None => Some(None),
        Some(code) => code
            .literal("`code`", diags)
            .filter(|text| check_name(text, code.span(), "an error code", diags))
            .map(|text| Some(text.into())),
    };
    let roots = names.roots(Stage::Answer);
    let env = names.env(around, Stage::Answer, &roots);
    let detail = match &spec.detail {
        None => Some(None),
        Some(detail) => Text::compile(
            detail.snippet(),
            Position::Plain,
            "response.errors.detail",
            &env,
            diags,
        )
        .map(Some),
    };
    Some(ErrorRule {
        when: when?,
        reply: reply?,
        code: code?,
        detail: detail?,
        side_effect: spec.side_effect.map(|word| match word {
            SideEffectWord::None => SideEffect::None,
            SideEffectWord::Unknown => SideEffect::Unknown,
            SideEffectWord::Done => SideEffect::Done,
        }),
    })
}

/// The first rule that holds wins, so a second one with the same condition never does.
fn unreachable_rules(rules: &[&ErrorRuleSpec], diags: &mut Diagnostics) {
    for (index, rule) in rules.iter().enumerate() {
        let json = rule.when.to_json();
        let first = rules[..index]
            .iter()
            .find(|earlier| earlier.when.to_json() == json);
        if let Some(first) = first {
            diags.push(
                Diagnostic::warning(
                    codes::UNREACHABLE_RULE,
                    rule.when.span,
                    "this rule never holds first: an earlier one has the same condition",
                )
                .related(first.when.span, "the earlier rule is here"),
            );
        }
    }
}

fn parse(spec: &ParseSpec, around: &Surroundings<'_>, diags: &mut Diagnostics) -> Option<Parse> {
    let map = match spec {
        ParseSpec::Json => return Some(Parse::Json),
        ParseSpec::Map(map) => map,
    };
    let regex_only = map.rows.is_some() || map.multiline.is_some() || map.types.is_some();
    match (&map.regex, &map.table, &map.kv, &map.textfsm) {
        (Some(regex), None, None, None) => parse_regex(regex, map, diags),
        (None, None, None, Some(written)) if !regex_only => {
            textfsm::compile(written, around, diags).map(Parse::TextFsm)
        }
        (None, Some(table), None, None) if table.value && !regex_only => Some(Parse::Table),
        (None, None, Some(separator), None) if !regex_only => {
            let text = separator.literal("`kv`", diags)?;
            if text.is_empty() {
                diags.push(Diagnostic::error(
                    codes::BAD_VALUE,
                    separator.span(),
                    "nothing separates names from values",
                ));
                return None;
            }
            Some(Parse::KeyValue {
                separator: text.into(),
            })
        }
        _ => {
            let span = [
                map.regex.as_ref().map(Written::span),
                map.table.as_ref().map(|at| at.span),
                map.kv.as_ref().map(Written::span),
                map.textfsm.as_ref().map(Written::span),
            ]
            .into_iter()
            .flatten()
            .next_back();
            let problem = Diagnostic {
                span,
                ..Diagnostic::error(
                    codes::CONFLICTING_KEYS,
                    Default::default(),
                    "`parse` is exactly one of `regex`, `table: true`, `kv` and `textfsm`",
                )
            };
            diags.push(problem.help("`rows`, `multiline` and `types` go with `regex`"));
            None
        }
    }
}

fn parse_regex(written: &Written, map: &ParseMapSpec, diags: &mut Diagnostics) -> Option<Parse> {
    let multiline = map.multiline.unwrap_or(false);
    let regex = RegexBuilder::new(written.text())
        .multi_line(!multiline)
        .dot_matches_new_line(multiline)
        .build();
    let regex = match regex {
        Ok(regex) => regex,
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or("it does not parse");
            diags.push(
                Diagnostic::error(
                    expression_codes::BAD_REGEX,
                    written.span(),
                    format!("this is not a regular expression: {reason}"),
                )
                .help("the syntax is that of Rust's regex crate: linear, without look-around"),
            );
            return None;
        }
    };
    let groups: Vec<&str> = regex.capture_names().flatten().collect();
    if groups.is_empty() {
        diags.push(
            Diagnostic::error(
                expression_codes::BAD_REGEX,
                written.span(),
                "no group of this expression has a name, so nothing would be captured",
            )
            .help("write `(?P<vid>[0-9]+)`"),
        );
        return None;
    }
    let mut types = Vec::new();
    for (name, word) in map.types.iter().flat_map(|types| &types.0) {
        if !groups.contains(&name.value.as_str()) {
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_FIELD,
                    name.span,
                    format!("`{}` is not a group of the expression", name.value),
                )
                .did_you_mean(suggest::nearest(&name.value, groups.iter().copied())),
            );
            continue;
        }
        let word = match word {
            CaptureWord::Int => CaptureType::Int,
            CaptureWord::List => CaptureType::List,
            CaptureWord::Text => CaptureType::Text,
        };
        types.push((name.value.as_str().into(), word));
    }
    Some(Parse::Regex {
        regex,
        rows: map.rows.unwrap_or(false),
        types,
    })
}

/// Compiles the further sources of an answer.
pub(super) fn extract(
    specs: Option<&Entries<Node>>,
    names: &mut Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<(Box<str>, Source)>> {
    let specs = specs.map(|specs| specs.0.as_slice()).unwrap_or_default();
    check_names(
        specs.iter().map(|(name, _)| name),
        "an extracted value",
        diags,
    );
    let mut compiled = Vec::new();
    for (name, node) in specs {
        let roots = names.roots(Stage::Answer);
        let env = names.env(around, Stage::Answer, &roots);
        let source = Source::compile(node, &format!("extract.{}", name.value), &env, diags);
        let name: Box<str> = name.value.as_str().into();
        names.extracted.push(name.clone());
        if source.as_ref().is_some_and(Source::is_optional) {
            names.absent_extracted.push(name.clone());
        }
        compiled.push(source.map(|source| (name, source)));
    }
    compiled.into_iter().collect()
}
