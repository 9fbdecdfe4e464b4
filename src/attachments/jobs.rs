//! Putting together what came in pieces, and looking at it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{model::parts, pieces, processing, store, sweeping};
use crate::{
    app::App,
    error::{Error, Result},
    jobs::{Job, Ticket},
};

/// Makes a file of a resumable upload that is all there.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessUpload {
    pub attachment: Uuid,
}

impl Job for ProcessUpload {
    const KIND: &'static str = "process_upload";

    async fn run(self, app: &Arc<App>, ticket: Ticket) -> Result<()> {
        let (key, now) = ((ticket.county, self.attachment), app.clock.now());
        let Some((row, objects)) = app.db.read("whole_upload", move |conn| pieces::whole(conn, key)).await? else {
            return app.db.write("upload_over", move |conn| ticket.done(conn)).await;
        };
        let turn = processing::turn().await;
        let (mut bytes, parts) = (Vec::new(), parts(&row.folder));
        for object in objects {
            bytes.extend_from_slice(&app.files.get(&format!("{parts}/{object}")).await?);
        }
        if bytes.len() as i64 != row.length {
            return Err(Error::internal("the pieces are not the whole"));
        }
        let looked = processing::look(&turn, row.declared_type.clone(), move || Ok(bytes)).await?;
        if let Ok(content) = &looked {
            app.files.put(&row.object(), content.bytes.clone()).await?;
        }
        drop(turn);
        app.db
            .write("finish_upload", move |conn| {
                match &looked {
                    Ok(content) => store::ready(conn, key, content, now).map(drop)?,
                    Err(refusal) => store::refuse(conn, key, *refusal, now).map(drop)?,
                }
                pieces::forget(conn, key)?;
                ticket.done(conn)
            })
            .await?;
        // A crash here leaves them to the pass.
        sweeping::clear_parts(app, key, &row.folder).await
    }
}
