//! What an import of staff would do, line by line: pure.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    model::{StaffState, check_display_name, check_service_phone, check_username},
    rules,
};
use crate::{
    error::Text,
    http::permissions::Role,
    sheet::{Fault, Row, fault},
    text_enum,
    units::Level,
};

/// The columns of the file.
pub const COLUMNS: [&str; 6] = ["username", "display_name", "phone", "role", "unit", "deputy"];

/// Lines after the header: the answer is kept for repeats, and has a limit.
pub const LINES: usize = 500;

text_enum! {
    /// What a line does.
    pub enum Action {
        /// A new account.
        Create = "create",
        /// A further post, another name, phone or deputy.
        Update = "update",
        Unchanged = "unchanged",
    }
}

/// A line that can be read; what is empty is none.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub line: u64,
    pub username: String,
    pub display_name: String,
    pub phone: Option<String>,
    pub role: String,
    pub unit: String,
    pub deputy: Option<String>,
    pub faults: Vec<Fault>,
}

/// A unit as lines may name it.
#[derive(Clone, Debug)]
pub struct Place {
    pub id: Uuid,
    pub parent: Option<Uuid>,
    pub level: Level,
    pub name: String,
    pub code: String,
}

/// Somebody who is known already.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: Uuid,
    pub display_name: String,
    pub phone: Option<String>,
    pub state: StaffState,
    /// Id, role, unit and deputy of every post.
    pub posts: Vec<(Uuid, Role, Uuid, Option<Uuid>)>,
}

/// What the county has already.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub places: Vec<Place>,
    /// By user name.
    pub known: HashMap<String, Known>,
}

/// What a line does, once nothing is wrong with it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub line: Line,
    pub post: Option<(Role, Uuid)>,
    pub action: Action,
}

/// What a row says, whatever the county has.
pub fn line(row: Row) -> Line {
    let mut line = Line {
        line: row.line,
        username: row.text(0).to_lowercase(),
        display_name: row.text(1),
        phone: row.some(2),
        role: row.text(3),
        unit: row.text(4),
        deputy: row.some(5).map(|name| name.to_lowercase()),
        faults: row.faults,
    };
    let wrong: Vec<_> = line.faults.iter().map(|fault| fault.column).collect();
    if wrong.contains(&"") {
        return line;
    }
    let checks = [
        ("username", check_username(&line.username)),
        ("display_name", check_display_name(&line.display_name)),
        ("phone", line.phone.as_deref().map_or(Ok(()), check_service_phone)),
    ];
    for (column, check) in checks.into_iter().filter(|(column, _)| !wrong.contains(column)) {
        if let Err(wrong) = check {
            let words = wrong.message.unwrap_or_default();
            let (zh, en) = words.split_once('|').unwrap_or((&words, &words));
            line.faults.push(Fault { column, code: column, text: Text::new(zh.to_owned(), en.to_owned()) });
        }
    }
    line
}

/// The unit that a line names: by code, by name, by `township/village`, or the county if it names none.
fn unit(places: &[Place], text: &str, role: Role) -> Result<Uuid, Fault> {
    let above = |place: &Place| places.iter().find(|other| Some(other.id) == place.parent);
    let named = |place: &&Place| match text.split_once('/') {
        None if text.is_empty() => place.level == Level::County,
        None => place.name == text || place.code == text,
        Some((town, name)) => place.name == name && above(place).is_some_and(|above| above.name == town),
    };
    let all: Vec<_> = places.iter().filter(named).collect();
    let fitting: Vec<_> = all.iter().filter(|place| rules::fits(role, place.level)).collect();
    match (all.as_slice(), fitting.as_slice()) {
        (_, [one]) => Ok(one.id),
        ([], _) => Err(fault("unit", "unknown_unit", "没有这个单位", "there is no such unit")),
        (_, []) => {
            Err(fault("unit", "unit_level", "此岗位不在这一级单位", "the role does not fit the level of this unit"))
        }
        _ => Err(fault(
            "unit",
            "ambiguous_unit",
            "有多个同名单位，请写成 乡镇/村 或 12 位区划代码",
            "several units have this name: write township/village or the division code",
        )),
    }
}

/// What every line does, with all that is wrong.
pub fn plan(lines: Vec<Line>, facts: &Facts) -> Vec<Planned> {
    let mut planned: Vec<_> = lines.into_iter().map(|line| alone(line, facts)).collect();
    among_each_other(&mut planned);
    deputies(&mut planned, facts);
    for plan in &mut planned {
        plan.action = action(plan, facts);
    }
    planned
}

/// What can be said of a line by itself.
fn alone(mut line: Line, facts: &Facts) -> Planned {
    let mut post = None;
    if !line.faults.iter().any(|fault| fault.code == "fields") {
        match rules::role(&line.role) {
            None => line.faults.push(fault("role", "unknown_role", "没有这个岗位", "there is no such role")),
            Some(role) => match unit(&facts.places, &line.unit, role) {
                Ok(unit) => post = Some((role, unit)),
                Err(fault) => line.faults.push(fault),
            },
        }
        if facts.known.get(&line.username).is_some_and(|known| known.state != StaffState::Active) {
            let (zh, en) = ("该账号已停用或离职", "this account is disabled or dismissed");
            line.faults.push(fault("username", "staff_not_active", zh, en));
        }
    }
    Planned { line, post, action: Action::Unchanged }
}

/// Doubled people and posts. A phone on one line of somebody is that of all their lines.
fn among_each_other(planned: &mut [Planned]) {
    let (mut names, mut posts) = (HashMap::new(), HashSet::new());
    let mut phones: HashMap<String, String> = HashMap::new();
    for Planned { line, .. } in &*planned {
        if let Some(phone) = &line.phone {
            phones.entry(line.username.clone()).or_insert(phone.clone());
        }
    }
    for Planned { line, post, .. } in planned {
        if *names.entry(line.username.clone()).or_insert(line.display_name.clone()) != line.display_name {
            let (zh, en) = ("同一用户名在文件中有不同的姓名", "the same user name has another name above");
            line.faults.push(fault("display_name", "two_names", zh, en));
        }
        let phone = phones.get(&line.username);
        if line.phone.is_some() && line.phone.as_ref() != phone {
            let (zh, en) = ("同一用户名在文件中有不同的电话", "the same user name has another phone above");
            line.faults.push(fault("phone", "two_phones", zh, en));
        }
        line.phone = phone.cloned();
        if let Some(post) = post
            && !posts.insert((line.username.clone(), *post))
        {
            let (zh, en) = ("同一人的同一岗位在文件中重复", "the same post of the same person is above");
            line.faults.push(fault("role", "post_twice", zh, en));
        }
    }
}

/// Unknown deputies and circles: the lines are added one by one to what stands after the import.
fn deputies(planned: &mut [Planned], facts: &Facts) {
    // People of the file have no ids yet; their user names are as good.
    let mut numbers: HashMap<String, Uuid> = facts.known.iter().map(|(name, known)| (name.clone(), known.id)).collect();
    let mut next = 0;
    for plan in &*planned {
        next += 1;
        numbers.entry(plan.line.username.clone()).or_insert(Uuid::from_u128(next));
    }
    let in_file: HashSet<_> = planned.iter().map(|plan| plan.line.username.clone()).collect();
    let replaced: HashSet<_> = planned
        .iter()
        .filter(|plan| plan.line.deputy.is_some())
        .filter_map(|plan| Some((plan.line.username.clone(), plan.post?)))
        .collect();
    let mut stands_in: Vec<(Uuid, Uuid)> = Vec::new();
    for (name, known) in &facts.known {
        let kept = known.posts.iter().filter(|(_, role, unit, _)| !replaced.contains(&(name.clone(), (*role, *unit))));
        stands_in.extend(kept.filter_map(|(.., deputy)| deputy.map(|deputy| (known.id, deputy))));
    }
    for plan in planned {
        let Some(deputy) = &plan.line.deputy else { continue };
        let active = facts.known.get(deputy).map(|known| known.state == StaffState::Active);
        let wrong = if *deputy == plan.line.username {
            Some(fault("deputy", "deputy_self", "代理人须为他人", "nobody can stand in for themselves"))
        } else if !active.unwrap_or_else(|| in_file.contains(deputy)) {
            Some(fault("deputy", "unknown_staff", "没有这名在职人员", "there is no such active member of staff"))
        } else {
            let (holder, deputy) = (numbers[&plan.line.username], numbers[deputy]);
            let circle = rules::circle(&stands_in, holder, deputy);
            if !circle {
                stands_in.push((holder, deputy));
            }
            circle.then(|| {
                let (zh, en) = (
                    "代理关系成环：若都不在岗，就没有人接手",
                    "the deputies go in a circle: with all of them away nobody is left",
                );
                fault("deputy", "deputy_circle", zh, en)
            })
        };
        plan.line.faults.extend(wrong);
    }
}

fn action(plan: &Planned, facts: &Facts) -> Action {
    let Some(known) = facts.known.get(&plan.line.username) else { return Action::Create };
    let named =
        known.display_name == plan.line.display_name && (plan.line.phone.is_none() || plan.line.phone == known.phone);
    let held = known.posts.iter().find(|(_, role, unit, _)| Some((*role, *unit)) == plan.post);
    let deputy = |id: Option<Uuid>| match &plan.line.deputy {
        None => true,
        Some(name) => facts.known.get(name).map(|known| known.id) == id && id.is_some(),
    };
    match held {
        Some((.., id)) if named && deputy(*id) => Action::Unchanged,
        _ => Action::Update,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet;

    fn facts() -> Facts {
        let place = |number, parent: Option<u128>, level, name: &str| Place {
            id: Uuid::from_u128(number),
            parent: parent.map(Uuid::from_u128),
            level,
            name: name.into(),
            code: format!("{number:012}"),
        };
        let places = vec![
            place(1, None, Level::County, "大田县"),
            place(2, Some(1), Level::Township, "均溪镇"),
            place(3, Some(1), Level::Township, "石牌镇"),
            place(4, Some(2), Level::Village, "新村"),
            place(5, Some(3), Level::Village, "新村"),
        ];
        let old = Known {
            id: Uuid::from_u128(100),
            display_name: "老陈".into(),
            phone: None,
            state: StaffState::Active,
            posts: vec![(Uuid::from_u128(200), Role::TownshipStaff, Uuid::from_u128(2), None)],
        };
        let gone = Known { id: Uuid::from_u128(101), state: StaffState::Dismissed, posts: vec![], ..old.clone() };
        Facts { places, known: [("old".to_owned(), old), ("gone".to_owned(), gone)].into() }
    }

    fn lines(file: &str) -> Vec<Line> {
        let rows = sheet::read(file.as_bytes(), &COLUMNS, LINES).expect("readable");
        rows.into_iter().map(line).collect()
    }

    fn codes(rows: &str) -> Vec<(u64, Vec<&'static str>)> {
        let file = format!("{}\n{rows}", COLUMNS.join(","));
        let planned = plan(lines(&file), &facts());
        planned
            .into_iter()
            .map(|plan| (plan.line.line, plan.line.faults.iter().map(|fault| fault.code).collect()))
            .collect()
    }

    #[test]
    fn every_fault_of_every_line() {
        let cases = [
            ("new,新人,,代办员,均溪镇/新村,old", vec![]),
            ("new,新人,,village_cadre,000000000005,", vec![]),
            ("new,新人,,county_admin,,", vec![]),
            ("new,新人,,village_cadre,新村,", vec!["ambiguous_unit"]),
            ("new,新人,,village_cadre,均溪镇,", vec!["unit_level"]),
            ("new,新人,,village_cadre,别村,", vec!["unknown_unit"]),
            ("new,新人,,resident,均溪镇,", vec!["unknown_role"]),
            ("N,,12,x,,new2", vec!["username", "display_name", "phone", "unknown_role", "unknown_staff"]),
            ("new,新人,,village_cadre", vec!["fields"]),
            ("new,新人,,township_staff,均溪镇,new", vec!["deputy_self"]),
            ("new,新人,,township_staff,均溪镇,gone", vec!["unknown_staff"]),
            ("gone,老陈,,township_staff,均溪镇,", vec!["staff_not_active"]),
        ];
        for (line, expected) in cases {
            assert_eq!(codes(line), [(2, expected)], "{line}");
        }
    }

    #[test]
    fn doubled_people_and_posts_and_circles() {
        let doubled = "new,新人,54321,township_staff,均溪镇,\nnew,别人,12345,township_staff,均溪镇,";
        assert_eq!(codes(doubled)[1].1, ["two_names", "two_phones", "post_twice"]);
        let once = "new,新人,,township_staff,均溪镇,\nnew,新人,12345,township_staff,石牌镇,\nnew,新人,,county_admin,,";
        assert!(codes(once).iter().all(|(_, codes)| codes.is_empty()), "what is empty stays as it is");
        let circle =
            "aa,甲,,township_staff,均溪镇,bb\nbb,乙,,township_staff,均溪镇,old\nold,老陈,,township_staff,均溪镇,aa";
        assert_eq!(codes(circle), [(2, vec![]), (3, vec![]), (4, vec!["deputy_circle"])]);
    }

    #[test]
    fn actions() {
        let file = format!(
            "{}\nold,老陈,,township_staff,均溪镇,\nold,老陈,,township_staff,石牌镇,\nnew,新人,,township_staff,石牌镇,old",
            COLUMNS.join(",")
        );
        let planned = plan(lines(&file), &facts());
        let actions: Vec<_> = planned.iter().map(|plan| plan.action).collect();
        assert_eq!(actions, [Action::Unchanged, Action::Update, Action::Create]);
    }
}
