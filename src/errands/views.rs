//! An errand as it is answered.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    clock::{Lamp, lamp},
    model::{Errand, ErrandState, Line, Provided, form_place},
    replies::{ErrandCallBack, ErrandDelivery},
};
use crate::{
    app::App,
    appointments::Named,
    clock::CST,
    error::{Error, Lang, Result},
    http::caller::Caller,
    matters::{
        Answers,
        version::{DecidedBy, MatterKind},
    },
    people,
};

/// The matter of an errand, as it was when it was filed.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记", "version": 1}))]
pub struct ErrandMatter {
    pub id: Uuid,
    pub name: String,
    /// The version that it was filed under, and keeps.
    pub version: i16,
}

/// An errand (代办).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "number": "261123-482913", "state": "accepted", "state_name": "已受理",
    "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记", "version": 1}, "decided_by": "township", "department": null, "kind": "promised",
    "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}, "unit": {"id": "0199a0c0-0000-7000-8000-000000000002", "name": "红星村"},
    "holder": {"id": "0199a0c0-0000-7000-8000-0000000000a1", "name": "陈特派"}, "offered_to": null, "mandate_id": "0199a0c0-0000-7000-8000-0000000000d7",
    "filed_by": "0199a0c0-0000-7000-8000-0000000000a1", "filed_by_resident": null, "finding_id": null, "form": {"kind": "new"}, "answers": {}, "materials": [{"key": "id_card", "in_person": true, "attachment_ids": []}], "supplements": 0, "asked_for": [], "supplement_until": null,
    "limit_days": 3, "submitted_on": "2026-11-23", "accepted_on": "2026-11-23", "decided_on": null, "granted": null, "documents": [], "delivery": null, "call_back": null, "due_on": "2026-11-26",
    "provisional": false, "lamp": "green", "yellow_from": "2026-11-25", "red_from": "2026-11-27", "version": 3, "created_at": "2026-11-23T08:00:00+08:00", "updated_at": "2026-11-23T08:20:00+08:00"}))]
pub struct ErrandView {
    pub id: Uuid,
    /// To read over the phone (受理编号).
    pub number: String,
    pub state: ErrandState,
    /// The state in the language of the request.
    pub state_name: String,
    pub matter: ErrandMatter,
    pub decided_by: DecidedBy,
    /// The department of the county that decides, if one does.
    pub department: Option<Named>,
    pub kind: MatterKind,
    pub resident: ErrandResident,
    pub unit: Named,
    /// Who answers for it (首问责任); none for a draft.
    pub holder: Option<Named>,
    /// Who has been asked to take it over and has not answered.
    pub offered_to: Option<Uuid>,
    /// The mandate (委托) that agents handle it under.
    pub mandate_id: Option<Uuid>,
    /// The agent who filed it.
    pub filed_by: Option<Uuid>,
    /// The relative or carer who filed it.
    pub filed_by_resident: Option<Uuid>,
    /// What a visit found that it was made of (民情登记); only in a single errand.
    pub finding_id: Option<Uuid>,
    /// What was filled in; only in a single errand, and to whom it concerns or who handles it.
    pub form: Option<Value>,
    /// Answers to the questions of the guide, which picked the materials.
    #[schema(value_type = BTreeMap<String, String>)]
    pub answers: Answers,
    /// What is there, and how: brought in person, or attached.
    pub materials: Vec<Provided>,
    /// How often something missing was asked for.
    pub supplements: i16,
    /// Keys of the materials that were asked for and are not there yet; empty once all of them are.
    pub asked_for: Vec<String>,
    /// The last day for it; from the next on the errand may be ended as withdrawn (逾期未补正). Only in a single errand.
    pub supplement_until: Option<NaiveDate>,
    /// Working days, extensions included; 0 is the same day.
    pub limit_days: i16,
    pub submitted_on: Option<NaiveDate>,
    pub accepted_on: Option<NaiveDate>,
    pub decided_on: Option<NaiveDate>,
    /// What was decided: granted, or refused after examination (不予通过).
    pub granted: Option<bool>,
    /// The papers of the decision, by their attachments; only in a single errand, like the rest of the reply.
    pub documents: Vec<Uuid>,
    /// How the result got to the resident, and whether they acknowledged it (送达、签收).
    pub delivery: Option<ErrandDelivery>,
    /// Whether the resident was asked afterwards (回访).
    pub call_back: Option<ErrandCallBack>,
    /// The day at whose end (24:00) it is due: an answer while submitted, a decision afterwards. None while the clock stands still.
    pub due_on: Option<NaiveDate>,
    /// The calendar of a year on the way is not published yet; the day may still move.
    pub provisional: bool,
    /// On the day of the answer; none while no limit runs.
    pub lamp: Option<Lamp>,
    /// The days from which the lamp is yellow, and red: a phone without a network turns it by itself.
    pub yellow_from: Option<NaiveDate>,
    pub red_from: Option<NaiveDate>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

/// Whom it is for; masked for everybody else.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}))]
pub struct ErrandResident {
    pub id: Uuid,
    pub name: Option<String>,
}

impl ErrandView {
    /// In a list.
    pub fn listed(app: &App, caller: &Caller, lang: Lang, row: &Line, today: NaiveDate) -> Result<Self> {
        let own = row.resident_id == caller.subject;
        let (name, _) =
            people::name_and_phone(app, (row.county_id, row.resident_id), (row.resident_name.as_deref(), None), !own)?;
        let named =
            |id: Option<Uuid>, name: &Option<String>| id.map(|id| Named { id, name: name.clone().unwrap_or_default() });
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        Ok(Self {
            id: row.id,
            number: row.number.clone(),
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            matter: ErrandMatter { id: row.matter_id, name: row.matter_name.clone(), version: row.matter_version },
            decided_by: row.decided_by,
            department: named(row.department_id, &row.department_name),
            kind: row.kind,
            resident: ErrandResident { id: row.resident_id, name },
            unit: Named { id: row.unit_id, name: row.unit_name.clone() },
            holder: named(row.holder_id, &row.holder_name),
            offered_to: row.offered_to,
            mandate_id: row.mandate_id,
            filed_by: row.filed_by,
            filed_by_resident: row.filed_by_resident,
            finding_id: None,
            form: None,
            answers: row.answers.clone(),
            materials: row.materials.clone(),
            supplements: row.supplements,
            asked_for: row.asked.clone(),
            supplement_until: None,
            limit_days: row.limit_days,
            submitted_on: row.submitted_on,
            accepted_on: row.accepted_on,
            decided_on: row.decided_on,
            granted: row.granted,
            documents: Vec::new(),
            delivery: None,
            call_back: None,
            due_on: row.due_on,
            provisional: row.provisional,
            lamp: lamp(row.yellow_from, row.red_from, today),
            yellow_from: row.yellow_from,
            red_from: row.red_from,
            version: row.version,
            created_at: local(row.created_at),
            updated_at: local(row.updated_at),
        })
    }

    /// Alone, with what is in it and its reply.
    pub fn new(app: &App, caller: &Caller, lang: Lang, row: &Errand, today: NaiveDate) -> Result<Self> {
        let mine = caller.is_resident() || row.held || row.departmental;
        let open = |sealed: &[u8]| {
            let plain = app.keys.open(row.county_id, &form_place(row.id), sealed)?;
            serde_json::from_slice::<Value>(&plain).map_err(Error::internal)
        };
        Ok(Self {
            finding_id: row.finding_id,
            form: row.form.as_deref().filter(|_| mine).map(open).transpose()?,
            supplement_until: row.supplement_until(),
            documents: row.documents(),
            delivery: ErrandDelivery::of(app, row, mine)?,
            call_back: ErrandCallBack::of(row),
            ..Self::listed(app, caller, lang, row, today)?
        })
    }
}
