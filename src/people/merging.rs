//! One person, two records: finding them, and making one of them. By staff, with both in reach.

use actix_web::{HttpResponse, get, post, web::Data};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{IdNumber, IdentityLevel, IdentitySeen, PersonName, Personal, Phone, Resident, open},
    routes::{ResidentView, change, checked, record, unit_unknown, values},
    rules::{self, Facts, Kept},
    store::{self, By, Values},
};
use crate::{
    app::App,
    audit::{self, Audit},
    consents,
    db::changes,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can, Reach, Scope},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::{MergeResidents, RegisterResidents},
        valid::{Id, Valid},
    },
    rooms::{Merge, ROOMS},
    sessions, units,
};

/// What two records have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Common {
    IdNumber,
    Phone,
}

/// Somebody who may be the same person.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"resident": {"id": "0199a0c0-0000-7000-8000-00000000000b", "masked": true, "name": "陈*婆", "phone": "139****0001"}, "common": ["phone"]}))]
pub struct DuplicateView {
    pub resident: ResidentView,
    pub common: Vec<Common>,
}

/// Those who may be the same person.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": []}))]
pub struct Duplicates {
    pub items: Vec<DuplicateView>,
}

/// What a record says, opened.
fn facts(app: &App, row: &Resident) -> Result<Facts> {
    let (keys, county, id) = (&app.keys, row.county_id, row.id);
    Ok(Facts {
        name: open::<PersonName>(keys, county, id, row.name.as_deref())?,
        id_number: open::<IdNumber>(keys, county, id, row.id_number.as_deref())?,
        phone: open::<Phone>(keys, county, id, row.phone.as_deref())?,
        wechat: row.wechat_openid.is_some(),
        level: row.identity_level,
        seen: row.identity_seen,
    })
}

/// List possible duplicates
///
/// Within reach: who has the same phone, or the same ID number, also one that a resident typed and nobody has checked. Masked.
#[utoipa::path(tag = "residents", security(("token" = ["residents:merge"])), params(("id" = Uuid, Path, description = "The resident")),
    responses((status = 200, description = "Up to 20 of them", body = Duplicates)))]
#[get("/v1/residents/{id}/duplicates")]
pub async fn list_duplicates(caller: Can<MergeResidents>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let entry = Audit::new("duplicates", "resident", id.0);
    let found = app.db.write("list_duplicates", move |conn| {
        let row = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        let facts = facts(&inner, &row)?;
        let blinds = |field, value: &str| inner.keys.blinds(scope.county, field, value);
        let mut found: Vec<(Resident, Vec<Common>)> = Vec::new();
        let mut add = |rows: Vec<Resident>, common| {
            for other in rows.into_iter().filter(|other| other.id != row.id) {
                match found.iter_mut().find(|(known, _)| known.id == other.id) {
                    Some((_, all)) => all.push(common),
                    None => found.push((other, vec![common])),
                }
            }
        };
        if let Some(number) = &facts.id_number {
            let by = By::AnyIdNumber(blinds("id_number", number.as_ref()));
            add(store::find_by(conn, scope, &by)?, Common::IdNumber);
        }
        if let Some(phone) = &facts.phone {
            let by = By::Phone(blinds("phone", phone.as_ref()));
            add(store::find_by(conn, scope, &by)?, Common::Phone);
        }
        audit::record(conn, &who, now, &entry.of(row.id))?;
        Ok(found)
    });
    let view = |(row, common): &(Resident, Vec<Common>)| -> Result<_> {
        Ok(DuplicateView { resident: ResidentView::new(&app, &caller, row)?, common: common.clone() })
    };
    let items = found.await?.iter().map(view).collect::<Result<_>>()?;
    Ok(HttpResponse::Ok().json(Duplicates { items }))
}

/// Which record vanishes, and why.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"duplicate_id": "0199a0c0-0000-7000-8000-00000000000b", "reason": "同一人重复登记", "identity_seen": "id_card"}))]
pub struct MergeResident {
    /// The record that vanishes; its id leads to the one that stays.
    duplicate_id: Uuid,
    /// 2 to 200 characters; kept with the merge.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
    /// A proof that the caller has seen; needed where the records say different things or have nothing in common.
    #[schema(inline)]
    identity_seen: Option<IdentitySeen>,
}

/// Merge a duplicate into a resident
///
/// Everything that belongs to the duplicate goes over (appointments, messages, consents, who may act …), its sessions end, and its id
/// leads to the one that stays. What the record that stays does not know it learns; of two values the better checked one
/// is kept. Two different ID numbers that were both checked are never the same person.
#[utoipa::path(tag = "residents", security(("token" = ["residents:merge"])), params(("id" = Uuid, Path, description = "The record that stays"), IdempotencyHeader, IfMatchHeader),
    request_body = MergeResident, responses((status = 200, description = "The one record; masked", body = ResidentView)),
    extensions(("x-errors" = json!(["merge_contradicts", "already_booked"]))))]
#[post("/v1/residents/{id}/merge")]
pub async fn merge_resident(
    caller: Can<MergeResidents>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<MergeResident>,
) -> Result<Answer> {
    let once = Once::new(&caller, "merge_resident", key, body.digest);
    let (who, scope, inner, command) = (Caller::clone(&caller), caller.scope, app.clone(), body.value);
    let entry = Audit::new("merge", "resident", id.0).because(Some(command.reason.clone()));
    app.once(once, move |conn| {
        let unknown = || {
            let (zh, en) = ("没有这位居民，或不在您的管辖范围", "There is no such resident within your reach");
            Error::field("/duplicate_id", "unknown_resident", zh, en)
        };
        let into = store::find(conn, scope, id.0)?.ok_or(Code::NotFound)?;
        seen.check(into.version)?;
        let from = store::find(conn, scope, command.duplicate_id)?.ok_or_else(unknown)?;
        if from.id == into.id {
            let (zh, en) = ("已经是同一份档案", "this is the same record already");
            return Err(Error::field("/duplicate_id", "same_record", zh, en));
        }
        let row = merge(conn, &inner, (&who, &entry), (from.id, into.id), command.identity_seen)?;
        Answer::ok(row.version, &ResidentView::new(&inner, &who, &row)?)
    })
    .await
}

/// Makes one of two records, in the transaction of `conn`; the audit entry says why.
pub(super) fn merge(
    conn: &mut PgConnection,
    app: &App,
    (who, entry): (&Caller, &Audit),
    (from, into): (Uuid, Uuid),
    proof: Option<IdentitySeen>,
) -> Result<Resident> {
    let (county, now) = (who.county, app.clock.now());
    let (from, into) = store::lock_both(conn, county, from, into)?.ok_or(Code::NotFound)?;
    let (of_from, of_into) = (facts(app, &from)?, facts(app, &into)?);
    let kept = rules::merge(&of_into, &of_from, proof)?;
    let order = Merge { county, from: from.id, into: into.id, now };
    let mut moved = serde_json::Map::new();
    for room in ROOMS {
        if let Some(merge) = room.merge {
            moved.insert(room.name.into(), merge(conn, &order)?.into());
        }
    }
    let id = Uuid::now_v7();
    let text = |value: Option<&str>| value.map(str::to_owned);
    let said = json!({"name": text(of_from.name.as_ref().map(AsRef::as_ref)), "id_number": of_from.id_number.as_ref().map(Personal::mask),
        "phone": text(of_from.phone.as_ref().map(AsRef::as_ref)), "identity_level": of_from.level, "identity_seen": of_from.seen, "unit_id": from.unit_id});
    let snapshot = app.keys.seal(county, &format!("resident_merges.snapshot/{id}"), said.to_string().as_bytes());
    let openid = store::vanish(conn, app, &from, into.id, now)?;
    let row = keep(conn, app, &into, kept, from.unit_id)?;
    if into.wechat_openid.is_none()
        && let Some(openid) = openid
    {
        store::set_wechat(conn, app, &row, &openid)?;
    }
    // What the person has taken back, with whichever record, is not there again.
    consents::enforce(conn, county, row.id, now)?;
    let row = store::lock(conn, Scope { county, reach: Reach::County }, row.id)?.ok_or(Code::NotFound)?;
    let reason = entry.reason.clone().unwrap_or_default();
    store::note_merge(conn, id, &order, (snapshot, moved.into(), reason), (who.subject, who.role.as_str()))?;
    sessions::end_all_of_resident(conn, county, from.id, "merged", now)?;
    for entity in [from.id, into.id] {
        audit::record(conn, who, now, &entry.of(entity))?;
    }
    changes::record(conn, change(&from, from.unit_id, true), now)?;
    record(conn, &row, into.unit_id)?;
    Ok(row)
}

/// Writes what is kept to the record that stays.
fn keep(conn: &mut PgConnection, app: &App, into: &Resident, kept: Kept, unit: Option<Uuid>) -> Result<Resident> {
    let Kept { name, id_number, phone, level, seen } = kept;
    let values = values(app, into.county_id, into.id, name.as_ref(), id_number.as_ref(), phone.as_ref());
    let unit_id = into.unit_id.or(unit);
    let values = Values { unit_id, identity_level: level, identity_seen: seen, ..values };
    let values = checked(conn, app, into.county_id, into.id, id_number.as_ref(), values)?;
    store::update(conn, into, values)?.ok_or(Code::VersionStale.into())
}

/// The card in hand of somebody registered elsewhere in the county.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "陈阿婆", "id_number": "350425194806120018", "unit_id": "0199a0c0-0000-7000-8000-000000000001",
    "identity_seen": "id_card", "reason": "随儿子搬到本村"}))]
pub struct TakeOverResident {
    /// Exactly as registered.
    name: PersonName,
    id_number: IdNumber,
    /// Where the resident belongs now; within the caller's reach.
    unit_id: Uuid,
    identity_seen: IdentitySeen,
    /// 2 to 200 characters; kept in the audit log.
    #[validate(length(min = 2, max = 200))]
    #[schema(min_length = 2, max_length = 200)]
    reason: String,
}

/// Take over a resident who has moved
///
/// For a member of staff with the card in hand, of somebody registered under another village or township of the county. Name and
/// ID number must both be those of the record; otherwise it is not found. At most 10 a minute, and each is recorded.
#[utoipa::path(tag = "residents", security(("token" = ["residents:register"])), params(IdempotencyHeader), request_body = TakeOverResident,
    responses((status = 200, description = "Now under the caller's unit; masked", body = ResidentView)), extensions(("x-errors" = json!(["not_found"]))))]
#[post("/v1/residents/take_over")]
pub async fn take_over_resident(
    caller: Can<RegisterResidents>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<TakeOverResident>,
) -> Result<Answer> {
    let once = Once::new(&caller, "take_over_resident", key, body.digest);
    limits::take(&app, "take_overs", &format!("{}:{}", caller.county, caller.subject), 10).await?;
    let (who, scope, inner, command) = (Caller::clone(&caller), caller.scope, app.clone(), body.value);
    let entry = Audit::new("take_over", "resident", Uuid::nil()).because(Some(command.reason.clone()));
    app.once(once, move |conn| {
        if !units::exists_in(conn, scope, command.unit_id)? {
            return Err(unit_unknown());
        }
        let county = Scope { reach: Reach::County, ..scope };
        let by = By::IdNumber(inner.keys.blinds(scope.county, "id_number", command.id_number.as_ref()));
        let row = store::find_by(conn, county, &by)?.into_iter().next().ok_or(Code::NotFound)?;
        let facts = facts(&inner, &row)?;
        if facts.name.as_ref() != Some(&command.name) {
            return Err(Code::NotFound.into());
        }
        let kept = Kept { seen: Some(command.identity_seen), level: IdentityLevel::Officer, ..Kept::from(facts) };
        let left = row.unit_id;
        let row = keep(conn, &inner, &Resident { unit_id: Some(command.unit_id), ..row }, kept, None)?;
        audit::record(conn, &who, row.updated_at, &entry.of(row.id).fields(vec!["unit_id"]))?;
        record(conn, &row, left)?;
        Answer::ok(row.version, &ResidentView::new(&inner, &who, &row)?)
    })
    .await
}
