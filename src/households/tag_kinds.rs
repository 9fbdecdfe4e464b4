//! What can be said of households in one word: a list of the county's own.

use actix_web::{HttpRequest, HttpResponse, get, http::header, put, web::Data};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    app::App,
    audit::{self, Audit},
    db::{
        changes::{self, Change},
        found,
        schema::household_tag_kinds as kinds,
    },
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::IfMatchHeader,
        etag::{IfMatch, etag},
        page::Page,
        permissions::{ReadHouseholdTags, WriteHouseholdTagKinds},
        valid::Valid,
    },
    text_enum,
};

text_enum! {
    /// Whether a tag is still given.
    pub enum TagKindState {
        Active = "active",
        Closed = "closed",
    }
}

text_enum! {
    /// The separate consent that a sensitive tag rests on.
    pub enum TagPurpose {
        Health = "health",
        Under14 = "under_14",
    }
}

/// What can be said of a household in one word (标签).
#[derive(Clone, Debug, Serialize, ToSchema, Queryable, Selectable)]
#[diesel(table_name = kinds, check_for_backend(diesel::pg::Pg))]
#[schema(example = json!({"key": "disabled", "name_zh": "残疾人户", "name_en": "disabled member", "consent": "health", "state": "active", "version": 1}))]
pub struct HouseholdTagKindView {
    pub key: String,
    pub name_zh: String,
    pub name_en: String,
    /// The consent of the member concerned that it needs; none: it is not sensitive.
    pub consent: Option<TagPurpose>,
    pub state: TagKindState,
    pub version: i64,
}

/// The kind as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name_zh": "残疾人户", "name_en": "disabled member", "consent": "health", "state": "active"}))]
pub struct PutHouseholdTagKind {
    /// 1 to 40 characters.
    #[validate(length(min = 1, max = 40))]
    #[schema(min_length = 1, max_length = 40)]
    pub name_zh: String,
    /// 1 to 80 characters.
    #[validate(length(min = 1, max = 80))]
    #[schema(min_length = 1, max_length = 80)]
    pub name_en: String,
    /// The consent that it needs; left out: it is not sensitive. What a kind needs never becomes less.
    #[schema(inline)]
    pub consent: Option<TagPurpose>,
    pub state: TagKindState,
}

pub fn all(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<HouseholdTagKindView>> {
    let here = kinds::table.filter(kinds::county_id.eq(county));
    here.order(kinds::key).select(HouseholdTagKindView::as_select()).load(conn)
}

/// The kind that is given to households under a key; none if there is none, or it is closed.
pub fn active(conn: &mut PgConnection, county: i32, key: &str) -> Result<Option<HouseholdTagKindView>> {
    let row = kinds::table.find((county, key)).filter(kinds::state.eq(TagKindState::Active));
    found(row.select(HouseholdTagKindView::as_select()).first(conn))
}

/// Writes a kind, new or not.
pub fn write(
    conn: &mut PgConnection,
    (county, key): (i32, &str),
    new: &PutHouseholdTagKind,
    now: DateTime<Utc>,
) -> QueryResult<HouseholdTagKindView> {
    let names = (kinds::name_zh.eq(new.name_zh.trim()), kinds::name_en.eq(new.name_en.trim()));
    let rest = (kinds::consent.eq(new.consent), kinds::state.eq(new.state), kinds::updated_at.eq(now));
    diesel::insert_into(kinds::table)
        .values((kinds::county_id.eq(county), kinds::key.eq(key), names, rest, kinds::created_at.eq(now)))
        .on_conflict((kinds::county_id, kinds::key))
        .do_update()
        .set((names, rest, kinds::version.eq(kinds::version + 1)))
        .returning(HouseholdTagKindView::as_returning())
        .get_result(conn)
}

/// List kinds of tags
///
/// All of the county, on one page, by key.
#[utoipa::path(tag = "households", security(("token" = ["household_tags:read"])),
    responses((status = 200, description = "Every kind", body = Page<HouseholdTagKindView>)))]
#[get("/v1/household-tags")]
pub async fn list_household_tag_kinds(caller: Can<ReadHouseholdTags>, app: Data<App>) -> Result<HttpResponse> {
    let county = caller.county;
    let items = app.db.read("list_household_tag_kinds", move |conn| Ok(all(conn, county)?)).await?;
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: None, total: None }))
}

/// The key in the path: lower-case letters, digits and underscores, a letter first, at most 32 characters.
fn key(request: &HttpRequest) -> Result<String> {
    let key = request.match_info().get("key").unwrap_or_default();
    let letter = key.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if letter && plain && key.len() <= 32 { Ok(key.to_owned()) } else { Err(Code::NotFound.into()) }
}

/// Add or change a kind of tag
///
/// The key in the path is what it is known by from then on. `If-Match: "0"` adds one that is not there yet.
#[utoipa::path(tag = "households", security(("token" = ["household_tag_kinds:write"])), params(("key" = String, Path, description = "The kind", example = "disabled"), IfMatchHeader),
    request_body = PutHouseholdTagKind, responses((status = 200, description = "As it is now", body = HouseholdTagKindView)))]
#[put("/v1/household-tags/{key}")]
pub async fn put_household_tag_kind(
    caller: Can<WriteHouseholdTagKinds>,
    request: HttpRequest,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<PutHouseholdTagKind>,
) -> Result<HttpResponse> {
    let (key, county, now, new) = (key(&request)?, caller.county, app.clock.now(), body.value);
    for (name, pointer) in [(&new.name_zh, "/name_zh"), (&new.name_en, "/name_en")] {
        if name.trim().is_empty() {
            return Err(Error::field(pointer, "length", "不得为空", "must not be blank"));
        }
    }
    let id = audit::id_of("household_tag_kind", &key);
    let (who, entry) = (Caller::clone(&caller), Audit::new("put", "household_tag_kind", id));
    let write = app.db.write("put_household_tag_kind", move |conn| {
        let row = kinds::table.find((county, &key)).select((kinds::version, kinds::consent)).for_no_key_update();
        let (before, needed) = found(row.first::<(i64, Option<TagPurpose>)>(conn))?.unwrap_or((0, None));
        seen.check(before)?;
        if needed.is_some() && new.consent != needed {
            let (zh, en) = ("敏感标签不能改为不需同意", "what a tag needs never becomes less");
            return Err(Error::field("/consent", "consent", zh, en));
        }
        let view = self::write(conn, (county, &key), &new, now)?;
        // Somebody else may have added it since it was looked for.
        if view.version != before + 1 {
            return Err(Code::VersionStale.into());
        }
        audit::record(conn, &who, now, &entry)?;
        let (entity, entity_id, gone) = ("household_tag_kind", entry.entity_id, false);
        let change = Change { county, entity, entity_id, unit_id: None, resident_id: None, staff_id: None, gone };
        changes::record(conn, change, now)?;
        Ok(view)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
