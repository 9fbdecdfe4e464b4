//! Units, and the import of divisions.

use lianxin::units::import;

use crate::harness::TestApp;

const FILE: &[u8] = include_bytes!("../../data/datian-divisions.csv");

#[actix_web::test]
async fn the_real_county_can_be_walked_page_by_page() {
    let t = TestApp::new().await;
    let first = t.get("/v1/units?county=350425&level=township&limit=10&count=true").send().await.ok();
    assert_eq!(first["total"], 19);
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = t.get(&format!("/v1/units?county=350425&level=township&limit=10&cursor={cursor}")).send().await.ok();
    let names = |page: &serde_json::Value| -> Vec<String> {
        page["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|unit| unit["name"].as_str().expect("a name").into())
            .collect()
    };
    let all: std::collections::BTreeSet<_> = names(&first).into_iter().chain(names(&second)).collect();
    assert_eq!((names(&first).len(), names(&second).len(), all.len()), (10, 9, 19));
    assert!(second["next_cursor"].is_null());
    let junxi = t.unit("均溪镇").await;
    let villages = t.get(&format!("/v1/units?county=350425&parent_id={junxi}&limit=200")).send().await.ok();
    assert!(villages["items"].as_array().expect("items").iter().all(|unit| unit["level"] == "village"));
}

#[actix_web::test]
async fn a_unit_answers_304_to_its_etag_and_404_elsewhere() {
    let t = TestApp::new().await;
    let id = t.unit("均溪镇").await;
    let reply = t.get(&format!("/v1/units/{id}?county=350425")).send().await.is(200);
    assert_eq!(reply["division_code"], "350425100000");
    assert!(reply.header("cache-control").contains("max-age"));
    let again = t.get(&format!("/v1/units/{id}?county=350425")).header("if-none-match", reply.header("etag"));
    let again = again.send().await.is(304);
    assert!(again.bytes.is_empty());
    t.get(&format!("/v1/units/{id}?county=999999")).send().await.problem(404, "not_found");
    t.get("/v1/units/0199a0c0-0000-7000-8000-000000000001?county=350425").send().await.problem(404, "not_found");
    t.get("/v1/units/not-a-uuid?county=350425").send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn importing_again_changes_nothing_and_a_new_name_keeps_the_id() {
    let t = TestApp::new().await;
    let again = import::import(&t.app, FILE, "statistics_bureau", Some("2023"), false).await.expect("imports");
    assert_eq!((again.created, again.changed, again.unchanged), (0, 0, 299));
    let id = t.unit("均溪镇").await;
    let renamed = String::from_utf8(FILE.to_vec()).expect("UTF-8").replace("township,均溪镇", "township,均溪新镇");
    let dry =
        import::import(&t.app, renamed.as_bytes(), "statistics_bureau", Some("2023"), true).await.expect("imports");
    assert_eq!((dry.created, dry.changed), (0, 1));
    assert_eq!(
        t.database.count("SELECT count(*) AS n FROM units WHERE name = '均溪新镇'"),
        0,
        "a dry run writes nothing"
    );
    import::import(&t.app, renamed.as_bytes(), "statistics_bureau", Some("2023"), false).await.expect("imports");
    t.app.rendered.forget();
    assert_eq!(t.unit("均溪新镇").await, id);
}

#[actix_web::test]
async fn a_bad_file_imports_nothing() {
    let t = TestApp::new().await;
    let before = t.database.everything();
    let bad =
        "division_code,level,name,parent_code\n350426000000,county,尤溪县,\n350426100000,township,,350426000000\n";
    let refusal =
        import::import(&t.app, bad.as_bytes(), "statistics_bureau", None, false).await.expect_err("a nameless town");
    assert!(refusal.to_string().contains("line 3"), "{refusal}");
    assert_eq!(t.database.everything(), before);
}

/// The other ministry's codes are other attributes of other rows: nothing of the first list is touched.
#[actix_web::test]
async fn two_ministries_may_number_differently() {
    let t = TestApp::new().await;
    let other = "division_code,level,name,parent_code\n350425000000,county,大田县,\n350425108000,township,吴山镇,350425000000\n";
    let imported = import::import(&t.app, other.as_bytes(), "civil_affairs", None, false).await.expect("imports");
    assert_eq!(imported.created, 2);
    let same = "SELECT count(*) AS n FROM units WHERE division_code = '350425108000'";
    assert_eq!(t.database.count(same), 2);
}

#[actix_web::test]
async fn the_command_line_imports_and_names_the_line() {
    let t = TestApp::new().await;
    let run = |args: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_lianxin"))
            .args(args)
            .env("LIANXIN_MODE", "development")
            .env("DATABASE_URL", &t.database.service_url)
            .env("LOG", "error")
            .output()
            .expect("runs")
    };
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/working-calendar.csv");
    let output = run(&["import", "calendar", "--dry-run", file]);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && words.contains("254 unchanged"), "{words}");
    let bad = std::env::temp_dir().join(format!("bad-{}.csv", std::process::id()));
    std::fs::write(&bad, "date,kind,name\n2027-13-01,holiday,元旦\n").expect("written");
    let output = run(&["import", "calendar", bad.to_str().expect("a path")]);
    std::fs::remove_file(&bad).expect("removed");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("line 2"), "{words}");
}
