//! What decides about helpers, without SQL.

use std::collections::HashSet;

use chrono::NaiveDate;

use super::model::{Helper, HelperState};
use crate::{
    error::{Code, Error, FieldError, Result, Text},
    people::{self, IdNumber, IdentityLevel},
};

/// Who goes into other people's homes is of full age (民法典 17, 18; 志愿服务条例 6).
const FULL_AGE: u32 = 18;

/// Refuses those who are too young, as far as anybody knows their age.
pub fn of_age(number: Option<&IdNumber>, today: NaiveDate) -> Result<()> {
    match number {
        Some(number) if number.age(today) < FULL_AGE => Err(Code::UnderAge.into()),
        _ => Ok(()),
    }
}

/// Whoever is let into homes has shown who they are, and how old.
pub fn identified(level: IdentityLevel, number: Option<&IdNumber>, today: NaiveDate) -> Result<()> {
    if level != IdentityLevel::Officer || number.is_none() {
        return Err(people::identity_needed(IdentityLevel::Officer));
    }
    of_age(number, today)
}

/// 409 with the state that it is in.
pub fn wrong_state(state: HelperState) -> Error {
    let words = state.words();
    Error::new(Code::HelperState).detail(format!("当前状态：{}", words.zh), format!("The state is {}", words.en))
}

/// A list without what is in it twice, in its order.
pub fn distinct<T: Clone + Eq + std::hash::Hash>(list: &[T]) -> Vec<T> {
    let mut seen = HashSet::new();
    list.iter().filter(|one| seen.insert((*one).clone())).cloned().collect()
}

/// What is wrong with skills: only those of the county's list that are not retired can be claimed or granted; who has one keeps it.
pub fn skill_faults(asked: &[String], known: &HashSet<String>, had: Option<&Helper>, pointer: &str) -> Vec<FieldError> {
    let fits = |skill: &String| known.contains(skill) || had.is_some_and(|helper| helper.has(skill));
    let text = || Text::fixed("没有这项技能，或已停用", "there is no such skill, or it is retired");
    let wrong = asked.iter().enumerate().filter(|(_, skill)| !fits(skill));
    wrong.map(|(index, _)| FieldError::body(format!("{pointer}/{index}"), "unknown_skill", text())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_age_begins_on_the_birthday() {
        let number: IdNumber = "350425200811240012".parse().expect("a number");
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        assert_eq!(of_age(Some(&number), day("2026-11-23")).expect_err("a day too young").code, Code::UnderAge);
        of_age(Some(&number), day("2026-11-24")).expect("18 today");
        of_age(None, day("2026-11-23")).expect("nobody knows");
        let unsure = identified(IdentityLevel::Officer, None, day("2026-11-24"));
        assert_eq!(unsure.expect_err("no number").code, Code::IdentityNeeded);
        identified(IdentityLevel::Officer, Some(&number), day("2026-11-24")).expect("seen, and of age");
    }

    #[test]
    fn unknown_skills_are_named_by_their_place() {
        let known = HashSet::from(["care".to_owned()]);
        let asked = ["care".to_owned(), "magic".to_owned()];
        let faults = skill_faults(&asked, &known, None, "/skills");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].at, crate::error::At::Body("/skills/1".into()));
        assert_eq!(distinct(&["a", "b", "a"]), ["a", "b"]);
    }
}
