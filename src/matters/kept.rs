//! The catalogue on phones of staff: what is offered, with the versions in effect and to come.

use std::collections::HashMap;

use diesel::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::{
    routes::MatterView,
    store::{Matter, MatterState},
    version_store,
    version_views::VersionView,
};
use crate::{
    app::App,
    clock::local_date,
    db::schema::matters,
    error::Result,
    rooms::{Kept, Phone, Synced},
};

pub const SYNCED: Synced = Synced { entity: "matter", for_all: true, ids, kept };

/// A matter with what the guide is made of: the version in effect and those that will be, which the phone changes to on their day.
#[derive(Serialize)]
struct CatalogueMatter {
    #[serde(flatten)]
    matter: MatterView,
    versions: Vec<VersionView>,
}

fn ids(conn: &mut PgConnection, phone: &Phone, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    let offered = matters::table.filter(matters::county_id.eq(phone.caller.county));
    let offered = offered.filter(matters::state.eq(MatterState::Active)).filter(matters::id.gt(after));
    Ok(offered.order(matters::id).limit(limit).select(matters::id).load(conn)?)
}

fn kept(conn: &mut PgConnection, _: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let county = phone.caller.county;
    let these = matters::table.filter(matters::county_id.eq(county)).filter(matters::id.eq_any(ids));
    let offered = these.filter(matters::state.eq(MatterState::Active));
    let rows: Vec<Matter> = offered.select(Matter::as_select()).load(conn)?;
    let mut versions: HashMap<Uuid, Vec<VersionView>> = HashMap::new();
    for version in version_store::present_and_coming(conn, county, ids, local_date(phone.now))? {
        versions.entry(version.matter_id).or_default().push(version.into());
    }
    let kept = |matter: Matter| {
        let (id, version) = (matter.id, matter.version);
        let versions = versions.remove(&id).unwrap_or_default();
        Kept::new(id, version, &CatalogueMatter { matter: matter.into(), versions })
    };
    rows.into_iter().map(kept).collect()
}
