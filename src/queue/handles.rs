//! The random handle (取号码) of an appointment: what its QR code says, and what a kiosk or the desk reads.

use actix_web::{HttpResponse, get, http::header, web::Data};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Array, Binary, Integer, Timestamptz, Uuid as SqlUuid},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::store::OnlyId;
use crate::{
    app::App,
    appointments::{model::AppointmentState as State, store},
    clock::local_date,
    crypto,
    db::found,
    error::{Code, Error, Result},
    http::{caller::Can, limits, permissions::ReadAppointments, valid::Id},
    statement,
    windows::Place,
};

/// What blind indexes of handles are made of.
pub const FIELD: &str = "appointment_handle";

/// 31^20 handles; a `scene` of WeChat holds 32 characters.
const LENGTH: usize = 20;

/// The page of the mini-program that the code opens.
const PAGE: &str = "pages/appointment";

fn place(id: Uuid) -> String {
    format!("appointment_handles.handle/{id}")
}

statement! {
    struct Keep { county: i32 as Integer, id: Uuid as SqlUuid, handle: Vec<u8> as Binary, index: Vec<u8> as Binary, now: DateTime<Utc> as Timestamptz }
    "INSERT INTO appointment_handles (county_id, id, handle, handle_index, created_at) VALUES ({county}, {id}, {handle}, {index}, {now}) \
     ON CONFLICT (county_id, id) DO NOTHING"
}

statement! {
    struct Kept { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT handle FROM appointment_handles WHERE county_id = {county} AND id = {id}"
}

statement! {
    struct Whose { county: i32 as Integer, indexes: Vec<Vec<u8>> as Array<Binary> }
    "SELECT id FROM appointment_handles WHERE county_id = {county} AND handle_index = ANY ({indexes})"
}

#[derive(QueryableByName)]
struct Sealed {
    #[diesel(sql_type = Binary)]
    handle: Vec<u8>,
}

/// The handle of an appointment, made when it is first wanted. Two who want it at once read the same.
fn handle(conn: &mut PgConnection, app: &App, county: i32, id: Uuid, now: DateTime<Utc>) -> Result<String> {
    let kept = |conn: &mut PgConnection| found(Kept { county, id }.get_result::<Sealed>(conn));
    let row = match kept(conn)? {
        Some(row) => row,
        None => {
            let new = crypto::random_code(LENGTH);
            let (handle, index) =
                (app.keys.seal(county, &place(id), new.as_bytes()), app.keys.blind(county, FIELD, &new));
            Keep { county, id, handle, index, now }.execute(conn)?;
            kept(conn)?.ok_or(Code::NotFound)?
        }
    };
    Ok(app.keys.open_text(county, &place(id), &row.handle)?)
}

/// The appointment whose handle was read or typed. Case, spaces and hyphens do not matter.
pub fn find(conn: &mut PgConnection, app: &App, county: i32, typed: &str) -> Result<Option<Uuid>> {
    let code: String = typed.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let indexes = app.keys.blinds(county, FIELD, &code);
    Ok(found(Whose { county, indexes }.get_result::<OnlyId>(conn))?.map(|row| row.id))
}

/// The handle of an appointment that the caller may see and that leads to a ticket.
async fn of(app: &Data<App>, caller: &Can<ReadAppointments>, id: Uuid) -> Result<String> {
    let (scope, now, inner) = (caller.scope, app.clock.now(), app.clone());
    let me = (caller.subject, local_date(now));
    app.db
        .write("appointment_handle", move |conn| {
            let row = store::find(conn, scope, me, id)?.ok_or(Code::NotFound)?;
            if row.place != Place::Centre {
                return Err(Code::NotAtCentre.into());
            }
            if !matches!(row.state, State::Booked | State::Arrived | State::Called | State::Missed) {
                let words = row.state.words();
                let (zh, en) = (format!("当前状态：{}", words.zh), format!("Its state: {}", words.en));
                return Err(Error::new(Code::NotBooked).detail(zh, en));
            }
            handle(conn, &inner, scope.county, row.id, now)
        })
        .await
}

/// The handle of an appointment.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"handle": "7K3MPQ2XWH5RTN8CVEJ4", "scene": "7K3MPQ2XWH5RTN8CVEJ4"}))]
pub struct HandleView {
    /// What a QR code says, and what can be typed at the desk. Random, always the same for an appointment.
    pub handle: String,
    /// The same as the `scene` of a code of WeChat.
    pub scene: String,
}

/// The code to arrive with
///
/// For whoever may see the appointment: draw it as a QR code, or show it to be typed. Whoever has it can take the ticket, and
/// nothing else.
#[utoipa::path(tag = "queue", security(("token" = ["appointments:read"])), params(("id" = Uuid, Path, description = "The appointment")),
    responses((status = 200, description = "The handle", body = HandleView)), extensions(("x-errors" = json!(["not_booked", "not_at_centre"]))))]
#[get("/v1/appointments/{id}/code")]
pub async fn get_appointment_code(caller: Can<ReadAppointments>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let handle = of(&app, &caller, id.0).await?;
    let view = HandleView { scene: handle.clone(), handle };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// The code to arrive with, drawn by WeChat
///
/// The round code of WeChat (`wxa/getwxacodeunlimit`) with the handle as its scene: it opens `pages/appointment` of the
/// mini-program. PNG or JPEG, as WeChat draws it; at most 10 a minute.
#[utoipa::path(tag = "queue", security(("token" = ["appointments:read"])), params(("id" = Uuid, Path, description = "The appointment")),
    responses((status = 200, description = "The image", body = Vec<u8>, content_type = "image/png", example = json!("(PNG)"))),
    extensions(("x-errors" = json!(["not_booked", "not_at_centre", "too_many_requests", "wechat_unavailable"]))))]
#[get("/v1/appointments/{id}/wxacode")]
pub async fn get_appointment_wxacode(caller: Can<ReadAppointments>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let handle = of(&app, &caller, id.0).await?;
    limits::take(&app, "wxacodes", &format!("{}:{}", caller.county, caller.subject), 10).await?;
    let county = app.counties.public(&app, &caller.county_key).await?;
    let image = app.wechat.code(&app, &county, &handle, PAGE).await.map_err(crate::wechat::Refusal::into_error)?;
    let answer = HttpResponse::Ok()
        .content_type(image.media_type)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(image.bytes);
    Ok(answer)
}
