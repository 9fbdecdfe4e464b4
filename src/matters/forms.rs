//! Forms of the catalogue: whether one is a JSON Schema that can be used, and what is wrong with what was filled in.
//!
//! A form is written by an administrator and runs for everybody, so it must end: no references but to its own `$defs`, no circles
//! among them, no patterns that take exponential time, no more than some parts in all.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::draft202012;
use serde_json::{Map, Value};

use super::version::Version;
use crate::{
    error::{FieldError, Text},
    http::faults,
};

/// Bytes of a form, as JSON.
const LONGEST: usize = 32 * 1024;
/// References that a form may resolve to in all, each counted as often as it is reached.
const MOST_REFERENCES: usize = 200;
/// Keywords that lead elsewhere.
const ELSEWHERE: &[&str] = &["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$vocabulary"];
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Every fault of a form; `above` is its pointer.
pub fn faults(form: &Value, above: &str) -> Vec<FieldError> {
    if form.to_string().len() > LONGEST {
        let limit = LONGEST / 1024;
        let text = Text::new(format!("不得超过 {limit} KiB"), format!("may have up to {limit} KiB"));
        return vec![FieldError::body(above, "length", text)];
    }
    let mut found = Vec::new();
    if form.get("type").and_then(Value::as_str) != Some("object") {
        let text = Text::fixed("表单的类型须为 object", "a form is of the type object");
        found.push(FieldError::body(format!("{above}/type"), "form_type", text));
    }
    if form.get("$schema").is_some_and(|draft| draft != DRAFT) {
        let text = Text::new(format!("须为 {DRAFT}"), format!("must be {DRAFT}"));
        found.push(FieldError::body(format!("{above}/$schema"), "schema_draft", text));
    }
    let meta = draft202012::meta::validator();
    let wrong: BTreeSet<_> = meta.iter_errors(form).map(|error| error.instance_path().to_string()).collect();
    found.extend(wrong.into_iter().map(|at| {
        let text = Text::fixed("不是合法的 JSON Schema 2020-12", "is not JSON Schema 2020-12");
        FieldError::body(format!("{above}{at}"), "schema", text)
    }));
    keywords(form, above, &mut found);
    found.extend(endless(form, above));
    if found.is_empty()
        && let Err(why) = faults::foreign(form)
    {
        let text = Text::new(format!("无法使用：{why}"), format!("cannot be used: {why}"));
        found.push(FieldError::body(above, "schema", text));
    }
    found
}

/// Keywords that would lead elsewhere, and formats that nobody checks.
fn keywords(part: &Value, at: &str, found: &mut Vec<FieldError>) {
    match part {
        Value::Object(fields) => {
            for (name, value) in fields {
                let here = faults::child(at, name);
                match value.as_str() {
                    Some(to) if name == "$ref" && !to.starts_with("#/$defs/") => {
                        let text = Text::fixed(
                            "只能引用表单自己的 #/$defs/…",
                            "may only refer to #/$defs/… of the form itself",
                        );
                        found.push(FieldError::body(here, "remote_ref", text));
                    }
                    Some(_) if ELSEWHERE.contains(&name.as_str()) => {
                        let text = Text::fixed("表单中不能使用", "cannot be used in a form");
                        found.push(FieldError::body(here, "remote_ref", text));
                    }
                    Some(format) if name == "format" && !faults::is_format(format) => {
                        let text = Text::fixed("没有这种格式", "there is no such format");
                        found.push(FieldError::body(here, "unknown_format", text));
                    }
                    Some(_) => {}
                    None => keywords(value, &here, found),
                }
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| keywords(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

/// The names in `$defs` that a part refers to, as often as it does.
fn references<'a>(part: &'a Value, found: &mut Vec<&'a str>) {
    match part {
        Value::Object(fields) => {
            let to = fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/"));
            found.extend(to);
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// References that lead nowhere, in a circle, or too far.
fn endless(form: &Value, above: &str) -> Option<FieldError> {
    let none = Map::new();
    let defs = form.get("$defs").and_then(Value::as_object).unwrap_or(&none);
    let of = |part| {
        let mut names = Vec::new();
        references(part, &mut names);
        names
    };
    let parts: BTreeMap<&str, Vec<&str>> = defs.iter().map(|(name, part)| (name.as_str(), of(part))).collect();
    let mut known = BTreeMap::new();
    // Those of the definitions are among them: what nobody reaches is counted too.
    let all = of(form).iter().try_fold(0_usize, |sum, name| Some(sum.saturating_add(reach(name, &parts, &mut known)?)));
    if all.is_some_and(|all| all <= MOST_REFERENCES) {
        return None;
    }
    let text = Text::fixed("引用不存在、成环或过多", "refers to what is not there, to itself, or too often");
    Some(FieldError::body(format!("{above}/$defs"), "refs", text))
}

/// How many references one resolves to in all; none if it has no end. While it is being counted, a name is known as none.
fn reach<'a>(
    name: &'a str,
    parts: &BTreeMap<&'a str, Vec<&'a str>>,
    known: &mut BTreeMap<&'a str, Option<usize>>,
) -> Option<usize> {
    if let Some(count) = known.get(name) {
        return *count;
    }
    known.insert(name, None);
    let inner = parts.get(name)?.iter();
    let count =
        inner.map(|inner| reach(inner, parts, known)).try_fold(1_usize, |sum, count| Some(sum.saturating_add(count?)));
    known.insert(name, count);
    count
}

/// Everything that is wrong with a form that was filled in, with pointers under `/form`. A version without a form takes none.
pub fn check_form(version: &Version, filled: &Value) -> Vec<FieldError> {
    check_filled(version.form.as_ref(), filled, Text::fixed("该事项没有表单", "the matter has no form"))
}

/// [`check_form`] for any form; `none` is what is said where there is none.
pub fn check_filled(form: Option<&Value>, filled: &Value, none: Text) -> Vec<FieldError> {
    let Some(form) = form else {
        if filled.is_null() || filled.as_object().is_some_and(Map::is_empty) {
            return Vec::new();
        }
        return vec![FieldError::body("/form", "unknown_field", none)];
    };
    let found = match faults::foreign(form) {
        Ok(validator) => faults::all(&validator, filled),
        // It was usable when it was published; nothing may pass unseen.
        Err(_) => vec![(String::new(), "invalid", Text::fixed("表单无法使用", "the form cannot be used"))],
    };
    found.into_iter().map(|(at, code, text)| FieldError::body(format!("/form{at}"), code, text)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::At;

    fn found(form: Value) -> Vec<String> {
        let place = |fault: &FieldError| match &fault.at {
            At::Body(pointer) | At::Query(pointer) => format!("{pointer}:{}", fault.code),
        };
        faults(&form, "/form").iter().map(place).collect()
    }

    #[test]
    fn forms_that_can_be_used() {
        let area = json!({"type": "number", "exclusiveMinimum": 0});
        for form in [
            json!({"type": "object"}),
            json!({"$schema": DRAFT, "type": "object", "properties": {"$ref": {"type": "string", "format": "phone"}},
                "if": {"required": ["a"]}, "then": {"required": ["b"]}, "x-order": ["$ref"]}),
            json!({"type": "object", "properties": {"area": {"$ref": "#/$defs/area"}, "old": {"$ref": "#/$defs/area"}}, "$defs": {"area": area}}),
        ] {
            assert_eq!(found(form.clone()), Vec::<String>::new(), "{form}");
        }
    }

    #[test]
    fn forms_that_cannot() {
        for (form, faults) in [
            (json!({"type": "array"}), vec!["/form/type:form_type"]),
            (json!("object"), vec!["/form/type:form_type", "/form:schema"]),
            (
                json!({"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}),
                vec!["/form/$schema:schema_draft"],
            ),
            (
                json!({"type": "object", "required": "name", "properties": {"a": {"type": "text"}, "b": {"minLength": -1}}}),
                vec!["/form/properties/a/type:schema", "/form/properties/b/minLength:schema", "/form/required:schema"],
            ),
            (json!({"type": "object", "$ref": "https://example.com/s.json"}), vec!["/form/$ref:remote_ref"]),
            (json!({"type": "object", "$ref": "#"}), vec!["/form/$ref:remote_ref"]),
            (json!({"type": "object", "$id": "https://example.com/"}), vec!["/form/$id:remote_ref"]),
            (
                json!({"type": "object", "properties": {"a": {"format": "masked_phone"}}}),
                vec!["/form/properties/a/format:unknown_format"],
            ),
            (json!({"type": "object", "$ref": "#/$defs/nothing"}), vec!["/form/$defs:refs"]),
            (
                json!({"type": "object", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}),
                vec!["/form/$defs:refs"],
            ),
            (json!({"type": "object", "properties": {"a": {"pattern": "(?=a)b"}}}), vec!["/form:schema"]),
            (json!({"type": "object", "title": "长".repeat(11_000)}), vec!["/form:length"]),
        ] {
            assert_eq!(found(form.clone()), faults, "{form}");
        }
        // Each part twice the one before: 2³⁰ in all.
        let mut defs = Map::from_iter([("d0".to_owned(), json!({"type": "string"}))]);
        for n in 1..30 {
            let below = json!({"$ref": format!("#/$defs/d{}", n - 1)});
            defs.insert(format!("d{n}"), json!({"allOf": [below, below]}));
        }
        assert_eq!(found(json!({"type": "object", "$defs": defs})), ["/form/$defs:refs"]);
    }
}
