//! Households over HTTP: list, exact search, create, read, change.

use actix_web::{HttpResponse, get, http::header, post, put, web::Data};
use chrono::DateTime;
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    members::{self, NewMember},
    model::{Household, HouseholdState, PointSource, Values, place},
    points::{self, NewPoint},
    store::{self, Sight, Wanted},
    views::{self, Eyes, HouseholdView, open},
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::{ReadHouseholds, WriteHouseholds},
        valid::{Id, Query, Valid},
    },
    people::{MaskedName, MaybeMasked, PersonName, Personal},
    units,
};

/// What is sealed of a household.
pub struct Sealing<'a> {
    pub name: &'a PersonName,
    pub address: Option<&'a str>,
    pub note: Option<&'a str>,
}

/// The values of a household with this id, sealed. A room that writes households of its own (a check-in on the spot) uses it too.
pub fn values(
    app: &App,
    (county, id): (i32, Uuid),
    (unit_id, code, category_id): (Uuid, Option<String>, Option<Uuid>),
    sealing: &Sealing<'_>,
) -> Values {
    let seal = |column, text: &str| app.keys.seal(county, &place(column, id), text.as_bytes());
    let some = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    Values {
        unit_id,
        code: some(code.as_deref()),
        name: Some(seal("name", sealing.name.as_ref())),
        name_index: Some(sealing.name.blind(&app.keys, county)),
        address: some(sealing.address).map(|text| seal("address", &text)),
        note: some(sealing.note).map(|text| seal("note", &text)),
        category_id,
    }
}

/// Refuses a unit that is no village within reach.
pub fn check_unit(conn: &mut PgConnection, sight: Sight, unit: Uuid) -> Result<()> {
    let found = units::store::find(conn, sight.scope.county, unit)?;
    let village = found.is_some_and(|found| found.level == units::Level::Village);
    if village && units::store::exists_in(conn, sight.scope, unit)? {
        return Ok(());
    }
    let (zh, en) = ("须为您管辖范围内的村（社区）", "must be a village within your reach");
    Err(Error::field("/unit_id", "unknown_unit", zh, en))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HouseholdsQuery {
    /// Only those of this unit and the units below it.
    unit_id: Option<Uuid>,
    /// `active` by default.
    #[param(inline, example = "active")]
    state: Option<HouseholdState>,
    /// Only those of this category.
    category_id: Option<Uuid>,
    /// Only those that this member of staff answers for.
    holder_id: Option<Uuid>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List households
///
/// Those of the units that one reaches, and those that one holds or is the partner of; in the order of their ids. Names are masked here for
/// everybody.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])), params(HouseholdsQuery),
    responses((status = 200, description = "A page of households", body = Page<HouseholdView>)))]
#[get("/v1/households")]
pub async fn list_households(
    caller: Can<ReadHouseholds>,
    lang: Lang,
    app: Data<App>,
    query: Query<HouseholdsQuery>,
) -> Result<HttpResponse> {
    let HouseholdsQuery { unit_id: unit, state, category_id: category, holder_id: holder, .. } = query.0;
    let limit = page::limit(query.0.limit)?;
    let after = page::after(&app.keys, "households", query.0.cursor.as_deref())?;
    let wanted = Wanted { unit, state, category, holder, name: None };
    let (sight, inner, count) =
        (Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), query.0.count.unwrap_or(false));
    let eyes = Eyes { lang, me: caller.subject, on: None, plain: false };
    let read = app.db.read("list_households", move |conn| {
        let total = if count { Some(store::count(conn, sight, &wanted)?) } else { None };
        let rows = store::list(conn, sight, &wanted, after, limit)?;
        Ok((views::many(conn, &inner, eyes, rows)?.0, total))
    });
    let (found, total) = read.await?;
    let at = |view: &HouseholdView| After { at: DateTime::UNIX_EPOCH, id: view.id };
    let page = page::cut(&app.keys, "households", found, limit as usize, at, Ok)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// Whom to look for.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "陈阿婆"}))]
pub struct LookUpHousehold {
    /// The whole name, of the household or of somebody who belongs to it.
    name: PersonName,
}

/// The households that were found.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct FoundHouseholds {
    /// At most 20, masked.
    pub items: Vec<HouseholdView>,
}

/// Find households by a whole name
///
/// Exact, and within one's reach; spaces and widths of characters do not matter. The look is recorded.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])), request_body = LookUpHousehold,
    responses((status = 200, description = "Those of that name", body = FoundHouseholds)))]
#[post("/v1/households/lookup")]
pub async fn look_up_household(
    caller: Can<ReadHouseholds>,
    lang: Lang,
    app: Data<App>,
    body: Valid<LookUpHousehold>,
) -> Result<HttpResponse> {
    let name = Some(body.value.name.blinds(&app.keys, caller.county));
    let wanted = Wanted { name, ..Wanted::default() };
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let looked = Audit::new("lookup", "household", Uuid::nil()).fields(vec!["name"]);
    let eyes = Eyes { lang, me: caller.subject, on: None, plain: false };
    let write = app.db.write("look_up_household", move |conn| {
        let rows = store::list(conn, sight, &wanted, None, 19)?;
        for row in &rows {
            audit::record(conn, &who, now, &looked.of(row.id))?;
        }
        // Trying names out leaves a trace too.
        if rows.is_empty() {
            audit::record(conn, &who, now, &looked)?;
        }
        Ok(views::many(conn, &inner, eyes, rows)?.0)
    });
    let items = write.await?;
    Ok(HttpResponse::Ok().json(FoundHouseholds { items }))
}

/// A new household.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "陈阿婆", "address": "红星村12号",
    "point": {"point": {"lng": 117.84721, "lat": 25.69254, "coordinate_system": "gcj02"}, "accuracy_m": 12.0}}))]
pub struct CreateHousehold {
    /// The phone's own id, of a household that was written down offline; left out: the server's.
    id: Option<Uuid>,
    /// The village.
    unit_id: Uuid,
    /// How it is called, usually after its head.
    name: PersonName,
    /// The county's own number of it, 1 to 40 characters, unique.
    #[validate(length(min = 1, max = 40))]
    #[schema(min_length = 1, max_length = 40)]
    code: Option<String>,
    /// Up to 200 characters.
    #[validate(length(max = 200))]
    #[schema(max_length = 200)]
    address: Option<String>,
    /// Up to 2,000 characters.
    #[validate(length(max = 2000))]
    #[schema(max_length = 2000)]
    note: Option<String>,
    /// How often it is to be seen; left out: it is not due.
    category_id: Option<Uuid>,
    /// Where it is.
    #[validate(nested)]
    #[schema(inline)]
    point: Option<NewPoint>,
    /// Who belongs to it, at most 30.
    #[serde(default)]
    #[validate(length(max = 30))]
    #[schema(max_items = 30)]
    members: Vec<NewMember>,
}

/// Create a household
///
/// A specialist of the village answers for it from then on; where there is none, a cadre.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(IdempotencyHeader), request_body = CreateHousehold,
    responses((status = 201, description = "Created", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_exists", "code_taken", "member_elsewhere", "head_taken", "consent_required"]))))]
#[post("/v1/households")]
pub async fn create_household(
    caller: Can<WriteHouseholds>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<CreateHousehold>,
) -> Result<Answer> {
    let once = Once::new(&caller, "create_household", key, body.digest);
    let (new, now, who) = (body.value, app.clock.now(), Caller::clone(&caller));
    let (id, sight, inner) =
        (new.id.unwrap_or_else(Uuid::now_v7), Sight::new(&caller, caller.scope, app.clock.now()), app.clone());
    let entry = Audit::new("create", "household", id);
    app.once(once, move |conn| {
        check_unit(conn, sight, new.unit_id)?;
        store::check_category(conn, who.county, new.category_id, None)?;
        let sealing = Sealing { name: &new.name, address: new.address.as_deref(), note: new.note.as_deref() };
        let place = (new.unit_id, new.code.clone(), new.category_id);
        let sealed = values(&inner, (who.county, id), place, &sealing);
        let row = store::insert(conn, (who.county, id), &sealed, Some(who.subject), now)?;
        for (index, member) in new.members.iter().enumerate() {
            members::add(conn, (&who, sight), &row, member, &format!("/members/{index}/resident_id"), now)?;
        }
        if let Some(point) = &new.point {
            points::set(conn, &row, point, (PointSource::Created, Some(who.subject)), now)?;
        }
        audit::record(conn, &who, now, &entry)?;
        let row = store::find(conn, sight, id)?.ok_or(Code::NotFound)?;
        let view = views::one(conn, &inner, Eyes::plain(lang, who.subject, now), row)?;
        Answer::created(format!("/v1/households/{id}"), view.version, &view)
    })
    .await
}

/// A household as the caller of a command sees it then, with its version.
pub fn answer(conn: &mut PgConnection, app: &App, (who, lang): (&Caller, Lang), row: Household) -> Result<Answer> {
    let view = views::one(conn, app, Eyes::plain(lang, who.subject, app.clock.now()), row)?;
    Answer::ok(view.version, &view)
}

/// One household
///
/// Plain for whoever holds it and its partner, which is recorded; masked for others. The id of a merged one leads to the one that stayed.
#[utoipa::path(tag = "households", security(("token" = ["households:read"])), params(("id" = Uuid, Path, description = "The household")),
    responses((status = 200, description = "The household", body = HouseholdView)))]
#[get("/v1/households/{id}")]
pub async fn get_household(caller: Can<ReadHouseholds>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let looked = Audit::new("read", "household", id.0);
    let write = app.db.write("get_household", move |conn| {
        let row = store::find(conn, sight, id.0)?.ok_or(Code::NotFound)?;
        let view = views::one(conn, &inner, Eyes::plain(lang, who.subject, now), row)?;
        let fields = if view.plain { vec!["name", "address", "note", "point"] } else { Vec::new() };
        audit::record(conn, &who, now, &looked.of(view.id).fields(fields))?;
        Ok(view)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}

/// The household as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "陈*婆", "code": "HX-0012", "category_id": null}))]
pub struct UpdateHousehold {
    /// The village; another one only within one's reach.
    unit_id: Uuid,
    /// A mask sent back leaves it as it is.
    name: MaskedName,
    /// 1 to 40 characters; left out: it has none.
    #[validate(length(min = 1, max = 40))]
    #[schema(min_length = 1, max_length = 40)]
    code: Option<String>,
    /// Up to 200 characters; left out: as it is, because not everybody sees it; empty: none.
    #[validate(length(max = 200))]
    #[schema(max_length = 200)]
    address: Option<String>,
    /// Up to 2,000 characters; like the address.
    #[validate(length(max = 2000))]
    #[schema(max_length = 2000)]
    note: Option<String>,
    /// How often it is to be seen; left out: it is not due any more.
    category_id: Option<Uuid>,
}

impl UpdateHousehold {
    /// The name that it shall have; a mask must be the current one.
    fn named(&self, current: Option<&str>) -> Result<PersonName> {
        let current = current.and_then(|name| name.parse::<PersonName>().ok());
        match (&self.name, current) {
            (MaybeMasked::Plain(name), _) => Ok(name.clone()),
            (MaybeMasked::Mask(mask), Some(name)) if *mask == name.mask() => Ok(name),
            (MaybeMasked::Mask(_), _) => {
                let text = Text::fixed("脱敏值与当前值不符", "the mask is not that of the current value");
                Err(Error::invalid(vec![FieldError::body("/name", "mask", text)]))
            }
        }
    }
}

/// Change a household
///
/// A new category makes a new task; the open one is dropped.
#[utoipa::path(tag = "households", security(("token" = ["households:write"])), params(("id" = Uuid, Path, description = "The household"), IfMatchHeader),
    request_body = UpdateHousehold, responses((status = 200, description = "As it is now", body = HouseholdView)),
    extensions(("x-errors" = json!(["household_state", "code_taken"]))))]
#[put("/v1/households/{id}")]
pub async fn update_household(
    caller: Can<WriteHouseholds>,
    id: Id,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<UpdateHousehold>,
) -> Result<HttpResponse> {
    let (who, sight, inner, now) =
        (Caller::clone(&caller), Sight::new(&caller, caller.scope, app.clock.now()), app.clone(), app.clock.now());
    let (new, entry) = (body.value, Audit::new("update", "household", id.0));
    let write = app.db.write("update_household", move |conn| {
        let row = store::lock_active(conn, sight, id.0)?;
        seen.check(row.version)?;
        if new.unit_id != row.unit_id {
            check_unit(conn, sight, new.unit_id)?;
        }
        store::check_category(conn, who.county, new.category_id, row.category_id)?;
        let name = new.named(open(&inner, &row, "name", row.name.as_deref())?.as_deref())?;
        let sealing = Sealing { name: &name, address: new.address.as_deref(), note: new.note.as_deref() };
        let mut set = values(&inner, (who.county, row.id), (new.unit_id, new.code.clone(), new.category_id), &sealing);
        if new.address.is_none() {
            set.address.clone_from(&row.address);
        }
        if new.note.is_none() {
            set.note.clone_from(&row.note);
        }
        let row = store::update(conn, &row, &set, now)?;
        audit::record(conn, &who, now, &entry.of(row.id))?;
        views::one(conn, &inner, Eyes::plain(lang, who.subject, now), row)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
