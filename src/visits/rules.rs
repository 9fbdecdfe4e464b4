//! What is wrong with a check-in, when it happened, how far from home, what is flagged and what is not kept: pure.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    model::{Clocks, LeftOut, Reading, Said, VisitFlag, VisitPlace},
    request::CheckIn,
};
use crate::{
    error::{FieldError, Result, Text},
    geo::Point,
    settings::{Evidence, Settings},
};

/// A visit from longer ago is a history that somebody types in, not a check-in.
const OLDEST: TimeDelta = TimeDelta::days(366);
/// What a clock may be off before it is told: a slow network is no wrong clock.
const CLOCK: TimeDelta = TimeDelta::minutes(10);

/// Clocks of phones show years from 1970 to 2099, however wrong they are.
fn shows(at: DateTime<Utc>) -> bool {
    (0..4_102_444_800).contains(&at.timestamp())
}

fn fault(pointer: &str, code: &'static str, zh: &'static str, en: &'static str) -> FieldError {
    FieldError::body(pointer, code, Text::fixed(zh, en))
}

/// What is wrong with the time of sending.
pub fn sent_at_fault(clocks: Clocks) -> Option<FieldError> {
    let (zh, en) = ("须在 1970 年至 2099 年之间", "must be a time from 1970 to 2099");
    (!shows(clocks.sent_at)).then(|| fault("/sent_at", "range", zh, en))
}

fn position_faults(check_in: &CheckIn, policy: Evidence) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if check_in.position.is_some() {
        if check_in.no_position_reason.is_some() {
            let (zh, en) = ("已有位置，不能再写原因", "there is a position");
            faults.push(fault("/no_position_reason", "not_both", zh, en));
        }
    } else if policy == Evidence::Required && check_in.no_position_reason.is_none() {
        let (zh, en) = ("须有位置，或写明没有位置的原因", "is needed, or why there is none");
        faults.push(fault("/position", "required", zh, en));
    }
    faults
}

/// Everything that is wrong with a check-in besides what its fields say of themselves.
pub fn faults(check_in: &CheckIn, clocks: Clocks, settings: &Settings) -> Vec<FieldError> {
    let mut faults = position_faults(check_in, settings.visits_position);
    let device_at = check_in.device_at();
    if !shows(device_at) {
        let (zh, en) = ("须在 1970 年至 2099 年之间", "must be a time from 1970 to 2099");
        faults.push(fault("/device_at", "range", zh, en));
    } else if device_at > clocks.sent_at {
        let (zh, en) = (
            "不能晚于发送时间 sent_at；手机校准过时间的，请按校准的差值更正后重发",
            "must not be after sent_at, by the same clock; where the phone's clock was set in between, add what it was moved by and send it again",
        );
        faults.push(fault("/device_at", "after_sent_at", zh, en));
    } else if clocks.now - clocks.occurred(device_at) > OLDEST {
        let (zh, en) = (
            "超过一年前的走访不能签到；手机校准过时间的，请按校准的差值更正后重发",
            "is more than a year ago; where the phone's clock was set in between, add what it was moved by and send it again",
        );
        faults.push(fault("/device_at", "too_old", zh, en));
    }
    if settings.visits_photo == Evidence::Required && check_in.photos.is_empty() {
        faults.push(fault("/photos", "required", "须附照片", "a photo is needed"));
    }
    for (index, id) in check_in.photos.iter().enumerate() {
        if check_in.photos[..index].contains(id) {
            faults.push(fault(&format!("/photos/{index}"), "twice", "重复", "is here twice"));
        }
    }
    for (pointer, id) in [("/id", check_in.id), ("/household_id", check_in.household_id)] {
        if id == Uuid::nil() {
            faults.push(fault(pointer, "nil", "不能为全零", "must not be nil"));
        }
    }
    faults
}

/// What of a household decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Home {
    /// WGS 84; none: nobody has set it.
    pub point: Option<Point>,
    /// Somebody of the household agrees that positions are kept, and nobody has said no; or nobody has to be asked.
    pub agrees: bool,
}

/// What the service finds out about a visit.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    pub said: Said,
    pub occurred_at: DateTime<Utc>,
    pub skew_seconds: i64,
    /// WGS 84.
    pub point: Option<Point>,
    pub distance_m: Option<f64>,
    pub flags: Vec<VisitFlag>,
    pub left_out: Vec<LeftOut>,
}

impl Weighed {
    pub fn kept(&self) -> Result<Kept> {
        let Self { said, left_out, .. } = self;
        Ok(Kept { said: Some(said.bytes()?), position: said.position, left_out: left_out.clone() })
    }
}

/// What is kept of what was said, and what follows from it.
pub fn weigh(said: Said, home: Home, clocks: Clocks, settings: &Settings) -> Weighed {
    let mut left_out = Vec::new();
    if said.position.is_some() {
        match settings.visits_position {
            Evidence::Off => left_out.push(LeftOut::PositionOff),
            Evidence::Optional | Evidence::Required if !home.agrees => left_out.push(LeftOut::PositionWithoutConsent),
            Evidence::Optional | Evidence::Required => {}
        }
    }
    if !said.photos.is_empty() && settings.visits_photo == Evidence::Off {
        left_out.push(LeftOut::PhotosOff);
    }
    let said = said.without(&left_out);
    let point = said.position.map(|reading| reading.point().to_wgs84());
    // Of a point that is kept only: what says how far somebody was is a position too.
    let distance_m = point.zip(home.point).map(|(here, home)| (here.distance_m(home) * 10.0).round() / 10.0);
    let mut flags = Vec::new();
    if let Some(reading) = said.position {
        let far = distance_m.is_some_and(|distance| distance - reading.accuracy_m > settings.visits_far_m as f64);
        flags.extend((far && said.place == VisitPlace::Home).then_some(VisitFlag::Far));
        flags.extend((reading.accuracy_m > settings.visits_vague_m as f64).then_some(VisitFlag::Vague));
        flags.extend(reading.mocked.then_some(VisitFlag::Mocked));
    }
    let (skew, occurred_at) = (clocks.skew(), clocks.occurred(said.device_at));
    flags.extend((skew.abs() > CLOCK).then_some(VisitFlag::ClockOff));
    let late = clocks.now - occurred_at > TimeDelta::days(settings.visits_late_days);
    flags.extend(late.then_some(VisitFlag::Late));
    Weighed { said, occurred_at, skew_seconds: skew.num_seconds(), point, distance_m, flags, left_out }
}

/// What is kept of what was said.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Opened; none once erased.
    pub said: Option<Vec<u8>>,
    pub position: Option<Reading>,
    pub left_out: Vec<LeftOut>,
}

impl Kept {
    /// Whether what comes again is what was said: but for what is not kept. Once it is erased nothing can be told, and nothing is made of it.
    pub fn is_same(&self, again: &Said) -> Result<bool> {
        let Some(said) = &self.said else { return Ok(true) };
        let again = again.clone().without(&self.left_out);
        Ok(again.position == self.position && again.bytes()? == *said)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<chrono::FixedOffset> {
        DateTime::parse_from_rfc3339(text).expect("a time")
    }

    fn clocks(sent_at: &str) -> Clocks {
        Clocks::new(at(sent_at), at("2026-11-23T18:00:00+08:00").to_utc())
    }

    const RIGHT: &str = "2026-11-23T18:00:00+08:00";

    fn check_in(change: serde_json::Value) -> CheckIn {
        let mut body = json!({"id": Uuid::max(), "household_id": Uuid::max(), "device_at": "2026-11-23T10:00:00+08:00", "outcome": "seen", "place": "home",
            "position": {"lng": 117.8474, "lat": 25.6991, "coordinate_system": "wgs84", "accuracy_m": 12.0}, "note": "身体还好"});
        for (name, value) in change.as_object().expect("fields") {
            body[name] = value.clone();
        }
        serde_json::from_value(body).expect("a check-in")
    }

    fn home() -> Home {
        Home { point: Some(Point::wgs84(117.8474, 25.6991)), agrees: true }
    }

    #[test]
    fn a_wrong_clock_is_set_right_by_when_it_sent() {
        let cases = [
            // (device, sent) by the phone; when it was.
            ("2026-11-23T10:00:00+08:00", RIGHT, "2026-11-23T10:00:00+08:00"),
            ("2026-11-23T10:05:00+08:00", "2026-11-23T18:05:00+08:00", "2026-11-23T10:00:00+08:00"),
            ("1970-01-01T00:10:00+00:00", "1970-01-01T08:10:00+00:00", "2026-11-23T10:00:00+08:00"),
            ("2031-02-01T00:00:00+08:00", "2031-02-01T00:00:01+08:00", "2026-11-23T17:59:59+08:00"),
        ];
        for (device, sent, expected) in cases {
            assert_eq!(clocks(sent).occurred(at(device).to_utc()), at(expected).to_utc(), "{device} {sent}");
        }
    }

    #[test]
    fn what_is_off_is_flagged() {
        use VisitFlag as F;
        let settings = Settings::default();
        let reading = |lat: f64, accuracy: f64, mocked: bool| json!({"position": {"lng": 117.8474, "lat": lat, "coordinate_system": "wgs84", "accuracy_m": accuracy, "mocked": mocked}});
        let cases = [
            (json!({}), RIGHT, vec![]),
            // 0.009° north are a kilometre.
            (reading(25.7081, 12.0, false), RIGHT, vec![F::Far]),
            (reading(25.7081, 900.0, true), RIGHT, vec![F::Vague, F::Mocked]),
            (json!({"place": "elsewhere", "position": reading(25.7081, 12.0, false)["position"]}), RIGHT, vec![]),
            (json!({"device_at": "2026-11-13T10:00:00+08:00"}), RIGHT, vec![F::Late]),
            (json!({"device_at": "2020-01-01T00:00:00+08:00"}), "2020-01-01T08:00:00+08:00", vec![F::ClockOff]),
            (json!({}), "2026-11-23T18:09:00+08:00", vec![]),
            (json!({"position": null}), RIGHT, vec![]),
        ];
        for (change, sent, expected) in cases {
            let weighed = weigh(check_in(change.clone()).said(), home(), clocks(sent), &settings);
            assert_eq!(weighed.flags, expected, "{change} {sent}");
        }
    }

    #[test]
    fn gcj02_is_shifted_back_before_it_is_measured() {
        let shifted = Point::wgs84(117.8474, 25.6991).to_gcj02();
        let change = json!({"position": {"lng": shifted.lng, "lat": shifted.lat, "coordinate_system": "gcj02", "accuracy_m": 12.0}});
        let weighed = weigh(check_in(change).said(), home(), clocks(RIGHT), &Settings::default());
        assert_eq!((weighed.distance_m, weighed.flags), (Some(0.0), vec![]));
        let unset = Home { point: None, agrees: true };
        assert_eq!(weigh(check_in(json!({})).said(), unset, clocks(RIGHT), &Settings::default()).distance_m, None);
    }

    #[test]
    fn what_may_not_be_kept_is_left_out_and_told() {
        let photos = json!({"photos": [Uuid::max()]});
        let of = |position, photo, agrees| {
            let settings = Settings { visits_position: position, visits_photo: photo, ..Settings::default() };
            weigh(check_in(photos.clone()).said(), Home { agrees, ..home() }, clocks(RIGHT), &settings)
        };
        let kept = of(Evidence::Optional, Evidence::Required, true);
        assert_eq!((kept.left_out.len(), kept.point.is_some(), kept.said.photos.len()), (0, true, 1));
        let off = of(Evidence::Off, Evidence::Off, true);
        assert_eq!(off.left_out, [LeftOut::PositionOff, LeftOut::PhotosOff]);
        assert_eq!((off.point, off.distance_m, off.said.position), (None, None, None));
        assert_eq!(off.said.photos.len(), 0);
        let alone = of(Evidence::Required, Evidence::Optional, false);
        assert_eq!((alone.left_out, alone.said.position), (vec![LeftOut::PositionWithoutConsent], None));
    }

    #[test]
    fn every_fault_is_told() {
        let required =
            Settings { visits_position: Evidence::Required, visits_photo: Evidence::Required, ..Settings::default() };
        let told = |change: serde_json::Value, sent: &str, settings: &Settings| {
            let found = faults(&check_in(change), clocks(sent), settings);
            found.iter().map(|one| format!("{:?} {}", one.at, one.code)).collect::<Vec<_>>().join("; ")
        };
        let usual = Settings::default();
        for (change, sent, settings, expected) in [
            (json!({}), RIGHT, &usual, ""),
            (json!({"device_at": "2026-11-23T18:00:01+08:00"}), RIGHT, &usual, "device_at\") after_sent_at"),
            (json!({"device_at": "2025-11-20T18:00:01+08:00"}), RIGHT, &usual, "device_at\") too_old"),
            (json!({"device_at": "1969-12-31T23:59:59+00:00"}), RIGHT, &usual, "device_at\") range"),
            (json!({"no_position_reason": "denied"}), RIGHT, &usual, "no_position_reason\") not_both"),
            (json!({"position": null}), RIGHT, &required, "position\") required; "),
            (json!({"photos": [Uuid::max(), Uuid::max()]}), RIGHT, &usual, "/photos/1\") twice"),
            (json!({"id": Uuid::nil()}), RIGHT, &usual, "/id\") nil"),
        ] {
            let told = told(change.clone(), sent, settings);
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{change}: {told}");
        }
        let reason = json!({"position": null, "no_position_reason": "no_signal", "photos": [Uuid::max()]});
        assert_eq!(told(reason, RIGHT, &required), "");
        assert!(sent_at_fault(clocks("1969-12-31T23:59:59+00:00")).is_some());
        assert!(sent_at_fault(clocks("2099-12-31T23:59:59+00:00")).is_none());
    }

    #[test]
    fn what_comes_again_is_the_same_but_for_what_is_not_kept() {
        let said = check_in(json!({})).said();
        let of = |left_out: &[LeftOut]| {
            let kept = said.clone().without(left_out);
            Kept { said: Some(kept.bytes().expect("JSON")), position: kept.position, left_out: left_out.to_vec() }
        };
        let nearer = json!({"lng": 117.8474, "lat": 25.6991, "coordinate_system": "wgs84", "accuracy_m": 11.0});
        let (other, nearer) =
            (check_in(json!({"note": "身体不好"})).said(), check_in(json!({"position": nearer})).said());
        for left_out in [&[][..], &[LeftOut::PositionOff], &[LeftOut::PositionWithdrawn], &[LeftOut::PhotosOff]] {
            let kept = of(left_out);
            assert!(kept.is_same(&said).expect("told"), "{left_out:?}");
            assert!(!kept.is_same(&other).expect("told"), "{left_out:?}");
            assert_eq!(kept.is_same(&nearer).expect("told"), kept.position.is_none(), "{left_out:?}");
        }
        assert!(Kept { said: None, ..of(&[]) }.is_same(&other).expect("told"));
    }

    proptest! {
        /// Whatever a phone's clock shows, what it counted in between is what counts.
        #[test]
        fn the_time_in_between_stays(sent in 0i64..4_102_444_800, before in 0i64..31_000_000) {
            let sent_at = DateTime::from_timestamp(sent, 0).expect("a time").fixed_offset();
            let clocks = Clocks::new(sent_at, at(RIGHT).to_utc());
            let device_at = (sent_at - TimeDelta::seconds(before)).to_utc();
            prop_assert_eq!(clocks.now - clocks.occurred(device_at), TimeDelta::seconds(before));
            prop_assert!(clocks.occurred(device_at) <= clocks.now);
        }
    }
}
