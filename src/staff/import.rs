//! Importing staff from a table: seen first, all or nothing, and the same again changes nothing.

use std::collections::{BTreeSet, HashMap};

use actix_web::{post, web::Data};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    model::Member,
    plan::{self, Action, Facts, Known, Place, Planned},
    store,
};
use crate::{
    app::App,
    audit::{self, Audit},
    db::schema::{staff, staff_posts, units},
    error::{Error, Result},
    http::{
        caller::{Caller, Can},
        document::IdempotencyHeader,
        files::Table,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::WriteStaff,
        valid::Query,
    },
    sessions,
    sheet::{self, FaultView},
    todos,
};

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ImportQuery {
    /// Only says what would happen.
    #[param(default = false)]
    preview: Option<bool>,
}

/// A line of the file.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"line": 2, "username": "chen.xiaolan", "action": "create", "faults": []}))]
pub struct LineView {
    /// The header is line 1.
    pub line: u64,
    pub username: String,
    /// What it does; nothing while anything is wrong.
    pub action: Action,
    pub faults: Vec<FaultView>,
}

/// What an import did, or would do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"preview": true, "created": 1, "updated": 0, "unchanged": 0,
    "lines": [{"line": 2, "username": "chen.xiaolan", "action": "create", "faults": []}]}))]
pub struct ImportView {
    pub preview: bool,
    /// Lines of new accounts.
    pub created: usize,
    pub updated: usize,
    pub unchanged: usize,
    pub lines: Vec<LineView>,
}

impl ImportView {
    fn new(planned: Vec<Planned>, preview: bool) -> Self {
        let count = |action| planned.iter().filter(|plan| plan.action == action).count();
        let (created, updated, unchanged) = (count(Action::Create), count(Action::Update), count(Action::Unchanged));
        let line = |plan: Planned| LineView {
            line: plan.line.line,
            username: plan.line.username,
            action: plan.action,
            faults: plan.line.faults.iter().map(FaultView::from).collect(),
        };
        Self { preview, created, updated, unchanged, lines: planned.into_iter().map(line).collect() }
    }
}

/// Units and staff of a county: a few hundred each.
fn facts(conn: &mut PgConnection, county: i32) -> Result<Facts> {
    type UnitRow = (Uuid, Option<Uuid>, crate::units::Level, String, String);
    let columns = (units::id, units::parent_id, units::level, units::name, units::division_code);
    let here = units::table.filter(units::county_id.eq(county));
    let place = |(id, parent, level, name, code)| Place { id, parent, level, name, code };
    let places = here.select(columns).load::<UnitRow>(conn)?.into_iter().map(place).collect();
    let members: Vec<Member> =
        staff::table.filter(staff::county_id.eq(county)).select(Member::as_select()).load(conn)?;
    let live = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::ended_at.is_null());
    let mut posts: HashMap<Uuid, Vec<_>> = HashMap::new();
    for post in live.select(super::model::Post::as_select()).load(conn)? {
        posts.entry(post.staff_id).or_default().push((post.id, post.role, post.unit_id, post.deputy_id));
    }
    let known = |member: Member| {
        let Member { id, username, display_name, phone, state, .. } = member;
        (username, Known { id, display_name, phone, state, posts: posts.remove(&id).unwrap_or_default() })
    };
    Ok(Facts { places, known: members.into_iter().map(known).collect() })
}

/// Import staff
///
/// A table with the columns `username,display_name,phone,role,unit,deputy`: `text/csv` in UTF-8, UTF-16 or GB 18030 (GBK), or the first sheet of an `.xlsx`
/// workbook; formulas are refused. A person with several
/// posts has several lines. `role` is a code or what people call it; `unit` a name, `township/village`, or a division code,
/// empty for the county; `deputy` a user name. What is empty stays as it is; who is not in the file, too. With anything wrong
/// nothing is imported, and every line's faults are told: with `preview` in the answer, without it as 422, `pointer` being
/// `/<line>/<column>`. Accounts come without passwords, and posts of the role `department_staff` without a department. At most 500
/// lines and 1 MiB. A preview is not kept for repeats.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), params(ImportQuery, IdempotencyHeader),
    request_body(content((String = "text/csv", example = json!("username,display_name,phone,role,unit,deputy\nchen.xiaolan,陈小兰,0598-7220001,village_cadre,均溪镇/红星村委会,\n")), (Vec<u8> = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
    responses((status = 200, description = "What it did, or would do", body = ImportView)))]
#[post("/v1/staff/import")]
pub async fn import_staff(
    caller: Can<WriteStaff>,
    key: IdempotencyKey,
    app: Data<App>,
    query: Query<ImportQuery>,
    body: Table,
) -> Result<Answer> {
    let (county, who, now) = (caller.county, Caller::clone(&caller), app.clock.now());
    let rows = body.rows(&plan::COLUMNS, plan::LINES).await?;
    let lines: Vec<_> = rows.into_iter().map(plan::line).collect();
    if query.0.preview.unwrap_or(false) {
        let read = app.db.read("preview_staff", move |conn| Ok(plan::plan(lines.clone(), &facts(conn, county)?)));
        return Answer::ok(1, &ImportView::new(read.await?, true));
    }
    let once = Once::new(&caller, "import_staff", key, body.digest);
    let entry = Audit::new("import", "staff", Uuid::nil());
    app.once(once, move |conn| {
        store::lock_county(conn, county)?;
        let facts = facts(conn, county)?;
        let planned = plan::plan(lines.clone(), &facts);
        let wrong = sheet::refusal(planned.iter().map(|plan| (plan.line.line, &*plan.line.faults)));
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        for id in apply(conn, county, &facts, &planned, now)? {
            audit::record(conn, &who, now, &entry.of(id))?;
            store::touch(conn, county, id, now)?;
        }
        Answer::ok(1, &ImportView::new(planned, false))
    })
    .await
}

/// Does what was planned; whom it changed.
fn apply(
    conn: &mut PgConnection,
    county: i32,
    facts: &Facts,
    planned: &[Planned],
    now: DateTime<Utc>,
) -> Result<BTreeSet<Uuid>> {
    let mut ids: HashMap<&str, Uuid> = facts.known.iter().map(|(name, known)| (name.as_str(), known.id)).collect();
    let mut changed = BTreeSet::new();
    let mut deputies = Vec::new();
    for Planned { line, post, action } in planned {
        let Some(post) = post else { continue };
        if *action == Action::Unchanged {
            continue;
        }
        let id = match ids.get(line.username.as_str()) {
            Some(id) => *id,
            None => {
                let names = (line.username.as_str(), line.display_name.as_str(), line.phone.as_deref());
                store::insert_member(conn, county, names, None, now)?
            }
        };
        ids.insert(&line.username, id);
        changed.insert(id);
        let known = facts.known.get(&line.username);
        if let Some(known) = known {
            let phone = line.phone.as_deref().or(known.phone.as_deref());
            store::set_names(conn, county, id, (&line.display_name, phone))?;
        }
        let held = known.and_then(|known| known.posts.iter().find(|(_, role, unit, _)| (*role, *unit) == *post));
        let post = match held {
            Some((id, ..)) => *id,
            None => store::insert_post(conn, county, id, *post, None, now)?,
        };
        deputies.extend(line.deputy.as_deref().map(|deputy| (post, deputy)));
    }
    // Last: a deputy may stand further below.
    for (post, deputy) in deputies {
        store::set_deputy(conn, county, post, ids.get(deputy).copied())?;
        todos::drop_about(conn, county, todos::Kind::Decide, ("staff_post", post), now)?;
    }
    sessions::end_uncovered(conn, county, now)?;
    Ok(changed)
}
