//! keepalived.conf as `ha doctor` reads it: what of it decides where the address is
//! (keepalived.conf(5)). Nothing else of the relay knows keepalived.

use std::net::IpAddr;
use std::path::Path;

/// A statement: its words, and the statements in its braces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    pub words: Vec<String>,
    pub inside: Vec<Statement>,
}

impl Statement {
    /// The first statement inside that begins with this word.
    fn find<'s>(&'s self, word: &'s str) -> Option<&'s Self> {
        self.all(word).next()
    }

    fn all<'s>(&'s self, word: &'s str) -> impl Iterator<Item = &'s Self> {
        let begins = move |one: &&Self| one.words.first().is_some_and(|first| first == word);
        self.inside.iter().filter(begins)
    }

    /// The word behind the first one of a statement inside.
    fn value<'s>(&'s self, word: &'s str) -> Option<&'s str> {
        self.find(word)?.words.get(1).map(String::as_str)
    }
}

/// A whole file.
pub fn parse(text: &str) -> Statement {
    let mut open = vec![Statement::default()];
    for line in text.lines() {
        let mut words = Vec::new();
        for word in split(line) {
            match word.as_str() {
                "{" => {
                    // It may stand on the line behind its words.
                    let begun = match words.is_empty() {
                        true => open.last_mut().and_then(|block| block.inside.pop()),
                        false => None,
                    };
                    open.push(begun.unwrap_or(Statement {
                        words: std::mem::take(&mut words),
                        inside: Vec::new(),
                    }));
                }
                "}" => {
                    end(&mut open, &mut words);
                    if open.len() > 1
                        && let Some(block) = open.pop()
                        && let Some(around) = open.last_mut()
                    {
                        around.inside.push(block);
                    }
                }
                _ => words.push(word),
            }
        }
        end(&mut open, &mut words);
    }
    open.swap_remove(0)
}

fn end(open: &mut [Statement], words: &mut Vec<String>) {
    if let (Some(block), false) = (open.last_mut(), words.is_empty()) {
        block.inside.push(Statement {
            words: std::mem::take(words),
            inside: Vec::new(),
        });
    }
}

/// The words of a line; `#` and `!` begin a comment outside of quotes.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            '#' | '!' if !quoted => break,
            c if c.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// What both nodes must agree upon: the router's id and the addresses.
pub fn identity(file: &Statement, vip: IpAddr) -> Option<(String, Vec<String>)> {
    let instance = instance_of(file, vip)?;
    let addresses = instance.find("virtual_ipaddress")?;
    let mut addresses: Vec<String> = addresses
        .inside
        .iter()
        .filter_map(|line| line.words.first().cloned())
        .collect();
    addresses.sort();
    let router = instance.value("virtual_router_id").unwrap_or("none");
    Some((router.to_owned(), addresses))
}

fn instance_of(file: &Statement, vip: IpAddr) -> Option<&Statement> {
    file.all("vrrp_instance").find(|instance| {
        let lines = instance.find("virtual_ipaddress").into_iter();
        lines.flat_map(|block| &block.inside).any(|line| {
            let address = line.words.first().and_then(|word| word.split('/').next());
            address.is_some_and(|address| address.parse() == Ok(vip))
        })
    })
}

/// What of the instance itself would move the address where nobody wants it, in words.
pub fn lint_instance(file: &Statement, vip: IpAddr) -> Vec<String> {
    let Some(instance) = instance_of(file, vip) else {
        return vec![format!("no vrrp_instance has the address {vip}")];
    };
    let mut wrong = Vec::new();
    if instance.value("state") != Some("BACKUP") {
        wrong.push(
            "`state` is not BACKUP: a node that returns would take the address at once".into(),
        );
    }
    if instance.find("nopreempt").is_none() {
        wrong
            .push("`nopreempt` is missing: a node that returns would take the address back".into());
    }
    wrong
}

/// What is wrong with a file, in words; `owner` is who must own the scripts, root.
pub fn lint(file: &Statement, vip: IpAddr, owner: u32) -> Vec<String> {
    let mut wrong = lint_instance(file, vip);
    let Some(instance) = instance_of(file, vip) else {
        return wrong;
    };
    let tracked: Vec<&Statement> = instance
        .find("track_script")
        .into_iter()
        .flat_map(|block| &block.inside)
        .collect();
    let mut asks = false;
    for track in tracked {
        let name = track.words.first().map_or("", String::as_str);
        let script = file
            .all("vrrp_script")
            .find(|script| script.words.get(1).is_some_and(|word| word == name));
        let Some(script) = script else {
            wrong.push(format!(
                "track_script names `{name}`, and there is no such vrrp_script"
            ));
            continue;
        };
        asks = true;
        let weights = [
            script.value("weight"),
            track.words.get(2).map(String::as_str),
        ];
        if weights.iter().flatten().any(|weight| *weight != "0") {
            wrong.push(format!(
                "`{name}` has a weight: where the check fails, the address stays with `nopreempt`"
            ));
        }
        if script.find("init_fail").is_none() {
            wrong.push(format!(
                "`{name}` lacks `init_fail`: a start holds the address before it is asked"
            ));
        }
        for word in ["interval", "timeout"] {
            // keepalived 2.2 says "invalid number", and goes on with its default.
            let whole = |value: &&str| value.parse::<u32>().is_ok();
            if script.value(word).filter(whole).is_none() {
                wrong.push(format!(
                    "`{name}` has no `{word}` in whole seconds: keepalived ignores others"
                ));
            }
        }
        wrong.extend(owned(script.value("script"), owner));
    }
    if !asks {
        wrong.push(
            "nothing is tracked by `track_script`: the address stays where the relay is not well"
                .into(),
        );
    }
    match instance.value("notify") {
        None => wrong
            .push("`notify` is missing: the relay learns late that the address has moved".into()),
        command => wrong.extend(owned(command, owner)),
    }
    wrong
}

/// Whether nobody but its owner could change a script: keepalived refuses others under `enable_script_security`.
fn owned(command: Option<&str>, owner: u32) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let path = Path::new(command?.split_whitespace().next()?);
    for path in [Some(path), path.parent()].into_iter().flatten() {
        match std::fs::metadata(path) {
            Err(error) => return Some(format!("{}: {error}", path.display())),
            Ok(meta) if meta.uid() != owner || meta.mode() & 0o022 != 0 => {
                return Some(format!(
                    "{} could be changed by others: chown root, chmod go-w",
                    path.display()
                ));
            }
            Ok(meta) if meta.is_file() && meta.mode() & 0o111 == 0 => {
                return Some(format!("{} cannot be run: chmod 755", path.display()));
            }
            Ok(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_quotes_and_comments_are_read() {
        let file = parse(
            "global_defs { router_id a }\n! a comment\nvrrp_script chk\n{\n script \"/bin/check it\" # more\n}\n\
             vrrp_instance X {\n virtual_router_id 7\n virtual_ipaddress {\n 10.0.0.9/24 dev eth0\n }\n}\n",
        );
        assert_eq!(
            file.find("global_defs").unwrap().value("router_id"),
            Some("a")
        );
        let script = file.find("vrrp_script").unwrap();
        assert_eq!(script.value("script"), Some("/bin/check it"));
        let vip = "10.0.0.9".parse().unwrap();
        assert_eq!(
            identity(&file, vip),
            Some(("7".into(), vec!["10.0.0.9/24".into()]))
        );
        assert_eq!(identity(&file, "10.0.0.8".parse().unwrap()), None);
    }

    #[test]
    fn braces_that_do_not_match_end_nothing_too_much() {
        assert_eq!(parse("}\n}\na b").inside.len(), 1);
        assert_eq!(parse("a {\n b").inside.len(), 0);
    }
}
