//! One expression: `{{ helper argument ... }}`, compiled to what it means and evaluated to a typed value.
//!
//! `parse` makes expressions out of what Handlebars' parser read, `resolve` checks their variables,
//! `node` evaluates, `helpers` computes. Evaluation is strict: what has no value is a fault, unless `optional`,
//! `default` or `has` says otherwise.

use std::borrow::Cow;

use serde_json::Value;

use super::node::Node;
use super::parse::Compiler;
use super::uses::Landing;
use super::{Env, RenderError, Scope, encode};
use crate::diagnostics::Diagnostics;
use crate::document::Snippet;

/// A compiled expression.
#[derive(Debug)]
pub struct Expr {
    pub(super) node: Node,
    /// As written, for errors.
    pub(super) text: Box<str>,
    pub(super) field: Box<str>,
}

impl Expr {
    /// Compiles a bare expression (`body.rules`, `optional body.mtu`), as `$for` and `$if` take it.
    pub fn compile(
        source: Snippet<'_>,
        field: &str,
        env: &Env<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        Compiler::new(env, diags)
            .landing(Landing::Condition)
            .bare(source, field)
    }

    /// The value; `None` when it is `optional` and absent.
    pub fn eval<'s>(&'s self, scope: &'s Scope) -> Result<Option<Cow<'s, Value>>, RenderError> {
        match self.get(Context::new(scope)) {
            Ok(Got::Value(value)) => Ok(Some(value)),
            Ok(Got::Absent) => Ok(None),
            Ok(Got::Wanted) => Err(RenderError::Lookups),
            Err(fault) => Err(fault.at(&self.field)),
        }
    }

    /// The variables that it reads, such as `body.user.password`; `*` stands for the items of a list.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.node.variables(&mut names);
        names
    }

    pub(super) fn get<'c>(&'c self, context: Context<'c>) -> Result<Got<'c>, Fault> {
        self.node.eval(context)
    }

    /// Its value as a condition, which must be a boolean.
    pub(super) fn test(&self, context: Context<'_>) -> Result<Truth, Fault> {
        Ok(match self.get(context)? {
            Got::Value(value) => match *value {
                Value::Bool(value) => Truth::Is(value),
                _ => return Err(Fault::not_boolean(&self.text)),
            },
            Got::Absent => Truth::Absent,
            Got::Wanted => Truth::Wanted,
        })
    }

    /// Writes its value into a text.
    pub(super) fn write(
        &self,
        slot: encode::Slot,
        context: Context<'_>,
        out: &mut String,
    ) -> Result<Wrote, Fault> {
        match self.get(context)? {
            Got::Value(value) => {
                let begin = out.len();
                encode::write(slot, &value, out)
                    .map_err(|reason| Fault::refused(&self.text, reason))?;
                let rules = context.scope.line_rules();
                rules
                    .judge(slot, &out[begin..])
                    .map_err(|reason| Fault::refused(&self.text, reason))?;
                Ok(Wrote::Value)
            }
            Got::Absent => Ok(Wrote::Absent),
            Got::Wanted => Ok(Wrote::Wanted),
        }
    }
}

/// What a condition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Is(bool),
    Absent,
    Wanted,
}

/// What writing a value came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    Value,
    Absent,
    Wanted,
}

/// What an expression came to.
#[derive(Clone, Debug)]
pub(super) enum Got<'c> {
    Value(Cow<'c, Value>),
    /// `optional`, and not there.
    Absent,
    /// A row of the mapping table is wanted first.
    Wanted,
}

impl Got<'_> {
    pub(super) fn owned(value: Value) -> Self {
        Got::Value(Cow::Owned(value))
    }
}

/// A [`RenderError`] that does not know its field yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    Missing { variable: String },
    Unsafe { variable: String, reason: String },
    NotMapped { resource: String, id: String },
    Pending { resource: String, id: String },
}

impl Fault {
    pub(super) fn refused(variable: &str, reason: impl Into<String>) -> Self {
        Fault::Unsafe {
            variable: variable.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn not_boolean(variable: &str) -> Self {
        Self::refused(
            variable,
            "a condition must be true or false; `has` asks for presence",
        )
    }

    pub(super) fn at(self, field: &str) -> RenderError {
        let field = field.to_owned();
        match self {
            Fault::Missing { variable } => RenderError::Missing { field, variable },
            Fault::Unsafe { variable, reason } => RenderError::Unsafe {
                field,
                variable,
                reason,
            },
            Fault::NotMapped { resource, id } => RenderError::NotMapped {
                field,
                resource,
                id,
            },
            Fault::Pending { resource, id } => RenderError::Pending {
                field,
                resource,
                id,
            },
        }
    }

    /// What `optional`, `default` and `has` forgive.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Fault::Missing { .. } | Fault::NotMapped { .. })
    }
}

/// What an expression is evaluated against: the request's scope, and the loops around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c> {
    pub(super) scope: &'c Scope,
    frame: Option<&'c Frame<'c>>,
}

impl<'c> Context<'c> {
    pub(super) fn new(scope: &'c Scope) -> Self {
        Self { scope, frame: None }
    }

    /// The frame of one round of a loop inside this context.
    pub(super) fn round<'f>(self, item: &'f Value, index: usize, count: usize) -> Frame<'f>
    where
        'c: 'f,
    {
        Frame {
            item,
            index,
            count,
            outer: self.frame,
        }
    }

    /// This context inside that round.
    pub(super) fn inside<'f>(self, frame: &'f Frame<'f>) -> Context<'f>
    where
        'c: 'f,
    {
        Context {
            scope: self.scope,
            frame: Some(frame),
        }
    }

    pub(super) fn frame(self, depth: usize) -> &'c Frame<'c> {
        let mut frame = self.frame;
        for _ in 0..depth {
            frame = frame.and_then(|frame| frame.outer);
        }
        frame.expect("a loop variable compiles only inside its loop")
    }
}

/// One round of a loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'c> {
    pub(super) item: &'c Value,
    pub(super) index: usize,
    pub(super) count: usize,
    outer: Option<&'c Frame<'c>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{Names, compiled, scope, text_node};
    use super::super::{Lookup, LookupRow};
    use super::*;
    use crate::diagnostics::{Diagnostic, codes};

    fn compile(text: &str) -> Result<Expr, Vec<Diagnostic>> {
        let names = Names::new();
        let node = text_node(text);
        compiled(|diags| Expr::compile(node.snippet().unwrap(), "call.x", &names.env(), diags))
    }

    fn eval(text: &str, body: Value) -> Result<Option<Value>, RenderError> {
        let scope = scope(body);
        let expr = compile(text).unwrap();
        let value = expr.eval(&scope)?;
        Ok(value.map(Cow::into_owned))
    }

    fn missing(variable: &str) -> Result<Option<Value>, RenderError> {
        Err(RenderError::Missing {
            field: "call.x".into(),
            variable: variable.into(),
        })
    }

    /// The code and what the caret is under.
    fn problem(text: &str) -> (&'static str, String, Option<String>) {
        let problems = compile(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let span = problems[0].span.unwrap();
        let marked = &text[span.start as usize..span.end as usize];
        (
            problems[0].code,
            marked.to_owned(),
            problems[0].label.clone(),
        )
    }

    #[test]
    fn a_variable_keeps_its_type() {
        for value in [
            json!(1),
            json!("x"),
            json!(null),
            json!([1]),
            json!({ "a": 1 }),
        ] {
            assert_eq!(
                eval("body.x", json!({ "x": value })),
                Ok(Some(value.clone()))
            );
        }
    }

    #[test]
    fn a_variable_walks_keys_and_indexes_and_odd_keys() {
        let body = json!({ "rules": [{ "name": "a" }], "0": "zero", "odd key": { "this": 7 } });
        assert_eq!(
            eval("body.rules.0.name", body.clone()),
            Ok(Some(json!("a")))
        );
        assert_eq!(eval("body.0", body.clone()), Ok(Some(json!("zero"))));
        assert_eq!(
            eval("body.[odd key].this", body.clone()),
            Ok(Some(json!(7)))
        );
        assert_eq!(
            eval("body.rules.1.name", body.clone()),
            missing("body.rules.1.name")
        );
        assert_eq!(eval("body.rules.name", body), missing("body.rules.name"));
    }

    #[test]
    fn a_missing_variable_is_an_error_and_null_is_a_value() {
        assert_eq!(eval("body.x", json!({})), missing("body.x"));
        assert_eq!(eval("body.x.y", json!({ "x": null })), missing("body.x.y"));
        assert_eq!(
            eval("upper body.x", json!({ "x": null }))
                .unwrap_err()
                .to_string(),
            "`upper body.x` cannot stand in `call.x`: it is null, which has no text form"
        );
    }

    #[test]
    fn optional_absence_goes_through_helpers_and_default_ends_it() {
        let none = json!({});
        assert_eq!(eval("optional body.x", none.clone()), Ok(None));
        assert_eq!(eval("upper (optional body.x)", none.clone()), Ok(None));
        assert_eq!(eval("optional (upper body.x)", none.clone()), Ok(None));
        assert_eq!(
            eval("map 'action' (optional body.x)", none.clone()),
            Ok(None)
        );
        assert_eq!(eval("default body.x 5", none.clone()), Ok(Some(json!(5))));
        assert_eq!(
            eval("default (upper (optional body.x)) 'Y'", none.clone()),
            Ok(Some(json!("Y")))
        );
        assert_eq!(eval("default body.x []", none.clone()), Ok(Some(json!([]))));
        assert_eq!(
            eval("default body.x 5", json!({ "x": null })),
            Ok(Some(json!(null)))
        );
        assert_eq!(eval("default body.x body.y", none), missing("body.y"));
    }

    #[test]
    fn has_asks_for_presence_and_conditions_are_boolean() {
        assert_eq!(eval("has body.x", json!({})), Ok(Some(json!(false))));
        assert_eq!(
            eval("has body.x", json!({ "x": null })),
            Ok(Some(json!(true)))
        );
        assert_eq!(
            eval("and (has body.x) body.x", json!({})),
            Ok(Some(json!(false)))
        );
        assert_eq!(
            eval("or body.x body.missing", json!({ "x": true })),
            Ok(Some(json!(true)))
        );
        assert!(eval("not body.x", json!({ "x": 0 })).is_err());
        assert!(eval("or body.x body.x", json!({ "x": "true" })).is_err());
    }

    #[test]
    fn a_map_translates_and_refuses_other_words_without_repeating_them() {
        assert_eq!(
            eval("map 'action' body.x", json!({ "x": "allow" })),
            Ok(Some(json!("accept")))
        );
        assert_eq!(
            eval("unmap \"action\" body.x", json!({ "x": "drop" })),
            Ok(Some(json!("deny")))
        );
        assert_eq!(
            eval("map 'action' body.x", json!({ "x": 1 })),
            Ok(Some(json!("one")))
        );
        let error = eval("map 'action' body.x", json!({ "x": "hunter2" })).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`map 'action' body.x` cannot stand in `call.x`: it is not a word of the map `action`"
        );
    }

    #[test]
    fn a_helper_that_takes_nothing_stands_alone() {
        let made = eval("uuid", json!({})).unwrap().unwrap();
        assert_eq!(made.as_str().unwrap().len(), 36);
    }

    #[test]
    fn all_wanted_rows_of_an_expression_are_noted_at_once() {
        let scope = scope(json!({ "a": "1", "b": "2" }));
        let expr = compile("eq (backend_id 'network' body.a) (cmp_id 'network' body.b)").unwrap();
        assert_eq!(expr.eval(&scope), Err(RenderError::Lookups));
        let wanted = scope.take_wanted();
        assert_eq!(
            wanted,
            [
                Lookup::BackendId {
                    resource: "network".into(),
                    cmp_id: "1".into()
                },
                Lookup::CmpId {
                    resource: "network".into(),
                    backend_id: "2".into()
                },
            ]
        );
        scope.supply(
            wanted
                .into_iter()
                .map(|row| (row, LookupRow::Id("x".into()))),
        );
        assert_eq!(
            expr.eval(&scope).unwrap().map(Cow::into_owned),
            Some(json!(true))
        );
    }

    #[test]
    fn an_unmapped_row_is_absence_only_where_absence_is_allowed() {
        let row = |text: &str, answer: LookupRow| {
            let scope = scope(json!({ "a": "1" }));
            let question = Lookup::BackendId {
                resource: "network".into(),
                cmp_id: "1".into(),
            };
            scope.supply([(question, answer)]);
            let expr = compile(text).unwrap();
            expr.eval(&scope).map(|value| value.map(Cow::into_owned))
        };
        let id = || LookupRow::Id("n-1".into());
        assert_eq!(
            row("backend_id 'network' body.a", id()),
            Ok(Some(json!("n-1")))
        );
        assert!(matches!(
            row("backend_id 'network' body.a", LookupRow::Unmapped),
            Err(RenderError::NotMapped { resource, id, .. }) if resource == "network" && id == "1"
        ));
        assert_eq!(
            row(
                "optional (backend_id 'network' body.a)",
                LookupRow::Unmapped
            ),
            Ok(None)
        );
        assert!(matches!(
            row("optional (backend_id 'network' body.a)", LookupRow::Pending),
            Err(RenderError::Pending { .. })
        ));
    }

    #[test]
    fn mapped_is_true_or_false() {
        for (answer, mapped) in [
            (LookupRow::Unmapped, false),
            (LookupRow::Id("x".into()), true),
        ] {
            let scope = scope(json!({ "a": 7 }));
            let question = Lookup::CmpId {
                resource: "network".into(),
                backend_id: "7".into(),
            };
            scope.supply([(question, answer)]);
            let expr = compile("mapped 'network' body.a").unwrap();
            assert_eq!(
                expr.eval(&scope).unwrap().map(Cow::into_owned),
                Some(json!(mapped))
            );
        }
    }

    #[test]
    fn the_caret_is_under_the_wrong_token() {
        use codes::*;
        let near = |name: &str| Some(format!("did you mean `{name}`?"));
        for (text, code, marked, label) in [
            ("bdy.x", UNKNOWN_VARIABLE, "bdy.x", near("body.x")),
            (
                "upper path.di",
                UNKNOWN_VARIABLE,
                "path.di",
                near("path.id"),
            ),
            ("id", UNKNOWN_VARIABLE, "id", near("path.id")),
            ("name", UNKNOWN_VARIABLE, "name", near("let.name")),
            (
                "parents.polcy.x",
                UNKNOWN_VARIABLE,
                "parents.polcy.x",
                near("parents.policy"),
            ),
            (
                "parents.policy.backendid",
                UNKNOWN_VARIABLE,
                "parents.policy.backendid",
                near("parents.policy.backend_id"),
            ),
            ("object.cmp_id.x", UNKNOWN_VARIABLE, "object.cmp_id.x", None),
            (
                "request.tme",
                UNKNOWN_VARIABLE,
                "request.tme",
                near("request.time"),
            ),
            ("backend.url", UNKNOWN_VARIABLE, "backend.url", None),
            (
                "mapping.backend_id",
                UNKNOWN_VARIABLE,
                "mapping.backend_id",
                None,
            ),
            ("response.status", UNKNOWN_VARIABLE, "response.status", None),
            (
                "header.X-Foo",
                UNKNOWN_VARIABLE,
                "header.X-Foo",
                near("header.x_foo"),
            ),
            (
                "eq body.a (uper body.b)",
                UNKNOWN_HELPER,
                "uper",
                near("upper"),
            ),
            ("upper body.a body.b", BAD_ARGUMENT, "upper", None),
            ("upper", BAD_ARGUMENT, "upper", None),
            ("upper x=body.a", BAD_ARGUMENT, "upper x=body.a", None),
            (
                "map 'actoin' body.a",
                UNKNOWN_MAP,
                "'actoin'",
                near("action"),
            ),
            ("map body.a body.b", BAD_ARGUMENT, "body.a", None),
            (
                "backend_id 'netwrk' body.a",
                UNKNOWN_RESOURCE,
                "'netwrk'",
                near("network"),
            ),
            ("mapped network body.a", BAD_ARGUMENT, "network", None),
            ("upper ../body.a", BAD_TEMPLATE, "../body.a", None),
            ("@index", UNKNOWN_VARIABLE, "@index", None),
            ("@root.body", UNKNOWN_VARIABLE, "@root.body", None),
            ("this", UNKNOWN_VARIABLE, "this", None),
            ("body/x", BAD_TEMPLATE, "body/x", None),
        ] {
            assert_eq!(problem(text), (code, marked.to_owned(), label), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in [
            "",
            "{{ body.x }}",
            "body.x body.y",
            "upper (",
            "#if body.x",
            "> x",
            "& body.x",
            "{ body.x }",
            "body.x }} {{ body.y",
        ] {
            let problems = compile(text).unwrap_err();
            assert!(
                problems
                    .iter()
                    .all(|problem| problem.code == codes::BAD_TEMPLATE),
                "{text}: {problems:?}"
            );
        }
    }

    #[test]
    fn an_unknown_root_says_which_exist() {
        let problems = compile("response.status").unwrap_err();
        let help = problems[0].help.as_deref().unwrap();
        assert!(
            help.contains("`path.*`, `query.*`, `header.*`, `body.*`"),
            "{help}"
        );
    }

    #[test]
    fn its_variables_are_told() {
        let expr = compile("default body.user.password (upper (optional path.id))").unwrap();
        assert_eq!(expr.variables(), ["body.user.password", "path.id"]);
    }
}
