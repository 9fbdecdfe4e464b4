//! Failed jobs over HTTP: seen and replayed by a person.

use actix_web::{HttpRequest, HttpResponse, get, post, web::Data};
use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::store::{self, Dead};
use crate::{
    app::App,
    audit::{self, Audit},
    clock::CST,
    error::{Code, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        idempotency::{Answer, IdempotencyKey, Once},
        page::{self, After, Page},
        permissions::ManageJobs,
        valid::{Query, Valid},
    },
    todos,
};

/// A job that was given up.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"number": 4711, "kind": "deliver_message", "payload": {"message": "0199a0c0-0000-7000-8000-0000000000f1"},
    "attempts": 8, "last_error": "unavailable: busy", "dead_at": "2026-11-21T20:30:00+08:00"}))]
pub struct DeadJobView {
    pub number: i64,
    pub kind: String,
    /// Ids only.
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
    pub attempts: i32,
    pub last_error: Option<String>,
    /// None once it is alive again.
    pub dead_at: Option<DateTime<FixedOffset>>,
}

impl From<Dead> for DeadJobView {
    fn from(dead: Dead) -> Self {
        let Dead { id, kind, payload, attempts, last_error, dead_at } = dead;
        Self { number: id, kind, payload, attempts, last_error, dead_at: dead_at.map(|at| at.with_timezone(&CST)) }
    }
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct JobsQuery {
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Also count all of them.
    #[param(default = false)]
    count: Option<bool>,
}

/// List failed jobs
///
/// Jobs of the county that were given up after their last attempt, oldest first.
#[utoipa::path(tag = "jobs", security(("token" = ["jobs:manage"])), params(JobsQuery),
    responses((status = 200, description = "A page of failed jobs", body = Page<DeadJobView>)))]
#[get("/v1/jobs/dead")]
pub async fn list_dead_jobs(caller: Can<ManageJobs>, app: Data<App>, query: Query<JobsQuery>) -> Result<HttpResponse> {
    let (limit, count, county) = (page::limit(query.0.limit)?, query.0.count.unwrap_or(false), caller.county);
    let after = page::after(&app.keys, "jobs", query.0.cursor.as_deref())?;
    let after = after.map_or(0, |after| after.id.as_u128() as i64);
    let (rows, total) = app
        .db
        .read("list_dead_jobs", move |conn| {
            let total = if count { Some(store::count_dead(conn, county)?) } else { None };
            Ok((store::dead(conn, county, after, limit)?, total))
        })
        .await?;
    let place = |dead: &Dead| After { at: DateTime::UNIX_EPOCH, id: Uuid::from_u128(dead.id as u128) };
    let page = page::cut(&app.keys, "jobs", rows, limit as usize, place, |dead| Ok(DeadJobView::from(dead)))?;
    Ok(HttpResponse::Ok().json(Page { total, ..page }))
}

/// Nothing to say.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct ReplayJob {}

/// Replay a failed job
///
/// Gives it all its attempts again, at once. For when the cause is gone.
#[utoipa::path(tag = "jobs", security(("token" = ["jobs:manage"])), params(("number" = i64, Path, description = "The job"), IdempotencyHeader),
    request_body = ReplayJob, responses((status = 200, description = "Alive again", body = DeadJobView)), extensions(("x-errors" = json!(["job_not_dead"]))))]
#[post("/v1/jobs/{number}/replay")]
pub async fn replay_job(
    caller: Can<ManageJobs>,
    request: HttpRequest,
    key: IdempotencyKey,
    app: Data<App>,
    body: Valid<ReplayJob>,
) -> Result<Answer> {
    let number: i64 =
        request.match_info().get("number").and_then(|number| number.parse().ok()).ok_or(Code::NotFound)?;
    let once = Once::new(&caller, "replay_job", key, body.digest);
    let (county, now) = (caller.county, app.clock.now());
    let (who, entry) = (Caller::clone(&caller), Audit::new("replay", "job", super::entity(number)));
    app.once(once, move |conn| match store::replay(conn, county, number, now)? {
        Some(alive) => {
            todos::drop_about(conn, county, todos::Kind::Failure, ("job", super::entity(number)), now)?;
            audit::record(conn, &who, now, &entry)?;
            Answer::ok(1, &DeadJobView::from(alive))
        }
        None if store::exists(conn, county, number)? => Err(Code::JobNotDead.into()),
        None => Err(Code::NotFound.into()),
    })
    .await
}
