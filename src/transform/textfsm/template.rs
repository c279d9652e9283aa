//! A template read: its values, then its states of rules.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::{Column, LineAction, MOST, RecordAction, Rule, State, Target, TextFsm};

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The place in its text.
    pub at: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// The largest program of one regular expression, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// A line and where it begins.
type Line<'t> = (usize, &'t str);

/// A value as declared: the column, and the expression that its group has in rules.
struct Declared {
    name: String,
    expression: String,
    column: Column,
}

struct Reader {
    values: Vec<Declared>,
    wrong: Vec<Wrong>,
}

pub(super) fn compile(text: &str) -> Result<TextFsm, Vec<Wrong>> {
    let mut reader = Reader {
        values: Vec::new(),
        wrong: Vec::new(),
    };
    let lines: Vec<Line<'_>> = lines(text).collect();
    let values = lines
        .iter()
        .position(|(_, line)| line.trim().is_empty())
        .unwrap_or(lines.len());
    for line in lines[..values].iter().filter(|line| !is_comment(line)) {
        reader.value(*line);
    }
    let rest: Vec<Line<'_>> = lines[values..]
        .iter()
        .filter(|line| !line.1.trim().is_empty() && !is_comment(line))
        .copied()
        .collect();
    if reader.values.is_empty() {
        reader.say(
            0..first_line(text),
            "a TextFSM template begins with its values",
            Some("write `Value NAME (expression)` lines, a blank line, and the state `Start`"),
        );
    }
    let (states, silent_end) = reader.states(&rest, text);
    match reader.wrong.is_empty() {
        true => Ok(TextFsm {
            values: reader
                .values
                .into_iter()
                .map(|value| value.column)
                .collect(),
            states,
            silent_end,
        }),
        false => Err(reader.wrong),
    }
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let begin = at;
        at += line.len();
        (begin, line.trim_end_matches(['\n', '\r']))
    })
}

fn first_line(text: &str) -> usize {
    text.lines().next().map_or(0, str::len)
}

fn is_comment((_, line): &Line<'_>) -> bool {
    line.trim_start().starts_with('#')
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Reader {
    fn say(&mut self, at: Range<usize>, message: impl Into<String>, help: Option<&str>) {
        if self.wrong.len() < MOST {
            self.wrong.push(Wrong {
                at,
                message: message.into(),
                help: help.map(str::to_owned),
            });
        }
    }

    /// `Value [Option,Option] NAME (expression)`.
    fn value(&mut self, (begin, line): Line<'_>) {
        let whole = begin..begin + line.len();
        const SHAPE: &str =
            "write `Value NAME (expression)`, or `Value Filldown,Required NAME (expression)`";
        let mut words = line.splitn(4, ' ');
        let parts = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("Value"), Some(name), Some(expression), rest) if expression.starts_with('(') => {
                let rest = rest.map(|rest| format!(" {rest}")).unwrap_or_default();
                Some(("", name, format!("{expression}{rest}")))
            }
            (Some("Value"), Some(options), Some(name), Some(expression)) => {
                Some((options, name, expression.to_owned()))
            }
            _ => None,
        };
        let Some((options, name, expression)) = parts else {
            return self.say(whole, "this is not a value", Some(SHAPE));
        };
        let expression = expression.trim_end().to_owned();
        if !is_name(name) || !expression.starts_with('(') || !expression.ends_with(')') {
            return self.say(whole, "this is not a value", Some(SHAPE));
        }
        let known = |other: &Declared| other.column.key == name.to_lowercase().into();
        if self.values.iter().any(known) {
            return self.say(whole, format!("the value `{name}` is declared twice"), None);
        }
        if self.values.len() >= MOST {
            return self.say(whole, format!("more than {MOST} values"), None);
        }
        let Some(own) = self.regex(&expression, whole.clone()) else {
            return;
        };
        let mut column = Column {
            key: name.to_lowercase().into(),
            required: false,
            filldown: false,
            fillup: false,
            list: None,
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "Required" => column.required = true,
                "Filldown" => column.filldown = true,
                "Fillup" => column.fillup = true,
                "List" => {
                    let nested = own.capture_names().flatten().next().is_some();
                    column.list = Some(nested.then(|| own.clone()));
                }
                // It is for programs that compare tables.
                "Key" => {}
                other => self.say(
                    whole.clone(),
                    format!("`{other}` is not an option of a value"),
                    Some("options: Required, Filldown, Fillup, List, Key"),
                ),
            }
        }
        if column.fillup && column.list.is_some() {
            self.say(whole, "a `List` does not fill up", None);
        }
        self.values.push(Declared {
            name: name.to_owned(),
            // The group that it is in rules gets the value's name.
            expression: format!("(?P<{name}>{}", &expression[1..]),
            column,
        });
    }

    fn regex(&mut self, expression: &str, at: Range<usize>) -> Option<Regex> {
        match RegexBuilder::new(expression).size_limit(REGEX_SIZE).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let words = error.to_string();
                let reason = words.lines().last().unwrap_or("it does not parse");
                self.say(
                    at,
                    format!("this is not a regular expression: {reason}"),
                    Some("the syntax is that of Rust's regex crate: linear, without look-around"),
                );
                None
            }
        }
    }

    /// The states with their rules; whether `EOF` is one of them.
    fn states(&mut self, lines: &[Line<'_>], text: &str) -> (Vec<State>, bool) {
        let is_rule = |line: &str| line.starts_with([' ', '\t']);
        let mut names: Vec<&str> = Vec::new();
        for (begin, line) in lines.iter().filter(|(_, line)| !is_rule(line)) {
            let name = line.trim_end();
            let at = *begin..begin + line.len();
            if !is_name(name) {
                let help = "a rule begins with a blank and `^`; a state is a word alone";
                self.say(at, "this is neither a state nor a rule", Some(help));
            } else if name == "End" {
                self.say(
                    at,
                    "the state `End` is there already, and takes no rules",
                    None,
                );
            } else if names.contains(&name) {
                self.say(at, format!("the state `{name}` is declared twice"), None);
            } else {
                names.push(name);
            }
        }
        if names.first() != Some(&"Start") && !names.contains(&"Start") {
            self.say(
                0..first_line(text),
                "the template has no state `Start`",
                Some("the first state is `Start`"),
            );
        }
        let silent_end = names.contains(&"EOF");
        let mut states: Vec<(&str, State)> = Vec::new();
        let mut rules = 0;
        for line in lines {
            if !is_rule(line.1) {
                states.push((line.1.trim_end(), State { rules: Vec::new() }));
                continue;
            }
            rules += 1;
            if rules > MOST {
                let at = line.0..line.0 + line.1.len();
                self.say(at, format!("more than {MOST} rules"), None);
                break;
            }
            let rule = self.rule(*line, &order(&names));
            match (rule, states.last_mut()) {
                (Some(rule), Some((_, state))) => state.rules.push(rule),
                (_, None) => {
                    let at = line.0..line.0 + line.1.len();
                    self.say(at, "a rule before the first state", None);
                }
                (None, _) => {}
            }
        }
        let mut ordered = Vec::new();
        for name in order(&names) {
            if let Some(at) = states.iter().position(|(known, _)| *known == name) {
                ordered.push(states.remove(at).1);
            }
        }
        (ordered, silent_end)
    }

    /// ` ^expression [-> actions]`.
    fn rule(&mut self, (begin, line): Line<'_>, states: &[&str]) -> Option<Rule> {
        let whole = begin..begin + line.len();
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if !text.starts_with('^') {
            let help = "a rule begins with a blank and `^`";
            self.say(whole, "this is neither a state nor a rule", Some(help));
            return None;
        }
        let (expression, actions) = match text.rfind(" ->") {
            // An arrow inside of the expression has no actions behind it.
            Some(at) if is_actions(&text[at + 3..]) => (&text[..at], text[at + 3..].trim()),
            _ => (text, ""),
        };
        let expression = expression.trim_end_matches(' ');
        let place = begin + indent..begin + indent + expression.len();
        let expression = self.filled_in(expression, &place)?;
        // Every alternative begins where the line does.
        let regex = self.regex(&format!(r"\A(?:{expression})"), place)?;
        let assigns = regex.capture_names().enumerate();
        let assigns = assigns.filter_map(|(group, name)| {
            let column = self.values.iter().position(|v| Some(&*v.name) == name)?;
            Some((group, column))
        });
        let assigns: Vec<_> = assigns.collect();
        let (line, record) = self.actions(actions, whole, states)?;
        Some(Rule {
            regex,
            assigns,
            line,
            record,
        })
    }

    /// `${NAME}` and `$NAME` are the values' groups, `$$` the end of the line.
    fn filled_in(&mut self, expression: &str, at: &Range<usize>) -> Option<String> {
        let mut out = String::with_capacity(expression.len() * 2);
        let mut rest = expression;
        while let Some(sign) = rest.find('$') {
            out.push_str(&rest[..sign]);
            let behind = &rest[sign + 1..];
            if let Some(end) = behind.strip_prefix('$') {
                out.push('$');
                rest = end;
                continue;
            }
            let (name, end) = match behind.strip_prefix('{') {
                Some(braced) => match braced.split_once('}') {
                    Some((name, end)) => (name, end),
                    None => ("", behind),
                },
                None => {
                    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let end = behind.find(|c| !word(c)).unwrap_or(behind.len());
                    behind.split_at(end)
                }
            };
            match self.values.iter().find(|value| value.name == name) {
                Some(value) => out.push_str(&value.expression),
                None if name.is_empty() => {
                    let help = "write `$$` for the end of the line, `${NAME}` for a value";
                    self.say(at.clone(), "a `$` stands for nothing here", Some(help));
                    return None;
                }
                None => {
                    let known: Vec<&str> = self.values.iter().map(|v| &*v.name).collect();
                    let help = format!("values: {}", known.join(", "));
                    self.say(at.clone(), format!("`{name}` is not a value"), Some(&help));
                    return None;
                }
            }
            rest = end;
        }
        out.push_str(rest);
        Some(out)
    }

    /// `[Next|Continue|Error][.Record|.NoRecord|.Clear|.Clearall] [State|"words"]`.
    fn actions(
        &mut self,
        actions: &str,
        at: Range<usize>,
        states: &[&str],
    ) -> Option<(LineAction, RecordAction)> {
        let (first, second) = match actions.split_once(' ') {
            Some((first, second)) => (first, second.trim()),
            None => (actions, ""),
        };
        let (line, record) = first.split_once('.').unwrap_or((first, ""));
        let records = |word: &str| match word {
            "" | "NoRecord" => Some(RecordAction::None),
            "Record" => Some(RecordAction::Record),
            "Clear" => Some(RecordAction::Clear),
            "Clearall" => Some(RecordAction::ClearAll),
            _ => None,
        };
        // `-> Record`, `-> Record State`, `-> State`: what is left out is `Next`, and this state.
        let (line, record, target) = match (line, records(record)) {
            ("Next" | "Continue" | "Error", Some(record)) => (line, record, second),
            (word, Some(RecordAction::None)) if record.is_empty() => match records(word) {
                Some(record) => ("Next", record, second),
                None if second.is_empty() => ("Next", RecordAction::None, word),
                None => return self.unknown(word, at),
            },
            _ => return self.unknown(first, at),
        };
        match line {
            "Error" => {
                let words = target.trim_matches('"');
                Some((LineAction::Error(words.into()), record))
            }
            "Continue" if target.is_empty() => Some((LineAction::Continue, record)),
            "Continue" => {
                let message = "`Continue` stays in its state: another one could go round for ever";
                self.say(at, message, None);
                None
            }
            _ => {
                let target = match target {
                    "" => Target::Same,
                    "End" => Target::End { records: false },
                    "EOF" => Target::End { records: true },
                    name => match states.iter().position(|state| *state == name) {
                        Some(state) => Target::State(state),
                        None => {
                            let help = format!("states: {}, End, EOF", states.join(", "));
                            let message = format!("`{name}` is not a state");
                            self.say(at, message, Some(&help));
                            return None;
                        }
                    },
                };
                Some((LineAction::Next(target), record))
            }
        }
    }

    fn unknown<T>(&mut self, word: &str, at: Range<usize>) -> Option<T> {
        let help = "actions: Next, Continue, Error, with `.Record`, `.Clear`, `.Clearall` or `.NoRecord`, and a state";
        self.say(at, format!("`{word}` is not an action"), Some(help));
        None
    }
}

/// The names of the states as they are numbered: `Start` first, `EOF` left out.
fn order<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let mut ordered: Vec<&str> = names
        .iter()
        .filter(|name| **name == "Start")
        .copied()
        .collect();
    let others = names
        .iter()
        .filter(|name| !matches!(**name, "Start" | "EOF"));
    ordered.extend(others);
    ordered
}

/// Whether what stands behind an arrow is made of words, as actions are.
fn is_actions(text: &str) -> bool {
    let text = text.trim();
    let words = match text.split_once('"') {
        Some((before, quoted)) if quoted.ends_with('"') => before,
        Some(_) => return false,
        None => text,
    };
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ' ');
    words.chars().all(word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(template: &str, text: &str) -> serde_json::Value {
        TextFsm::compile(template)
            .unwrap()
            .parse(text)
            .unwrap()
            .into()
    }

    fn wrong(template: &str) -> Vec<(String, String)> {
        let found = TextFsm::compile(template).unwrap_err();
        let place = |wrong: &Wrong| template[wrong.at.clone()].to_owned();
        found
            .iter()
            .map(|wrong| (place(wrong), wrong.message.clone()))
            .collect()
    }

    const VLANS: &str = "\
Value Required VLAN_ID (\\d+)
Value NAME (\\S+)
Value STATUS (active|suspended)
Value List PORTS (\\S+?)

Start
  ^VLAN\\s+Name -> Vlans

Vlans
  # A VLAN without ports is one all the same.
  ^\\d+ -> Continue.Record
  ^${VLAN_ID}\\s+${NAME}\\s+${STATUS}\\s*$$
  ^${VLAN_ID}\\s+${NAME}\\s+${STATUS}\\s+${PORTS}(,|$$) -> Continue
  ^\\d+\\s+\\S+\\s+\\S+\\s+\\S+,\\s*${PORTS}(,|$$) -> Continue
  ^\\s+${PORTS}(,|$$) -> Continue
  ^Total -> End
";

    #[test]
    fn a_switchs_table_of_vlans_becomes_rows() {
        let text = "\nVLAN Name    Status    Ports\n---- ------- --------- -----\n1    default active    Et1, Et2\n                       Et7\n10   blue    suspended\nTotal: 2\n";
        let with_end = VLANS.replace("^Total -> End", "^Total -> EOF");
        assert_eq!(
            rows(&with_end, text),
            json!([
                { "vlan_id": "1", "name": "default", "status": "active", "ports": ["Et1", "Et2", "Et7"] },
                { "vlan_id": "10", "name": "blue", "status": "suspended", "ports": [] },
            ])
        );
        // `End` forgets the row that has begun, and the end of the text records it.
        assert_eq!(rows(VLANS, text).as_array().unwrap().len(), 1);
        assert_eq!(
            rows(VLANS, text.strip_suffix("Total: 2\n").unwrap())
                .as_array()
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn values_fill_down_and_up_and_clear() {
        let template = "\
Value Filldown CHASSIS (\\w+)
Value Fillup RACK (\\d+)
Value Required SLOT (\\d+)
Value STATE (\\w+)

Start
  ^chassis $CHASSIS
  ^slot ${SLOT} ${STATE} -> Record
  ^rack ${RACK}
  ^gone -> Clear
  ^reset -> Clearall
";
        let text = "chassis a\nslot 1 up\nslot 2 down\nrack 7\nslot 3 up\ngone\nslot 4 up\nreset\nslot 5 up\n";
        let wanted = json!([
            { "chassis": "a", "rack": "7", "slot": "1", "state": "up" },
            { "chassis": "a", "rack": "7", "slot": "2", "state": "down" },
            { "chassis": "a", "rack": "7", "slot": "3", "state": "up" },
            { "chassis": "a", "rack": "", "slot": "4", "state": "up" },
            { "chassis": "", "rack": "", "slot": "5", "state": "up" },
        ]);
        assert_eq!(rows(template, text), wanted);
    }

    #[test]
    fn a_list_of_named_groups_is_one_of_objects() {
        let template =
            "Value List PEERS ((?P<PEER>\\S+) as (?P<AS>\\d+))\n\nStart\n  ^peer ${PEERS}\n";
        let text = "peer 10.0.0.1 as 65001\npeer 10.0.0.2 as 65002\n";
        assert_eq!(
            rows(template, text),
            json!([{ "peers": [{ "peer": "10.0.0.1", "as": "65001" }, { "peer": "10.0.0.2", "as": "65002" }] }])
        );
    }

    #[test]
    fn a_declared_end_records_nothing_and_an_error_refuses_the_text() {
        let template =
            "Value A (\\d+)\n\nStart\n  ^a ${A}\n  ^% -> Error \"it is refused\"\n\nEOF\n";
        assert_eq!(rows(template, "a 1\n"), json!([]));
        let error = TextFsm::compile(template)
            .unwrap()
            .parse("a 1\n% no\n")
            .unwrap_err();
        assert_eq!(error, "line 2 is one that `parse` refuses: it is refused");
        assert_eq!(rows(template, ""), json!([]));
    }

    #[test]
    fn every_wrong_line_is_told_at_its_place() {
        let template = "Value A (\\d+\nValue Sometimes B (\\d+)\nValue C (a)\nVale D (x)\n\nBegin\n  ^${C} -> Nowhere\n  ^$X\n  ^a(?=b)\n  a\n  ^b -> Continue Begin\n  ^c -> Wait.Record\n";
        let found = wrong(template);
        let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(
            places,
            [
                "Value A (\\d+",
                "Value Sometimes B (\\d+)",
                "Vale D (x)",
                "Value A (\\d+",
                "  ^${C} -> Nowhere",
                "^$X",
                "^a(?=b)",
                "  a",
                "  ^b -> Continue Begin",
                "  ^c -> Wait.Record",
            ],
            "{found:?}"
        );
    }

    #[test]
    fn a_text_that_would_make_too_many_items_is_refused() {
        let template = "Value Filldown,List A (\\w+)\n\nStart\n  ^${A} -> Record\n";
        let text = "a\n".repeat(3000);
        let error = TextFsm::compile(template)
            .unwrap()
            .parse(&text)
            .unwrap_err();
        assert!(error.contains("items of lists"), "{error}");
    }
}
