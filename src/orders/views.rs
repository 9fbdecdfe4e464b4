//! An order as it is answered.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    kinds::{Dispatch, Evidence, HelperKind},
    model::{ConfirmedHow, Order, OrderState, StartedHow},
};
use crate::{
    app::App,
    appointments::Named,
    clock::CST,
    error::{Error, Lang, Result},
    geo::Point,
    http::caller::Caller,
    people,
};

/// What a sealed column of an order is bound to.
pub fn place(column: &str, id: Uuid) -> String {
    format!("orders.{column}/{id}")
}

/// Whom it is for; masked for everybody but themselves and, in a single order, whoever holds it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"}))]
pub struct OrderResident {
    pub id: Uuid,
    pub name: Option<String>,
}

/// Who holds an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000a1", "kind": "specialist", "name": "红星村特派员"}))]
pub struct OrderHolder {
    /// The helper (服务人员).
    pub id: Uuid,
    pub kind: HelperKind,
    /// Of volunteers and care staff masked.
    pub name: Option<String>,
}

/// An order (订单).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000d1", "number": "D261123-482913", "state": "claimed", "state_name": "已接单",
    "kind": {"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "日用品代购"}, "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"},
    "unit": {"id": "0199a0c0-0000-7000-8000-000000000002", "name": "红星村"}, "wanted_from": "2026-11-23T14:00:00+08:00", "wanted_until": "2026-11-23T16:00:00+08:00",
    "at_once": false, "skills": [], "language": null, "dispatch": "grab_then_assign", "evidence": "photo", "money": true, "duration_minutes": 60, "address": null, "phone": null,
    "words": null, "form": null, "place": null, "holder": {"id": "0199a0c0-0000-7000-8000-0000000000a1", "kind": "specialist", "name": "红星村特派员"}, "held": false,
    "lease_until": "2026-11-23T13:30:00+08:00", "ordered_by": null, "ordered_by_resident": null, "finding_id": null, "series_id": null, "occurrence": null, "codes_locked": false, "set_out_at": null, "started_at": null,
    "started_how": null, "finished_at": null, "confirmed_how": null, "ended_at": null, "version": 2, "created_at": "2026-11-23T08:00:00+08:00", "updated_at": "2026-11-23T08:20:00+08:00"}))]
pub struct OrderView {
    pub id: Uuid,
    /// To read over the phone.
    pub number: String,
    pub state: OrderState,
    /// The state in the language of the request.
    pub state_name: String,
    pub kind: Named,
    pub resident: OrderResident,
    pub unit: Named,
    /// When somebody is wanted to come.
    pub wanted_from: DateTime<FixedOffset>,
    pub wanted_until: DateTime<FixedOffset>,
    /// As soon as somebody can.
    pub at_once: bool,
    /// What whoever takes it must be able to do.
    pub skills: Vec<String>,
    /// A skill that is wished, such as a dialect.
    pub language: Option<String>,
    pub dispatch: Dispatch,
    /// What finishing asks for.
    pub evidence: Evidence,
    /// Money passes through the helper's hands.
    pub money: bool,
    pub duration_minutes: i16,
    /// Where, whom to call, what is wished, what was filled in and the point on the map: for the resident's side, and, in a single order, for whoever
    /// holds it from the claim to the end.
    pub address: Option<String>,
    pub phone: Option<String>,
    pub words: Option<String>,
    pub form: Option<Value>,
    pub place: Option<Point>,
    pub holder: Option<OrderHolder>,
    /// The caller holds it.
    pub held: bool,
    /// Until then whoever claimed it must be on the way.
    pub lease_until: Option<DateTime<FixedOffset>>,
    /// The member of staff who ordered it for the resident.
    pub ordered_by: Option<Uuid>,
    /// The relative or carer who ordered it.
    pub ordered_by_resident: Option<Uuid>,
    /// What a visit found that it was made of (民情登记).
    pub finding_id: Option<Uuid>,
    /// The series that it is one of, and its day.
    pub series_id: Option<Uuid>,
    pub occurrence: Option<NaiveDate>,
    /// Too many wrong codes: new ones have to be made.
    pub codes_locked: bool,
    pub set_out_at: Option<DateTime<FixedOffset>>,
    pub started_at: Option<DateTime<FixedOffset>>,
    pub started_how: Option<StartedHow>,
    pub finished_at: Option<DateTime<FixedOffset>>,
    pub confirmed_how: Option<ConfirmedHow>,
    /// When it was confirmed or cancelled.
    pub ended_at: Option<DateTime<FixedOffset>>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub updated_at: DateTime<FixedOffset>,
}

fn text(app: &App, row: &Order, column: &str, sealed: Option<&Vec<u8>>) -> Result<Option<String>> {
    let open = |sealed: &Vec<u8>| app.keys.open_text(row.county_id, &place(column, row.id), sealed);
    Ok(sealed.map(open).transpose()?)
}

impl OrderHolder {
    fn of(app: &App, caller: &Caller, row: &Order) -> Result<Option<Self>> {
        let Some((id, kind)) = row.holder_id.zip(row.holder_kind) else { return Ok(None) };
        let name = match row.holder_resident {
            None => row.holder_staff_name.clone(),
            Some(resident) => {
                let sealed = (row.holder_name.as_deref(), None);
                people::name_and_phone(app, (row.county_id, resident), sealed, resident != caller.subject)?.0
            }
        };
        Ok(Some(Self { id, kind, name }))
    }
}

impl OrderView {
    /// As in lists and after commands: plain for the resident's side only.
    pub fn new(app: &App, caller: &Caller, lang: Lang, row: &Order) -> Result<Self> {
        Self::shown(app, caller, lang, row, row.mine)
    }

    /// Whether it is shown plain because the caller holds it; the look is recorded by whoever asks.
    pub fn is_plain_for_holder(row: &Order) -> bool {
        row.held && !row.mine && row.state.shows_whom()
    }

    pub fn shown(app: &App, caller: &Caller, lang: Lang, row: &Order, plain: bool) -> Result<Self> {
        let whom = (row.county_id, row.resident_id);
        let (name, _) = people::name_and_phone(app, whom, (row.resident_name.as_deref(), None), !plain)?;
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        let opened = |column: &str, sealed: &Option<Vec<u8>>| text(app, row, column, sealed.as_ref().filter(|_| plain));
        let form = opened("form", &row.form)?;
        let form = form.map(|form| serde_json::from_str(&form).map_err(Error::internal)).transpose()?;
        Ok(Self {
            id: row.id,
            number: row.number.clone(),
            state: row.state,
            state_name: row.state.words().get(lang).to_owned(),
            kind: Named { id: row.kind_id, name: row.kind_name.clone() },
            resident: OrderResident { id: row.resident_id, name },
            unit: Named { id: row.unit_id, name: row.unit_name.clone() },
            wanted_from: local(row.wanted_from),
            wanted_until: local(row.wanted_until),
            at_once: row.at_once,
            skills: row.skills.clone(),
            language: row.language.clone(),
            dispatch: row.dispatch,
            evidence: row.evidence,
            money: row.money,
            duration_minutes: row.duration_minutes,
            address: opened("address", &row.address)?,
            phone: opened("phone", &row.phone)?,
            words: opened("words", &row.words)?,
            form,
            place: row.lng.zip(row.lat).filter(|_| plain).map(|(lng, lat)| Point::wgs84(lng, lat)),
            holder: OrderHolder::of(app, caller, row)?,
            held: row.held,
            lease_until: row.lease_until.map(local),
            ordered_by: row.ordered_by,
            ordered_by_resident: row.ordered_by_resident,
            finding_id: row.finding_id,
            series_id: row.series_id,
            occurrence: row.occurrence,
            codes_locked: row.tries >= 5,
            set_out_at: row.set_out_at.map(local),
            started_at: row.started_at.map(local),
            started_how: row.started_how,
            finished_at: row.finished_at.map(local),
            confirmed_how: row.confirmed_how,
            ended_at: row.ended_at.map(local),
            version: row.version,
            created_at: local(row.created_at),
            updated_at: local(row.updated_at),
        })
    }
}
