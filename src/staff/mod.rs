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

use anyhow::{Context, Result, ensure};

use crate::{
    app::App,
    audit::{self, Actor, Audit},
    crypto,
    error::Code,
    http::permissions::Role,
    rooms::{Room, Sealed},
    units,
};

pub use cover::{CoveredPost, cover_of, covered_by, covered_posts, covers_until};
pub use stale::disable_stale;

pub const ROOM: Room = Room {
    sealed: &[
        Sealed { table: "staff", column: "totp_secret", index: None },
        Sealed {
            table: "staff",
            column: "wechat_openid",
            index: Some((&["wechat_openid_index"], credentials::OPENID)),
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
    /// Name of the unit; none for posts of the county.
    pub unit: Option<String>,
}

/// Creates a member of staff with one post; if the user name exists, an error and no change.
pub async fn create(app: &App, new: NewStaff) -> Result<uuid::Uuid> {
    let length = new.password.chars().count();
    ensure!((10..=128).contains(&length), "a password has 10 to 128 characters");
    let fits = new.username.len() >= 2
        && new.username.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c));
    ensure!(fits, "a user name has 2 to 32 lower-case letters, digits, dots, hyphens and underscores");
    ensure!(new.role != Role::Resident, "a resident is no member of staff");
    let county = app.counties.find(app, &new.county).await?;
    let Some(county) = county else { anyhow::bail!("there is no county {}; import its divisions first", new.county) };
    let hash = crypto::hash_password(&new.password);
    let now = app.clock.now();
    let id = app
        .db
        .write("create_staff", move |conn| {
            let mut unit = None;
            for level in new.role.levels().iter().rev() {
                let level = level.parse().map_err(crate::error::Error::internal)?;
                let name = match (&new.unit, level) {
                    (Some(name), _) => name.clone(),
                    (None, units::Level::County) => county.name.clone(),
                    (None, _) => continue,
                };
                unit = unit.or(units::store::find_by_name(conn, county.id, level, &name)?);
            }
            let Some(unit) = unit else { return Ok(None) };
            Ok(Some(store::insert(
                conn,
                county.id,
                (&new.username, &new.display_name, &hash),
                (new.role, unit.id),
                now,
            )?))
        })
        .await?;
    id.ok_or_else(|| anyhow::anyhow!("no such unit on the level of this role; name it with --unit"))
}

/// Dismisses a member of staff who holds nothing any more: no login, and every session ends.
pub async fn dismiss(app: &App, county: &str, username: &str) -> Result<()> {
    let county = app.counties.public(app, county).await?.id;
    let (username, now) = (username.trim().to_lowercase(), app.clock.now());
    let entry = Audit::new("dismiss", "staff", uuid::Uuid::nil());
    let dismissed = app.db.write("dismiss_staff", move |conn| {
        store::lock_county(conn, county)?;
        let account = store::account(conn, county, &username)?.ok_or(Code::NotFound)?;
        let member = store::lock(conn, county, account.id)?;
        leaving::leave(conn, county, &member, None, now)?;
        audit::record(conn, Actor::operator(county), now, &entry.of(member.id))?;
        store::touch(conn, county, member.id, now)?;
        Ok(())
    });
    dismissed.await.map_err(in_words).context("not dismissed")
}

/// Opens an account or resets its password, for a county whose administrators cannot log in; a one-time password for 24 hours.
pub async fn reset_password(app: &App, county: &str, username: &str) -> Result<String> {
    let county = app.counties.public(app, county).await?.id;
    let reset = accounts::reset_by_operator(app, county, username.trim().to_lowercase());
    reset.await.map_err(in_words).context("not reset")
}

/// An error as the command line tells it.
fn in_words(error: crate::error::Error) -> anyhow::Error {
    let words = error.detail.clone().unwrap_or_else(|| error.code.title());
    anyhow::anyhow!("{} ({error})", words.en)
}
