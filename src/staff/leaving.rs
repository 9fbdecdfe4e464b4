//! Transfer and dismissal: everything somebody holds goes to another in one transaction.

use std::collections::BTreeSet;

use actix_web::{post, web::Data};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    cover, credentials,
    model::{Member, Post, StaffState, StaffView},
    posts::{self, check_department, check_post},
    routes::view,
    store,
};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    db::schema::staff_posts,
    error::{Code, Error, Result, Text},
    http::{
        caller::{Caller, Can},
        document::{IdempotencyHeader, IfMatchHeader},
        etag::IfMatch,
        idempotency::{Answer, IdempotencyKey, Once},
        permissions::{Role, WriteStaff},
        valid::{Id, Valid},
    },
    rooms::{HandOver, ROOMS},
    sessions,
    todos::{self, NewTodo},
};

/// What went to somebody else.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"room": "todos", "count": 3}))]
pub struct MovedView {
    /// The room that it belongs to: `todos`, …
    pub room: &'static str,
    pub count: usize,
}

/// Somebody after a transfer or dismissal, and what they handed over.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"moved": [{"room": "todos", "count": 3}], "staff": {"id": "0199a0c0-0000-7000-8000-0000000000f1", "display_name": "陈小兰",
    "phone": null, "posts": [], "away_until": null, "account": null, "version": 4}}))]
pub struct LeftView {
    pub staff: StaffView,
    /// How many things of which room were handed over.
    pub moved: Vec<MovedView>,
}

/// Refuses what would leave the county without an administrator who can log in. Takes the county's lock to be held.
pub(super) fn keep_an_administrator(conn: &mut PgConnection, county: i32, without: Uuid) -> Result<()> {
    if store::other_administrators(conn, county, without)? > 0 {
        return Ok(());
    }
    Err(Code::LastAdministrator.into())
}

/// Whether the holder of a post has another as an administrator.
pub(super) fn administrates_besides(conn: &mut PgConnection, county: i32, left: &Post) -> Result<bool> {
    let held = store::posts(conn, county, &[left.staff_id])?;
    Ok(held.iter().any(|post| post.id != left.id && post.role == Role::CountyAdmin))
}

/// Hands over what somebody holds, in all rooms. To nobody only if they hold nothing.
fn hand_over(
    conn: &mut PgConnection,
    (county, from, to): (i32, Uuid, Option<Uuid>),
    unit: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Vec<MovedView>> {
    if let Some(to) = to {
        let wrong = |code, zh, en| Err(Error::field("/hand_over_to", code, zh, en));
        if to == from {
            return wrong("hand_over_self", "须交接给他人", "nobody can hand over to themselves");
        }
        if !store::lock_active(conn, county, to)? {
            return wrong("unknown_staff", "没有这名在职人员", "there is no such active member of staff");
        }
    }
    let mut moved = Vec::new();
    // To oneself only counts; whoever holds anything is refused below, and the transaction takes it all back.
    let over = HandOver { county, from, to: to.unwrap_or(from), unit, now };
    for room in ROOMS {
        let count = room.hand_over.map_or(Ok(0), |hand_over| hand_over(conn, &over))?;
        if count > 0 {
            moved.push(MovedView { room: room.name, count });
        }
    }
    if to.is_none() && !moved.is_empty() {
        let all: Vec<_> = moved.iter().map(|moved| format!("{} {}", moved.count, moved.room)).collect();
        let all = all.join(", ");
        let (zh, en) =
            (format!("仍有 {all}，请指明 hand_over_to"), format!("They still hold {all}; name hand_over_to"));
        return Err(Error::new(Code::StillHolds).detail(zh, en));
    }
    Ok(moved)
}

/// Takes somebody off the posts in which they stand in for others, in one unit or everywhere; a todo for each says so, and each
/// holder has a new version.
fn stand_in_no_more(
    conn: &mut PgConnection,
    staff: Uuid,
    unit: Option<Uuid>,
    by: Written,
    now: DateTime<Utc>,
) -> Result<()> {
    let county = by.actor.county;
    let named = staff_posts::table.filter(staff_posts::county_id.eq(county)).filter(staff_posts::deputy_id.eq(staff));
    let mut query = named.select((staff_posts::id, staff_posts::staff_id)).into_boxed();
    if let Some(unit) = unit {
        query = query.filter(staff_posts::unit_id.eq(unit));
    }
    let mut holders = BTreeSet::new();
    for (post, holder) in query.order(staff_posts::id).load::<(Uuid, Uuid)>(conn)? {
        holders.insert(holder);
        store::set_deputy(conn, county, post, None)?;
        let title = Text::fixed("岗位没有代理人（AB 岗），请指定", "A post has no deputy any more: name one");
        let about = Some(("staff_post", post));
        let (kind, unit, resident, holder, due_at, created_by) = (todos::Kind::Decide, None, None, None, None, None);
        todos::open(conn, NewTodo { county, kind, unit, resident, about, title, holder, due_at, created_by }, now)?;
    }
    for holder in holders {
        cover::told(conn, county, holder, now)?;
        let lost = Audit { action: "update_post", ..by.entry.of(holder) }.fields(vec!["deputy_id"]);
        audit::record(conn, by.actor, now, &lost)?;
        store::touch(conn, county, holder, now)?;
    }
    Ok(())
}

/// Who makes somebody leave, and the entry that tells it.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub actor: Actor,
    pub entry: &'a Audit,
}

/// Dismisses somebody: hands over, ends posts and sessions. Takes the county's lock to be held.
pub(super) fn leave(
    conn: &mut PgConnection,
    member: &Member,
    to: Option<Uuid>,
    by: Written,
    now: DateTime<Utc>,
) -> Result<Vec<MovedView>> {
    let county = member.county_id;
    if member.state == StaffState::Dismissed {
        return Err(Code::AlreadyDismissed.into());
    }
    let held = store::posts(conn, county, &[member.id])?;
    if held.iter().any(|post| post.role == Role::CountyAdmin) {
        keep_an_administrator(conn, county, member.id)?;
    }
    let moved = hand_over(conn, (county, member.id, to), None, now)?;
    store::set_state(conn, county, member.id, StaffState::Dismissed, now)?;
    // Whoever comes back gets a new account, and may bind the same WeChat account to it.
    credentials::unbind_wechat(conn, county, member.id)?;
    sessions::end_all_of_staff(conn, county, member.id, "dismissed", now)?;
    stand_in_no_more(conn, member.id, None, by, now)?;
    todos::drop_about(conn, county, todos::Kind::Decide, ("staff", member.id), now)?;
    posts::end(conn, county, &held, now)?;
    audit::record(conn, by.actor, now, by.entry)?;
    Ok(moved)
}

/// Why, and who takes over.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"hand_over_to": "0199a0c0-0000-7000-8000-0000000000f2", "reason": "退休"}))]
pub struct DismissStaff {
    /// Another active member of staff, who gets everything; may be left out only if nothing is held.
    hand_over_to: Option<Uuid>,
    /// 1 to 200 characters; kept in the audit log.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Dismiss somebody
///
/// In one step everything they hold goes to another, their posts and sessions end, and they stand in for nobody any more; an
/// administrator's todo tells of each post left without a deputy. For good: whoever comes back gets a new account.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), request_body = DismissStaff,
    params(("id" = Uuid, Path, description = "The member of staff"), IdempotencyHeader, IfMatchHeader),
    responses((status = 200, description = "Dismissed", body = LeftView)),
    extensions(("x-errors" = json!(["already_dismissed", "last_administrator", "still_holds"]))))]
#[post("/v1/staff/{id}/dismiss")]
pub async fn dismiss_staff(
    caller: Can<WriteStaff>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<DismissStaff>,
) -> Result<Answer> {
    let once = Once::new(&caller, "dismiss_staff", key, body.digest);
    let (county, who, command, now) = (caller.county, Caller::clone(&caller), body.value, app.clock.now());
    let entry = Audit::new("dismiss", "staff", id.0).because(Some(command.reason));
    app.once(once, move |conn| {
        store::lock_county(conn, county)?;
        let member = store::lock(conn, county, id.0)?;
        if member.state == StaffState::Dismissed {
            return Err(Code::AlreadyDismissed.into());
        }
        seen.check(member.version)?;
        let by = Written { actor: Actor::from(&who), entry: &entry };
        let moved = leave(conn, &member, command.hand_over_to, by, now)?;
        let member = store::touch(conn, county, id.0, now)?;
        let version = member.version;
        Answer::ok(version, &LeftView { staff: view(conn, &who, member, now)?, moved })
    })
    .await
}

/// Ends a post and begins another; with no other post left in the unit, what belongs to it is handed over. Takes the county's
/// lock to be held.
fn change_post(
    conn: &mut PgConnection,
    left: Post,
    (to, department): ((Role, Uuid), Option<Uuid>),
    hand_over_to: Option<Uuid>,
    by: Written,
    now: DateTime<Utc>,
) -> Result<Vec<MovedView>> {
    let (county, id) = (by.actor.county, left.staff_id);
    if left.role == Role::CountyAdmin && to.0 != Role::CountyAdmin && !administrates_besides(conn, county, &left)? {
        keep_an_administrator(conn, county, id)?;
    }
    let held = store::posts(conn, county, &[id])?;
    let stays = to.1 == left.unit_id || held.iter().any(|post| post.id != left.id && post.unit_id == left.unit_id);
    let mut moved = Vec::new();
    // Before the new post: what comes with it stays.
    if !stays {
        moved = hand_over(conn, (county, id, hand_over_to), Some(left.unit_id), now)?;
        stand_in_no_more(conn, id, Some(left.unit_id), by, now)?;
    }
    let post = store::insert_post(conn, county, id, to, None, now)?;
    store::set_department(conn, county, post, department)?;
    posts::end(conn, county, &[left], now)?;
    Ok(moved)
}

/// The post that somebody goes to.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "township_staff", "unit_id": "0199a0c0-0000-7000-8000-000000000001"}))]
pub struct NewPost {
    /// Any role but `resident`.
    role: Role,
    /// A unit on a level that the role fits.
    unit_id: Uuid,
    /// For `department_staff`, and only then: which department's.
    department_id: Option<Uuid>,
}

/// From which post to which, and who takes over.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"post_id": "0199a0c0-0000-7000-8000-0000000000e1", "to": {"role": "township_staff", "unit_id": "0199a0c0-0000-7000-8000-000000000001"},
    "hand_over_to": "0199a0c0-0000-7000-8000-0000000000f2"}))]
pub struct TransferStaff {
    /// The post that ends.
    post_id: Uuid,
    #[validate(nested)]
    to: NewPost,
    /// Another active member of staff, who gets what belongs to the unit that is left; may be left out if nothing is held, or no
    /// unit is left.
    hand_over_to: Option<Uuid>,
}

/// Transfer somebody to another post
///
/// In one step what they hold of the unit that they leave goes to another, the post and its sessions end, and the new post
/// begins, without a deputy. They stand in for nobody of that unit any more; an administrator's todo tells of each post left
/// without a deputy. Whoever has another post in the unit, the new one included, does not leave it: they keep what they hold
/// and for whom they stand in.
#[utoipa::path(tag = "staff", security(("token" = ["staff:write"])), request_body = TransferStaff,
    params(("id" = Uuid, Path, description = "The member of staff"), IdempotencyHeader, IfMatchHeader),
    responses((status = 200, description = "Transferred", body = LeftView)),
    extensions(("x-errors" = json!(["staff_not_active", "post_ended", "post_held", "last_administrator", "still_holds"]))))]
#[post("/v1/staff/{id}/transfer")]
pub async fn transfer_staff(
    caller: Can<WriteStaff>,
    id: Id,
    key: IdempotencyKey,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<TransferStaff>,
) -> Result<Answer> {
    let once = Once::new(&caller, "transfer_staff", key, body.digest);
    let (county, who, command, now) = (caller.county, Caller::clone(&caller), body.value, app.clock.now());
    let entry = Audit::new("transfer", "staff", id.0);
    app.once(once, move |conn| {
        store::lock_county(conn, county)?;
        let member = store::lock_to_change(conn, county, id.0)?;
        let left = store::post(conn, county, id.0, command.post_id)?;
        seen.check(member.version)?;
        let to = (command.to.role, command.to.unit_id);
        let department = command.to.department_id;
        let mut wrong = check_post(conn, county, to, "/to")?;
        wrong.extend(check_department(conn, county, (to.0, department), "/to")?);
        if !wrong.is_empty() {
            return Err(Error::invalid(wrong));
        }
        if to == (left.role, left.unit_id) {
            return Err(Code::PostHeld.into());
        }
        let entry = entry.clone().fields(vec![left.role.as_str(), to.0.as_str()]);
        let by = Written { actor: Actor::from(&who), entry: &entry };
        let moved = change_post(conn, left, (to, department), command.hand_over_to, by, now)?;
        audit::record(conn, by.actor, now, by.entry)?;
        let member = store::touch(conn, county, id.0, now)?;
        let version = member.version;
        Answer::ok(version, &LeftView { staff: view(conn, &who, member, now)?, moved })
    })
    .await
}
