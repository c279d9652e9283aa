//! XML as JSON, by the documented rule (LANGUAGE "Conditions, response, extraction").

use roxmltree::Document;
use serde_json::{Map, Value};

use crate::driver::netconf::{self, RpcError};
use crate::plan::ResponseRules;

/// Element = object, attribute = `@name`, text = `#text` (alone: the string), repeated = list; names
/// in `lists` are always lists, attributes that `attributes` does not name are left out; namespaces are
/// dropped. The root element's name is the only key.
pub(super) fn to_json(text: &str, rules: &ResponseRules) -> Result<Value, String> {
    let document =
        Document::parse(text).map_err(|error| format!("the body is not XML: {error}"))?;
    let root = document.root_element();
    let mut value = Map::new();
    value.insert(root.tag_name().name().to_owned(), element(root, rules));
    Ok(Value::Object(value))
}

fn element(node: roxmltree::Node<'_, '_>, rules: &ResponseRules) -> Value {
    let mut map = Map::new();
    let kept = |name: &str| match &rules.attributes {
        Some(names) => names.iter().any(|kept| **kept == *name),
        None => true,
    };
    for attribute in node.attributes().filter(|at| kept(at.name())) {
        map.insert(format!("@{}", attribute.name()), attribute.value().into());
    }
    let mut text = String::new();
    for child in node.children() {
        if child.is_text() {
            text.push_str(child.text().unwrap_or_default());
        }
        if !child.is_element() {
            continue;
        }
        add(
            &mut map,
            child.tag_name().name(),
            element(child, rules),
            &rules.lists,
        );
    }
    let text = text.trim();
    if map.is_empty() {
        return text.into();
    }
    if !text.is_empty() {
        map.insert("#text".into(), text.into());
    }
    Value::Object(map)
}

/// One more of a name: what repeats is a list.
fn add(map: &mut Map<String, Value>, name: &str, value: Value, lists: &[Box<str>]) {
    match map.get_mut(name) {
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
        None if lists.iter().any(|list| **list == *name) => {
            map.insert(name.to_owned(), Value::Array(vec![value]));
        }
        None => {
            map.insert(name.to_owned(), value);
        }
    }
}

/// An `<rpc-reply>` (RFC 6241, section 4.2): what it holds as one object, and its `<rpc-error>`s beside
/// that as `errors`, warnings included.
pub(super) fn of_reply(text: &str, rules: &ResponseRules) -> Result<Value, String> {
    let document =
        Document::parse(text).map_err(|error| format!("the reply is not XML: {error}"))?;
    let root = document.root_element();
    if root.tag_name().name() != "rpc-reply" {
        return Err("the reply is not an <rpc-reply>".to_owned());
    }
    let mut body = match element(root, rules) {
        Value::Object(mut map) => {
            // Attributes are about the message: its id and its namespaces.
            map.retain(|name, _| !name.starts_with('@') && name != "#text" && name != "rpc-error");
            map
        }
        _ => Map::new(),
    };
    let errors = netconf::errors(&document);
    body.insert("errors".into(), errors.iter().map(rpc_error).collect());
    Ok(Value::Object(body))
}

/// One `<rpc-error>` (RFC 6241, section 4.3); what it does not say is left out.
fn rpc_error(error: &RpcError) -> Value {
    let mut fields = Map::new();
    let mut say = |key: &str, text: &str| {
        if !text.is_empty() {
            fields.insert(key.to_owned(), text.into());
        }
    };
    say("tag", &error.tag);
    say("type", &error.kind);
    say("severity", error.severity.name());
    say("app_tag", error.app_tag.as_deref().unwrap_or_default());
    say("path", error.path.as_deref().unwrap_or_default());
    say("message", error.message.as_deref().unwrap_or_default());
    let mut info = Map::new();
    for (name, text) in &error.info {
        add(&mut info, name, text.as_str().into(), &[]);
    }
    if !info.is_empty() {
        fields.insert("info".into(), info.into());
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_is_what_it_holds_and_its_errors() {
        let text = r#"<nc:rpc-reply xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0" message-id="4">
            <nc:data><if:interfaces xmlns:if="urn:x"><if:interface><if:name>e1</if:name></if:interface></if:interfaces></nc:data>
            <nc:rpc-error><nc:error-type>application</nc:error-type><nc:error-tag>in-use</nc:error-tag>
              <nc:error-app-tag>late</nc:error-app-tag><nc:error-info><nc:session-id>7</nc:session-id>
              <x:hint xmlns:x="urn:x">a</x:hint><x:hint xmlns:x="urn:x">b</x:hint></nc:error-info>
              <nc:error-severity>warning</nc:error-severity><nc:error-message xml:lang="en">it is late</nc:error-message></nc:rpc-error>
        </nc:rpc-reply>"#;
        let rules = ResponseRules {
            lists: vec!["interface".into()],
            ..ResponseRules::default()
        };
        assert_eq!(
            of_reply(text, &rules).unwrap(),
            json!({
                "data": { "interfaces": { "interface": [{ "name": "e1" }] } },
                "errors": [{ "tag": "in-use", "type": "application", "severity": "warning", "app_tag": "late",
                    "message": "it is late", "info": { "session-id": "7", "hint": ["a", "b"] } }],
            })
        );
        let ok = r#"<rpc-reply message-id="1"><ok/></rpc-reply>"#;
        assert_eq!(
            of_reply(ok, &ResponseRules::default()).unwrap(),
            json!({ "ok": "", "errors": [] })
        );
        assert!(of_reply("<data/>", &ResponseRules::default()).is_err());
    }

    #[test]
    fn attributes_that_are_not_wanted_leave_a_text_alone() {
        let text = r#"<r status="ok"><m admin="a" time="t">x</m><m>y</m></r>"#;
        let rules = ResponseRules {
            attributes: Some(vec!["status".into()]),
            ..ResponseRules::default()
        };
        assert_eq!(
            to_json(text, &rules).unwrap(),
            json!({ "r": { "@status": "ok", "m": ["x", "y"] } })
        );
        let all = to_json(text, &ResponseRules::default()).unwrap();
        assert_eq!(
            all["r"]["m"][0],
            json!({ "@admin": "a", "@time": "t", "#text": "x" })
        );
    }
}
