//! What a matter needs for which answers, and its limit in words; pure.

use std::collections::BTreeMap;

use super::version::{Content, Material, MatterKind, Need, Question};
use crate::error::{FieldError, Text};

/// Answers to the questions of a version: values by key.
pub type Answers = BTreeMap<String, String>;

/// Whether a material is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    Yes,
    No,
    /// It depends on a question that is not answered.
    Open,
}

/// Whether a material is needed for these answers.
pub fn applies(material: &Material, answers: &Answers) -> Applies {
    let mut all = Applies::Yes;
    for (question, values) in &material.when {
        match answers.get(question) {
            Some(answer) if values.contains(answer) => {}
            Some(_) => return Applies::No,
            None => all = Applies::Open,
        }
    }
    all
}

/// The questions that are not answered and still decide something.
pub fn open_questions<'a>(content: &'a Content, answers: &Answers) -> Vec<&'a Question> {
    let decides = |question: &&Question| {
        let asks = |material: &&Material| material.when.contains_key(&question.key);
        content.materials.iter().filter(asks).any(|material| applies(material, answers) == Applies::Open)
    };
    content.questions.iter().filter(|question| !answers.contains_key(&question.key)).filter(decides).collect()
}

/// What is still missing of what is needed for sure: each required material that is not among `provided`, and every material of
/// a group of which none is. Ask [`open_questions`] first: what depends on an open one is not told here.
pub fn missing<'a>(content: &'a Content, answers: &Answers, provided: &[&str]) -> Vec<&'a Material> {
    let needed: Vec<_> =
        content.materials.iter().filter(|material| applies(material, answers) == Applies::Yes).collect();
    let there = |material: &Material| provided.contains(&material.key.as_str());
    let lacks = |material: &&&Material| match material.need {
        Need::Required => !there(material),
        Need::OneOf => !needed.iter().any(|other| other.group == material.group && there(other)),
    };
    needed.iter().filter(lacks).copied().collect()
}

/// What is wrong with answers: keys that are no questions, values that are no options. `above` is the pointer of the answers.
pub fn check_answers(content: &Content, answers: &Answers, above: &str) -> Vec<FieldError> {
    let wrong = |(key, value): (&String, &String)| {
        let at = crate::http::faults::child(above, key);
        let Some(question) = content.questions.iter().find(|question| question.key == *key) else {
            let text = Text::fixed("没有这个问题", "there is no such question");
            return Some(FieldError::body(at, "unknown_question", text));
        };
        let known = question.options.iter().any(|option| option.value == *value);
        let text = || Text::fixed("该问题没有这个选项", "the question has no such option");
        (!known).then(|| FieldError::body(at, "unknown_value", text()))
    };
    answers.iter().filter_map(wrong).collect()
}

/// The limit in words.
pub fn limit_in_words(content: &Content) -> Text {
    let days = content.promised_days;
    let (zh, en) = match content.kind {
        MatterKind::Instant => ("即时办结".to_owned(), "Done at once".to_owned()),
        MatterKind::Promised => {
            let plural = if days == 1 { "" } else { "s" };
            (format!("承诺 {days} 个工作日内办结"), format!("Done within {days} working day{plural}"))
        }
    };
    match content.statutory_days {
        Some(most) => Text::new(format!("{zh}（法定时限 {most} 个工作日）"), format!("{en} (the law allows {most})")),
        None => Text::new(zh, en),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::matters::version::DecidedBy;

    fn content() -> Content {
        let materials = json!([
            {"key": "id", "name": "身份证", "need": "required", "form": "original"},
            {"key": "book", "name": "户口簿", "need": "one_of", "group": "kin", "form": "either"},
            {"key": "proof", "name": "亲属关系证明", "need": "one_of", "group": "kin", "form": "original"},
            {"key": "birth", "name": "出生医学证明", "need": "required", "form": "original", "when": {"reason": ["newborn"]}},
            {"key": "marriage", "name": "结婚证", "need": "required", "form": "copy", "when": {"reason": ["newborn"], "married": ["yes"]}},
            {"key": "permit", "name": "准迁证", "need": "required", "form": "original", "when": {"reason": ["move"]}},
        ]);
        let question = |key: &str, values: [&str; 2]| {
            let options: Vec<_> = values.iter().map(|value| json!({"value": value, "text": value})).collect();
            json!({"key": key, "text": key, "options": options})
        };
        let questions = json!([question("reason", ["newborn", "move"]), question("married", ["yes", "no"])]);
        Content {
            decided_by: DecidedBy::Township,
            department_id: None,
            kind: MatterKind::Promised,
            promised_days: 5,
            statutory_days: Some(20),
            proxy_allowed: true,
            materials: serde_json::from_value(materials).expect("materials"),
            conditions: Vec::new(),
            questions: serde_json::from_value(questions).expect("questions"),
            form: None,
            ladder: None,
        }
    }

    fn answers(all: &[(&str, &str)]) -> Answers {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn answers_pick_the_materials_and_the_questions_that_are_left() {
        let content = content();
        for (given, needed, left) in [
            (vec![], vec!["id", "book", "proof"], vec!["reason", "married"]),
            (vec![("reason", "newborn")], vec!["id", "book", "proof", "birth"], vec!["married"]),
            (vec![("reason", "newborn"), ("married", "yes")], vec!["id", "book", "proof", "birth", "marriage"], vec![]),
            // It does not matter any more who is married.
            (vec![("reason", "move")], vec!["id", "book", "proof", "permit"], vec![]),
            (vec![("married", "no")], vec!["id", "book", "proof"], vec!["reason"]),
        ] {
            let given = answers(&given);
            let keys: Vec<_> = missing(&content, &given, &[]).iter().map(|material| material.key.as_str()).collect();
            let open: Vec<_> = open_questions(&content, &given).iter().map(|question| question.key.as_str()).collect();
            assert_eq!((keys, open), (needed, left), "{given:?}");
        }
    }

    #[test]
    fn one_of_a_group_is_enough() {
        let (content, given) = (content(), answers(&[("reason", "move")]));
        let missing = |provided: &[&str]| {
            missing(&content, &given, provided).iter().map(|material| material.key.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(missing(&["id", "permit", "proof"]), Vec::<&str>::new());
        assert_eq!(missing(&["id", "birth"]), ["book", "proof", "permit"]);
    }

    #[test]
    fn wrong_answers_are_all_told() {
        let wrong = check_answers(
            &content(),
            &answers(&[("reason", "death"), ("weather", "fine"), ("married", "no")]),
            "/answers",
        );
        let codes: Vec<_> = wrong.iter().map(|fault| fault.code.as_ref()).collect();
        assert_eq!(codes, ["unknown_value", "unknown_question"]);
    }

    #[test]
    fn limits_in_words() {
        let words = limit_in_words(&content());
        assert_eq!(words.zh, "承诺 5 个工作日内办结（法定时限 20 个工作日）");
        let instant = Content { kind: MatterKind::Instant, promised_days: 0, statutory_days: None, ..content() };
        assert_eq!(limit_in_words(&instant).en, "Done at once");
    }
}
