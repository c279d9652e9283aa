//! What the `show` commands print: tables under a rule of hyphens, as the manual has them.

use std::fmt::Write;

use super::config::{Config, PortMode, Prefix, PrefixRule};

pub(super) const VERSION: &str = "\
Product name:      Onyx (simulated)
Product release:   3.10.4006
Product model:     x86onyx
Host ID:           SIMULATED
";

/// `show vlan`, or `show vlan id` of one.
pub(super) fn vlans(config: &Config, only: Option<u16>) -> String {
    let chosen = config.vlans.iter();
    let chosen = chosen.filter(|(number, _)| only.is_none_or(|only| only == **number));
    let rows = chosen.map(|(number, name)| {
        let members: Vec<_> = config
            .members(*number)
            .map(|port| format!("Eth{port}"))
            .collect();
        [number.to_string(), name.clone(), members.join(", ")]
    });
    table(["VLAN", "Name", "Ports"], &[5, 21], rows)
}

/// `show interfaces ethernet description`.
pub(super) fn descriptions(config: &Config) -> String {
    let rows = config.ports.iter().map(|(name, port)| {
        let description = match port.description.as_str() {
            "" => "-",
            text => text,
        };
        [
            format!("Eth{name}"),
            "Enabled".to_owned(),
            "Up".to_owned(),
            "10G".to_owned(),
            description.to_owned(),
        ]
    });
    let heads = ["Interface", "Admin", "Operational", "Speed", "Description"];
    table(heads, &[12, 9, 13, 9], rows)
}

/// `show interfaces switchport`.
pub(super) fn switchports(config: &Config) -> String {
    let rows = config.ports.iter().map(|(name, port)| {
        let tagged: Vec<_> = port.tagged().map(|number| number.to_string()).collect();
        [
            format!("Eth{name}"),
            port.mode.name().to_owned(),
            port.untagged()
                .map_or_else(|| "N/A".to_owned(), |number| number.to_string()),
            tagged.join(", "),
        ]
    });
    let heads = ["Interface", "Mode", "Access vlan", "Allowed vlans"];
    table(heads, &[12, 9, 13], rows)
}

/// `show ip route static`, or of one prefix.
pub(super) fn routes(config: &Config, only: Option<Prefix>) -> String {
    let chosen = config.routes.iter();
    let chosen = chosen.filter(|route| only.is_none_or(|only| only == route.prefix));
    let rows = chosen.map(|route| {
        [
            route.prefix.to_string(),
            route.next_hop.to_string(),
            "static".to_owned(),
            "1/1".to_owned(),
        ]
    });
    let heads = ["Destination", "Gateway", "Source", "Distance/Metric"];
    let shown = table(heads, &[20, 17, 9], rows);
    format!("VRF Name default:\n{shown}")
}

/// `show ip prefix-list`, or of one list.
pub(super) fn prefix_lists(config: &Config, only: Option<&str>) -> String {
    let mut shown = String::new();
    for (name, rules) in &config.prefix_lists {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        put(
            &mut shown,
            format_args!("ip prefix-list {name}: {} entries", rules.len()),
        );
        for (number, rule) in rules {
            put(&mut shown, format_args!("   seq {number} {}", words(rule)));
        }
    }
    shown
}

/// `show running-config`: the lines that make this of a new switch.
pub(super) fn running(config: &Config) -> String {
    let mut shown = String::from("##\n## Running database \"initial\"\n##\n");
    let fresh = Config::default();
    for (number, name) in &config.vlans {
        if fresh.vlans.contains_key(number) {
            continue;
        }
        put(&mut shown, format_args!("   vlan {number}"));
        if !name.is_empty() {
            put(&mut shown, format_args!("   vlan {number} name \"{name}\""));
        }
    }
    for (name, port) in &config.ports {
        let mut set = |what: String| {
            put(
                &mut shown,
                format_args!("   interface ethernet {name} {what}"),
            );
        };
        if port.mode != PortMode::Access {
            set(format!("switchport mode {}", port.mode.name()));
        }
        if let Some(number) = port.access {
            set(format!("switchport access vlan {number}"));
        }
        for number in port.tagged() {
            let mode = port.mode.name();
            set(format!("switchport {mode} allowed-vlan add {number}"));
        }
        if !port.description.is_empty() {
            set(format!("description \"{}\"", port.description));
        }
    }
    for route in &config.routes {
        put(
            &mut shown,
            format_args!("   ip route {} {}", route.prefix, route.next_hop),
        );
    }
    for (name, rules) in &config.prefix_lists {
        for (number, rule) in rules {
            put(
                &mut shown,
                format_args!("   ip prefix-list {name} seq {number} {}", words(rule)),
            );
        }
    }
    shown
}

/// A rule as it is typed.
fn words(rule: &PrefixRule) -> String {
    let mut words = match rule.permit {
        true => format!("permit {}", rule.prefix),
        false => format!("deny {}", rule.prefix),
    };
    for (word, bound) in [("ge", rule.ge), ("le", rule.le)] {
        if let Some(bound) = bound {
            words.push_str(&format!(" {word} {bound}"));
        }
    }
    words
}

/// Columns of these widths, two blanks between them; the last one is as long as it is.
fn table<const N: usize>(
    heads: [&str; N],
    widths: &[usize],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let row = |cells: [&str; N]| {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or_default();
            line.push_str(&format!("{cell:<width$} "));
        }
        line.trim_end().to_owned() + "\n"
    };
    let rule: [String; N] =
        std::array::from_fn(|at| "-".repeat(widths.get(at).map_or(20, |width| width - 1)));
    let mut shown = row(heads) + &row(rule.each_ref().map(String::as_str));
    for cells in rows {
        shown.push_str(&row(cells.each_ref().map(String::as_str)));
    }
    shown
}

fn put(shown: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(shown, "{line}").expect("a string takes all that is written");
}
