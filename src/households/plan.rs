//! What an import of households would do, line by line: pure.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::model::{POSITION_REFUSED, UNKNOWN_CATEGORY};
use crate::{
    error::Text,
    geo::{self, CoordinateSystem, Point},
    people::{PersonName, searched_name},
    sheet::{Fault, Row, fault},
    text_enum,
};

/// The columns of the file.
pub const COLUMNS: [&str; 9] =
    ["code", "unit", "name", "address", "category", "lng", "lat", "coordinate_system", "note"];

/// Lines after the header: the answer is kept for repeats, and has a limit.
pub const LINES: usize = 300;

text_enum! {
    /// What a line does.
    pub enum LineAction {
        Create = "create",
        Change = "change",
        Unchanged = "unchanged",
    }
}

/// A line of the file; what is empty is none.
#[derive(Clone, Debug)]
pub struct Line {
    pub line: u64,
    pub code: Option<String>,
    pub unit: String,
    pub name: Option<PersonName>,
    pub address: Option<String>,
    pub category: Option<String>,
    pub point: Option<Point>,
    pub note: Option<String>,
    pub faults: Vec<Fault>,
}

/// A household as it is, in plain.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub id: Uuid,
    pub active: bool,
    pub code: Option<String>,
    pub unit: Uuid,
    pub name: String,
    pub address: Option<String>,
    pub category: Option<Uuid>,
    pub note: Option<String>,
    pub point: Option<Point>,
    /// A member does not agree to the whereabouts of the home being kept.
    pub unplaced: bool,
}

/// A village as lines may name it.
#[derive(Clone, Debug)]
pub struct Village {
    pub id: Uuid,
    pub name: String,
    pub township: String,
    pub code: String,
}

/// What the county has already, as far as the caller reaches.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub villages: Vec<Village>,
    /// Categories by name, and whether they are active.
    pub categories: HashMap<String, (Uuid, bool)>,
    pub known: Vec<Known>,
    /// Codes of households beyond the caller's reach.
    pub taken: HashSet<String>,
}

/// What a line does, once nothing is wrong with it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub line: Line,
    pub action: LineAction,
    pub unit: Option<Uuid>,
    pub category: Option<Uuid>,
    /// The household that it is about, if it is there.
    pub known: Option<Known>,
    /// Columns that change.
    pub columns: Vec<&'static str>,
}

/// What a row says, whatever the county has.
pub fn line(row: Row) -> Line {
    let [code, _, name, address, category, lng, lat, system, note] = std::array::from_fn(|column| row.some(column));
    let (unit, mut faults) = (row.text(1), row.faults);
    for (column, text, most) in [("code", &code, 40), ("address", &address, 200), ("note", &note, 2000)] {
        if text.as_ref().is_some_and(|text| text.chars().count() > most) {
            let text = Text::new(format!("不得超过 {most} 字"), format!("may have up to {most} characters"));
            faults.push(Fault { column, code: "length", text });
        }
    }
    let wrong = |column| faults.iter().any(|fault| [column, ""].contains(&fault.column));
    let name = match name.map(|name| name.parse::<PersonName>()) {
        Some(Ok(name)) => Some(name),
        // Something else is wrong with it, and is said.
        _ if wrong("name") => None,
        None => {
            faults.push(fault("name", "required", "不能为空", "must not be empty"));
            None
        }
        Some(Err(_)) => {
            faults.push(fault("name", "name", "不是有效的名称", "is not a name"));
            None
        }
    };
    let point = point(lng, lat, system).unwrap_or_else(|wrong| {
        faults.push(wrong);
        None
    });
    Line { line: row.line, code, unit, name, address, category, point, note, faults }
}

/// A point of three cells: all or none.
fn point(lng: Option<String>, lat: Option<String>, system: Option<String>) -> Result<Option<Point>, Fault> {
    let (lng, lat) = match (lng, lat) {
        (None, None) => return Ok(None),
        (Some(lng), Some(lat)) => (lng, lat),
        (None, Some(_)) => {
            return Err(fault("lng", "required", "经纬度须同时填写", "longitude and latitude go together"));
        }
        (Some(_), None) => {
            return Err(fault("lat", "required", "经纬度须同时填写", "longitude and latitude go together"));
        }
    };
    let (lng, lat) = (lng.parse::<f64>().ok(), lat.parse::<f64>().ok());
    if lng.zip(lat).is_some_and(|(lng, lat)| geo::swapped(lng, lat)) {
        return Err(fault("lng", "swapped", geo::SWAPPED.0, geo::SWAPPED.1));
    }
    let within = |number: Option<f64>, most: f64| number.filter(|number| number.abs() <= most);
    let (zh, en) = ("须为 -180 至 180 的数", "must be a number from -180 to 180");
    let lng = within(lng, 180.0).ok_or(fault("lng", "range", zh, en))?;
    let (zh, en) = ("须为 -90 至 90 的数", "must be a number from -90 to 90");
    let lat = within(lat, 90.0).ok_or(fault("lat", "range", zh, en))?;
    let system = system.and_then(|text| text.to_lowercase().parse::<CoordinateSystem>().ok());
    let (zh, en) = ("须为 wgs84 或 gcj02", "must be wgs84 or gcj02");
    let coordinate_system = system.ok_or(fault("coordinate_system", "unknown_value", zh, en))?;
    Ok(Some(Point { lng, lat, coordinate_system }))
}

/// The village that a cell names: by name, `township/village`, or division code.
fn village(facts: &Facts, named: &str) -> Result<Uuid, Fault> {
    let is = |village: &&Village| {
        named == village.name
            || named == village.code
            || named
                .split_once('/')
                .is_some_and(|(township, name)| township == village.township && name == village.name)
    };
    let mut found = facts.villages.iter().filter(is);
    match (found.next(), found.next()) {
        (Some(village), None) => Ok(village.id),
        (None, _) => Err(fault(
            "unit",
            "unknown_unit",
            "管辖范围内没有这个村（社区）",
            "there is no such village within your reach",
        )),
        (Some(_), Some(_)) => Err(fault(
            "unit",
            "ambiguous_unit",
            "有多个同名村，请写“乡镇/村”",
            "several have this name: write township/village",
        )),
    }
}

/// The household that a line is about: by its code, else by its whole name in the village.
fn about<'a>(facts: &'a Facts, line: &Line, unit: Uuid) -> Result<Option<&'a Known>, Fault> {
    let coded = facts.known.iter().find(|known| line.code.is_some() && known.code == line.code);
    if let Some(known) = coded {
        let gone = fault("code", "household_state", "该户已注销", "this household is closed");
        return if known.active { Ok(Some(known)) } else { Err(gone) };
    }
    if line.code.as_ref().is_some_and(|code| facts.taken.contains(code)) {
        let (zh, en) = ("管辖范围之外已有一户使用此编号", "a household beyond your reach has this code");
        return Err(fault("code", "code_taken", zh, en));
    }
    let name = line.name.as_ref().map(|name| searched_name(name.as_ref()));
    let named = |known: &&Known| {
        // One with another code is another household.
        let free = line.code.is_none() || known.code.is_none();
        known.active && free && known.unit == unit && Some(searched_name(&known.name)) == name
    };
    let mut found = facts.known.iter().filter(named);
    match (found.next(), found.next()) {
        (known, None) => Ok(known),
        _ => Err(fault(
            "name",
            "ambiguous_name",
            "该村有多户同名，请填写编号",
            "several of this name in the village: give the code",
        )),
    }
}

/// What every line would do, with everything that is wrong.
pub fn plan(lines: Vec<Line>, facts: &Facts) -> Vec<Planned> {
    let (mut codes, mut named, mut taken) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut planned = Vec::with_capacity(lines.len());
    for mut line in lines {
        let unit = village(facts, &line.unit).map_err(|wrong| line.faults.push(wrong)).ok();
        let twice = match (&line.code, &line.name, unit) {
            (Some(code), ..) => !codes.insert(code.clone()),
            (None, Some(name), Some(unit)) => !named.insert((unit, searched_name(name.as_ref()))),
            _ => false,
        };
        let known = unit.and_then(|unit| {
            about(facts, &line, unit).map_err(|wrong| line.faults.push(wrong)).ok().flatten().cloned()
        });
        if twice || known.as_ref().is_some_and(|known| !taken.insert(known.id)) {
            line.faults.push(fault("", "twice", "与前面的行重复", "an earlier line is about the same household"));
        }
        let category = line.category.as_ref().and_then(|name| facts.categories.get(name));
        // Those in a closed one stay.
        let stays = |id| known.as_ref().is_some_and(|known| known.category == Some(id));
        let category = category.filter(|(id, active)| *active || stays(*id)).map(|(id, _)| *id);
        if line.category.is_some() && category.is_none() {
            let (zh, en) = UNKNOWN_CATEGORY;
            line.faults.push(fault("category", "unknown_category", zh, en));
        }
        let columns = known.as_ref().map_or_else(Vec::new, |known| changed(known, &line, unit, category));
        if columns.contains(&"point") && known.as_ref().is_some_and(|known| known.unplaced) {
            let (zh, en) = POSITION_REFUSED;
            line.faults.push(fault("lng", "consent_required", zh, en));
        }
        let action = match &known {
            None => LineAction::Create,
            Some(_) if columns.is_empty() => LineAction::Unchanged,
            Some(_) => LineAction::Change,
        };
        planned.push(Planned { line, action, unit, category, known, columns });
    }
    planned
}

/// The columns in which a line says something else; an empty cell says nothing.
fn changed(known: &Known, line: &Line, unit: Option<Uuid>, category: Option<Uuid>) -> Vec<&'static str> {
    let differs = |new: &Option<String>, old: &Option<String>| new.is_some() && new != old;
    let moved = |point: Point| known.point.is_none_or(|old| old.distance_m(point) > 0.5);
    [
        ("code", differs(&line.code, &known.code)),
        ("unit", unit.is_some_and(|unit| unit != known.unit)),
        ("name", line.name.as_ref().is_some_and(|name| name.as_ref() != known.name)),
        ("address", differs(&line.address, &known.address)),
        ("category", category.is_some() && category != known.category),
        ("point", line.point.is_some_and(moved)),
        ("note", differs(&line.note, &known.note)),
    ]
    .into_iter()
    .filter_map(|(column, is)| is.then_some(column))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet;

    const HEADER: &str = "code,unit,name,address,category,lng,lat,coordinate_system,note\n";

    fn facts() -> Facts {
        let village = |id: u128, name: &str, township: &str| Village {
            id: Uuid::from_u128(id),
            name: name.into(),
            township: township.into(),
            code: format!("35042510{id:04}"),
        };
        let villages =
            vec![village(1, "红星村", "均溪镇"), village(2, "上京村", "上京镇"), village(3, "上京村", "石牌镇")];
        let known = |id: u128, code: Option<&str>, name: &str| Known {
            id: Uuid::from_u128(id),
            active: true,
            code: code.map(str::to_owned),
            unit: Uuid::from_u128(1),
            name: name.into(),
            address: Some("1号".into()),
            category: code.map(|_| Uuid::from_u128(8)),
            note: None,
            point: None,
            unplaced: id == 13,
        };
        let known = vec![
            known(11, Some("A"), "陈家"),
            known(12, None, "林家"),
            known(13, Some("D"), "赵家"),
            known(15, None, "王家"),
            known(14, None, "王家"),
        ];
        Facts {
            villages,
            categories: HashMap::from([
                ("一般户".to_owned(), (Uuid::from_u128(9), true)),
                ("旧类".to_owned(), (Uuid::from_u128(8), false)),
            ]),
            known,
            taken: HashSet::from(["Z".to_owned()]),
        }
    }

    fn planned(rows: &str) -> Vec<(&'static str, String)> {
        let rows = sheet::read(format!("{HEADER}{rows}").as_bytes(), &COLUMNS, LINES).expect("readable");
        let lines = rows.into_iter().map(line).collect();
        let say = |plan: Planned| {
            let faults: Vec<_> =
                plan.line.faults.iter().map(|fault| format!("{}:{}", fault.column, fault.code)).collect();
            (plan.action.as_str(), if faults.is_empty() { plan.columns.join(",") } else { faults.join(" ") })
        };
        plan(lines, &facts()).into_iter().map(say).collect()
    }

    #[test]
    fn lines_find_their_household_by_code_then_by_name() {
        for (row, does, what) in [
            ("A,红星村,陈家,1号,,,,,", "unchanged", ""),
            ("A,红星村,陈某家,2号,一般户,117.8,25.7,gcj02,", "change", "name,address,category,point"),
            (",红星村,林 家,,,,,,", "change", "name"),
            ("A,红星村,陈家,,旧类,,,,", "unchanged", ""),
            (",红星村,林家,,旧类,,,,", "unchanged", "category:unknown_category"),
            ("B,均溪镇/红星村,林家,,,,,,", "change", "code"),
            (",红星村,王家,,,,,,", "create", "name:ambiguous_name"),
            ("C,350425100001,陈家,,,,,,", "create", ""),
            (",上京村,周家,,,,,,", "create", "unit:ambiguous_unit"),
            (",没有村,周家,,没有,,,,", "create", "unit:unknown_unit category:unknown_category"),
            (",红星村,周家,,,117.8,,,", "create", "lat:required"),
            (",红星村,周家,,,25.7,117.8,wgs84,", "create", "lng:swapped"),
            (",红星村,周家,,,117.8,97,wgs84,", "create", "lat:range"),
            (",红星村,周家,,,117.8,25.7,,", "create", "coordinate_system:unknown_value"),
            (",红星村,,=1+1,,,,,", "create", "address:formula name:required"),
            (",红星村,=周家,,,,,,", "create", "name:formula"),
            (",红星村,周家", "create", ":fields"),
            ("Z,红星村,周家,,,,,,", "create", "code:code_taken"),
            ("D,红星村,赵家,,,117.8,25.7,gcj02,", "change", "lng:consent_required"),
        ] {
            assert_eq!(planned(row), [(does, what.to_owned())], "{row}");
        }
        let twice = planned("A,红星村,陈家,,,,,,\nA,红星村,陈家,,,,,,\n,红星村,周家,,,,,,\n,红星村,周家,,,,,,\n");
        assert_eq!((&*twice[1].1, &*twice[3].1), (":twice", ":twice"));
    }
}
