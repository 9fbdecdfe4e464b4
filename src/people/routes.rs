//! Residents over HTTP.

use actix_web::{HttpResponse, get, http::header, post, put, web::Data};
use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{
        self, IdNumber, IdentityLevel, IdentitySeen, MaskedIdNumber, MaskedName, MaskedPhone, MaybeMasked, PersonName,
        Personal, Phone, Resident, open, seal,
    },
    store::{self, By, Values},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::{CST, local_date},
    consents::{self, Purpose},
    crypto::Unsealable,
    db::changes::{self, Change},
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can},
        document::IfMatchHeader,
        etag::{IfMatch, etag},
        limits,
        permissions::{LookUpResidents, ReadResidents, UpdateResidents},
        valid::{Id, Valid},
    },
    units,
};

/// A resident (群众). Plain for the resident, masked for everybody else.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-00000000000a", "masked": true, "name": "张*明", "id_number": "350425********0023",
    "phone": "138****8000", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "identity_level": "officer", "identity_seen": "id_card",
    "wechat": false, "version": 1, "created_at": "2026-11-21T09:00:00+08:00", "updated_at": "2026-11-21T09:00:00+08:00"}))]
pub struct ResidentView {
    pub id: Uuid,
    /// Whether name, ID number and phone are masked in this answer.
    pub masked: bool,
    pub name: Option<String>,
    pub id_number: Option<String>,
    pub phone: Option<String>,
    /// The village or community the resident belongs to.
    pub unit_id: Option<Uuid>,
    pub identity_level: IdentityLevel,
    pub identity_seen: Option<IdentitySeen>,
    /// Whether the resident logs in with WeChat.
    pub wechat: bool,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

impl ResidentView {
    pub fn new(app: &App, caller: &Caller, row: &Resident) -> Result<Self, Unsealable> {
        let masked = caller.subject != row.id;
        Ok(Self {
            id: row.id,
            masked,
            name: shown::<PersonName>(app, row, row.name.as_deref(), masked)?,
            id_number: shown::<IdNumber>(app, row, row.id_number.as_deref(), masked)?,
            phone: shown::<Phone>(app, row, row.phone.as_deref(), masked)?,
            unit_id: row.unit_id,
            identity_level: row.identity_level,
            identity_seen: row.identity_seen,
            wechat: row.wechat_openid.is_some(),
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
            updated_at: row.updated_at.with_timezone(&CST),
        })
    }
}

pub(super) fn shown<T: Personal>(
    app: &App,
    row: &Resident,
    sealed: Option<&[u8]>,
    masked: bool,
) -> Result<Option<String>, Unsealable> {
    model::shown::<T>(&app.keys, row.county_id, row.id, sealed, masked)
}

/// Children are registered with their guardian.
pub fn guardian_required(pointer: &str) -> Error {
    Error::field(
        pointer,
        "guardian_required",
        "未满 14 周岁，须由监护人代为办理（POST /v1/children）",
        "a child under 14: only through a guardian (POST /v1/children)",
    )
}

pub(super) fn unit_unknown() -> Error {
    Error::field(
        "/unit_id",
        "unknown_unit",
        "没有这个单位，或不在您的管辖范围",
        "There is no such unit within your reach",
    )
}

pub(super) fn values(
    app: &App,
    county: i32,
    id: Uuid,
    name: Option<&PersonName>,
    id_number: Option<&IdNumber>,
    phone: Option<&Phone>,
) -> Values {
    let (keys, now) = (&app.keys, app.clock.now());
    Values {
        unit_id: None,
        name: name.map(|name| seal(keys, county, id, name)),
        name_index: name.map(|name| name.blind(keys, county)),
        id_number: id_number.map(|number| seal(keys, county, id, number)),
        id_number_index: None,
        id_number_claim: id_number.map(|number| keys.blind(county, "id_number", number.as_ref())),
        phone: phone.map(|phone| seal(keys, county, id, phone)),
        phone_index: phone.map(|phone| keys.blind(county, "phone", phone.as_ref())),
        identity_level: IdentityLevel::None,
        identity_seen: None,
        updated_at: now,
    }
}

/// With the blind index of a number that an officer has seen, unless somebody else is registered under it. A number that
/// residents typed themselves is kept, but nobody is found by it, and it keeps nobody from registering.
pub(super) fn checked(
    conn: &mut PgConnection,
    app: &App,
    county: i32,
    id: Uuid,
    number: Option<&IdNumber>,
    values: Values,
) -> Result<Values> {
    let Some(number) = number.filter(|_| values.identity_level == IdentityLevel::Officer) else { return Ok(values) };
    if store::is_registered(conn, county, &app.keys.blinds(county, "id_number", number.as_ref()), id)? {
        return Err(Code::ResidentExists.into());
    }
    let id_number_index = Some(app.keys.blind(county, "id_number", number.as_ref()));
    Ok(Values { id_number_index, id_number_claim: None, ..values })
}

pub(super) fn change(row: &Resident, unit_id: Option<Uuid>, gone: bool) -> Change {
    let (county, entity_id) = (row.county_id, row.id);
    // The tombstone is for the unit that the resident left, not for the resident.
    let resident_id = (!gone).then_some(row.id);
    Change { county, entity: "resident", entity_id, unit_id, resident_id, staff_id: None, gone }
}

/// Tells the phones: of the resident, of the unit, and of the unit that the resident left.
pub(super) fn record(conn: &mut PgConnection, row: &Resident, left: Option<Uuid>) -> Result<()> {
    if left.is_some() && left != row.unit_id {
        changes::record(conn, change(row, left, true), row.updated_at)?;
    }
    Ok(changes::record(conn, change(row, row.unit_id, false), row.updated_at)?)
}

/// Exactly one of the two, whole.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"phone": "13950900001"}))]
pub struct LookUpResident {
    id_number: Option<IdNumber>,
    phone: Option<Phone>,
}

/// Those who fit, masked.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct LookedUp {
    pub items: Vec<ResidentView>,
}

/// Find residents by ID number or phone
///
/// Exact and within the caller's reach; answers are masked. At most 30 a minute; a find is recorded.
#[utoipa::path(tag = "residents", security(("token" = ["residents:lookup"])), request_body = LookUpResident,
    responses((status = 200, description = "None, one, or the people who share a phone", body = LookedUp)), extensions(("x-errors" = json!(["too_many_requests"]))))]
#[post("/v1/residents/lookup")]
pub async fn look_up_resident(
    caller: Can<LookUpResidents>,
    app: Data<App>,
    body: Valid<LookUpResident>,
) -> Result<HttpResponse> {
    limits::take(&app, "lookups", &format!("{}:{}", caller.county, caller.subject), 30).await?;
    let county = caller.county;
    let (by, field) = match (&body.value.id_number, &body.value.phone) {
        (Some(number), None) => (By::IdNumber(app.keys.blinds(county, "id_number", number.as_ref())), "id_number"),
        (None, Some(phone)) => (By::Phone(app.keys.blinds(county, "phone", phone.as_ref())), "phone"),
        _ => {
            return Err(Error::field(
                "",
                "exactly_one",
                "id_number 与 phone 须且只能填一项",
                "give id_number or phone, not both",
            ));
        }
    };
    let (scope, who, now) = (caller.scope, Caller::clone(&caller), app.clock.now());
    let request = Audit::new("lookup", "resident", Uuid::nil()).fields(vec![field]);
    let rows = app
        .db
        .write("look_up_resident", move |conn| {
            let rows = store::find_by(conn, scope, &by)?;
            for row in &rows {
                audit::record(conn, &who, now, &request.of(row.id))?;
            }
            // Trying numbers out leaves a trace too.
            if rows.is_empty() {
                audit::record(conn, &who, now, &request)?;
            }
            Ok(rows)
        })
        .await?;
    let items = rows.iter().map(|row| ResidentView::new(&app, &caller, row)).collect::<Result<_, _>>()?;
    Ok(HttpResponse::Ok().json(LookedUp { items }))
}

/// One resident
///
/// One's own record plain; for staff masked, and the look is recorded. `GET /v1/sessions/current` tells residents their id.
#[utoipa::path(tag = "residents", security(("token" = ["residents:read"])), params(("id" = Uuid, Path, description = "The resident")),
    responses((status = 200, description = "The resident", body = ResidentView)))]
#[get("/v1/residents/{id}")]
pub async fn get_resident(caller: Can<ReadResidents>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let scope = caller.scope;
    let row = if caller.is_resident() {
        app.db.read("get_resident", move |conn| store::find(conn, scope, id.0)).await?
    } else {
        let (who, now, entry) = (Caller::clone(&caller), app.clock.now(), Audit::new("read", "resident", id.0));
        let look = move |conn: &mut PgConnection| {
            let row = store::find(conn, scope, id.0)?;
            if let Some(row) = &row {
                audit::record(conn, &who, now, &entry.of(row.id))?;
            }
            Ok(row)
        };
        app.db.write("get_resident", look).await?
    };
    let row = row.ok_or(Code::NotFound)?;
    let view = ResidentView::new(&app, &caller, &row)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(row.version))).json(view))
}

/// The whole record as it shall be; a mask sent back leaves the value as it is, a missing value removes it.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "陈*婆", "id_number": "350425********0018", "phone": "13950900002", "unit_id": "0199a0c0-0000-7000-8000-000000000001"}))]
pub struct UpdateResident {
    name: Option<MaskedName>,
    id_number: Option<MaskedIdNumber>,
    phone: Option<MaskedPhone>,
    unit_id: Option<Uuid>,
    /// Staff who have seen a proof of identity say which; the identity counts as checked from then on.
    #[schema(inline)]
    identity_seen: Option<IdentitySeen>,
}

/// The value that a field shall have; a mask must be the current one.
fn unmasked<T: Personal + Clone>(
    sent: Option<&MaybeMasked<T>>,
    current: Option<T>,
    wrong: &mut Vec<FieldError>,
) -> Option<T> {
    match sent {
        None => None,
        Some(MaybeMasked::Plain(value)) => Some(value.clone()),
        Some(MaybeMasked::Mask(mask)) => {
            if current.as_ref().map(Personal::mask).as_ref() != Some(mask) {
                let text = Text::fixed(
                    "不是当前的掩码；请填写完整的值，或原样送回掩码",
                    "This is not the current mask; send the whole value, or the mask as it was",
                );
                wrong.push(FieldError::body(format!("/{}", T::FIELD), "masked_value", text));
            }
            current
        }
    }
}

/// Correct a resident's record
///
/// Residents may correct themselves until an officer has checked their identity; their phone they prove instead
/// (`prove_phone`). A new ID number needs the consent `id_number`. Needs the `ETag` that was read.
#[utoipa::path(tag = "residents", security(("token" = ["residents:update"])), request_body = UpdateResident,
    params(("id" = Uuid, Path, description = "The resident"), IfMatchHeader),
    responses((status = 200, description = "As it is now", body = ResidentView)), extensions(("x-errors" = json!(["resident_exists", "identity_checked", "consent_required"]))))]
#[put("/v1/residents/{id}")]
pub async fn update_resident(
    caller: Can<UpdateResidents>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateResident>,
) -> Result<HttpResponse> {
    let (who, scope, inner) = (Caller::clone(&caller), caller.scope, app.clone());
    let request = Audit::new("update", "resident", id.0);
    let row = app
        .db
        .write("update_resident", move |conn| {
            let row = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
            seen.check(row.version)?;
            let (values, fields) = corrected(conn, &inner, &who, &body.value, &row)?;
            if values.unit_id != row.unit_id
                && !values.unit_id.map_or(Ok(false), |unit| units::exists_in(conn, scope, unit))?
            {
                return Err(unit_unknown());
            }
            let left = row.unit_id;
            let row = store::update(conn, &row, values)?.ok_or(Code::VersionStale)?;
            audit::record(conn, &who, row.updated_at, &request.of(row.id).fields(fields))?;
            record(conn, &row, left)?;
            Ok(row)
        })
        .await?;
    let view = ResidentView::new(&app, &caller, &row)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(row.version))).json(view))
}

/// The row's values after a correction, and which fields it changes; or every reason why not.
fn corrected(
    conn: &mut PgConnection,
    app: &App,
    caller: &Caller,
    sent: &UpdateResident,
    row: &Resident,
) -> Result<(Values, Vec<&'static str>)> {
    let (keys, county, id) = (&app.keys, row.county_id, row.id);
    let name = open::<PersonName>(keys, county, id, row.name.as_deref())?;
    let number = open::<IdNumber>(keys, county, id, row.id_number.as_deref())?;
    let phone = open::<Phone>(keys, county, id, row.phone.as_deref())?;
    let mut wrong = Vec::new();
    let new_name = unmasked(sent.name.as_ref(), name.clone(), &mut wrong);
    let new_number = unmasked(sent.id_number.as_ref(), number.clone(), &mut wrong);
    let new_phone = unmasked(sent.phone.as_ref(), phone.clone(), &mut wrong);
    let mut say =
        |pointer: &str, code: &'static str, zh, en| wrong.push(FieldError::body(pointer, code, Text::fixed(zh, en)));
    if caller.is_resident() && new_phone != phone {
        say("/phone", "proof_needed", "请通过微信手机号验证修改", "Change it by proving it with WeChat (prove_phone)");
    }
    if caller.is_resident() && sent.identity_seen.is_some() {
        say("/identity_seen", "staff_only", "由工作人员填写", "Staff say what they have seen");
    }
    let today = local_date(app.clock.now());
    let child = |number: Option<&IdNumber>| number.is_some_and(|number| number.is_child(today));
    if child(new_number.as_ref()) && !child(number.as_ref()) {
        wrong.extend(guardian_required("/id_number").errors);
    }
    if !wrong.is_empty() {
        return Err(Error::invalid(wrong));
    }
    let changes = [
        ("name", new_name != name),
        ("id_number", new_number != number),
        ("phone", new_phone != phone),
        ("unit_id", sent.unit_id != row.unit_id),
        ("identity_seen", sent.identity_seen.is_some()),
    ];
    let fields: Vec<_> = changes.iter().filter(|(_, changed)| *changed).map(|(field, _)| *field).collect();
    let identity = fields.contains(&"name") || fields.contains(&"id_number");
    if caller.is_resident() && row.identity_level == IdentityLevel::Officer && identity {
        return Err(Code::IdentityChecked.into());
    }
    if new_number.is_some() && fields.contains(&"id_number") {
        consents::required(conn, county, id, Purpose::IdNumber, app.clock.now())?;
    }
    let identity_level = match (sent.identity_seen, row.identity_level) {
        (Some(_), _) | (None, IdentityLevel::Officer) => IdentityLevel::Officer,
        // Another phone than the one that was proved.
        (None, IdentityLevel::Phone) if new_phone != phone => IdentityLevel::None,
        (None, level) => level,
    };
    let values = values(app, county, id, new_name.as_ref(), new_number.as_ref(), new_phone.as_ref());
    let identity_seen = sent.identity_seen.or(row.identity_seen);
    let values = Values { unit_id: sent.unit_id, identity_level, identity_seen, ..values };
    Ok((checked(conn, app, county, id, new_number.as_ref(), values)?, fields))
}
