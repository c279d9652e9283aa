//! Amounts by value: spans of time and sizes, each with its unit.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, codes};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Kind, Node};

/// A span of time by value: `500ms`, `5s`, `10m`, `2h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

/// No deadline computed from a span leaves the range of a clock.
const MAX_SPAN_MS: u64 = 3650 * 86_400_000;

/// A number of bytes by value: `64KiB`, `1MiB`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

impl Decode for TimeSpan {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        let parsed = node.as_text().and_then(|text| {
            let (number, unit) = split_unit(text)?;
            let unit_ms: u64 = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            let bounded = number.checked_mul(unit_ms).filter(|ms| *ms <= MAX_SPAN_MS);
            bounded.map(Duration::from_millis)
        });
        if parsed.is_none() {
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, node.span, "expected a span of time")
                    .help("write a whole number with ms, s, m, h or d, such as `500ms` or `20s`, up to 3650d"),
            );
        }
        parsed.map(TimeSpan)
    }
}

impl Decode for Size {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        let parsed = match &node.kind {
            Kind::Number(number) => number.as_u64(),
            Kind::Text(scalar) => split_unit(&scalar.text).and_then(|(number, unit)| {
                let unit: u64 = match unit {
                    "B" => 1,
                    "KiB" => 1 << 10,
                    "MiB" => 1 << 20,
                    "GiB" => 1 << 30,
                    _ => return None,
                };
                number.checked_mul(unit)
            }),
            _ => None,
        }
        .and_then(|bytes| usize::try_from(bytes).ok());
        if parsed.is_none() {
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, node.span, "expected a size")
                    .help("write a whole number of bytes, or one with KiB, MiB or GiB"),
            );
        }
        parsed.map(Size)
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ ?(ms|s|m|h|d)$",
            "description": "A span of time: `500ms`, `5s`, `10m`, `2h`, `30d`.",
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)$",
            "minimum": 0,
            "description": "A number of bytes: `64KiB`, `1MiB`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Scalar, Span};

    fn text(value: &str) -> Node {
        Node {
            span: Span::default(),
            kind: Kind::Text(Scalar {
                text: value.into(),
                verbatim_at: None,
                plain: true,
            }),
        }
    }

    #[test]
    fn spans_and_sizes_carry_their_unit() {
        let mut diags = Diagnostics::default();
        assert_eq!(
            TimeSpan::decode(&text("500ms"), &mut diags),
            Some(TimeSpan(Duration::from_millis(500)))
        );
        assert_eq!(Size::decode(&text("64KiB"), &mut diags), Some(Size(65_536)));
        assert!(diags.no_errors());
        assert_eq!(TimeSpan::decode(&text("5"), &mut diags), None);
        assert_eq!(Size::decode(&text("5 parsecs"), &mut diags), None);
        assert_eq!(diags.errors(), 2);
    }
}
