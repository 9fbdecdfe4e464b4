//! How a session starts, and the tokens it is answered with.

use std::collections::HashSet;

use actix_web::{HttpRequest, HttpResponse, http::header};
use chrono::{DateTime, FixedOffset, Utc};
use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    model::{ACCESS_LIFE, SESSION_LIFE, Session},
    store,
    tokens::RefreshToken,
};
use crate::{
    app::App,
    audit::{self, Actor, Audit},
    clock::{CST, local_date},
    error::{Code, Error, Result},
    http::{caller::Caller, limits, permissions::Role},
    people,
    staff::{self, store::Account},
    units::County,
};

/// Tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"session_id": "0199a0c0-0000-7000-8000-0000000000aa", "access_token": "eyJ0eXAi…", "token_type": "Bearer",
    "expires_in_seconds": 900, "refresh_token": "AAAAAQGZ…", "refresh_expires_in_seconds": 2592000, "role": "resident",
    "county": "350425", "subject_id": "0199a0c0-0000-7000-8000-00000000000a", "unit_id": null, "covers_id": null, "covers_until": null}))]
pub struct TokensView {
    pub session_id: Uuid,
    /// Send as `Authorization: Bearer …`.
    pub access_token: String,
    pub token_type: &'static str,
    pub expires_in_seconds: i64,
    /// Good once; the answer holds the next one. Lost answers: the same token works for 60 s more and gives the same next one.
    pub refresh_token: String,
    pub refresh_expires_in_seconds: i64,
    pub role: Role,
    pub county: String,
    /// Id of the resident or member of staff.
    pub subject_id: Uuid,
    /// Unit of the post; none for residents.
    pub unit_id: Option<Uuid>,
    /// The absent colleague in whose post one acts (AB 岗).
    pub covers_id: Option<Uuid>,
    /// The session ends here at the latest: the absence is over.
    pub covers_until: Option<DateTime<FixedOffset>>,
}

pub(super) async fn count_login(app: &App, request: &HttpRequest) -> Result<()> {
    limits::take_certain(app, "logins", &limits::address(app, request), app.config.logins_per_minute).await?
}

/// The post that a member of staff acts in: their own, or an absent colleague's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acting {
    pub role: Role,
    pub unit: Uuid,
    pub covers: Option<Uuid>,
}

/// The one post with a role, and in a unit if one is named; one's own before those one covers.
pub(super) async fn acting(
    app: &App,
    county: i32,
    account: &Account,
    role: Role,
    unit: Option<Uuid>,
) -> Result<Acting> {
    let fits = |post: Role, there: Uuid| post == role && unit.is_none_or(|wanted| wanted == there);
    let own = account.posts.iter().filter(|(post, there)| fits(*post, *there));
    let mut all: Vec<_> = own.map(|(role, unit)| Acting { role: *role, unit: *unit, covers: None }).collect();
    if all.is_empty() {
        let (id, on) = (account.id, local_date(app.clock.now()));
        let covered = app.db.read("covered_posts", move |conn| Ok(staff::covered_posts(conn, county, id, on)?)).await?;
        let covered = covered.into_iter().filter(|post| fits(post.role, post.unit));
        all = covered.map(|post| Acting { role: post.role, unit: post.unit, covers: Some(post.holder) }).collect();
        // Two colleagues with the same post away at once: either serves.
        let mut seen = HashSet::new();
        all.retain(|post| seen.insert((post.role, post.unit)));
    }
    match all.as_slice() {
        [] => Err(Code::LoginFailed.into()),
        [one] => Ok(*one),
        _ => {
            let (zh, en) = ("此岗位在多个单位任职，请指明 unit_id", "the role is held in several units; name one");
            Err(Error::field("/unit_id", "required", zh, en))
        }
    }
}

/// What a login proved, to be checked once more where nobody can change it.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// The hash that the password fitted; the hash of a new one; secret and step of a one-time code.
    Password { hash: String, new_hash: Option<String>, code: Option<(Vec<u8>, i64)> },
    /// Blind indexes of the bound WeChat account.
    Wechat(Vec<Vec<u8>>),
}

fn new_session(token: &RefreshToken, now: DateTime<Utc>) -> Session {
    Session {
        county_id: token.county,
        id: token.session,
        resident_id: None,
        staff_id: None,
        role: Role::Resident,
        unit_id: None,
        device: None,
        refresh_hash: token.hash(),
        previous_hash: None,
        rotated_at: now,
        created_at: now,
        expires_at: now + SESSION_LIFE,
        ended_at: None,
        by_password: false,
        covers_id: None,
        covers_until: None,
    }
}

/// A resident's session.
pub(super) async fn start(app: &App, county: &County, resident: Uuid, device: Option<String>) -> Result<HttpResponse> {
    county.working()?;
    let now = app.clock.now();
    let token = RefreshToken::first(county.id, Uuid::now_v7());
    let session = Session { resident_id: Some(resident), device, ..new_session(&token, now) };
    let row = session.clone();
    let started = app.db.write("start_session", move |conn| {
        // Closed or merged between finding the record and here: another code finds or makes the right one.
        if people::subject::lock(conn, row.county_id, resident)?.is_none() {
            return Err(Code::WechatCodeRefused.into());
        }
        Ok(store::insert(conn, &row)?)
    });
    started.await?;
    answer(app, county, &session, &token).await
}

/// A session of a member of staff. Locks the account, so that no session slips past a dismissal or a new password.
pub(super) async fn start_staff(
    app: &App,
    county: &County,
    (id, acting): (Uuid, Acting),
    proof: Proof,
    device: Option<String>,
) -> Result<HttpResponse> {
    county.working()?;
    let now = app.clock.now();
    let token = RefreshToken::first(county.id, Uuid::now_v7());
    let session = Session {
        staff_id: Some(id),
        role: acting.role,
        unit_id: Some(acting.unit),
        device,
        by_password: matches!(proof, Proof::Password { .. }),
        covers_id: acting.covers,
        ..new_session(&token, now)
    };
    let entry = Audit::new("change_password", "staff", id);
    let started = app.db.write("start_session", move |conn| {
        let mut row = session.clone();
        if acting.covers.is_some() {
            // Ordered against whatever ends absences, posts and deputies.
            staff::store::lock_county(conn, row.county_id)?;
        }
        let actor = Actor { county: row.county_id, id, role: acting.role.as_str() };
        prove_again(conn, actor, &proof, &entry, now)?;
        row.covers_until = still_acting(conn, row.county_id, id, acting, now)?;
        row.expires_at = row.expiry(now);
        staff::credentials::logged_in(conn, row.county_id, id, now)?;
        store::insert(conn, &row)?;
        Ok(row)
    });
    let session = started.await?;
    answer(app, county, &session, &token).await
}

/// Under the account's lock: active, the proof still good, its code used up, the new password set.
fn prove_again(conn: &mut PgConnection, actor: Actor, proof: &Proof, entry: &Audit, now: DateTime<Utc>) -> Result<()> {
    let Actor { county, id, .. } = actor;
    if !staff::store::lock_active(conn, county, id)? {
        return Err(Code::LoginFailed.into());
    }
    let member = staff::store::lock(conn, county, id)?;
    match proof {
        Proof::Password { hash, new_hash, code } => {
            if member.password_hash.as_ref() != Some(hash) {
                return Err(Code::LoginFailed.into());
            }
            if let Some((secret, step)) = code
                && !staff::credentials::use_totp(conn, county, id, (secret, *step), now)?
            {
                return Err(Code::LoginFailed.into());
            }
            if let Some(new_hash) = new_hash {
                staff::store::set_password(conn, county, id, new_hash, None)?;
                store::end_all_of_staff(conn, county, id, "password", now)?;
                audit::record(conn, actor, now, entry)?;
            }
            Ok(())
        }
        Proof::Wechat(indexes) => {
            let bound = staff::store::account_by_wechat(conn, county, indexes)?;
            if bound.is_some_and(|account| account.id == id) { Ok(()) } else { Err(Code::WechatNotBound.into()) }
        }
    }
}

/// Until when somebody may act as they want to: no end for a post of one's own. It may have ended meanwhile.
fn still_acting(
    conn: &mut PgConnection,
    county: i32,
    id: Uuid,
    acting: Acting,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let Acting { role, unit, covers } = acting;
    match covers {
        None => {
            let held = staff::store::posts(conn, county, &[id])?;
            let holds = held.iter().any(|post| (post.role, post.unit_id) == (role, unit));
            if holds { Ok(None) } else { Err(Code::LoginFailed.into()) }
        }
        Some(holder) => {
            let until = staff::covers_until(conn, county, id, (holder, role, unit), now)?;
            until.map(Some).ok_or(Code::LoginFailed.into())
        }
    }
}

async fn answer(app: &App, county: &County, session: &Session, token: &RefreshToken) -> Result<HttpResponse> {
    let view = tokens(app, &county.key, session, token).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, "/v1/sessions/current"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(view))
}

pub(super) async fn tokens(app: &App, county_key: &str, session: &Session, token: &RefreshToken) -> Result<TokensView> {
    let caller = Caller {
        county: session.county_id,
        county_key: county_key.into(),
        session: session.id,
        subject: session.subject(),
        role: session.role,
        unit: session.unit_id,
    };
    let (now, over) = (app.clock.now(), session.covers_until);
    let until = over.map_or(now + ACCESS_LIFE, |over| over.min(now + ACCESS_LIFE));
    Ok(TokensView {
        session_id: session.id,
        access_token: app.tokens.sign(app, &caller, until).await?,
        token_type: "Bearer",
        expires_in_seconds: (until - now).num_seconds(),
        refresh_token: token.text(app),
        refresh_expires_in_seconds: (session.expiry(now) - now).num_seconds(),
        role: session.role,
        county: county_key.to_owned(),
        subject_id: session.subject(),
        unit_id: session.unit_id,
        covers_id: session.covers_id,
        covers_until: over.map(|at| at.with_timezone(&CST)),
    })
}
