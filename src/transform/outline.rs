//! What a tree makes, as far as it is known before any request: the form that a document may promise.
//!
//! Nothing here is evaluated. A leaf that is one variable stays that variable: what type its source
//! has, the reader knows.

use serde_json::Value;

use super::Tree;
use super::helpers::Func;
use super::node::{Ask, Node, RoundPart};
use super::tree::Shape;

/// The form of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Outline<'t> {
    /// Written out.
    Literal(&'t Value),
    /// The value of this variable, as it comes: `body.name`; `*` stands for the items of a list.
    Variable(&'t str),
    /// What a helper or a text makes.
    Kind(MadeKind),
    /// One of several, such as the words of a map.
    OneOf(Vec<Outline<'t>>),
    /// Any number of each of these, in the order of the list.
    List(Vec<Outline<'t>>),
    Map(Vec<Member<'t>>),
    Unknown,
}

/// A type that is known without a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeKind {
    Text,
    Integer,
    Boolean,
    TextList,
}

/// A member of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'t> {
    pub name: &'t str,
    pub form: Outline<'t>,
    /// It is there in every rendering.
    pub certain: bool,
}

impl Tree {
    /// What it makes.
    pub fn outline(&self) -> Outline<'_> {
        self.shape().outline()
    }
}

impl Shape {
    fn outline(&self) -> Outline<'_> {
        match self {
            Shape::Literal(value) => Outline::Literal(value),
            Shape::Leaf(expr) => expr.node.outline(),
            Shape::Text(_) | Shape::Template(_) | Shape::Json(..) => Outline::Kind(MadeKind::Text),
            Shape::List(items) => Outline::List(items.iter().map(Shape::spliced).collect()),
            Shape::Map(entries) => {
                let members = entries.iter().map(|(name, shape)| Member {
                    name,
                    form: shape.outline(),
                    certain: !shape.may_be_absent(),
                });
                Outline::Map(members.collect())
            }
            Shape::If {
                then, otherwise, ..
            } => match otherwise {
                Some(otherwise) => Outline::OneOf(vec![then.outline(), otherwise.outline()]),
                None => then.outline(),
            },
            Shape::For { item, .. } => Outline::List(vec![item.outline()]),
        }
    }

    /// What one entry of a list adds to it: of a loop, its items.
    fn spliced(&self) -> Outline<'_> {
        match self {
            Shape::For { item, .. } => item.outline(),
            other => other.outline(),
        }
    }
}

impl Node {
    fn outline(&self) -> Outline<'_> {
        match self {
            Node::Path(path) => path
                .reads
                .as_deref()
                .map_or(Outline::Unknown, Outline::Variable),
            Node::Literal(value) => Outline::Literal(value),
            Node::Round(_, RoundPart::Index) => Outline::Kind(MadeKind::Integer),
            Node::Round(..) | Node::Has(_) | Node::Any(_) | Node::All(_) => {
                Outline::Kind(MadeKind::Boolean)
            }
            Node::Optional(inner) => inner.outline(),
            Node::Default(inner, fallback) => {
                Outline::OneOf(vec![inner.outline(), fallback.outline()])
            }
            Node::Map { map, backwards, .. } => {
                let words = map.entries.iter();
                Outline::OneOf(match backwards {
                    true => words.map(|(word, _)| Outline::Literal(word)).collect(),
                    false => words.map(|(_, word)| Outline::Literal(word)).collect(),
                })
            }
            Node::Row { ask, .. } => Outline::Kind(match ask {
                Ask::Mapped => MadeKind::Boolean,
                Ask::BackendId | Ask::CmpId => MadeKind::Text,
            }),
            Node::Call { func, .. } => func.makes(),
        }
    }
}

impl Func {
    fn makes(self) -> Outline<'static> {
        Outline::Kind(match self {
            Func::Lower
            | Func::Upper
            | Func::Trim
            | Func::Join
            | Func::Replace
            | Func::Json
            | Func::Base64
            | Func::String
            | Func::Uuid
            | Func::Words
            | Func::CidrAddress
            | Func::CidrNetmask
            | Func::Cursor
            | Func::Uncursor => MadeKind::Text,
            Func::Int | Func::CidrPrefix | Func::Count | Func::Add => MadeKind::Integer,
            Func::Eq | Func::Ne | Func::Not | Func::Lt => MadeKind::Boolean,
            Func::Split => MadeKind::TextList,
            Func::Entries => return Outline::List(vec![Outline::Unknown]),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{Names, compiled, node};
    use super::*;

    #[test]
    fn a_tree_says_what_it_will_make() {
        let names = Names::new();
        let tree = json!({
            "id": "{{ body.id }}",
            "mtu": "{{ optional body.mtu }}",
            "label": "a {{ body.id }}",
            "prefix": "{{ cidr_prefix body.cidr }}",
            "kind": "fixed",
            "rules": { "$for": "body.rules", "$item": { "port": "{{ item.port }}", "at": "{{ @index }}" } },
            "some": { "$if": "has body.x", "$then": 1 },
        });
        let tree = compiled(|diags| Tree::compile(&node(&tree), "reply.body", &names.env(), diags))
            .unwrap();
        let Outline::Map(members) = tree.outline() else {
            panic!("it is a map");
        };
        let of = |name: &str| {
            let member = members.iter().find(|member| member.name == name).unwrap();
            (member.form.clone(), member.certain)
        };
        let fixed = json!("fixed");
        assert_eq!(of("id"), (Outline::Variable("body.id"), true));
        assert_eq!(of("mtu"), (Outline::Variable("body.mtu"), false));
        assert_eq!(of("label"), (Outline::Kind(MadeKind::Text), true));
        assert_eq!(of("prefix"), (Outline::Kind(MadeKind::Integer), true));
        assert_eq!(of("kind"), (Outline::Literal(&fixed), true));
        assert!(!of("some").1);
        let (Outline::List(items), true) = of("rules") else {
            panic!("it is a list");
        };
        let Outline::Map(item) = &items[0] else {
            panic!("of maps");
        };
        assert_eq!(item[0].form, Outline::Variable("body.rules.*.port"));
        assert_eq!(item[1].form, Outline::Kind(MadeKind::Integer));
    }
}
