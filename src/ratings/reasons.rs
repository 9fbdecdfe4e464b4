//! The reasons that go with a grade: one list for all counties.

use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{FieldError, Lang, Result, Text},
    http::page::Page,
};

/// A reason, and the grades that it goes with.
struct Reason {
    key: &'static str,
    grades: &'static [i16],
    words: Text,
}

const GOOD: &[i16] = &[3, 4, 5];
const BAD: &[i16] = &[1, 2, 3];

const fn reason(key: &'static str, grades: &'static [i16], zh: &'static str, en: &'static str) -> Reason {
    Reason { key, grades, words: Text::fixed(zh, en) }
}

const REASONS: &[Reason] = &[
    reason("friendly", GOOD, "态度好", "friendly"),
    reason("fast", GOOD, "办得快", "fast"),
    reason("clear", GOOD, "讲得清楚", "well explained"),
    reason("close_by", GOOD, "不用跑腿", "saved me the way"),
    reason("careful", GOOD, "做得细心", "careful work"),
    reason("unfriendly", BAD, "态度差", "unfriendly"),
    reason("slow", BAD, "办得慢", "slow"),
    reason("unclear", BAD, "没讲清楚", "badly explained"),
    reason("sent_around", BAD, "让我多跑", "sent me around"),
    reason("late", BAD, "没有按时", "not on time"),
    reason("careless", BAD, "做得马虎", "careless work"),
    reason("unsolved", BAD, "问题没有解决", "it is not solved"),
    reason("asked_for_money", BAD, "索要费用或财物", "asked for money or gifts"),
];

/// The keys of those that go with a grade.
pub fn fitting(grade: i16) -> impl Iterator<Item = &'static str> {
    REASONS.iter().filter(move |reason| reason.grades.contains(&grade)).map(|reason| reason.key)
}

/// What is wrong with reasons given with a grade.
pub fn faults(grade: i16, given: &[String]) -> Vec<FieldError> {
    let fits = |key: &str| REASONS.iter().any(|reason| reason.key == key && reason.grades.contains(&grade));
    let text = || Text::fixed("没有这条理由，或与评价等级不符", "there is no such reason for this grade");
    let wrong = given.iter().enumerate().filter(|(_, key)| !fits(key));
    wrong.map(|(index, _)| FieldError::body(format!("/reasons/{index}"), "unknown_reason", text())).collect()
}

/// A reason that can be given with a grade.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"key": "friendly", "grades": [3, 4, 5], "name": "态度好"}))]
pub struct RatingReasonView {
    pub key: String,
    /// The grades that it goes with: 5 非常满意 to 1 非常不满意.
    pub grades: Vec<i16>,
    /// In the language of the request.
    pub name: String,
}

/// List the reasons of ratings
///
/// All of them, on one page; the same in every county.
#[utoipa::path(tag = "ratings", security(()), responses((status = 200, description = "Every reason", body = Page<RatingReasonView>)))]
#[get("/v1/ratings/reasons")]
pub async fn list_rating_reasons(lang: Lang) -> Result<HttpResponse> {
    let view = |reason: &Reason| RatingReasonView {
        key: reason.key.to_owned(),
        grades: reason.grades.to_vec(),
        name: reason.words.get(lang).to_owned(),
    };
    let items = REASONS.iter().map(view).collect();
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: None, total: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grade_has_reasons_and_every_reason_one_key() {
        for grade in 1..=5 {
            assert!(REASONS.iter().filter(|reason| reason.grades.contains(&grade)).count() >= 5);
        }
        let keys: std::collections::BTreeSet<_> = REASONS.iter().map(|reason| reason.key).collect();
        assert_eq!(keys.len(), REASONS.len());
        let given = ["friendly".to_owned(), "slow".to_owned(), "none".to_owned()];
        assert_eq!((faults(5, &given).len(), faults(3, &given).len(), faults(1, &given).len()), (2, 1, 2));
    }
}
