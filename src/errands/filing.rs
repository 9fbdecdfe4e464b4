//! Filing: a draft with its form and the answers of the guide, for oneself, for somebody who lets one, or by an agent under a mandate.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Binary, Bool, Date, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use rand::RngExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    acting::Frame,
    content,
    ledger::{self, Entry, Facts},
    model::{Errand, ErrandState, Provided, Step, form_place},
    provided::unknown_material,
    steps,
    store::{self, Seen},
};
use crate::{
    app::App,
    clock::local_date,
    db::found,
    error::{Code, Error, FieldError, Result, Text as Words},
    http::caller::{Caller, Scope},
    matters::{self, Answers, Version, version::DecidedBy},
    people,
    proxies::{self, May},
    statement,
};

/// What is filed.
#[derive(Clone, Debug)]
pub struct Draft {
    pub matter: Uuid,
    pub resident: Option<Uuid>,
    pub mandate: Option<Uuid>,
    pub form: Option<Value>,
    pub answers: Answers,
    pub materials: Vec<Provided>,
}

/// Bytes of a form: it is part of answers that are kept.
const LONGEST_FORM: usize = 32 * 1024;

/// Tries to find a number that nobody has: a day has a million.
const TRIES: usize = 20;

/// The number of an errand (受理编号): the day, and six digits that tell nobody how many there are.
fn number(today: NaiveDate) -> String {
    format!("{}-{:06}", today.format("%y%m%d"), rand::rng().random_range(0..1_000_000))
}

statement! {
    struct Taken { county: i32 as Integer, number: String as Text }
    "SELECT EXISTS (SELECT FROM errands WHERE county_id = {county} AND number = {number}) AS taken"
}

#[derive(QueryableByName)]
struct IsTaken {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

statement! {
    /// Where somebody lives, and whether a mandate covers a matter today.
    struct Standing {
        county: i32 as Integer, resident: Uuid as SqlUuid, mandate: Option<Uuid> as Nullable<SqlUuid>, matter: Uuid as SqlUuid,
        agent: Option<Uuid> as Nullable<SqlUuid>, today: NaiveDate as Date,
    }
    "SELECT p.unit_id, EXISTS (SELECT FROM mandates g WHERE g.county_id = p.county_id AND g.id = {mandate} AND g.resident_id = p.id \
         AND g.revoked_at IS NULL AND g.valid_until >= {today} AND (g.matter_id IS NULL OR g.matter_id = {matter}) \
         AND (g.agent_id IS NULL OR g.agent_id = {agent} OR staff_covers(g.county_id, {agent}, g.agent_id, {today}))) AS mandated \
     FROM residents p WHERE p.county_id = {county} AND p.id = {resident} AND p.merged_into IS NULL AND p.closed_at IS NULL"
}

#[derive(QueryableByName)]
struct Stands {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    unit_id: Option<Uuid>,
    #[diesel(sql_type = Bool)]
    mandated: bool,
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, number: String as Text, matter: Uuid as SqlUuid, matter_version: i16 as SmallInt,
        resident: Uuid as SqlUuid, unit: Uuid as SqlUuid, decided_by: DecidedBy as Text, department: Option<Uuid> as Nullable<SqlUuid>,
        kind: &'static str as Text, filed_by: Option<Uuid> as Nullable<SqlUuid>, filed_by_resident: Option<Uuid> as Nullable<SqlUuid>,
        mandate: Option<Uuid> as Nullable<SqlUuid>, form: Option<Vec<u8>> as Nullable<Binary>, answers: Value as Jsonb, materials: Value as Jsonb, limit_days: i16 as SmallInt,
        actor: Uuid as SqlUuid, role: &'static str as Text, facts: Value as Jsonb, previous: Vec<u8> as Binary, hash: Vec<u8> as Binary,
        now: DateTime<Utc> as Timestamptz,
    }
    "WITH filed AS (INSERT INTO errands (county_id, id, number, matter_id, matter_version, resident_id, unit_id, decided_by, department_id, kind, state, \
         filed_by, filed_by_resident, mandate_id, form, answers, materials, limit_days, entries, head, created_at, updated_at) \
       VALUES ({county}, {id}, {number}, {matter}, {matter_version}, {resident}, {unit}, {decided_by}, {department}, {kind}, 'draft', \
         {filed_by}, {filed_by_resident}, {mandate}, {form}, {answers}, {materials}, {limit_days}, 1, {hash}, {now}, {now}) RETURNING county_id, id) \
     INSERT INTO errand_ledger (county_id, errand_id, seq, at, step, actor_id, actor_role, from_state, to_state, facts, words_digest, previous, hash) \
     SELECT county_id, id, 1, {now}, 'file', {actor}, {role}, NULL, 'draft', {facts}, NULL, {previous}, {hash} FROM filed"
}

/// The form as it is stored.
pub fn sealed_form(app: &App, county: i32, id: Uuid, form: Option<&Value>) -> Result<Option<Vec<u8>>> {
    let seal = |form: &Value| {
        let plain = serde_json::to_vec(form).map_err(Error::internal)?;
        Ok(app.keys.seal(county, &form_place(id), &plain))
    };
    form.map(seal).transpose()
}

/// Somebody who files.
#[derive(Clone)]
pub struct Filing {
    pub id: Uuid,
    pub who: Caller,
    pub scope: Scope,
    pub draft: Draft,
    pub frame: Frame,
}

/// Every fault of what is filled in so far. A draft may leave out what is missing; submitting tells it.
pub fn faults(version: &Version, form: Option<&Value>, answers: &Answers, materials: &[Provided]) -> Vec<FieldError> {
    let mut faults = form.map(|form| matters::check_form(version, form)).unwrap_or_default();
    if form.is_some_and(|form| form.to_string().len() > LONGEST_FORM) {
        faults.push(FieldError::body(
            "/form",
            "too_long",
            Words::fixed("表单内容过长", "must be at most 32 KiB of JSON"),
        ));
    }
    faults.extend(matters::check_answers(version, answers, "/answers"));
    faults.extend(content::faults(materials));
    for (index, key) in steps::unknown(version, materials.iter().map(|one| one.key.as_str())) {
        faults.push(unknown_material(format!("/materials/{index}/key"), &key));
    }
    faults
}

impl Filing {
    /// For whom, where they live; with the mandate of an agent.
    fn whom(&self, conn: &mut PgConnection) -> Result<(Uuid, Uuid)> {
        let (county, today, me) = (self.who.county, self.frame.today, self.who.subject);
        let unknown = || {
            let (zh, en) = (
                "没有这位居民，或不在您的管辖范围，或未授权您代办",
                "There is nobody of this id within your reach who lets you",
            );
            Error::field("/resident_id", "unknown_resident", zh, en)
        };
        let resident = match self.draft.resident {
            Some(resident) => resident,
            None if self.who.is_resident() => me,
            None => return Err(Error::field("/resident_id", "required", "须写明为谁代办", "say for whom")),
        };
        let allowed = match self.who.is_resident() {
            true => resident == me || proxies::acts_for(conn, county, (resident, me), May::Errand, today)?,
            false => people::find(conn, self.scope, resident)?.is_some(),
        };
        if !allowed {
            return Err(unknown());
        }
        let (mandate, matter) = (self.draft.mandate, self.draft.matter);
        if self.who.is_resident() && mandate.is_some() {
            let (zh, en) = ("委托由代办员填写", "only agents name the mandate");
            return Err(Error::field("/mandate_id", "not_for_residents", zh, en));
        }
        let ask = Standing { county, resident, mandate, matter, agent: self.who.staff(), today };
        let stands: Stands = found(ask.get_result(conn))?.ok_or_else(unknown)?;
        if !self.who.is_resident() && !stands.mandated {
            let (zh, en) = ("须有居民现行有效的委托", "the resident's live mandate for this matter is needed");
            return Err(Error::field("/mandate_id", "mandate_needed", zh, en));
        }
        let unit = stands.unit_id.or(self.who.unit).ok_or(Code::UnitUnknown)?;
        Ok((resident, unit))
    }

    /// Checks everything and writes the draft.
    pub fn run(&self, conn: &mut PgConnection, app: &App) -> Result<Errand> {
        let Frame { today, now, .. } = self.frame;
        let (county, id, draft) = (self.who.county, self.id, &self.draft);
        let unknown = || {
            let (zh, en) = ("没有这个可代办的事项", "there is no such matter that can be filed");
            Error::field("/matter_id", "unknown_matter", zh, en)
        };
        let version = matters::in_effect(conn, county, draft.matter, today)?.ok_or_else(unknown)?;
        let (resident, unit) = self.whom(conn)?;
        let own = resident == self.who.subject;
        if !own && !version.proxy_allowed {
            return Err(Code::ProxyNotAllowed.into());
        }
        let wrong = faults(&version, draft.form.as_ref(), &draft.answers, &draft.materials);
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        let facts = json!(Facts::from([
            ("on".to_owned(), json!(today)),
            ("matter".to_owned(), json!(draft.matter)),
            ("matter_version".to_owned(), json!(version.number)),
        ]));
        let mut first = Entry {
            seq: 1,
            at: now,
            step: Step::File,
            actor_id: Some(self.who.subject),
            actor_role: Some(self.who.role),
            from_state: None,
            to_state: ErrandState::Draft,
            facts,
            words_digest: None,
            previous: ledger::BEGINNING.to_vec(),
            hash: Vec::new(),
        };
        first.hash = first.digest(county, id).to_vec();
        let insert = Insert {
            county,
            id,
            number: free_number(conn, county, local_date(now))?,
            matter: draft.matter,
            matter_version: version.number,
            resident,
            unit,
            decided_by: version.decided_by,
            department: version.department_id,
            kind: version.kind.as_str(),
            filed_by: self.who.staff(),
            filed_by_resident: (self.who.is_resident() && !own).then_some(self.who.subject),
            mandate: draft.mandate,
            form: sealed_form(app, county, id, draft.form.as_ref())?,
            answers: json!(draft.answers),
            materials: json!(draft.materials),
            limit_days: version.promised_days,
            actor: self.who.subject,
            role: self.who.role.as_str(),
            facts: first.facts.clone(),
            previous: first.previous,
            hash: first.hash,
            now,
        };
        insert.execute(conn)?;
        content::file(conn, &self.who, (id, resident), &draft.materials, now)?;
        store::find(conn, county, Seen::by(&self.who, self.scope), id, today)?.ok_or(Code::NotFound.into())
    }
}

fn free_number(conn: &mut PgConnection, county: i32, today: NaiveDate) -> Result<String> {
    for _ in 0..TRIES {
        let number = number(today);
        if !(Taken { county, number: number.clone() }).get_result::<IsTaken>(conn)?.taken {
            return Ok(number);
        }
    }
    Err(Error::unavailable("no free number was found"))
}
