//! Members of staff: accounts, posts and deputies (AB 岗), absences and cover, transfer and dismissal.
//!
//! ```text
//! (no password) ──reset_password──▶ one-time password ──login with a new one──▶ own password
//!
//! active ──(nobody logged in for long)──▶ disabled ──enable──▶ active
//!   └──dismiss──▶ dismissed ◀──dismiss──────┘
//! ```
//! Whoever changes who stands in for whom, or who administrates, holds the county's lock (`store::lock_county`): deputies
//! never go in a circle, and the last administrator stays.

pub mod absences;
pub mod accounts;
mod cover;
pub mod credentials;
pub mod import;
pub mod leaving;
pub mod model;
pub mod own;
mod plan;
pub mod posts;
pub mod routes;
mod rules;
mod stale;
pub mod store;

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::{
    app::App,
    audit::{self, Actor, Audit},
    crypto,
    error::Code,
    http::permissions::Role,
    rooms::{Index, Room, Sealed},
    units::{self, County},
};

pub use cover::{CoveredPost, There, cover_of, covered_by, covered_posts, covers_until, on_duty, serves};
pub use stale::disable_stale;

/// The member of staff to whom a WeChat account is bound, if there is one: the only thing that tells that a resident and a member of staff are
/// one person.
pub fn with_wechat(
    conn: &mut diesel::PgConnection,
    app: &App,
    county: i32,
    openid: &str,
) -> crate::error::Result<Option<uuid::Uuid>> {
    let indexes = app.keys.blinds(county, credentials::OPENID, openid);
    Ok(store::account_by_wechat(conn, county, &indexes)?.map(|account| account.id))
}

pub const ROOM: Room = Room {
    sealed: &[
        Sealed { table: "staff", column: "totp_secret", index: None },
        Sealed {
            table: "staff",
            column: "wechat_openid",
            index: Some(Index::new(&["wechat_openid_index"], credentials::OPENID)),
        },
        Sealed { table: "staff_absences", column: "reason", index: None },
    ],
    ..Room::new("staff")
};

/// What `lianxin staff create` takes.
pub struct NewStaff {
    pub county: String,
    pub username: String,
    pub display_name: String,
    pub password: String,
    pub role: Role,
    /// Name or division code of the unit; none for posts of the county.
    pub unit: Option<String>,
}

/// Creates a member of staff with one post; if the user name exists, or several units have the name, an error and no change.
pub async fn create(app: &App, new: NewStaff) -> Result<uuid::Uuid> {
    let said = |wrong: validator::ValidationError| {
        let words = wrong.message.unwrap_or_default();
        anyhow::anyhow!("{}", words.split_once('|').map_or(&*words, |(_, en)| en).to_owned())
    };
    model::check_username(&new.username).map_err(said).context("the user name")?;
    model::check_display_name(&new.display_name).map_err(said).context("the name")?;
    if let Some((_, _, en)) = model::password_fault(&new.password, &new.username, None) {
        anyhow::bail!("the password: {en}");
    }
    ensure!(new.role != Role::Resident, "a resident is no member of staff");
    let county = county(app, &new.county).await?;
    let hash = crypto::hash_password(&new.password);
    let (entry, now) = (Audit::new("create", "staff", uuid::Uuid::nil()), app.clock.now());
    let created = app.db.write("create_staff", move |conn| {
        let mut fitting = units::store::named(conn, county.id, new.unit.as_deref())?;
        fitting.retain(|unit| rules::fits(new.role, unit.level));
        let [unit] = fitting.as_slice() else { return Ok(Err(fitting.len())) };
        let names = (new.username.as_str(), new.display_name.as_str(), hash.as_str());
        let id = store::insert(conn, county.id, names, (new.role, unit.id), now)?;
        audit::record(conn, Actor::operator(county.id), now, &entry.of(id))?;
        Ok(Ok(id))
    });
    match created.await? {
        Ok(id) => Ok(id),
        Err(0) => anyhow::bail!("no such unit on the level of this role; name it with --unit"),
        Err(several) => anyhow::bail!("{several} units have this name; give --unit the division code"),
    }
}

/// The county that a command names, even a suspended one: the operator may act on it.
async fn county(app: &App, key: &str) -> Result<Arc<County>> {
    app.counties.find(app, key).await?.with_context(|| format!("there is no county {key}; import its divisions first"))
}

/// Dismisses a member of staff who holds nothing any more: no login, and every session ends.
pub async fn dismiss(app: &App, county: &str, username: &str) -> Result<()> {
    let county = self::county(app, county).await?.id;
    let (username, now) = (username.trim().to_lowercase(), app.clock.now());
    let entry = Audit::new("dismiss", "staff", uuid::Uuid::nil());
    let dismissed = app.db.write("dismiss_staff", move |conn| {
        store::lock_county(conn, county)?;
        let account = store::account(conn, county, &username)?.ok_or(Code::NotFound)?;
        let member = store::lock(conn, county, account.id)?;
        let by = leaving::Written { actor: Actor::operator(county), entry: &entry.of(member.id) };
        leaving::leave(conn, &member, None, by, now)?;
        store::touch(conn, county, member.id, now)?;
        Ok(())
    });
    dismissed.await.map_err(in_words).context("not dismissed")
}

/// Opens an account or resets its password, for a county whose administrators cannot log in; a one-time password for 24 hours.
pub async fn reset_password(app: &App, county: &str, username: &str) -> Result<String> {
    let county = self::county(app, county).await?.id;
    let reset = accounts::reset_by_operator(app, county, username.trim().to_lowercase());
    reset.await.map_err(in_words).context("not reset")
}

/// An error as the command line tells it.
fn in_words(error: crate::error::Error) -> anyhow::Error {
    let words = error.detail.clone().unwrap_or_else(|| error.code.title());
    anyhow::anyhow!("{} ({error})", words.en)
}
