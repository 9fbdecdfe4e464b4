//! What is wrong with a version before it is published: every fault, with its pointer.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    forms,
    version::{Content, DecidedBy, Material, MatterKind, Need, Question, Rung, RungAt},
};
use crate::{
    error::{FieldError, Text},
    http::faults::child,
};

struct Faults<'a> {
    above: &'a str,
    found: Vec<FieldError>,
}

impl Faults<'_> {
    fn add(&mut self, at: impl AsRef<str>, code: &'static str, zh: &'static str, en: &'static str) {
        self.found.push(FieldError::body(format!("{}{}", self.above, at.as_ref()), code, Text::fixed(zh, en)));
    }
}

/// Every fault that the types do not exclude; `above` is the pointer of the version, `department` the name of the field that
/// names one.
pub fn faults(content: &Content, above: &str, department: &str) -> Vec<FieldError> {
    let mut faults = Faults { above, found: Vec::new() };
    limits(content, department, &mut faults);
    let asked = questions(&content.questions, &mut faults);
    materials(&content.materials, &asked, &mut faults);
    for (index, condition) in content.conditions.iter().enumerate() {
        if !(1..=500).contains(&condition.trim().chars().count()) {
            faults.add(format!("/conditions/{index}"), "length", "须为 1 至 500 个字", "has 1 to 500 characters");
        }
    }
    for (index, question) in content.questions.iter().enumerate() {
        if !content.materials.iter().any(|material| material.when.contains_key(&question.key)) {
            let at = format!("/questions/{index}/key");
            faults.add(at, "question_unused", "没有材料取决于这个问题", "no material depends on this question");
        }
    }
    ladder(content.ladder.as_deref().unwrap_or_default(), &mut faults);
    let mut found = faults.found;
    if let Some(form) = &content.form {
        found.extend(forms::faults(form, &format!("{above}/form")));
    }
    found
}

fn limits(content: &Content, department: &str, faults: &mut Faults) {
    match (content.decided_by, content.department_id) {
        (DecidedBy::Department, None) => {
            faults.add(
                format!("/{department}"),
                "required",
                "县直部门办理的事项须写明部门",
                "the department that decides is missing",
            );
        }
        (DecidedBy::Village | DecidedBy::Township, Some(_)) => {
            let (zh, en) = ("只有县直部门办理的事项才写部门", "only what a department decides names one");
            faults.add(format!("/{department}"), "department", zh, en);
        }
        _ => {}
    }
    match (content.kind, content.promised_days) {
        (MatterKind::Instant, 1..) => {
            faults.add("/promised_days", "kind", "即办件的承诺时限须为 0", "an instant matter has 0 days");
        }
        (MatterKind::Promised, 0) => {
            faults.add(
                "/promised_days",
                "kind",
                "承诺件的承诺时限至少为 1 个工作日",
                "a promised matter has at least 1 day",
            );
        }
        _ => {}
    }
    if content.statutory_days.is_some_and(|days| days < content.promised_days) {
        let (zh, en) = ("法定时限不得短于承诺时限", "the statutory limit is shorter than the promised one");
        faults.add("/statutory_days", "below_promised", zh, en);
    }
}

/// Lower-case letters, digits and underscores: keys and values stand in queries.
fn is_key(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn key(text: &str, at: String, faults: &mut Faults) {
    if !is_key(text) {
        let (zh, en) =
            ("须为 1 至 32 个小写字母、数字或下划线", "has 1 to 32 lower-case letters, digits and underscores");
        faults.add(at, "key", zh, en);
    }
}

type Asked<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The keys of the questions, each with its values.
fn questions<'a>(questions: &'a [Question], faults: &mut Faults) -> Asked<'a> {
    let mut asked = Asked::new();
    for (index, question) in questions.iter().enumerate() {
        let at = format!("/questions/{index}");
        key(&question.key, format!("{at}/key"), faults);
        let mut values = BTreeSet::new();
        for (index, option) in question.options.iter().enumerate() {
            let at = format!("{at}/options/{index}/value");
            key(&option.value, at.clone(), faults);
            if !values.insert(option.value.as_str()) {
                faults.add(at, "value_twice", "选项重复", "another option has this value");
            }
        }
        if asked.insert(&question.key, values).is_some() {
            faults.add(format!("{at}/key"), "key_twice", "问题的 key 重复", "another question has this key");
        }
    }
    asked
}

fn materials(materials: &[Material], asked: &Asked, faults: &mut Faults) {
    let mut keys = BTreeSet::new();
    for (index, material) in materials.iter().enumerate() {
        let at = format!("/materials/{index}");
        key(&material.key, format!("{at}/key"), faults);
        if !keys.insert(material.key.as_str()) {
            faults.add(format!("{at}/key"), "key_twice", "材料的 key 重复", "another material has this key");
        }
        group(material, materials, &at, faults);
        when(material, asked, &at, faults);
    }
}

fn group(material: &Material, all: &[Material], at: &str, faults: &mut Faults) {
    let at = format!("{at}/group");
    match (material.need, &material.group) {
        (Need::Required, None) => {}
        (Need::Required, Some(_)) => {
            faults.add(at, "group", "必备材料不属于任何一组", "only what is one of several has a group");
        }
        (Need::OneOf, None) => {
            faults.add(at, "required", "任选其一的材料须写明组", "one of several needs the group of the others")
        }
        (Need::OneOf, Some(group)) => {
            key(group, at.clone(), faults);
            let alike = all.iter().filter(|other| other.need == Need::OneOf && other.group.as_ref() == Some(group));
            if alike.count() < 2 {
                faults.add(at, "group_alone", "一组至少两项材料", "a group has at least two materials");
            }
        }
    }
}

fn when(material: &Material, asked: &Asked, at: &str, faults: &mut Faults) {
    for (question, values) in &material.when {
        let at = child(&format!("{at}/when"), question);
        let Some(known) = asked.get(question.as_str()) else {
            faults.add(at, "unknown_question", "没有这个问题", "there is no such question");
            continue;
        };
        if values.is_empty() {
            faults.add(&at, "length", "至少一个选项", "names no value");
        }
        for (index, value) in values.iter().enumerate() {
            if !known.contains(value.as_str()) {
                faults.add(
                    format!("{at}/{index}"),
                    "unknown_value",
                    "该问题没有这个选项",
                    "the question has no such option",
                );
            }
        }
    }
}

fn ladder(rungs: &[Rung], faults: &mut Faults) {
    for (index, rung) in rungs.iter().enumerate() {
        let at = format!("/ladder/{index}");
        match (rung.at, rung.days) {
            (RungAt::RedPlus, None) => {
                faults.add(
                    format!("{at}/days"),
                    "required",
                    "须写明逾期几个工作日",
                    "how many days overdue is missing",
                );
            }
            (RungAt::Yellow | RungAt::Red, Some(_)) => {
                faults.add(format!("{at}/days"), "days", "只用于 red_plus", "is only for red_plus");
            }
            _ => {}
        }
        if rungs[..index].contains(rung) {
            faults.add(at, "rung_twice", "督办阶梯重复", "the same rung twice");
        }
    }
}
