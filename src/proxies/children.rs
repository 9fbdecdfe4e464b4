//! Children under 14: only through a guardian (PIPL art. 31).

use actix_web::{post, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    model::{GivenHow, May, Relation},
    routes::ProxyView,
    store::{self, NewProxy},
};
use crate::{
    app::App,
    audit::Audit,
    clock::local_date,
    consents::{self, DeskHow, Purpose},
    error::{Code, Error, FieldError, Lang, Result, Text},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::RegisterResidents,
        valid::Valid,
    },
    people::{self, IdNumber, IdentityLevel, IdentitySeen, PersonName, Registration, ResidentView},
};

/// Full age, in years (民法典 17).
const FULL_AGE: u32 = 18;

/// A child under 14 and who answers for it.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "林小宝", "id_number": "350425201906010015", "unit_id": "0199a0c0-0000-7000-8000-000000000001",
    "identity_seen": "household_register", "guardian_id": "0199a0c0-0000-7000-8000-00000000000b",
    "consents": ["under_14", "id_number"], "consents_how": "signed"}))]
pub struct RegisterChild {
    name: PersonName,
    /// Tells the age.
    id_number: IdNumber,
    /// The village or community; within the caller's reach.
    unit_id: Uuid,
    /// How the identity was seen, for example in the household register that names both.
    identity_seen: IdentitySeen,
    /// A resident of full age whose identity an officer has checked; within the caller's reach.
    guardian_id: Uuid,
    /// What the guardian agreed to for the child (texts: `GET /v1/consent_texts`): `under_14` and `id_number` are needed.
    #[validate(length(max = 4))]
    #[schema(max_items = 4, inline)]
    consents: Option<Vec<Purpose>>,
    /// How; required with them.
    #[schema(inline)]
    consents_how: Option<DeskHow>,
}

/// The child and its guardian.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"child": {"id": "0199a0c0-0000-7000-8000-00000000000c", "masked": true}, "guardian": {"relation": "guardian", "state": "active"}}))]
pub struct ChildView {
    pub child: ResidentView,
    pub guardian: ProxyView,
}

/// Register a child under 14
///
/// Together with the guardian, who may act for the child in everything until the day before its 14th birthday.
#[utoipa::path(tag = "proxies", security(("token" = ["residents:register"])), params(IdempotencyHeader), request_body = RegisterChild,
    responses((status = 201, description = "Registered", body = ChildView)), extensions(("x-errors" = json!(["resident_exists", "consent_required"]))))]
#[post("/v1/children")]
pub async fn register_child(
    caller: Can<RegisterResidents>,
    key: IdempotencyKey,
    lang: Lang,
    app: Data<App>,
    body: Valid<RegisterChild>,
) -> Result<Answer> {
    let once = Once::new(&caller, "register_child", key, body.digest);
    let (who, scope, command) = (Caller::clone(&caller), caller.scope, body.value);
    let (now, today) = (app.clock.now(), local_date(app.clock.now()));
    let until = command.id_number.child_until().filter(|until| *until >= today);
    let Some(valid_until) = until else {
        let (zh, en) = ("不是未满 14 周岁的儿童，请按普通居民登记", "not a child under 14: register as a resident");
        return Err(Error::field("/id_number", "not_a_child", zh, en));
    };
    let consents = consents::at_desk(command.consents.as_deref(), command.consents_how)?;
    let (child, proxy, inner) = (Uuid::now_v7(), Uuid::now_v7(), app.clone());
    let entry = Audit::new("register", "resident", child);
    let answer = app.once(once, move |conn| {
        let guardian = people::lock(conn, scope, command.guardian_id)?;
        let of_age = |number: IdNumber| number.age(today) >= FULL_AGE;
        let guardian = match guardian {
            Some(row) if row.identity_level == IdentityLevel::Officer => {
                people::id_number(&inner, &row)?.is_some_and(of_age).then_some(row)
            }
            _ => None,
        };
        let guardian = guardian.ok_or_else(guardian_unknown)?;
        let new = Registration {
            name: command.name.clone(),
            id_number: Some(command.id_number.clone()),
            phone: None,
            unit_id: command.unit_id,
            identity_seen: command.identity_seen,
            consents: consents.clone(),
        };
        consents::required_at_desk(conn, (scope.county, child), Purpose::Under14, &consents, now)?;
        let row = people::register(conn, &inner, &who, scope, &entry, &new)?;
        let new = NewProxy {
            id: proxy,
            resident: child,
            proxy: Some(guardian.id),
            relation: Relation::Guardian,
            may: May::ALL.to_vec(),
            valid_until,
            given_how: GivenHow::ByLaw,
            given_by: who.staff(),
        };
        let proxy = store::insert(conn, scope.county, &new, now)?;
        let guardian = ProxyView::many(conn, &inner, lang, vec![proxy])?.pop().ok_or(Code::NotFound)?;
        let view = ChildView { child: ResidentView::new(&inner, &who, &row)?, guardian };
        Answer::created(format!("/v1/residents/{child}"), row.version, &view)
    });
    let answer = answer.await;
    people::note_taken(&app, &caller, &answer).await?;
    answer
}

fn guardian_unknown() -> Error {
    Error::invalid(vec![FieldError::body(
        "/guardian_id",
        "guardian_unfit",
        Text::fixed(
            "监护人须为本人管辖范围内、已核验身份（含身份证号）的成年居民",
            "the guardian must be a resident of full age within your reach whose identity and ID number are checked",
        ),
    )])
}
