//! `lianxin import divisions FILE`: the county and its units from the list of a ministry, all or nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    model::{DivisionCode, Level},
    store,
};
use crate::{
    app::App,
    db::schema::{counties, units},
    error::Result,
    import::{BadRows, Imported, rows},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    division_code: String,
    level: String,
    name: String,
    parent_code: String,
}

/// A row that is right in itself and among the others.
#[derive(Clone, Debug)]
pub struct Division {
    pub code: DivisionCode,
    pub level: Level,
    pub name: String,
    pub parent: Option<DivisionCode>,
}

/// Reads a file with the columns `division_code,level,name,parent_code` and exactly one county; parents may come later.
pub fn parse(file: &[u8]) -> Result<Vec<Division>, BadRows> {
    let mut bad = BadRows::default();
    let mut found: BTreeMap<DivisionCode, (u64, Division)> = BTreeMap::new();
    for (line, row) in rows::<Row>(file, &["division_code", "level", "name", "parent_code"], &mut bad) {
        match division(&row) {
            Ok(division) => {
                if let Some((first, _)) = found.get(&division.code) {
                    bad.add(line, format!("{} is already on line {first}", row.division_code));
                } else {
                    found.insert(division.code.clone(), (line, division));
                }
            }
            Err(why) => bad.add(line, why),
        }
    }
    for (line, division) in found.values() {
        let Some(parent) = &division.parent else { continue };
        let above = if division.level == Level::Village { Level::Township } else { Level::County };
        match found.get(parent) {
            None => bad.add(*line, format!("its parent {} is not in the file", parent.as_str())),
            Some((_, parent)) if parent.level != above => {
                bad.add(*line, format!("its parent must be a {}", above.as_str()));
            }
            Some(_) => {}
        }
    }
    if found.values().filter(|(_, division)| division.level == Level::County).count() != 1 {
        bad.add(1, "the file must hold exactly one county");
    }
    // Codes sort parents before children.
    bad.into_result(found.into_values().map(|(_, division)| division).collect())
}

fn division(row: &Row) -> Result<Division, String> {
    let code: DivisionCode = row.division_code.parse().map_err(|why| format!("division_code: {why}"))?;
    let level: Level = row.level.parse().map_err(|why| format!("level {why}"))?;
    if code.level() != level {
        return Err(format!("the code is one of a {}, not of a {}", code.level().as_str(), row.level));
    }
    let name = row.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 64 {
        return Err("name must have 1 to 64 characters".into());
    }
    let parent = match (level, row.parent_code.as_str()) {
        (Level::County, "") => None,
        (Level::County, _) => return Err("a county has no parent_code".into()),
        (_, code) => Some(code.parse().map_err(|why| format!("parent_code: {why}"))?),
    };
    Ok(Division { code, level, name, parent })
}

/// Imports the list of one ministry. Units keep their ids; what the file no longer names stays as it is.
pub async fn import(
    app: &App,
    file: &[u8],
    source: &str,
    vintage: Option<&str>,
    dry_run: bool,
) -> anyhow::Result<Imported> {
    let divisions = parse(file)?;
    let (source, vintage, now) = (source.to_owned(), vintage.map(str::to_owned), app.clock.now());
    let write = app.db.write("import_divisions", move |conn| {
        Ok(apply(conn, &divisions, (&source, vintage.as_deref()), now, dry_run)?)
    });
    Ok(write.await?)
}

fn apply(
    conn: &mut PgConnection,
    divisions: &[Division],
    (source, vintage): (&str, Option<&str>),
    now: DateTime<Utc>,
    dry_run: bool,
) -> QueryResult<Imported> {
    let Some(root) = divisions.iter().find(|division| division.level == Level::County) else {
        return Ok(Imported::default());
    };
    let known: Option<i32> =
        counties::table.filter(counties::key.eq(root.code.county())).select(counties::id).first(conn).optional()?;
    let county = match known {
        Some(county) => county,
        None if dry_run => 0,
        None => diesel::insert_into(counties::table)
            .values((counties::key.eq(root.code.county()), counties::name.eq(&root.name), counties::created_at.eq(now)))
            .returning(counties::id)
            .get_result(conn)?,
    };
    type Known = (Uuid, String, String, Option<Uuid>, Option<String>);
    let columns =
        (units::division_code, (units::id, units::division_code, units::name, units::parent_id, units::code_vintage));
    let here = units::table.filter(units::county_id.eq(county)).filter(units::code_source.eq(source));
    let mut known: BTreeMap<String, Known> = here.select(columns).load::<(String, Known)>(conn)?.into_iter().collect();
    let mut counts = Imported::default();
    for division in divisions {
        let parent = division.parent.as_ref().and_then(|code| known.get(code.as_str())).map(|(id, ..)| *id);
        let (code, name) = (division.code.as_str(), division.name.as_str());
        match known.get(code).cloned() {
            Some((_, _, old, old_parent, old_vintage))
                if old == name && old_parent == parent && old_vintage.as_deref() == vintage =>
            {
                counts.unchanged += 1;
            }
            Some((id, ..)) => {
                counts.changed += 1;
                if !dry_run {
                    diesel::update(units::table.find((county, id)))
                        .set((
                            units::name.eq(name),
                            units::parent_id.eq(parent),
                            units::code_vintage.eq(vintage),
                            units::version.eq(units::version + 1),
                            units::updated_at.eq(now),
                        ))
                        .execute(conn)?;
                }
            }
            None => {
                counts.created += 1;
                let id = Uuid::now_v7();
                known.insert(code.to_owned(), (id, code.to_owned(), name.to_owned(), parent, None));
                if !dry_run {
                    diesel::insert_into(units::table)
                        .values((
                            (units::county_id.eq(county), units::id.eq(id), units::parent_id.eq(parent)),
                            (units::level.eq(division.level), units::name.eq(name), units::division_code.eq(code)),
                            (units::code_source.eq(source), units::code_vintage.eq(vintage)),
                            (units::created_at.eq(now), units::updated_at.eq(now)),
                        ))
                        .execute(conn)?;
                }
            }
        }
    }
    Ok(counts)
}

/// The tenant key that a file would create or update.
pub async fn county_of(app: &App, file: &[u8]) -> anyhow::Result<Option<super::County>> {
    let divisions = parse(file)?;
    let key = divisions.first().map(|division| division.code.county().to_owned()).unwrap_or_default();
    let now = app.clock.now();
    Ok(app.db.read("county", move |conn| store::find_county(conn, &key, now)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_county_has_nineteen_townships_and_279_villages() {
        let divisions = parse(include_bytes!("../../data/datian-divisions.csv")).expect("our own file");
        let of = |level| divisions.iter().filter(|division| division.level == level).count();
        assert_eq!((of(Level::County), of(Level::Township), of(Level::Village)), (1, 19, 279));
    }

    #[test]
    fn every_bad_row_is_named_with_its_line() {
        let file = "division_code,level,name,parent_code\n\
            350425000000,county,大田县,\n\
            350425100000,village,均溪镇,350425000000\n\
            35042510100,township,石牌镇,350425000000\n\
            350425102000,township,,350425000000\n\
            350425103000,township,广平镇,350425000000\n\
            350425103000,township,广平镇,350425000000\n\
            350425104001,village,某村,350425104000\n\
            350425105000,hamlet,某地,350425000000\n\
            350425106000,township\n";
        let bad = parse(file.as_bytes()).expect_err("seven faults").to_string();
        for line in [3, 4, 5, 7, 8, 9, 10] {
            assert!(bad.contains(&format!("line {line}:")), "line {line} missing in {bad}");
        }
        assert!(!bad.contains("line 6:"), "{bad}");
    }
}
