//! Settings on phones of staff: all of them, with what is scheduled next.

use diesel::PgConnection;
use uuid::Uuid;

use super::{model::DEFINITIONS, routes::SettingView, store};
use crate::{
    app::App,
    audit,
    error::Result,
    rooms::{Kept, Phone, Synced},
};

pub const SYNCED: Synced = Synced { entity: "setting", for_all: true, ids, kept };

fn ids(_: &mut PgConnection, _: &Phone, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    let mut ids: Vec<_> = DEFINITIONS.iter().map(|of| audit::id_of("setting", of.key)).collect();
    ids.retain(|id| *id > after);
    ids.sort_unstable();
    ids.truncate(limit as usize);
    Ok(ids)
}

fn kept(conn: &mut PgConnection, _: &App, phone: &Phone, ids: &[Uuid]) -> Result<Vec<Kept>> {
    let entries = store::load(conn, phone.caller.county)?;
    let views = DEFINITIONS.iter().map(|of| SettingView::new(of, &entries, phone.now, phone.lang));
    views.filter(|view| ids.contains(&view.id)).map(|view| Kept::new(view.id, view.version, &view)).collect()
}
