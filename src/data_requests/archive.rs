//! Fetching the copy of one's data.

use actix_web::{HttpResponse, get, http::header, web::Data};
use diesel::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    model::{self, DataRequest, DataRequestKind, DataRequestState},
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    error::{Code, Result},
    http::{
        caller::{Caller, Can, Scope},
        permissions::ReadDataRequests,
        valid::Id,
    },
    people,
};

/// Everything the service knows of one person, plain, by room. What a room gives may grow.
#[derive(ToSchema)]
#[schema(as = DataArchive, example = json!({"made_at": "2026-11-23T08:00:00+08:00", "resident": "0199a0c0-0000-7000-8000-00000000000a",
    "rooms": {"people": {"record": {"name": "陈阿婆"}, "audit": []}, "appointments": {"appointments": []}, "consents": {"answers": []}}}))]
#[expect(dead_code, reason = "only its schema is used: the bytes are stored as they were made")]
pub struct DataArchive {
    made_at: chrono::DateTime<chrono::FixedOffset>,
    resident: Uuid,
    rooms: serde_json::Value,
}

/// The request, if its copy can be fetched by this caller now.
fn fetchable(conn: &mut PgConnection, app: &App, who: &Caller, scope: Scope, id: Uuid) -> Result<DataRequest> {
    let row = store::find(conn, scope.county, id)?.ok_or(Code::NotFound)?;
    let person = people::subject::known(conn, scope, row.resident_id)?.filter(|person| person.closed_at.is_none());
    let person = person.filter(|_| row.kind == DataRequestKind::Export).ok_or(Code::NotFound)?;
    if who.staff().is_some() && person.wechat {
        return Err(Code::ArchiveForResident.into());
    }
    let over = row.expires_at.is_some_and(|expires| expires <= app.clock.now());
    match row.state {
        DataRequestState::Expired => Err(Code::ExportExpired.into()),
        DataRequestState::Ready if over => Err(Code::ExportExpired.into()),
        DataRequestState::Ready => Ok(row),
        _ => Err(Code::ExportNotReady.into()),
    }
}

/// Fetch the copy of one's data
///
/// One JSON document, until it expires (`privacy.export_days`). Only for the resident; staff fetch it for somebody without a phone,
/// which is recorded and which the person can see in the next copy.
#[utoipa::path(tag = "data_requests", security(("token" = ["data_requests:read"])), params(("id" = Uuid, Path, description = "The request, of kind `export`")),
    responses((status = 200, description = "The copy", body = DataArchive)),
    extensions(("x-errors" = json!(["export_not_ready", "export_expired", "archive_for_resident"]))))]
#[get("/v1/data_requests/{id}/archive")]
pub async fn get_data_archive(caller: Can<ReadDataRequests>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (who, scope, now, inner) = (Caller::clone(&caller), caller.scope, app.clock.now(), app.clone());
    let entry = Audit::new("export", "resident", Uuid::nil());
    let sealed = app
        .db
        .write("get_data_archive", move |conn| {
            let row = fetchable(conn, &inner, &who, scope, id.0)?;
            audit::record(conn, &who, now, &entry.of(row.resident_id))?;
            store::archive(conn, scope.county, id.0)?.ok_or(Code::ExportExpired.into())
        })
        .await?;
    let bytes = app.keys.open(scope.county, &model::place("archive", id.0), &sealed)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"lianxin.json\""))
        .content_type("application/json")
        .body(bytes))
}
