//! Request schemas (SEMANTICS 33): JSON Schema 2020-12, closed, formats asserted, patterns linear, and
//! every mistake at its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::close::close;
use super::codes;
use super::fields::collect_write_only;
use super::lint::lint;
use super::reference::{at_pointer, expand_schema};
use super::scalar::scalars;
use crate::config::source::SourceFiles;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Node;
use crate::plan::Schema;

/// A schema, compiled, and the closed nodes that it came from.
#[derive(Debug)]
pub(super) struct CompiledSchema {
    pub schema: Schema,
    pub closed: Node,
}

/// The schemas that compiled so far, by what is written in them, references replaced: many routes have the
/// same ones.
pub(super) type Schemas = Mutex<HashMap<(Purpose, String), Schema>>;

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Body,
    Query,
    Headers,
}

/// Compiles a schema; `None`: it is wrong, and that has been reported.
pub(super) fn compile(
    node: &Node,
    purpose: Purpose,
    files: &SourceFiles,
    known: &Schemas,
    diags: &mut Diagnostics,
) -> Option<CompiledSchema> {
    let errors = diags.errors();
    let expanded = expand_schema(node, files, diags);
    lint(&expanded, &expanded, true, diags);
    if diags.errors() > errors {
        return None;
    }
    let written = expanded.to_json();
    let key = (purpose, written.to_string());
    let same = hold(known).get(&key).cloned();
    if same.is_none() {
        check_meta(&expanded, &written, diags);
    }
    if diags.errors() > errors {
        return None;
    }
    let scalars = match purpose {
        Purpose::Body => Vec::new(),
        Purpose::Query | Purpose::Headers => scalars(&expanded, purpose, diags)?,
    };
    let closed = close(&expanded);
    if let Some(schema) = same {
        return Some(CompiledSchema { schema, closed });
    }
    let document = closed.to_json();
    let validator = match json_schema::compile(&document) {
        Ok(validator) => validator,
        Err(error) => {
            report(&closed, &error, diags);
            return None;
        }
    };
    let mut write_only = Vec::new();
    collect_write_only(&closed, &closed, "", &mut Vec::new(), &mut write_only);
    if diags.errors() > errors {
        return None;
    }
    let schema = Schema {
        validator: Arc::new(validator),
        document: Arc::new(document),
        write_only,
        scalars,
    };
    hold(known).insert(key, schema.clone());
    Some(CompiledSchema { schema, closed })
}

// Whoever holds it panics nowhere.
fn hold(known: &Schemas) -> MutexGuard<'_, HashMap<(Purpose, String), Schema>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Holds the schema against the meta-schema of 2020-12.
fn check_meta(node: &Node, document: &Value, diags: &mut Diagnostics) {
    let meta = json_schema::draft202012::meta::validator();
    if meta.is_valid(document) {
        return;
    }
    for error in meta.iter_errors(document) {
        report(node, &error, diags);
    }
}

fn report(root: &Node, error: &json_schema::ValidationError<'_>, diags: &mut Diagnostics) {
    let pointer = error.instance_path().to_string();
    let place = at_pointer(root, &pointer).unwrap_or(root);
    diags.push(
        Diagnostic::error(
            codes::BAD_SCHEMA,
            place.span,
            format!("this is not JSON Schema: {error}"),
        )
        .help("schemas here are JSON Schema 2020-12"),
    );
}

/// A body schema from its text, for tests; it must be right.
#[cfg(test)]
pub(super) fn compile_text(text: &str) -> CompiledSchema {
    tests::compiled(&[], text)
        .0
        .expect("a schema that compiles")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::yaml;

    /// Compiles a schema beside these files of routes.d/.
    pub(super) fn compiled(
        shared: &[(&str, &str)],
        text: &str,
    ) -> (Option<CompiledSchema>, Diagnostics) {
        let mut diags = Diagnostics::default();
        let mut sources = shared.to_vec();
        sources.push(("routes.d/zz.yaml", text));
        let files = SourceFiles::from_memory(&sources, &mut diags);
        let file = files.find("routes.d/zz.yaml").unwrap();
        let node = yaml::parse(file, text, &mut diags).unwrap();
        let schema = compile(
            &node,
            Purpose::Body,
            &files,
            &Schemas::default(),
            &mut diags,
        );
        (schema, diags)
    }

    #[test]
    fn formats_are_asserted_and_defaults_are_not_applied() {
        let (schema, diags) = compiled(
            &[],
            "type: object\nproperties:\n  a:\n    format: ipv4\n  b:\n    default: 1\n",
        );
        let schema = schema.unwrap().schema;
        assert_eq!(schema.check(&json!({"a": "10.0.0.1"})), []);
        assert_eq!(schema.check(&json!({"a": "10.0.0.256"})).len(), 1);
        let found: Vec<_> = diags.iter().map(|item| item.code).collect();
        assert_eq!(found, [codes::DEFAULT_NOT_APPLIED]);
    }

    #[test]
    fn a_shared_schema_is_put_in_with_its_own_definitions() {
        let shared = [(
            "routes.d/schemas/port.yaml",
            "type: object
properties:
  number:
    $ref: '#/$defs/number'
  next:
    $ref: '#'
$defs:
  number:
    type: integer
    maximum: 65535
",
        )];
        let (schema, diags) = compiled(
            &shared,
            "type: object
properties:
  port:
    $ref: schemas/port.yaml
  number:
    $ref: schemas/port.yaml#/$defs/number
    maximum: 10
",
        );
        assert!(diags.no_errors(), "{diags:?}");
        let schema = schema.unwrap();
        assert_eq!(
            schema.schema.document["properties"]["port"]["properties"]["next"]["$ref"],
            json!("#/properties/port")
        );
        let schema = schema.schema;
        assert_eq!(
            schema.check(&json!({"port": {"next": {"next": {"number": 1}}}, "number": 10})),
            []
        );
        assert_eq!(
            schema
                .check(&json!({"port": {"next": {"number": 70000}}}))
                .len(),
            1
        );
        assert_eq!(schema.check(&json!({"port": {"next": {"x": 1}}})).len(), 1);
        // What stands beside `$ref` wins.
        assert_eq!(schema.check(&json!({"number": 11})).len(), 1);
    }

    #[test]
    fn write_only_fields_are_found_wherever_they_stand() {
        let (schema, _) = compiled(
            &[],
            "type: object
properties:
  users:
    type: array
    items:
      properties:
        key:
          writeOnly: true
  a/b:
    $ref: '#/$defs/secret'
anyOf:
  - properties:
      token:
        writeOnly: true
$defs:
  secret:
    type: string
    writeOnly: true
",
        );
        let schema = schema.unwrap().schema;
        assert_eq!(
            schema.write_only,
            ["/users/*/key".into(), "/a~1b".into(), "/token".into()]
        );
        let detail = &schema.check(&json!({"a/b": 17}))[0].detail;
        assert!(!detail.contains("17"), "{detail}");
    }
}
