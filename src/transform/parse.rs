//! From Handlebars' syntax tree to ours: Handlebars' own parser reads every `{{ }}`, and what it read
//! is translated here, once, with a diagnostic at the very token that cannot be.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use handlebars::template::{
    BlockParam, HelperTemplate, Parameter, Template as Parsed, TemplateElement,
};
use handlebars::{Path, TemplateErrorReason};
use serde_json::Value;

use super::encode::Slot;
use super::expr::Expr;
use super::helpers::{self, Func, Helper};
use super::node::{Ask, Node};
use super::segment::Segment;
use super::shared;
use super::tokens::{Tokens, Walk, offset};
use super::uses::{Absence, Fact, Landing, Place, Standing, Table, Uses, Wants};
use super::{Env, ValueMap};
use crate::diagnostics::{Diagnostic, Diagnostics, codes, suggest};
use crate::document::{Snippet, Span};

/// The state of one compilation: what exists here, the loops around, and where problems go.
#[derive(Debug)]
pub(super) struct Compiler<'e> {
    pub(super) env: &'e Env<'e>,
    pub(super) diags: &'e mut Diagnostics,
    /// The loop variables, outermost first.
    pub(super) loops: Vec<Loop>,
    /// Where uses of variables are noted.
    pub(super) uses: Option<&'e Uses>,
    /// How the expression being compiled stands.
    pub(super) standing: Standing,
    /// Where in the route it stands.
    pub(super) field: Rc<str>,
    /// The expression stands on a command line, so that `words` may be its outermost helper.
    pub(super) on_line: bool,
}

/// A loop around the position being compiled.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) name: Box<str>,
    /// The variable that the item is one of, such as `body.rules.*`.
    pub(super) reads: Option<Box<str>>,
    /// Which value the item is, where it is surely an item of a variable's list.
    pub(super) place: Option<Place>,
}

impl<'e> Compiler<'e> {
    pub(super) fn new(env: &'e Env<'_>, diags: &'e mut Diagnostics) -> Self {
        Self {
            env,
            diags,
            loops: Vec::new(),
            uses: env.uses,
            standing: Standing::new(Landing::Leaf),
            field: Rc::from(""),
            on_line: false,
        }
    }

    /// The same compilation for another kind of position.
    pub(super) fn landing(mut self, landing: Landing) -> Self {
        self.standing = Standing::new(landing);
        self
    }

    /// The same compilation, reporting elsewhere.
    pub(super) fn reporting<'s>(&'s self, diags: &'s mut Diagnostics) -> Compiler<'s> {
        Compiler {
            env: self.env,
            diags,
            loops: self.loops.clone(),
            uses: self.uses,
            standing: self.standing.clone(),
            field: Rc::clone(&self.field),
            on_line: self.on_line,
        }
    }

    /// Compiles what stands so.
    pub(super) fn standing<T>(
        &mut self,
        standing: Standing,
        compile: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let around = std::mem::replace(&mut self.standing, standing);
        let compiled = compile(self);
        self.standing = around;
        compiled
    }

    /// Compiles what is reached only where these facts hold; `None`: nobody knows, because the condition
    /// is wrong and has been reported, and then nothing is said of absence.
    pub(super) fn knowing<T>(
        &mut self,
        facts: Option<Vec<Fact>>,
        compile: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let standing = match facts {
            Some(facts) => self.standing.knowing(facts),
            None => self
                .standing
                .forgiving(Absence::Around, self.standing.wants),
        };
        self.standing(standing, compile)
    }

    /// The loop over a list, which has been reported when it is `None`: its items stand for anything then.
    pub(super) fn loop_over(&self, name: &str, list: Option<&Expr>) -> Loop {
        let number = self.uses.map_or(0, Uses::next_loop);
        Loop {
            name: name.into(),
            reads: list
                .and_then(|list| list.node.list_variable())
                .map(|list| format!("{list}.*").into()),
            place: list
                .and_then(|list| self.list_place(&list.node))
                .map(|list| list.item(number)),
        }
    }

    /// Compiles what is inside the loop.
    pub(super) fn within<T>(&mut self, around: Loop, compile: impl FnOnce(&mut Self) -> T) -> T {
        self.loops.push(around);
        let compiled = compile(self);
        self.loops.pop();
        compiled
    }

    pub(super) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.diags.push(Diagnostic::error(code, span, message));
    }

    /// A bare expression, as `$for`, `$if` and `$where` take it.
    pub(super) fn bare(&mut self, source: Snippet<'_>, field: &str) -> Option<Expr> {
        if source.text.contains("{{") || source.text.contains("}}") {
            self.diags.push(
                Diagnostic::error(
                    codes::BAD_TEMPLATE,
                    source.span(),
                    "an expression stands here without braces",
                )
                .help("write it bare, such as `body.rules` or `has body.port`"),
            );
            return None;
        }
        let wrapped = format!("{{{{ {} }}}}", source.text);
        let parsed = self.parse(&wrapped, source, 3)?;
        match parsed.elements.as_slice() {
            [TemplateElement::Expression(helper)] => {
                let mut tokens = Tokens::of(source, 0..source.text.len(), false);
                self.expression(helper, &mut tokens, field)
            }
            _ => {
                self.error(
                    codes::BAD_TEMPLATE,
                    source.span(),
                    "this is not an expression",
                );
                None
            }
        }
    }

    /// A text with expressions, and with blocks where `blocks` says so.
    pub(super) fn segments(
        &mut self,
        source: Snippet<'_>,
        field: &str,
        blocks: bool,
    ) -> Option<Vec<Segment>> {
        if !source.text.contains("{{") {
            self.warn_of_bare_expression(source, field);
            let literal = (!source.text.is_empty()).then(|| Segment::Literal(source.text.into()));
            return Some(literal.into_iter().collect());
        }
        let parsed = self.parse(source.text, source, 0)?;
        let mut walk = Walk {
            source,
            field,
            blocks,
            at: 0,
        };
        self.elements(&parsed, &mut walk)
    }

    /// Runs Handlebars' parser; `ahead` characters of `text` stand before the source's own.
    fn parse(&mut self, text: &str, source: Snippet<'_>, ahead: usize) -> Option<Rc<Parsed>> {
        let error = match shared::parsed(text) {
            Ok(parsed) => return Some(parsed),
            Err(error) => error,
        };
        let at = error.pos().map_or(0, |(line, column)| {
            offset(text, line, column).saturating_sub(ahead)
        });
        let at = at.min(source.text.len());
        let span = match source.text[at..].chars().next() {
            Some(next) => source.part_span(at, at + next.len_utf8()),
            None => source.span(),
        };
        let message = match error.reason() {
            TemplateErrorReason::MismatchingClosedHelper(open, close) => {
                format!("`{open}` was opened, but `{close}` is closed here")
            }
            TemplateErrorReason::InvalidParam(param) => format!("`{param}` is not an argument"),
            _ => "the expression cannot be read from here on".to_owned(),
        };
        let rest = source.text[at..].trim_start();
        let before = source.text[..at].trim_end();
        let help = if rest.starts_with('|') {
            "there are no filters: a helper stands before its arguments, such as `{{ default body.mtu 1500 }}`"
        } else if ["==", "!=", "&&", "||", ">", "<", "="]
            .iter()
            .any(|sign| rest.starts_with(sign))
        {
            "there are no operators: write a helper, such as `eq body.action 'allow'`, `ne a b`, `and a b`"
        } else if rest.starts_with('}') && !before.ends_with('}') && !rest.starts_with("}}") {
            "an expression ends with two braces: `}}`"
        } else {
            "an expression is `{{ variable }}` or `{{ helper argument ... }}`, with a nested one in parentheses"
        };
        self.diags
            .push(Diagnostic::error(codes::BAD_TEMPLATE, span, message).help(help));
        None
    }

    /// A text that would be an expression if it stood in braces is probably meant as one: it would
    /// otherwise be sent, or recorded, word for word.
    pub(super) fn warn_of_bare_expression(&mut self, source: Snippet<'_>, field: &str) {
        let text = source.text.trim();
        let inner = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(text);
        let Some(word) = inner.split_whitespace().last() else {
            return;
        };
        let names = self.env.roots.iter().map(|root| root.name());
        let mut names = names.chain(self.loops.iter().map(|around| &*around.name));
        if !names.any(|name| {
            word.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
        }) {
            return;
        }
        let mut said = Diagnostics::default();
        let start = source.text.find(inner).unwrap_or(0);
        let bare = source.cut(start, start + inner.len());
        let mut trial = self.reporting(&mut said);
        trial.uses = None;
        if trial.bare(bare, field).is_none() || !said.no_errors() {
            return;
        }
        self.diags.push(
            Diagnostic::warning(
                codes::UNBRACED_EXPRESSION,
                source.span(),
                format!("`{text}` is text here, and goes out word for word"),
            )
            .label("an expression stands in braces")
            .help(format!("write `\"{{{{ {inner} }}}}\"`")),
        );
    }

    fn elements(&mut self, parsed: &Parsed, walk: &mut Walk<'_>) -> Option<Vec<Segment>> {
        let mut segments = Vec::with_capacity(parsed.elements.len());
        let mut fine = true;
        for (index, element) in parsed.elements.iter().enumerate() {
            if let TemplateElement::RawString(text) = element {
                match segments.last_mut() {
                    Some(Segment::Literal(before)) => *before = format!("{before}{text}").into(),
                    _ if text.is_empty() => {}
                    _ => segments.push(Segment::Literal(text.as_str().into())),
                }
                continue;
            }
            if let Some(place) = parsed.mapping.get(index) {
                walk.at = offset(walk.source.text, place.0, place.1);
            }
            let tag = walk.tag();
            match element {
                TemplateElement::Comment(_) => {}
                TemplateElement::Expression(helper) => {
                    let mut tokens = Tokens::of(walk.source, tag.clone(), true);
                    match self.expression(helper, &mut tokens, walk.field) {
                        Some(expr) => segments.push(Segment::Value {
                            expr,
                            slot: Slot::Plain,
                            at: walk.span(&tag),
                        }),
                        None => fine = false,
                    }
                }
                TemplateElement::HelperBlock(helper) => match self.block(helper, &tag, walk) {
                    Some(segment) => segments.push(segment),
                    None => fine = false,
                },
                TemplateElement::HtmlExpression(_) => {
                    fine = false;
                    self.diags.push(
                        Diagnostic::error(
                            codes::RAW_OUTPUT,
                            walk.span(&tag),
                            "there is no raw output: every value is encoded by its position",
                        )
                        .help("write `{{ ... }}`"),
                    );
                }
                _ => {
                    fine = false;
                    self.error(
                        codes::BAD_TEMPLATE,
                        walk.span(&tag),
                        "partials and decorators are not part of the language",
                    );
                }
            }
            walk.at = walk.at.max(tag.end);
        }
        fine.then_some(segments)
    }

    /// `{{#if}}`, `{{#unless}}` and `{{#each}}`, the blocks of a text template.
    fn block(
        &mut self,
        helper: &HelperTemplate,
        tag: &Range<usize>,
        walk: &mut Walk<'_>,
    ) -> Option<Segment> {
        let at = walk.span(tag);
        let name = helper.name.as_name().unwrap_or_default();
        if walk.source.text[tag.start..].starts_with("{{{{") {
            self.error(
                codes::BAD_TEMPLATE,
                at,
                "raw blocks are not part of the language",
            );
            return None;
        }
        if !walk.blocks {
            self.diags.push(
                Diagnostic::error(
                    codes::BAD_TEMPLATE,
                    at,
                    "blocks stand in text templates only",
                )
                .help("in a tree, use `$if` and `$for`"),
            );
            return None;
        }
        let mut tokens = Tokens::of(walk.source, tag.clone(), true);
        let name_span = tokens.take();
        if !matches!(name, "if" | "unless" | "each") {
            let near = suggest::nearest(name, ["if", "unless", "each"]);
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_HELPER,
                    name_span,
                    format!("`{name}` is not a block"),
                )
                .did_you_mean(near)
                .help("blocks are `if`, `unless` and `each`"),
            );
            return None;
        }
        let [subject] = helper.params.as_slice() else {
            self.error(
                codes::BAD_ARGUMENT,
                at,
                format!("`{name}` takes one argument"),
            );
            return None;
        };
        if !self.no_hash(helper, at) {
            return None;
        }
        let from = tokens.next_start();
        let landing = match name {
            "each" => Landing::List,
            _ => Landing::Condition,
        };
        let mark = self.uses.map_or(0, Uses::mark);
        let standing = self.standing.landing(landing);
        self.field = walk.field.into();
        let subject = self.standing(standing, |this| this.node(subject, &mut tokens));
        let subject = subject.map(|node| Expr {
            node,
            text: tokens.since(from).into(),
            field: walk.field.into(),
        });
        if let (Some(uses), Some(subject)) = (self.uses, &subject) {
            uses.say_expression(mark, &subject.text);
        }
        walk.at = tag.end;
        let mut side = |this: &mut Self, template: &Option<Parsed>| match template {
            Some(template) => this.elements(template, walk),
            None => Some(Vec::new()),
        };
        if name == "each" {
            let item = match &helper.block_param {
                None => "this",
                Some(BlockParam::Single(Parameter::Name(name))) => name,
                Some(_) => {
                    self.error(
                        codes::BAD_TEMPLATE,
                        at,
                        "`each` names one item: `{{#each list as |item|}}`; its index is `@index`",
                    );
                    return None;
                }
            };
            let around = self.loop_over(item, subject.as_ref());
            if !self.may_name_item(item, at) {
                return None;
            }
            let facts = subject.as_ref().map(|list| self.facts_of_value(list));
            let body = self.knowing(facts, |this| {
                this.within(around, |this| side(this, &helper.template))
            });
            let otherwise = side(self, &helper.inverse);
            return Some(Segment::Each {
                list: subject?,
                body: body?,
                otherwise: otherwise?,
                at,
            });
        }
        // An absent condition takes the second side, and so says nothing there.
        let facts = |this: &Self, truth: bool| {
            let condition = &subject.as_ref()?.node;
            let says = truth || !condition.may_be_absent();
            Some(match says {
                true => this.facts_if(truth, condition),
                false => Vec::new(),
            })
        };
        let first = facts(self, name != "unless");
        let second = facts(self, name == "unless");
        let then = self.knowing(first, |this| side(this, &helper.template));
        let otherwise = self.knowing(second, |this| side(this, &helper.inverse));
        let (then, otherwise) = match name {
            "unless" => (otherwise, then),
            _ => (then, otherwise),
        };
        Some(Segment::If {
            condition: subject?,
            then: then?,
            otherwise: otherwise?,
            at,
        })
    }

    fn expression(
        &mut self,
        helper: &HelperTemplate,
        tokens: &mut Tokens<'_>,
        field: &str,
    ) -> Option<Expr> {
        let from = tokens.next_start();
        let mark = self.uses.map_or(0, Uses::mark);
        self.field = field.into();
        let node = self.invoke(helper, tokens)?;
        let text = tokens.since(from);
        if let Some(uses) = self.uses {
            uses.say_expression(mark, text);
        }
        Some(Expr {
            node,
            text: text.into(),
            field: field.into(),
        })
    }

    /// A variable alone, a nested expression, or a helper with its arguments.
    fn invoke(&mut self, helper: &HelperTemplate, tokens: &mut Tokens<'_>) -> Option<Node> {
        if !self.no_hash(helper, tokens.whole()) {
            return None;
        }
        if helper.params.is_empty() {
            return self.node(&helper.name, tokens);
        }
        let from = tokens.next_start();
        let name_span = tokens.take();
        let name = helper.name.as_name().unwrap_or_default();
        let Some((what, least, most, example)) = helpers::find(name) else {
            let near = suggest::nearest(name, helpers::names());
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_HELPER,
                    name_span,
                    format!("`{name}` is not a helper"),
                )
                .did_you_mean(near)
                .help(format!(
                    "helpers: {}",
                    helpers::names().collect::<Vec<_>>().join(", ")
                )),
            );
            return None;
        };
        if !(least..=most).contains(&helper.params.len()) {
            self.diags.push(
                Diagnostic::error(
                    codes::BAD_ARGUMENT,
                    name_span,
                    format!(
                        "`{name}` takes {}, not {}",
                        arity(least, most),
                        helper.params.len()
                    ),
                )
                .help(format!("write `{example}`")),
            );
            return None;
        }
        let on_line = std::mem::take(&mut self.on_line);
        if what == Helper::Plain(Func::Words) && !on_line {
            self.diags.push(
                Diagnostic::error(
                    codes::MISPLACED_EXPRESSION,
                    name_span,
                    "`words` is for a value on a line of `cli`, and stands outermost there",
                )
                .help("such as `description {{ words (optional body.note) }}`"),
            );
            return None;
        }
        let node = self.helper(what, name, helper, (from, tokens));
        self.on_line = on_line;
        node
    }

    /// A helper with its arguments, their number checked.
    fn helper(
        &mut self,
        what: Helper,
        name: &str,
        helper: &HelperTemplate,
        (from, tokens): (usize, &mut Tokens<'_>),
    ) -> Option<Node> {
        if let Helper::Map | Helper::Unmap | Helper::BackendId | Helper::CmpId | Helper::Mapped =
            what
        {
            return self.named(what, name, helper, from, tokens);
        }
        // Each argument is compiled, so that each is reported.
        let mut args = Vec::with_capacity(helper.params.len());
        let mut before = Vec::new();
        for (index, param) in helper.params.iter().enumerate() {
            let standing = self
                .argument(what, index, &helper.params)
                .knowing(before.clone());
            let arg = self.standing(standing, |this| this.node(param, tokens));
            before.extend(match (&arg, what) {
                // The next part is looked at only when this one did not decide.
                (Some(arg), Helper::And) => self.facts_if(true, arg),
                (Some(arg), Helper::Or) => self.facts_if(false, arg),
                (Some(Node::Path(path)), Helper::Default) => {
                    self.place(path).map(Fact::Absent).into_iter().collect()
                }
                _ => Vec::new(),
            });
            args.push(arg);
        }
        let mut args: Vec<_> = args.into_iter().collect::<Option<_>>()?;
        Some(match what {
            Helper::Optional => Node::Optional(Box::new(args.remove(0))),
            Helper::Has => Node::Has(Box::new(args.remove(0))),
            Helper::Default => {
                let inner = Box::new(args.remove(0));
                Node::Default(inner, Box::new(args.remove(0)))
            }
            Helper::And => Node::All(args),
            Helper::Or => Node::Any(args),
            Helper::Plain(func) => Node::Call {
                func,
                args,
                text: tokens.since(from).into(),
            },
            Helper::Map | Helper::Unmap | Helper::BackendId | Helper::CmpId | Helper::Mapped => {
                unreachable!("these were compiled above")
            }
        })
    }

    /// A helper whose first argument is a quoted name, of a map or of a resource.
    fn named(
        &mut self,
        what: Helper,
        helper_name: &str,
        helper: &HelperTemplate,
        from: usize,
        tokens: &mut Tokens<'_>,
    ) -> Option<Node> {
        let span = tokens.take();
        let name = match &helper.params[0] {
            Parameter::Literal(Value::String(name)) => Some(name.as_str()),
            _ => {
                let kind = match what {
                    Helper::Map | Helper::Unmap => "map",
                    _ => "resource",
                };
                self.diags.push(
                    Diagnostic::error(
                        codes::BAD_ARGUMENT,
                        span,
                        format!("`{helper_name}` takes the name of a {kind} first, in quotes"),
                    )
                    .help(format!(
                        "write `{}`",
                        helpers::find(helper_name).map_or("", |(.., example)| example)
                    )),
                );
                None
            }
        };
        let mut standing = self.argument(what, 1, &helper.params);
        standing.table = name.filter(|_| what == Helper::Map).and_then(|name| {
            let map = Arc::clone(self.env.maps.get(name)?);
            Some(Table {
                name: name.into(),
                map,
            })
        });
        let argument = self.standing(standing, |this| this.node(&helper.params[1], tokens));
        let argument = Box::new(argument?);
        let name = name?;
        let text = tokens.since(from).into();
        let ask = match what {
            Helper::BackendId => Ask::BackendId,
            Helper::CmpId => Ask::CmpId,
            Helper::Mapped => Ask::Mapped,
            _ => {
                return self.map_named(name, span).map(|map| Node::Map {
                    map,
                    name: name.into(),
                    backwards: what == Helper::Unmap,
                    word: argument,
                    text,
                });
            }
        };
        if !self.env.resources.contains(name) {
            let near = suggest::nearest(name, self.env.resources.iter().map(|name| &**name));
            self.diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_RESOURCE,
                    span,
                    format!("no route file declares the resource `{name}`"),
                )
                .did_you_mean(near),
            );
            return None;
        }
        Some(Node::Row {
            ask,
            resource: name.into(),
            id: argument,
            text,
        })
    }

    /// How the argument at `index` of a helper stands.
    fn argument(&self, what: Helper, index: usize, params: &[Parameter]) -> Standing {
        let around = &self.standing;
        match (what, index) {
            (Helper::Optional, _) => around.forgiving(Absence::Optional, around.wants),
            (Helper::Has, _) => around.forgiving(Absence::Has, Wants::Anything),
            (Helper::Default, 0) => Standing {
                fallback: match params.get(1) {
                    Some(Parameter::Literal(literal)) => Some(literal.clone()),
                    _ => None,
                },
                ..around.forgiving(Absence::Default, around.wants)
            },
            (Helper::Default, _) => around.argument(around.wants),
            (Helper::And | Helper::Or, _) => around.argument(Wants::Boolean),
            (Helper::BackendId | Helper::CmpId | Helper::Mapped, _) => around.argument(Wants::Text),
            (Helper::Plain(func), index) => around.argument(func.wants(index)),
            (Helper::Map | Helper::Unmap, _) => around.argument(Wants::Anything),
        }
    }

    fn map_named(&mut self, name: &str, span: Span) -> Option<Arc<ValueMap>> {
        if let Some(map) = self.env.maps.get(name) {
            return Some(map.clone());
        }
        let near = suggest::nearest(name, self.env.maps.keys().map(|name| &**name));
        self.diags.push(
            Diagnostic::error(
                codes::UNKNOWN_MAP,
                span,
                format!("`maps` of this file has no `{name}`"),
            )
            .did_you_mean(near),
        );
        None
    }

    fn node(&mut self, param: &Parameter, tokens: &mut Tokens<'_>) -> Option<Node> {
        match param {
            Parameter::Literal(value) => {
                tokens.take();
                Some(Node::Literal(value.clone()))
            }
            Parameter::Subexpression(inner) => match inner.as_element() {
                TemplateElement::Expression(helper) => self.invoke(helper, tokens),
                _ => None,
            },
            Parameter::Name(raw)
            | Parameter::Path(Path::Relative((_, raw)) | Path::Local((_, _, raw))) => {
                let span = tokens.take();
                self.variable(raw, span)
            }
            // The syntax tree may grow; what it grows into is not in our language.
            _ => {
                let span = tokens.take();
                self.error(codes::BAD_TEMPLATE, span, "this is not an argument");
                None
            }
        }
    }

    fn no_hash(&mut self, helper: &HelperTemplate, span: Span) -> bool {
        // The first by name, so that the message does not depend on the map's order.
        if let Some(key) = helper.hash.keys().min() {
            self.error(
                codes::BAD_ARGUMENT,
                span,
                format!("helpers take no named arguments such as `{key}=`"),
            );
            return false;
        }
        true
    }
}

fn arity(least: usize, most: usize) -> String {
    match (least, most) {
        (0, 0) => "no argument".to_owned(),
        (1, 1) => "one argument".to_owned(),
        (least, most) if least == most => format!("{least} arguments"),
        (least, _) => format!("at least {least} arguments"),
    }
}
