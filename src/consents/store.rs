//! Consent texts and the ledger of answers in the database.

use chrono::{DateTime, Months, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::model::{Consent, ConsentText, Given, Purpose, Who};
use crate::{
    db::{
        changes::{self, Change},
        found,
        schema::{consent_texts, consents, residents},
    },
    error::Result,
    settings::{self, Settings},
};

/// The text of a purpose in effect at a time.
pub fn text_in_effect(
    conn: &mut PgConnection,
    county: i32,
    purpose: Purpose,
    at: DateTime<Utc>,
) -> Result<Option<ConsentText>> {
    let of = consent_texts::table.filter(consent_texts::county_id.eq(county));
    let come = of.filter(consent_texts::purpose.eq(purpose)).filter(consent_texts::effective_from.le(at));
    let latest = come.order((consent_texts::effective_from.desc(), consent_texts::version.desc()));
    found(latest.select(ConsentText::as_select()).first(conn))
}

/// The text of every purpose in effect at a time.
pub fn texts_in_effect(conn: &mut PgConnection, county: i32, at: DateTime<Utc>) -> QueryResult<Vec<ConsentText>> {
    let of = consent_texts::table.filter(consent_texts::county_id.eq(county));
    let order = (consent_texts::purpose, consent_texts::effective_from.desc(), consent_texts::version.desc());
    let come = of.filter(consent_texts::effective_from.le(at)).distinct_on(consent_texts::purpose).order(order);
    come.select(ConsentText::as_select()).load(conn)
}

pub fn text(conn: &mut PgConnection, county: i32, purpose: Purpose, version: i64) -> Result<Option<ConsentText>> {
    found(consent_texts::table.find((county, purpose, version)).select(ConsentText::as_select()).first(conn))
}

/// Publishes a text under the next version of its purpose.
pub fn publish(
    conn: &mut PgConnection,
    (county, purpose): (i32, Purpose),
    (zh, en): (&str, &str),
    effective_from: DateTime<Utc>,
    (by, now): (Option<Uuid>, DateTime<Utc>),
) -> Result<ConsentText> {
    let of = consent_texts::table.filter(consent_texts::county_id.eq(county));
    let last: Option<i64> =
        of.filter(consent_texts::purpose.eq(purpose)).select(diesel::dsl::max(consent_texts::version)).first(conn)?;
    let text = diesel::insert_into(consent_texts::table)
        .values((
            (consent_texts::county_id.eq(county), consent_texts::purpose.eq(purpose)),
            (consent_texts::version.eq(last.unwrap_or(0) + 1), consent_texts::id.eq(Uuid::now_v7())),
            (consent_texts::zh.eq(zh), consent_texts::en.eq(en), consent_texts::effective_from.eq(effective_from)),
            (consent_texts::published_by.eq(by), consent_texts::published_at.eq(now)),
        ))
        .returning(ConsentText::as_returning())
        .get_result(conn)?;
    let (unit_id, resident_id, staff_id) = (None, None, None);
    let entity = "consent_text";
    changes::record(
        conn,
        Change { county, entity, entity_id: text.id, unit_id, resident_id, staff_id, gone: false },
        now,
    )?;
    Ok(text)
}

/// The latest answer of a resident for a purpose.
pub fn latest(conn: &mut PgConnection, county: i32, resident: Uuid, purpose: Purpose) -> Result<Option<Consent>> {
    let of = consents::table.filter(consents::county_id.eq(county)).filter(consents::resident_id.eq(resident));
    let answers = of.filter(consents::purpose.eq(purpose)).order((consents::at.desc(), consents::seq.desc()));
    found(answers.select(Consent::as_select()).first(conn))
}

/// The whole ledger of a resident, oldest first.
pub fn ledger(conn: &mut PgConnection, county: i32, resident: Uuid) -> QueryResult<Vec<Consent>> {
    let of = consents::table.filter(consents::county_id.eq(county)).filter(consents::resident_id.eq(resident));
    of.order((consents::at, consents::seq)).select(Consent::as_select()).load(conn)
}

pub fn insert(conn: &mut PgConnection, given: &Given, version: i64, at: DateTime<Utc>) -> QueryResult<Consent> {
    let (by_resident, by_staff) = match given.by {
        Who::Resident(id) => (Some(id), None),
        Who::Staff(id) => (None, Some(id)),
    };
    diesel::insert_into(consents::table)
        .values((
            (consents::county_id.eq(given.county), consents::id.eq(Uuid::now_v7())),
            (consents::resident_id.eq(given.resident), consents::purpose.eq(given.purpose)),
            (consents::version.eq(version), consents::answer.eq(given.answer), consents::how.eq(given.how)),
            (consents::by_resident.eq(by_resident), consents::by_staff.eq(by_staff), consents::at.eq(at)),
        ))
        .returning(Consent::as_returning())
        .get_result(conn)
}

/// Tells the phones of the resident and of the unit.
pub fn changed(conn: &mut PgConnection, consent: &Consent, unit_id: Option<Uuid>) -> QueryResult<()> {
    let (county, entity_id, resident_id) = (consent.county_id, consent.id, Some(consent.resident_id));
    let change = Change { county, entity: "consent", entity_id, unit_id, resident_id, staff_id: None, gone: false };
    changes::record(conn, change, consent.at)
}

/// Copies the ledger of a duplicate; the original stays where it was written.
pub fn copy(conn: &mut PgConnection, county: i32, from: Uuid, into: Uuid) -> QueryResult<usize> {
    let entries = ledger(conn, county, from)?;
    for entry in &entries {
        let same = |by: Option<Uuid>| if by == Some(from) { Some(into) } else { by };
        diesel::insert_into(consents::table)
            .values((
                (consents::county_id.eq(county), consents::id.eq(Uuid::now_v7()), consents::resident_id.eq(into)),
                (consents::purpose.eq(entry.purpose), consents::version.eq(entry.version)),
                (consents::answer.eq(entry.answer), consents::how.eq(entry.how)),
                (consents::by_resident.eq(same(entry.by_resident)), consents::by_staff.eq(entry.by_staff)),
                consents::at.eq(entry.at),
            ))
            .execute(conn)?;
    }
    Ok(entries.len())
}

/// Deletes consents of records that were closed longer ago than the county keeps them (art. 56: three years at least).
pub fn purge(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let closed = residents::table.filter(residents::closed_at.is_not_null());
    let counties: Vec<i32> = closed.select(residents::county_id).distinct().load(conn)?;
    for county in counties {
        let years = Settings::at(&settings::load(conn, county)?, now).privacy_consent_years;
        let before = now - Months::new(12 * years as u32);
        let old = residents::table.filter(residents::county_id.eq(county)).filter(residents::closed_at.lt(before));
        let of = consents::table.filter(consents::county_id.eq(county));
        diesel::delete(of.filter(consents::resident_id.eq_any(old.select(residents::id)))).execute(conn)?;
    }
    Ok(false)
}
