//! Moving an original: who has it, the entry of the ledger and the row in one transaction; and what rooms say of originals.

use chrono::{NaiveDate, Utc};
use diesel::{
    PgConnection, QueryableByName, RunQueryDsl,
    sql_types::{Array, Binary, Integer, Nullable, Text, Uuid as SqlUuid},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    acting::{self, Frame},
    ledger::Facts,
    model::{Errand, Step},
    originals::{self, Acknowledged, Hand, Original, OriginalState, name_place},
    steps::Said,
    store::{self, Seen},
};
use crate::{
    app::App,
    clock::local_date,
    error::{Code, Error, Result, Retry, Text as Words},
    http::{
        caller::{Caller, Scope},
        etag::IfMatch,
    },
    rooms::{Entry, HandOver, Person},
    statement,
};

/// Somebody who does something with the originals of an errand.
#[derive(Clone)]
pub struct Custodian {
    pub who: Caller,
    pub scope: Scope,
    pub frame: Frame,
}

/// A movement that somebody asks for.
#[derive(Clone)]
pub struct Movement {
    pub step: Step,
    /// Whom it is handed to.
    pub to: Option<Uuid>,
    /// How the resident acknowledged it, as the caller says.
    pub how: Option<Acknowledged>,
    pub seen: IfMatch,
}

fn facts(original: Uuid, how: Option<Acknowledged>) -> Facts {
    let how = how.map(|how| ("how".to_owned(), json!(how)));
    Facts::from_iter([("original".to_owned(), json!(original))].into_iter().chain(how))
}

impl Custodian {
    /// The errand, if the caller may see it, and whether `to` could be handed its originals.
    pub fn errand(&self, conn: &mut PgConnection, id: Uuid, whole: bool, to: Option<Uuid>) -> Result<Errand> {
        let seen = Seen::by(&self.who, self.scope);
        let seen = Seen { whole: seen.whole || whole, ..seen };
        store::find_and_ask(conn, self.who.county, seen, id, self.frame.today, to)?.ok_or(Code::NotFound.into())
    }

    /// Whether it is their business what was handed over.
    pub fn concerned(&self, errand: &Errand) -> bool {
        self.who.is_resident() || errand.held || errand.departmental
    }

    /// An original with its errand, for whoever has it or may see the errand.
    pub fn find(&self, conn: &mut PgConnection, id: Uuid, to: Option<Uuid>) -> Result<(Original, Errand)> {
        let (county, staff) = (self.who.county, self.who.staff());
        let original = originals::find(conn, county, id, staff, self.frame.today)?.ok_or(Code::NotFound)?;
        let errand = self.errand(conn, original.errand_id, original.held || original.passed, to)?;
        Ok((original, errand))
    }

    /// Takes a new one over from the resident.
    pub fn take(&self, conn: &mut PgConnection, app: &App, errand: Uuid, id: Uuid, name: &str) -> Result<Original> {
        let (county, now) = (self.who.county, self.frame.now);
        let before = self.errand(conn, errand, false, None)?;
        let said = Said { facts: facts(id, None), words: Some(name.to_owned()), ..Said::default() };
        let after = acting::follow(conn, app, Some(&self.who), &before, (Step::TakeOriginal, &said), &self.frame)?;
        let sealed = app.keys.seal(county, &name_place(id), name.as_bytes());
        originals::insert(conn, (county, id, errand), sealed, self.who.subject, after.entries, now)?;
        self.again(conn, id)
    }

    /// Moves one that is there.
    pub fn move_on(&self, conn: &mut PgConnection, app: &App, id: Uuid, movement: &Movement) -> Result<Original> {
        let Movement { step, to, how, ref seen } = *movement;
        let (original, before) = self.find(conn, id, to)?;
        seen.check(original.version)?;
        let how = if step == Step::AcknowledgeOriginal { Some(self.acknowledged(how)?) } else { None };
        let hand = Hand { staff: self.who.staff(), answers: before.held, to, how };
        let moved = original.moved(step, hand)?;
        if to.is_some() && !before.asked_fits {
            return Err(originals::cannot_have());
        }
        if step == Step::OriginalToDepartment && before.department_id.is_none() {
            return Err(Code::DecidedElsewhere.into());
        }
        let department = (step == Step::OriginalToDepartment).then_some(before.department_id).flatten();
        let said = Said { facts: facts(id, how), staff: to, department, ..Said::default() };
        let after = acting::follow(conn, app, Some(&self.who), &before, (step, &said), &self.frame)?;
        if !originals::update(conn, &moved, after.entries, self.frame.now)? {
            return Err(Error { retry: Retry::Again, ..Code::VersionStale.into() });
        }
        self.again(conn, id)
    }

    /// How the resident acknowledged it: with their own hands on the phone, or on paper that staff saw.
    fn acknowledged(&self, said: Option<Acknowledged>) -> Result<Acknowledged> {
        match (self.who.is_resident(), said) {
            (true, None | Some(Acknowledged::InMiniProgram)) => Ok(Acknowledged::InMiniProgram),
            (false, Some(Acknowledged::Signed)) => Ok(Acknowledged::Signed),
            (true, _) => Err(Error::field("/how", "how", "居民请勿填写", "residents leave it out")),
            (false, _) => Err(Error::field("/how", "how", "须见到签字，填 signed", "say signed, once you saw it")),
        }
    }

    fn again(&self, conn: &mut PgConnection, id: Uuid) -> Result<Original> {
        let (county, staff) = (self.who.county, self.who.staff());
        originals::find(conn, county, id, staff, self.frame.today)?
            .ok_or_else(|| Error::internal("an original is gone"))
    }
}

#[derive(QueryableByName)]
struct Mine {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

statement! {
    struct InHandsOf { county: i32 as Integer, staff: Uuid as SqlUuid, unit: Option<Uuid> as Nullable<SqlUuid> }
    "SELECT o.id FROM errand_originals o JOIN errands e ON e.county_id = o.county_id AND e.id = o.errand_id \
     WHERE o.county_id = {county} AND (o.with_id = {staff} OR o.passed_to = {staff}) AND ({unit}::uuid IS NULL OR unit_within({county}, e.unit_id, {unit})) \
     ORDER BY e.id, o.id FOR NO KEY UPDATE OF e, o"
}

/// Somebody else answers for the originals that one had in hand, each told by an entry of its own.
pub fn hand_over(conn: &mut PgConnection, over: &HandOver) -> Result<usize> {
    let HandOver { county, from, to, unit, now } = *over;
    let today = local_date(now);
    let mine: Vec<Mine> = InHandsOf { county, staff: from, unit }.load(conn)?;
    for Mine { id } in &mine {
        let Some(mut original) = originals::find(conn, county, *id, None, today)? else { continue };
        let errand = store::find(conn, county, Seen::WHOLE, original.errand_id, today)?;
        let before = errand.ok_or_else(|| Error::internal("an original without an errand"))?;
        let moved = |whom: Uuid| if whom == from { to } else { whom };
        original.with_id = original.with_id.map(moved);
        original.passed_to = original.passed_to.map(moved).filter(|passed| original.with_id != Some(*passed));
        let said = Said { facts: facts(*id, None), staff: Some(to), ..Said::default() };
        let entry = acting::note(conn, (&before, &before), (Step::HandOverOriginal, &said), now)?;
        if !originals::update(conn, &original, entry, now)? {
            return Err(Error::internal("a locked original has moved"));
        }
    }
    Ok(mine.len())
}

#[derive(QueryableByName)]
struct Out {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    matter: String,
    #[diesel(sql_type = Text)]
    state: OriginalState,
    #[diesel(sql_type = SqlUuid)]
    resident_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    with_id: Option<Uuid>,
}

impl From<Out> for Entry {
    fn from(row: Out) -> Self {
        let (number, matter, words) = (&row.number, &row.matter, row.state.words());
        Self {
            entity: "original",
            id: row.id,
            at: None,
            until: None,
            state: row.state.as_str().to_owned(),
            title: Words::new(
                format!("原件：{matter}（{number}），{}", words.zh),
                format!("Original: {matter} ({number}), {}", words.en),
            ),
            resident_id: Some(row.resident_id),
            holder_id: row.with_id,
        }
    }
}

macro_rules! out {
    () => {
        "SELECT o.id, e.number, (SELECT name FROM matters m WHERE m.county_id = e.county_id AND m.id = e.matter_id) AS matter, o.state, e.resident_id, o.with_id \
         FROM errand_originals o JOIN errands e ON e.county_id = o.county_id AND e.id = o.errand_id WHERE o.county_id = {county} AND o.state <> 'returned' "
    };
}

statement! {
    struct WithStaff { county: i32 as Integer, staff: Vec<Uuid> as Array<SqlUuid> }
    concat!(out!(), "AND (o.with_id = ANY ({staff}) OR o.passed_to = ANY ({staff})) ORDER BY o.created_at, o.id LIMIT 200")
}

statement! {
    struct OfResident { county: i32 as Integer, resident: Uuid as SqlUuid }
    concat!(out!(), "AND e.resident_id = {resident} ORDER BY o.created_at, o.id LIMIT 200")
}

/// Originals that one has in hand, or is to acknowledge.
pub fn day(conn: &mut PgConnection, county: i32, staff: &[Uuid]) -> Result<Vec<Entry>> {
    let rows: Vec<Out> = WithStaff { county, staff: staff.to_vec() }.load(conn)?;
    Ok(rows.into_iter().map(Entry::from).collect())
}

/// A resident's originals that are not with them.
pub fn open_for(conn: &mut PgConnection, person: Person) -> Result<Vec<Entry>> {
    let rows: Vec<Out> = OfResident { county: person.county, resident: person.id }.load(conn)?;
    Ok(rows.into_iter().map(Entry::from).collect())
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Binary>)]
    name: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    state: OriginalState,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = diesel::sql_types::Date)]
    taken_on: NaiveDate,
}

statement! {
    struct NamesOf { county: i32 as Integer, resident: Uuid as SqlUuid }
    "SELECT o.id, o.name, o.state, e.number, (o.created_at AT TIME ZONE 'Asia/Shanghai')::date AS taken_on \
     FROM errand_originals o JOIN errands e ON e.county_id = o.county_id AND e.id = o.errand_id \
     WHERE o.county_id = {county} AND e.resident_id = {resident} ORDER BY o.created_at, o.id"
}

/// What a resident handed over, for themselves.
pub fn export(conn: &mut PgConnection, app: &App, person: Person) -> Result<Vec<Value>> {
    let rows: Vec<Named> = NamesOf { county: person.county, resident: person.id }.load(conn)?;
    let told = |row: Named| {
        let open = |sealed: &Vec<u8>| app.keys.open_text(person.county, &name_place(row.id), sealed);
        let name = row.name.as_ref().map(open).transpose()?;
        Ok(json!({"name": name, "errand": row.number, "state": row.state, "taken_on": row.taken_on}))
    };
    rows.into_iter().map(told).collect()
}

statement! {
    struct EraseNames { county: i32 as Integer, resident: Uuid as SqlUuid, now: chrono::DateTime<Utc> as diesel::sql_types::Timestamptz }
    "UPDATE errand_originals o SET name = NULL, version = o.version + 1, updated_at = {now} FROM errands e \
     WHERE o.county_id = {county} AND o.name IS NOT NULL AND e.county_id = o.county_id AND e.id = o.errand_id AND e.resident_id = {resident}"
}

/// What they were called is erased; where they are stays.
pub fn erase(conn: &mut PgConnection, person: Person) -> Result<usize> {
    let Person { county, id: resident, now } = person;
    Ok(EraseNames { county, resident, now }.execute(conn)?)
}
