//! The county's list of skills (技能): public to read, the administrator's to change.

use std::collections::HashSet;

use actix_web::{HttpRequest, HttpResponse, get, http::header, put, web::Data};
use chrono::{DateTime, Utc};
use diesel::{dsl::exists, prelude::*};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::{
    app::App,
    audit::{self, Audit},
    db::{
        changes::{self, Change},
        found,
        schema::skills,
    },
    error::{Code, Error, Result},
    http::{
        cached,
        caller::{Caller, Can},
        document::IfMatchHeader,
        etag::{IfMatch, etag},
        page::Page,
        permissions::WriteSkills,
        valid::{Query, Valid},
    },
    text_enum,
};

text_enum! {
    /// Whether a skill is still granted.
    pub enum SkillState {
        Active = "active",
        Retired = "retired",
    }
}

/// A skill as stored.
#[derive(Clone, Debug, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = skills, check_for_backend(diesel::pg::Pg))]
pub struct Skill {
    pub key: String,
    pub name_zh: String,
    pub name_en: String,
    pub state: SkillState,
}

/// A skill with its version.
type Versioned = (Skill, i64);

fn all(conn: &mut PgConnection, county: i32, state: Option<SkillState>) -> QueryResult<Vec<Versioned>> {
    let mut query = skills::table.filter(skills::county_id.eq(county)).into_boxed();
    if let Some(state) = state {
        query = query.filter(skills::state.eq(state));
    }
    query.order(skills::key).select((Skill::as_select(), skills::version)).load(conn)
}

/// Whether a county has a list at all.
pub fn has_skills(conn: &mut PgConnection, county: i32) -> QueryResult<bool> {
    diesel::select(exists(skills::table.filter(skills::county_id.eq(county)))).get_result(conn)
}

/// The keys of those that can be granted.
pub fn active(conn: &mut PgConnection, county: i32) -> QueryResult<HashSet<String>> {
    let here = skills::table.filter(skills::county_id.eq(county)).filter(skills::state.eq(SkillState::Active));
    Ok(here.select(skills::key).load(conn)?.into_iter().collect())
}

/// Writes a skill, new or not; its version now.
pub fn write_skill(conn: &mut PgConnection, county: i32, skill: &Skill, now: DateTime<Utc>) -> QueryResult<i64> {
    diesel::insert_into(skills::table)
        .values((skill, skills::county_id.eq(county), skills::created_at.eq(now), skills::updated_at.eq(now)))
        .on_conflict((skills::county_id, skills::key))
        .do_update()
        .set((skill, skills::version.eq(skills::version + 1), skills::updated_at.eq(now)))
        .returning(skills::version)
        .get_result(conn)
}

/// What a county asks of helpers (技能).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"key": "care", "name_zh": "生活照料", "name_en": "home care", "state": "active", "version": 1}))]
pub struct SkillView {
    /// What helpers and kinds of orders name it by.
    pub key: String,
    pub name_zh: String,
    pub name_en: String,
    pub state: SkillState,
    pub version: i64,
}

impl From<Versioned> for SkillView {
    fn from((skill, version): Versioned) -> Self {
        let Skill { key, name_zh, name_en, state } = skill;
        Self { key, name_zh, name_en, state, version }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SkillsQuery {
    /// Tenant key of the county.
    #[param(example = "350425")]
    county: String,
    /// Only skills in this state.
    #[param(inline, example = "active")]
    state: Option<SkillState>,
}

/// List skills
///
/// All of a county, on one page, by key. Dialects are among them.
#[utoipa::path(tag = "helpers", security(()), params(SkillsQuery),
    responses((status = 200, description = "Every skill", body = Page<SkillView>), (status = 304, description = "Unchanged since the `ETag` sent")))]
#[get("/v1/skills")]
pub async fn list_skills(app: Data<App>, request: HttpRequest, query: Query<SkillsQuery>) -> Result<HttpResponse> {
    let SkillsQuery { county, state } = query.0;
    cached::answer(&app, &request, || async {
        let county = app.counties.public(&app, &county).await?.id;
        let rows = app.db.read("list_skills", move |conn| Ok(all(conn, county, state)?)).await?;
        let items = rows.into_iter().map(SkillView::from).collect();
        Ok(Page { items, next_cursor: None, total: None })
    })
    .await
}

/// A skill as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name_zh": "生活照料", "name_en": "home care", "state": "active"}))]
pub struct PutSkill {
    /// 1 to 40 characters.
    #[validate(length(min = 1, max = 40))]
    #[schema(min_length = 1, max_length = 40)]
    name_zh: String,
    /// 1 to 80 characters.
    #[validate(length(min = 1, max = 80))]
    #[schema(min_length = 1, max_length = 80)]
    name_en: String,
    /// Who has a retired skill keeps it; nobody else gets it any more.
    state: SkillState,
}

/// The key in the path: lower-case letters, digits and underscores, a letter first, at most 32 characters.
fn key(request: &HttpRequest) -> Result<String> {
    let key = request.match_info().get("key").unwrap_or_default();
    let letter = key.starts_with(|c: char| c.is_ascii_lowercase());
    let fits =
        letter && key.len() <= 32 && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits { Ok(key.to_owned()) } else { Err(Code::NotFound.into()) }
}

/// What phones learn of a skill.
fn changed(county: i32, id: Uuid) -> Change {
    Change { county, entity: "skill", entity_id: id, unit_id: None, resident_id: None, staff_id: None, gone: false }
}

/// Add or change a skill
///
/// The key in the path is what it is known by from then on. `If-Match: "0"` adds one that is not there yet.
#[utoipa::path(tag = "helpers", security(("token" = ["skills:write"])), params(("key" = String, Path, description = "The skill", example = "care"), IfMatchHeader),
    request_body = PutSkill, responses((status = 200, description = "As it is now", body = SkillView)))]
#[put("/v1/skills/{key}")]
pub async fn put_skill(
    caller: Can<WriteSkills>,
    request: HttpRequest,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<PutSkill>,
) -> Result<HttpResponse> {
    let (key, county, now) = (key(&request)?, caller.county, app.clock.now());
    let PutSkill { name_zh, name_en, state } = body.value;
    let skill = Skill { key, name_zh: name_zh.trim().to_owned(), name_en: name_en.trim().to_owned(), state };
    for (name, pointer) in [(&skill.name_zh, "/name_zh"), (&skill.name_en, "/name_en")] {
        if name.is_empty() {
            return Err(Error::field(pointer, "length", "不得为空", "must not be blank"));
        }
    }
    let (who, entry) = (Caller::clone(&caller), Audit::new("put", "skill", audit::id_of("skill", &skill.key)));
    let write = app.db.write("put_skill", move |conn| {
        let row = skills::table.find((county, &skill.key)).select(skills::version).for_no_key_update();
        let before = found(row.first::<i64>(conn))?.unwrap_or(0);
        seen.check(before)?;
        let version = write_skill(conn, county, &skill, now)?;
        // Somebody else may have added it since it was looked for.
        if version != before + 1 {
            return Err(Code::VersionStale.into());
        }
        audit::record(conn, &who, now, &entry)?;
        changes::record(conn, changed(county, entry.entity_id), now)?;
        Ok((skill.clone(), version))
    });
    let row = write.await?;
    app.rendered.forget();
    let view = SkillView::from(row);
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
