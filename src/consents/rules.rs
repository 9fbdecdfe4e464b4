//! What an answer means once texts change, and which answers can be recorded: pure.

use super::model::{Answered, Consent, ConsentState, Given, How, Purpose};
use crate::error::{Code, Error, Result};

/// Where somebody stands, by their latest answer and the version in effect.
pub fn state(latest: Option<&Consent>, in_effect: Option<i64>) -> ConsentState {
    let Some(latest) = latest else { return ConsentState::Never };
    match latest.answer {
        Answered::Withdrawn => ConsentState::Withdrawn,
        Answered::Refused => ConsentState::Refused,
        Answered::Given if in_effect.is_none_or(|version| version == latest.version) => ConsentState::Given,
        Answered::Given => ConsentState::Outdated,
    }
}

/// The version that an answer is about, or why it cannot be recorded.
pub fn version(given: &Given, in_effect: Option<i64>, latest: Option<&Consent>) -> Result<i64> {
    if given.answer == Answered::Withdrawn {
        let agreed = latest.filter(|latest| latest.answer == Answered::Given);
        return agreed.map(|latest| latest.version).ok_or(Code::ConsentNotGiven.into());
    }
    let Some(in_effect) = in_effect else {
        return Err(Error::field(
            "/purpose",
            "no_text",
            "本县没有公布这一目的的同意文本",
            "the county has published no text for this purpose",
        ));
    };
    if given.purpose == Purpose::Under14 && given.answer == Answered::Given && given.how != How::ByGuardian {
        return Err(Error::field(
            "/how",
            "guardian_needed",
            "未满十四周岁的，由监护人同意",
            "for a child under 14 a guardian agrees",
        ));
    }
    if given.version.is_some_and(|shown| shown != in_effect) {
        return Err(Error::new(Code::ConsentTextChanged).detail(
            format!("当前生效的是第 {in_effect} 版，请重新阅读后再作答"),
            format!("Version {in_effect} is in effect; read it, then answer again"),
        ));
    }
    Ok(in_effect)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::consents::Who;

    fn entry(answer: Answered, version: i64) -> Consent {
        Consent {
            county_id: 1,
            id: Uuid::nil(),
            seq: 1,
            resident_id: Uuid::nil(),
            purpose: Purpose::Health,
            version,
            answer,
            how: How::Signed,
            by_resident: None,
            by_staff: Some(Uuid::nil()),
            at: Default::default(),
        }
    }

    #[test]
    fn where_somebody_stands() {
        use Answered as A;
        let cases = [
            (None, Some(1), ConsentState::Never),
            (Some((A::Given, 1)), Some(1), ConsentState::Given),
            (Some((A::Given, 1)), Some(2), ConsentState::Outdated),
            // A text withdrawn from effect asks for no other.
            (Some((A::Given, 1)), None, ConsentState::Given),
            (Some((A::Refused, 1)), Some(2), ConsentState::Refused),
            (Some((A::Withdrawn, 1)), Some(1), ConsentState::Withdrawn),
        ];
        for (latest, in_effect, expected) in cases {
            let latest = latest.map(|(answer, version)| entry(answer, version));
            assert_eq!(state(latest.as_ref(), in_effect), expected, "{latest:?} {in_effect:?}");
        }
    }

    #[test]
    fn only_the_text_in_effect_is_answered_and_only_what_was_given_is_withdrawn() {
        let given = |answer, version| Given {
            county: 1,
            resident: Uuid::nil(),
            purpose: Purpose::Health,
            version,
            answer,
            how: How::Signed,
            by: Who::Staff(Uuid::nil()),
        };
        let code = |result: Result<i64>| result.map_err(|error| error.code);
        assert_eq!(code(version(&given(Answered::Given, Some(2)), Some(2), None)), Ok(2));
        assert_eq!(code(version(&given(Answered::Given, None), Some(2), None)), Ok(2));
        assert_eq!(code(version(&given(Answered::Refused, Some(1)), Some(2), None)), Err(Code::ConsentTextChanged));
        assert_eq!(code(version(&given(Answered::Given, Some(1)), None, None)), Err(Code::Invalid));
        let child = Given { purpose: Purpose::Under14, ..given(Answered::Given, Some(1)) };
        assert_eq!(code(version(&child, Some(1), None)), Err(Code::Invalid));
        assert_eq!(code(version(&Given { how: How::ByGuardian, ..child }, Some(1), None)), Ok(1));
        let (agreed, refused) = (entry(Answered::Given, 1), entry(Answered::Refused, 1));
        assert_eq!(code(version(&given(Answered::Withdrawn, None), Some(2), Some(&agreed))), Ok(1));
        for latest in [None, Some(&refused)] {
            let withdrawn = version(&given(Answered::Withdrawn, None), Some(2), latest);
            assert_eq!(code(withdrawn), Err(Code::ConsentNotGiven));
        }
    }
}
