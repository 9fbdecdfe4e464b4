//! Giving a rating and changing it, over HTTP.

use actix_web::{HttpResponse, http::header, post, put, web::Data};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{AboutKind, BAD, CHANGEABLE, GivenHow, MOST_CHANGES, Rating, words_place},
    reasons,
    store::{self, New, Said},
    views::RatingView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    calendar,
    clock::{local_date, local_midnight},
    error::{Code, Error, Lang, Result, Text},
    helpers,
    http::{
        caller::{Caller, Can, Scope},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, Once},
        permissions::GiveRatings,
        valid::{Id, Valid},
    },
    people, proxies,
    rooms::{ROOMS, Served},
    staff,
    todos::{self, NewTodo},
};

/// What somebody says of a service.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"about_kind": "appointment", "about_id": "0199a0c0-0000-7000-8000-0000000000a1", "grade": 5, "reasons": ["friendly", "fast"],
    "words": "讲得很耐心"}))]
pub struct GiveRating {
    about_kind: AboutKind,
    /// The appointment, errand or order.
    about_id: Uuid,
    /// 5 非常满意, 4 满意, 3 基本满意, 2 不满意, 1 非常不满意.
    #[validate(range(min = 1, max = 5))]
    #[schema(minimum = 1, maximum = 5)]
    grade: i16,
    /// Keys of `GET /v1/ratings/reasons` that go with the grade.
    #[serde(default)]
    #[validate(length(max = 10))]
    #[schema(max_items = 10)]
    reasons: Vec<String>,
    /// 1 to 500 characters; read one level above those who served, and never by them.
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    words: Option<String>,
}

/// What somebody says instead.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"grade": 2, "reasons": ["slow"], "words": "等了很久"}))]
pub struct ChangeRating {
    /// 5 非常满意, 4 满意, 3 基本满意, 2 不满意, 1 非常不满意.
    #[validate(range(min = 1, max = 5))]
    #[schema(minimum = 1, maximum = 5)]
    grade: i16,
    /// Keys of `GET /v1/ratings/reasons` that go with the grade.
    #[serde(default)]
    #[validate(length(max = 10))]
    #[schema(max_items = 10)]
    reasons: Vec<String>,
    /// 1 to 500 characters.
    #[validate(length(min = 1, max = 500))]
    #[schema(min_length = 1, max_length = 500)]
    words: Option<String>,
}

/// The words as they are kept: sealed to their entry.
fn said(app: &App, county: i32, how: (GivenHow, Uuid), entry: Uuid, what: &ChangeRating) -> Said {
    let seal = |words: &String| app.keys.seal(county, &words_place(entry), words.as_bytes());
    let mut reasons = what.reasons.clone();
    reasons.sort_unstable();
    reasons.dedup();
    Said { grade: what.grade, reasons, entry, words: what.words.as_ref().map(seal), how: how.0, by: how.1 }
}

fn check(what: &ChangeRating) -> Result<()> {
    let wrong = reasons::faults(what.grade, &what.reasons);
    if wrong.is_empty() { Ok(()) } else { Err(Error::invalid(wrong)) }
}

/// What the room of a kind says of a thing; none if there is no such thing.
fn served(conn: &mut PgConnection, county: i32, kind: AboutKind, id: Uuid) -> Result<Option<Served>> {
    let of_kind = ROOMS.iter().flat_map(|room| room.rated).find(|(name, _)| *name == kind.as_str());
    of_kind.map_or(Ok(None), |(_, served)| served(conn, county, id))
}

/// How the caller may speak for a resident: as themselves, for somebody who lets them, or as staff who write down what somebody
/// without a phone says. Who may not, does not learn that there is anything.
fn voice(
    conn: &mut PgConnection,
    who: &Caller,
    scope: Scope,
    of: (Uuid, AboutKind),
    today: NaiveDate,
) -> Result<GivenHow> {
    let (resident, kind) = of;
    if who.is_resident() {
        if resident == who.subject {
            return Ok(GivenHow::Resident);
        }
        let may = proxies::acts_for(conn, who.county, (resident, who.subject), kind.may(), today)?;
        return if may { Ok(GivenHow::Proxy) } else { Err(Code::NotFound.into()) };
    }
    let row = people::find(conn, scope, resident)?.ok_or(Code::NotFound)?;
    match row.wechat_openid {
        None => Ok(GivenHow::Agent),
        Some(_) => Err(Code::RatesOneself.into()),
    }
}

/// Nobody gives, or writes down, a rating of what they did themselves; nor by their own record as a resident, as far as both hang on one
/// WeChat account.
fn not_ones_own(conn: &mut PgConnection, app: &App, who: &Caller, served_by: &[Uuid]) -> Result<()> {
    let mut me = vec![who.subject];
    me.extend(helpers::id_of(conn, who)?);
    if who.is_resident()
        && let Some(openid) = people::wechat_account(conn, app, who.county, who.subject)?
    {
        me.extend(staff::with_wechat(conn, app, who.county, &openid)?);
    }
    if served_by.iter().any(|one| me.contains(one)) { Err(Code::OwnService.into()) } else { Ok(()) }
}

/// A bad rating is somebody's to look into, above everybody it is about; it names neither them nor the resident.
fn look_into(conn: &mut PgConnection, row: &Rating, due_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<()> {
    if row.grade > BAD {
        return Ok(());
    }
    let todo = NewTodo {
        county: row.county_id,
        kind: todos::Kind::Call,
        unit: store::above(conn, row.county_id, row.unit_id, row.served_by.iter().flatten().copied().collect())?,
        resident: None,
        about: Some(("rating", row.id)),
        title: Text::fixed(
            "收到不满意评价，请在 1 个工作日内联系居民核实",
            "A bad rating: get in touch with the resident within 1 working day",
        ),
        holder: None,
        due_at,
        created_by: None,
    };
    let rated: Vec<_> = row.served_by.iter().flatten().copied().collect();
    todos::open_hidden_from(conn, todo, &rated, now).map(drop)
}

/// The end of the next working day.
async fn next_working_day(app: &App, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let calendar = calendar::current(app).await?;
    let due = calendar::rules::due(&calendar, local_date(now), 1, &[]);
    Ok(due.and_then(|due| due.on.succ_opt()).map(local_midnight))
}

/// Rate a service
///
/// An appointment that is done, an errand that was delivered, an order that is finished. Once, by the one who was served or somebody who may act for
/// them in this; staff write down what somebody without WeChat says, but never about themselves. Those who served never see it: only totals
/// of past months, and only of five ratings or more. A grade of 1 or 2 is looked into one level above.
#[utoipa::path(tag = "ratings", security(("token" = ["ratings:give"])), params(IdempotencyHeader), request_body = GiveRating,
    responses((status = 201, description = "Given", body = RatingView)),
    extensions(("x-errors" = json!(["not_found", "not_served", "already_rated", "own_service", "rates_oneself"]))))]
#[post("/v1/ratings")]
pub async fn give_rating(caller: Can<GiveRatings>, command: Command<GiveRating>) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let once = Once::new(&caller, "give_rating", key, digest);
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let due_at = next_working_day(&app, now).await?;
    let GiveRating { about_kind: kind, about_id: about, grade, reasons, words } = body;
    let what = ChangeRating { grade, reasons, words };
    let (id, entry) = (Uuid::now_v7(), Uuid::now_v7());
    let written = Audit::new("give", "rating", id);
    app.once(once, move |conn| {
        let of = served(conn, who.county, kind, about)?.ok_or(Code::NotFound)?;
        let how = voice(conn, &who, scope, (of.resident, kind), local_date(now))?;
        check(&what)?;
        not_ones_own(conn, &inner, &who, &of.by)?;
        if of.finished_at.is_none() {
            return Err(Code::NotServed.into());
        }
        // Nobody merges or closes the record meanwhile.
        let resident = people::present(conn, who.county, of.resident)?.ok_or(Code::NotFound)?;
        let new = New { id, about: (kind, about), resident, unit: of.unit, served_by: of.by };
        let row =
            store::insert(conn, who.county, &new, &said(&inner, who.county, (how, who.subject), entry, &what), now)?;
        look_into(conn, &row, due_at, now)?;
        audit::record(conn, &who, now, &written)?;
        let view = RatingView::whole(conn, &inner, lang, row)?;
        Answer::created(format!("/v1/ratings/{id}"), view.version, &view)
    })
    .await
}

/// Change a rating
///
/// Within 24 hours after it was given and five times at most, by the resident or whoever gave it; what was said before stays in its history.
/// Relatives and staff change only what they said or wrote down themselves.
#[utoipa::path(tag = "ratings", security(("token" = ["ratings:give"])), params(("id" = Uuid, Path, description = "The rating"), IfMatchHeader),
    request_body = ChangeRating, responses((status = 200, description = "As it is now", body = RatingView)),
    extensions(("x-errors" = json!(["rating_closed", "rating_changes", "own_service", "rates_oneself"]))))]
#[put("/v1/ratings/{id}")]
pub async fn change_rating(
    caller: Can<GiveRatings>,
    id: Id,
    seen: IfMatch,
    lang: Lang,
    app: Data<App>,
    body: Valid<ChangeRating>,
) -> Result<HttpResponse> {
    let (who, scope, inner, now) = (Caller::clone(&caller), caller.scope, app.clone(), app.clock.now());
    let (what, entry, written) = (body.value, Uuid::now_v7(), Audit::new("change", "rating", id.0));
    let due_at = next_working_day(&app, now).await?;
    let write = app.db.write("change_rating", move |conn| {
        let row = store::lock(conn, who.county, id.0)?.ok_or(Code::NotFound)?;
        // Nobody erases what was said meanwhile.
        people::present(conn, who.county, row.resident_id)?.ok_or(Code::NotFound)?;
        // Of the resident's own word nobody else makes another; relatives and staff change what they said themselves.
        if row.given_by != who.subject && row.resident_id != who.subject {
            return Err(Code::NotFound.into());
        }
        let how = voice(conn, &who, scope, (row.resident_id, row.about_kind), local_date(now))?;
        seen.check(row.version)?;
        check(&what)?;
        let served_by: Vec<_> = row.served_by.iter().flatten().copied().collect();
        not_ones_own(conn, &inner, &who, &served_by)?;
        if now >= row.created_at + CHANGEABLE {
            return Err(Code::RatingClosed.into());
        }
        if row.entries > MOST_CHANGES {
            return Err(Code::RatingChanges.into());
        }
        let row = store::change(conn, &row, &said(&inner, who.county, (how, who.subject), entry, &what), now)?;
        // One that was bad stays somebody's to look into: it may have been changed because somebody asked for it.
        look_into(conn, &row, due_at, now)?;
        audit::record(conn, &who, now, &written)?;
        RatingView::whole(conn, &inner, lang, row)
    });
    let view = write.await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(view.version))).json(view))
}
