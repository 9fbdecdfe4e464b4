//! Members of staff and their posts; administration comes with a later room, this one lets the first of them in.

pub mod store;

use anyhow::{Result, ensure};

use crate::{app::App, crypto, http::permissions::Role, units};

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

/// Dismisses a member of staff: no login any more, and every session ends.
pub async fn dismiss(app: &App, county: &str, username: &str) -> Result<()> {
    let county = app.counties.public(app, county).await?.id;
    let (username, now) = (username.to_owned(), app.clock.now());
    let dismissed = app.db.write("dismiss_staff", move |conn| {
        let Some(account) = store::account(conn, county, &username)? else { return Ok(0) };
        Ok(store::dismiss(conn, county, account.id, now)?)
    });
    ensure!(dismissed.await? == 1, "there is no such member of staff");
    Ok(())
}
