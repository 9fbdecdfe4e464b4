//! Errands in the database: one statement reads everything that a step is decided by, one writes it.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    prelude::*,
    sql_types::{
        Array, BigInt, Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
    },
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ledger::Entry,
    model::{Errand, ErrandState, Step},
};
pub use crate::http::caller::Seen;
use crate::{
    clock::local_date,
    db::found,
    error::Result,
    http::{idempotency::Keep, permissions::Role},
    statement,
};

/// What the clock of an errand `e` reads; see [`super::model::Marks`].
macro_rules! marks {
    () => {
        "(SELECT jsonb_agg(jsonb_build_array(coalesce(l.facts ->> 'on', (l.at AT TIME ZONE 'Asia/Shanghai')::date::text), l.step, l.to_state, l.facts -> 'days') ORDER BY l.seq) \
            FROM errand_ledger l WHERE l.county_id = e.county_id AND l.errand_id = e.id) AS marks"
    };
}
pub(super) use marks;

/// A mandate (委托) of an errand's resident that an agent may handle it under today.
macro_rules! live_mandate {
    ($errand:literal, $agent:literal) => {
        concat!(
            "SELECT FROM mandates g WHERE g.county_id = ",
            $errand,
            ".county_id AND g.resident_id = ",
            $errand,
            ".resident_id \
               AND g.revoked_at IS NULL AND g.valid_until >= {today} AND (g.matter_id IS NULL OR g.matter_id = ",
            $errand,
            ".matter_id) \
               AND (g.agent_id IS NULL OR g.agent_id = ",
            $agent,
            " OR staff_covers({county}, ",
            $agent,
            ", g.agent_id, {today}))"
        )
    };
}

/// An errand `e` that its department has, or had when it was decided.
macro_rules! with_department {
    () => {
        "e.state IN ('forwarded', 'suspended', 'decided', 'delivered', 'archived') AND CASE e.state WHEN 'suspended' THEN e.back_to = 'forwarded' \
           WHEN 'archived' THEN e.decided_on IS NOT NULL ELSE true END"
    };
}
pub(super) use with_department;

statement! {
    /// An errand with what its next step is decided by.
    pub struct Find {
        county: i32 as Integer, id: Uuid as SqlUuid, resident: Option<Uuid> as Nullable<SqlUuid>, staff: Option<Uuid> as Nullable<SqlUuid>,
        within: Option<Uuid> as Nullable<SqlUuid>, whole: bool as Bool, today: NaiveDate as Date, asked: Option<Uuid> as Nullable<SqlUuid>,
    }
    concat!("SELECT e.*, m.name AS matter_name, u.name AS unit_name, p.name AS resident_name, h.display_name AS holder_name, \
       (SELECT d.name FROM departments d WHERE d.county_id = e.county_id AND d.id = e.department_id) AS department_name, \
       (e.filed_by IS NULL OR EXISTS (", live_mandate!("e", "{staff}"), ")) AS mandated, \
       (coalesce(e.holder_id = {staff} AND (e.state <> 'archived' OR EXISTS (SELECT FROM staff_posts a WHERE a.county_id = e.county_id AND a.staff_id = {staff} \
          AND a.ended_at IS NULL AND a.role <> 'supervisor' AND unit_within({county}, e.unit_id, a.unit_id))), false) OR staff_covers({county}, {staff}, e.holder_id, {today})) AS held, \
       (coalesce(e.offered_to = {staff}, false) OR staff_covers({county}, {staff}, e.offered_to, {today})) AS offered, \
       EXISTS (SELECT FROM staff_posts s WHERE s.county_id = e.county_id AND s.staff_id = {staff} AND s.department_id = e.department_id AND s.ended_at IS NULL) AS departmental, \
       f.first_asked, (SELECT jsonb_object_agg(n.id, n.display_name) FROM staff n WHERE n.county_id = e.county_id AND n.id IN (f.first_asked, e.offered_to, {staff})) AS names, \
       EXISTS (SELECT FROM staff_posts a JOIN staff s ON s.county_id = a.county_id AND s.id = a.staff_id AND s.state = 'active' \
          WHERE a.county_id = {county} AND a.staff_id = {asked} AND a.ended_at IS NULL AND a.role IN ('specialist', 'village_cadre', 'township_staff', 'county_admin') AND unit_within({county}, e.unit_id, a.unit_id)) AS asked_fits, \
       (SELECT count(*) FROM errand_originals o WHERE o.county_id = e.county_id AND o.errand_id = e.id AND o.state <> 'returned') AS originals_out, \
       (SELECT c.finding_id FROM visit_cases c WHERE c.county_id = e.county_id AND c.kind = 'errand' AND c.case_id = e.id) AS finding_id, \
       ", marks!(), ", \
       (SELECT jsonb_object_agg(a.id, encode(a.sha256, 'hex')) FROM attachments a WHERE a.county_id = e.county_id AND a.about = 'errand' AND a.about_id = e.id AND a.state = 'ready') AS files, \
       (SELECT jsonb_object_agg(l.step, l.facts ORDER BY l.seq) FROM errand_ledger l WHERE l.county_id = e.county_id AND l.errand_id = e.id \
          AND l.step IN ('request_supplement', 'decide', 'deliver', 'acknowledge', 'call_back')) AS replies \
     FROM errands e JOIN matters m ON m.county_id = e.county_id AND m.id = e.matter_id JOIN units u ON u.county_id = e.county_id AND u.id = e.unit_id \
     JOIN residents p ON p.county_id = e.county_id AND p.id = e.resident_id LEFT JOIN staff h ON h.county_id = e.county_id AND h.id = e.holder_id \
     CROSS JOIN LATERAL (SELECT CASE WHEN e.state = 'draft' THEN coalesce((SELECT a.staff_id FROM staff_posts a JOIN staff s ON s.county_id = a.county_id AND s.id = a.staff_id AND s.state = 'active' \
          WHERE a.county_id = {county} AND a.staff_id = e.filed_by AND a.ended_at IS NULL AND unit_within({county}, e.unit_id, a.unit_id) LIMIT 1), \
          first_asked({county}, e.unit_id, {today})) END AS first_asked) f \
     WHERE e.county_id = {county} AND e.id = {id} AND CASE WHEN {resident} IS NOT NULL THEN \
         e.resident_id = {resident} OR acts_for({county}, e.resident_id, {resident}, 'errand', {today}) \
       WHEN e.submitted_on IS NULL AND {staff} IS NOT NULL THEN e.filed_by = {staff} OR staff_covers({county}, {staff}, e.filed_by, {today}) \
       ELSE {whole} OR ({within} IS NOT NULL AND unit_within({county}, e.unit_id, {within})) OR (e.holder_id = {staff} AND e.state <> 'archived') OR e.offered_to = {staff} \
         OR (", with_department!(), " AND EXISTS (SELECT FROM staff_posts s WHERE s.county_id = e.county_id AND s.staff_id = {staff} AND s.department_id = e.department_id AND s.ended_at IS NULL)) END")
}

/// The errand with an id, if the caller may see it.
pub fn find(conn: &mut PgConnection, county: i32, seen: Seen, id: Uuid, today: NaiveDate) -> Result<Option<Errand>> {
    find_and_ask(conn, county, seen, id, today, None)
}

/// [`find`], and whether somebody could take it over.
pub fn find_and_ask(
    conn: &mut PgConnection,
    county: i32,
    seen: Seen,
    id: Uuid,
    today: NaiveDate,
    asked: Option<Uuid>,
) -> Result<Option<Errand>> {
    let Seen { resident, staff, within, whole } = seen;
    found(Find { county, id, resident, staff, within, whole, today, asked }.get_result(conn))
}

statement! {
    /// Writes a step: the errand as it is now, its entry, its words and the stored answer, if nobody was faster.
    pub struct Write {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, state: ErrandState as Text,
        back_to: Option<ErrandState> as Nullable<Text>, holder: Option<Uuid> as Nullable<SqlUuid>, offered_to: Option<Uuid> as Nullable<SqlUuid>,
        department: Option<Uuid> as Nullable<SqlUuid>, form: Option<Vec<u8>> as Nullable<Binary>, answers: Value as Jsonb, materials: Value as Jsonb,
        content_salt: Option<Vec<u8>> as Nullable<Binary>, parcel: Option<Vec<u8>> as Nullable<Binary>, supplements: i16 as SmallInt, asked: Vec<String> as Array<Text>, limit_days: i16 as SmallInt,
        submitted_on: Option<NaiveDate> as Nullable<Date>, accepted_on: Option<NaiveDate> as Nullable<Date>,
        decided_on: Option<NaiveDate> as Nullable<Date>, granted: Option<bool> as Nullable<Bool>, on_time: Option<bool> as Nullable<Bool>, due_on: Option<NaiveDate> as Nullable<Date>,
        provisional: bool as Bool, yellow_from: Option<NaiveDate> as Nullable<Date>, red_from: Option<NaiveDate> as Nullable<Date>,
        rung: i16 as SmallInt, rung_on: Option<NaiveDate> as Nullable<Date>, calendar: Option<Vec<u8>> as Nullable<Binary>,
        seq: i32 as Integer, step: Step as Text, actor: Option<Uuid> as Nullable<SqlUuid>, role: Option<&'static str> as Nullable<Text>,
        from_state: Option<ErrandState> as Nullable<Text>, facts: Value as Jsonb, words_digest: Option<Vec<u8>> as Nullable<Binary>,
        previous: Vec<u8> as Binary, hash: Vec<u8> as Binary, words_id: Option<Uuid> as Nullable<SqlUuid>, words: Option<Vec<u8>> as Nullable<Binary>,
        caller: Option<Uuid> as Nullable<SqlUuid>, operation: Option<&'static str> as Nullable<Text>, key: Option<String> as Nullable<Text>,
        digest: Option<Vec<u8>> as Nullable<Binary>, status: Option<i16> as Nullable<SmallInt>, location: Option<String> as Nullable<Text>,
        etag: Option<String> as Nullable<Text>, body: Option<Vec<u8>> as Nullable<Binary>, answers_now: Option<Uuid> as Nullable<SqlUuid>,
        under: Option<Uuid> as Nullable<SqlUuid>, today: NaiveDate as Date, now: DateTime<Utc> as Timestamptz,
    }
    concat!("WITH moved AS (UPDATE errands SET state = {state}, back_to = {back_to}, holder_id = {holder}, offered_to = {offered_to}, department_id = {department}, form = {form}, answers = {answers}, materials = {materials}, \
         content_salt = {content_salt}, parcel = {parcel}, supplements = {supplements}, asked = {asked}, limit_days = {limit_days}, submitted_on = {submitted_on}, accepted_on = {accepted_on}, decided_on = {decided_on}, \
         granted = {granted}, on_time = {on_time}, due_on = {due_on}, provisional = {provisional}, yellow_from = {yellow_from}, red_from = {red_from}, rung = {rung}, \
         rung_on = {rung_on}, calendar_digest = coalesce({calendar}, calendar_digest), entries = {seq}, head = {hash}, version = version + 1, updated_at = {now} \
       WHERE county_id = {county} AND id = {id} AND version = {version} \
         AND ({answers_now}::uuid IS NULL OR EXISTS (SELECT FROM staff s WHERE s.county_id = {county} AND s.id = {answers_now} AND s.state = 'active' FOR SHARE)) \
         AND ({under}::uuid IS NULL OR EXISTS (", live_mandate!("errands", "{under}"), " FOR SHARE OF g)) \
       RETURNING county_id, id), \
     entry AS (INSERT INTO errand_ledger (county_id, errand_id, seq, at, step, actor_id, actor_role, from_state, to_state, facts, words_digest, previous, hash) \
       SELECT county_id, id, {seq}, {now}, {step}, {actor}, {role}, {from_state}, {state}, {facts}, {words_digest}, {previous}, {hash} FROM moved), \
     said AS (INSERT INTO errand_words (county_id, errand_id, seq, id, words) \
       SELECT county_id, id, {seq}, {words_id}, {words} FROM moved WHERE {words_id}::uuid IS NOT NULL), \
     kept AS (INSERT INTO idempotency_keys (county_id, caller_id, operation, key, request_digest, status, location, etag, body, created_at) \
       SELECT county_id, {caller}, {operation}, {key}, {digest}, {status}, {location}, {etag}, {body}, {now} FROM moved WHERE {key}::text IS NOT NULL) \
     SELECT count(*) AS written FROM moved")
}

#[derive(QueryableByName)]
struct Written {
    #[diesel(sql_type = BigInt)]
    written: i64,
}

/// What a step is written with.
pub struct Writing<'a> {
    pub before: &'a Errand,
    pub after: &'a Errand,
    pub entry: &'a Entry,
    /// Sealed, with their id.
    pub words: Option<(Uuid, Vec<u8>)>,
    /// The agent who takes it under a mandate, which must still hold when it is written.
    pub under: Option<Uuid>,
    pub keep: Option<Keep>,
    /// None: the step moves no date.
    pub calendar: Option<Vec<u8>>,
    pub now: DateTime<Utc>,
}

/// Writes it in one statement; false when somebody was faster.
pub fn write(conn: &mut PgConnection, writing: Writing) -> Result<bool> {
    let Writing { before, after, entry, words, under, keep, calendar, now } = writing;
    let (words_id, words) = words.unzip();
    let (caller, operation, key, digest, status, location, etag, body) = Keep::binds(keep);
    // Ordered against a dismissal: whoever answers from now on, or is asked to, is still there.
    let changed = |now: Option<Uuid>, then: Option<Uuid>| now.filter(|_| now != then);
    let answers_now = changed(after.holder_id, before.holder_id).or(changed(after.offered_to, before.offered_to));
    let write = Write {
        answers_now,
        under,
        today: local_date(now),
        county: before.county_id,
        id: before.id,
        version: before.version,
        state: after.state,
        back_to: after.back_to,
        holder: after.holder_id,
        offered_to: after.offered_to,
        department: after.department_id,
        form: after.form.clone(),
        answers: json!(after.answers),
        materials: json!(after.materials),
        content_salt: after.content_salt.clone(),
        parcel: after.parcel.clone(),
        supplements: after.supplements,
        asked: after.asked.clone(),
        limit_days: after.limit_days,
        submitted_on: after.submitted_on,
        accepted_on: after.accepted_on,
        decided_on: after.decided_on,
        granted: after.granted,
        on_time: after.on_time,
        due_on: after.due_on,
        provisional: after.provisional,
        yellow_from: after.yellow_from,
        red_from: after.red_from,
        rung: after.rung,
        rung_on: after.rung_on,
        calendar,
        seq: entry.seq,
        step: entry.step,
        actor: entry.actor_id,
        role: entry.actor_role.map(Role::as_str),
        from_state: entry.from_state,
        facts: entry.facts.clone(),
        words_digest: entry.words_digest.clone(),
        previous: entry.previous.clone(),
        hash: entry.hash.clone(),
        words_id,
        words,
        caller,
        operation,
        key,
        digest,
        status,
        location,
        etag,
        body,
        now,
    };
    Ok(write.get_result::<Written>(conn)?.written == 1)
}

statement! {
    struct Redraft {
        county: i32 as Integer, id: Uuid as SqlUuid, version: i64 as BigInt, form: Option<Vec<u8>> as Nullable<Binary>, answers: Value as Jsonb,
        materials: Value as Jsonb, now: DateTime<Utc> as Timestamptz,
    }
    "UPDATE errands SET form = {form}, answers = {answers}, materials = {materials}, version = version + 1, updated_at = {now} \
     WHERE county_id = {county} AND id = {id} AND version = {version} AND state = 'draft'"
}

/// Replaces what a draft says: form (sealed), answers and materials; false when somebody was faster.
pub fn redraft(
    conn: &mut PgConnection,
    row: &Errand,
    (form, answers, materials): (Option<Vec<u8>>, Value, Value),
    now: DateTime<Utc>,
) -> Result<bool> {
    let redraft = Redraft { county: row.county_id, id: row.id, version: row.version, form, answers, materials, now };
    Ok(redraft.execute(conn)? == 1)
}

statement! {
    struct Entries { county: i32 as Integer, errand: Uuid as SqlUuid }
    "SELECT l.seq, l.at, l.step, l.actor_id, l.actor_role, l.from_state, l.to_state, l.facts, l.words_digest, l.previous, l.hash, w.id AS words_id, w.words \
     FROM errand_ledger l LEFT JOIN errand_words w ON w.county_id = l.county_id AND w.errand_id = l.errand_id AND w.seq = l.seq \
     WHERE l.county_id = {county} AND l.errand_id = {errand} ORDER BY l.seq"
}

/// An entry, with its words while they are kept.
#[derive(Clone, Debug, QueryableByName)]
pub struct Told {
    #[diesel(embed)]
    pub entry: Entry,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub words_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub words: Option<Vec<u8>>,
}

/// The whole ledger of an errand.
pub fn ledger(conn: &mut PgConnection, county: i32, errand: Uuid) -> QueryResult<Vec<Told>> {
    Entries { county, errand }.load(conn)
}
