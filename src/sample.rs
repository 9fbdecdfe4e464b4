//! The sample county of development: the real Datian (大田县) with demo accounts, matters, windows and opening hours.

use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::PgConnection;
use uuid::Uuid;

use crate::{
    app::App,
    audit::Actor,
    calendar,
    consents::{self, Purpose},
    crypto, departments,
    helpers::{self, HelperKind},
    households::{self, PutHouseholdTagKind, TagKindState, TagPurpose, WriteVisitCategory},
    http::permissions::Role,
    matters, messages,
    orders::{
        self,
        kinds::{Dispatch, Evidence},
    },
    staff, units,
    wechat::{self, fake},
    windows::{self, Rule},
};

/// Tenant key of the sample county.
pub const COUNTY: &str = "350425";
/// The password of every demo account. Development only.
pub const PASSWORD: &str = "lianxin-demo";

const DIVISIONS: &[u8] = include_bytes!("../data/datian-divisions.csv");
const CALENDAR: &[u8] = include_bytes!("../data/working-calendar.csv");
const CONSENT_TEXTS: &[u8] = include_bytes!("../data/consent-texts.csv");
const CATALOGUE: &[u8] = include_bytes!("../data/catalogue.json");

/// Subscription templates that the fake WeChat knows.
const TEMPLATES: &[(messages::Kind, &str)] = &[
    (messages::Kind::AppointmentBooked, "fake-template-booked"),
    (messages::Kind::ProxyBooked, "fake-template-booked"),
    (messages::Kind::AppointmentChanged, "fake-template-changed"),
    (messages::Kind::AppointmentCancelled, "fake-template-cancelled"),
    (messages::Kind::AppointmentTomorrow, "fake-template-reminder"),
    (messages::Kind::AppointmentSoon, "fake-template-reminder"),
    (messages::Kind::PlaceOffered, "fake-template-waiting"),
    (messages::Kind::TicketCalled, "fake-template-called"),
];

/// User name, display name, role, unit.
pub const ACCOUNTS: &[(&str, &str, Role, Option<&str>)] = &[
    ("admin", "县管理员", Role::CountyAdmin, None),
    ("supervisor", "督查员", Role::Supervisor, Some("大田县")),
    ("civil.affairs", "县民政局", Role::DepartmentStaff, None),
    ("junxi", "均溪镇工作人员", Role::TownshipStaff, Some("均溪镇")),
    ("cadre", "红星村代办员", Role::VillageCadre, Some("红星村委会")),
    ("specialist", "红星村特派员", Role::Specialist, Some("红星村委会")),
];

/// What helpers are asked for, with the dialects of the place: key, Chinese, English.
pub const SKILLS: &[(&str, &str, &str)] = &[
    ("policy", "政策解答", "answering questions about policies"),
    ("writing", "文书代写", "drafting documents"),
    ("party_study", "党课宣讲", "teaching party classes"),
    ("care", "生活照料", "home care"),
    ("repair", "水电小修", "small repairs"),
    ("cooking", "做饭", "cooking"),
    ("driving", "驾驶", "driving"),
    ("datian_dialect", "大田话", "the dialect of Datian"),
    ("minnan_dialect", "闽南话", "Southern Min"),
];

/// How often households are seen: name, every so many days, within so many.
const CATEGORIES: &[(&str, i16, i16)] = &[("重点关爱户", 30, 10), ("一般户", 90, 30), ("联系户", 180, 60)];

/// What is said of households, and the consent that it rests on.
const TAGS: &[(&str, &str, &str, Option<TagPurpose>)] = &[
    ("living_alone", "独居", "living alone", None),
    ("empty_nest", "空巢老人", "old people by themselves", None),
    ("disabled", "残疾人户", "disabled member", Some(TagPurpose::Health)),
    ("long_illness", "长期患病", "long illness", Some(TagPurpose::Health)),
    ("left_behind_child", "留守儿童", "left-behind child", Some(TagPurpose::Under14)),
    ("subsistence", "低保户", "subsistence allowance", None),
];

/// A kind of order of the sample county: name, what it is, skills, minutes, evidence, money, who takes it, how it comes to them.
type SampleKind =
    (&'static str, &'static str, &'static [&'static str], i16, Evidence, bool, &'static [HelperKind], Dispatch);

const STAFF: &[HelperKind] = &[HelperKind::Specialist, HelperKind::Cadre];
const ANYBODY: &[HelperKind] =
    &[HelperKind::Specialist, HelperKind::Cadre, HelperKind::Volunteer, HelperKind::CareStaff];

/// What can be ordered.
pub const ORDER_KINDS: &[SampleKind] = &[
    ("政策咨询", "上门讲解惠民政策", &[], 30, Evidence::Note, false, STAFF, Dispatch::GrabThenAssign),
    ("文书代写", "申请书、证明等文书代写", &["writing"], 60, Evidence::Note, false, ANYBODY, Dispatch::GrabThenAssign),
    ("代盖公章", "代到村（社区）、乡镇盖章", &[], 60, Evidence::Photo, false, STAFF, Dispatch::GrabThenAssign),
    ("送学上门", "为行动不便的党员送学", &["party_study"], 60, Evidence::Note, false, STAFF, Dispatch::Assign),
    ("费用代缴", "水电、电话、有线电视等费用代缴", &[], 60, Evidence::Photo, true, ANYBODY, Dispatch::GrabThenAssign),
    ("证件代办", "代取代送证件", &[], 90, Evidence::Photo, false, STAFF, Dispatch::GrabThenAssign),
    ("日用品代购", "米面油盐等日用品代购", &[], 60, Evidence::Photo, true, ANYBODY, Dispatch::GrabThenAssign),
    ("助餐", "送餐上门", &[], 30, Evidence::None, false, ANYBODY, Dispatch::Grab),
    (
        "生活照料",
        "生活照料、陪护、陪同就医",
        &["care"],
        120,
        Evidence::Note,
        false,
        &[HelperKind::Volunteer, HelperKind::CareStaff],
        Dispatch::GrabThenAssign,
    ),
    ("水电小修", "灯具、水龙头等小修", &["repair"], 60, Evidence::Photo, false, ANYBODY, Dispatch::GrabThenAssign),
];

fn order_kinds(conn: &mut PgConnection, county: i32, now: DateTime<Utc>) -> crate::error::Result<()> {
    for &(name, about, skills, duration_minutes, evidence, money, taken_by, dispatch) in ORDER_KINDS {
        let said = orders::kinds::KindSaid {
            name: name.to_owned(),
            description: Some(about.to_owned()),
            state: orders::kinds::OrderKindState::Active,
            form: None,
            skills: skills.iter().map(|skill| (*skill).to_owned()).collect(),
            duration_minutes,
            evidence,
            money,
            taken_by: taken_by.to_vec(),
            dispatch,
            grab_minutes: 10,
            start_minutes: 30,
        };
        orders::kinds::insert(conn, county, Uuid::now_v7(), &said, now)?;
    }
    Ok(())
}

/// Fills an empty installation; one that has the county stays as it is.
pub async fn load(app: &App) -> Result<()> {
    anyhow::ensure!(app.config.is_development(), "the sample county is for development");
    let known = app.counties.find(app, COUNTY).await?.map(|county| county.id);
    if let Some(county) = known
        && app.db.read("sample", move |conn| staff::store::account(conn, county, "admin")).await?.is_some()
    {
        return bring_up_to_date(app, county).await;
    }
    calendar::import::import(app, CALENDAR, false, true).await?;
    units::import::import(app, DIVISIONS, "statistics_bureau", Some("2023"), false).await?;
    let county = app.counties.find(app, COUNTY).await?.context("just imported")?.id;
    let secret = app.keys.seal(county, wechat::SECRET_PLACE, fake::SECRET.as_bytes());
    let hash = tokio::task::spawn_blocking(|| crypto::hash_password(PASSWORD)).await?;
    let texts: Vec<(Purpose, String, String)> = csv::Reader::from_reader(CONSENT_TEXTS)
        .deserialize()
        .collect::<Result<_, _>>()
        .context("data/consent-texts.csv")?;
    let now = app.clock.now();
    let filled = app.db.write("sample", move |conn| {
        units::store::set_wechat(conn, county, fake::APPID, &secret)?;
        for (kind, template) in TEMPLATES {
            messages::set_template(conn, county, *kind, template, now)?;
        }
        let unit = |conn: &mut _, name: &str| {
            let levels = [units::Level::County, units::Level::Township, units::Level::Village];
            let mut found = None;
            for level in levels {
                found = found.or(units::store::find_by_name(conn, county, level, name)?);
            }
            found.map(|unit| unit.id).ok_or_else(|| crate::error::Error::internal(format!("no unit {name}")))
        };
        for (username, display_name, role, name) in ACCOUNTS {
            let post = (*role, unit(conn, name.unwrap_or("大田县"))?);
            staff::store::insert(conn, county, (username, display_name, &hash), post, now)?;
        }
        for (purpose, zh, en) in &texts {
            consents::store::publish(conn, (county, *purpose), (zh, en), now, (None, now))?;
        }
        catalogue(conn, county, now)?;
        skills(conn, county, now)?;
        order_kinds(conn, county, now)?;
        visits(conn, county, now)?;
        let served: Vec<_> =
            matters::store::list(conn, county, None, None, 200)?.iter().map(|matter| matter.id).collect();
        for (town, name, places) in [
            ("均溪镇", "民生事务窗口", 4),
            ("均溪镇", "代办服务窗口", 2),
            ("石牌镇", "综合窗口", 2),
            ("上京镇", "综合窗口", 2),
            ("广平镇", "综合窗口", 2),
            ("太华镇", "综合窗口", 2),
        ] {
            let town = unit(conn, town)?;
            let window = windows::store::insert(conn, county, (town, name, None), now)?;
            windows::store::serve(conn, county, window.id, &served)?;
            for (opens, closes) in [((8, 0), (11, 30)), ((14, 30), (17, 30))] {
                windows::store::insert_rule(conn, county, &rule(window.id, opens, closes, places))?;
            }
        }
        Ok(())
    });
    filled.await?;
    // What was remembered has no mini-program yet.
    app.counties.forget();
    Ok(())
}

/// What an installation from before lacks; matters that it has keep their ids.
async fn bring_up_to_date(app: &App, county: i32) -> Result<()> {
    let now = app.clock.now();
    let filled = app.db.write("sample", move |conn| {
        if departments::all(conn, county)?.is_empty() {
            catalogue(conn, county, now)?;
        }
        if !helpers::has_skills(conn, county)? {
            skills(conn, county, now)?;
        }
        if orders::kinds::count(conn, county, None)? == 0 {
            order_kinds(conn, county, now)?;
        }
        if households::categories(conn, county)?.is_empty() {
            visits(conn, county, now)?;
        }
        Ok(())
    });
    Ok(filled.await?)
}

fn visits(conn: &mut PgConnection, county: i32, now: DateTime<Utc>) -> crate::error::Result<()> {
    for (name, every_days, window_days) in CATEGORIES {
        let (name, every_days, window_days) = ((*name).to_owned(), *every_days, *window_days);
        let new = WriteVisitCategory { name, every_days, window_days, state: None };
        households::insert_category(conn, (county, Uuid::now_v7()), &new, now)?;
    }
    for (key, zh, en, consent) in TAGS {
        let (name_zh, name_en) = ((*zh).to_owned(), (*en).to_owned());
        let new = PutHouseholdTagKind { name_zh, name_en, consent: *consent, state: TagKindState::Active };
        households::write_tag_kind(conn, (county, key), &new, now)?;
    }
    Ok(())
}

fn skills(conn: &mut PgConnection, county: i32, now: DateTime<Utc>) -> crate::error::Result<()> {
    for (key, zh, en) in SKILLS {
        let (key, name_zh, name_en) = ((*key).to_owned(), (*zh).to_owned(), (*en).to_owned());
        let skill = helpers::Skill { key, name_zh, name_en, state: helpers::SkillState::Active };
        helpers::write_skill(conn, county, &skill, now)?;
    }
    Ok(())
}

/// Departments, matters and their versions, in effect since the beginning of the year; and whose department `civil.affairs` is.
fn catalogue(conn: &mut PgConnection, county: i32, now: DateTime<Utc>) -> crate::error::Result<()> {
    let read = matters::file::read(CATALOGUE)?;
    let today = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default();
    let by = matters::import::By { actor: Actor::operator(county), staff: None, now, today };
    let plan = matters::import::run(conn, county, &read, by, None)?;
    if let Some(fault) = plan.faults.first() {
        return Err(crate::error::Error::internal(format!("data/catalogue.json: {fault:?}")));
    }
    let civil_affairs = departments::all(conn, county)?.into_iter().find(|department| department.name == "县民政局");
    let Some(account) = staff::store::account(conn, county, "civil.affairs")? else { return Ok(()) };
    for post in staff::store::posts(conn, county, &[account.id])? {
        staff::store::set_department(conn, county, post.id, civil_affairs.as_ref().map(|department| department.id))?;
    }
    Ok(())
}

/// Points the sample county's SMS at the gateway that stands beside the fake WeChat; its address changes with every start.
pub async fn use_fake_sms(app: &App, wechat_url: &str) -> Result<()> {
    let county = app.counties.find(app, COUNTY).await?.context("the sample county is there")?.id;
    let secret = app.keys.seal(county, messages::sms::SECRET_PLACE, fake::SMS_SECRET.as_bytes());
    let url = format!("{}/sms", wechat_url.trim_end_matches('/'));
    app.db.write("fake_sms", move |conn| Ok(units::store::set_sms(conn, county, &url, &secret)?)).await?;
    app.counties.forget();
    Ok(())
}

/// Every workday, half-hour slots.
fn rule(window_id: Uuid, opens: (u32, u32), closes: (u32, u32), places: i16) -> Rule {
    let time = |(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    Rule {
        id: Uuid::now_v7(),
        window_id,
        weekdays: 0b001_1111,
        opens_at: time(opens),
        closes_at: time(closes),
        slot_minutes: 30,
        capacity_public: places,
        capacity_proxy: 1,
        capacity_desk: 1,
        valid_from: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default(),
        valid_until: None,
        place: windows::Place::Centre,
        every_weeks: 1,
    }
}
