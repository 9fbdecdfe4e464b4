//! The generated county: the same from the same seed, within opening, with right numbers, and never twice.

use lianxin::{
    generator::{self, Made, Order, Size},
    people::IdNumber,
};

use crate::harness::TestApp;

const SIZE: Size = Size {
    residents: 120,
    past_appointments: 600,
    past_errands: 150,
    open_errands: 60,
    past_orders: 80,
    open_orders: 40,
    volunteers: 30,
    ratings: 40,
    households: 20,
    visits: 90,
};

fn order(seed: u64) -> Order {
    Order { county: "350425".into(), size: SIZE, seed }
}

async fn generated(seed: u64) -> TestApp {
    let t = TestApp::new().await;
    assert!(matches!(
        generator::run(&t.app.clone().into_inner(), &order(seed)).await.expect("generates"),
        Made::Rows(_)
    ));
    t
}

/// Rows without what is sealed.
fn plain(t: &TestApp) -> Vec<String> {
    let tables = [
        ("windows", "county_id, id, unit_id, name, officer_id, created_at"),
        ("opening_rules", "*"),
        ("window_matters", "*"),
        ("staff", "county_id, id, username, display_name, created_at"),
        ("staff_posts", "*"),
        (
            "residents",
            "id, unit_id, name_index, id_number_index, phone_index, wechat_openid_index, identity_level, identity_seen, registered_by, created_at",
        ),
        ("consents", "id, resident_id, purpose, version, answer, how, by_staff, at"),
        ("appointments", "*"),
        ("mandates", "*"),
        ("errands", "*"),
        ("errand_ledger", "*"),
        (
            "orders",
            "id, number, kind_id, resident_id, unit_id, state, wanted_from, wanted_until, lng, lat, holder_id, started_at, moves, created_at",
        ),
        ("order_moves", "*"),
        ("helpers", "id, kind, resident_id, unit_id, state, skills, lng, lat, radius_m, decided_by, created_at"),
        ("helper_hours", "*"),
        ("helper_decisions", "*"),
        ("ratings", "*"),
        ("rating_entries", "id, rating_id, seq, grade, reasons, given_how, given_by, at"),
        ("households", "id, unit_id, holder_id, category_id, name_index, lng, lat, created_at"),
        ("household_members", "*"),
        ("household_points", "*"),
        ("visits", "*"),
    ];
    let digest = |(table, columns): &(&str, &str)| {
        let sql = format!(
            "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) AS text FROM (SELECT {columns} FROM {table}) t"
        );
        format!("{table} {}", t.database.text(&sql))
    };
    tables.iter().map(digest).collect()
}

#[actix_web::test]
async fn the_same_seed_gives_the_same_county() {
    let (one, other, third) = (generated(7).await, generated(7).await, generated(8).await);
    assert_eq!(plain(&one), plain(&other));
    let different = plain(&one).iter().zip(plain(&third)).filter(|(one, third)| **one != *third).count();
    assert!(different >= 5, "another seed, another county");
}

#[actix_web::test]
async fn it_is_full_once_and_fits() {
    let t = generated(1).await;
    let count = |sql: &str| t.database.count(&format!("SELECT count(*) AS n FROM {sql}"));
    assert_eq!((count("residents"), count("appointments WHERE on_date < '2026-11-23'")), (120, 600));
    assert!(count("appointments WHERE state = 'booked' AND on_date >= '2026-11-23'") > 100);
    // Shares of how they ended, roughly.
    let share = |state: &str| count(&format!("appointments WHERE state = '{state}' AND on_date < '2026-11-23'"));
    assert!(
        (430..=560).contains(&share("done"))
            && (30..=110).contains(&share("cancelled"))
            && (15..=80).contains(&share("no_show"))
    );
    let centres = "(SELECT u.level, count(w.id) AS n FROM units u LEFT JOIN windows w ON w.unit_id = u.id WHERE u.level <> 'county' GROUP BY u.id, u.level) c";
    assert_eq!(
        count(&format!(
            "{centres} WHERE n NOT BETWEEN CASE level WHEN 'township' THEN 3 ELSE 1 END AND CASE level WHEN 'township' THEN 12 ELSE 2 END"
        )),
        0
    );
    assert_eq!(
        count("units u WHERE name = '均溪镇' AND (SELECT count(*) FROM windows w WHERE w.unit_id = u.id) = 12"),
        1
    );
    // Never outside the hours of a rule, never between two slots, never on a day off.
    let outside = "appointments a WHERE NOT EXISTS (SELECT FROM opening_rules r WHERE r.window_id = a.window_id AND r.valid_from <= a.on_date \
        AND (a.starts_at AT TIME ZONE 'Asia/Shanghai')::time >= r.opens_at AND (a.ends_at AT TIME ZONE 'Asia/Shanghai')::time <= r.closes_at \
        AND a.ends_at - a.starts_at = r.slot_minutes * interval '1 minute' \
        AND extract(epoch FROM (a.starts_at AT TIME ZONE 'Asia/Shanghai')::time - r.opens_at)::int % (r.slot_minutes * 60) = 0)";
    assert_eq!(count(outside), 0);
    let off = "appointments a LEFT JOIN calendar_days c ON c.day = a.on_date \
        WHERE c.kind = 'holiday' OR (extract(isodow FROM a.on_date) > 5 AND c.kind IS DISTINCT FROM 'workday')";
    assert_eq!(count(off), 0);
    let overbooked =
        "(SELECT FROM appointments a GROUP BY window_id, starts_at, channel, capacity HAVING count(*) > capacity) o";
    assert_eq!(count(overbooked), 0);
    assert_eq!(
        count("appointments a JOIN window_matters m ON m.window_id = a.window_id AND m.matter_id = a.matter_id"),
        count("appointments")
    );
    // Where they live, or where the village belongs to.
    assert_eq!(
        count(
            "appointments a JOIN residents p ON p.id = a.resident_id JOIN units u ON u.id = p.unit_id WHERE a.unit_id NOT IN (u.id, u.parent_id)"
        ),
        0
    );
    // Seen now and then, each where they live.
    assert_eq!((count("households"), count("visits"), count("visits WHERE outcome <> 'seen'") < 25), (20, 90, true));
    assert_eq!(count("visit_tasks WHERE state = 'open'"), 20, "each is due");
    let elsewhere = "visits v JOIN households h ON h.id = v.household_id WHERE h.unit_id <> v.unit_id OR v.occurred_at > v.recorded_at";
    assert_eq!((count(elsewhere), count("changes WHERE entity = 'visit'")), (0, 0));
    // Nobody is told.
    assert_eq!((count("outbox"), count("messages"), count("todos")), (0, 0, 0));

    assert_eq!(generator::run(&t.app.clone().into_inner(), &order(1)).await.expect("answers"), Made::Before);
    assert_eq!(generator::run(&t.app.clone().into_inner(), &order(2)).await.expect("answers"), Made::Before);
    assert_eq!(count("residents"), 120);
}

#[actix_web::test]
async fn its_people_can_be_met() {
    let t = generated(1).await;
    let county =
        "SELECT id::text || ' ' || encode(id_number, 'hex') AS text FROM residents WHERE id_number IS NOT NULL";
    let mut numbers = std::collections::BTreeSet::new();
    for row in t.database.texts(county) {
        let (id, sealed) = row.split_once(' ').expect("two");
        let sealed = hex::decode(sealed).expect("hexadecimal");
        let number = t.app.keys.open_text(1, &format!("residents.id_number/{id}"), &sealed).expect("opens");
        let parsed: IdNumber = number.parse().expect("a number with a right check character");
        assert!((14..=96).contains(&parsed.age("2026-11-23".parse().expect("a day"))));
        assert!(numbers.insert(number), "a number twice");
    }
    assert!(numbers.len() > 50);
    // The fake WeChat lets one in as a generated person; staff log in with the password of all demo accounts.
    let number =
        t.database.text("SELECT id::text AS text FROM residents WHERE wechat_openid IS NOT NULL ORDER BY id LIMIT 1");
    let index = (0..120).find(|index| {
        let blind = hex::encode(t.app.keys.blind(1, "wechat_openid", &format!("o-p{index}")));
        t.database.count(&format!("SELECT count(*) AS n FROM residents WHERE id = '{number}' AND encode(wechat_openid_index, 'hex') = '{blind}'")) == 1
    });
    let session = t.resident(&format!("p{}", index.expect("one of them"))).await;
    assert_eq!(session.subject.to_string(), number);
    let me = t.get(&format!("/v1/residents/{number}")).by(&session).send().await.ok();
    assert!(me["name"].as_str().is_some_and(|name| name.chars().count() >= 2 && !name.contains('*')));
}

/// By the service's own eyes: the chain of every ledger, the clock of every open one, and lists that say the same as the numbers.
#[actix_web::test]
async fn its_errands_are_what_their_ledgers_tell() {
    let t = generated(1).await;
    let count = |sql: &str| t.database.count(&format!("SELECT count(*) AS n FROM {sql}"));
    assert_eq!(count("errands"), 210);
    // Nobody is asked for anything today: no silence that accepts, no rung to climb.
    lianxin::errands::sweeps::run(&t.app.clone().into_inner()).await.expect("swept");
    assert_eq!((count("todos"), count("outbox"), count("changes WHERE entity = 'errand'")), (0, 0, 0));
    let archived = count("errands WHERE state = 'archived'");
    assert!((125..=150).contains(&archived), "{archived}");
    for state in ["submitted", "supplement_requested", "accepted", "handling", "forwarded"] {
        assert!(count(&format!("errands WHERE state = '{state}'")) > 0, "{state}");
    }
    let admin = t.staff("admin").await;
    let county = t.database.text("SELECT id::text AS text FROM units WHERE level = 'county' AND county_id = 1");
    let mut cursor = String::new();
    let (mut lamps, mut seen) = (std::collections::BTreeMap::<String, i64>::new(), 0);
    loop {
        let path = format!("/v1/errands?unit_id={county}&limit=100{cursor}");
        let page = t.get(&path).by(&admin).send().await.ok();
        for errand in page["items"].as_array().expect("items") {
            let path = format!("/v1/errands/{}", errand["id"].as_str().expect("an id"));
            let told = t.get(&format!("{path}/ledger")).by(&admin).send().await.ok();
            assert_eq!(told["broken_at"], serde_json::Value::Null, "{told}");
            let entries = told["entries"].as_array().expect("entries");
            assert_eq!(entries.last().expect("a last one")["to_state"], errand["state"]);
            assert!(entries.is_sorted_by_key(|entry| entry["at"].as_str().expect("a time").to_owned()), "{told}");
            let clock = t.get(&format!("{path}/clock")).by(&admin).send().await.ok();
            assert_eq!(clock["due_on"], errand["due_on"], "{errand} {clock}");
            *lamps.entry(errand["lamp"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
            seen += 1;
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, 210);
    for lamp in ["green", "yellow", "red"] {
        let path = format!("/v1/errands?unit_id={county}&lamp={lamp}&count=true&limit=1");
        let page = t.get(&path).by(&admin).send().await.ok();
        assert_eq!(page["total"], lamps[lamp], "{lamp}");
        assert!(lamps[lamp] > 0, "{lamp}");
    }
    for by in ["unit", "matter"] {
        let path = format!("/v1/errands/numbers?by={by}&from=2025-12-01&to=2026-11-23");
        let numbers = t.get(&path).by(&admin).send().await.ok();
        let sum = |name: &str| {
            numbers["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|item| item[name].as_i64().expect("a number"))
                .sum::<i64>()
        };
        let (decided, open) = (
            count("errands WHERE decided_on >= '2025-12-01'"),
            count("errands WHERE due_on IS NOT NULL OR back_to IS NOT NULL"),
        );
        assert_eq!((sum("overdue"), sum("nearly_overdue")), (lamps["red"], lamps["yellow"]), "{by}");
        assert_eq!((sum("decided"), sum("open")), (decided, open), "{by}");
        assert!(sum("on_time") * 100 >= decided * 85, "{by}");
    }
    // Only on working days, but for what the system does.
    let off = "errand_ledger l LEFT JOIN calendar_days c ON c.day = (l.at AT TIME ZONE 'Asia/Shanghai')::date \
        WHERE l.actor_id IS NOT NULL AND (c.kind = 'holiday' OR (extract(isodow FROM l.at AT TIME ZONE 'Asia/Shanghai') > 5 AND c.kind IS DISTINCT FROM 'workday'))";
    assert_eq!(count(off), 0);
    assert_eq!(
        count(
            "errands e JOIN mandates m ON m.id = e.mandate_id WHERE m.resident_id = e.resident_id AND m.agent_id = e.filed_by"
        ),
        count("errands WHERE filed_by IS NOT NULL")
    );
    assert!(count("mandates") > 20);
}

#[actix_web::test]
async fn the_day_of_a_centre_is_one_statement_whatever_lies_before() {
    let t = generated(1).await;
    let (unit, junxi, cadre) = (t.unit("均溪镇").await, t.staff("junxi").await, t.staff("cadre").await);
    let here = format!("a.unit_id = '{unit}'");
    let day = t
        .database
        .text(&format!("SELECT max(on_date)::text AS text FROM appointments a WHERE {here} AND state = 'done'"));
    let path = format!("/v1/units/{unit}/day?date={day}");
    let view = t.get(&path).by(&junxi).send().await.ok();
    assert_eq!((&view["date"], &view["unit"]["name"]), (&day.as_str().into(), &"均溪镇".into()));
    let windows = view["windows"].as_array().expect("windows");
    assert_eq!(windows.len(), 12);
    assert!(windows.iter().any(|window| window["officer"]["name"].is_string()));
    let listed = view["appointments"].as_array().expect("appointments");
    let stored =
        t.database.count(&format!("SELECT count(*) AS n FROM appointments a WHERE {here} AND on_date = '{day}'"));
    assert_eq!((listed.len() as i64, stored > 0), (stored, true));
    assert!(listed.is_sorted_by_key(|appointment| appointment["starts_at"].as_str().expect("a time").to_owned()));
    let done = listed.iter().find(|appointment| appointment["state"] == "done").expect("somebody came");
    assert!(done["resident_name"].as_str().is_some_and(|name| name.contains('*')));
    assert!(done["ticket"].as_str().is_some_and(|ticket| ticket.starts_with('A')));
    // Who may: the county and the township, not another village, no resident. Days that are none of ours.
    t.get(&path).by(&t.staff("admin").await).send().await.ok();
    t.get(&path).by(&t.staff("supervisor").await).send().await.ok();
    t.get(&path).by(&cadre).send().await.problem(404, "not_found");
    t.get(&path).by(&t.resident("zhang").await).send().await.problem(404, "not_found");
    t.get(&format!("/v1/units/{unit}/day")).by(&junxi).send().await.ok();
    for date in ["-262143-01-01", "9999-12-31"] {
        t.get(&format!("/v1/units/{unit}/day?date={date}")).by(&junxi).send().await.problem(422, "invalid");
    }

    // The plan of the statement: a range of the index of unit and day, never the whole table.
    let plan = t.database.plan(&of_day(&unit.to_string(), &day));
    assert!(plan.contains("appointments_unit_day") && !plan.contains("Seq Scan on appointments"), "{plan}");
    assert!(!plan.contains("Seq Scan on residents"), "{plan}");
}

/// The server's own statement.
fn of_day(unit: &str, day: &str) -> String {
    let mut sql = lianxin::appointments::day::OfDay::SQL.to_owned();
    let binds = [
        ("county", "1".to_owned()),
        ("unit", format!("'{unit}'::uuid")),
        ("within", "NULL".to_owned()),
        ("me", "NULL::uuid".to_owned()),
        ("today", format!("'{day}'::date")),
        ("from", format!("'{day}T00:00:00+08:00'::timestamptz")),
        ("to", format!("'{day}T00:00:00+08:00'::timestamptz + interval '1 day'")),
        ("now", "now()".to_owned()),
    ];
    for (bind, value) in binds {
        sql = sql.replace(&format!("{{{bind}}}"), &value);
    }
    sql
}

#[actix_web::test]
async fn its_orders_stand_where_their_moves_lead() {
    let t = generated(1).await;
    let count = |sql: &str| t.database.count(&format!("SELECT count(*) AS n FROM {sql}"));
    assert_eq!((count("orders WHERE state = 'confirmed'"), count("orders WHERE state = 'open'")), (80, 40));
    assert_eq!((count("order_moves"), count("outbox"), count("todos")), (80 * 6 + 40, 0, 0));
    let of_the_village = "orders o JOIN residents r ON r.id = o.resident_id WHERE r.unit_id <> o.unit_id";
    assert_eq!(count(of_the_village), 0);
    // Nothing is due before its time is over.
    lianxin::orders::sweeps::run(&t.app.clone().into_inner()).await.expect("swept");
    assert_eq!(count("order_moves"), 80 * 6 + 40);
    let admin = t.staff("admin").await;
    let county = t.database.text("SELECT id::text AS text FROM units WHERE level = 'county' AND county_id = 1");
    let page =
        t.get(&format!("/v1/orders?unit_id={county}&state=confirmed&limit=5&count=true")).by(&admin).send().await.ok();
    assert_eq!(page["total"], 80);
    for order in page["items"].as_array().expect("items") {
        let path = format!("/v1/orders/{}/moves", order["id"].as_str().expect("an id"));
        let moves = t.get(&path).by(&admin).send().await.ok();
        let steps: Vec<_> = moves["items"].as_array().expect("items").iter().map(|one| one["step"].clone()).collect();
        assert_eq!(steps, ["order", "claim", "set_out", "start", "finish", "confirm"]);
    }
}

#[actix_web::test]
async fn its_volunteers_help_and_are_rated() {
    let t = TestApp::new().await;
    // With neighbours in the villages.
    let size = Size { residents: 3_000, past_orders: 300, volunteers: 300, ratings: 100, ..SIZE };
    let full = Order { size, ..order(1) };
    generator::run(&t.app.clone().into_inner(), &full).await.expect("generates");
    let count = |sql: &str| t.database.count(&format!("SELECT count(*) AS n FROM {sql}"));
    let (volunteers, active) =
        (count("helpers WHERE kind = 'volunteer'"), count("helpers WHERE kind = 'volunteer' AND state = 'active'"));
    assert!((280..=300).contains(&volunteers) && active < volunteers && active > 180, "{active} of {volunteers}");
    assert_eq!(count("helper_decisions"), active);
    assert_eq!(count("helpers h JOIN residents r ON r.id = h.resident_id WHERE r.unit_id <> h.unit_id"), 0);
    // Nobody did what they cannot, or for themselves, and every move is somebody's.
    let theirs = "orders o JOIN helpers h ON h.id = o.holder_id AND h.kind = 'volunteer' WHERE o.state = 'confirmed'";
    assert!(count(theirs) > 0);
    assert_eq!(
        count(&format!(
            "{theirs} AND NOT (o.skills <@ h.skills AND 'volunteer' = ANY (o.taken_by) AND h.resident_id <> o.resident_id AND h.state = 'active' AND h.decided_at < o.created_at)"
        )),
        0
    );
    let strangers = "order_moves m WHERE m.actor_role = 'resident' AND NOT EXISTS (SELECT FROM residents r WHERE r.id = m.actor_id)";
    assert_eq!(count(strangers), 0);
    // What was rated was done before, by whoever served, and the numbers tell the same.
    let ratings = count("ratings");
    assert!((90..=100).contains(&ratings), "{ratings}");
    let wrong = "ratings g LEFT JOIN orders o ON o.id = g.about_id AND o.resident_id = g.resident_id AND o.unit_id = g.unit_id AND o.state = 'confirmed' \
        AND o.ended_at < g.created_at AND o.holder_id = ANY (g.served_by) WHERE o.id IS NULL";
    assert_eq!((count(wrong), count("rating_entries")), (0, ratings));
    let (admin, helper) = (
        t.staff("admin").await,
        t.database.text("SELECT h.id::text AS text FROM orders o JOIN helpers h ON h.id = o.holder_id AND h.kind = 'volunteer' WHERE o.state = 'confirmed' AND o.ended_at >= '2026-01-01' ORDER BY o.id LIMIT 1"),
    );
    let hours = t.get(&format!("/v1/helpers/{helper}/hours?year=2026")).by(&admin).send().await.ok();
    let done = count(&format!("orders WHERE holder_id = '{helper}' AND ended_at >= '2026-01-01 00:00+08'"));
    assert_eq!(hours["orders"], done);
    let page = t.get("/v1/ratings?count=true&limit=1").by(&admin).send().await.ok();
    assert_eq!(page["total"], ratings);
}
