//! Points on a map and their coordinate system: WGS 84 as stored everywhere, GCJ-02 (国测局坐标) as WeChat's maps want it.
//!
//! Maps published in China shift positions by a formula that was never published but is publicly described, among others at
//! <https://en.wikipedia.org/wiki/Restrictions_on_geographic_data_in_China>; `data/gcj02-vectors.csv` holds points shifted by it. No
//! library of it is maintained. Outside a box around China nothing is shifted.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::text_enum;

text_enum! {
    /// What a position is measured in.
    pub enum CoordinateSystem {
        /// What satellites tell.
        Wgs84 = "wgs84",
        /// What WeChat's maps show, and `wx.getLocation` answers with `type: 'gcj02'`.
        Gcj02 = "gcj02",
    }
}

/// A position and what it is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[validate(schema(function = "Self::check", skip_on_field_errors = false))]
#[schema(example = json!({"lng": 117.847210, "lat": 25.692540, "coordinate_system": "wgs84"}))]
pub struct Point {
    /// Degrees east, -180 to 180.
    #[validate(range(min = -180.0, max = 180.0))]
    #[schema(minimum = -180, maximum = 180)]
    pub lng: f64,
    /// Degrees north, -90 to 90.
    #[validate(range(min = -90.0, max = 90.0))]
    #[schema(minimum = -90, maximum = 90)]
    pub lat: f64,
    pub coordinate_system: CoordinateSystem,
}

/// Mean radius of the Earth, in metres (IUGG); the same as in the SQL function `distance_m`.
const RADIUS: f64 = 6_371_008.8;
/// The Krasovsky 1940 ellipsoid that the shift is computed on: half axis in metres, eccentricity squared.
const HALF_AXIS: f64 = 6_378_245.0;
const ECCENTRICITY: f64 = 0.006_693_421_622_965_943;

/// About China, in degrees east and north.
const CHINA: (RangeInclusive<f64>, RangeInclusive<f64>) = (73.0..=136.0, 3.0..=54.0);
/// What is said of numbers that changed places.
pub const SWAPPED: (&str, &str) =
    ("经纬度颠倒：lng 是经度，lat 是纬度", "east and north are swapped: lng is degrees east, lat degrees north");

/// Whether a place lies within China only when its numbers change places.
pub fn swapped(lng: f64, lat: f64) -> bool {
    let lies = |lng, lat| CHINA.0.contains(&lng) && CHINA.1.contains(&lat);
    lies(lat, lng) && !lies(lng, lat)
}

/// Refuses such numbers, beside what is wrong with each of them.
pub fn check_swapped(lng: f64, lat: f64) -> Result<(), ValidationError> {
    if swapped(lng, lat) {
        return Err(ValidationError::new("swapped").with_message(format!("{}|{}", SWAPPED.0, SWAPPED.1).into()));
    }
    Ok(())
}

impl Point {
    fn check(&self) -> Result<(), ValidationError> {
        check_swapped(self.lng, self.lat)
    }

    pub fn wgs84(lng: f64, lat: f64) -> Self {
        Self { lng, lat, coordinate_system: CoordinateSystem::Wgs84 }
    }

    /// The same place in the other system, or as it is.
    pub fn within(self, system: CoordinateSystem) -> Self {
        match system {
            CoordinateSystem::Wgs84 => self.to_wgs84(),
            CoordinateSystem::Gcj02 => self.to_gcj02(),
        }
    }

    pub fn to_gcj02(self) -> Self {
        let Self { lng, lat, coordinate_system } = self;
        let (lng, lat) = if coordinate_system == CoordinateSystem::Wgs84 { shifted(lng, lat) } else { (lng, lat) };
        Self { lng, lat, coordinate_system: CoordinateSystem::Gcj02 }
    }

    /// The shift has no inverse in a formula: it is undone step by step, until the rest is below what any map shows.
    pub fn to_wgs84(self) -> Self {
        if self.coordinate_system == CoordinateSystem::Wgs84 {
            return self;
        }
        let (mut lng, mut lat) = (self.lng, self.lat);
        for _ in 0..30 {
            let (there_lng, there_lat) = shifted(lng, lat);
            let (off_lng, off_lat) = (there_lng - self.lng, there_lat - self.lat);
            (lng, lat) = (lng - off_lng, lat - off_lat);
            if off_lng.abs().max(off_lat.abs()) < 1e-10 {
                break;
            }
        }
        // On the very edge of the box a step may lead beyond the ends of the Earth.
        Self::wgs84(lng.clamp(-180.0, 180.0), lat.clamp(-90.0, 90.0))
    }

    /// Metres to another place, on a sphere (haversine).
    pub fn distance_m(self, to: Self) -> f64 {
        let (a, b) = (self.to_wgs84(), to.to_wgs84());
        let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let chord = half(a.lat, b.lat) + a.lat.to_radians().cos() * b.lat.to_radians().cos() * half(a.lng, b.lng);
        2.0 * RADIUS * chord.sqrt().min(1.0).asin()
    }
}

/// A position of WGS 84, shifted.
fn shifted(lng: f64, lat: f64) -> (f64, f64) {
    if !(72.004..=137.8347).contains(&lng) || !(0.8293..=55.8271).contains(&lat) {
        return (lng, lat);
    }
    let (x, y) = (lng - 105.0, lat - 35.0);
    let wave = |at: f64, big: f64, small: f64| (at * big).sin() * small;
    let pi = std::f64::consts::PI;
    let both = (wave(x, 6.0 * pi, 20.0) + wave(x, 2.0 * pi, 20.0)) * 2.0 / 3.0;
    let north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * x.abs().sqrt() + both;
    let north = north + (wave(y, pi, 20.0) + wave(y, pi / 3.0, 40.0)) * 2.0 / 3.0;
    let north = north + (wave(y, pi / 12.0, 160.0) + wave(y, pi / 30.0, 320.0)) * 2.0 / 3.0;
    let east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * x.abs().sqrt() + both;
    let east = east + (wave(x, pi, 20.0) + wave(x, pi / 3.0, 40.0)) * 2.0 / 3.0;
    let east = east + (wave(x, pi / 12.0, 150.0) + wave(x, pi / 30.0, 300.0)) * 2.0 / 3.0;
    let bend = 1.0 - ECCENTRICITY * lat.to_radians().sin().powi(2);
    let metres_north = HALF_AXIS * (1.0 - ECCENTRICITY) / (bend * bend.sqrt());
    let metres_east = HALF_AXIS / bend.sqrt() * lat.to_radians().cos();
    (lng + (east / metres_east).to_degrees(), lat + (north / metres_north).to_degrees())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VECTORS: &[u8] = include_bytes!("../data/gcj02-vectors.csv");

    fn gcj02(lng: f64, lat: f64) -> Point {
        Point { lng, lat, coordinate_system: CoordinateSystem::Gcj02 }
    }

    fn near(a: Point, b: Point, degrees: f64) -> bool {
        a.coordinate_system == b.coordinate_system && (a.lng - b.lng).abs() < degrees && (a.lat - b.lat).abs() < degrees
    }

    #[test]
    fn east_and_north_that_changed_places_are_told() {
        for (lng, lat, wrong) in [
            (117.85, 25.69, false),
            (25.69, 117.85, true),
            (25.69, 87.0, true),
            (0.0, 0.0, false),
            (-70.0, -30.0, false),
        ] {
            assert_eq!(swapped(lng, lat), wrong, "{lng} {lat}");
        }
        // Told beside the range, not instead of it.
        let both = Point::wgs84(25.69, 117.85).validate().expect_err("swapped");
        assert_eq!(both.errors().len(), 2, "{both:?}");
    }

    #[test]
    fn the_vectors_hold_in_both_directions() {
        let rows: Vec<(f64, f64, f64, f64)> =
            csv::Reader::from_reader(VECTORS).deserialize().collect::<Result<_, _>>().expect("four numbers");
        assert!(rows.len() > 200);
        for (lng, lat, there_lng, there_lat) in rows {
            let (from, to) = (Point::wgs84(lng, lat), gcj02(there_lng, there_lat));
            // They have nine digits after the point.
            assert!(near(from.to_gcj02(), to, 1e-8), "{from:?} {:?} {to:?}", from.to_gcj02());
            assert!(near(to.to_wgs84(), from, 1e-8), "{to:?} {:?} {from:?}", to.to_wgs84());
        }
    }

    #[test]
    fn distances_are_those_of_a_sphere() {
        let (a, b) = (Point::wgs84(117.8, 25.7), Point::wgs84(117.81, 25.71));
        // The same as `distance_m` in SQL says.
        assert!((a.distance_m(b) - 1_496.750_045_848_920_5).abs() < 1e-6);
        assert!((a.distance_m(b.to_gcj02()) - a.distance_m(b)).abs() < 0.001);
        let half = Point::wgs84(0.0, 0.0).distance_m(Point::wgs84(180.0, 0.0));
        assert!((half - std::f64::consts::PI * RADIUS).abs() < 1e-3);
        assert_eq!(a.distance_m(a), 0.0);
    }

    #[test]
    fn other_lands_are_not_shifted() {
        let paris = Point::wgs84(2.3522, 48.8566);
        assert_eq!(paris.to_gcj02(), gcj02(2.3522, 48.8566));
        assert_eq!(paris.to_gcj02().to_wgs84(), paris);
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_place(lng in 73.0..137.0f64, lat in 1.0..55.0f64) {
            let point = Point::wgs84(lng, lat);
            prop_assert!(near(point.to_gcj02().to_wgs84(), point, 1e-9));
            prop_assert!(point.distance_m(Point::wgs84(point.to_gcj02().lng, point.to_gcj02().lat)) < 2_000.0);
        }

        #[test]
        fn every_point_has_an_answer(lng in -180.0..=180.0f64, lat in -90.0..=90.0f64) {
            let point = gcj02(lng, lat).to_wgs84();
            prop_assert!((-180.0..=180.0).contains(&point.lng) && (-90.0..=90.0).contains(&point.lat));
        }
    }
}
