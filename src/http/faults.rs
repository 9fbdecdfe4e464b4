//! Every fault of a value, found by the schema that the OpenAPI document publishes for it.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime};
use jsonschema::{
    Draft, JsonType, PatternOptions, ValidationError, ValidationOptions, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::{Map, Value, json};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{RefOr, Required, path::ParameterIn, schema::Schema},
};
use uuid::Uuid;

use crate::error::{FieldError, Text};

type Check = fn(&str) -> bool;

/// Pointer, code, words.
pub type Fault = (String, &'static str, Text);

/// Formats of strings: how the schema names them, whether a value fits, and what is said when it does not.
/// A new parsed type adds its row here.
const FORMATS: &[(&str, Check, Text)] = &[
    ("uuid", |text| Uuid::parse_str(text).is_ok(), Text::fixed("须为 UUID", "must be a UUID")),
    (
        "date",
        |text| text.len() == 10 && NaiveDate::from_str(text).is_ok(),
        Text::fixed("须为存在的日期 YYYY-MM-DD", "must be a date that exists, YYYY-MM-DD"),
    ),
    (
        "date-time",
        |text| DateTime::parse_from_rfc3339(text).is_ok(),
        Text::fixed(
            "须为带时区的时间，如 2026-11-23T09:00:00+08:00",
            "must be a time with an offset, such as 2026-11-23T09:00:00+08:00",
        ),
    ),
    (
        "time",
        |text| NaiveTime::from_str(text).is_ok(),
        Text::fixed("须为时间 HH:MM:SS", "must be a time of day, HH:MM:SS"),
    ),
    (
        "id_number",
        |text| crate::people::IdNumber::from_str(text).is_ok(),
        Text::fixed(
            "身份证号不正确：须为 18 位且校验位相符（GB 11643）",
            "not an ID number: 18 characters with a matching check digit (GB 11643)",
        ),
    ),
    (
        "phone",
        |text| crate::people::Phone::from_str(text).is_ok(),
        Text::fixed("须为 11 位大陆手机号", "must be a mainland mobile number of 11 digits"),
    ),
    (
        "person_name",
        |text| crate::people::PersonName::from_str(text).is_ok(),
        Text::fixed(
            "姓名须为 1 至 50 个字，不含控制字符和 *",
            "a name has 1 to 50 characters, no control characters and no *",
        ),
    ),
    (
        "masked_id_number",
        |text| text.contains('*') || crate::people::IdNumber::from_str(text).is_ok(),
        Text::fixed("身份证号不正确", "not an ID number"),
    ),
    (
        "masked_phone",
        |text| text.contains('*') || crate::people::Phone::from_str(text).is_ok(),
        Text::fixed("须为 11 位大陆手机号", "must be a mainland mobile number of 11 digits"),
    ),
    (
        "masked_person_name",
        |text| text.contains('*') || crate::people::PersonName::from_str(text).is_ok(),
        Text::fixed("姓名须为 1 至 50 个字", "a name has 1 to 50 characters"),
    ),
];

/// Every fault of a body, by the schema of `T`.
pub fn in_body<T: ToSchema>(value: &Value) -> Vec<FieldError> {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts: Map<String, Value> = parts.into_iter().map(|(name, part)| (name, json!(part))).collect();
    let mut schema = json!(T::schema());
    schema["components"] = json!({"schemas": parts});
    check(&schema, value).into_iter().map(|(pointer, code, text)| FieldError::body(pointer, code, text)).collect()
}

/// Strings that hold U+0000, wherever they stand.
pub fn nul_characters(value: &Value) -> Vec<FieldError> {
    fn walk(value: &Value, pointer: &str, found: &mut Vec<FieldError>) {
        match value {
            Value::String(text) if text.contains('\0') => {
                found.push(FieldError::body(pointer, "nul_character", text_of("nul_character")));
            }
            Value::Object(fields) => fields.iter().for_each(|(name, value)| walk(value, &child(pointer, name), found)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| walk(value, &format!("{pointer}/{index}"), found));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

/// The pointer to a member (RFC 6901 §3).
pub fn child(above: &str, name: &str) -> String {
    format!("{above}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Every fault of a query, by the parameters of `T`.
pub fn in_query<T: IntoParams>(given: &Map<String, Value>) -> Vec<FieldError> {
    let params = T::into_params(|| Some(ParameterIn::Query));
    let unknown = given.keys().filter(|name| !params.iter().any(|param| param.name == **name));
    let mut errors: Vec<_> =
        unknown.map(|name| FieldError::query(name, "unknown_field", text_of("unknown_field"))).collect();
    for param in &params {
        match given.get(&param.name).and_then(Value::as_str) {
            None if matches!(param.required, Required::True) => {
                errors.push(FieldError::query(&param.name, "required", text_of("required")));
            }
            None => {}
            Some(text) if text.contains('\0') => {
                errors.push(FieldError::query(&param.name, "nul_character", text_of("nul_character")));
            }
            Some(text) => {
                let schema = json!(param.schema);
                let value = typed(param.schema.as_ref(), text);
                let found = check(&schema, &value).into_iter().next();
                errors.extend(found.map(|(_, code, text)| FieldError::query(&param.name, code, text)));
            }
        }
    }
    errors
}

/// A query value as the JSON that its schema speaks of: `"5"` is a number where a number is wanted.
fn typed(schema: Option<&RefOr<Schema>>, text: &str) -> Value {
    let wants = json!(schema)["type"].to_string();
    let number = || text.parse::<i64>().ok().filter(|_| wants.contains("integer")).map(Value::from);
    let truth = || text.parse::<bool>().ok().filter(|_| wants.contains("boolean")).map(Value::from);
    number().or_else(truth).unwrap_or_else(|| text.into())
}

/// How schemas are read: draft 2020-12, with the formats of this API.
fn options() -> ValidationOptions<'static> {
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    FORMATS.iter().fold(options, |options, (name, check, _)| options.with_format(*name, *check))
}

fn check(schema: &Value, value: &Value) -> Vec<Fault> {
    options().build(schema).map(|validator| all(&validator, value)).unwrap_or_default()
}

/// A schema of somebody else's, such as a form of the catalogue: its patterns take linear time. The reason why it cannot be used.
pub fn foreign(schema: &Value) -> Result<Validator, String> {
    options().with_pattern_options(PatternOptions::regex()).build(schema).map_err(|error| error.to_string())
}

/// Whether a format is one that a foreign schema may name.
pub fn is_format(name: &str) -> bool {
    !name.starts_with("masked_") && FORMATS.iter().any(|(known, ..)| *known == name)
}

/// Every fault of a value: pointer, code, words. Empty only if it is right.
pub fn all(validator: &Validator, value: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    for error in validator.iter_errors(value) {
        let before = found.len();
        explain(&error, &mut found);
        if found.len() == before {
            found.push((error.instance_path().to_string(), "invalid", text_of("invalid")));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.dedup();
    found
}

fn explain(error: &ValidationError, found: &mut Vec<Fault>) {
    use ValidationErrorKind as Kind;
    let here = error.instance_path().to_string();
    match error.kind() {
        Kind::Required { property } => {
            found.push((child(&here, property.as_str().unwrap_or_default()), "required", text_of("required")));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            found.extend(unexpected.iter().map(|name| (child(&here, name), "unknown_field", text_of("unknown_field"))));
        }
        Kind::Format { format } => {
            let row = FORMATS.iter().find(|(name, ..)| name == format);
            found.extend(row.map(|(name, _, text)| (here, code_of(name), text.clone())));
        }
        Kind::Pattern { .. } => {
            found.push((here, "pattern", Text::fixed("格式不正确", "has not the form that is wanted")))
        }
        Kind::UniqueItems => found.push((here, "not_unique", Text::fixed("不得重复", "has the same item twice"))),
        Kind::Constant { expected_value } => {
            let text = Text::new(format!("须为 {expected_value}"), format!("must be {expected_value}"));
            found.push((here, "unknown_value", text));
        }
        Kind::Type { kind } => {
            let wanted: Vec<String> = match kind {
                TypeKind::Single(wanted) => vec![wanted.to_string()],
                TypeKind::Multiple(wanted) => wanted.iter().map(|wanted| wanted.to_string()).collect(),
            };
            let wanted = wanted.join(" / ");
            let text = Text::new(format!("类型不正确，须为 {wanted}"), format!("wrong JSON type, must be {wanted}"));
            found.push((here, "type", text));
        }
        Kind::Enum { options } => {
            let text = Text::new(format!("须为 {options} 之一"), format!("must be one of {options}"));
            found.push((here, "unknown_value", text));
        }
        Kind::ExclusiveMinimum { limit } => {
            found.push((here, "range", Text::new(format!("须大于 {limit}"), format!("must be more than {limit}"))));
        }
        Kind::ExclusiveMaximum { limit } => {
            found.push((here, "range", Text::new(format!("须小于 {limit}"), format!("must be less than {limit}"))));
        }
        Kind::Minimum { limit } => found.push((here, "range", bounds(Some(limit.to_string()), None))),
        Kind::Maximum { limit } => found.push((here, "range", bounds(None, Some(limit.to_string())))),
        Kind::MinLength { limit } | Kind::MinItems { limit } => {
            found.push((here, "length", bounds(Some(limit.to_string()), None)));
        }
        Kind::MaxLength { limit } | Kind::MaxItems { limit } => {
            found.push((here, "length", bounds(None, Some(limit.to_string()))));
        }
        // An optional thing is "null or the thing": what matters are the faults of the branch that is not null.
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let is_null =
                |error: &ValidationError| matches!(error.kind(), Kind::Type { kind: TypeKind::Single(JsonType::Null) });
            let branches = context.iter().filter(|branch| !branch.iter().any(is_null));
            for error in branches.flatten() {
                explain(error, found);
            }
        }
        _ => found.push((here, "invalid", text_of("invalid"))),
    }
}

/// The code of a wrong format.
fn code_of(format: &'static str) -> &'static str {
    match format {
        "date-time" => "date_time",
        other => other.strip_prefix("masked_").unwrap_or(other),
    }
}

fn text_of(code: &str) -> Text {
    match code {
        "required" => Text::fixed("必填", "is required"),
        "unknown_field" => Text::fixed("没有这个字段", "there is no such field"),
        "nul_character" => Text::fixed("不得含有 U+0000", "must not hold U+0000"),
        _ => Text::fixed("不正确", "is not right"),
    }
}

/// What is said of a value outside its bounds.
pub fn bounds(min: Option<String>, max: Option<String>) -> Text {
    match (min, max) {
        (Some(min), Some(max)) => Text::new(format!("须在 {min} 至 {max} 之间"), format!("must be {min} to {max}")),
        (Some(min), None) => Text::new(format!("不得少于 {min}"), format!("must be at least {min}")),
        (None, Some(max)) => Text::new(format!("不得超过 {max}"), format!("must be at most {max}")),
        (None, None) => text_of("invalid"),
    }
}

/// serde's words without what stands in quotation marks: it may be somebody's name.
pub fn without_values(words: &str) -> String {
    let mut kept = String::new();
    for (index, part) in words.split('"').enumerate() {
        kept.push_str(if index % 2 == 0 { part } else { "…" });
    }
    kept
}
