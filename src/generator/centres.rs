//! Service centres: how many people live around each, its windows with their hours, and who sits there.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::{Dice, World, names};
use crate::{
    consents::Purpose,
    crypto,
    db::schema::{
        consent_texts, matters, opening_rules, staff, staff_posts, units, visit_categories, window_matters, windows,
    },
    http::permissions::Role,
    sample,
    units::Level,
};

/// What was there before.
pub struct Facts {
    pub townships: Vec<Unit>,
    pub villages: Vec<Unit>,
    /// Those that take one slot at the centre.
    pub matters: Vec<Uuid>,
    /// Windows that there are already.
    pub windows: Vec<(Uuid, String)>,
    /// The text about ID numbers that people agree to, if the county has one.
    pub consent: Option<i64>,
    /// Those of visits that households are put into.
    pub categories: Vec<Uuid>,
    pub generated: bool,
}

pub struct Unit {
    pub id: Uuid,
    pub code: String,
    pub parent: Option<Uuid>,
}

/// How the accounts of generated staff begin; by them a generated county is known.
const ACCOUNT: &str = "gen.";

pub fn facts(conn: &mut PgConnection, county: i32) -> QueryResult<Facts> {
    let level = |conn: &mut PgConnection, level: Level| {
        let here = units::table.filter(units::county_id.eq(county)).filter(units::level.eq(level));
        let columns = (units::id, units::division_code, units::parent_id);
        let rows: Vec<(Uuid, String, Option<Uuid>)> = here.order(units::division_code).select(columns).load(conn)?;
        QueryResult::Ok(rows.into_iter().map(|(id, code, parent)| Unit { id, code, parent }).collect())
    };
    let active = matters::table.filter(matters::county_id.eq(county)).filter(matters::state.eq("active"));
    let active = active.filter(matters::slots.eq(1)).filter(matters::own_specialist.eq(false));
    let here = windows::table.filter(windows::county_id.eq(county)).select((windows::unit_id, windows::name));
    let text = consent_texts::table.filter(consent_texts::county_id.eq(county));
    let text = text.filter(consent_texts::purpose.eq(Purpose::IdNumber));
    let categories = visit_categories::table.filter(visit_categories::county_id.eq(county));
    let categories = categories.filter(visit_categories::state.eq("active"));
    let ours = staff::table.filter(staff::county_id.eq(county)).filter(staff::username.like(format!("{ACCOUNT}%")));
    Ok(Facts {
        townships: level(conn, Level::Township)?,
        villages: level(conn, Level::Village)?,
        matters: active.order(matters::name).select(matters::id).load(conn)?,
        windows: here.load(conn)?,
        consent: text.select(diesel::dsl::max(consent_texts::version)).first(conn)?,
        categories: categories.order(visit_categories::name).select(visit_categories::id).load(conn)?,
        generated: diesel::select(diesel::dsl::exists(ours)).get_result(conn)?,
    })
}

/// The centre of a township or a village.
pub struct Centre {
    pub unit: Uuid,
    code: String,
    pub township: bool,
    /// Who lives around it: residents by number, from and to (without it).
    pub people: (usize, usize),
    pub windows: Vec<Window>,
    /// Whoever registers people here.
    pub officer: Uuid,
    staff: Vec<Member>,
}

pub struct Window {
    pub id: Uuid,
    name: String,
    pub officer: Uuid,
    pub matters: Vec<Uuid>,
    pub minutes: i16,
    /// Of the channels public, proxy and desk.
    pub capacity: [i16; 3],
    /// Morning and afternoon.
    hours: [(NaiveTime, NaiveTime); 2],
}

struct Member {
    id: Uuid,
    username: String,
    name: String,
    role: Role,
}

impl Centre {
    /// Those who work here, with what they are.
    pub fn agents(&self) -> Vec<(Uuid, Role)> {
        self.staff.iter().map(|member| (member.id, member.role)).collect()
    }
}

impl Window {
    /// The starts of its slots.
    pub fn slots(&self) -> impl Iterator<Item = NaiveTime> {
        let length = TimeDelta::minutes(self.minutes.into());
        self.hours.into_iter().flat_map(move |(opens, closes)| {
            std::iter::successors(Some(opens), move |start| Some(*start + length))
                .take_while(move |start| *start + length <= closes)
        })
    }
}

const TOWNSHIP_WINDOWS: &[&str] = &[
    "党建和群众服务窗口",
    "民生项目窗口",
    "卫生健康窗口",
    "代办帮办窗口",
    "咨询投诉窗口",
    "社会保险窗口",
    "医疗保障窗口",
    "民政救助窗口",
    "户籍窗口",
    "自然资源和建房窗口",
    "农业农村窗口",
    "退役军人服务窗口",
];
const VILLAGE_WINDOWS: &[&str] = &["便民服务窗口", "代办服务窗口"];
const MOST: usize = TOWNSHIP_WINDOWS.len();

/// Who lives where, and what each centre has. Townships by code, the villages of each after it.
pub fn plan(world: &World) -> Vec<Centre> {
    let Facts { townships, villages, .. } = &world.facts;
    let weights: Vec<u64> = (0..villages.len())
        .map(|village| {
            let mut dice = world.dice("village", village);
            // Most villages have some hundred people, some have thousands.
            let many = if dice.percent(15) { 4 } else { 1 };
            dice.between(3, 12).unsigned_abs() * many
        })
        .collect();
    let all: u64 = weights.iter().sum::<u64>().max(1);
    let (mut centres, mut before) = (Vec::new(), 0);
    let share = |weight: u64| (world.size.residents as u128 * u128::from(weight) / u128::from(all)) as usize;
    for township in townships {
        let from = share(before);
        let mut below = Vec::new();
        for (number, village) in villages.iter().enumerate().filter(|(_, village)| village.parent == Some(township.id))
        {
            let people = (share(before), share(before + weights[number]));
            before += weights[number];
            below.push(centre(world, village, false, people, 1 + number % 2));
        }
        // The county's seat comes first and has most.
        let wanted = if centres.is_empty() { MOST } else { 3 + world.dice("township", centres.len()).below(MOST - 3) };
        centres.push(centre(world, township, true, (from, share(before)), wanted));
        centres.extend(below);
    }
    centres
}

fn centre(world: &World, unit: &Unit, township: bool, people: (usize, usize), wanted: usize) -> Centre {
    let code: usize = unit.code.parse().unwrap_or_default();
    let mut dice = world.dice("centre", code);
    let existing: Vec<_> =
        world.facts.windows.iter().filter(|(at, _)| *at == unit.id).map(|(_, name)| name.as_str()).collect();
    let names = if township { TOWNSHIP_WINDOWS } else { VILLAGE_WINDOWS };
    let names = names.iter().filter(|name| !existing.contains(name));
    let names: Vec<_> = names.take(wanted.saturating_sub(existing.len()).max(1)).collect();
    let role = if township { Role::TownshipStaff } else { Role::VillageCadre };
    let mut staff: Vec<_> = (0..names.len()).map(|number| member(world, &mut dice, unit, number, role)).collect();
    let windows = names.iter().zip(&staff).enumerate();
    let windows =
        windows.map(|(number, (name, officer))| window(world, &mut dice, township, (number, name), officer.id));
    let windows = windows.collect();
    if !township {
        staff.push(member(world, &mut dice, unit, staff.len(), Role::Specialist));
    }
    let officer = staff.first().map(|member| member.id).unwrap_or_default();
    Centre { unit: unit.id, code: unit.code.clone(), township, people, windows, officer, staff }
}

fn member(world: &World, dice: &mut Dice, unit: &Unit, number: usize, role: Role) -> Member {
    let (woman, age) = (dice.percent(50), dice.between(24, 58));
    let username = format!("{ACCOUNT}{}.{}", unit.code, number + 1);
    Member { id: dice.id(world.registered(0)), username, name: names::person(dice, woman, age), role }
}

fn window(world: &World, dice: &mut Dice, township: bool, (number, name): (usize, &str), officer: Uuid) -> Window {
    let at = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    // The first window of a centre does everything.
    let kinds = &world.facts.matters;
    let served =
        |place: usize| !township || number == 0 || (place + number).is_multiple_of(3) || place % 5 == number % 5;
    let matters = kinds.iter().enumerate().filter(|(place, _)| served(*place)).map(|(_, matter)| *matter).collect();
    let (minutes, public) = match township {
        true => (*dice.pick(&[15, 20, 30]), dice.between(2, 4) as i16),
        false => (30, dice.between(1, 2) as i16),
    };
    let afternoon = *dice.pick(&[(at(14, 30), at(17, 30)), (at(14, 0), at(17, 0))]);
    Window {
        id: dice.id(world.registered(0)),
        name: name.to_owned(),
        officer,
        matters,
        minutes,
        capacity: [public, 1, 1],
        hours: [(at(8, 0), at(11, 30)), afternoon],
    }
}

#[derive(Insertable)]
#[diesel(table_name = staff, treat_none_as_default_value = false)]
struct NewStaff {
    county_id: i32,
    id: Uuid,
    username: String,
    display_name: String,
    password_hash: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    active_since: DateTime<Utc>,
}

#[derive(Insertable)]
#[diesel(table_name = staff_posts, treat_none_as_default_value = false)]
struct NewPost {
    county_id: i32,
    id: Uuid,
    staff_id: Uuid,
    role: Role,
    unit_id: Uuid,
    since: DateTime<Utc>,
}

#[derive(Insertable)]
#[diesel(table_name = windows, treat_none_as_default_value = false)]
struct NewWindow {
    county_id: i32,
    id: Uuid,
    unit_id: Uuid,
    name: String,
    officer_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Insertable)]
#[diesel(table_name = window_matters, treat_none_as_default_value = false)]
struct NewServed {
    county_id: i32,
    window_id: Uuid,
    matter_id: Uuid,
}

#[derive(Insertable)]
#[diesel(table_name = opening_rules, treat_none_as_default_value = false)]
struct NewRule {
    county_id: i32,
    id: Uuid,
    window_id: Uuid,
    weekdays: i16,
    opens_at: NaiveTime,
    closes_at: NaiveTime,
    slot_minutes: i16,
    capacity_public: i16,
    capacity_proxy: i16,
    capacity_desk: i16,
    valid_from: NaiveDate,
}

#[derive(Default)]
struct Rows {
    staff: Vec<NewStaff>,
    posts: Vec<NewPost>,
    windows: Vec<NewWindow>,
    served: Vec<NewServed>,
    rules: Vec<NewRule>,
}

/// Windows, hours and staff in one transaction: a county is begun or it is not, and of two runs at once one fails on a name.
pub async fn make(world: &World) -> anyhow::Result<usize> {
    // One password for all, as the sample county has it; elsewhere accounts without one, which an administrator opens.
    let password = match world.app.config.is_development() {
        true => Some(tokio::task::spawn_blocking(|| crypto::hash_password(sample::PASSWORD)).await?),
        false => None,
    };
    let mut rows = Rows::default();
    for centre in &world.centres {
        add(world, centre, password.as_ref(), &mut rows);
    }
    let written = world.app.db.write("generate", move |conn| {
        diesel::copy_from(staff::table).from_insertable(&rows.staff).execute(conn)?;
        diesel::copy_from(staff_posts::table).from_insertable(&rows.posts).execute(conn)?;
        let made = diesel::copy_from(windows::table).from_insertable(&rows.windows).execute(conn)?;
        diesel::copy_from(window_matters::table).from_insertable(&rows.served).execute(conn)?;
        diesel::copy_from(opening_rules::table).from_insertable(&rows.rules).execute(conn)?;
        Ok(made)
    });
    Ok(written.await?)
}

fn add(world: &World, centre: &Centre, password: Option<&String>, rows: &mut Rows) {
    let (county_id, at) = (world.county, world.registered(0));
    let mut dice = world.dice("centre.rows", centre.code.parse().unwrap_or_default());
    for Member { id, username, name, role } in &centre.staff {
        rows.staff.push(NewStaff {
            county_id,
            id: *id,
            username: username.clone(),
            display_name: name.clone(),
            password_hash: password.cloned(),
            created_at: at,
            updated_at: at,
            // Whoever has not logged in for long is disabled: these begin today.
            active_since: world.now,
        });
        rows.posts.push(NewPost {
            county_id,
            id: dice.id(at),
            staff_id: *id,
            role: *role,
            unit_id: centre.unit,
            since: at,
        });
    }
    for window in &centre.windows {
        let (window_id, [capacity_public, capacity_proxy, capacity_desk]) = (window.id, window.capacity);
        let (name, officer_id) = (window.name.clone(), Some(window.officer));
        rows.windows.push(NewWindow {
            county_id,
            id: window_id,
            unit_id: centre.unit,
            name,
            officer_id,
            created_at: at,
            updated_at: at,
        });
        rows.served.extend(window.matters.iter().map(|matter| NewServed { county_id, window_id, matter_id: *matter }));
        rows.rules.extend(window.hours.iter().map(|(opens_at, closes_at)| NewRule {
            county_id,
            id: dice.id(at),
            window_id,
            weekdays: 0b001_1111,
            opens_at: *opens_at,
            closes_at: *closes_at,
            slot_minutes: window.minutes,
            capacity_public,
            capacity_proxy,
            capacity_desk,
            valid_from: world.begin(),
        }));
    }
}
