//! A JSON tree whose leaves are templates; keys are always literal, so no value can add one.
//!
//! A tree is kept in two forms that share their expressions: [`Shape`], for a value, and a program
//! (`program`), for bytes in one pass.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::encode::text_of;
use super::expr::{Context, Expr, Fault, Got, Truth};
use super::node::PathNode;
use super::parse::Compiler;
use super::program::Program;
use super::{Env, Format, Parts, Presence, RenderError, Scope, Template, Text};
use crate::diagnostics::Diagnostics;
use crate::document::Node;

/// A compiled tree: literals, typed leaves, `$for`, `$if`, `$xml`, `$xpath`, `$json`, `$cli`,
/// `$template`.
#[derive(Debug)]
pub struct Tree {
    shape: Shape,
    program: Program,
    field: Box<str>,
}

/// What a tree is made of.
#[derive(Debug)]
pub(super) enum Shape {
    Literal(Value),
    Leaf(Arc<Expr>),
    Text(Arc<Text>),
    Template(Arc<Template>),
    List(Vec<Shape>),
    Map(Vec<(Box<str>, Shape)>),
    If {
        condition: Arc<Expr>,
        then: Box<Shape>,
        otherwise: Option<Box<Shape>>,
    },
    For {
        list: Arc<Expr>,
        filter: Option<Arc<Expr>>,
        item: Box<Shape>,
    },
    /// A tree as a JSON string.
    Json(Box<Shape>, Arc<Program>),
}

impl Tree {
    /// Compiles a node; `field` names the tree's place for errors at render time (`call.body`).
    pub fn compile(
        node: &Node,
        field: &str,
        env: &Env<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        let shape = Compiler::new(env, diags).shape(node, field)?;
        let program = Program::of(&shape);
        Some(Self {
            shape,
            program,
            field: field.into(),
        })
    }

    /// Appends the tree as JSON text in one pass; on `Absent` and on an error `out` is unchanged.
    pub fn write_json(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<Presence, RenderError> {
        let start = out.len();
        let mut wanted = false;
        let result = self.program.run(Context::new(scope), out, &mut wanted);
        let result = if wanted {
            Err(RenderError::Lookups)
        } else {
            result
        };
        if result != Ok(Presence::Present) {
            out.truncate(start);
        }
        result
    }

    /// The tree as a value; `None` when it is absent as a whole.
    pub fn to_value(&self, scope: &Scope) -> Result<Option<Value>, RenderError> {
        let mut wanted = false;
        let result = self.shape.value(Context::new(scope), &mut wanted);
        if wanted {
            return Err(RenderError::Lookups);
        }
        result
    }

    /// The tree as the values of one query parameter or form field: one text, or one for each item of
    /// a list; none when it is absent.
    pub fn parameters(&self, scope: &Scope) -> Result<Vec<String>, RenderError> {
        let text = |value: &Value| match text_of(value) {
            Ok(text) => Ok(text.into_owned()),
            Err(reason) => {
                let names = self.variables().join("`, `");
                Err(Fault::refused(&names, reason).at(&self.field))
            }
        };
        match self.to_value(scope)? {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            Some(value) => Ok(vec![text(&value)?]),
        }
    }

    /// The request fields (`body.user.password`) that its expressions read, for `writeOnly`.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.shape
            .paths(&mut |path| names.extend(path.reads.as_deref()));
        names
    }

    /// Notes what it reads of the answer's body.
    pub fn note_parts(&self, parts: &mut Parts) {
        self.shape.paths(&mut |path| path.note(parts));
    }

    /// Its value when it has no expression at all.
    pub fn as_literal(&self) -> Option<&Value> {
        match &self.shape {
            Shape::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Whether a line of a command line in it holds a value.
    pub fn holds_cli(&self) -> bool {
        self.shape.holds_cli()
    }

    /// Whether it has no expression at all.
    pub fn is_literal(&self) -> bool {
        self.as_literal().is_some()
    }

    /// Whether an `optional` may make it vanish as a whole.
    pub fn may_be_absent(&self) -> bool {
        self.shape.may_be_absent()
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }
}

impl Shape {
    pub(super) fn may_be_absent(&self) -> bool {
        match self {
            Shape::Literal(_) | Shape::Template(_) | Shape::List(_) | Shape::Map(_) => false,
            Shape::Leaf(expr) => expr.node.may_be_absent(),
            Shape::Text(text) => text.may_be_absent(),
            Shape::If {
                condition,
                then,
                otherwise,
            } => {
                condition.node.may_be_absent()
                    || then.may_be_absent()
                    || otherwise
                        .as_ref()
                        .is_none_or(|otherwise| otherwise.may_be_absent())
            }
            Shape::For { list, .. } => list.node.may_be_absent(),
            Shape::Json(inner, _) => inner.may_be_absent(),
        }
    }

    fn holds_cli(&self) -> bool {
        match self {
            Shape::Literal(_) | Shape::Leaf(_) => false,
            Shape::Text(text) => text.is_cli(),
            Shape::Template(template) => template.format() == Format::Cli,
            Shape::List(items) => items.iter().any(Shape::holds_cli),
            Shape::Map(entries) => entries.iter().any(|(_, value)| value.holds_cli()),
            Shape::If {
                then, otherwise, ..
            } => then.holds_cli() || otherwise.as_ref().is_some_and(|other| other.holds_cli()),
            Shape::For { item, .. } => item.holds_cli(),
            Shape::Json(inner, _) => inner.holds_cli(),
        }
    }

    /// Shows every variable in it.
    fn paths<'t>(&'t self, see: &mut dyn FnMut(&'t PathNode)) {
        match self {
            Shape::Literal(_) => {}
            Shape::Leaf(expr) => expr.node.paths(see),
            Shape::Text(text) => text.paths(see),
            Shape::Template(template) => template.paths(see),
            Shape::List(items) => items.iter().for_each(|item| item.paths(see)),
            Shape::Map(entries) => entries.iter().for_each(|(_, value)| value.paths(see)),
            Shape::If {
                condition,
                then,
                otherwise,
            } => {
                condition.node.paths(see);
                then.paths(see);
                if let Some(otherwise) = otherwise {
                    otherwise.paths(see);
                }
            }
            Shape::For { list, filter, item } => {
                list.node.paths(see);
                if let Some(filter) = filter {
                    filter.node.paths(see);
                }
                item.paths(see);
            }
            Shape::Json(inner, _) => inner.paths(see),
        }
    }

    fn value(&self, context: Context<'_>, wanted: &mut bool) -> Result<Option<Value>, RenderError> {
        Ok(match self {
            Shape::Literal(value) => Some(value.clone()),
            Shape::Leaf(expr) => match expr.get(context).map_err(|fault| fault.at(&expr.field))? {
                Got::Value(value) => Some(value.into_owned()),
                Got::Absent => None,
                Got::Wanted => {
                    *wanted = true;
                    None
                }
            },
            Shape::Text(text) => rendered(text, context, wanted)?.map(Value::String),
            Shape::Template(template) => {
                Some(Value::String(rendered_template(template, context, wanted)?))
            }
            Shape::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    match (item, item.value(context, wanted)?) {
                        (Shape::For { .. }, Some(Value::Array(items))) => list.extend(items),
                        (_, value) => list.extend(value),
                    }
                }
                Some(Value::Array(list))
            }
            Shape::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    if let Some(value) = value.value(context, wanted)? {
                        map.insert(key.to_string(), value);
                    }
                }
                Some(Value::Object(map))
            }
            Shape::If {
                condition,
                then,
                otherwise,
            } => match (truth(condition, context, wanted)?, otherwise) {
                (Some(true), _) => then.value(context, wanted)?,
                (Some(false), Some(otherwise)) => otherwise.value(context, wanted)?,
                _ => None,
            },
            Shape::For { list, filter, item } => {
                let mut values = Vec::new();
                let present = rounds(
                    list,
                    filter.as_deref(),
                    context,
                    wanted,
                    |inside, wanted| {
                        values.extend(item.value(inside, wanted)?);
                        Ok(())
                    },
                )?;
                (present == Presence::Present).then_some(Value::Array(values))
            }
            Shape::Json(_, program) => {
                let mut text = Vec::new();
                match program.run(context, &mut text, wanted)? {
                    Presence::Present => {
                        let text = String::from_utf8(text).expect("JSON text is UTF-8");
                        Some(Value::String(text))
                    }
                    Presence::Absent => None,
                }
            }
        })
    }
}

/// A text inside loops.
pub(super) fn rendered(
    text: &Text,
    context: Context<'_>,
    wanted: &mut bool,
) -> Result<Option<String>, RenderError> {
    match text.run(context) {
        Ok(done) => {
            *wanted |= done.wanted;
            Ok((!done.absent).then_some(done.out))
        }
        Err((fault, asked)) => {
            *wanted |= asked;
            Err(fault.at(text.field()))
        }
    }
}

/// A template inside loops.
pub(super) fn rendered_template(
    template: &Template,
    context: Context<'_>,
    wanted: &mut bool,
) -> Result<String, RenderError> {
    match template.run(context) {
        Ok(done) => {
            *wanted |= done.wanted;
            Ok(done.out)
        }
        Err((fault, asked)) => {
            *wanted |= asked;
            Err(fault.at(template.field()))
        }
    }
}

/// A condition; `None` when it is absent or waits for a row.
pub(super) fn truth(
    condition: &Expr,
    context: Context<'_>,
    wanted: &mut bool,
) -> Result<Option<bool>, RenderError> {
    match condition.test(context) {
        Ok(Truth::Is(value)) => Ok(Some(value)),
        Ok(Truth::Absent) => Ok(None),
        Ok(Truth::Wanted) => {
            *wanted = true;
            Ok(None)
        }
        Err(fault) => Err(fault.at(&condition.field)),
    }
}

/// Walks a list, item by item, those that pass the filter; absent when the list is.
pub(super) fn rounds(
    list: &Expr,
    filter: Option<&Expr>,
    context: Context<'_>,
    wanted: &mut bool,
    mut visit: impl FnMut(Context<'_>, &mut bool) -> Result<(), RenderError>,
) -> Result<Presence, RenderError> {
    let items = match list.get(context).map_err(|fault| fault.at(&list.field))? {
        Got::Value(items) => items,
        Got::Absent => return Ok(Presence::Absent),
        Got::Wanted => {
            *wanted = true;
            return Ok(Presence::Present);
        }
    };
    let Value::Array(items) = &*items else {
        return Err(Fault::refused(&list.text, "it is not a list").at(&list.field));
    };
    for (index, item) in items.iter().enumerate() {
        let frame = context.round(item, index, items.len());
        let inside = context.inside(&frame);
        let passes = match filter {
            Some(filter) => truth(filter, inside, wanted)? == Some(true),
            None => true,
        };
        if passes {
            visit(inside, wanted)?;
        }
    }
    Ok(Presence::Present)
}

/// The JSON of a string, appended.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is written to memory");
}

/// A value put into a JSON tree, appended.
pub(super) fn write_value(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a value is written to memory");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{Names, compiled, node, scope};
    use super::super::{Lookup, LookupRow};
    use super::*;
    use crate::diagnostics::{Diagnostic, codes};

    fn compile(tree: Value) -> Result<Tree, Vec<Diagnostic>> {
        let names = Names::new().with_template("a.xml.hbs", "<a>{{ body.x }}</a>");
        compiled(|diags| Tree::compile(&node(&tree), "call.body", &names.env(), diags))
    }

    /// Both forms of the tree, which must agree.
    fn render_in(tree: &Tree, scope: &Scope) -> Result<Option<Value>, RenderError> {
        let mut out = b"before[".to_vec();
        let written = tree.write_json(scope, &mut out);
        let value = tree.to_value(scope);
        match &written {
            Ok(Presence::Present) => {
                let read = serde_json::from_slice(&out[7..]).expect("the bytes are JSON");
                assert_eq!(value, Ok(Some(read)));
            }
            Ok(Presence::Absent) => assert_eq!(value, Ok(None)),
            Err(error) => assert_eq!(value.as_ref(), Err(error)),
        }
        if written != Ok(Presence::Present) {
            assert_eq!(out, b"before[", "nothing is appended");
        }
        value
    }

    fn render(tree: Value, body: Value) -> Result<Option<Value>, RenderError> {
        render_in(&compile(tree).unwrap(), &scope(body))
    }

    fn code(tree: Value) -> &'static str {
        compile(tree).unwrap_err()[0].code
    }

    #[test]
    fn a_leaf_that_is_one_expression_keeps_its_type_and_other_text_is_text() {
        let tree = json!({
            "n": "{{ body.n }}", "t": "v{{ body.n }}", "o": "{{ body.o }}",
            "lit": [1, null, true, "x", {}], "s": "plain",
        });
        assert_eq!(
            render(tree, json!({ "n": 5, "o": { "a": [null] } })),
            Ok(Some(json!({
                "n": 5, "t": "v5", "o": { "a": [null] },
                "lit": [1, null, true, "x", {}], "s": "plain",
            })))
        );
    }

    #[test]
    fn numbers_keep_their_exact_digits() {
        let body: Value =
            serde_json::from_str(r#"{"x": 123456789012345678901234567890.10}"#).unwrap();
        let tree = compile(json!({ "x": "{{ body.x }}", "t": "={{ body.x }}" })).unwrap();
        let mut out = Vec::new();
        tree.write_json(&scope(body), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"x":123456789012345678901234567890.10,"t":"=123456789012345678901234567890.10"}"#
        );
    }

    #[test]
    fn what_holds_an_absent_value_vanishes() {
        let tree = || {
            json!({
                "a": "{{ optional body.a }}",
                "b": ["{{ optional body.a }}", "{{ optional body.b }}", 1],
                "c": "x{{ optional body.a }}",
                "d": { "e": "{{ optional body.a }}" },
                "f": { "$json": { "$if": "has body.a", "$then": 1 } },
                "g": "{{ optional body.b }}",
            })
        };
        assert_eq!(
            render(tree(), json!({})),
            Ok(Some(json!({ "b": [1], "d": {} })))
        );
        assert_eq!(
            render(tree(), json!({ "b": null })),
            Ok(Some(json!({ "b": [null, 1], "d": {}, "g": null })))
        );
        assert_eq!(render(json!("{{ optional body.a }}"), json!({})), Ok(None));
        assert_eq!(
            render(
                json!({ "a": "{{ optional body.a }}", "b": "{{ optional body.b }}" }),
                json!({ "b": 2 })
            ),
            Ok(Some(json!({ "b": 2 })))
        );
    }

    #[test]
    fn a_missing_value_names_its_field_in_the_tree() {
        let tree = json!({ "network": { "tags": [1, "{{ body.name }}"] } });
        assert_eq!(
            render(tree, json!({})),
            Err(RenderError::Missing {
                field: "call.body.network.tags.1".into(),
                variable: "body.name".into(),
            })
        );
    }

    #[test]
    fn for_makes_a_list_or_is_spliced_into_one() {
        let each = json!({ "$for": "body.l", "$as": "x", "$where": "ne x.n 2", "$item": { "n": "{{ x.n }}", "i": "{{ @index }}" } });
        let body = json!({ "l": [{ "n": 1 }, { "n": 2 }, { "n": 3 }] });
        assert_eq!(
            render(json!({ "rules": each }), body.clone()),
            Ok(Some(
                json!({ "rules": [{ "n": 1, "i": 0 }, { "n": 3, "i": 2 }] })
            ))
        );
        assert_eq!(
            render(json!([0, each, each, 9]), body.clone()),
            Ok(Some(json!([
                0, { "n": 1, "i": 0 }, { "n": 3, "i": 2 }, { "n": 1, "i": 0 }, { "n": 3, "i": 2 }, 9
            ])))
        );
        assert_eq!(
            render(
                json!([each, "{{ optional body.none }}", 9]),
                json!({ "l": [] })
            ),
            Ok(Some(json!([9])))
        );
    }

    #[test]
    fn loops_nest_and_see_the_outer_item() {
        let tree = json!({ "$for": "body.a", "$as": "a", "$item": {
            "$for": "a.b", "$item": "{{ a.n }}-{{ item }}-{{ body.z }}"
        } });
        let body = json!({ "z": "z", "a": [{ "n": 1, "b": ["x", "y"] }, { "n": 2, "b": [] }] });
        assert_eq!(
            render(tree, body),
            Ok(Some(json!([["1-x-z", "1-y-z"], []])))
        );
    }

    #[test]
    fn a_for_over_an_absent_list_vanishes_and_over_no_list_is_an_error() {
        let tree = json!({ "k": { "$for": "optional body.l", "$item": 1 }, "m": [{ "$for": "optional body.l", "$item": 1 }] });
        assert_eq!(render(tree, json!({})), Ok(Some(json!({ "m": [] }))));
        let tree = json!({ "$for": "body.l", "$item": 1 });
        assert!(matches!(
            render(tree.clone(), json!({})),
            Err(RenderError::Missing { .. })
        ));
        for wrong in [json!(null), json!({}), json!("x")] {
            assert!(matches!(
                render(tree.clone(), json!({ "l": wrong })),
                Err(RenderError::Unsafe { .. })
            ));
        }
    }

    #[test]
    fn if_chooses_or_vanishes_and_asks_for_a_boolean() {
        let tree = json!({ "a": { "$if": "body.on", "$then": "{{ body.x }}", "$else": [] }, "b": { "$if": "body.on", "$then": 1 } });
        assert_eq!(
            render(tree.clone(), json!({ "on": true, "x": 2 })),
            Ok(Some(json!({ "a": 2, "b": 1 })))
        );
        assert_eq!(
            render(tree.clone(), json!({ "on": false })),
            Ok(Some(json!({ "a": [] })))
        );
        for wrong in [json!("true"), json!(1), json!(null)] {
            assert!(matches!(
                render(tree.clone(), json!({ "on": wrong, "x": 2 })),
                Err(RenderError::Unsafe { field, .. }) if field == "call.body.a"
            ));
        }
    }

    #[test]
    fn formats_inside_json_are_encoded_for_both() {
        let tree = json!({
            "xml": { "$xml": "<e n=\"{{ body.x }}\"/>" },
            "xpath": { "$xpath": "/e[@n='{{ body.x }}']" },
            "json": { "$json": { "deep": ["{{ body.x }}"] } },
            "template": { "$template": "a.xml.hbs" },
        });
        assert_eq!(
            render(tree, json!({ "x": "a\"<" })),
            Ok(Some(json!({
                "xml": "<e n=\"a&quot;&lt;\"/>",
                "xpath": "/e[@n='a\"<']",
                "json": "{\"deep\":[\"a\\\"<\"]}",
                "template": "<a>a&quot;&lt;</a>",
            })))
        );
    }

    #[test]
    fn a_text_that_looks_like_a_format_must_name_it() {
        for text in [
            "<a>{{ body.x }}</a>",
            "{{ body.x }}</a>",
            "/a[@n={{ body.x }}]",
            "/a[n='x-{{ body.x }}']",
            "{\"a\": \"{{ body.x }}\"}",
            "name=\"{{ body.x }}\"",
        ] {
            assert_eq!(code(json!({ "a": text })), codes::UNNAMED_FORMAT, "{text}");
        }
        for text in [
            "it's {{ body.x }}'s",
            "a < {{ body.x }}",
            "'a' {{ body.x }}",
            "<{ x",
        ] {
            assert!(compile(json!({ "a": text })).is_ok(), "{text}");
        }
    }

    #[test]
    fn keys_are_literal_and_two_dollars_are_one() {
        assert_eq!(
            render(
                json!({ "$$filter": "{{ body.x }}", "a\"b\n": 1 }),
                json!({ "x": 1 })
            ),
            Ok(Some(json!({ "$filter": 1, "a\"b\n": 1 })))
        );
        assert_eq!(
            code(json!({ "{{ body.x }}": 1 })),
            codes::MISPLACED_EXPRESSION
        );
    }

    #[test]
    fn wrong_directives_are_reported_with_the_nearest() {
        let problems = compile(json!({ "$fro": "body.x", "$item": 1 })).unwrap_err();
        assert_eq!(problems[0].code, codes::UNKNOWN_DIRECTIVE);
        assert_eq!(problems[0].label.as_deref(), Some("did you mean `$for`?"));
        for tree in [
            json!({ "$for": "body.x" }),
            json!({ "$if": "body.x" }),
            json!({ "$item": 1 }),
            json!({ "$if": "body.x", "$then": 1, "other": 2 }),
            json!({ "$for": "body.x", "$item": 1, "$then": 1 }),
            json!({ "$xml": 5 }),
            json!({ "$if": true, "$then": 1 }),
        ] {
            assert_eq!(code(tree.clone()), codes::BAD_TREE, "{tree}");
        }
        for (tree, wanted) in [
            (
                json!({ "$for": "{{ body.x }}", "$item": 1 }),
                codes::BAD_TEMPLATE,
            ),
            (
                json!({ "$for": "body.x", "$as": "body", "$item": 1 }),
                codes::BAD_ARGUMENT,
            ),
            (json!({ "$template": "b.xml.hbs" }), codes::UNKNOWN_TEMPLATE),
            (
                json!({ "$for": "body.x", "$item": "{{ itm.a }}" }),
                codes::UNKNOWN_VARIABLE,
            ),
            (
                json!(["{{ item }}", { "$for": "body.x", "$item": 1 }]),
                codes::UNKNOWN_VARIABLE,
            ),
        ] {
            assert_eq!(code(tree.clone()), wanted, "{tree}");
        }
    }

    #[test]
    fn every_problem_of_a_tree_is_reported() {
        let problems = compile(json!({
            "a": "{{ bdy.a }}",
            "b": [{ "$if": "bdy.b", "$then": "{{ bdy.c }}", "$else": "{{ bdy.d }}" }],
            "c": { "$for": "bdy.e", "$where": "bdy.f", "$item": "{{ bdy.g }}" },
        }))
        .unwrap_err();
        assert_eq!(problems.len(), 7, "{problems:?}");
    }

    #[test]
    fn all_wanted_rows_of_a_tree_are_collected_in_one_rendering() {
        let tree = compile(json!({
            "a": "{{ backend_id 'network' body.a }}",
            "t": "x-{{ backend_id 'network' body.b }}",
            "l": { "$for": "body.l", "$where": "mapped 'network' item", "$item": "{{ cmp_id 'network' item }}" },
            "i": { "$if": "mapped 'network' 'm'", "$then": 1, "$else": 2 },
            "n": "{{ backend_id 'network' 'after' }}",
            "m": "{{ body.missing }}",
        }))
        .unwrap();
        let scope = scope(json!({ "a": "1", "b": "2", "l": ["p", "q"] }));
        let written = tree.write_json(&scope, &mut Vec::new());
        assert_eq!(written, Err(RenderError::Lookups));
        let wanted = scope.take_wanted();
        assert_eq!(tree.to_value(&scope), Err(RenderError::Lookups));
        assert_eq!(scope.take_wanted(), wanted, "both forms ask the same");
        assert_eq!(wanted.len(), 6, "{wanted:?}");
        scope.supply(wanted.into_iter().map(|question| {
            let row = match &question {
                Lookup::CmpId { backend_id, .. } if backend_id == "q" => LookupRow::Unmapped,
                Lookup::CmpId { backend_id, .. } => LookupRow::Id(format!("c-{backend_id}")),
                Lookup::BackendId { cmp_id, .. } => LookupRow::Id(format!("b-{cmp_id}")),
            };
            (question, row)
        }));
        assert!(matches!(
            render_in(&tree, &scope),
            Err(RenderError::Missing { .. })
        ));
        let tree = compile(json!({
            "a": "{{ backend_id 'network' body.a }}",
            "l": { "$for": "body.l", "$where": "mapped 'network' item", "$item": "{{ cmp_id 'network' item }}" },
        }))
        .unwrap();
        assert_eq!(
            render_in(&tree, &scope),
            Ok(Some(json!({ "a": "b-1", "l": ["c-p"] })))
        );
    }

    #[test]
    fn a_parameter_is_one_text_or_one_for_each_item() {
        let parameters = |body: Value| {
            compile(json!("{{ optional body.x }}"))
                .unwrap()
                .parameters(&scope(body))
        };
        assert_eq!(parameters(json!({ "x": 5 })), Ok(vec!["5".into()]));
        assert_eq!(
            parameters(json!({ "x": ["a", true] })),
            Ok(vec!["a".into(), "true".into()])
        );
        assert_eq!(parameters(json!({ "x": [] })), Ok(vec![]));
        assert_eq!(parameters(json!({})), Ok(vec![]));
        for wrong in [json!(null), json!({}), json!([["a"]]), json!([null])] {
            assert!(matches!(
                parameters(json!({ "x": wrong })),
                Err(RenderError::Unsafe { field, variable, .. })
                    if field == "call.body" && variable == "body.x"
            ));
        }
    }

    #[test]
    fn a_tree_without_expressions_is_its_literal() {
        let literal = json!({ "a": [1, { "$$b": "c" }] });
        let tree = compile(literal).unwrap();
        assert_eq!(tree.as_literal(), Some(&json!({ "a": [1, { "$b": "c" }] })));
        assert!(tree.variables().is_empty());
    }

    #[test]
    fn its_variables_are_told() {
        let tree = compile(json!({
            "a": "{{ body.user.password }}",
            "b": "x{{ optional body.b }}",
            "c": { "$for": "optional body.c", "$item": "{{ item.secret }}" },
            "d": { "$if": "has body.d", "$then": { "$json": "{{ body.e }}" } },
            "f": { "$template": "a.xml.hbs" },
        }))
        .unwrap();
        assert_eq!(
            tree.variables(),
            [
                "body.user.password",
                "body.b",
                "body.c",
                "body.c.*.secret",
                "body.d",
                "body.e",
                "body.x"
            ]
        );
    }
}
