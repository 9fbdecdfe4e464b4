//! Registering a resident whose identity a member of staff has seen.

use actix_web::{post, web::Data};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{IdNumber, IdentityLevel, IdentitySeen, PersonName, Phone, Resident},
    routes::{ResidentView, checked, guardian_required, record, unit_unknown, values},
    store::{self, Values},
};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::local_date,
    consents::{self, DeskHow, Purpose},
    error::{Code, Result},
    http::{
        caller::{Caller, Can, Scope},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        permissions::RegisterResidents,
        valid::Valid,
    },
    units,
};

/// A resident without WeChat, seen by a member of staff.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "陈阿婆", "id_number": "350425194806120018", "phone": "13950900001",
    "unit_id": "0199a0c0-0000-7000-8000-000000000001", "identity_seen": "id_card", "consents": ["id_number"], "consents_how": "signed"}))]
pub struct RegisterResident {
    name: PersonName,
    id_number: Option<IdNumber>,
    phone: Option<Phone>,
    /// The village or community; within the caller's reach.
    unit_id: Uuid,
    /// How the identity was seen.
    identity_seen: IdentitySeen,
    /// What the person agreed to there (texts: `GET /v1/consent_texts`); an ID number needs `id_number`. Up to 4.
    #[validate(length(max = 4))]
    #[schema(max_items = 4, inline)]
    consents: Option<Vec<Purpose>>,
    /// How the consents were given; required with them.
    #[schema(inline)]
    consents_how: Option<DeskHow>,
}

/// Who is to be registered.
#[derive(Clone, Debug)]
pub struct Registration {
    pub name: PersonName,
    pub id_number: Option<IdNumber>,
    pub phone: Option<Phone>,
    pub unit_id: Uuid,
    pub identity_seen: IdentitySeen,
    /// What the person agreed to.
    pub consents: Vec<(Purpose, consents::How)>,
}

/// Registers somebody whose identity the caller has seen, in the transaction of `conn`; the audit entry names the new record.
pub fn register(
    conn: &mut PgConnection,
    app: &App,
    who: &Caller,
    scope: Scope,
    entry: &Audit,
    new: &Registration,
) -> Result<Resident> {
    let id = entry.entity_id;
    if !units::exists_in(conn, scope, new.unit_id)? {
        return Err(unit_unknown());
    }
    let values = Values {
        unit_id: Some(new.unit_id),
        identity_level: IdentityLevel::Officer,
        identity_seen: Some(new.identity_seen),
        ..values(app, scope.county, id, Some(&new.name), new.id_number.as_ref(), new.phone.as_ref())
    };
    let values = checked(conn, app, scope.county, id, new.id_number.as_ref(), values)?;
    if new.id_number.is_some() {
        consents::required_at_desk(conn, (scope.county, id), Purpose::IdNumber, &new.consents, values.updated_at)?;
    }
    let row = store::insert(conn, scope.county, id, who.subject, values)?;
    consents::give_at_desk(conn, (scope.county, id), &new.consents, who.subject, row.created_at)?;
    audit::record(conn, who, row.created_at, entry)?;
    record(conn, &row, None)?;
    Ok(row)
}

/// Register a resident
///
/// At the desk or at home, for somebody without WeChat. The caller saw the identity and says how. An ID number that is
/// already registered in the county is a conflict: look the resident up instead, or take the record over
/// (`POST /v1/residents/take_over`) when it belongs to another village. An ID number needs the consent `id_number`, recorded in
/// the same request. A child under 14 is registered with its guardian (`POST /v1/children`).
#[utoipa::path(tag = "residents", security(("token" = ["residents:register"])), params(IdempotencyHeader), request_body = RegisterResident,
    responses((status = 201, description = "Registered; masked", body = ResidentView)), extensions(("x-errors" = json!(["resident_exists", "consent_required", "too_many_requests"]))))]
#[post("/v1/residents")]
pub async fn register_resident(
    caller: Can<RegisterResidents>,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<RegisterResident>,
) -> Result<Answer> {
    let once = Once::new(&caller, "register_resident", key, body.digest);
    limits::take(&app, "registrations", &format!("{}:{}", caller.county, caller.subject), 30).await?;
    let (command, scope, who) = (body.value, caller.scope, Caller::clone(&caller));
    let (id, inner, today) = (Uuid::now_v7(), app.clone(), local_date(app.clock.now()));
    let consents = consents::at_desk(command.consents.as_deref(), command.consents_how)?;
    let RegisterResident { name, id_number, phone, unit_id, identity_seen, .. } = command;
    if id_number.as_ref().is_some_and(|number| number.is_child(today)) {
        return Err(guardian_required("/id_number"));
    }
    let entry = Audit::new("register", "resident", id);
    let new = Registration { name, id_number, phone, unit_id, identity_seen, consents };
    let answer = app.once(once, move |conn| {
        let row = register(conn, &inner, &who, scope, &entry, &new)?;
        Answer::created(format!("/v1/residents/{id}"), row.version, &ResidentView::new(&inner, &who, &row)?)
    });
    let answer = answer.await;
    note_taken(&app, &caller, &answer).await?;
    answer
}

/// Who learns that a number is registered has left a trace: the transaction that found out is gone.
pub async fn note_taken<T>(app: &App, caller: &Caller, answer: &Result<T>) -> Result<()> {
    if !answer.as_ref().is_err_and(|error| error.code == Code::ResidentExists) {
        return Ok(());
    }
    let (who, now) = (caller.clone(), app.clock.now());
    let entry = Audit::new("number_taken", "resident", Uuid::nil()).fields(vec!["id_number"]);
    app.db.write("note_taken", move |conn| Ok(audit::record(conn, &who, now, &entry)?)).await
}
