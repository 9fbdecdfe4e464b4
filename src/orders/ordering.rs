//! Ordering: what is wished, checked as a whole, and written with its first move.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::{
    PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Double, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use rand::RngExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    acting::Frame,
    kinds::{self, Dispatch, Evidence, HelperKind, OrderKind, OrderKindState},
    model::Order,
    rules,
    store::{self, Seen},
    views::place,
};
use crate::{
    app::App,
    clock::local_date,
    db::found,
    error::{Code, Error, FieldError, Result, Text as Words},
    geo::Point,
    http::caller::{Caller, Scope},
    matters, people,
    proxies::{self, May},
    statement,
};

/// Bytes of a form: it is part of answers that are kept.
const LONGEST_FORM: usize = 32 * 1024;
/// How far ahead an order may be wanted.
const AHEAD: TimeDelta = TimeDelta::days(60);
/// The shortest and the longest time within which somebody is to come.
const SHORTEST: TimeDelta = TimeDelta::minutes(5);
const LONGEST: TimeDelta = TimeDelta::hours(12);

/// What is wished, whenever it is.
#[derive(Clone, Debug)]
pub struct Wish {
    pub kind: Uuid,
    /// For whom; none: for oneself.
    pub resident: Option<Uuid>,
    pub address: Option<String>,
    pub phone: Option<String>,
    pub words: Option<String>,
    pub form: Option<Value>,
    pub language: Option<String>,
    pub point: Option<Point>,
}

/// What of it is personal, sealed for its row.
#[derive(Clone, Debug)]
pub struct Private {
    pub address: Option<Vec<u8>>,
    pub phone: Option<Vec<u8>>,
    pub words: Option<Vec<u8>>,
    pub form: Option<Vec<u8>>,
}

statement! {
    /// Nobody else orders for them meanwhile, so that what is counted next stays so.
    struct Lock { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT r.id FROM residents r WHERE r.county_id = {county} AND r.id = {resident} FOR NO KEY UPDATE"
}

statement! {
    /// Where somebody lives, how to call them, where somebody came to the last time.
    struct Standing { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT p.unit_id, p.phone, l.id AS last_id, l.address, \
       (SELECT count(*) FROM orders o WHERE o.county_id = p.county_id AND o.resident_id = p.id AND o.series_id IS NULL AND o.state IN ('open', 'claimed', 'on_the_way', 'at_work')) AS open \
     FROM residents p \
     LEFT JOIN LATERAL (SELECT o.id, o.address FROM orders o WHERE o.county_id = p.county_id AND o.resident_id = p.id AND o.address IS NOT NULL \
       ORDER BY o.created_at DESC, o.id DESC LIMIT 1) l ON true \
     WHERE p.county_id = {county} AND p.id = {resident} AND p.merged_into IS NULL AND p.closed_at IS NULL"
}

#[derive(QueryableByName)]
struct Stands {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    unit_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    phone: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    address: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    open: i64,
}

/// A wish that can be ordered: nothing is wrong with it.
pub struct Checked {
    pub kind: OrderKind,
    pub resident: Uuid,
    pub unit: Uuid,
    /// Orders of the resident that are not done yet.
    pub open: i64,
    pub address: String,
    pub phone: Option<String>,
}

fn fault(pointer: &str, code: &'static str, zh: &'static str, en: &'static str) -> FieldError {
    FieldError::body(pointer, code, Words::fixed(zh, en))
}

/// From when until when; neither: now.
pub type Wanted = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Whether the time can be wanted; now, if none is said.
pub fn window(wanted: Wanted, frame: &Frame) -> std::result::Result<(DateTime<Utc>, DateTime<Utc>, bool), FieldError> {
    let now = frame.now;
    let (from, until) = match wanted {
        (None, None) => return Ok((now, now + TimeDelta::minutes(frame.settings.orders_at_once_minutes), true)),
        (Some(from), Some(until)) => (from, until),
        (None, Some(_)) => {
            return Err(fault("/wanted_from", "required", "须与结束时间一起填写", "is needed with the end"));
        }
        (Some(_), None) => {
            return Err(fault("/wanted_until", "required", "须与开始时间一起填写", "is needed with the beginning"));
        }
    };
    if until - from < SHORTEST || until - from > LONGEST {
        return Err(fault(
            "/wanted_until",
            "range",
            "须在开始后 5 分钟至 12 小时",
            "must be 5 minutes to 12 hours after the beginning",
        ));
    }
    if until <= now {
        return Err(fault("/wanted_until", "past", "时间已过", "is over"));
    }
    if from > now + AHEAD {
        return Err(fault("/wanted_from", "range", "须在 60 天以内", "must be within 60 days"));
    }
    Ok((from, until, false))
}

impl Wish {
    /// For whom, if the caller may.
    fn whom(&self, conn: &mut PgConnection, who: &Caller, scope: Scope, today: NaiveDate) -> Result<Uuid> {
        let unknown = || {
            let (zh, en) = (
                "没有这位居民，或不在您的管辖范围，或未授权您下单",
                "There is nobody of this id within your reach who lets you",
            );
            Error::field("/resident_id", "unknown_resident", zh, en)
        };
        let resident = match self.resident {
            Some(resident) => resident,
            None if who.is_resident() => who.subject,
            None => return Err(Error::field("/resident_id", "required", "须写明为谁下单", "say for whom")),
        };
        if !who.is_resident() {
            return Ok(people::find(conn, scope, resident)?.ok_or_else(unknown)?.id);
        }
        let me = who.subject;
        let allowed = resident == me || proxies::acts_for(conn, who.county, (resident, me), May::Order, today)?;
        if allowed { Ok(resident) } else { Err(unknown()) }
    }

    /// Everything that is wrong with what is said, but for when.
    fn faults(&self, conn: &mut PgConnection, county: i32, kind: Option<&OrderKind>) -> Result<Vec<FieldError>> {
        let mut faults = Vec::new();
        match kind {
            None => faults.push(fault(
                "/kind_id",
                "unknown_kind",
                "没有可下单的此类服务",
                "there is no such kind that can be ordered",
            )),
            Some(kind) => {
                let none = Words::fixed("该类服务没有表单", "the kind has no form");
                let empty = json!({});
                let filled = self.form.as_ref().unwrap_or(&empty);
                faults.extend(matters::check_filled(kind.form.as_ref(), filled, none));
            }
        }
        if self.form.as_ref().is_some_and(|form| form.to_string().len() > LONGEST_FORM) {
            faults.push(fault("/form", "too_long", "表单内容过长", "must be at most 32 KiB of JSON"));
        }
        let unknown = kinds::unknown_skills(conn, county, self.language.as_slice())?;
        if !unknown.is_empty() {
            faults.push(fault("/language", "unknown_skill", "本县没有这项技能", "is no skill of this county"));
        }
        Ok(faults)
    }

    /// Checks everything; `also` is what is wrong besides.
    pub fn check(
        &self,
        conn: &mut PgConnection,
        app: &App,
        (who, scope): (&Caller, Scope),
        (frame, also): (&Frame, Vec<FieldError>),
    ) -> Result<Checked> {
        let county = who.county;
        let resident = self.whom(conn, who, scope, local_date(frame.now))?;
        let kind = kinds::find(conn, county, self.kind)?.filter(|kind| kind.state == OrderKindState::Active);
        Lock { county, resident }.execute(conn)?;
        let stands: Stands = found(Standing { county, resident }.get_result(conn))?.ok_or(Code::NotFound)?;
        let mut faults = self.faults(conn, county, kind.as_ref())?;
        faults.extend(also);
        let last = stands.last_id.zip(stands.address.as_ref());
        let last = last.map(|(id, sealed)| app.keys.open_text(county, &place("address", id), sealed)).transpose()?;
        let address = self.address.clone().or(last);
        if address.is_none() {
            faults.push(fault("/address", "required", "须填写上门地址", "say where to come to"));
        }
        let sealed = (None, stands.phone.as_deref());
        let known = people::name_and_phone(app, (county, resident), sealed, false)?.1;
        let phone = self.phone.clone().or(known);
        if phone.is_none() && who.is_resident() {
            faults.push(fault("/phone", "required", "须填写联系电话", "say whom to call"));
        }
        match (kind, address) {
            (Some(kind), Some(address)) if faults.is_empty() => {
                let unit = stands.unit_id.or(who.unit).ok_or(Code::UnitUnknown)?;
                Ok(Checked { kind, resident, unit, open: stands.open, address, phone })
            }
            _ => Err(Error::invalid(faults)),
        }
    }
}

impl Checked {
    /// Seals what is personal for a row; `place` names its columns.
    pub fn private(&self, app: &App, county: i32, wish: &Wish, place: impl Fn(&str) -> String) -> Private {
        let seal = |column: &str, text: &str| app.keys.seal(county, &place(column), text.as_bytes());
        Private {
            address: Some(seal("address", &self.address)),
            phone: self.phone.as_ref().map(|phone| seal("phone", phone)),
            words: wish.words.as_ref().map(|words| seal("words", words)),
            form: wish.form.as_ref().map(|form| seal("form", &form.to_string())),
        }
    }
}

/// The number of an order: the day, and six digits that tell nobody how many there are.
fn number(today: NaiveDate) -> String {
    format!("D{}-{:06}", today.format("%y%m%d"), rand::rng().random_range(0..1_000_000))
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, number: String as Text, kind: Uuid as SqlUuid, resident: Uuid as SqlUuid, unit: Uuid as SqlUuid,
        wanted_from: DateTime<Utc> as Timestamptz, wanted_until: DateTime<Utc> as Timestamptz, at_once: bool as Bool, skills: Vec<String> as Array<Text>,
        taken_by: Vec<HelperKind> as Array<Text>, dispatch: Dispatch as Text, evidence: Evidence as Text, money: bool as Bool, duration: i16 as SmallInt,
        grab: i16 as SmallInt, start: i16 as SmallInt, language: Option<String> as Nullable<Text>, address: Option<Vec<u8>> as Nullable<Binary>,
        phone: Option<Vec<u8>> as Nullable<Binary>, words: Option<Vec<u8>> as Nullable<Binary>, form: Option<Vec<u8>> as Nullable<Binary>,
        lng: Option<f64> as Nullable<Double>, lat: Option<f64> as Nullable<Double>, ordered_by: Option<Uuid> as Nullable<SqlUuid>,
        ordered_by_resident: Option<Uuid> as Nullable<SqlUuid>, series: Option<Uuid> as Nullable<SqlUuid>, occurrence: Option<NaiveDate> as Nullable<Date>,
        due_at: DateTime<Utc> as Timestamptz, actor: Option<Uuid> as Nullable<SqlUuid>, role: Option<&'static str> as Nullable<Text>, now: DateTime<Utc> as Timestamptz,
    }
    "WITH made AS (INSERT INTO orders (county_id, id, number, kind_id, resident_id, unit_id, state, wanted_from, wanted_until, at_once, skills, taken_by, dispatch, evidence, money, \
         duration_minutes, grab_minutes, start_minutes, language, address, phone, words, form, lng, lat, ordered_by, ordered_by_resident, series_id, occurrence, opened_at, due_at, moves, created_at, updated_at) \
       VALUES ({county}, {id}, {number}, {kind}, {resident}, {unit}, 'open', {wanted_from}, {wanted_until}, {at_once}, {skills}, {taken_by}, {dispatch}, {evidence}, {money}, \
         {duration}, {grab}, {start}, {language}, {address}, {phone}, {words}, {form}, {lng}, {lat}, {ordered_by}, {ordered_by_resident}, {series}, {occurrence}, {now}, {due_at}, 1, {now}, {now}) \
       ON CONFLICT ON CONSTRAINT orders_once DO NOTHING RETURNING county_id, id) \
     INSERT INTO order_moves (county_id, order_id, seq, at, step, actor_id, actor_role, from_state, to_state) \
     SELECT county_id, id, 1, {now}, 'order', {actor}, {role}, NULL, 'open' FROM made"
}

/// An order to be written.
pub struct NewOrder<'a> {
    pub county: i32,
    pub id: Uuid,
    pub kind: &'a OrderKind,
    pub resident: Uuid,
    pub unit: Uuid,
    pub window: (DateTime<Utc>, DateTime<Utc>, bool),
    pub language: Option<String>,
    pub private: Private,
    pub point: Option<Point>,
    pub ordered_by: Option<Uuid>,
    pub ordered_by_resident: Option<Uuid>,
    /// The series that it is one of, and its day.
    pub of: Option<(Uuid, NaiveDate)>,
    /// Who orders; none: the system, for a series.
    pub by: Option<&'a Caller>,
    pub now: DateTime<Utc>,
}

/// Writes an order with its first move; false if that day of the series has one already.
pub fn insert(conn: &mut PgConnection, new: NewOrder<'_>) -> QueryResult<bool> {
    let NewOrder { county, id, kind, resident, unit, window: (wanted_from, wanted_until, at_once), now, .. } = new;
    let point = new.point.map(Point::to_wgs84);
    let due_at = rules::due_while_open((kind.dispatch, kind.grab_minutes), now, (wanted_from, wanted_until));
    let insert = Insert {
        county,
        id,
        number: number(local_date(now)),
        kind: kind.id,
        resident,
        unit,
        wanted_from,
        wanted_until,
        at_once,
        skills: kind.skills.clone(),
        taken_by: kind.taken_by.clone(),
        dispatch: kind.dispatch,
        evidence: kind.evidence,
        money: kind.money,
        duration: kind.duration_minutes,
        grab: kind.grab_minutes,
        start: kind.start_minutes,
        language: new.language,
        address: new.private.address,
        phone: new.private.phone,
        words: new.private.words,
        form: new.private.form,
        lng: point.map(|point| point.lng),
        lat: point.map(|point| point.lat),
        ordered_by: new.ordered_by,
        ordered_by_resident: new.ordered_by_resident,
        series: new.of.map(|(series, _)| series),
        occurrence: new.of.map(|(_, day)| day),
        due_at,
        actor: new.by.map(|by| by.subject),
        role: new.by.map(|by| by.role.as_str()),
        now,
    };
    Ok(insert.execute(conn)? == 1)
}

/// Checks what is wished, and places it: for whoever orders, and for rooms that make an order of something.
pub fn order(
    conn: &mut PgConnection,
    app: &App,
    (who, scope): (&Caller, Scope),
    (id, wish, wanted): (Uuid, &Wish, Wanted),
    frame: &Frame,
) -> Result<Order> {
    let (window, also) = match window(wanted, frame) {
        Ok(window) => (Some(window), Vec::new()),
        Err(fault) => (None, vec![fault]),
    };
    let checked = wish.check(conn, app, (who, scope), (frame, also))?;
    let window = window.ok_or_else(|| Error::internal("a fault that is not told"))?;
    if checked.open >= frame.settings.orders_open_per_resident {
        return Err(Code::OrderLimit.into());
    }
    let private = checked.private(app, who.county, wish, |column| place(column, id));
    let new = NewOrder {
        county: who.county,
        id,
        kind: &checked.kind,
        resident: checked.resident,
        unit: checked.unit,
        window,
        language: wish.language.clone(),
        private,
        point: wish.point,
        ordered_by: who.staff(),
        ordered_by_resident: who.is_resident().then_some(who.subject).filter(|me| *me != checked.resident),
        of: None,
        by: Some(who),
        now: frame.now,
    };
    insert(conn, new)?;
    store::find(conn, who.county, Seen::by(who, scope), id, local_date(frame.now))?.ok_or(Code::NotFound.into())
}
