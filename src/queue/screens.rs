//! Screens and kiosks of a hall: made, listed and ended by staff. They have no login; a secret in their address is all they have.

use actix_web::{HttpResponse, get, http::header, post, web::Data};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{
    buttons::QueueCommand,
    model::local,
    store::{self, Hand},
};
use crate::{
    app::App,
    audit::{self, Audit},
    crypto,
    db::found,
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::WriteScreens,
        valid::{Id, Query, Valid},
    },
    statement,
};

#[derive(Clone, Debug, QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    unit_id: Uuid,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Binary)]
    handle_hash: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    ended_at: Option<DateTime<Utc>>,
}

statement! {
    struct Insert {
        county: i32 as Integer, id: Uuid as SqlUuid, unit: Uuid as SqlUuid, name: String as Text, hash: Vec<u8> as Binary,
        by: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO hall_screens (county_id, id, unit_id, name, handle_hash, created_by, created_at) \
     VALUES ({county}, {id}, {unit}, {name}, {hash}, {by}, {now}) RETURNING *"
}

statement! {
    struct List { county: i32 as Integer, unit: Uuid as SqlUuid, after: Uuid as SqlUuid, limit: i64 as BigInt }
    "SELECT * FROM hall_screens WHERE county_id = {county} AND unit_id = {unit} AND id > {after} ORDER BY id LIMIT {limit}"
}

statement! {
    struct Count { county: i32 as Integer, unit: Uuid as SqlUuid }
    "SELECT count(*) AS n FROM hall_screens WHERE county_id = {county} AND unit_id = {unit}"
}

statement! {
    struct Lock { county: i32 as Integer, id: Uuid as SqlUuid }
    "SELECT * FROM hall_screens WHERE county_id = {county} AND id = {id} FOR NO KEY UPDATE"
}

statement! {
    struct End { county: i32 as Integer, id: Uuid as SqlUuid, now: DateTime<Utc> as Timestamptz }
    "UPDATE hall_screens SET ended_at = {now} WHERE county_id = {county} AND id = {id} AND ended_at IS NULL"
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// A screen or kiosk of a hall (大厅屏幕).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "unit_id": "0199a0c0-0000-7000-8000-000000000001", "name": "大厅东侧", "created_at": "2026-11-23T08:00:00+08:00", "ended_at": null}))]
pub struct ScreenView {
    pub id: Uuid,
    pub unit_id: Uuid,
    pub name: String,
    pub created_at: DateTime<FixedOffset>,
    /// Its secret is good no more since then.
    pub ended_at: Option<DateTime<FixedOffset>>,
}

impl From<&Row> for ScreenView {
    fn from(row: &Row) -> Self {
        let (created_at, ended_at) = (local(row.created_at), row.ended_at.map(local));
        Self { id: row.id, unit_id: row.unit_id, name: row.name.clone(), created_at, ended_at }
    }
}

/// A new screen and its secret, which nobody can see again.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "secret": "W0m6…"}))]
pub struct ScreenSecretView {
    pub id: Uuid,
    /// Stands for county and centre in `/v1/halls/{secret}`.
    pub secret: String,
}

/// A new screen.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "大厅东侧"}))]
pub struct CreateScreen {
    /// Where it hangs. 1 to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
}

/// Set up a screen or kiosk
///
/// Hands out its secret, once; never replayed. Whoever has it sees ticket numbers and takes tickets at this centre, nothing else.
#[utoipa::path(tag = "queue", security(("token" = ["screens:write"])), params(("id" = Uuid, Path, description = "The unit")), request_body = CreateScreen,
    responses((status = 200, description = "The secret", body = ScreenSecretView)))]
#[post("/v1/units/{id}/screens")]
pub async fn create_screen(
    caller: Can<WriteScreens>,
    id: Id,
    app: Data<App>,
    body: Valid<CreateScreen>,
) -> Result<HttpResponse> {
    let secret = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let hand = Hand::of(&caller, now);
    let (screen, name) = (Uuid::now_v7(), body.value.name.trim().to_owned());
    if name.is_empty() {
        return Err(Error::field("/name", "length", "不能为空", "must not be empty"));
    }
    let (hash, entry) = (crypto::digest(secret.as_bytes()).to_vec(), Audit::new("create", "screen", screen));
    app.db
        .write("create_screen", move |conn| {
            store::reach(conn, hand, id.0)?;
            let (county, by) = (who.county, who.subject);
            Insert { county, id: screen, unit: id.0, name: name.clone(), hash: hash.clone(), by, now }.execute(conn)?;
            Ok(audit::record(conn, &who, now, &entry)?)
        })
        .await?;
    let view = ScreenSecretView { id: screen, secret };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ScreensQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List screens
///
/// Of a centre, oldest first, the ended ones too.
#[utoipa::path(tag = "queue", security(("token" = ["screens:write"])), params(("id" = Uuid, Path, description = "The unit"), ScreensQuery),
    responses((status = 200, description = "A page of screens", body = Page<ScreenView>)))]
#[get("/v1/units/{id}/screens")]
pub async fn list_screens(
    caller: Can<WriteScreens>,
    id: Id,
    app: Data<App>,
    query: Query<ScreensQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "screens", query.cursor.as_deref())?.unwrap_or(After::START).id;
    let (hand, unit) = (Hand::of(&caller, app.clock.now()), id.0);
    let (county, count) = (caller.county, query.count.unwrap_or(false));
    let read = app.db.read("list_screens", move |conn| {
        store::reach(conn, hand, unit)?;
        let total = if count { Some(Count { county, unit }.get_result::<Counted>(conn)?.n) } else { None };
        Ok((List { county, unit, after, limit: limit + 1 }.load::<Row>(conn)?, total))
    });
    let (rows, total) = read.await?;
    let place = |row: &Row| After { at: row.created_at, id: row.id };
    let page = page::cut(&app.keys, "screens", rows, limit as usize, place, |row| Ok(ScreenView::from(&row)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// End a screen
///
/// Its secret is good no more, within 2 seconds everywhere. Pressed twice it changes nothing.
#[utoipa::path(tag = "queue", security(("token" = ["screens:write"])), params(("id" = Uuid, Path, description = "The screen"), IdempotencyHeader),
    request_body = QueueCommand, responses((status = 200, description = "Ended", body = ScreenView)))]
#[post("/v1/screens/{id}/end")]
pub async fn end_screen(
    caller: Can<WriteScreens>,
    id: Id,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<QueueCommand>,
) -> Result<Answer> {
    let once = Once::new(&caller, "end_screen", key, body.digest);
    let (who, now) = (Caller::clone(&caller), app.clock.now());
    let hand = Hand::of(&caller, now);
    let (entry, inner) = (Audit::new("end", "screen", id.0), app.clone());
    app.once(once, move |conn| {
        let county = who.county;
        let mut row: Row = found(Lock { county, id: id.0 }.get_result(conn))?.ok_or(Code::NotFound)?;
        store::reach(conn, hand, row.unit_id)?;
        if row.ended_at.is_none() {
            End { county, id: id.0, now }.execute(conn)?;
            audit::record(conn, &who, now, &entry)?;
            row.ended_at = Some(now);
        }
        // What another request reads before this commits, it forgets a second later.
        inner.boards.forget(&row.handle_hash);
        Answer::ok(1 + i64::from(row.ended_at.is_some()), &ScreenView::from(&row))
    })
    .await
}
