//! A template run over a text, line by line.

use regex::Captures;
use serde_json::{Map, Value};

use super::{
    Column, LineAction, MOST_ITEMS, MOST_ROWS, RecordAction, Rule, State, Target, TextFsm,
};

/// The rows of `text`.
pub(super) fn rows(template: &TextFsm, text: &str) -> Result<Vec<Value>, String> {
    let mut table = Table {
        columns: &template.values,
        rows: Vec::new(),
        begun: vec![Cell::default(); template.values.len()],
        items: 0,
    };
    let mut state = &template.states[0];
    let mut records_end = !template.silent_end;
    for (number, line) in text.lines().enumerate() {
        match table.line(state, line, number + 1)? {
            Target::Same => {}
            Target::State(next) => state = &template.states[next],
            Target::End { records } => {
                records_end &= records;
                break;
            }
        }
    }
    if records_end {
        table.record()?;
    }
    let keys: Vec<&str> = template.keys().collect();
    let row = |cells: Vec<Value>| {
        let pairs = keys.iter().map(|key| (*key).to_owned()).zip(cells);
        Value::Object(pairs.collect())
    };
    Ok(table.rows.into_iter().map(row).collect())
}

/// The rows so far, and the one that has begun.
struct Table<'t> {
    columns: &'t [Column],
    rows: Vec<Vec<Value>>,
    begun: Vec<Cell>,
    items: usize,
}

/// A value of the row that has begun.
#[derive(Clone, Debug, Default)]
struct Cell {
    text: Option<String>,
    items: Vec<Value>,
}

impl Table<'_> {
    /// Reads one line: from the first rule that matches on.
    fn line(&mut self, state: &State, line: &str, number: usize) -> Result<Target, String> {
        for rule in &state.rules {
            let Some(found) = rule.regex.captures(line) else {
                continue;
            };
            self.assign(rule, &found);
            match rule.record {
                RecordAction::None => {}
                RecordAction::Record => self.record()?,
                RecordAction::Clear => self.clear(),
                RecordAction::ClearAll => self.begun.fill(Cell::default()),
            }
            match &rule.line {
                LineAction::Continue => {}
                LineAction::Next(target) => return Ok(*target),
                LineAction::Error(words) if words.is_empty() => {
                    return Err(format!("line {number} is one that `parse` calls an error"));
                }
                LineAction::Error(words) => {
                    return Err(format!(
                        "line {number} is one that `parse` refuses: {words}"
                    ));
                }
            }
        }
        Ok(Target::Same)
    }

    fn assign(&mut self, rule: &Rule, found: &Captures<'_>) {
        for (group, column) in &rule.assigns {
            let text = found.get(*group).map_or("", |part| part.as_str());
            let cell = &mut self.begun[*column];
            match &self.columns[*column].list {
                None => cell.text = Some(text.to_owned()),
                Some(None) => cell.items.push(text.into()),
                Some(Some(parts)) => {
                    let object = |captures: Captures<'_>| {
                        let names = parts.capture_names().flatten();
                        let part = |name: &str| captures.name(name).map_or("", |m| m.as_str());
                        let pairs = names.map(|name| (name.to_lowercase(), part(name).into()));
                        Value::Object(pairs.collect::<Map<_, _>>())
                    };
                    let item = parts.captures(text).map_or_else(|| text.into(), object);
                    cell.items.push(item);
                }
            }
            if self.columns[*column].fillup && !text.is_empty() {
                let empty = |row: &&mut Vec<Value>| row[*column] == "";
                for row in self.rows.iter_mut().rev().take_while(empty) {
                    row[*column] = text.into();
                }
            }
        }
    }

    /// Makes the row that has begun one of the rows, if it is one.
    fn record(&mut self) -> Result<(), String> {
        let cells = self.begun.iter().zip(self.columns);
        let lacks = |(cell, column): (&Cell, &Column)| {
            let empty = match column.list {
                None => cell.text.as_deref().unwrap_or_default().is_empty(),
                Some(_) => cell.items.is_empty(),
            };
            column.required && empty
        };
        let nothing = self
            .begun
            .iter()
            .all(|cell| cell.text.is_none() && cell.items.is_empty());
        if !nothing && !cells.clone().any(lacks) {
            let row: Vec<Value> = cells
                .map(|(cell, column)| match column.list {
                    None => cell.text.as_deref().unwrap_or_default().into(),
                    Some(_) => Value::Array(cell.items.clone()),
                })
                .collect();
            self.items += self
                .begun
                .iter()
                .map(|cell| cell.items.len())
                .sum::<usize>();
            if self.rows.len() >= MOST_ROWS || self.items > MOST_ITEMS {
                return Err(format!(
                    "`parse` makes more than {MOST_ROWS} rows, or {MOST_ITEMS} items of lists"
                ));
            }
            self.rows.push(row);
        }
        self.clear();
        Ok(())
    }

    /// Forgets the row that has begun, but for what fills down.
    fn clear(&mut self) {
        for (cell, column) in self.begun.iter_mut().zip(self.columns) {
            if !column.filldown {
                *cell = Cell::default();
            }
        }
    }
}
