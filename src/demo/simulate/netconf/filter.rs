//! Subtree filters (RFC 6241, section 6) over the interfaces.

use roxmltree::Node;

use super::data::{IETF_INTERFACES, Interfaces, leaf_xml, text_of};

/// What a filter selects, as XML inside `<data>`; without a filter, all. `state` adds what the device
/// says of itself.
pub(super) fn select(held: &Interfaces, filter: Option<Node<'_, '_>>, state: bool) -> String {
    let Some(filter) = filter else {
        return within(held.iter().map(|(_, leaves)| interface(leaves.all(state))));
    };
    let containers: Vec<_> = elements(filter)
        .filter(|node| node.has_tag_name((IETF_INTERFACES, "interfaces")))
        .collect();
    let chosen = held.iter().filter_map(|(_, leaves)| {
        let all = leaves.all(state);
        let asked = containers.iter().flat_map(|container| asked(*container));
        let mut wanted: Vec<_> = asked.filter_map(|node| wanted(&all, node)).collect();
        // Several filters for one interface are one answer.
        let first = wanted.pop()?;
        let leaves = all.iter().filter(|leaf| {
            first.contains(leaf) || wanted.iter().any(|wanted| wanted.contains(leaf))
        });
        Some(interface(leaves.copied().collect()))
    });
    within(chosen)
}

/// The `interface` elements of a container; `None` for one that is empty, and so asks for all.
fn asked<'a, 'i>(container: Node<'a, 'i>) -> Vec<Option<Node<'a, 'i>>> {
    let of = elements(container).filter(|node| node.has_tag_name((IETF_INTERFACES, "interface")));
    match elements(container).next() {
        None => vec![None],
        Some(_) => of.map(Some).collect(),
    }
}

type Leaf<'d> = (&'static str, &'d str);

/// The leaves that an `interface` of a filter takes, if it is this one: a leaf with text must match
/// (section 6.2.5), an empty one is selected; with none of these, all are.
fn wanted<'d>(all: &[Leaf<'d>], filter: Option<Node<'_, '_>>) -> Option<Vec<Leaf<'d>>> {
    let Some(filter) = filter else {
        return Some(all.to_vec());
    };
    let value = |name: &str| all.iter().find(|(leaf, _)| *leaf == name);
    let mut selected = Vec::new();
    let mut matched = Vec::new();
    for node in elements(filter) {
        let name = node.tag_name().name();
        let held = value(name).filter(|_| node.tag_name().namespace() == Some(IETF_INTERFACES));
        let text = text_of(node);
        match text.is_empty() {
            true => selected.push(held),
            false => {
                let (_, held) = held?;
                // An identity may be asked for under whatever prefix.
                let text = match name {
                    "type" => text.rsplit(':').next().unwrap_or_default(),
                    _ => &text,
                };
                if *held != text {
                    return None;
                }
                matched.push(name.to_owned());
            }
        }
    }
    if selected.is_empty() {
        return Some(all.to_vec());
    }
    // The key tells which one it is.
    let taken = all.iter().filter(|leaf| {
        let (name, _) = leaf;
        *name == "name"
            || matched.iter().any(|matched| matched == name)
            || selected.contains(&Some(*leaf))
    });
    Some(taken.copied().collect())
}

fn interface(leaves: Vec<Leaf<'_>>) -> String {
    let leaves: String = leaves
        .iter()
        .map(|(name, value)| leaf_xml(name, value))
        .collect();
    format!("<interface>{leaves}</interface>")
}

fn within(interfaces: impl Iterator<Item = String>) -> String {
    match interfaces.collect::<String>().as_str() {
        "" => String::new(),
        inside => format!("<interfaces xmlns=\"{IETF_INTERFACES}\">{inside}</interfaces>"),
    }
}

fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}
