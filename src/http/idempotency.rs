//! Writes that may be repeated: `Idempotency-Key` (IETF HTTPAPI draft 07).
//!
//! The answer is stored, sealed, in the very transaction that it answers for. A try-lock says "still running" without
//! waiting; the primary key decides what the lock cannot. Only successes are stored, so a full slot may be tried again.

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, PgConnection, QueryDsl, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text as SqlText, Timestamptz, Uuid as SqlUuid},
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    app::App,
    crypto,
    error::{Code, Error, Result},
    http::{caller::Caller, etag::etag, limits},
    statement,
};

/// Answers longer than this are not stored; no operation comes near.
const LONGEST: usize = 64 * 1024;

/// The header, required on every POST that creates or moves something.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(String);

impl FromRequest for IdempotencyKey {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = || {
            let value = request.headers().get("idempotency-key").ok_or_else(|| {
                Error::new(Code::IdempotencyKeyMissing).detail(
                    "请为每次操作生成一个新的 UUID，重试时使用同一个",
                    "Make a new UUID for every action and send the same one when repeating it",
                )
            })?;
            // The draft makes it a quoted string; most clients send it bare.
            let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
            let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
            if fits { Ok(Self(text.to_owned())) } else { Err(malformed()) }
        };
        std::future::ready(read())
    }
}

fn malformed() -> Error {
    Error::new(Code::MalformedHeader).detail(
        "Idempotency-Key 须为 1 至 255 个可见 ASCII 字符",
        "Idempotency-Key has 1 to 255 visible ASCII characters",
    )
}

/// A finished answer, as bytes, so that a repeat is the same to the byte.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    location: Option<String>,
    etag: Option<String>,
    body: Bytes,
    replayed: bool,
}

impl Answer {
    fn new(status: StatusCode, version: i64, view: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(view).map_err(Error::internal)?.into();
        Ok(Self { status, location: None, etag: Some(etag(version)), body, replayed: false })
    }

    /// 201 with `Location` and the thing.
    pub fn created(location: String, version: i64, view: &impl Serialize) -> Result<Self> {
        Ok(Self { location: Some(location), ..Self::new(StatusCode::CREATED, version, view)? })
    }

    /// 202 with where to look: it is done later.
    pub fn accepted(location: String, version: i64, view: &impl Serialize) -> Result<Self> {
        Ok(Self { location: Some(location), ..Self::new(StatusCode::ACCEPTED, version, view)? })
    }

    /// 200 with the thing as it is now.
    pub fn ok(version: i64, view: &impl Serialize) -> Result<Self> {
        Self::new(StatusCode::OK, version, view)
    }
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.content_type("application/json");
        if let Some(location) = self.location {
            response.insert_header((header::LOCATION, location));
        }
        if let Some(etag) = self.etag {
            response.insert_header((header::ETAG, etag));
        }
        if self.replayed {
            response.insert_header((HeaderName::from_static("idempotency-replayed"), "true"));
        }
        response.body(self.body)
    }
}

/// What a repeatable write is known by: whose it is, which operation, which key, which request.
#[derive(Clone, Debug)]
pub struct Once {
    pub county: i32,
    pub caller: Uuid,
    pub operation: &'static str,
    pub key: String,
    digest: [u8; 32],
}

impl Once {
    pub fn new(caller: &Caller, operation: &'static str, key: IdempotencyKey, digest: [u8; 32]) -> Self {
        Self { county: caller.county, caller: caller.subject, operation, key: key.0, digest }
    }

    /// Of what has no session, such as a kiosk, by its id.
    pub fn of(county: i32, caller: Uuid, operation: &'static str, key: IdempotencyKey, digest: [u8; 32]) -> Self {
        Self { county, caller, operation, key: key.0, digest }
    }

    /// Binds the stored answer to its row, so that it opens nowhere else.
    fn place(&self) -> String {
        format!("idempotency_keys.body/{}/{}/{}", self.caller, self.operation, self.key)
    }

    /// Whose writes are counted together.
    fn who(&self) -> String {
        format!("{}:{}", self.county, self.caller)
    }

    /// A number for the advisory lock; a collision only makes somebody repeat.
    pub fn lock(&self) -> i64 {
        let digest = crypto::digest(format!("{}/{}", self.county, self.place()).as_bytes());
        i64::from_be_bytes(*digest.first_chunk().expect("32 bytes hold 8"))
    }
}

statement! {
    /// Takes the lock and looks for an answer, in one round trip.
    pub struct Gate {
        lock: i64 as BigInt, county: i32 as Integer, caller: Uuid as SqlUuid, operation: &'static str as SqlText, key: String as SqlText,
    }
    "SELECT * FROM idempotency_gate({lock}, {county}, {caller}, {operation}, {key})"
}

statement! {
    /// Stores an answer.
    pub struct Keep {
        county: i32 as Integer, caller: Uuid as SqlUuid, operation: &'static str as SqlText, key: String as SqlText,
        digest: Vec<u8> as Binary, status: i16 as SmallInt, location: Option<String> as Nullable<SqlText>,
        etag: Option<String> as Nullable<SqlText>, body: Vec<u8> as Binary, at: DateTime<Utc> as Timestamptz,
    }
    "INSERT INTO idempotency_keys (county_id, caller_id, operation, key, request_digest, status, location, etag, body, created_at) \
     VALUES ({county}, {caller}, {operation}, {key}, {digest}, {status}, {location}, {etag}, {body}, {at})"
}

/// An answer that is kept, or none, as binds of a statement that stores it with what it answers for: caller, operation, key, digest of the
/// request, status, location, etag, body.
pub type KeepBinds = (
    Option<Uuid>,
    Option<&'static str>,
    Option<String>,
    Option<Vec<u8>>,
    Option<i16>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
);

impl Keep {
    /// For a statement of a room's own.
    pub fn binds(keep: Option<Self>) -> KeepBinds {
        let Some(Self { caller, operation, key, digest, status, location, etag, body, .. }) = keep else {
            return Default::default();
        };
        (Some(caller), Some(operation), Some(key), Some(digest), Some(status), location, etag, Some(body))
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    locked: bool,
    #[diesel(sql_type = Nullable<Binary>)]
    request_digest: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    status: Option<i16>,
    #[diesel(sql_type = Nullable<SqlText>)]
    location: Option<String>,
    #[diesel(sql_type = Nullable<SqlText>)]
    etag: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    body: Option<Vec<u8>>,
}

/// Forgets the answers kept for a caller who is no more.
pub fn forget(conn: &mut PgConnection, county: i32, caller: Uuid) -> QueryResult<usize> {
    use crate::db::schema::idempotency_keys;
    let own = idempotency_keys::table.filter(idempotency_keys::county_id.eq(county));
    diesel::delete(own.filter(idempotency_keys::caller_id.eq(caller))).execute(conn)
}

/// What stores an answer under its key.
pub struct Keeping<'a> {
    app: &'a App,
    once: &'a Once,
}

impl Keeping<'_> {
    /// The row of an answer, to be written in the transaction that it answers for.
    pub fn keep(&self, answer: &Answer) -> Result<Keep> {
        if answer.body.len() > LONGEST {
            return Err(Error::internal("an answer is too long to be repeated"));
        }
        let Once { county, caller, operation, ref key, digest } = *self.once;
        let body = self.app.keys.seal(county, &self.once.place(), &answer.body);
        let (key, status, at) = (key.clone(), answer.status.as_u16() as i16, self.app.clock.now());
        let (location, etag) = (answer.location.clone(), answer.etag.clone());
        Ok(Keep { county, caller, operation, key, digest: digest.to_vec(), status, location, etag, body, at })
    }
}

impl App {
    /// Runs `work` in one transaction, once per key: a repeat gets the first answer again.
    ///
    /// `work` is SQL only and may run twice. Two round trips besides those of `work`, `BEGIN` and `COMMIT`:
    /// the gate before, the stored answer after.
    pub async fn once<F>(self: &std::sync::Arc<Self>, once: Once, work: F) -> Result<Answer>
    where
        F: Fn(&mut PgConnection) -> Result<Answer> + Clone + Send + 'static,
    {
        self.count(&once).await?;
        self.once_counted(once, work).await
    }

    /// Takes one of the writes that a caller has in a minute.
    pub async fn count(&self, once: &Once) -> Result<()> {
        limits::take(self, "writes", &once.who(), self.config.writes_per_minute).await
    }

    /// [`count`](Self::count) for many at once.
    pub async fn count_each(&self, all: impl Iterator<Item = &Once>) -> Vec<Result<()>> {
        let whos: Vec<_> = all.map(Once::who).collect();
        limits::take_each(self, "writes", &whos, self.config.writes_per_minute).await
    }

    /// [`once`](Self::once) for what has been counted before, because something had to be asked first.
    pub async fn once_counted<F>(self: &std::sync::Arc<Self>, once: Once, work: F) -> Result<Answer>
    where
        F: Fn(&mut PgConnection) -> Result<Answer> + Clone + Send + 'static,
    {
        let and_keep = move |conn: &mut PgConnection, keeping: &Keeping| {
            let answer = work(conn)?;
            keeping.keep(&answer)?.execute(conn)?;
            Ok(answer)
        };
        self.run_once(once, and_keep).await
    }

    /// [`once`](Self::once) for `work` that stores the answer itself, in the statement that writes: one round trip less.
    pub async fn once_keeping<F>(self: &std::sync::Arc<Self>, once: Once, work: F) -> Result<Answer>
    where
        F: Fn(&mut PgConnection, &Keeping) -> Result<Answer> + Clone + Send + 'static,
    {
        self.count(&once).await?;
        self.once_keeping_counted(once, work).await
    }

    /// [`once_keeping`](Self::once_keeping) for what has been counted before.
    pub async fn once_keeping_counted<F>(self: &std::sync::Arc<Self>, once: Once, work: F) -> Result<Answer>
    where
        F: Fn(&mut PgConnection, &Keeping) -> Result<Answer> + Clone + Send + 'static,
    {
        self.run_once(once, work).await
    }

    async fn run_once<F>(self: &std::sync::Arc<Self>, once: Once, work: F) -> Result<Answer>
    where
        F: Fn(&mut PgConnection, &Keeping) -> Result<Answer> + Clone + Send + 'static,
    {
        match self.attempt(once.clone(), work.clone()).await {
            // The connection died while committing: the key tells what became of it.
            Err(unknown) if unknown.code == Code::OutcomeUnknown => {
                self.attempt(once, work).await.map_err(|error| match error.code.status().is_server_error() {
                    true => unknown,
                    false if error.code == Code::IdempotencyInProgress => unknown,
                    false => error,
                })
            }
            answer => answer,
        }
    }

    /// The stored answer, for operations that must ask somebody else before they write.
    pub async fn answered(self: &std::sync::Arc<Self>, once: Once) -> Result<Option<Answer>> {
        let app = self.clone();
        self.db.write(once.operation, move |conn| app.look(conn, &once).map(|(answer, _)| answer)).await
    }

    async fn attempt<F>(self: &std::sync::Arc<Self>, once: Once, work: F) -> Result<Answer>
    where
        F: Fn(&mut PgConnection, &Keeping) -> Result<Answer> + Send + 'static,
    {
        let app = self.clone();
        self.db.write(once.operation, move |conn| app.decide(conn, &once, &work)).await
    }

    fn decide(
        &self,
        conn: &mut PgConnection,
        once: &Once,
        work: &impl Fn(&mut PgConnection, &Keeping) -> Result<Answer>,
    ) -> Result<Answer> {
        let (answer, locked) = self.look(conn, once)?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
        if !locked {
            return Err(Code::IdempotencyInProgress.into());
        }
        work(conn, &Keeping { app: self, once })
    }

    /// The stored answer, if there is one, and whether the lock is ours.
    fn look(&self, conn: &mut PgConnection, once: &Once) -> Result<(Option<Answer>, bool)> {
        let Once { county, caller, operation, ref key, digest } = *once;
        let found: Found = Gate { lock: once.lock(), county, caller, operation, key: key.clone() }.get_result(conn)?;
        let (Some(kept), Some(status), Some(body)) = (found.request_digest, found.status, found.body) else {
            return Ok((None, found.locked));
        };
        if kept != digest {
            return Err(Code::IdempotencyKeyReused.into());
        }
        let body = self.keys.open(county, &once.place(), &body)?.into();
        let status = StatusCode::from_u16(status as u16).map_err(Error::internal)?;
        let answer = Answer { status, location: found.location, etag: found.etag, body, replayed: true };
        Ok((Some(answer), found.locked))
    }
}
