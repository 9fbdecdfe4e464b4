//! The pass that takes away what nobody used, and the bytes of what was removed.

use super::{
    model::parts,
    store::{self, Key},
};
use crate::{app::App, error::Result};

/// Marks what is too old, then empties folders. A file store that is away costs nothing but time: the next pass goes on.
pub async fn sweep(app: &App) -> Result<()> {
    let now = app.clock.now();
    while app.db.write("expire_attachments", move |conn| Ok(store::expire(conn, now)?)).await? {}
    let mut failed = Ok(());
    for (key, folder, last) in app.db.read("attachments_to_clear", move |conn| Ok(store::to_clear(conn, now)?)).await? {
        if let Err(error) = clear(app, key, &folder, last).await {
            failed = Err(error);
        }
    }
    for (key, folder) in app.db.read("parts_left", |conn| Ok(store::parts_left(conn)?)).await? {
        if let Err(error) = clear_parts(app, key, &folder).await {
            failed = Err(error);
        }
    }
    failed
}

async fn clear(app: &App, key: Key, folder: &str, last: bool) -> Result<()> {
    let now = app.clock.now();
    app.files.remove(folder).await?;
    app.db.write("clear_attachment", move |conn| Ok(store::cleared(conn, key, last, now)?)).await
}

/// The pieces of a finished upload.
pub async fn clear_parts(app: &App, key: Key, folder: &str) -> Result<()> {
    let now = app.clock.now();
    app.files.remove(&parts(folder)).await?;
    app.db.write("parts_cleared", move |conn| Ok(store::parts_cleared(conn, key, now)?)).await
}
