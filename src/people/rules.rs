//! Whether two records are one person, and what is kept of them: pure.

use super::model::{IdNumber, IdentityLevel, IdentitySeen, PersonName, Phone};
use crate::error::{Code, Error};

/// What a record says, opened.
#[derive(Clone, Debug)]
pub struct Facts {
    pub name: Option<PersonName>,
    pub id_number: Option<IdNumber>,
    pub phone: Option<Phone>,
    pub wechat: bool,
    pub level: IdentityLevel,
    pub seen: Option<IdentitySeen>,
}

/// What the one record will say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub name: Option<PersonName>,
    pub id_number: Option<IdNumber>,
    pub phone: Option<Phone>,
    pub level: IdentityLevel,
    pub seen: Option<IdentitySeen>,
}

impl From<Facts> for Kept {
    fn from(facts: Facts) -> Self {
        let Facts { name, id_number, phone, level, seen, .. } = facts;
        Self { name, id_number, phone, level, seen }
    }
}

/// Why two records cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    #[error("two checked ID numbers")]
    TwoPeople,
    #[error("different ID numbers")]
    IdNumber,
    #[error("different names")]
    Name,
    #[error("both log in with WeChat")]
    Wechat,
    #[error("nothing in common")]
    NothingInCommon,
}

impl From<Contradiction> for Error {
    fn from(contradiction: Contradiction) -> Self {
        let (zh, en) = match contradiction {
            Contradiction::TwoPeople => (
                "两份档案的身份证号都经核验且不同，是两个人",
                "Both ID numbers were checked and differ: these are two people",
            ),
            Contradiction::IdNumber => (
                "身份证号不一致；请查验证件、先更正其中一份档案，或填写 identity_seen",
                "The ID numbers differ; see a proof, and correct one of the records first or send identity_seen",
            ),
            Contradiction::Name => {
                ("姓名不一致；请查验证件并填写 identity_seen", "The names differ; see a proof and send identity_seen")
            }
            Contradiction::Wechat => (
                "两份档案都绑定了微信；请查验证件并填写 identity_seen，保留档案的微信继续有效",
                "Both log in with WeChat; see a proof and send identity_seen: the WeChat of the record that stays goes on",
            ),
            Contradiction::NothingInCommon => (
                "两份档案没有相同的身份证号或手机号；请查验证件并填写 identity_seen",
                "They share neither ID number nor phone; see a proof and send identity_seen",
            ),
        };
        Error::new(Code::MergeContradicts).detail(zh, en)
    }
}

fn differ<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a != b)
}

fn same<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a == b)
}

/// What is kept of two records of one person; `proof` is what an officer has seen of them now.
pub fn merge(into: &Facts, from: &Facts, proof: Option<IdentitySeen>) -> Result<Kept, Contradiction> {
    let numbers = (into.id_number.as_ref(), from.id_number.as_ref());
    let checked = into.level == IdentityLevel::Officer && from.level == IdentityLevel::Officer;
    if differ(numbers.0, numbers.1) && checked {
        return Err(Contradiction::TwoPeople);
    }
    // Of two numbers that nobody has checked no proof says which is right: correct one of the records first.
    let unchecked = into.level != IdentityLevel::Officer && from.level != IdentityLevel::Officer;
    if differ(numbers.0, numbers.1) && (proof.is_none() || unchecked) {
        return Err(Contradiction::IdNumber);
    }
    if proof.is_none() {
        let number = same(numbers.0, numbers.1);
        if !number && differ(into.name.as_ref(), from.name.as_ref()) {
            return Err(Contradiction::Name);
        }
        if into.wechat && from.wechat {
            return Err(Contradiction::Wechat);
        }
        if !number && !same(into.phone.as_ref(), from.phone.as_ref()) {
            return Err(Contradiction::NothingInCommon);
        }
    }
    // Of two values the better checked one is kept, of equally good ones that of the record that stays.
    let (first, second) = if from.level > into.level { (from, into) } else { (into, from) };
    let level = if proof.is_some() { IdentityLevel::Officer } else { first.level };
    Ok(Kept {
        name: first.name.clone().or(second.name.clone()),
        id_number: first.id_number.clone().or(second.id_number.clone()),
        phone: first.phone.clone().or(second.phone.clone()),
        level,
        seen: proof.or(first.seen).or(second.seen),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "350425194806120018";
    const OTHER: &str = "350425195003070023";

    fn facts(name: &str, number: Option<&str>, phone: Option<&str>, level: IdentityLevel) -> Facts {
        Facts {
            name: Some(name.parse().expect("a name")),
            id_number: number.map(|number| number.parse().expect("a number")),
            phone: phone.map(|phone| phone.parse().expect("a phone")),
            wechat: false,
            level,
            seen: None,
        }
    }

    #[test]
    fn the_table() {
        use IdentityLevel::{None as Nobody, Officer, Phone};
        let desk = facts("陈阿婆", Some(ONE), Some("13950900001"), Officer);
        let card = Some(IdentitySeen::IdCard);
        let cases = [
            (facts("陈阿婆", None, Some("13950900001"), Phone), None, Ok(())),
            (facts("陈阿婆", Some(ONE), None, Nobody), None, Ok(())),
            (facts("陈婆婆", Some(ONE), None, Nobody), None, Ok(())),
            (facts("陈婆婆", None, Some("13950900001"), Phone), None, Err(Contradiction::Name)),
            (facts("陈婆婆", None, Some("13950900001"), Phone), card, Ok(())),
            (facts("陈阿婆", None, Some("13950900002"), Phone), None, Err(Contradiction::NothingInCommon)),
            (facts("陈阿婆", Some(OTHER), Some("13950900001"), Phone), None, Err(Contradiction::IdNumber)),
            (facts("陈阿婆", Some(OTHER), Some("13950900001"), Phone), card, Ok(())),
            (facts("陈阿婆", Some(OTHER), Some("13950900001"), Officer), card, Err(Contradiction::TwoPeople)),
        ];
        for (from, proof, expected) in cases {
            assert_eq!(merge(&desk, &from, proof).map(drop), expected, "{from:?} {proof:?}");
        }
        let both = Facts { wechat: true, ..desk.clone() };
        assert_eq!(merge(&both, &both, None), Err(Contradiction::Wechat));
    }

    #[test]
    fn the_better_checked_value_is_kept() {
        let typed = facts("陈婆", Some(ONE), Some("13950900001"), IdentityLevel::Phone);
        let seen = facts("陈阿婆", Some(ONE), None, IdentityLevel::Officer);
        for (into, from) in [(&typed, &seen), (&seen, &typed)] {
            let kept = merge(into, from, None).expect("one person");
            assert_eq!(kept.name, seen.name);
            assert_eq!(kept.phone, typed.phone);
            assert_eq!(kept.level, IdentityLevel::Officer);
        }
    }
}
