//! Consent (同意), given and withdrawn per purpose (个人信息保护法 art. 13–16; separately for sensitive data, art. 29, and by
//! guardians for children under 14, art. 31).
//!
//! ```text
//! never ──give──▶ given ──withdraw──▶ withdrawn ──give──▶ given
//!   │               │ └─(the county publishes another text)──▶ outdated ──give──▶ given
//!   └──refuse──▶ refused ──give──▶ given
//! ```
//! A ledger: every answer is a further entry, the latest counts. What was held because of a consent goes in the transaction
//! that ends it (the table `EFFECTS`). A room that needs one asks [`required`] before it stores.

mod model;
pub mod routes;
mod rules;
pub mod store;
mod subject;
pub mod texts;

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use uuid::Uuid;

pub use model::{Answered, Consent, ConsentState, DeskHow, Given, How, Purpose, Who};
pub use routes::at_desk;
pub use store::purge;

use crate::{
    error::{Code, Error, Result},
    households, people, proxies,
    rooms::Room,
};

pub const ROOM: Room = Room { merge: Some(subject::merge), export: Some(subject::export), ..Room::new("consents") };

/// What goes when a resident (of a county, at a time) takes a consent back or refuses to renew it.
pub type Effect = fn(&mut PgConnection, i32, Uuid, DateTime<Utc>) -> Result<()>;

/// A room that holds something only because of a consent adds its line.
const EFFECTS: &[(Purpose, Effect)] = &[
    (Purpose::IdNumber, people::subject::forget_id_number),
    (Purpose::Under14, proxies::guardian_missing),
    (Purpose::Under14, households::forget_under_14),
    (Purpose::Health, households::forget_health),
    (Purpose::Position, households::forget_point),
];

/// Refuses with `consent_required` unless the resident's latest answer is "given" to the text in effect. A county that has
/// published no text asks for none. Locks the resident's record: call it in the transaction that stores what needs the consent.
pub fn required(
    conn: &mut PgConnection,
    county: i32,
    resident: Uuid,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(text) = store::text_in_effect(conn, county, purpose, now)? else { return Ok(()) };
    // Until the caller has stored, nobody withdraws: a withdrawal that saw nothing to remove would be overtaken.
    people::subject::lock(conn, county, resident)?;
    let latest = store::latest(conn, county, resident, purpose)?;
    if rules::state(latest.as_ref(), Some(text.version)) == ConsentState::Given {
        return Ok(());
    }
    let (name, version) = (purpose.words(), text.version);
    Err(Error::new(Code::ConsentRequired).detail(
        format!("需要本人对“{}”（{}，第 {version} 版）的同意", name.zh, purpose.as_str()),
        format!("The consent \"{}\" ({}, version {version}) is needed", name.en, purpose.as_str()),
    ))
}

/// Refuses with `consent_required` unless `purpose` is among the consents given while a new record is made.
pub fn required_at_desk(
    conn: &mut PgConnection,
    (county, resident): (i32, Uuid),
    purpose: Purpose,
    given: &[(Purpose, How)],
    now: DateTime<Utc>,
) -> Result<()> {
    let among = given.iter().any(|(one, _)| *one == purpose);
    if among { Ok(()) } else { required(conn, county, resident, purpose, now) }
}

/// Records the consents that staff heard or saw while they made a new record.
pub fn give_at_desk(
    conn: &mut PgConnection,
    (county, resident): (i32, Uuid),
    given: &[(Purpose, How)],
    staff: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    let (version, answer, by) = (None, Answered::Given, Who::Staff(staff));
    for (purpose, how) in given.iter().copied() {
        if store::text_in_effect(conn, county, purpose, now)?.is_none() {
            let (zh, en) =
                ("本县没有公布这一目的的同意文本", "the county has published no text for one of the purposes");
            return Err(Error::field("/consents", "no_text", zh, en));
        }
        give(conn, &Given { county, resident, purpose, version, answer, how, by }, now)?;
    }
    Ok(())
}

/// Lets go of what is held although the latest answer to its purpose is no: after two records have become one.
pub fn enforce(conn: &mut PgConnection, county: i32, resident: Uuid, now: DateTime<Utc>) -> Result<()> {
    for (purpose, effect) in EFFECTS {
        let latest = store::latest(conn, county, resident, *purpose)?;
        if latest.is_some_and(|latest| latest.answer != Answered::Given) {
            effect(conn, county, resident, now)?;
        }
    }
    Ok(())
}

/// Records an answer, and lets go of what was held because of a consent that it ends. Locks the resident's record: answers
/// of one person go one after another.
pub fn give(conn: &mut PgConnection, given: &Given, now: DateTime<Utc>) -> Result<Consent> {
    let person = people::subject::lock(conn, given.county, given.resident)?.ok_or(Code::NotFound)?;
    let given = &Given { resident: person.id, ..*given };
    let text = store::text_in_effect(conn, given.county, given.purpose, now)?;
    let latest = store::latest(conn, given.county, given.resident, given.purpose)?;
    let version = rules::version(given, text.map(|text| text.version), latest.as_ref())?;
    // A clock that was read before the lock was had does not put this answer before the last one.
    let at = latest.map_or(now, |latest| latest.at.max(now));
    let consent = store::insert(conn, given, version, at)?;
    store::changed(conn, &consent, person.unit_id)?;
    if given.answer != Answered::Given {
        for (_, effect) in EFFECTS.iter().filter(|(purpose, _)| *purpose == given.purpose) {
            effect(conn, given.county, given.resident, now)?;
        }
    }
    Ok(consent)
}
