//! What becomes of bookings when the opening changes: listed first, then kept, moved or cancelled, in one transaction.

use std::{collections::HashMap, sync::Arc};

use actix_web::web::Data;
use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    affected::{self, Booking, Centre},
    places::{self, Way},
    store,
};
use crate::{
    app::App,
    appointments::{self, Appointment, AppointmentState, Moved, Named, Placed},
    audit::{self, Audit},
    calendar::{self, Calendar},
    clock::{CST, local_date},
    error::{Code, Error, Result, Text},
    http::caller::{Caller, Can},
    people,
    settings::Settings,
    text_enum,
    todos::{self, NewTodo},
    windows::{Channel, Place},
};

/// What residents are told when nothing else was said.
const REASON: &str = "开放时间调整";

text_enum! {
    /// What becomes of bookings that fit no more.
    pub enum Decision {
        /// They stay as they are: somebody will be there all the same.
        Keep = "keep",
        /// To the nearest free time of the same centre; where there is none they are cancelled, and somebody calls.
        Move = "move",
        Cancel = "cancel",
    }
}

text_enum! {
    /// What became of a booking.
    pub enum Outcome {
        Kept = "kept",
        Moved = "moved",
        Cancelled = "cancelled",
    }
}

/// Where a booking goes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"window": {"id": "0199a0c0-0000-7000-8000-0000000000c2", "name": "代办服务窗口"}, "starts_at": "2026-11-24T09:00:00+08:00", "ends_at": "2026-11-24T09:30:00+08:00"}))]
pub struct NewPlaceView {
    pub window: Named,
    pub starts_at: DateTime<FixedOffset>,
    pub ends_at: DateTime<FixedOffset>,
}

/// Bytes of affected bookings in an answer that is stored: with a month of exceptions it stays within 64 KiB.
const ROOM: usize = 24 * 1024;

/// A booking that does not fit any more.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000e1", "channel": "public", "place": "centre",
    "matter": {"id": "0199a0c0-0000-7000-8000-0000000000b1", "name": "城乡居民医保参保登记"}, "window": {"id": "0199a0c0-0000-7000-8000-0000000000c1", "name": "民生事务窗口"},
    "starts_at": "2026-11-23T09:00:00+08:00", "ends_at": "2026-11-23T09:30:00+08:00", "resident": {"id": "0199a0c0-0000-7000-8000-00000000000a", "name": "张*明"},
    "outcome": "moved", "new_place": {"window": {"id": "0199a0c0-0000-7000-8000-0000000000c2", "name": "代办服务窗口"}, "starts_at": "2026-11-24T09:00:00+08:00", "ends_at": "2026-11-24T09:30:00+08:00"}}))]
pub struct AffectedView {
    /// The appointment.
    pub id: Uuid,
    pub channel: Channel,
    pub place: Place,
    pub matter: Named,
    /// Where it was booked, and when.
    pub window: Named,
    pub starts_at: DateTime<FixedOffset>,
    pub ends_at: DateTime<FixedOffset>,
    /// The name is masked.
    pub resident: Named,
    /// What became of it, or of a dry run: what would become of it; none while nothing is decided.
    pub outcome: Option<Outcome>,
    /// Where it went or could go.
    pub new_place: Option<NewPlaceView>,
}

/// What is to become of those who are affected.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub decision: Option<Decision>,
    /// Only list them.
    pub dry_run: bool,
    /// Told to those whose appointment is cancelled.
    pub reason: Option<String>,
}

/// What everything is decided with, besides the database.
#[derive(Clone)]
pub struct Frame {
    pub app: Data<App>,
    pub caller: Caller,
    pub settings: Settings,
    pub calendar: Arc<Calendar>,
    pub now: DateTime<Utc>,
    moved: Audit,
    cancelled: Audit,
}

impl Frame {
    pub async fn new<P>(app: &Data<App>, caller: &Can<P>) -> Result<Self>
    where
        Can<P>: std::ops::Deref<Target = Caller>,
    {
        let county = app.counties.public(app, &caller.county_key).await?;
        Ok(Self {
            app: app.clone(),
            caller: Caller::clone(caller),
            settings: county.settings.clone(),
            calendar: calendar::current(app).await?,
            now: app.clock.now(),
            moved: Audit::new("reschedule", "appointment", Uuid::nil()),
            cancelled: Audit::new("cancel", "appointment", Uuid::nil()),
        })
    }

    fn way(&self) -> Way<'_> {
        Way { calendar: &self.calendar, settings: &self.settings, now: self.now }
    }

    /// A centre as it is.
    pub fn centre(&self, conn: &mut PgConnection, unit: Uuid) -> Result<Centre> {
        let ahead = self.settings.booking_days_ahead.max(places::DAYS);
        store::centre(conn, self.caller.county, unit, ahead, self.now)
    }

    /// Who does not fit any more once `change` is made, and where they could go. Takes the gate to be passed.
    pub fn plan(&self, conn: &mut PgConnection, unit: Uuid, change: impl FnOnce(&mut Centre)) -> Result<Plan> {
        let before = self.centre(conn, unit)?;
        let mut after = before.clone();
        change(&mut after);
        after.line_up();
        let bookings = affected::affected(&before, &after, &self.calendar);
        self.plan_for(conn, unit, after, bookings)
    }

    /// Who of a window does not fit on some days, for whatever reason.
    pub fn plan_unfit(
        &self,
        conn: &mut PgConnection,
        (unit, window): (Uuid, Uuid),
        (from, to): (NaiveDate, NaiveDate),
    ) -> Result<Plan> {
        let centre = self.centre(conn, unit)?;
        let unfit = centre.unfit(&self.calendar);
        let days = |booking: &&Booking| {
            let day = local_date(booking.starts_at);
            booking.window == window && unfit.contains_key(&booking.id) && from <= day && day <= to
        };
        let bookings = affected::by_time(centre.bookings.iter().filter(days).cloned().collect());
        self.plan_for(conn, unit, centre, bookings)
    }

    fn plan_for(&self, conn: &mut PgConnection, unit: Uuid, mut centre: Centre, all: Vec<Booking>) -> Result<Plan> {
        let county = self.caller.county;
        let (held, bookings): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|booking| booking.state == AppointmentState::Held);
        let taken = store::taken(conn, county, &bookings, local_date(self.now))?;
        let places = places::places(&mut centre, &bookings, taken, &self.way());
        let ids = bookings.iter().map(|booking| booking.id).collect();
        let rows = appointments::several(conn, county, ids)?;
        let rows: HashMap<Uuid, Appointment> = rows.into_iter().map(|row| (row.id, row)).collect();
        let found = bookings.iter().zip(places).filter_map(|(booking, place)| {
            rows.get(&booking.id).map(|row| Affected { row: row.clone(), resident: booking.resident, place })
        });
        let held = held.into_iter().map(|booking| booking.id).collect();
        Ok(Plan { unit, affected: found.collect(), held })
    }
}

/// A booking that does not fit any more, and where it could go, under which number.
struct Affected {
    row: Appointment,
    resident: Uuid,
    place: Option<(Placed, i16)>,
}

/// Everybody whom a change affects.
pub struct Plan {
    unit: Uuid,
    affected: Vec<Affected>,
    /// Holds that go with it: nobody has been promised anything yet.
    held: Vec<Uuid>,
}

impl Plan {
    pub fn len(&self) -> usize {
        self.affected.len()
    }

    /// Refuses a change that affects bookings while nobody has said what becomes of them.
    pub fn decided(&self, order: &Order) -> Result<()> {
        let count = self.affected.len();
        if count == 0 || order.decision.is_some() {
            return Ok(());
        }
        let (zh, en) = (
            format!("有 {count} 个预约受影响；先用 dry_run 查看，再以 affected 指明保留、改期或取消"),
            format!("{count} bookings are affected: list them with dry_run, then say in affected what becomes of them"),
        );
        Err(Error::new(Code::BookingsAffected).detail(zh, en))
    }

    /// Does with everybody what was decided, once the change is made. One by one in the order of the plan, so that no move finds
    /// its place taken.
    pub fn carry_out(&self, conn: &mut PgConnection, frame: &Frame, order: &Order) -> Result<()> {
        for one in &self.affected {
            match (order.decision, &one.place) {
                (None | Some(Decision::Keep), _) => {}
                (Some(Decision::Move), Some((placed, nth))) => self.move_to(conn, frame, one, (placed, *nth), order)?,
                (Some(Decision::Move), None) => {
                    cancel(conn, frame, one, order)?;
                    self.call(conn, frame, one)?;
                }
                (Some(Decision::Cancel), _) => cancel(conn, frame, one, order)?,
            }
        }
        // Last: whoever stands in the line again would be in the way of those who move.
        store::let_go(conn, frame.caller.county, self.held.clone(), frame.now)
    }

    fn move_to(
        &self,
        conn: &mut PgConnection,
        frame: &Frame,
        one: &Affected,
        (placed, nth): (&Placed, i16),
        order: &Order,
    ) -> Result<()> {
        let moved = Moved {
            unit: self.unit,
            channel: one.row.channel,
            placed: placed.clone(),
            address: one.row.address.clone(),
            nth,
            by: Some(frame.caller.subject),
            now: frame.now,
        };
        appointments::reschedule(conn, &one.row, moved)?;
        appointments::withdraw(conn, frame.caller.county, one.row.id, frame.now)?;
        let entry = frame.moved.of(one.row.id).because(Some(reason(order)));
        Ok(audit::record(conn, &frame.caller, frame.now, &entry)?)
    }

    /// Somebody tells the resident in person, and finds another time with them.
    fn call(&self, conn: &mut PgConnection, frame: &Frame, one: &Affected) -> Result<()> {
        let title = Text::fixed(
            "预约因开放时间调整被取消，且无可改的时段：请致电居民另约",
            "A booking was cancelled because the opening changed, and no other time was free: call the resident",
        );
        let new = NewTodo {
            county: frame.caller.county,
            kind: todos::Kind::Call,
            unit: Some(self.unit),
            resident: Some(one.resident),
            about: Some(("appointment", one.row.id)),
            title,
            holder: None,
            due_at: Some(one.row.starts_at),
            created_by: frame.caller.staff(),
        };
        todos::open(conn, new, frame.now).map(drop)
    }

    /// The first `most` of them as they are answered; of an answer that is stored no more than it has room for.
    pub fn views(&self, frame: &Frame, order: &Order, most: usize) -> Result<Vec<AffectedView>> {
        let (mut views, mut room) = (Vec::new(), if order.dry_run { usize::MAX } else { ROOM });
        for one in self.affected.iter().take(most) {
            let view = one.view(frame, order.decision)?;
            let length = serde_json::to_vec(&view).map_err(Error::internal)?.len();
            if length > room {
                break;
            }
            room -= length;
            views.push(view);
        }
        Ok(views)
    }
}

fn reason(order: &Order) -> String {
    order.reason.clone().unwrap_or_else(|| REASON.to_owned())
}

fn cancel(conn: &mut PgConnection, frame: &Frame, one: &Affected, order: &Order) -> Result<()> {
    let (by, reason) = (Some(frame.caller.subject), reason(order));
    // Whoever has moved it or has arrived meanwhile is decided about again.
    appointments::cancel_as_read(conn, &one.row, Some(&reason), by, frame.now)?;
    appointments::withdraw(conn, frame.caller.county, one.row.id, frame.now)?;
    Ok(audit::record(conn, &frame.caller, frame.now, &frame.cancelled.of(one.row.id).because(Some(reason)))?)
}

impl Affected {
    fn view(&self, frame: &Frame, decision: Option<Decision>) -> Result<AffectedView> {
        let row = &self.row;
        let sealed = (row.resident_name.as_deref(), None);
        let (name, _) = people::name_and_phone(&frame.app, (row.county_id, self.resident), sealed, true)?;
        let outcome = decision.map(|decision| match (decision, &self.place) {
            (Decision::Keep, _) => Outcome::Kept,
            (Decision::Move, Some(_)) => Outcome::Moved,
            (Decision::Move, None) | (Decision::Cancel, _) => Outcome::Cancelled,
        });
        let local = |at: DateTime<Utc>| at.with_timezone(&CST);
        let place = self.place.as_ref().filter(|_| matches!(outcome, None | Some(Outcome::Moved)));
        Ok(AffectedView {
            id: row.id,
            channel: row.channel,
            place: row.place,
            matter: Named { id: row.matter_id, name: row.matter_name.clone() },
            window: Named { id: row.window_id, name: row.window_name.clone() },
            starts_at: local(row.starts_at),
            ends_at: local(row.ends_at),
            resident: Named { id: self.resident, name: name.unwrap_or_default() },
            outcome,
            new_place: place.map(|(placed, _)| NewPlaceView {
                window: Named { id: placed.window, name: placed.window_name.clone() },
                starts_at: local(placed.starts_at),
                ends_at: local(placed.ends_at),
            }),
        })
    }
}
