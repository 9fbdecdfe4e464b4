//! The buttons at the desk: one table of what can be pressed on a ticket, and the one way of pressing it.

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    arriving::Rules,
    model::{Desk, Ticket, TicketView},
    rules::{self, Outcome},
    store::{self, Hand},
};
use crate::{
    audit::{self, Audit},
    error::{Error, Result},
    http::{
        caller::{Caller, Can},
        command::Command,
        etag::IfMatch,
        idempotency::{Answer, Once},
        permissions::ServeQueue,
        valid::Id,
    },
};

/// A command without words.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct QueueCommand {}

/// A button on a ticket, with what it needs to know.
#[derive(Clone, Debug)]
pub enum Button {
    /// To this window.
    Call(Uuid),
    Recall,
    /// The call that is meant.
    Skip(IfMatch),
    Serve,
    Finish,
    /// To this window; the call that is meant.
    Transfer(Uuid, IfMatch),
    NoShow,
    /// Why.
    Excuse(String),
}

impl Button {
    /// The operation, and what the audit log calls it.
    const fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Call(_) => ("call_ticket", "call"),
            Self::Recall => ("recall_ticket", "recall"),
            Self::Skip(_) => ("skip_ticket", "skip"),
            Self::Serve => ("serve_ticket", "serve"),
            Self::Finish => ("finish_appointment", "finish"),
            Self::Transfer(..) => ("transfer_ticket", "transfer"),
            Self::NoShow => ("note_no_show", "no_show"),
            Self::Excuse(_) => ("excuse_appointment", "excuse"),
        }
    }

    /// The audit log's entry; whoever excuses says why.
    fn entry(&self, id: Uuid) -> Audit {
        let reason = if let Self::Excuse(reason) = self { Some(reason.clone()) } else { None };
        Audit::new(self.names().1, "appointment", id).because(reason)
    }

    /// Locks the ticket and decides on what is found there.
    fn decide(
        &self,
        conn: &mut PgConnection,
        (hand, id): (Hand, Uuid),
        rules: Rules,
        now: DateTime<Utc>,
    ) -> Result<(Ticket, Outcome)> {
        // Windows are locked before tickets, as by `call_next`.
        let called_to = if let Self::Call(window) = self { store::lock_desk(conn, hand, *window)? } else { None };
        let row = store::lock(conn, hand, id)?;
        if let Self::Skip(seen) | Self::Transfer(_, seen) = self {
            seen.check(row.version)?;
        }
        let outcome = match self {
            Self::Call(_) => rules::call(&row, &same_centre(called_to, &row)?, now),
            Self::Recall => rules::recall(&row, now),
            Self::Skip(_) => rules::skip(&row, rules.calls, now),
            Self::Serve => rules::serve(&row, now),
            Self::Finish => rules::finish(&row, now),
            Self::Transfer(window, _) => {
                let desk = store::desk(conn, hand.scope.county, *window)?;
                rules::transfer(&row, &same_centre(desk, &row)?)
            }
            Self::NoShow => rules::no_show(&row, rules.grace, now),
            Self::Excuse(reason) => rules::excuse(&row, reason, now),
        };
        Ok((row, outcome?))
    }
}

fn same_centre(desk: Option<Desk>, row: &Ticket) -> Result<Desk> {
    desk.filter(|desk| desk.unit_id == row.unit_id).ok_or_else(|| {
        Error::field("/window_id", "unknown_window", "本中心没有这个窗口", "the centre has no such window")
    })
}

/// Presses a button on a ticket, and records who did.
pub async fn press<T>(
    caller: Can<ServeQueue>,
    id: Id,
    command: Command<T>,
    button: impl FnOnce(T) -> Button,
) -> Result<Answer> {
    let Command { key, lang, app, body, digest } = command;
    let button = button(body);
    let once = Once::new(&caller, button.names().0, key, digest);
    let rules = Rules::of(&app, &caller.county_key).await?;
    let (who, now, entry) = (Caller::clone(&caller), app.clock.now(), button.entry(id.0));
    let (hand, inner) = (Hand::of(&caller, now), app.clone());
    app.once(once, move |conn| {
        let row = match button.decide(conn, (hand, id.0), rules, now)? {
            (row, Outcome::Already) => row,
            (_, Outcome::Becomes(new)) => store::apply(conn, *new, who.staff(), now)?,
        };
        audit::record(conn, &who, now, &entry)?;
        Answer::ok(row.version, &TicketView::new(&inner, lang, row)?)
    })
    .await
}
