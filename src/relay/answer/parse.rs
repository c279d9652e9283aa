//! Text as `response.body`: what a route's `parse` makes of it.

use serde_json::Value;

use crate::plan::{CaptureType, Parse};

/// Whether a text without a line is one that it reads: as an empty list, or an object without keys.
pub(super) fn takes_nothing(by: &Parse) -> bool {
    !matches!(by, Parse::Json | Parse::Regex { rows: false, .. })
}

/// The error says why the text is not what `parse` reads.
pub(super) fn parse(by: &Parse, text: &str) -> Result<Value, String> {
    match by {
        Parse::Json => {
            serde_json::from_str(text).map_err(|error| format!("the text is not JSON: {error}"))
        }
        Parse::Regex {
            regex,
            rows: true,
            types,
        } => Ok(text
            .lines()
            .filter_map(|line| captures(regex, types, line))
            .collect()),
        Parse::Regex {
            regex,
            rows: false,
            types,
        } => captures(regex, types, text).ok_or_else(|| "the text does not match `parse`".into()),
        Parse::Table => Ok(table(text)),
        Parse::TextFsm(template) => template.parse(text).map(Value::Array),
        Parse::KeyValue { separator } => Ok(text
            .lines()
            .filter_map(|line| line.split_once(&**separator))
            .map(|(key, value)| (key.trim().to_owned(), Value::from(value.trim())))
            .collect()),
    }
}

fn captures(regex: &regex::Regex, types: &[(Box<str>, CaptureType)], text: &str) -> Option<Value> {
    let found = regex.captures(text)?;
    let row = regex.capture_names().flatten().filter_map(|name| {
        let text = found.name(name)?.as_str();
        let kind = types
            .iter()
            .find(|(known, _)| **known == *name)
            .map_or(CaptureType::Text, |(_, kind)| *kind);
        let value = match kind {
            CaptureType::Text => text.into(),
            CaptureType::Int => text.parse::<i64>().map_or(Value::Null, Value::from),
            CaptureType::List => text
                .split([',', ' ', '\t'])
                .filter(|item| !item.is_empty())
                .collect(),
        };
        Some((name.to_owned(), value))
    });
    Some(row.collect())
}

/// The first line names the columns; a cell reaches from its column's start to the next one's.
fn table(text: &str) -> Value {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let Some(head) = lines.next() else {
        return Value::Array(Vec::new());
    };
    let head: Vec<char> = head.chars().collect();
    let starts: Vec<usize> = (0..head.len())
        .filter(|&at| !head[at].is_whitespace() && (at == 0 || head[at - 1].is_whitespace()))
        .collect();
    let cell = |line: &[char], column: usize| -> String {
        let from = starts[column].min(line.len());
        let to = starts
            .get(column + 1)
            .map_or(line.len(), |&end| end.min(line.len()));
        line[from..to].iter().collect::<String>().trim().to_owned()
    };
    lines
        .map(|line| {
            let line: Vec<char> = line.chars().collect();
            (0..starts.len())
                .map(|column| {
                    (
                        cell(&head, column).to_lowercase(),
                        Value::from(cell(&line, column)),
                    )
                })
                .collect::<Value>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_parsed_by_rows_and_by_columns() {
        let regex = Parse::Regex {
            regex: regex::Regex::new(r"^(?<vid>\d+)\s+(?<ports>\S+)$").unwrap(),
            rows: true,
            types: vec![
                ("vid".into(), CaptureType::Int),
                ("ports".into(), CaptureType::List),
            ],
        };
        assert_eq!(
            parse(&regex, "VLAN Ports\n10 eth1,eth2\n20 eth3").unwrap(),
            json!([{"vid": 10, "ports": ["eth1", "eth2"]}, {"vid": 20, "ports": ["eth3"]}])
        );
        assert_eq!(
            parse(&Parse::Table, "VLAN  Name\n10    blue net\n").unwrap(),
            json!([{"vlan": "10", "name": "blue net"}])
        );
        let pairs = Parse::KeyValue {
            separator: ":".into(),
        };
        assert_eq!(
            parse(&pairs, "State: up\nMtu : 1500").unwrap(),
            json!({"State": "up", "Mtu": "1500"})
        );
    }
}
