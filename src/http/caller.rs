//! Who is calling: the access token, checked once and remembered, and the permission as a type.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web::Data,
};
use uuid::Uuid;

use crate::{
    app::App,
    error::{Code, Error, Lang, Result},
    http::permissions::{Grant, Permission, Role},
    sessions,
};

/// A logged-in person in one county and one role.
#[derive(Clone, Debug)]
pub struct Caller {
    pub county: i32,
    pub county_key: Arc<str>,
    pub session: Uuid,
    /// The resident's or the staff member's id.
    pub subject: Uuid,
    pub role: Role,
    /// The unit of the post; none for residents.
    pub unit: Option<Uuid>,
}

/// What a caller may reach. Finders take it before any id, so that what lies outside is not found rather than forbidden.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub county: i32,
    pub reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What belongs to this resident (or, for sessions, to this person).
    Own(Uuid),
    /// This unit and the units below it.
    Unit(Uuid),
    County,
}

/// Who may see a thing that belongs to a resident and that staff hold, as binds of its statement: the resident and those who act for them;
/// whoever holds it; staff of a unit or above it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub resident: Option<Uuid>,
    pub staff: Option<Uuid>,
    pub within: Option<Uuid>,
    pub whole: bool,
}

impl Seen {
    /// By the system.
    pub const WHOLE: Self = Self { resident: None, staff: None, within: None, whole: true };

    pub fn by(caller: &Caller, scope: Scope) -> Self {
        let within = match scope.reach {
            Reach::Unit(unit) => Some(unit),
            Reach::Own(_) | Reach::County => None,
        };
        let resident = caller.is_resident().then_some(caller.subject);
        Self { resident, staff: caller.staff(), within, whole: scope.reach == Reach::County }
    }
}

impl Caller {
    pub fn is_resident(&self) -> bool {
        self.role == Role::Resident
    }

    /// The staff member's id, to be recorded beside what they do.
    pub fn staff(&self) -> Option<Uuid> {
        (!self.is_resident()).then_some(self.subject)
    }

    /// What the caller reaches with another permission than the one that was asked for; none without it.
    pub fn scope_of<P: Permission>(&self) -> Result<Option<Scope>> {
        let grant = P::GRANTS.iter().find(|(role, _)| *role == self.role);
        grant.map(|(_, grant)| self.scope(*grant)).transpose()
    }

    fn scope(&self, grant: Grant) -> Result<Scope> {
        let reach = match grant {
            Grant::Own => Reach::Own(self.subject),
            Grant::County => Reach::County,
            Grant::Village | Grant::Township => Reach::Unit(self.unit.ok_or(Code::Forbidden)?),
        };
        Ok(Scope { county: self.county, reach })
    }
}

/// A caller who has permission `P`. Stands first among a handler's arguments, so that it fails before the body is read.
pub struct Can<P> {
    caller: Caller,
    pub scope: Scope,
    permission: PhantomData<P>,
}

impl<P> Deref for Can<P> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<P: Permission> Can<P> {
    fn check(caller: Caller) -> Result<Self> {
        let scope = caller.scope_of::<P>()?.ok_or_else(|| {
            Error::new(Code::Forbidden)
                .detail(format!("需要权限 {}", P::NAME), format!("The permission {} is needed", P::NAME))
        })?;
        Ok(Self { caller, scope, permission: PhantomData })
    }
}

fn bearer(headers: &header::HeaderMap) -> Result<&str> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Code::Unauthenticated)?;
    let value = value.to_str().map_err(|_| Code::Unauthenticated)?;
    let (scheme, token) = value.split_once(' ').ok_or(Code::Unauthenticated)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(Code::Unauthenticated.into()) }
}

/// What `identify` found out about the caller.
struct Identified(Result<Caller>);

/// Authenticates before anything else of the request is looked at. Actix polls all of a handler's arguments and answers the
/// first error that is *ready*; an argument that still waits for Redis would lose to a bad body.
pub async fn identify(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if request.headers().contains_key(header::AUTHORIZATION) {
        let token = bearer(request.headers());
        let app = request.app_data::<Data<App>>().expect("http::serve puts it there").clone();
        let caller = match token {
            Ok(token) => sessions::authenticate(&app, token).await,
            Err(error) => Err(error),
        };
        request.extensions_mut().insert(Identified(caller));
    }
    next.call(request).await
}

impl<P: Permission> FromRequest for Can<P> {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let identified = request.extensions_mut().remove::<Identified>();
        let caller = identified.map_or_else(|| Err(Code::Unauthenticated.into()), |Identified(caller)| caller);
        std::future::ready(caller.and_then(Self::check))
    }
}

/// The application behind a request.
pub fn app(request: &HttpRequest) -> Data<App> {
    request.app_data::<Data<App>>().expect("http::mount puts it there").clone()
}

/// The language that the client prefers: the Chinese or English entry of `Accept-Language` with the highest weight.
pub fn language(request: &header::HeaderMap) -> Lang {
    let Some(value) = request.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()) else {
        return Lang::Zh;
    };
    let mut best = (0.0, Lang::Zh);
    for entry in value.split(',') {
        let (tag, weight) = entry.split_once(";q=").unwrap_or((entry, "1"));
        let weight: f32 = weight.trim().parse().unwrap_or(0.0);
        let lang = match tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" => Lang::En,
            "zh" => Lang::Zh,
            _ => continue,
        };
        if weight > best.0 {
            best = (weight, lang);
        }
    }
    best.1
}

impl FromRequest for Lang {
    type Error = Error;
    type Future = std::future::Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(Ok(language(request.headers())))
    }
}
