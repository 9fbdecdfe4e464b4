//! Importing households from a table: seen first, all or nothing, undone again.

use futures_util::future::join_all;
use rust_xlsxwriter::{Formula, Workbook};
use serde_json::{Value, json};

use crate::{
    harness::{Reply, Session, TestApp},
    households::{create, here, tell},
    merging::{id, register},
    visits::{check_in, visit},
};

const HEADER: &str = "code,unit,name,address,category,lng,lat,coordinate_system,note\n";

async fn import(t: &TestApp, by: &Session, rows: &str, preview: bool) -> Reply {
    // As Excel writes it in China.
    let file = format!("{HEADER}{rows}").replace("\r\n", "\n").replace('\n', "\r\n");
    let file = encoding_rs::GBK.encode(&file).0.into_owned();
    t.post(&format!("/v1/households/import?preview={preview}")).by(by).csv(file).send().await
}

async fn plain(t: &TestApp, by: &Session, household: &Value) -> Value {
    let path = format!("/v1/households/{}/reveal", id(household));
    t.post(&path).by(by).json(json!({"reason": "核对导入"})).send().await.ok()
}

#[actix_web::test]
async fn a_file_is_seen_first_then_imported_and_undone_where_nothing_has_happened() {
    let t = TestApp::new().await;
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    let one = create(&t, &cadre, "陈家", json!({"code": "A", "address": "1号", "point": here()})).await;
    let two = create(&t, &cadre, "林家", json!({})).await;
    let rows = "A,红星村委会,陈某家,2号,一般户,117.9,25.7,wgs84,\n,均溪镇/红星村委会,林家,3号,,,,,\nB,红星村委会,王家,4号,,,,,听力不好\n,红星村委会,林家,,,,,,\n";
    let twice = import(&t, &junxi, rows, false).await.problem(422, "invalid");
    assert_eq!(twice.faults(), ["/5/:twice"]);
    let rows = &rows[..rows.rfind(",红星村委会,林家").expect("the last line")];
    let before = t.database.count("SELECT count(*) AS n FROM changes");
    let seen = import(&t, &junxi, rows, true).await.ok();
    assert_eq!((&seen["created"], &seen["changed"], &seen["unchanged"]), (&json!(1), &json!(2), &json!(0)));
    assert_eq!(seen["lines"][0]["changes"][0], json!({"column": "name", "before": "陈*", "after": "陈*家"}));
    assert_eq!(t.database.count("SELECT count(*) AS n FROM changes"), before, "a preview changes nothing");
    t.post("/v1/households/import").by(&cadre).csv(Vec::new()).send().await.problem(403, "forbidden");

    let done = import(&t, &junxi, rows, false).await.ok();
    assert_eq!((&done["preview"], &done["lines"][0]["household_id"]), (&json!(false), &one["id"]));
    let now = plain(&t, &junxi, &one).await;
    assert_eq!((&now["name"], &now["address"], &now["point"]["lng"]), (&json!("陈某家"), &json!("2号"), &json!(117.9)));
    let made = json!({"id": done["lines"][2]["household_id"]});
    assert_eq!(plain(&t, &junxi, &made).await["note"], "听力不好");
    let again = import(&t, &junxi, rows, true).await.ok();
    assert_eq!(again["unchanged"], 3, "the same again changes nothing");

    // Something happens to one of them.
    tell(&t, &cadre, &two, "hand_over", json!({"holder_id": cadre.subject, "reason": "就近照看"})).await.ok();
    let undo = format!("/v1/household-imports/{}/undo", id(&done));
    t.post(&undo).by(&cadre).json(json!({})).send().await.problem(403, "forbidden");
    let undone = t.post(&undo).by(&junxi).json(json!({})).send().await.ok();
    assert_eq!((&undone["undone"], &undone["kept"]), (&json!(2), &json!(1)));
    assert_eq!((&undone["lines"][1]["household_id"], &undone["lines"][1]["undone"]), (&two["id"], &json!(false)));
    let back = plain(&t, &junxi, &one).await;
    assert_eq!((&back["name"], &back["address"]), (&json!("陈家"), &json!("1号")));
    assert!((back["point"]["lng"].as_f64().expect("a number") - 117.85).abs() < 0.01, "where it was");
    assert_eq!(plain(&t, &junxi, &two).await["address"], "3号");
    let gone = t.get(&format!("/v1/households/{}", id(&made))).by(&junxi).send().await.ok();
    assert_eq!((&gone["state"], &gone["name"]), (&json!("closed"), &Value::Null));
    t.post(&undo).by(&junxi).json(json!({})).send().await.problem(409, "import_undone");
    let listed = t.get("/v1/household-imports?count=true").by(&junxi).send().await.ok();
    assert_eq!((&listed["total"], &listed["items"][0]["undone_by"]), (&json!(1), &json!(junxi.subject)));
    let later = import(&t, &junxi, "C,红星村委会,赵家,,,,,,\n", false).await.ok();
    let first = t.get("/v1/household-imports?limit=1").by(&junxi).send().await.ok();
    let next = first["next_cursor"].as_str().expect("a second page");
    let second = t.get(&format!("/v1/household-imports?limit=1&cursor={next}")).by(&junxi).send().await.ok();
    assert_eq!((&second["items"][0]["id"], &second["next_cursor"]), (&later["id"], &Value::Null));
}

#[actix_web::test]
async fn the_longest_file_as_excel_writes_it_changes_everything_at_once() {
    let t = TestApp::new().await;
    let junxi = t.staff("junxi").await;
    let rows = |suffix: &str| -> String {
        let row = |number: usize| {
            format!(
                "{number:040},均溪镇/红星村委会,{},{},一般户,117.9{suffix},25.7,wgs84,{}\r\n",
                "陈".repeat(20) + if suffix == "1" { "甲" } else { "乙" },
                "红星村大路边".repeat(30) + suffix,
                "说".repeat(300) + suffix
            )
        };
        (0..300).map(row).collect()
    };
    assert_eq!(import(&t, &junxi, &rows("1"), false).await.ok()["created"], 300);
    let wrong = rows("2").replacen("25.7", "97", 1);
    assert_eq!(import(&t, &junxi, &wrong, false).await.problem(422, "invalid").faults(), ["/2/lat:range"]);
    let seen = import(&t, &junxi, &rows("2"), true).await.ok();
    assert_eq!((&seen["changed"], seen["lines"][299]["changes"].as_array().map(Vec::len)), (&json!(300), Some(4)));
    let done = import(&t, &junxi, &rows("2"), false).await.ok();
    assert_eq!((&done["changed"], &done["lines"][299]["line"]), (&json!(300), &json!(301)));
    let undo = format!("/v1/household-imports/{}/undo", id(&done));
    assert_eq!(t.post(&undo).by(&junxi).json(json!({})).send().await.ok()["undone"], 300);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM household_import_lines WHERE before IS NOT NULL"), 0);
}

#[actix_web::test]
async fn the_same_file_several_times_at_once_creates_each_household_once() {
    let t = TestApp::new().await;
    let junxi = t.staff("junxi").await;
    let rows = ",红星村委会,陈家,1号,,,,,\n,红星村委会,林家,2号,,,,,\n";
    let all = join_all((0..6).map(|_| import(&t, &junxi, rows, false))).await;
    let all: Vec<_> = all.into_iter().map(Reply::ok).collect();
    let mut created: Vec<_> = all.iter().map(|done| done["created"].as_u64().expect("how many")).collect();
    created.sort_unstable();
    assert_eq!(created, [0, 0, 0, 0, 0, 2]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM households"), 2);

    // Undone at once by several: once.
    let made = all.iter().find(|done| done["created"] == 2).expect("one");
    let undo = format!("/v1/household-imports/{}/undo", id(made));
    let undone = join_all((0..4).map(|_| t.post(&undo).by(&junxi).json(json!({})).send())).await;
    let mut statuses: Vec<_> = undone.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM households WHERE state = 'closed'"), 2);
}

/// The table as Excel keeps it, the first sheet of two.
fn workbook(rows: &[[&str; 9]]) -> Vec<u8> {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let header: Vec<&str> = HEADER.trim().split(',').collect();
    sheet.write_row(0, 0, header).expect("a header");
    for (row, cells) in (1..).zip(rows) {
        sheet.write_row(row, 0, cells.iter().copied()).expect("a row");
    }
    book.add_worksheet().write(0, 0, "说明：请勿改动首行").expect("a note");
    book.save_to_buffer().expect("a workbook")
}

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

#[actix_web::test]
async fn a_workbook_is_imported_like_a_csv_and_its_formulas_are_refused() {
    let t = TestApp::new().await;
    let junxi = t.staff("junxi").await;
    let line = ["HX-1", "红星村委会", "王家", "4号", "一般户", "117.84721", "25.69254", "gcj02", "听力不好"];
    let send = async |file: Vec<u8>, preview: bool| {
        t.post(&format!("/v1/households/import?preview={preview}")).by(&junxi).bytes(XLSX, file).send().await
    };
    let seen = send(workbook(&[line]), true).await.ok();
    assert_eq!((&seen["created"], &seen["lines"][0]["line"]), (&json!(1), &json!(2)));
    let done = send(workbook(&[line]), false).await.ok();
    let made = plain(&t, &junxi, &json!({"id": done["lines"][0]["household_id"]})).await;
    assert_eq!((&made["name"], &made["note"]), (&json!("王家"), &json!("听力不好")));
    let lng = made["point"]["lng"].as_f64().expect("a number");
    assert!((lng - 117.8424).abs() < 0.001, "{lng}: from GCJ-02");

    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write_row(0, 0, HEADER.trim().split(',')).expect("a header");
    sheet.write(1, 1, "红星村委会").and_then(|sheet| sheet.write(1, 2, Formula::new("=A2&\"家\""))).expect("a row");
    let formula = send(book.save_to_buffer().expect("a workbook"), false).await.problem(422, "invalid");
    assert_eq!(formula.faults(), ["/2/name:formula"]);
    let half = workbook(&[line]);
    assert_eq!(send(half[..half.len() / 2].to_vec(), false).await.problem(422, "invalid").faults(), [":workbook"]);
    let old = t.post("/v1/households/import").by(&junxi).csv(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec());
    assert_eq!(old.send().await.problem(422, "invalid").faults(), [":old_workbook"]);
    assert_eq!(t.database.count("SELECT count(*) AS n FROM households"), 1);
}

#[actix_web::test]
async fn what_the_county_knows_already_bounds_a_line() {
    let t = TestApp::new().await;
    let (cadre, junxi) = (t.staff("cadre").await, t.staff("junxi").await);
    // A member does not want the place of the home to be kept.
    let home = create(&t, &cadre, "陈家", json!({"code": "A"})).await;
    let granny = register(&t, &cadre, "陈阿婆", None, None).await;
    tell(&t, &cadre, &home, "members", json!({"resident_id": granny["id"], "relation": "head"})).await.ok();
    let moved = "A,红星村委会,陈家,,,117.8,25.7,wgs84,\n";
    let seen = import(&t, &junxi, moved, true).await.ok();
    assert_eq!(seen["lines"][0]["changes"][0]["column"], "point");
    let done = import(&t, &junxi, moved, false).await.ok();
    let sealed = "SELECT count(*) AS n FROM household_import_lines WHERE before IS NOT NULL";
    assert_eq!(t.database.count(sealed), 1);
    let no = json!({"purpose": "position", "version": 1, "answer": "refused", "how": "spoken"});
    t.post(&format!("/v1/residents/{}/consents", id(&granny))).by(&cadre).json(no).send().await.created();
    assert_eq!(t.database.count(sealed), 0, "nor may undoing bring a place back");
    let again = import(&t, &junxi, moved, false).await.problem(422, "invalid");
    assert_eq!(again.faults(), ["/2/lng:consent_required"]);
    let undone = t.post(&format!("/v1/household-imports/{}/undo", done["id"].as_str().expect("an id")));
    assert_eq!(undone.by(&junxi).json(json!({})).send().await.ok()["kept"], 1);
    // Somebody has been there since: what the import created stays.
    let done = import(&t, &junxi, "B,红星村委会,王家,,,,,,\n", false).await.ok();
    let made = done["lines"][0]["household_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    check_in(&t, &cadre, &visit(made, json!({"outcome": "not_found"}))).await.created();
    let undone = t.post(&format!("/v1/household-imports/{}/undo", id(&done)));
    assert_eq!(undone.by(&junxi).json(json!({})).send().await.ok()["undone"], 0);
    // A code of a household beyond one's reach.
    let admin = t.staff("admin").await;
    let (_, far) = crate::staff::open(&t, &admin, "far", "township_staff", "石牌镇").await;
    let taken = import(&t, &far, "B,石牌村委会,李家,,,,,,\n", false).await.problem(422, "invalid");
    assert_eq!(taken.faults(), ["/2/code:code_taken"]);
}

#[actix_web::test]
async fn with_any_fault_nothing_is_imported_and_every_line_is_told() {
    let t = TestApp::new().await;
    let junxi = t.staff("junxi").await;
    let rows = ",红星村委会,好人家,,,,,,\n,上京镇,周家,,没有,,,,\n,红星村委会,=A1,,,25.7,117.8,wgs84,\n,红星村委会\n";
    let faults = import(&t, &junxi, rows, false).await.problem(422, "invalid").faults();
    for fault in
        ["/3/category:unknown_category", "/3/unit:unknown_unit", "/4/lng:swapped", "/4/name:formula", "/5/:fields"]
    {
        assert!(faults.contains(&fault.to_owned()), "{fault} in {faults:?}");
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM households"), 0);
    assert_eq!(import(&t, &junxi, rows, true).await.ok()["lines"][2]["faults"][0]["zh"], "不得为公式，请粘贴为数值");
    let columns =
        t.post("/v1/households/import").by(&junxi).csv(b"a,b\n".to_vec()).send().await.problem(422, "invalid");
    assert_eq!(columns.faults(), [":columns"]);
}
