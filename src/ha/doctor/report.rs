//! What the doctor says: a finding a line, and faults before they are given theirs.

use serde::Serialize;

/// How it stands with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ok,
    /// No promise is broken by it.
    Warning,
    Wrong,
    /// Something else that is wrong kept it from being looked at, or it was not given.
    Unseen,
}

/// What was found at one of the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub line: &'static str,
    pub state: State,
    pub what: String,
    /// The file or the server that it is about.
    pub place: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

/// Something that is not as it should be, before it is given its line.
#[derive(Debug)]
pub struct Fault {
    pub state: State,
    pub what: String,
    pub place: String,
    pub remedy: String,
}

/// A promise of the pair does not hold.
pub fn wrong(place: &str, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault {
        state: State::Wrong,
        what: what.into(),
        place: place.into(),
        remedy: remedy.into(),
    }
}

/// Worth knowing, though every promise holds.
pub fn warning(place: &str, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault {
        state: State::Warning,
        ..wrong(place, what, remedy)
    }
}

/// Every finding, in the order of the lines.
#[derive(Debug, Default)]
pub struct Report(pub Vec<Finding>);

impl Report {
    /// `fine` is said where there are no faults.
    pub fn line(&mut self, line: &'static str, fine: &str, faults: Vec<Fault>) {
        if faults.is_empty() {
            self.push(line, State::Ok, fine.into(), String::new(), String::new());
        }
        for fault in faults {
            self.push(line, fault.state, fault.what, fault.place, fault.remedy);
        }
    }

    /// Says why a line was not looked at.
    pub fn unseen(&mut self, line: &'static str, why: &str) {
        self.push(
            line,
            State::Unseen,
            why.into(),
            String::new(),
            String::new(),
        );
    }

    /// The line of a server, which is given back where it answers.
    pub fn server<T>(
        &mut self,
        line: &'static str,
        met: anyhow::Result<T>,
        remedy: &str,
    ) -> Option<T> {
        match met {
            Ok(met) => {
                self.line(line, "it answers", Vec::new());
                Some(met)
            }
            Err(error) => {
                self.push(
                    line,
                    State::Wrong,
                    format!("{error:#}"),
                    String::new(),
                    remedy.into(),
                );
                None
            }
        }
    }

    fn push(
        &mut self,
        line: &'static str,
        state: State,
        what: String,
        place: String,
        remedy: String,
    ) {
        self.0.push(Finding {
            line,
            state,
            what,
            place,
            remedy,
        });
    }
}
