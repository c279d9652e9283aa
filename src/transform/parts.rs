//! Which parts of an answer's body a route reads, so that the others are checked to be JSON and not kept.
//!
//! An appliance tells everything that it knows of an object; a route takes a few names of it. Making values
//! of the rest costs more than all else that is done with an answer.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::JsonPath;

/// Names below an object, and what of each is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// All there is, whatever it is.
    Whole,
    /// Of an object these; of anything else nothing.
    Of(Vec<(Box<str>, Parts)>),
}

impl Parts {
    pub fn none() -> Self {
        Self::Of(Vec::new())
    }

    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// All of what stands at the end of these names is read, too.
    pub fn add(&mut self, names: &mut dyn Iterator<Item = &str>) {
        let Self::Of(children) = self else { return };
        let Some(name) = names.next() else {
            *self = Self::Whole;
            return;
        };
        let known = children.iter().position(|(known, _)| **known == *name);
        let at = known.unwrap_or_else(|| {
            children.push((name.into(), Self::none()));
            children.len() - 1
        });
        children[at].1.add(names);
    }

    /// What a JSONPath reads; behind an index or in a filter it is everything.
    pub fn add_path(&mut self, path: &JsonPath) {
        self.add(&mut path.leading_names());
    }

    /// Reads JSON text, all of it, and keeps these parts: a path that was added finds in the value what it
    /// would find in the whole.
    pub fn parse(&self, text: &str) -> serde_json::Result<Value> {
        let mut json = serde_json::Deserializer::from_str(text);
        let value = self.deserialize(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for &Parts {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        match self {
            Parts::Whole => serde::Deserialize::deserialize(json),
            Parts::Of(children) if children.is_empty() => json
                .deserialize_ignored_any(IgnoredAny)
                .map(|_| Value::Null),
            Parts::Of(children) => json.deserialize_any(Names(children)),
        }
    }
}

/// Reads some names of an object.
struct Names<'p>(&'p [(Box<str>, Parts)]);

impl<'de> Visitor<'de> for Names<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::with_capacity(self.0.len());
        while let Some(found) = entries.next_key_seed(Name(self.0))? {
            match found {
                Some((name, parts)) => {
                    let value = entries.next_value_seed(parts)?;
                    map.insert(name.to_string(), value);
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// Looks a key up among the names, without keeping it.
struct Name<'p>(&'p [(Box<str>, Parts)]);

impl<'de, 'p> DeserializeSeed<'de> for Name<'p> {
    type Value = Option<(&'p str, &'p Parts)>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Name<'p> {
    type Value = Option<(&'p str, &'p Parts)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        // Names of one length often begin alike (`fact_01`, `fact_02`): their ends tell most of them apart.
        let end = key.as_bytes().last();
        let may_be = |name: &str| name.len() == key.len() && name.as_bytes().last() == end;
        let found = self
            .0
            .iter()
            .find(|(name, _)| may_be(name) && **name == *key);
        Ok(found.map(|(name, parts)| (&**name, parts)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(paths: &[&[&str]]) -> Parts {
        let mut parts = Parts::none();
        for path in paths {
            parts.add(&mut path.iter().copied());
        }
        parts
    }

    #[test]
    fn what_was_added_is_kept_and_the_rest_is_not() {
        let text = r#"{"a":{"b":[1,{"c":2}],"d":"no"},"e":1e400,"f":{"g":1},"a2":0}"#;
        let parts = of(&[&["a", "b"], &["e"], &["f", "g", "h"], &["none"]]);
        let kept = parts.parse(text).unwrap();
        assert_eq!(
            kept.to_string(),
            r#"{"a":{"b":[1,{"c":2}]},"e":1e+400,"f":{"g":null}}"#
        );
        assert_eq!(of(&[&["a", "b"], &["a"]]), of(&[&["a"]]));
        assert_eq!(of(&[&[]]), Parts::Whole);
        assert_eq!(Parts::none().parse(text).unwrap(), Value::Null);
    }

    #[test]
    fn what_is_no_json_is_refused_wherever_it_stands() {
        for parts in [Parts::none(), of(&[&["a"]]), Parts::Whole] {
            for text in [
                "",
                "{",
                r#"{"x":}"#,
                r#"{"x":1}}"#,
                r#"{"x":tru}"#,
                r#"{"a":[1,]}"#,
                "[1 2]",
            ] {
                assert!(parts.parse(text).is_err(), "{text} by {parts:?}");
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c]", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    fn walk<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
        path.iter()
            .try_fold(value, |value, name| value.as_object()?.get(name))
    }

    proptest! {
        #[test]
        fn a_path_finds_what_it_finds_in_the_whole(
            whole in any_json(),
            paths in prop::collection::vec(prop::collection::vec("[a-c]", 0..4), 0..5),
        ) {
            let mut parts = Parts::none();
            for path in &paths {
                parts.add(&mut path.iter().map(String::as_str));
            }
            let kept = parts.parse(&whole.to_string()).unwrap();
            for path in &paths {
                prop_assert_eq!(walk(&kept, path), walk(&whole, path));
            }
        }
    }

    #[test]
    fn a_path_is_read_up_to_what_is_no_name() {
        use crate::diagnostics::Diagnostics;
        use crate::document::{FileId, Snippet};
        let of_path = |text: &str| {
            let path =
                JsonPath::compile(Snippet::file(FileId(0), text), &mut Diagnostics::default());
            let mut parts = Parts::none();
            parts.add_path(&path.unwrap());
            parts
        };
        assert_eq!(of_path("$.a.b"), of(&[&["a", "b"]]));
        assert_eq!(of_path("$['a.b'][0].c"), of(&[&["a.b"]]));
        assert_eq!(of_path("$.a[*].b"), Parts::Whole);
        assert_eq!(of_path("$"), Parts::Whole);
    }
}
