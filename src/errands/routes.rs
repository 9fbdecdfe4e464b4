//! Looking at errands over HTTP: lists, one, its ledger, its clock.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, FixedOffset, NaiveDate};
use diesel::PgConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    acting::{self, Frame},
    clock::{Clock, Lamp, Until},
    content,
    ledger::{self, Salted},
    lists::{self, Asked, Filter, Of, Sort},
    model::{Errand, ErrandState, Line, Step},
    store::{self, Seen, Told},
    views::ErrandView,
};
use crate::{
    app::App,
    audit::{self, Audit},
    calendar::model::DayReason,
    clock::{CST, local_date},
    error::{Code, Error, FieldError, Lang, Result, Text as Words},
    http::{
        caller::{Caller, Can, Reach},
        etag::etag,
        limits,
        page::{self, After, Page},
        permissions::{ReadErrands, Role},
        valid::{Id, Query},
    },
    people::PersonName,
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ErrandsQuery {
    /// Of whom; residents see their own by default.
    resident_id: Option<Uuid>,
    /// Of this unit and the units below it, without drafts; staff, and their own unit by default.
    unit_id: Option<Uuid>,
    /// Staff: those that the caller answers for or is asked to take over. Residents: those filed for others.
    #[param(default = false)]
    mine: Option<bool>,
    /// Only in this state.
    #[param(inline)]
    state: Option<ErrandState>,
    /// Only with this lamp.
    #[param(inline)]
    lamp: Option<Lamp>,
    /// Only of this matter.
    matter_id: Option<Uuid>,
    /// Only those that this member of staff answers for.
    holder_id: Option<Uuid>,
    /// The one with this number (受理编号), wherever the caller may see it; everything else is ignored.
    number: Option<String>,
    /// Only those that are due before this day.
    due_before: Option<NaiveDate>,
    /// Only of residents with exactly this name, however it is typed; staff only, at most 30 a minute, and recorded.
    #[param(min_length = 1, max_length = 50)]
    name: Option<String>,
    /// Filed first (default), or due first: then only those with a due date.
    #[param(inline)]
    sort: Option<Sort>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// Whose errands are meant.
fn of(caller: &Caller, query: &ErrandsQuery) -> Result<Of> {
    let me = caller.subject;
    Ok(match (caller.role, query.mine.unwrap_or(false), query.resident_id, query.unit_id) {
        (Role::Resident, true, ..) => Of::FiledBy(me),
        (Role::Resident, false, whom, _) => Of::Resident(whom.unwrap_or(me)),
        (Role::DepartmentStaff, false, ..) => Of::Department(me),
        (_, true, ..) => Of::Staff(me),
        (_, false, Some(resident), _) => Of::Resident(resident),
        (_, false, None, unit) => Of::Unit(unit.or(caller.unit).ok_or(Code::Forbidden)?),
    })
}

/// List errands
///
/// Residents: their own, those of somebody who lets them, or those that they filed. Departments: what was forwarded to them. Other
/// staff: what they answer for, or those of a unit and the units below it. Oldest first.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(ErrandsQuery),
    responses((status = 200, description = "A page of errands", body = Page<ErrandView>)), extensions(("x-errors" = json!(["too_many_requests"]))))]
#[get("/v1/errands")]
pub async fn list_errands(
    caller: Can<ReadErrands>,
    lang: Lang,
    app: Data<App>,
    query: Query<ErrandsQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    if let Some(number) = query.number {
        return by_number(&app, &caller, lang, number).await;
    }
    let (limit, today, sort) =
        (page::limit(query.limit)?, local_date(app.clock.now()), query.sort.unwrap_or(Sort::CreatedAt));
    let after = page::after(&app.keys, sort.list(), query.cursor.as_deref())?.unwrap_or(After::START);
    let (count, of) = (query.count.unwrap_or(false), of(&caller, &query)?);
    let ErrandsQuery { state, lamp, matter_id: matter, holder_id: holder, due_before, name, .. } = query;
    let within = match (caller.scope.reach, of) {
        // What one answers for is one's own wherever it is.
        (Reach::Unit(unit), Of::Unit(_) | Of::Resident(_)) => Some(unit),
        _ => None,
    };
    let name = name.map(|name| named(&app, &caller, &name)).transpose()?;
    let me = caller.is_resident().then_some(caller.subject);
    let filter = Filter { state, lamp, matter, holder, due_before };
    let asked = Asked { county: caller.county, of, me, within, name, filter, sort, today };
    let (rows, total) = match asked.name {
        Some(_) => by_name(&app, &caller, asked, (after, limit, count)).await?,
        None => app.db.read("list_errands", move |conn| page(conn, &asked, after, limit, count)).await?,
    };
    let view = |row: Line| ErrandView::listed(&app, &caller, lang, &row, today);
    let page = page::cut(&app.keys, sort.list(), rows, limit as usize, |row| sort.place(row), view)?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// Rows of a page, and how many there are in all if that is asked for.
type Rows = (Vec<Line>, Option<i64>);

fn page(conn: &mut PgConnection, asked: &Asked, after: After, limit: i64, count: bool) -> Result<Rows> {
    let total = if count { Some(lists::count(conn, asked)?) } else { None };
    Ok((lists::list(conn, asked, after, limit)?, total))
}

/// The blind indexes of a name that staff look for.
fn named(app: &App, caller: &Caller, name: &str) -> Result<Vec<Vec<u8>>> {
    let wrong =
        |code: &'static str, zh, en| Error::invalid(vec![FieldError::query("name", code, Words::fixed(zh, en))]);
    if caller.is_resident() {
        return Err(wrong("not_for_residents", "居民只能查看自己的代办件", "residents see their own errands"));
    }
    let name: PersonName =
        name.parse().map_err(|_| wrong("name", "须为 1 至 50 个字的姓名", "must be a name of 1 to 50 characters"))?;
    Ok(name.blinds(&app.keys, caller.county))
}

/// [`page`] of those with a name: a look at personal data, which is limited and recorded like every search for people.
async fn by_name(app: &App, caller: &Caller, asked: Asked, (after, limit, count): (After, i64, bool)) -> Result<Rows> {
    limits::take(app, "lookups", &format!("{}:{}", caller.county, caller.subject), 30).await?;
    let (who, now) = (caller.clone(), app.clock.now());
    let entry = Audit::new("lookup", "resident", Uuid::nil()).fields(vec!["name"]);
    let write = app.db.write("list_errands_by_name", move |conn| {
        let (rows, total) = page(conn, &asked, after, limit, count)?;
        let found: BTreeSet<_> = rows.iter().take(limit as usize).map(|row| row.resident_id).collect();
        for resident in &found {
            audit::record(conn, &who, now, &entry.of(*resident))?;
        }
        // Trying names out leaves a trace too.
        if found.is_empty() {
            audit::record(conn, &who, now, &entry)?;
        }
        Ok((rows, total))
    });
    write.await
}

/// A page of the one with a number, or of none.
async fn by_number(app: &App, caller: &Can<ReadErrands>, lang: Lang, number: String) -> Result<HttpResponse> {
    let (county, seen, today) = (caller.county, Seen::by(caller, caller.scope), local_date(app.clock.now()));
    let read = app.db.read("errand_by_number", move |conn| {
        let id = lists::numbered(conn, county, &number)?;
        Ok(id.map(|id| store::find(conn, county, seen, id, today)).transpose()?.flatten())
    });
    let view = |row: Errand| ErrandView::new(app, caller, lang, &row, today);
    let items = read.await?.map(view).transpose()?.into_iter().collect::<Vec<_>>();
    let total = Some(items.len() as i64);
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: None, total }))
}

/// The errand, if the caller may see it.
async fn find(app: &App, caller: &Can<ReadErrands>, id: Uuid) -> Result<Errand> {
    let (county, seen, today) = (caller.county, Seen::by(caller, caller.scope), local_date(app.clock.now()));
    let read = app.db.read("get_errand", move |conn| store::find(conn, county, seen, id, today));
    read.await?.ok_or(Code::NotFound.into())
}

/// One errand
///
/// For the resident and those who act for them, the staff of the unit and above it, whoever answers for it or is asked to, and the
/// department that has it; they see its files too (`GET /v1/attachments/{id}`). What was filled in is shown to the resident's side and to whoever answers for it.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(("id" = Uuid, Path, description = "The errand")),
    responses((status = 200, description = "The errand", body = ErrandView)))]
#[get("/v1/errands/{id}")]
pub async fn get_errand(caller: Can<ReadErrands>, id: Id, lang: Lang, app: Data<App>) -> Result<HttpResponse> {
    let row = find(&app, &caller, id.0).await?;
    let view = ErrandView::new(&app, &caller, lang, &row, local_date(app.clock.now()))?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(row.version))).json(view))
}

/// A step of an errand.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"seq": 3, "at": "2026-11-23T08:20:00+08:00", "step": "accept", "actor_id": "0199a0c0-0000-7000-8000-0000000000a1",
    "actor_role": "specialist", "from_state": "submitted", "to_state": "accepted", "facts": {"on": "2026-11-23", "days": 3}, "words": null,
    "hash": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"}))]
pub struct LedgerEntryView {
    /// Counts from 1, without gaps.
    pub seq: i32,
    pub at: DateTime<FixedOffset>,
    pub step: Step,
    /// None: the system.
    pub actor_id: Option<Uuid>,
    #[schema(inline)]
    pub actor_role: Option<Role>,
    #[schema(inline)]
    pub from_state: Option<ErrandState>,
    pub to_state: ErrandState,
    /// What the step says without words: days, dates, ids.
    #[schema(value_type = Object)]
    pub facts: Value,
    /// What was said, for the resident's side, whoever answers for it, the department, the township and the county's administrators;
    /// none if nothing was, or if it has been erased.
    pub words: Option<String>,
    /// SHA-256 of the entry and of the hash before it, in hexadecimal.
    pub hash: String,
}

/// Everything that happened to an errand.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"entries": [], "broken_at": null}))]
pub struct LedgerView {
    /// Oldest first.
    pub entries: Vec<LedgerEntryView>,
    /// The first entry that is not what it was when it was written, or of which words, content or files are not; none: all of them are.
    pub broken_at: Option<i32>,
}

fn told(app: &App, county: i32, told: Told, with_words: bool) -> Result<LedgerEntryView> {
    let Told { entry, words_id, words } = told;
    let open = |(id, words): (Uuid, Vec<u8>)| acting::words(app, county, id, &words);
    let words = words_id.zip(words).filter(|_| with_words).map(open).transpose()?;
    Ok(LedgerEntryView {
        seq: entry.seq,
        at: entry.at.with_timezone(&CST),
        step: entry.step,
        actor_id: entry.actor_id,
        actor_role: entry.actor_role,
        from_state: entry.from_state,
        to_state: entry.to_state,
        facts: entry.facts,
        words,
        hash: entry.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// The first entry whose words are not those that it speaks of.
fn swapped(app: &App, county: i32, rows: &[Told]) -> Result<Option<i32>> {
    for Told { entry, words_id, words } in rows {
        if let (Some(id), Some(words), Some(digest)) = (words_id, words, &entry.words_digest)
            && !Salted::fits(&acting::salted(app, county, *id, words)?, digest)
        {
            return Ok(Some(entry.seq));
        }
    }
    Ok(None)
}

/// The ledger of an errand
///
/// Every step since it was filed: who, when, from where to where, and what was said. Entries are chained by their hashes and can
/// neither be changed nor removed; `broken_at` names the first that does not fit the one before it, or whose words, form, answers,
/// materials or files are not those of its digests any more.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(("id" = Uuid, Path, description = "The errand")),
    responses((status = 200, description = "The ledger", body = LedgerView)))]
#[get("/v1/errands/{id}/ledger")]
pub async fn get_errand_ledger(caller: Can<ReadErrands>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (county, seen, today) = (caller.county, Seen::by(&caller, caller.scope), local_date(app.clock.now()));
    let read = app.db.read("get_errand_ledger", move |conn| {
        let errand = store::find(conn, county, seen, id.0, today)?.ok_or(Code::NotFound)?;
        Ok((errand, store::ledger(conn, county, id.0)?))
    });
    let (errand, rows) = read.await?;
    let entries: Vec<_> = rows.iter().map(|row| row.entry.clone()).collect();
    // The last one is known from elsewhere: an end that was cut off shows.
    let cut = entries.last().map(|entry| &entry.hash) != errand.head.as_ref();
    let broken_at = ledger::broken(county, id.0, &entries).or(cut.then_some(entries.len() as i32 + 1));
    let broken_at = broken_at.or(swapped(&app, county, &rows)?);
    let broken_at = broken_at.or(content::changed(&app, &errand, entries.iter())?);
    let concerned = caller.is_resident() || errand.held || errand.departmental;
    let over = matches!(caller.role, Role::TownshipStaff | Role::CountyAdmin);
    if over && !concerned {
        // Whoever is over it, and does not handle it, reads what was said: that is written down before it is shown.
        let looked = Audit::new("read_ledger", "errand", id.0).fields(vec!["words"]);
        let (who, now) = (Caller::clone(&caller), app.clock.now());
        app.db.write("read_ledger_words", move |conn| Ok(audit::record(conn, &who, now, &looked)?)).await?;
    }
    let words = concerned || over;
    let entries = rows.into_iter().map(|row| told(&app, county, row, words)).collect::<Result<_>>()?;
    Ok(HttpResponse::Ok().json(LedgerView { entries, broken_at }))
}

/// A day of the count.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"date": "2026-11-24", "number": 1, "reason": "weekday", "name": null, "paused": false}))]
pub struct ClockDayView {
    pub date: NaiveDate,
    /// Which counted day it is, from 1; none when it does not count.
    pub number: Option<u32>,
    /// Why it is a working day or not.
    pub reason: DayReason,
    /// The holiday that makes it special.
    pub name: Option<String>,
    /// The clock did not run for the whole of it.
    pub paused: bool,
}

/// How the due date of an errand comes about.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"until": "decision", "since": "2026-11-23", "limit_days": 3, "ended_on": null, "due_on": "2026-11-26", "provisional": false,
    "yellow_from": "2026-11-27", "red_from": "2026-11-27", "days": [{"date": "2026-11-24", "number": 1, "reason": "weekday", "name": null, "paused": false}]}))]
pub struct ClockView {
    /// What the limit is for.
    pub until: Until,
    /// The day of submission or acceptance, which does not count.
    pub since: NaiveDate,
    /// Working days, extensions included.
    pub limit_days: u32,
    /// The day on which what it ran for was done.
    pub ended_on: Option<NaiveDate>,
    /// The day at whose end (24:00) it is due; none while the clock stands still or has ended.
    pub due_on: Option<NaiveDate>,
    /// The calendar of a year on the way is not published yet; the weekend rule stands in for it.
    pub provisional: bool,
    /// The lamp is yellow from this day; red from that one.
    pub yellow_from: Option<NaiveDate>,
    pub red_from: Option<NaiveDate>,
    /// Every day from the first to the deadline, or, while it stands still, to the day on which it stopped.
    pub days: Vec<ClockDayView>,
}

/// The clock of an errand
///
/// Computed from the ledger and the calendar: each day, and why it counted or not. 404 for a draft, which has none.
#[utoipa::path(tag = "errands", security(("token" = ["errands:read"])), params(("id" = Uuid, Path, description = "The errand")),
    responses((status = 200, description = "The clock", body = ClockView)))]
#[get("/v1/errands/{id}/clock")]
pub async fn get_errand_clock(caller: Can<ReadErrands>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let row = find(&app, &caller, id.0).await?;
    let Frame { calendar, settings, .. } = Frame::of(&app, &caller.county_key).await?;
    let clock = Clock::of(row.marks.0.iter().copied()).ok_or(Code::NotFound)?;
    let reading = clock.read(&calendar, &settings);
    let day = |day: &crate::calendar::rules::Counted| ClockDayView {
        date: day.date,
        number: day.number,
        reason: calendar.reason(day.date),
        name: calendar.name(day.date).map(str::to_owned),
        paused: day.paused,
    };
    let days = reading.days.iter().map(day).collect();
    let Clock { until, since, limit: limit_days, ended: ended_on, .. } = clock;
    let (due_on, provisional) = (reading.due_on, reading.provisional);
    let (yellow_from, red_from) = (reading.yellow_from, reading.red_from);
    let view = ClockView { until, since, limit_days, ended_on, due_on, provisional, yellow_from, red_from, days };
    Ok(HttpResponse::Ok().json(view))
}
