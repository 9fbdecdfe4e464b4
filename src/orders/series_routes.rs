//! Series of orders over HTTP.

use actix_web::{HttpResponse, get, http::header, post, put, web::Data};
use chrono::{Days, NaiveDate};
use diesel::PgConnection;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    acting::{self, Frame},
    commands::OrderCommand,
    model::Step,
    ordering::Wish,
    rules::{Facts, Said},
    series::{self, NewSeries, Series, SeriesState, Sight, sealed_place},
    series_views::{CreateOrderSeries, OrderRhythm, OrderSeriesView, SkipOrderSeries},
};
use crate::{
    app::App,
    calendar::{self, Calendar},
    clock::local_date,
    error::{Code, Error, FieldError, Result, Text},
    http::{
        caller::{Caller, Can, Reach, Scope},
        command::Command,
        document::{IdempotencyHeader, IfMatchHeader},
        etag::{IfMatch, etag},
        idempotency::{Answer, Once},
        page::{self, After, Page},
        permissions::{OrderHelp, ReadOrders, Role},
        valid::{Id, Query, Valid},
    },
};

fn sight(caller: &Caller, scope: Scope) -> Sight {
    let within = match scope.reach {
        Reach::Unit(unit) => Some(unit),
        Reach::Own(_) | Reach::County => None,
    };
    Sight { resident: caller.is_resident().then_some(caller.subject), within }
}

/// Who changes a series.
#[derive(Clone)]
struct Changer {
    who: Caller,
    scope: Scope,
    frame: Frame,
    calendar: std::sync::Arc<Calendar>,
}

impl Changer {
    async fn of(app: &App, caller: &Can<OrderHelp>) -> Result<Self> {
        let frame = Frame::of(app, &caller.county_key).await?;
        let calendar = calendar::current(app).await?;
        Ok(Self { who: Caller::clone(caller), scope: caller.scope, frame, calendar })
    }

    fn today(&self) -> NaiveDate {
        local_date(self.frame.now)
    }

    fn lock(&self, conn: &mut PgConnection, id: Uuid) -> Result<Series> {
        let found = series::lock(conn, self.who.county, sight(&self.who, self.scope), id, self.today())?;
        found.ok_or(Code::NotFound.into())
    }

    /// What comes of a series that is active: its orders of the next days.
    fn plan(&self, conn: &mut PgConnection, app: &App, id: Uuid) -> Result<Series> {
        let row = self.lock(conn, id)?;
        if row.state == SeriesState::Active {
            let ahead = self.frame.settings.orders_series_days;
            series::plan(conn, app, &row, (&self.calendar, ahead), self.frame.now)?;
        }
        self.lock(conn, id)
    }

    /// Cancels orders to come that nobody has taken, of some days or of all.
    fn cancel(&self, conn: &mut PgConnection, row: &Series, only: Option<&[NaiveDate]>) -> Result<()> {
        let waiting = series::waiting(conn, row, self.frame.now)?;
        let facts = Facts::from([("why".to_owned(), json!("series"))]);
        let said = Said { facts, ..Said::default() };
        for one in waiting.into_iter().filter(|one| only.is_none_or(|days| days.contains(&one.occurrence))) {
            acting::by_system(conn, (row.county_id, one.id), (Step::Cancel, &said), &self.frame)?;
        }
        Ok(())
    }
}

/// Order help again and again
///
/// A rule of RFC 5545 says on which days. Its orders are made `orders.series_days` ahead, each day once, and count as orders of their own from then on.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(IdempotencyHeader), request_body = CreateOrderSeries,
    responses((status = 201, description = "The series", body = OrderSeriesView)), extensions(("x-errors" = json!(["unit_unknown"]))))]
#[post("/v1/order-series")]
pub async fn create_order_series(caller: Can<OrderHelp>, command: Command<CreateOrderSeries>) -> Result<Answer> {
    let Command { key, app, body, digest, .. } = command;
    let once = Once::new(&caller, "create_order_series", key, digest);
    let changer = Changer::of(&app, &caller).await?;
    let (id, inner, rhythm) = (Uuid::now_v7(), app.clone(), body.rhythm.clone());
    let CreateOrderSeries {
        kind_id: kind, resident_id: resident, address, words, form, language, place: point, ..
    } = body;
    let phone = body.phone.map(|phone| phone.as_ref().to_owned());
    let wish = Wish { kind, resident, address, phone, words, form, language, point };
    app.once(once, move |conn| {
        let (who, today) = (&changer.who, changer.today());
        let also = rhythm.faults("/rhythm", today, today);
        let checked = wish.check(conn, &inner, (who, changer.scope), (&changer.frame, also))?;
        let new = NewSeries {
            county: who.county,
            id,
            kind: checked.kind.id,
            resident: checked.resident,
            unit: checked.unit,
            rhythm: rhythm.rhythm(),
            language: wish.language.clone(),
            private: checked.private(&inner, who.county, &wish, |column| sealed_place(column, id)),
            point: wish.point,
            ordered_by: who.staff(),
            ordered_by_resident: who.is_resident().then_some(who.subject).filter(|me| *me != checked.resident),
            now: changer.frame.now,
        };
        series::insert(conn, new)?;
        let row = changer.plan(conn, &inner, id)?;
        Answer::created(format!("/v1/order-series/{id}"), row.version, &OrderSeriesView::new(&inner, &row)?)
    })
    .await
}

#[derive(Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OrderSeriesQuery {
    /// Of whom; residents see their own by default.
    resident_id: Option<Uuid>,
    /// Of this unit and the units below it; staff, and their own unit by default.
    unit_id: Option<Uuid>,
    /// How many items, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List series of orders
///
/// Residents: their own, or those of somebody who lets them. Staff: those of a unit and the units below it. Oldest first.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(OrderSeriesQuery),
    responses((status = 200, description = "A page of series", body = Page<OrderSeriesView>)))]
#[get("/v1/order-series")]
pub async fn list_order_series(
    caller: Can<ReadOrders>,
    app: Data<App>,
    query: Query<OrderSeriesQuery>,
) -> Result<HttpResponse> {
    let query = query.0;
    let limit = page::limit(query.limit)?;
    let after = page::after(&app.keys, "order_series", query.cursor.as_deref())?.unwrap_or(After::START);
    let (county, sight, today) = (caller.county, sight(&caller, caller.scope), local_date(app.clock.now()));
    let of = match (caller.role, query.resident_id) {
        (Role::Resident, whom) => (Some(whom.unwrap_or(caller.subject)), None),
        (_, Some(whom)) => (Some(whom), None),
        (_, None) => (None, Some(query.unit_id.or(caller.unit).ok_or(Code::Forbidden)?)),
    };
    let read =
        app.db.read("list_order_series", move |conn| Ok(series::list(conn, county, sight, of, (after, today), limit)?));
    let place = |row: &Series| After { at: row.created_at, id: row.id };
    let view = |row: Series| OrderSeriesView::new(&app, &row);
    let page = page::cut(&app.keys, "order_series", read.await?, limit as usize, place, view)?;
    Ok(HttpResponse::Ok().json(page))
}

/// One series of orders
///
/// Its orders are `GET /v1/orders?series_id=`.
#[utoipa::path(tag = "orders", security(("token" = ["orders:read"])), params(("id" = Uuid, Path, description = "The series")),
    responses((status = 200, description = "The series", body = OrderSeriesView)))]
#[get("/v1/order-series/{id}")]
pub async fn get_order_series(caller: Can<ReadOrders>, id: Id, app: Data<App>) -> Result<HttpResponse> {
    let (county, sight, today) = (caller.county, sight(&caller, caller.scope), local_date(app.clock.now()));
    let find = app.db.write("get_order_series", move |conn| series::lock(conn, county, sight, id.0, today));
    let row = find.await?.ok_or(Code::NotFound)?;
    let view = OrderSeriesView::new(&app, &row)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(row.version))).json(view))
}

/// Change a series of orders
///
/// Another rhythm; `from_on` stays as it was. Orders to come that nobody has taken follow it, those that somebody has taken stay as they are.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The series"), IfMatchHeader), request_body = OrderRhythm,
    responses((status = 200, description = "The series", body = OrderSeriesView)), extensions(("x-errors" = json!(["series_state"]))))]
#[put("/v1/order-series/{id}")]
pub async fn update_order_series(
    caller: Can<OrderHelp>,
    id: Id,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<OrderRhythm>,
) -> Result<Answer> {
    let changer = Changer::of(&app, &caller).await?;
    let (inner, asked) = (app.clone(), body.value);
    let write = app.db.write("update_order_series", move |conn| {
        let row = changer.lock(conn, id.0)?;
        seen.check(row.version)?;
        if row.state == SeriesState::Ended {
            return Err(Code::SeriesState.into());
        }
        let mut faults = asked.faults("", row.from_on, changer.today());
        if asked.from_on != row.from_on {
            let text = Text::fixed("开始日不能更改", "the first day stays as it was");
            faults.push(FieldError::body("/from_on", "unchangeable", text));
        }
        if !faults.is_empty() {
            return Err(Error::invalid(faults));
        }
        changer.cancel(conn, &row, None)?;
        // The days are ordered anew, also those whose orders were just cancelled.
        let again: Vec<_> = (0..=60).map(|ahead| changer.today() + Days::new(ahead)).collect();
        series::forget(conn, &row, again)?;
        let planned = Some((changer.today() - Days::new(1)).max(row.from_on - Days::new(1)));
        series::rewrite(conn, &row, (&asked.rhythm(), planned), changer.frame.now)?;
        let row = changer.plan(conn, &inner, id.0)?;
        Answer::ok(row.version, &OrderSeriesView::new(&inner, &row)?)
    });
    write.await
}

/// What becomes of a series.
async fn becomes(
    (operation, from, to): (&'static str, &'static [SeriesState], SeriesState),
    caller: Can<OrderHelp>,
    id: Id,
    command: Command<OrderCommand>,
) -> Result<Answer> {
    let Command { key, app, digest, .. } = command;
    let once = Once::new(&caller, operation, key, digest);
    let changer = Changer::of(&app, &caller).await?;
    let inner = app.clone();
    app.once(once, move |conn| {
        let row = changer.lock(conn, id.0)?;
        if !from.contains(&row.state) {
            return Err(Code::SeriesState.into());
        }
        if to != SeriesState::Active {
            changer.cancel(conn, &row, None)?;
        }
        // What was cancelled by pausing is ordered anew when it goes on.
        let planned = (changer.today() - Days::new(1)).max(row.from_on - Days::new(1));
        if to == SeriesState::Active {
            let days: Vec<_> = (0..=60).map(|ahead| changer.today() + Days::new(ahead)).collect();
            series::forget(conn, &row, days)?;
        }
        series::set_state(conn, &row, (to, Some(planned)), changer.frame.now)?;
        let row = changer.plan(conn, &inner, id.0)?;
        Answer::ok(row.version, &OrderSeriesView::new(&inner, &row)?)
    })
    .await
}

/// Pause a series of orders
///
/// Orders to come that nobody has taken are cancelled; what somebody has taken stays.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The series"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The series", body = OrderSeriesView)), extensions(("x-errors" = json!(["series_state"]))))]
#[post("/v1/order-series/{id}/pause")]
pub async fn pause_order_series(caller: Can<OrderHelp>, id: Id, command: Command<OrderCommand>) -> Result<Answer> {
    becomes(("pause_order_series", &[SeriesState::Active], SeriesState::Paused), caller, id, command).await
}

/// Go on with a series of orders
///
/// Its orders of the next days are made again.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The series"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The series", body = OrderSeriesView)), extensions(("x-errors" = json!(["series_state"]))))]
#[post("/v1/order-series/{id}/resume")]
pub async fn resume_order_series(caller: Can<OrderHelp>, id: Id, command: Command<OrderCommand>) -> Result<Answer> {
    becomes(("resume_order_series", &[SeriesState::Paused], SeriesState::Active), caller, id, command).await
}

/// End a series of orders
///
/// For good; orders to come that nobody has taken are cancelled.
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The series"), IdempotencyHeader),
    request_body = OrderCommand, responses((status = 200, description = "The series", body = OrderSeriesView)), extensions(("x-errors" = json!(["series_state"]))))]
#[post("/v1/order-series/{id}/end")]
pub async fn end_order_series(caller: Can<OrderHelp>, id: Id, command: Command<OrderCommand>) -> Result<Answer> {
    let from = &[SeriesState::Active, SeriesState::Paused];
    becomes(("end_order_series", from, SeriesState::Ended), caller, id, command).await
}

/// Leave out a day
///
/// Nobody comes on it. Its order is cancelled if nobody has taken it; one that somebody has taken is cancelled by itself (`POST /v1/orders/{id}/cancel`).
#[utoipa::path(tag = "orders", security(("token" = ["orders:order"])), params(("id" = Uuid, Path, description = "The series"), IdempotencyHeader),
    request_body = SkipOrderSeries, responses((status = 200, description = "The series", body = OrderSeriesView)), extensions(("x-errors" = json!(["series_state"]))))]
#[post("/v1/order-series/{id}/skip")]
pub async fn skip_order_series(caller: Can<OrderHelp>, id: Id, command: Command<SkipOrderSeries>) -> Result<Answer> {
    let Command { key, app, body, digest, .. } = command;
    let once = Once::new(&caller, "skip_order_series", key, digest);
    let changer = Changer::of(&app, &caller).await?;
    let inner = app.clone();
    app.once(once, move |conn| {
        let row = changer.lock(conn, id.0)?;
        if row.state == SeriesState::Ended {
            return Err(Code::SeriesState.into());
        }
        let today = changer.today();
        if body.on < today || !row.days(&changer.calendar, today - Days::new(1), row.until_on).contains(&body.on) {
            let (zh, en) = ("须为今后的一个服务日", "must be a day to come on which somebody would come");
            return Err(Error::field("/on", "no_occurrence", zh, en));
        }
        series::skip(conn, &row, body.on, changer.frame.now)?;
        changer.cancel(conn, &row, Some(&[body.on]))?;
        series::set_state(conn, &row, (row.state, row.planned_until), changer.frame.now)?;
        let row = changer.lock(conn, id.0)?;
        Answer::ok(row.version, &OrderSeriesView::new(&inner, &row)?)
    })
    .await
}
