//! "What do I need?": the guide of a matter for a kiosk or a phone, for the answers given so far.

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    rules::{self, Answers, Applies},
    store::{self, Matter, MatterState},
    version::{DecidedBy, Material, MatterKind, Question, Version},
    version_store,
};
use crate::{
    app::App,
    clock::local_date,
    departments::{self, Department},
    error::{At, Code, Error, FieldError, Result, Text},
    http::{
        cached,
        valid::{Id, Query},
    },
};

/// Answers that a question of the guide can have in all; more are no guide.
const MOST_ANSWERS: usize = 20;

/// Words in both languages.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"zh": "承诺 3 个工作日内办结（法定时限 10 个工作日）", "en": "Done within 3 working days (the law allows 10)"}))]
pub struct WordsView {
    pub zh: String,
    pub en: String,
}

/// The department that decides.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "name": "县民政局", "phone": "0598-7222301"}))]
pub struct DecidingDepartmentView {
    pub id: Uuid,
    pub name: String,
    /// Service phone; public.
    pub phone: Option<String>,
}

/// What is needed for a matter, for the answers given.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"matter_id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "户籍（出生、迁移）办理", "description": "请带出生证明或准迁证", "state": "active",
    "number": 1, "effective_from": "2026-01-01", "decided_by": "department", "department": {"id": "0199a0c0-0000-7000-8000-0000000000d1",
    "name": "县公安局", "phone": "0598-7222110"}, "kind": "promised", "promised_days": 5, "statutory_days": 15,
    "limit": {"zh": "承诺 5 个工作日内办结（法定时限 15 个工作日）", "en": "Done within 5 working days (the law allows 15)"}, "proxy_allowed": true,
    "conditions": [], "answers": {"reason": "newborn"},
    "materials": [{"key": "birth_certificate", "name": "出生医学证明", "need": "required", "form": "original", "count": 1, "when": {"reason": ["newborn"]}}],
    "possible": [], "questions": [], "complete": true, "form": null}))]
pub struct GuideView {
    pub matter_id: Uuid,
    pub name: String,
    pub description: Option<String>,
    /// Only active matters can be booked and filed.
    pub state: MatterState,
    /// The version in effect today.
    pub number: i16,
    pub effective_from: NaiveDate,
    pub decided_by: DecidedBy,
    /// The department, if that decides.
    pub department: Option<DecidingDepartmentView>,
    pub kind: MatterKind,
    /// Working days; 0: at once.
    pub promised_days: i16,
    /// Working days that the law allows.
    pub statutory_days: Option<i16>,
    /// The limit in words.
    pub limit: WordsView,
    /// Whether somebody else may file it for the resident.
    pub proxy_allowed: bool,
    pub conditions: Vec<String>,
    /// The answers that were given.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub answers: Answers,
    /// What is needed for sure; of those with the same `group`, one.
    pub materials: Vec<Material>,
    /// What may be needed too: it depends on `questions`.
    pub possible: Vec<Material>,
    /// The questions that are still to be answered.
    pub questions: Vec<Question>,
    /// No question is left: `materials` is all.
    pub complete: bool,
    /// JSON Schema of what will be filled in.
    #[schema(value_type = Option<Object>)]
    pub form: Option<Value>,
}

impl GuideView {
    fn new(matter: Matter, version: Version, department: Option<Department>, answers: Answers) -> Self {
        let that = |wanted: Applies| {
            let materials = version.materials.iter().filter(|material| rules::applies(material, &answers) == wanted);
            materials.cloned().collect::<Vec<_>>()
        };
        let questions: Vec<_> = rules::open_questions(&version, &answers).into_iter().cloned().collect();
        let (materials, possible, words) = (that(Applies::Yes), that(Applies::Open), rules::limit_in_words(&version));
        let Version { number, effective_from, content, .. } = version;
        Self {
            matter_id: matter.id,
            name: matter.name,
            description: matter.description,
            state: matter.state,
            number,
            effective_from,
            decided_by: content.decided_by,
            department: department.map(|Department { id, name, phone, .. }| DecidingDepartmentView { id, name, phone }),
            kind: content.kind,
            promised_days: content.promised_days,
            statutory_days: content.statutory_days,
            limit: WordsView { zh: words.zh.into_owned(), en: words.en.into_owned() },
            proxy_allowed: content.proxy_allowed,
            conditions: content.conditions,
            answers,
            materials,
            possible,
            complete: questions.is_empty(),
            questions,
            form: content.form,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GuideQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Answers given so far: `key:value,key:value` of the questions of the version in effect.
    #[param(example = "reason:newborn")]
    answers: Option<String>,
}

/// The answers of a query; each question once.
fn read(text: &str) -> Result<Answers> {
    let wrong = || {
        let text =
            Text::fixed("须为 key:value,key:value，每个问题一次", "must be key:value,key:value, each question once");
        Error::invalid(vec![FieldError::query("answers", "answers", text)])
    };
    let mut answers = Answers::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(':').ok_or_else(wrong)?;
        if answers.len() == MOST_ANSWERS || answers.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(wrong());
        }
    }
    Ok(answers)
}

/// Guide to a matter
///
/// What to bring, for the answers given so far: `materials` is needed for sure, `possible` depends on `questions`. Ask those, and
/// come again with `answers`, until `complete`. 404 `matter_unversioned` while no version is in effect.
#[utoipa::path(tag = "matters", security(()), params(("id" = Uuid, Path, description = "The matter"), GuideQuery),
    responses((status = 200, description = "The guide", body = GuideView), (status = 304, description = "Unchanged since the `ETag` sent")),
    extensions(("x-errors" = json!(["matter_unversioned"]))))]
#[get("/v1/matters/{id}/guide")]
pub async fn get_matter_guide(
    app: Data<App>,
    request: HttpRequest,
    id: Id,
    query: Query<GuideQuery>,
) -> Result<HttpResponse> {
    let answers = read(query.0.answers.as_deref().unwrap_or_default())?;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &query.0.county).await?.id;
        let today = local_date(app.clock.now());
        let read = app.db.read("get_matter_guide", move |conn| {
            let matter = store::find(conn, county, id.0)?.ok_or(Code::NotFound)?;
            let version = version_store::in_effect(conn, county, id.0, today)?.ok_or(Code::MatterUnversioned)?;
            let department = match version.department_id {
                Some(department) => departments::find(conn, county, department)?,
                None => None,
            };
            Ok((matter, version, department))
        });
        let (matter, version, department) = read.await?;
        let in_query = |fault: FieldError| FieldError { at: At::Query("answers".into()), ..fault };
        let wrong: Vec<_> = rules::check_answers(&version, &answers, "").into_iter().map(in_query).collect();
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        Ok(GuideView::new(matter, version, department, answers))
    })
    .await
}
