//! What counties decide about kinds of messages, in the database.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};

use super::{
    model::{Kind, OwnWords},
    words::OwnTemplate,
};
use crate::{
    db::{found, schema::message_templates},
    error::Result,
};

/// A county's template as stored.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = message_templates, check_for_backend(diesel::pg::Pg))]
pub struct Template {
    pub kind: Kind,
    pub wechat_template_id: Option<String>,
    pub title_zh: Option<String>,
    pub text_zh: Option<String>,
    pub title_en: Option<String>,
    pub text_en: Option<String>,
    pub wechat_fields: Option<Value>,
    pub sms_template: Option<String>,
    pub version: i64,
}

impl Template {
    /// What the county decides otherwise.
    pub fn own(&self) -> OwnTemplate {
        let fields = self.wechat_fields.clone().and_then(|fields| serde_json::from_value(fields).ok());
        let (title_zh, text_zh) = (self.title_zh.clone(), self.text_zh.clone());
        let (title_en, text_en) = (self.title_en.clone(), self.text_en.clone());
        OwnTemplate { words: OwnWords { title_zh, text_zh, title_en, text_en }, wechat_fields: fields }
    }
}

pub fn find(conn: &mut PgConnection, county: i32, kind: Kind) -> Result<Option<Template>> {
    found(message_templates::table.find((county, kind.as_str())).select(Template::as_select()).first(conn))
}

/// Every template of a county. Rows of kinds that a later version knew are left out.
pub fn all(conn: &mut PgConnection, county: i32) -> QueryResult<Vec<Template>> {
    let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let here = message_templates::table.filter(message_templates::county_id.eq(county));
    here.filter(message_templates::kind.eq_any(known)).select(Template::as_select()).load(conn)
}

/// The values of a row that can be written; what is missing is the default.
#[derive(Clone, Debug, Insertable, AsChangeset)]
#[diesel(table_name = message_templates, treat_none_as_null = true)]
pub struct Values {
    pub wechat_template_id: Option<String>,
    pub title_zh: Option<String>,
    pub text_zh: Option<String>,
    pub title_en: Option<String>,
    pub text_en: Option<String>,
    pub wechat_fields: Option<Value>,
    pub sms_template: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// Writes a template if its version is still `version`; 0 is one that the county does not have.
pub fn put(
    conn: &mut PgConnection,
    (county, kind, version): (i32, Kind, i64),
    values: Values,
) -> Result<Option<Template>> {
    let key = (message_templates::county_id.eq(county), message_templates::kind.eq(kind));
    if version == 0 {
        let insert = diesel::insert_into(message_templates::table).values((key, values)).on_conflict_do_nothing();
        return found(insert.returning(Template::as_returning()).get_result(conn));
    }
    let row = message_templates::table.find((county, kind.as_str())).filter(message_templates::version.eq(version));
    let set = diesel::update(row).set((message_templates::version.eq(version + 1), values));
    found(set.returning(Template::as_returning()).get_result(conn))
}

/// Fields of a WeChat template as stored.
pub fn stored(fields: Option<&BTreeMap<String, String>>) -> Option<Value> {
    fields.map(|fields| json!(fields))
}

/// Sets the WeChat template of a kind and leaves the rest; for the command line and the sample county.
pub fn set_wechat(
    conn: &mut PgConnection,
    county: i32,
    kind: Kind,
    template: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::insert_into(message_templates::table)
        .values((
            (message_templates::county_id.eq(county), message_templates::kind.eq(kind)),
            (message_templates::wechat_template_id.eq(template), message_templates::updated_at.eq(now)),
        ))
        .on_conflict((message_templates::county_id, message_templates::kind))
        .do_update()
        .set((
            message_templates::wechat_template_id.eq(template),
            message_templates::version.eq(message_templates::version + 1),
            message_templates::updated_at.eq(now),
        ))
        .execute(conn)
}
