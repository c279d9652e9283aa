//! The scalars of a query or headers schema: what each text becomes before it is validated.

use super::close::local_target;
use super::codes;
use super::schema::Purpose;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Entry, Kind, Node};
use crate::plan::ScalarType;

/// The properties of a query or headers schema, each a scalar.
pub(super) fn scalars(
    root: &Node,
    purpose: Purpose,
    diags: &mut Diagnostics,
) -> Option<Vec<(Box<str>, ScalarType)>> {
    let what = match purpose {
        Purpose::Headers => "headers",
        _ => "query parameters",
    };
    let schema = local_target(root, root).unwrap_or(root);
    let Some(Kind::Map(properties)) = schema.get("properties").map(|node| &node.kind) else {
        diags.push(
            Diagnostic::error(
                codes::BAD_SCHEMA,
                root.span,
                format!("the schema of the {what} names none"),
            )
            .help("write `properties:` with the names that may come"),
        );
        return None;
    };
    let mut found = Vec::new();
    let mut fine = true;
    for entry in properties {
        if purpose == Purpose::Headers {
            fine &= check_header_name(entry, diags);
        }
        match scalar(root, &entry.value) {
            Some(scalar) => found.push((entry.key.as_str().into(), scalar)),
            None => {
                fine = false;
                diags.push(
                    Diagnostic::error(
                        codes::NOT_A_SCALAR,
                        entry.value.span,
                        format!("`{}` is not a scalar", entry.key),
                    )
                    .help(
                        "write `type:` with string, integer, number, boolean, or array of strings",
                    ),
                );
            }
        }
    }
    fine.then_some(found)
}

fn check_header_name(entry: &Entry, diags: &mut Diagnostics) -> bool {
    let wanted = entry.key.to_ascii_lowercase().replace('-', "_");
    if wanted == entry.key {
        return true;
    }
    diags.push(
        Diagnostic::error(
            codes::BAD_NAME,
            entry.key_span,
            format!("`{}` cannot be read as a variable", entry.key),
        )
        .did_you_mean(Some(&wanted))
        .help("headers are in lower case, with `_` for `-`"),
    );
    false
}

fn scalar(root: &Node, schema: &Node) -> Option<ScalarType> {
    let schema = local_target(root, schema).unwrap_or(schema);
    let Kind::Map(_) = &schema.kind else {
        return None;
    };
    match schema.get("type") {
        None => match schema.get("properties").or(schema.get("items")) {
            None => Some(by_values(schema)),
            Some(_) => None,
        },
        Some(kind) => match kind.as_text()? {
            "string" => Some(ScalarType::Text),
            "integer" => Some(ScalarType::Integer),
            "number" => Some(ScalarType::Number),
            "boolean" => Some(ScalarType::Boolean),
            "array" => match schema.get("items") {
                None => Some(ScalarType::TextList),
                Some(items) => {
                    (scalar(root, items)? == ScalarType::Text).then_some(ScalarType::TextList)
                }
            },
            _ => None,
        },
    }
}

/// Without a `type`, the values of an `enum` say it.
fn by_values(schema: &Node) -> ScalarType {
    let values = match (
        schema.get("enum").map(|node| &node.kind),
        schema.get("const"),
    ) {
        (Some(Kind::List(items)), _) => items.iter().collect(),
        (_, Some(value)) => vec![value],
        _ => Vec::new(),
    };
    let all = |test: fn(&Kind) -> bool| {
        !values.is_empty() && values.iter().all(|value| test(&value.kind))
    };
    if all(|kind| matches!(kind, Kind::Number(number) if number.is_i64() || number.is_u64())) {
        ScalarType::Integer
    } else if all(|kind| matches!(kind, Kind::Number(_))) {
        ScalarType::Number
    } else if all(|kind| matches!(kind, Kind::Bool(_))) {
        ScalarType::Boolean
    } else {
        ScalarType::Text
    }
}
