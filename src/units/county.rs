//! The caller's own county over HTTP: its name and mini-program, never its secrets.

use actix_web::{HttpResponse, get, http::header, put, web::Data};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text as SqlText},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{model::Level, store, tenants};
use crate::{
    app::App,
    audit::{self, Audit},
    db::{
        changes::{self, Change},
        schema::{counties, units},
    },
    error::{Code, Error, Result},
    http::{
        caller::{Caller, Can},
        document::IfMatchHeader,
        etag::{IfMatch, etag},
        permissions::{ReadCounty, WriteCounty},
        valid::Valid,
    },
    statement, wechat,
};

/// The caller's own county.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-8000-8000-0000000000d1", "key": "350425", "name": "大田县", "wechat_appid": "wx0123456789abcdef",
    "wechat_secret_set": true, "sms_gateway_set": false, "version": 3}))]
pub struct CountyView {
    /// Made from the key; what the change feed and the audit log name.
    pub id: Uuid,
    /// The tenant key: immutable.
    pub key: String,
    pub name: String,
    pub wechat_appid: Option<String>,
    /// Whether a secret of the mini-program is stored; it is never answered.
    pub wechat_secret_set: bool,
    /// Whether an SMS gateway is configured.
    pub sms_gateway_set: bool,
    pub version: i64,
}

#[derive(QueryableByName)]
struct Own {
    #[diesel(sql_type = SqlText)]
    key: String,
    #[diesel(sql_type = SqlText)]
    name: String,
    #[diesel(sql_type = Nullable<SqlText>)]
    wechat_appid: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    wechat_secret: Option<Vec<u8>>,
    #[diesel(sql_type = Bool)]
    sms: bool,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

statement! {
    // The gateway is the messages' business: it is asked for by name, and a county without the column has none.
    struct FindOwn { county: i32 as Integer }
    "SELECT key, name, wechat_appid, wechat_secret, to_jsonb(counties) ->> 'sms_url' IS NOT NULL AS sms, version \
     FROM counties WHERE id = {county}"
}

impl From<Own> for CountyView {
    fn from(own: Own) -> Self {
        Self {
            id: tenants::audit_id(&own.key),
            key: own.key,
            name: own.name,
            wechat_appid: own.wechat_appid,
            wechat_secret_set: own.wechat_secret.is_some(),
            sms_gateway_set: own.sms,
            version: own.version,
        }
    }
}

fn answer(own: Own) -> HttpResponse {
    let tag = (header::ETAG, etag(own.version));
    HttpResponse::Ok().insert_header(tag).json(CountyView::from(own))
}

/// One's own county
///
/// For its administrator. Secrets are never answered, only whether there are some. The `ETag` is what `PUT` wants as `If-Match`.
#[utoipa::path(tag = "county", security(("token" = ["county:read"])), responses((status = 200, description = "The county", body = CountyView)))]
#[get("/v1/county")]
pub async fn get_county(caller: Can<ReadCounty>, app: Data<App>) -> Result<HttpResponse> {
    let county = caller.scope.county;
    Ok(answer(app.db.read("get_county", move |conn| Ok(FindOwn { county }.get_result::<Own>(conn)?)).await?))
}

/// The whole county as it shall be.
#[derive(Clone, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "大田县", "wechat_appid": "wx0123456789abcdef", "wechat_secret": "0123456789abcdef0123456789abcdef"}))]
pub struct UpdateCounty {
    /// 1 to 64 characters; the county's own unit takes it too.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// Of the mini-program. Without it there is none: its secret is removed, and residents cannot log in.
    #[validate(length(min = 1, max = 64))]
    #[schema(min_length = 1, max_length = 64)]
    wechat_appid: Option<String>,
    /// Write-only, sealed at rest. Without it the stored one stays; another mini-program needs its own.
    #[validate(length(min = 1, max = 128))]
    #[schema(min_length = 1, max_length = 128, write_only)]
    wechat_secret: Option<String>,
}

/// The sealed secret that the county shall have.
fn secret(app: &App, county: i32, own: &Own, command: &UpdateCounty) -> Result<Option<Vec<u8>>> {
    match (&command.wechat_appid, &command.wechat_secret) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let (zh, en) = ("没有 wechat_appid 时不能填写", "goes with a wechat_appid only");
            Err(Error::field("/wechat_secret", "without_appid", zh, en))
        }
        (Some(_), Some(plain)) => Ok(Some(app.keys.seal(county, wechat::SECRET_PLACE, plain.as_bytes()))),
        (appid, None) if *appid == own.wechat_appid => Ok(own.wechat_secret.clone()),
        (Some(_), None) => {
            let (zh, en) = ("更换小程序须同时填写其密钥", "another mini-program needs its own secret");
            Err(Error::field("/wechat_secret", "required", zh, en))
        }
    }
}

fn fields(own: &Own, command: &UpdateCounty) -> Vec<&'static str> {
    let changed = [
        ("name", own.name != command.name),
        ("wechat_appid", own.wechat_appid != command.wechat_appid),
        (
            "wechat_secret",
            command.wechat_secret.is_some() || command.wechat_appid.is_none() && own.wechat_secret.is_some(),
        ),
    ];
    changed.into_iter().filter_map(|(field, changed)| changed.then_some(field)).collect()
}

/// The county's own units are called as the county is.
fn rename(conn: &mut PgConnection, county: i32, (old, new): (&str, &str), now: DateTime<Utc>) -> QueryResult<()> {
    let own = units::table.filter(units::county_id.eq(county)).filter(units::level.eq(Level::County));
    let renamed: Vec<Uuid> = diesel::update(own.filter(units::name.eq(old)))
        .set((units::name.eq(new), units::version.eq(units::version + 1), units::updated_at.eq(now)))
        .returning(units::id)
        .get_results(conn)?;
    for id in renamed {
        let (unit_id, resident_id, staff_id) = (Some(id), None, None);
        let change = Change { county, entity: "unit", entity_id: id, unit_id, resident_id, staff_id, gone: false };
        changes::record(conn, change, now)?;
    }
    Ok(())
}

/// Change one's own county
///
/// Its name and mini-program. The secret goes in and never comes out.
#[utoipa::path(tag = "county", security(("token" = ["county:write"])), params(IfMatchHeader), request_body = UpdateCounty,
    responses((status = 200, description = "As it is now", body = CountyView)), extensions(("x-errors" = json!(["wechat_appid_taken"]))))]
#[put("/v1/county")]
pub async fn update_county(
    caller: Can<WriteCounty>,
    seen: IfMatch,
    app: Data<App>,
    body: Valid<UpdateCounty>,
) -> Result<HttpResponse> {
    let mut command = body.value;
    command.name = command.name.trim().to_owned();
    if command.name.is_empty() {
        return Err(Error::field("/name", "length", "不能为空", "must not be blank"));
    }
    let entry = Audit::new("update", "county", tenants::audit_id(&caller.county_key));
    let (who, county, now, inner) = (Caller::clone(&caller), caller.scope.county, app.clock.now(), app.clone());
    let written = app.db.write("update_county", move |conn| {
        store::lock_county(conn, county)?;
        let own: Own = FindOwn { county }.get_result(conn)?;
        seen.check(own.version)?;
        let secret = secret(&inner, county, &own, &command)?;
        let wechat = (counties::wechat_appid.eq(&command.wechat_appid), counties::wechat_secret.eq(secret));
        let row = counties::table.find(county).filter(counties::version.eq(own.version));
        let set = (counties::name.eq(&command.name), wechat, counties::version.eq(own.version + 1));
        if diesel::update(row).set(set).execute(conn)? == 0 {
            return Err(Code::VersionStale.into());
        }
        rename(conn, county, (&own.name, &command.name), now)?;
        audit::record(conn, &who, now, &entry.clone().fields(fields(&own, &command)))?;
        changes::record(conn, tenants::changed(county, &own.key), now)?;
        Ok(FindOwn { county }.get_result::<Own>(conn)?)
    });
    let own = written.await?;
    app.counties.forget();
    app.rendered.forget();
    Ok(answer(own))
}
