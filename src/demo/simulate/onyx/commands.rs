//! The grammar of a simulated switch, as a table: where a line may be typed, its words, and what it does.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::config::{Config, PortMode, PortName, Prefix, PrefixRule, Refusal, Route};
use super::show;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Exec,
    Enable,
    Config,
    Vlan(u16),
    Port(PortName),
}

/// One login.
#[derive(Debug)]
pub(super) struct Session {
    level: Level,
    /// Long answers come in pages.
    pub(super) pages: bool,
}

/// What a line asks of the terminal, besides to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    LoggedOut,
    /// `enable` wants its secret; [`Session::privilege`] is what it buys.
    AsksSecret,
}

/// What a line came to.
enum Done {
    Quiet,
    Shows(String),
    Ends(Ended),
}

type Act = fn(&mut Session, &mut Config, &[&str]) -> Result<Done, Refusal>;
type PortAct = fn(&mut Config, PortName, &[&str]) -> Result<(), Refusal>;

/// The levels by letters: `>` and `#` as in the prompts, `c`onfig, `v`lan, `i`nterface.
const ANYWHERE: &[u8] = b">#cvi";
const EXEC: &[u8] = b">";
const ENABLE: &[u8] = b"#";
const PRIVILEGED: &[u8] = b"#cvi";
const CONFIG: &[u8] = b"c";
const VLAN: &[u8] = b"v";

/// The commands, but for those of a port. `<word>` is one word, `<text>...` is all the rest.
const COMMANDS: &[(&[u8], &str, Act)] = &[
    (EXEC, "enable", |_, _, _| Ok(Done::Ends(Ended::AsksSecret))),
    (PRIVILEGED, "enable", |_, _, _| Ok(Done::Quiet)),
    (ENABLE, "disable", |session, _, _| session.go(Level::Exec)),
    (PRIVILEGED, "configure terminal", |session, _, _| {
        session.go(Level::Config)
    }),
    (ANYWHERE, "exit", |session, _, _| match session.level {
        Level::Exec | Level::Enable => Ok(Done::Ends(Ended::LoggedOut)),
        Level::Config => session.go(Level::Enable),
        Level::Vlan(_) | Level::Port(_) => session.go(Level::Config),
    }),
    (ANYWHERE, "logout", |_, _, _| {
        Ok(Done::Ends(Ended::LoggedOut))
    }),
    (ANYWHERE, "no cli session paging enable", |session, _, _| {
        session.pages(false)
    }),
    (ANYWHERE, "cli session paging enable", |session, _, _| {
        session.pages(true)
    }),
    (
        ANYWHERE,
        "terminal length <lines>",
        |session, _, at| match at[0].parse::<u16>() {
            Ok(lines) => session.pages((5..999).contains(&lines)),
            Err(_) => Err(format!("Invalid length {}", at[0])),
        },
    ),
    (ANYWHERE, "show version", |_, _, _| shows(show::VERSION)),
    (ANYWHERE, "show vlan", |_, config, _| {
        shows(show::vlans(config, None))
    }),
    (ANYWHERE, "show vlan id <vlan>", |_, config, at| {
        shows(show::vlans(config, Some(Config::vlan_number(at[0])?)))
    }),
    (
        ANYWHERE,
        "show interfaces ethernet description",
        |_, config, _| shows(show::descriptions(config)),
    ),
    (ANYWHERE, "show interfaces switchport", |_, config, _| {
        shows(show::switchports(config))
    }),
    (ANYWHERE, "show ip route static", |_, config, _| {
        shows(show::routes(config, None))
    }),
    (
        ANYWHERE,
        "show ip route <prefix> static",
        |_, config, at| shows(show::routes(config, Some(at[0].parse()?))),
    ),
    (ANYWHERE, "show ip prefix-list", |_, config, _| {
        shows(show::prefix_lists(config, None))
    }),
    (ANYWHERE, "show ip prefix-list <name>", |_, config, at| {
        shows(show::prefix_lists(config, Some(at[0])))
    }),
    (PRIVILEGED, "show running-config", |_, config, _| {
        shows(show::running(config))
    }),
    (PRIVILEGED, "configuration write", |_, _, _| Ok(Done::Quiet)),
    (PRIVILEGED, "write memory", |_, _, _| Ok(Done::Quiet)),
    (CONFIG, "vlan <vlan>", |session, config, at| {
        let number = Config::vlan_number(at[0])?;
        config.vlans.entry(number).or_default();
        session.go(Level::Vlan(number))
    }),
    (CONFIG, "vlan <vlan> name <name>", |_, config, at| {
        let number = config.known_vlan(at[0])?;
        quiet(config.name_vlan(number, at[1]))
    }),
    (CONFIG, "no vlan <vlan>", |_, config, at| {
        quiet(config.remove_vlan(at[0]))
    }),
    (VLAN, "name <name>", |session, config, at| {
        match session.level {
            Level::Vlan(number) => quiet(config.name_vlan(number, at[0])),
            _ => Ok(Done::Quiet),
        }
    }),
    (VLAN, "no name", |session, config, _| {
        if let Level::Vlan(number) = session.level {
            config.vlans.insert(number, String::new());
        }
        Ok(Done::Quiet)
    }),
    (
        CONFIG,
        "interface ethernet <port>",
        |session, config, at| {
            let (name, _) = config.port(at[0])?;
            session.go(Level::Port(name))
        },
    ),
    (CONFIG, "ip routing", |_, _, _| Ok(Done::Quiet)),
    (CONFIG, "ip route <prefix> <gateway>", |_, config, at| {
        add_route(config, at[0].parse()?, at[1])
    }),
    (
        CONFIG,
        "ip route <network> <mask> <gateway>",
        |_, config, at| add_route(config, network(at[0], at[1])?, at[2]),
    ),
    (CONFIG, "no ip route <prefix>", |_, config, at| {
        quiet(config.remove_route(at[0].parse()?, None))
    }),
    (CONFIG, "no ip route <prefix> <gateway>", |_, config, at| {
        quiet(config.remove_route(at[0].parse()?, Some(gateway(at[1])?)))
    }),
    (
        CONFIG,
        "no ip route <network> <mask> <gateway>",
        |_, config, at| quiet(config.remove_route(network(at[0], at[1])?, Some(gateway(at[2])?))),
    ),
    (
        CONFIG,
        "ip prefix-list <name> seq <number> <rule>...",
        |_, config, at| quiet(config.add_rule(at[0], Some(sequence(at[1])?), rule(&at[2..])?)),
    ),
    (
        CONFIG,
        "ip prefix-list <name> permit <rule>...",
        |_, config, at| {
            let words: Vec<_> = ["permit"].iter().chain(&at[1..]).copied().collect();
            quiet(config.add_rule(at[0], None, rule(&words)?))
        },
    ),
    (
        CONFIG,
        "ip prefix-list <name> deny <rule>...",
        |_, config, at| {
            let words: Vec<_> = ["deny"].iter().chain(&at[1..]).copied().collect();
            quiet(config.add_rule(at[0], None, rule(&words)?))
        },
    ),
    (CONFIG, "no ip prefix-list <name>", |_, config, at| {
        quiet(config.remove_rules(at[0], None))
    }),
    (
        CONFIG,
        "no ip prefix-list <name> seq <number>",
        |_, config, at| quiet(config.remove_rules(at[0], Some(sequence(at[1])?))),
    ),
];

/// The commands of a port: in its mode, and behind `interface ethernet <port>` in the mode above it.
const PORT_COMMANDS: &[(&str, PortAct)] = &[
    ("description <text>...", |config, port, at| {
        config.describe(port, &at.join(" "))
    }),
    ("no description", |config, port, _| {
        config.describe(port, "")
    }),
    ("switchport mode <mode>", |config, port, at| {
        let mode: PortMode = at[0].parse()?;
        set(config, port, |port| port.mode = mode)
    }),
    ("no switchport mode", |config, port, _| {
        set(config, port, |port| port.mode = PortMode::Access)
    }),
    ("switchport access vlan <vlan>", |config, port, at| {
        let number = config.known_vlan(at[0])?;
        set(config, port, |port| port.access = Some(number))
    }),
    ("no switchport access vlan", |config, port, _| {
        set(config, port, |port| port.access = None)
    }),
    (
        "switchport <mode> allowed-vlan add <vlan>",
        |config, port, at| {
            let number = config.known_vlan(at[1])?;
            in_mode(config, port, at[0])?;
            set(config, port, |port| {
                port.allowed.insert(number);
            })
        },
    ),
    (
        "switchport <mode> allowed-vlan remove <vlan>",
        |config, port, at| {
            let number = config.known_vlan(at[1])?;
            in_mode(config, port, at[0])?;
            set(config, port, |port| {
                port.allowed.remove(&number);
            })
        },
    ),
    ("switchport <mode> allowed-vlan none", |config, port, at| {
        in_mode(config, port, at[0])?;
        set(config, port, |port| port.allowed.clear())
    }),
];

impl Session {
    pub(super) fn new() -> Self {
        Self {
            level: Level::Exec,
            pages: true,
        }
    }

    /// One that begins in configuration mode and turns no pages.
    pub(super) fn configuring() -> Self {
        Self {
            level: Level::Config,
            pages: false,
        }
    }

    /// What stands before the cursor.
    pub(super) fn prompt(&self, host: &str) -> String {
        let tail = match self.level {
            Level::Exec => ">".to_owned(),
            Level::Enable => "#".to_owned(),
            Level::Config => "(config) #".to_owned(),
            Level::Vlan(number) => format!("(config vlan {number}) #"),
            Level::Port(name) => format!("(config interface ethernet {name}) #"),
        };
        format!("{host} [standalone: master] {tail} ")
    }

    /// After the right secret.
    pub(super) fn privilege(&mut self) {
        self.level = Level::Enable;
    }

    fn go(&mut self, level: Level) -> Result<Done, Refusal> {
        self.level = level;
        Ok(Done::Quiet)
    }

    fn pages(&mut self, pages: bool) -> Result<Done, Refusal> {
        self.pages = pages;
        Ok(Done::Quiet)
    }

    fn may(&self, levels: &[u8]) -> bool {
        levels.contains(match self.level {
            Level::Exec => &b'>',
            Level::Enable => &b'#',
            Level::Config => &b'c',
            Level::Vlan(_) => &b'v',
            Level::Port(_) => &b'i',
        })
    }
}

/// Runs a line: what it prints, and what it asks of the terminal.
pub(super) fn run(
    session: &mut Session,
    config: &mut Config,
    line: &str,
) -> (String, Option<Ended>) {
    let done = words(line).and_then(|words| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        act(session, config, &words)
    });
    match done {
        Ok(Done::Quiet) => (String::new(), None),
        Ok(Done::Shows(text)) => (text, None),
        Ok(Done::Ends(ended)) => (String::new(), Some(ended)),
        Err(refusal) => (format!("% {refusal}\n"), None),
    }
}

/// What may be typed here, for `?`.
pub(super) fn help(session: &Session, typed: &str) -> String {
    let here = COMMANDS.iter().filter(|(levels, ..)| session.may(levels));
    let mut lines: Vec<&str> = here.map(|(_, line, _)| *line).collect();
    if let Level::Port(_) = session.level {
        lines.extend(PORT_COMMANDS.iter().map(|(line, _)| *line));
    }
    lines.retain(|line| line.starts_with(typed.trim_start()));
    lines.sort_unstable();
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn act(session: &mut Session, config: &mut Config, words: &[&str]) -> Result<Done, Refusal> {
    if words.is_empty() {
        return Ok(Done::Quiet);
    }
    let mut search = Search::default();
    for (levels, pattern, act) in COMMANDS {
        if session.may(levels)
            && let Some(values) = search.matches(pattern, words, 0)
        {
            return act(session, config, &values);
        }
    }
    // A port's command in its own mode, or with the port before it in the mode above.
    let (port, own, before) = match (session.level, words) {
        (Level::Port(name), words) => (Ok(name), words.to_vec(), 0),
        (Level::Config, ["interface", "ethernet", name, own @ ..]) if !own.is_empty() => {
            (name.parse(), own.to_vec(), 3)
        }
        (Level::Config, ["no", "interface", "ethernet", name, own @ ..]) if !own.is_empty() => {
            let own = ["no"].iter().chain(own).copied().collect();
            (name.parse(), own, 3)
        }
        _ => return Err(search.refusal(words)),
    };
    let port = port?;
    for (pattern, act) in PORT_COMMANDS {
        if let Some(values) = search.matches(pattern, &own, before) {
            return quiet(act(config, port, &values));
        }
    }
    Err(search.refusal(words))
}

/// How far a line went along the commands that it is none of.
#[derive(Default)]
struct Search {
    /// Words that some command begins with.
    known: usize,
    /// One of them goes on where the line ends.
    more: bool,
}

impl Search {
    /// The line's words in the pattern's places; `before` counts words that were taken off the line.
    fn matches<'w>(
        &mut self,
        pattern: &str,
        words: &[&'w str],
        before: usize,
    ) -> Option<Vec<&'w str>> {
        let mut values = Vec::new();
        let mut at = 0;
        for place in pattern.split(' ') {
            let Some(word) = words.get(at) else {
                self.known = self.known.max(before + at);
                self.more = true;
                return None;
            };
            if place.ends_with("...") {
                values.extend(&words[at..]);
                return Some(values);
            }
            match place.starts_with('<') {
                true => values.push(*word),
                false if place == *word => {}
                false => {
                    self.known = self.known.max(before + at);
                    return None;
                }
            }
            at += 1;
        }
        self.known = self.known.max(before + at);
        (at == words.len()).then_some(values)
    }

    fn refusal(&self, words: &[&str]) -> Refusal {
        match words.get(self.known) {
            None if self.more => "Incomplete command.\n% Type \"?\" for help.".to_owned(),
            word => format!(
                "Unrecognized command \"{}\".\n% Type \"?\" for help.",
                word.unwrap_or(&words[0])
            ),
        }
    }
}

/// The words of a line; double quotes hold one together.
fn words(line: &str) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err("Invalid command: a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

fn shows(text: impl Into<String>) -> Result<Done, Refusal> {
    Ok(Done::Shows(text.into()))
}

fn quiet(done: Result<(), Refusal>) -> Result<Done, Refusal> {
    done.map(|()| Done::Quiet)
}

fn set(
    config: &mut Config,
    port: PortName,
    change: impl FnOnce(&mut super::config::Port),
) -> Result<(), Refusal> {
    change(config.ports.entry(port).or_default());
    Ok(())
}

/// Refuses a list of VLANs for another mode than the port's.
fn in_mode(config: &mut Config, port: PortName, mode: &str) -> Result<(), Refusal> {
    let wanted: PortMode = mode.parse()?;
    match config.ports.entry(port).or_default().mode {
        held if held == wanted => Ok(()),
        held => Err(format!(
            "Invalid configuration: Eth{port} is in switchport mode {}",
            held.name()
        )),
    }
}

fn add_route(config: &mut Config, prefix: Prefix, next_hop: &str) -> Result<Done, Refusal> {
    let next_hop = gateway(next_hop)?;
    config.routes.insert(Route { prefix, next_hop });
    Ok(Done::Quiet)
}

fn gateway(word: &str) -> Result<Ipv4Addr, Refusal> {
    word.parse().map_err(|_| format!("Invalid address {word}"))
}

/// A network with its mask, dotted or as `/24`.
fn network(address: &str, mask: &str) -> Result<Prefix, Refusal> {
    let network = match mask.strip_prefix('/') {
        Some(length) => format!("{address}/{length}").parse().ok(),
        None => address
            .parse::<Ipv4Addr>()
            .ok()
            .zip(mask.parse::<Ipv4Addr>().ok())
            .and_then(|(address, mask)| Ipv4Net::with_netmask(address, mask).ok()),
    };
    network
        .map(Prefix::new)
        .ok_or_else(|| format!("Invalid prefix {address} {mask}"))
}

fn sequence(word: &str) -> Result<u32, Refusal> {
    match word.parse() {
        Ok(number @ 1..=65535) => Ok(number),
        _ => Err(format!("Sequence {word} is out of range")),
    }
}

/// `permit 10.0.0.0/8 ge 16 le 24`, the mask also as a word of its own.
fn rule(words: &[&str]) -> Result<PrefixRule, Refusal> {
    let (permit, words) = match words {
        ["permit", words @ ..] => (true, words),
        ["deny", words @ ..] => (false, words),
        _ => return Err("Invalid rule: it permits or denies".to_owned()),
    };
    let (prefix, bounds) = match words {
        [address, mask, bounds @ ..] if !address.contains('/') => (network(address, mask)?, bounds),
        [prefix, bounds @ ..] => (prefix.parse()?, bounds),
        [] => return Err("Incomplete command.".to_owned()),
    };
    let mut rule = PrefixRule {
        permit,
        prefix,
        ge: None,
        le: None,
    };
    for bound in bounds.chunks(2) {
        let [word, length] = bound else {
            return Err("Incomplete command.".to_owned());
        };
        let length = length
            .parse()
            .map_err(|_| format!("Invalid prefix length {length}"))?;
        match *word {
            "ge" => rule.ge = Some(length),
            "le" => rule.le = Some(length),
            "eq" => (rule.ge, rule.le) = (Some(length), Some(length)),
            word => return Err(format!("Unrecognized command \"{word}\".")),
        }
    }
    Ok(rule)
}
