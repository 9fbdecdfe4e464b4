//! The hall in public: what screens show, by polling or as a stream, and kiosks that hand out tickets. No names, ever.

use std::{sync::Arc, time::Duration};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    get,
    http::header::{self, ContentEncoding},
    post,
    web::Data,
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{
    arriving::{self, NewWalkIn, Rules},
    board::{Board, HallView, Screen, Stream},
    line::Line,
    model::Ticket,
};
use crate::{
    app::App,
    error::{Code, Error, Result},
    http::{
        document::IdempotencyHeader,
        etag::not_modified,
        idempotency::{Answer, IdempotencyKey, Once},
        limits,
        valid::Valid,
    },
};

/// How often a stream looks whether something has changed.
const LOOK: Duration = Duration::from_secs(1);

/// A comment is sent at least this often: proxies cut what is silent for longer.
const KEEP_ALIVE: TimeDelta = TimeDelta::seconds(15);

/// What browsers wait before they connect again.
const RETRY: &str = "retry: 3000\n\n";

/// Tickets a kiosk may hand out in a minute, and streams a screen may open.
const PER_MINUTE: u32 = 60;

/// The `{secret}` of a path. What cannot be one names nothing: 404.
pub struct Secret(String);

impl FromRequest for Secret {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let secret = request.match_info().get("secret").filter(|secret| (32..=64).contains(&secret.len()));
        std::future::ready(secret.map(|secret| Self(secret.to_owned())).ok_or(Code::NotFound.into()))
    }
}

/// The screen of a secret, for whoever asks.
async fn screen(app: &App, request: &HttpRequest, secret: &Secret) -> Result<Arc<Screen>> {
    app.boards.screen_for(app, &secret.0, &limits::address(app, request)).await
}

/// What a hall shows
///
/// For screens that poll, say every 3 seconds: windows with the tickets that they call or serve, and who is next. A second old at
/// most; send the `ETag` as `If-None-Match` and get 304 while nothing has changed. An address that tries many secrets has to wait.
#[utoipa::path(tag = "queue", security(()), params(("secret" = String, Path, description = "The secret of the screen")),
    responses((status = 200, description = "The hall", body = HallView), (status = 304, description = "Unchanged since the `ETag` sent")),
    extensions(("x-errors" = json!(["too_many_requests"]))))]
#[get("/v1/halls/{secret}")]
pub async fn get_hall(secret: Secret, app: Data<App>, request: HttpRequest) -> Result<HttpResponse> {
    let screen = screen(&app, &request, &secret).await?;
    let board = app.boards.board(&app, &screen).await?;
    let tag = format!("\"{}\"", board.version);
    let same = not_modified(&request, &tag);
    let mut response = if same { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, "no-cache"));
    if same {
        return Ok(response.finish());
    }
    Ok(response.content_type("application/json").body(board.body.clone()))
}

/// A stream ends after this; browsers connect again by themselves.
const LONGEST: TimeDelta = TimeDelta::hours(1);

/// A stream to one screen.
struct Feed {
    app: Data<App>,
    secret: String,
    /// The version of what was sent last.
    shown: Option<String>,
    spoke: DateTime<Utc>,
    first: bool,
    closing: watch::Receiver<bool>,
    _open: Stream,
    /// When the browser is to connect again, so that none is forgotten.
    ends: DateTime<Utc>,
}

impl Feed {
    /// What is to be sent next; none when the stream ends.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.first) {
            let event = self.event().await.ok()?;
            return Some(self.say(RETRY.to_owned() + &event.unwrap_or_default()));
        }
        loop {
            tokio::select! {
                _ = tokio::time::sleep(LOOK) => {}
                _ = self.closing.wait_for(|closing| *closing) => return None,
            }
            let now = self.app.clock.now();
            if now >= self.ends {
                return None;
            }
            match self.event().await {
                Ok(Some(event)) => return Some(self.say(event)),
                // A screen that was ended.
                Err(error) if error.code == Code::NotFound => return None,
                // Whatever is away may be back in a moment: the screen goes on showing what it shows.
                Ok(None) | Err(_) => {}
            }
            if now - self.spoke >= KEEP_ALIVE - TimeDelta::seconds(1) {
                return Some(self.say(": still here\n\n".to_owned()));
            }
        }
    }

    /// The event of what has changed since the last.
    async fn event(&mut self) -> Result<Option<String>> {
        let screen = self.app.boards.screen(&self.app, &self.secret).await?;
        let board = self.app.boards.board(&self.app, &screen).await?;
        let Board { body, version } = &*board;
        if self.shown.as_ref() == Some(version) {
            return Ok(None);
        }
        self.shown = Some(version.clone());
        Ok(Some(format!("id: {version}\nevent: hall\ndata: {}\n\n", String::from_utf8_lossy(body))))
    }

    fn say(&mut self, words: String) -> Bytes {
        self.spoke = self.app.clock.now();
        words.into()
    }
}

/// What a hall shows, as a stream
///
/// Server-Sent Events: an event `hall` with the same JSON at once and whenever it changes, its `id` for `Last-Event-ID` (who already
/// has that gets the next change), a comment at least every 15 seconds. The stream ends when the screen is ended, when the
/// server stops, and after an hour; browsers connect again by themselves. At most 20 at once a screen, and 60 opened a minute.
#[utoipa::path(tag = "queue", security(()), params(("secret" = String, Path, description = "The secret of the screen")),
    responses((status = 200, description = "The stream", body = HallView, content_type = "text/event-stream")), extensions(("x-errors" = json!(["too_many_requests"]))))]
#[get("/v1/halls/{secret}/events")]
pub async fn stream_hall(secret: Secret, app: Data<App>, request: HttpRequest) -> Result<HttpResponse> {
    let screen = screen(&app, &request, &secret).await?;
    limits::take(&app, "hall_streams", &screen.id.to_string(), PER_MINUTE).await?;
    let open = app.boards.open(&screen)?;
    app.boards.board(&app, &screen).await?;
    let seen = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    let now = app.clock.now();
    let feed = Feed {
        closing: app.boards.closing(),
        _open: open,
        app,
        secret: secret.0,
        shown: seen.map(str::to_owned),
        spoke: now,
        first: true,
        ends: now + LONGEST,
    };
    let events =
        stream::unfold(feed, |mut feed| async move { feed.next().await.map(|words| (Ok::<_, Error>(words), feed)) });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        // A compressor would hold events back until it has a block; nginx until its buffer is full.
        .insert_header(ContentEncoding::Identity)
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(events)))
}

/// The code that somebody holds under the reader.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "7K3MPQ2XWH5RTN8CVEJ4"}))]
pub struct ArriveAtKiosk {
    /// Up to 64 characters.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    code: String,
}

/// For what somebody has come.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"matter_id": "0199a0c0-0000-7000-8000-0000000000b1"}))]
pub struct WalkInAtKiosk {
    matter_id: Uuid,
}

/// What a kiosk prints.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"ticket": "A001", "ahead": 2, "estimated_minutes": 10}))]
pub struct KioskTicketView {
    pub ticket: String,
    /// People who would be called before; none when it is being called already.
    pub ahead: Option<usize>,
    /// None while no window calls.
    pub estimated_minutes: Option<i64>,
}

/// A kiosk that hands out a ticket.
struct Kiosk {
    screen: Arc<Screen>,
    rules: Rules,
}

impl Kiosk {
    async fn of(app: &App, request: &HttpRequest, secret: &Secret) -> Result<Self> {
        let screen = screen(app, request, secret).await?;
        limits::take(app, "kiosks", &screen.id.to_string(), PER_MINUTE).await?;
        let rules = Rules::of(app, &screen.county_key).await?;
        Ok(Self { screen, rules })
    }

    fn once(&self, operation: &'static str, key: IdempotencyKey, digest: [u8; 32]) -> Once {
        Once::of(self.screen.county_id, self.screen.id, operation, key, digest)
    }

    fn here(&self) -> (i32, Uuid) {
        (self.screen.county_id, self.screen.unit_id)
    }

    fn printed(
        &self,
        conn: &mut PgConnection,
        row: Ticket,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<KioskTicketView> {
        let wait = Line::read(conn, self.here(), self.rules, now)?.wait_of(row.id);
        Ok(KioskTicketView {
            ticket: row.ticket.unwrap_or_default(),
            ahead: wait.map(|(ahead, _)| ahead),
            estimated_minutes: wait.and_then(|(_, minutes)| minutes),
        })
    }
}

/// Arrive at a kiosk
///
/// By the code of an appointment of today at this centre; the same rules as at the desk. Tells the number and the wait, nothing
/// about whose it is. At most 60 a minute and screen.
#[utoipa::path(tag = "queue", security(()), params(("secret" = String, Path, description = "The secret of the kiosk"), IdempotencyHeader),
    request_body = ArriveAtKiosk, responses((status = 200, description = "The ticket", body = KioskTicketView)),
    extensions(("x-errors" = json!(["arrival_elsewhere", "arrival_too_early", "cannot_arrive", "nobody_arrives", "not_at_centre", "not_today"]))))]
#[post("/v1/halls/{secret}/arrivals")]
pub async fn arrive_at_kiosk(
    secret: Secret,
    key: IdempotencyKey,
    request: HttpRequest,
    app: Data<App>,
    body: Valid<ArriveAtKiosk>,
) -> Result<Answer> {
    let kiosk = Kiosk::of(&app, &request, &secret).await?;
    let once = kiosk.once("arrive_at_kiosk", key, body.digest);
    let (code, now, inner, kiosk) = (body.value.code, app.clock.now(), app.clone(), Arc::new(kiosk));
    app.once(once, move |conn| {
        let row = arriving::by_code(conn, &inner, kiosk.here(), &code)?;
        let row = arriving::enter(conn, row, kiosk.rules, None, now)?;
        Answer::ok(row.version, &kiosk.printed(conn, row, now)?)
    })
    .await
}

/// Take a ticket at a kiosk
///
/// Without an appointment. At most 60 a minute and screen. `Location` names the appointment, which staff can see.
#[utoipa::path(tag = "queue", security(()), params(("secret" = String, Path, description = "The secret of the kiosk"), IdempotencyHeader),
    request_body = WalkInAtKiosk, responses((status = 201, description = "The ticket", body = KioskTicketView)))]
#[post("/v1/halls/{secret}/walk_ins")]
pub async fn walk_in_at_kiosk(
    secret: Secret,
    key: IdempotencyKey,
    request: HttpRequest,
    app: Data<App>,
    body: Valid<WalkInAtKiosk>,
) -> Result<Answer> {
    let kiosk = Kiosk::of(&app, &request, &secret).await?;
    let once = kiosk.once("walk_in_at_kiosk", key, body.digest);
    let (id, matter, now, kiosk) = (Uuid::now_v7(), body.value.matter_id, app.clock.now(), Arc::new(kiosk));
    app.once(once, move |conn| {
        let (county, unit) = kiosk.here();
        let row = arriving::walk_in(conn, NewWalkIn { county, id, unit, matter, resident: None, by: None }, now)?;
        Answer::created(format!("/v1/appointments/{id}"), row.version, &kiosk.printed(conn, row, now)?)
    })
    .await
}
