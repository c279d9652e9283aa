//! The Handlebars helpers of the language: their names, their arity, and what they compute.
//!
//! `optional`, `default`, `has`, `and`, `or`, `map`, `unmap` and the three over the mapping table
//! decide what is evaluated and are in `expr`; the others are plain functions of their arguments.

use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use serde_json::{Number, Value};

use super::encode::text_of;
use super::number::{is_integer, same_value};
use super::uses::Wants;

/// What a helper's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    Optional,
    Default,
    Has,
    And,
    Or,
    Map,
    Unmap,
    BackendId,
    CmpId,
    Mapped,
    Plain(Func),
}

/// A helper that is a function of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Func {
    Lower,
    Upper,
    Trim,
    Join,
    Split,
    Entries,
    Replace,
    Json,
    Base64,
    Int,
    String,
    Uuid,
    Words,
    CidrAddress,
    CidrNetmask,
    CidrPrefix,
    Cursor,
    Uncursor,
    Count,
    Add,
    Lt,
    Eq,
    Ne,
    Not,
}

impl Func {
    /// What it takes as its argument at `index`.
    pub(super) fn wants(self, index: usize) -> Wants {
        match self {
            Func::Lower
            | Func::Upper
            | Func::Trim
            | Func::Base64
            | Func::String
            | Func::Words
            | Func::Replace
            | Func::Split
            | Func::CidrAddress
            | Func::CidrNetmask
            | Func::CidrPrefix
            | Func::Cursor
            | Func::Uncursor
            | Func::Add
            | Func::Lt
            | Func::Int => Wants::Text,
            Func::Count => Wants::List,
            Func::Join if index == 0 => Wants::List,
            Func::Join => Wants::Text,
            Func::Not => Wants::Boolean,
            Func::Entries | Func::Json | Func::Uuid | Func::Eq | Func::Ne => Wants::Anything,
        }
    }
}

/// Name, meaning, how many arguments at least and at most, and how it is written.
type Entry = (&'static str, Helper, usize, usize, &'static str);

const HELPERS: [Entry; 34] = [
    ("optional", Helper::Optional, 1, 1, "optional body.mtu"),
    ("default", Helper::Default, 2, 2, "default body.mtu 1500"),
    ("has", Helper::Has, 1, 1, "has body.port"),
    ("and", Helper::And, 2, usize::MAX, "and body.a body.b"),
    ("or", Helper::Or, 2, usize::MAX, "or body.a body.b"),
    ("map", Helper::Map, 2, 2, "map 'action' body.action"),
    (
        "unmap",
        Helper::Unmap,
        2,
        2,
        "unmap 'action' response.body.action",
    ),
    (
        "backend_id",
        Helper::BackendId,
        2,
        2,
        "backend_id 'network' body.network",
    ),
    (
        "cmp_id",
        Helper::CmpId,
        2,
        2,
        "cmp_id 'network' item.network_id",
    ),
    ("mapped", Helper::Mapped, 2, 2, "mapped 'network' item.id"),
    ("lower", Helper::Plain(Func::Lower), 1, 1, "lower body.name"),
    ("upper", Helper::Plain(Func::Upper), 1, 1, "upper body.name"),
    ("trim", Helper::Plain(Func::Trim), 1, 1, "trim body.name"),
    (
        "join",
        Helper::Plain(Func::Join),
        2,
        2,
        "join body.ports ','",
    ),
    (
        "split",
        Helper::Plain(Func::Split),
        2,
        2,
        "split body.ports ','",
    ),
    (
        "entries",
        Helper::Plain(Func::Entries),
        1,
        1,
        "entries response.body.vlans",
    ),
    (
        "replace",
        Helper::Plain(Func::Replace),
        3,
        3,
        "replace body.name '-' '_'",
    ),
    ("json", Helper::Plain(Func::Json), 1, 1, "json body.rule"),
    (
        "base64",
        Helper::Plain(Func::Base64),
        1,
        1,
        "base64 body.data",
    ),
    ("int", Helper::Plain(Func::Int), 1, 1, "int body.port"),
    (
        "string",
        Helper::Plain(Func::String),
        1,
        1,
        "string body.port",
    ),
    ("uuid", Helper::Plain(Func::Uuid), 0, 0, "uuid"),
    ("words", Helper::Plain(Func::Words), 1, 1, "words body.note"),
    (
        "cidr_address",
        Helper::Plain(Func::CidrAddress),
        1,
        1,
        "cidr_address body.cidr",
    ),
    (
        "cidr_netmask",
        Helper::Plain(Func::CidrNetmask),
        1,
        1,
        "cidr_netmask body.cidr",
    ),
    (
        "cidr_prefix",
        Helper::Plain(Func::CidrPrefix),
        1,
        1,
        "cidr_prefix body.cidr",
    ),
    (
        "cursor",
        Helper::Plain(Func::Cursor),
        1,
        1,
        "cursor extracted.next",
    ),
    (
        "uncursor",
        Helper::Plain(Func::Uncursor),
        1,
        1,
        "uncursor query.marker",
    ),
    (
        "count",
        Helper::Plain(Func::Count),
        1,
        1,
        "count response.body.results",
    ),
    (
        "add",
        Helper::Plain(Func::Add),
        2,
        2,
        "add query.offset query.limit",
    ),
    (
        "lt",
        Helper::Plain(Func::Lt),
        2,
        2,
        "lt query.offset response.body.total",
    ),
    (
        "eq",
        Helper::Plain(Func::Eq),
        2,
        2,
        "eq body.action 'allow'",
    ),
    (
        "ne",
        Helper::Plain(Func::Ne),
        2,
        2,
        "ne body.action 'allow'",
    ),
    ("not", Helper::Plain(Func::Not), 1, 1, "not body.enabled"),
];

/// A helper's meaning, least and most arguments, and an example.
pub(super) fn find(name: &str) -> Option<(Helper, usize, usize, &'static str)> {
    HELPERS
        .iter()
        .find(|(helper, ..)| *helper == name)
        .map(|(_, helper, least, most, example)| (*helper, *least, *most, *example))
}

/// The names of all helpers.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    HELPERS.iter().map(|(name, ..)| *name)
}

/// The value of a helper, or what about its arguments is wrong.
pub(super) fn compute(func: Func, args: &[Cow<'_, Value>]) -> Result<Value, Cow<'static, str>> {
    // Arity was checked when the expression was compiled.
    let text = |at: usize| text_of(&args[at]);
    Ok(match func {
        Func::Lower => text(0)?.to_lowercase().into(),
        Func::Upper => text(0)?.to_uppercase().into(),
        Func::Trim => text(0)?.trim().into(),
        Func::String | Func::Words => text(0)?.into_owned().into(),
        Func::Json => args[0].to_string().into(),
        Func::Base64 => base64::engine::general_purpose::STANDARD
            .encode(text(0)?.as_bytes())
            .into(),
        Func::Replace => text(0)?.replace(&*text(1)?, &text(2)?).into(),
        Func::Join => {
            let items: Result<Vec<_>, _> = list(&args[0])?.iter().map(text_of).collect();
            items?.join(&*text(1)?).into()
        }
        Func::Split => {
            let separator = text(1)?;
            if separator.is_empty() {
                return Err("the separator of `split` is empty".into());
            }
            text(0)?.split(&*separator).map(Value::from).collect()
        }
        Func::Entries => match &*args[0] {
            Value::Object(object) => object
                .iter()
                .map(|(key, value)| serde_json::json!({ "key": key, "value": value }))
                .collect(),
            _ => return Err("it is not an object".into()),
        },
        Func::Int => Value::Number(integer(&args[0])?),
        Func::Uuid => uuid::Uuid::new_v4().to_string().into(),
        Func::CidrAddress => cidr(&args[0])?.addr().to_string().into(),
        Func::CidrNetmask => cidr(&args[0])?.netmask().to_string().into(),
        Func::CidrPrefix => cidr(&args[0])?.prefix_len().into(),
        Func::Cursor => format!("{CURSOR}{}", URL_SAFE_NO_PAD.encode(text(0)?.as_bytes())).into(),
        Func::Uncursor => uncursor(&text(0)?).ok_or(NO_CURSOR)?.into(),
        Func::Count => list(&args[0])?.len().into(),
        Func::Add => {
            let sum = whole(&args[0])?.checked_add(whole(&args[1])?);
            Value::Number(integer(&sum.ok_or(TOO_LARGE)?.to_string().into())?)
        }
        Func::Lt => (whole(&args[0])? < whole(&args[1])?).into(),
        Func::Eq => same_value(&args[0], &args[1]).into(),
        Func::Ne => (!same_value(&args[0], &args[1])).into(),
        Func::Not => match *args[0] {
            Value::Bool(value) => (!value).into(),
            _ => return Err("`not` takes true or false; `has` asks for presence".into()),
        },
    })
}

/// What a cursor begins with: nothing that a URL would encode, and nothing that base64 has.
const CURSOR: &str = "~";
const NO_CURSOR: &str = "it is no cursor that a list gave";
const TOO_LARGE: &str = "the number is too large to compute with";

/// What `cursor` made a cursor of.
fn uncursor(text: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(CURSOR)?).ok()?;
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
}

fn list(value: &Value) -> Result<&[Value], &'static str> {
    let items = value.as_array().ok_or("it is not a list")?;
    Ok(items)
}

/// A whole number to compute with.
fn whole(value: &Value) -> Result<i128, &'static str> {
    let number = integer(value)?;
    number.to_string().parse().map_err(|_| TOO_LARGE)
}

/// A whole number out of a number or its digits, with as many digits as it has.
fn integer(value: &Value) -> Result<Number, &'static str> {
    const NOT: &str = "it is not a whole number";
    let text = match value {
        Value::Number(_) | Value::String(_) => text_of(value)?,
        _ => return Err(NOT),
    };
    if !is_integer(&text) {
        return Err(NOT);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", &*text),
    };
    // JSON knows no leading zeros.
    let digits = digits.trim_start_matches('0');
    let plain = match digits {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}"),
    };
    Number::from_str(&plain).map_err(|_| NOT)
}

fn cidr(value: &Value) -> Result<IpNet, &'static str> {
    const NOT: &str = "it is not an address with a prefix length or a netmask, such as 10.0.0.0/24";
    let text = value.as_str().ok_or(NOT)?;
    // Devices write `10.0.0.0 255.255.255.0`, too.
    let masked = || {
        let (address, mask) = text.split_once(['/', ' '])?;
        IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()
    };
    IpNet::from_str(text).ok().or_else(masked).ok_or(NOT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(func: Func, args: &[Value]) -> Result<Value, Cow<'static, str>> {
        let args: Vec<_> = args.iter().map(Cow::Borrowed).collect();
        compute(func, &args)
    }

    #[test]
    fn text_helpers_take_scalars_and_refuse_the_rest() {
        assert_eq!(value(Func::Upper, &[json!("aé")]), Ok(json!("AÉ")));
        assert_eq!(value(Func::Trim, &[json!(" a ")]), Ok(json!("a")));
        assert_eq!(value(Func::String, &[json!(5)]), Ok(json!("5")));
        assert_eq!(value(Func::Base64, &[json!("é")]), Ok(json!("w6k=")));
        assert_eq!(
            value(Func::Join, &[json!([1, "a"]), json!("-")]),
            Ok(json!("1-a"))
        );
        assert_eq!(
            value(Func::Split, &[json!("1,2"), json!(",")]),
            Ok(json!(["1", "2"]))
        );
        assert_eq!(
            value(Func::Entries, &[json!({ "7": ["a"], "10": null })]),
            Ok(json!([{ "key": "7", "value": ["a"] }, { "key": "10", "value": null }]))
        );
        assert!(value(Func::Entries, &[json!(["a"])]).is_err());
        assert_eq!(
            value(Func::Replace, &[json!("a-b-c"), json!("-"), json!("")]),
            Ok(json!("abc"))
        );
        for bad in [json!(null), json!([]), json!({})] {
            assert!(value(Func::Lower, &[bad]).is_err());
        }
        assert!(value(Func::Join, &[json!([[1]]), json!(",")]).is_err());
    }

    #[test]
    fn int_keeps_every_digit_and_refuses_fractions() {
        let digits = "-00123456789012345678901234567890";
        assert_eq!(
            value(Func::Int, &[json!(digits)]).unwrap().to_string(),
            "-123456789012345678901234567890"
        );
        assert_eq!(value(Func::Int, &[json!("-0")]), Ok(json!(0)));
        for bad in [
            json!("1.0"),
            json!(1.5),
            json!(" 1"),
            json!(""),
            json!(true),
            json!("1e3"),
        ] {
            assert!(
                value(Func::Int, std::slice::from_ref(&bad)).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_cidr_splits_into_address_netmask_and_prefix() {
        let net = [json!("10.1.2.3/20")];
        assert_eq!(value(Func::CidrAddress, &net), Ok(json!("10.1.2.3")));
        assert_eq!(value(Func::CidrNetmask, &net), Ok(json!("255.255.240.0")));
        assert_eq!(value(Func::CidrPrefix, &net), Ok(json!(20)));
        assert_eq!(
            value(Func::CidrPrefix, &[json!("fd00::/64")]),
            Ok(json!(64))
        );
        for masked in ["10.1.2.3 255.255.240.0", "10.1.2.3/255.255.240.0"] {
            assert_eq!(value(Func::CidrPrefix, &[json!(masked)]), Ok(json!(20)));
            assert_eq!(
                value(Func::CidrAddress, &[json!(masked)]),
                Ok(json!("10.1.2.3"))
            );
        }
        for bad in ["10.0.0.1", "10.0.0.0 255.0.255.0", "10.0.0.0 - 10.0.0.9"] {
            assert!(value(Func::CidrPrefix, &[json!(bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_handed_back_and_nothing_else_is_one() {
        for text in ["be-net", "a/b?c=d&e", "é"] {
            let made = value(Func::Cursor, &[json!(text)]).unwrap();
            assert!(!made.as_str().unwrap().contains(text), "{made}");
            assert_eq!(value(Func::Uncursor, &[made]), Ok(json!(text)));
        }
        assert_eq!(
            value(Func::Cursor, &[json!("be-net")]),
            Ok(json!("~YmUtbmV0"))
        );
        for none in ["", "~", "n1", "YmUtbmV0", "~YmUtbmV0=", "~_w", "~YmUtbmV1x"] {
            let refused = value(Func::Uncursor, &[json!(none)]);
            assert_eq!(refused, Err(NO_CURSOR.into()), "{none}");
        }
    }

    #[test]
    fn sums_and_comparisons_are_of_whole_numbers() {
        assert_eq!(value(Func::Add, &[json!(20), json!("10")]), Ok(json!(30)));
        assert_eq!(value(Func::Add, &[json!(1), json!(-2)]), Ok(json!(-1)));
        assert_eq!(value(Func::Lt, &[json!(9), json!("10")]), Ok(json!(true)));
        assert_eq!(value(Func::Lt, &[json!(10), json!(10)]), Ok(json!(false)));
        let most = json!(i128::MAX.to_string());
        assert_eq!(value(Func::Add, &[most, json!(1)]), Err(TOO_LARGE.into()));
        for bad in [json!(1.5), json!("x"), json!(null), json!(true)] {
            assert!(value(Func::Add, &[bad.clone(), json!(1)]).is_err(), "{bad}");
            assert!(value(Func::Lt, &[json!(1), bad.clone()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_items_of_a_list_are_counted() {
        assert_eq!(
            value(Func::Count, &[json!([1, [2, 3], null])]),
            Ok(json!(3))
        );
        assert_eq!(value(Func::Count, &[json!([])]), Ok(json!(0)));
        for bad in [json!({ "a": 1 }), json!("ab"), json!(null)] {
            assert!(value(Func::Count, &[bad]).is_err());
        }
    }

    #[test]
    fn not_is_strict_about_booleans() {
        assert_eq!(value(Func::Not, &[json!(false)]), Ok(json!(true)));
        assert!(value(Func::Not, &[json!(0)]).is_err());
        assert_eq!(value(Func::Eq, &[json!(1), json!(1.0)]), Ok(json!(true)));
        assert_eq!(value(Func::Ne, &[json!("1"), json!(1)]), Ok(json!(true)));
    }

    #[test]
    fn a_made_uuid_is_one() {
        let made = value(Func::Uuid, &[]).unwrap();
        assert!(uuid::Uuid::parse_str(made.as_str().unwrap()).is_ok());
    }
}
