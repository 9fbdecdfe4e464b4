//! What an errand says and the files that it carries: attached with the step that brings them, bound to its entry by digests.
//!
//! The entry of a step that hands something in has two facts: `content`, the salted SHA-256 of form, answers and materials, and `files`,
//! each file's id with its SHA-256. A decision, a delivery and an acknowledgement have `files` too, a delivery by post `parcel`.
//! Whatever is changed later beside the ledger shows: [`changed`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    ledger::{Entry, Salted},
    mandate_routes, mandates,
    model::{Errand, Provided, Step, form_place},
    replies::Parcel,
    steps::Said,
    store::{self, Seen},
};
use crate::{
    app::App,
    attachments::{self, Attach},
    clock::local_date,
    error::{Code, FieldError, Result, Text as Words},
    http::{caller::Caller, permissions::ReadErrands},
};

/// The kinds of things of this room that files can belong to.
pub const ERRAND: &str = "errand";
pub const MANDATE: &str = "mandate";

/// Files that a request brings at most.
const MOST: usize = 50;

/// Bytes of the salt.
const SALT: usize = 16;

/// The SHA-256 of each file of an errand, in hexadecimal.
pub type Files = BTreeMap<Uuid, String>;

/// Whoever sees the errand sees its files, by the rules of `GET /v1/errands/{id}`.
pub fn sees_errand(conn: &mut PgConnection, caller: &Caller, id: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let Some(scope) = caller.scope_of::<ReadErrands>()? else { return Ok(false) };
    Ok(store::find(conn, caller.county, Seen::by(caller, scope), id, local_date(now))?.is_some())
}

/// Whoever sees the mandate sees its files, by the rules of `GET /v1/mandates/{id}`.
pub fn sees_mandate(conn: &mut PgConnection, caller: &Caller, id: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let Some(scope) = caller.scope_of::<ReadErrands>()? else { return Ok(false) };
    let Some(row) = mandates::find(conn, caller.county, id)? else { return Ok(false) };
    match mandate_routes::resident(conn, caller, scope, row.resident_id, local_date(now)) {
        Ok(_) => Ok(true),
        Err(error) if error.code == Code::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ids that are there twice.
pub fn twice(ids: &[Uuid], pointer: &str) -> Vec<FieldError> {
    let mut seen = BTreeSet::new();
    let again = ids.iter().enumerate().filter(|(_, id)| !seen.insert(**id)).map(|(index, _)| index);
    let text = Words::fixed("重复", "is here twice");
    again.map(|index| FieldError::body(format!("{pointer}/{index}"), "twice", text.clone())).collect()
}

/// What is wrong with how materials are there.
pub fn faults(materials: &[Provided]) -> Vec<FieldError> {
    let mut faults = Vec::new();
    for (index, one) in materials.iter().enumerate() {
        let pointer = format!("/materials/{index}/attachment_ids");
        if !one.in_person && one.attachment_ids.is_empty() {
            let text = Words::fixed("须当面交来，或附上文件", "must be brought in person, or attached");
            faults.push(FieldError::body(pointer.clone(), "required", text));
        }
        faults.extend(twice(&one.attachment_ids, &pointer));
    }
    if materials.iter().map(|one| one.attachment_ids.len()).sum::<usize>() > MOST {
        let text = Words::fixed("一次最多附 50 个文件", "may have up to 50 files at once");
        faults.push(FieldError::body("/materials", "length", text));
    }
    faults
}

/// The files of materials, each with its place in a body.
fn of_materials(materials: &[Provided]) -> Vec<(Uuid, String)> {
    let ids = materials.iter().enumerate().flat_map(|(at, one)| {
        let placed = one.attachment_ids.iter().enumerate();
        placed.map(move |(index, id)| (*id, format!("/materials/{at}/attachment_ids/{index}")))
    });
    ids.collect()
}

/// Attaches what does not belong to the errand yet; one statement, and none if there is nothing new.
fn bring(
    conn: &mut PgConnection,
    who: &Caller,
    (id, resident): (Uuid, Uuid),
    there: &mut Files,
    placed: Vec<(Uuid, String)>,
    now: DateTime<Utc>,
) -> Result<()> {
    let new: Vec<_> = placed.into_iter().filter(|(id, _)| !there.contains_key(id)).collect();
    let county = who.county;
    let to = Attach { county, about: ERRAND, about_id: id, resident: Some(resident), by: who.into(), pointer: "", now };
    let brought = attachments::attach_each(conn, &to, &new)?;
    there.extend(brought.into_iter().map(|(id, sha256)| (id, hex::encode(sha256))));
    Ok(())
}

/// The files of a new draft.
pub fn file(
    conn: &mut PgConnection,
    who: &Caller,
    errand: (Uuid, Uuid),
    materials: &[Provided],
    now: DateTime<Utc>,
) -> Result<()> {
    bring(conn, who, errand, &mut Files::new(), of_materials(materials), now)
}

/// The files of a draft that says something else now; what it needs no more is let go of.
pub fn redraft(
    conn: &mut PgConnection,
    who: &Caller,
    row: &Errand,
    materials: &[Provided],
    now: DateTime<Utc>,
) -> Result<()> {
    let (mut there, placed) = (row.files(), of_materials(materials));
    let kept: BTreeSet<_> = placed.iter().map(|(id, _)| *id).collect();
    let dropped: Vec<_> = there.keys().filter(|id| !kept.contains(id)).copied().collect();
    if !dropped.is_empty() {
        attachments::let_go_some(conn, row.county_id, (ERRAND, row.id), &dropped, now)?;
    }
    bring(conn, who, (row.id, row.resident_id), &mut there, placed, now)
}

/// What the salt of an errand is bound to, and its parcel.
fn salt_place(id: Uuid) -> String {
    format!("errands.content_salt/{id}")
}

fn parcel_place(id: Uuid) -> String {
    format!("errands.parcel/{id}")
}

/// Every part with its length before it, so that it can be written in one way only.
fn digest(salt: &[u8], form: Option<&[u8]>, errand: &Errand) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_be_bytes());
        hasher.update(bytes);
    };
    part(salt);
    part(&[u8::from(form.is_some())]);
    part(form.unwrap_or_default());
    let (answers, materials) = (&errand.answers, &errand.materials);
    part(&(answers.len() as u64).to_be_bytes());
    for (question, answer) in answers {
        part(question.as_bytes());
        part(answer.as_bytes());
    }
    part(&(materials.len() as u64).to_be_bytes());
    for Provided { key, in_person, attachment_ids } in materials {
        part(key.as_bytes());
        part(&[u8::from(*in_person)]);
        part(&(attachment_ids.len() as u64).to_be_bytes());
        for id in attachment_ids {
            part(id.as_bytes());
        }
    }
    hasher.finalize().into()
}

fn form(app: &App, errand: &Errand) -> Result<Option<Vec<u8>>> {
    let open = |sealed: &Vec<u8>| app.keys.open(errand.county_id, &form_place(errand.id), sealed);
    Ok(errand.form.as_ref().map(open).transpose()?)
}

fn salt(app: &App, errand: &Errand) -> Result<Option<Vec<u8>>> {
    let open = |sealed: &Vec<u8>| app.keys.open(errand.county_id, &salt_place(errand.id), sealed);
    Ok(errand.content_salt.as_ref().map(open).transpose()?)
}

/// The digest of what an errand says, as its ledger has it; under a salt of its own from the first time on.
fn content(app: &App, errand: &mut Errand) -> Result<String> {
    let salt = salt(app, errand)?.unwrap_or_else(|| rand::random::<[u8; SALT]>().to_vec());
    let (county, place) = (errand.county_id, salt_place(errand.id));
    errand.content_salt.get_or_insert_with(|| app.keys.seal(county, &place, &salt));
    Ok(hex::encode(digest(&salt, form(app, errand)?.as_deref(), errand)))
}

/// What the step brings: attached, written into the errand, and its digests into the facts of the entry to come.
pub fn bind(
    conn: &mut PgConnection,
    app: &App,
    (who, step, now): (&Caller, Step, DateTime<Utc>),
    after: &mut Errand,
    said: &mut Said,
) -> Result<()> {
    let placed = match step {
        Step::Submit => of_materials(&after.materials),
        Step::Supplement => of_materials(&said.provided),
        _ => {
            said.files.iter().enumerate().map(|(at, id)| (*id, format!("{}/attachment_ids/{at}", said.place))).collect()
        }
    };
    let mut there = after.files();
    let ids: BTreeSet<_> = placed.iter().map(|(id, _)| *id).collect();
    if !ids.is_empty() {
        bring(conn, who, (after.id, after.resident_id), &mut there, placed, now)?;
        let listed = there.iter().filter(|(id, _)| ids.contains(id)).map(|(id, sha256)| format!("{id}:{sha256}"));
        said.facts.insert("files".into(), json!(listed.collect::<Vec<_>>().join(",")));
        after.files = Some(json!(there));
    }
    // A draft that was never handed in is nobody's business once it is withdrawn.
    if step == Step::Withdraw && after.submitted_on.is_none() {
        attachments::let_go(conn, after.county_id, (ERRAND, after.id), now)?;
        (after.form, after.answers, after.materials, after.files) = (None, BTreeMap::new(), Vec::new(), None);
    }
    if matches!(step, Step::Submit | Step::Supplement) {
        said.facts.insert("content".into(), json!(content(app, after)?));
    }
    if let Some(parcel) = &said.parcel {
        let salted = Salted::new(&json!(parcel).to_string());
        said.facts.insert("parcel".into(), json!(hex::encode(salted.digest)));
        after.parcel = Some(app.keys.seal(after.county_id, &parcel_place(after.id), &salted.plain));
    }
    Ok(())
}

/// The ids and SHA-256s of the fact `files`.
pub fn listed(files: Option<&Value>) -> Vec<(Uuid, &str)> {
    let pairs = files.and_then(Value::as_str).unwrap_or_default().split(',');
    pairs.filter_map(|pair| pair.split_once(':')).filter_map(|(id, sha256)| Some((id.parse().ok()?, sha256))).collect()
}

/// What was sent by post, opened.
pub fn parcel(app: &App, (county, id): (i32, Uuid), sealed: Option<&[u8]>) -> Result<Option<Parcel>> {
    let Some(sealed) = sealed else { return Ok(None) };
    let plain = app.keys.open(county, &parcel_place(id), sealed)?;
    Ok(serde_json::from_str(&Salted::words(&plain)).ok())
}

/// The first entry whose content, files or parcel are not what they were when it was written. What was erased is not missed; what is
/// gone though nothing was erased is.
pub fn changed<'a>(
    app: &App,
    errand: &Errand,
    entries: impl DoubleEndedIterator<Item = &'a Entry> + Clone,
) -> Result<Option<i32>> {
    let (salt, there) = (salt(app, errand)?, errand.files());
    let other = |id: Uuid, sha256: &str| there.get(&id).map_or(salt.is_some(), |now| now != sha256);
    let files = entries.clone().find(|entry| {
        let listed = listed(entry.facts.get("files"));
        listed.into_iter().any(|(id, sha256)| other(id, sha256))
    });
    let fact = |name: &str| {
        let last = entries.clone().rev().find_map(|entry| Some((entry.seq, entry.facts.get(name)?.as_str()?)));
        last.map(|(seq, digest)| (seq, digest.to_owned()))
    };
    let content = match (fact("content"), &salt) {
        (Some((seq, told)), Some(salt)) => {
            let now = hex::encode(digest(salt, form(app, errand)?.as_deref(), errand));
            (now != told).then_some(seq)
        }
        // Without its salt there is nothing to compare, and nothing may be left.
        (Some((seq, _)), None) => {
            let left = errand.form.is_some() || !errand.answers.is_empty() || !errand.materials.is_empty();
            left.then_some(seq)
        }
        (None, _) => None,
    };
    let parcel = match (fact("parcel"), &errand.parcel) {
        (Some((seq, told)), Some(sealed)) => {
            let plain = app.keys.open(errand.county_id, &parcel_place(errand.id), sealed)?;
            let fits = hex::decode(told).is_ok_and(|digest| Salted::fits(&plain, &digest));
            (!fits).then_some(seq)
        }
        (Some((seq, _)), None) => salt.is_some().then_some(seq),
        (None, _) => None,
    };
    Ok(files.map(|entry| entry.seq).into_iter().chain(content).chain(parcel).min())
}
