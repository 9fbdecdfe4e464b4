//! How single ratings are shown.

use chrono::{DateTime, FixedOffset};
use diesel::PgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    model::{AboutKind, CHANGEABLE, Entry, GivenHow, Rating, grade_words, words_place},
    store,
};
use crate::{
    app::App,
    clock::CST,
    error::{Code, Lang, Result},
    people,
};

/// What was said one time.
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"grade": 2, "reasons": ["slow"], "words": "等了很久", "given_how": "resident", "at": "2026-11-23T10:15:00+08:00"}))]
pub struct RatingEntryView {
    pub grade: i16,
    pub reasons: Vec<String>,
    /// None if nothing was said, or if it has been erased.
    pub words: Option<String>,
    pub given_how: GivenHow,
    pub at: DateTime<FixedOffset>,
}

/// A rating (好差评).
#[derive(Clone, Serialize, ToSchema)]
#[schema(example = json!({"id": "0199a0c0-0000-7000-8000-0000000000f1", "about_kind": "appointment", "about_id": "0199a0c0-0000-7000-8000-0000000000a1",
    "resident_id": "0199a0c0-0000-7000-8000-00000000000a", "resident_name": "林*山", "unit_id": "0199a0c0-0000-7000-8000-000000000001",
    "served_by": ["0199a0c0-0000-7000-8000-0000000000a1"], "grade": 2, "grade_name": "不满意", "reasons": ["slow"], "words": "等了很久",
    "given_how": "resident", "given_by": "0199a0c0-0000-7000-8000-00000000000a", "changeable_until": "2026-11-24T10:15:00+08:00", "history": [],
    "version": 1, "created_at": "2026-11-23T10:15:00+08:00", "changed_at": "2026-11-23T10:15:00+08:00"}))]
pub struct RatingView {
    pub id: Uuid,
    pub about_kind: AboutKind,
    pub about_id: Uuid,
    /// Who was served.
    pub resident_id: Uuid,
    /// Masked.
    pub resident_name: Option<String>,
    /// Whose service it was.
    pub unit_id: Uuid,
    /// Members of staff and helpers who served.
    pub served_by: Vec<Uuid>,
    /// 5 非常满意, 4 满意, 3 基本满意, 2 不满意, 1 非常不满意.
    pub grade: i16,
    /// The grade in the language of the request.
    pub grade_name: String,
    /// Keys of `GET /v1/ratings/reasons`.
    pub reasons: Vec<String>,
    /// Of one rating only; lists leave it out.
    pub words: Option<String>,
    /// `agent`: staff wrote down what somebody without a phone said.
    pub given_how: GivenHow,
    pub given_by: Uuid,
    pub changeable_until: DateTime<FixedOffset>,
    /// What was said before it was changed, oldest first; of one rating only.
    pub history: Vec<RatingEntryView>,
    pub version: i64,
    pub created_at: DateTime<FixedOffset>,
    pub changed_at: DateTime<FixedOffset>,
}

pub(super) fn entry_view(app: &App, county: i32, entry: Entry) -> Result<RatingEntryView> {
    let open = |sealed: &Vec<u8>| app.keys.open_text(county, &words_place(entry.id), sealed);
    Ok(RatingEntryView {
        grade: entry.grade,
        words: entry.words.as_ref().map(open).transpose()?,
        reasons: entry.reasons.into_iter().flatten().collect(),
        given_how: entry.given_how,
        at: entry.at.with_timezone(&CST),
    })
}

impl RatingView {
    /// As in lists: without words.
    pub fn many(conn: &mut PgConnection, app: &App, lang: Lang, rows: Vec<Rating>) -> Result<Vec<Self>> {
        let Some(county) = rows.first().map(|row| row.county_id) else { return Ok(Vec::new()) };
        let ids: Vec<_> = rows.iter().map(|row| row.resident_id).collect();
        let names = people::masked_names(conn, app, county, &ids)?;
        let view = |row: Rating| Self {
            id: row.id,
            about_kind: row.about_kind,
            about_id: row.about_id,
            resident_id: row.resident_id,
            resident_name: names.get(&row.resident_id).cloned(),
            unit_id: row.unit_id,
            served_by: row.served_by.into_iter().flatten().collect(),
            grade: row.grade,
            grade_name: grade_words(row.grade).get(lang).to_owned(),
            reasons: row.reasons.into_iter().flatten().collect(),
            words: None,
            given_how: row.given_how,
            given_by: row.given_by,
            changeable_until: (row.created_at + CHANGEABLE).with_timezone(&CST),
            history: Vec::new(),
            version: row.version,
            created_at: row.created_at.with_timezone(&CST),
            changed_at: row.changed_at.with_timezone(&CST),
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// With everything that was said.
    pub fn whole(conn: &mut PgConnection, app: &App, lang: Lang, row: Rating) -> Result<Self> {
        let (county, id) = (row.county_id, row.id);
        let mut said = Vec::new();
        for entry in store::entries(conn, county, id)? {
            said.push(entry_view(app, county, entry)?);
        }
        let words = said.pop().and_then(|last| last.words);
        let view = Self::many(conn, app, lang, vec![row])?.pop().ok_or(Code::NotFound)?;
        Ok(Self { words, history: said, ..view })
    }
}
