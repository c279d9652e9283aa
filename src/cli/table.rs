//! Rows as aligned columns, for people; JSON goes out with `--format json`.

use serde_json::Value;

/// Columns as wide as their widest cell, the last one unpadded.
pub fn render(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let headings: Vec<String> = headings
        .iter()
        .map(|heading| (*heading).to_owned())
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One object as a line for each of its members, empty ones left out.
pub fn fields(object: &Value) -> String {
    let members = object.as_object().into_iter().flatten();
    let shown: Vec<_> = members.filter(|(_, value)| !is_empty(value)).collect();
    let names = shown.iter().map(|(name, _)| name.chars().count());
    let width = names.max().unwrap_or(0);
    shown
        .iter()
        .map(|(name, value)| format!("{name:<width$}  {}\n", cell(value)))
        .collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// A JSON value as a cell; control characters, which a terminal would obey, are shown escaped.
pub fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "x".to_owned()],
            vec!["long".to_owned(), "y".to_owned()],
        ];
        assert_eq!(render(&["NAME", "K"], &rows), "NAME  K\na     x\nlong  y\n");
    }

    #[test]
    fn fields_line_up_and_leave_out_what_is_empty() {
        let object = json!({ "id": "a", "error": null, "state": "failed", "effects": [] });
        assert_eq!(fields(&object), "id     a\nstate  failed\n");
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        assert_eq!(cell(&json!("a\u{1b}[31m")), "a\\u{1b}[31m");
        assert_eq!(cell(&json!(null)), "-");
    }
}
