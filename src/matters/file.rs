//! The catalogue as one file: what it holds, and reading it with every fault.

use std::collections::HashMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::{
    check, lines,
    routes::check_places,
    store::{Matter, MatterState},
    version::{Content, DecidedBy, Material, MatterKind, Question, Rung, Version},
};
use crate::{
    departments::Department,
    error::{At, Code, Error, FieldError, Result, Text},
    http::valid::{self, BODY_LIMIT},
    people::IdentityLevel,
    staff::model::check_service_phone,
    windows::Place,
};

/// The `format` of files that are read and written here.
pub const FORMAT: &str = "lianxin-catalogue/1";

const fn yes() -> bool {
    true
}

fn check_format(format: &str) -> Result<(), ValidationError> {
    if format == FORMAT {
        return Ok(());
    }
    Err(ValidationError::new("format").with_message("须为 lianxin-catalogue/1|must be lianxin-catalogue/1".into()))
}

/// A department of the file, known by its name.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "县民政局", "phone": "0598-7222301"}))]
pub struct FileDepartment {
    /// 1 to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// Service phone; left out, it stays as it is.
    #[validate(length(max = 20), custom(function = "check_service_phone"))]
    #[schema(max_length = 20)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// The version of a matter in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"decided_by": "department", "department": "县民政局", "kind": "promised", "promised_days": 22, "statutory_days": 45,
    "proxy_allowed": true, "materials": [{"key": "id_card", "name": "居民身份证", "need": "required", "form": "original", "count": 1}],
    "conditions": [], "questions": []}))]
pub struct FileVersion {
    pub decided_by: DecidedBy,
    /// Exactly if a department decides: its name, one of the county's or of the file.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    pub kind: MatterKind,
    /// Working days, 0 to 250; 0 exactly for instant matters.
    #[validate(range(min = 0, max = 250))]
    #[schema(minimum = 0, maximum = 250)]
    pub promised_days: i16,
    /// Working days that the law allows.
    #[validate(range(min = 0, max = 250))]
    #[schema(minimum = 0, maximum = 250)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statutory_days: Option<i16>,
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub proxy_allowed: bool,
    #[serde(default)]
    #[validate(length(max = 60), nested)]
    #[schema(max_items = 60)]
    pub materials: Vec<Material>,
    #[serde(default)]
    #[validate(length(max = 30))]
    #[schema(max_items = 30)]
    pub conditions: Vec<String>,
    #[serde(default)]
    #[validate(length(max = 12), nested)]
    #[schema(max_items = 12)]
    pub questions: Vec<Question>,
    #[schema(value_type = Option<Object>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Value>,
    #[validate(length(max = 12), nested)]
    #[schema(max_items = 12)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Vec<Rung>>,
}

impl FileVersion {
    /// A published version as the file says it; `departments` are those of the county.
    pub fn of(version: &Version, departments: &[Department]) -> Self {
        let named = |id: Uuid| departments.iter().find(|known| known.id == id).map(|known| known.name.clone());
        let content = version.content.clone();
        Self {
            decided_by: content.decided_by,
            department: content.department_id.and_then(named),
            kind: content.kind,
            promised_days: content.promised_days,
            statutory_days: content.statutory_days,
            proxy_allowed: content.proxy_allowed,
            materials: content.materials,
            conditions: content.conditions,
            questions: content.questions,
            form: content.form,
            ladder: content.ladder,
        }
    }

    /// What it says, the department being known.
    pub fn content(self, department_id: Option<Uuid>) -> Content {
        Content {
            decided_by: self.decided_by,
            department_id,
            kind: self.kind,
            promised_days: self.promised_days,
            statutory_days: self.statutory_days,
            proxy_allowed: self.proxy_allowed,
            materials: self.materials,
            conditions: self.conditions,
            questions: self.questions,
            form: self.form,
            ladder: self.ladder,
        }
    }
}

/// A matter of the file, known by its name. What is left out stays as it is, or is the default for a new one.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "最低生活保障申请", "description": "请带户口簿、身份证和收入情况说明", "state": "active", "version": {
    "decided_by": "department", "department": "县民政局", "kind": "promised", "promised_days": 22}}))]
pub struct FileMatter {
    /// 1 to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    #[validate(length(max = 2000))]
    #[schema(max_length = 2000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[schema(inline)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MatterState>,
    #[schema(inline)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_level: Option<IdentityLevel>,
    #[validate(range(min = 1, max = 8))]
    #[schema(minimum = 1, maximum = 8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<i16>,
    #[validate(length(min = 1, max = 4), custom(function = "check_places"))]
    #[schema(min_items = 1, max_items = 4, inline)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<Vec<Place>>,
    #[validate(range(min = 0, max = 240))]
    #[schema(minimum = 0, maximum = 240)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub travel_minutes: Option<i16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_specialist: Option<bool>,
    /// Left out: the version in effect stays.
    #[validate(nested)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<FileVersion>,
}

impl FileMatter {
    /// A matter with its version in effect, everything said.
    pub fn of(matter: Matter, version: Option<FileVersion>) -> Self {
        Self {
            name: matter.name,
            description: matter.description,
            state: Some(matter.state),
            identity_level: Some(matter.identity_level),
            slots: Some(matter.slots),
            places: Some(matter.places),
            travel_minutes: Some(matter.travel_minutes),
            own_specialist: Some(matter.own_specialist),
            version,
        }
    }
}

/// The whole catalogue of a county as one file.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"format": "lianxin-catalogue/1", "county": "350425", "exported_on": "2026-11-23",
    "departments": [{"name": "县民政局", "phone": "0598-7222301"}],
    "matters": [{"name": "最低生活保障申请", "version": {"decided_by": "department", "department": "县民政局", "kind": "promised", "promised_days": 22}}]}))]
pub struct CatalogueFile {
    /// `lianxin-catalogue/1`.
    pub format: String,
    /// Where it was exported; says nothing when it is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub county: Option<String>,
    /// When it was exported; says nothing when it is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_on: Option<NaiveDate>,
    /// From when on new versions count; today by default, never in the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<NaiveDate>,
    /// Up to 100.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub departments: Vec<FileDepartment>,
    /// Up to 300.
    #[schema(max_items = 300)]
    pub matters: Vec<FileMatter>,
}

/// The file before its parts are looked at, so that a fault of one hides none of another.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Parts {
    #[validate(custom(function = "check_format"))]
    format: String,
    #[serde(rename = "county")]
    _county: Option<String>,
    #[serde(rename = "exported_on")]
    _exported_on: Option<NaiveDate>,
    effective_from: Option<NaiveDate>,
    #[serde(default)]
    #[validate(length(max = 100))]
    #[schema(max_items = 100)]
    departments: Vec<Value>,
    #[validate(length(max = 300))]
    #[schema(max_items = 300)]
    matters: Vec<Value>,
}

/// A file as read: the parts that are right, each with its place, and the faults so far.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub effective_from: Option<NaiveDate>,
    pub departments: Vec<(usize, FileDepartment)>,
    pub matters: Vec<(usize, FileMatter)>,
    pub faults: Vec<FieldError>,
}

fn below(above: &str, faults: Vec<FieldError>) -> impl Iterator<Item = FieldError> {
    faults.into_iter().map(move |fault| match fault.at {
        At::Body(at) => FieldError { at: At::Body(format!("{above}{at}")), ..fault },
        At::Query(_) => fault,
    })
}

/// A part of the file, or every fault of it. It may be as long as an ordinary body: each of its faults is told.
fn part<T: DeserializeOwned + Validate + ToSchema>(value: &Value) -> Result<T, Vec<FieldError>> {
    if value.to_string().len() > BODY_LIMIT {
        let limit = BODY_LIMIT / 1024;
        let text = Text::new(format!("不得超过 {limit} KiB"), format!("may have up to {limit} KiB"));
        return Err(vec![FieldError::body("", "length", text)]);
    }
    valid::part(value)
}

/// Reads a file; what is no JSON at all is an error of its own.
pub fn read(file: &[u8]) -> Result<Read> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let value: Value = serde_json::from_slice(file).map_err(|syntax| {
        let (line, column) = (syntax.line(), syntax.column());
        Error::new(Code::MalformedJson)
            .detail(format!("第 {line} 行第 {column} 列"), format!("Line {line}, column {column}"))
    })?;
    let parts: Parts = match valid::part(&value) {
        Ok(parts) => parts,
        Err(faults) => return Ok(Read { faults, ..Read::default() }),
    };
    let mut read = Read { effective_from: parts.effective_from, ..Read::default() };
    let mut names = HashMap::new();
    for (index, part) in parts.departments.iter().enumerate() {
        let at = format!("/departments/{index}");
        match self::part::<FileDepartment>(part) {
            Ok(department) => {
                read.faults.extend(name_fault(&department.name, &mut names, &at));
                read.departments.push((index, department));
            }
            Err(faults) => read.faults.extend(below(&at, faults)),
        }
    }
    let mut names = HashMap::new();
    for (index, part) in parts.matters.iter().enumerate() {
        let at = format!("/matters/{index}");
        match self::part::<FileMatter>(part) {
            Ok(matter) => {
                read.faults.extend(name_fault(&matter.name, &mut names, &at));
                if let Some(version) = matter.version.clone() {
                    // Which department is looked up later; here it counts that one is named.
                    let named = version.department.as_ref().map(|_| Uuid::nil());
                    read.faults.extend(check::faults(&version.content(named), &format!("{at}/version"), "department"));
                }
                read.matters.push((index, matter));
            }
            Err(faults) => read.faults.extend(below(&at, faults)),
        }
    }
    Ok(read)
}

/// A name that is blank, has blanks around it, or stands in the file already.
fn name_fault(name: &str, seen: &mut HashMap<String, ()>, at: &str) -> Option<FieldError> {
    let at = format!("{at}/name");
    if name.trim() != name || name.is_empty() {
        return Some(FieldError::body(at, "blanks", Text::fixed("前后不得有空格", "has blanks around it")));
    }
    let twice = seen.insert(name.to_owned(), ()).is_some();
    twice.then(|| FieldError::body(at, "name_twice", Text::fixed("文件中重复", "stands in the file already")))
}

/// Faults in the order of the file, each with its line.
pub fn with_lines(file: &[u8], faults: Vec<FieldError>) -> Vec<(usize, FieldError)> {
    let text = String::from_utf8_lossy(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
    let pointer = |fault: &FieldError| match &fault.at {
        At::Body(pointer) | At::Query(pointer) => pointer.clone(),
    };
    let pointers: Vec<_> = faults.iter().map(pointer).collect();
    let lines = lines::lines(&text, pointers.iter().map(String::as_str));
    let mut all: Vec<_> = faults
        .into_iter()
        .zip(pointers)
        .map(|(fault, pointer)| (lines.get(&pointer).copied().unwrap_or(1), fault))
        .collect();
    all.sort_by_key(|(line, _)| *line);
    all
}
