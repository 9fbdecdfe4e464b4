//! Importing staff from tables.

use serde_json::json;

use crate::{
    harness::{Reply, Session, TestApp},
    staff::{by_username, id, one_time},
};

const HEADER: &str = "username,display_name,phone,role,unit,deputy\n";

async fn import(t: &TestApp, by: &Session, file: &[u8], preview: bool) -> Reply {
    let path = format!("/v1/staff/import?preview={preview}");
    t.post(&path).by(by).csv(file.to_vec()).send().await
}

#[actix_web::test]
async fn staff_are_imported_after_a_preview_and_again_without_effect() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let file = format!(
        "{HEADER}aa,甲,,代办员,均溪镇/红星村委会,bb\naa,甲,13950900001,specialist,均溪镇/红星村委会,\n\
         bb,乙,,乡镇工作人员,均溪镇,cadre\ncadre,红星村代办员,,village_cadre,均溪镇/红星村委会,\n"
    );
    let staff = "SELECT count(*) AS n FROM staff";
    let before = t.database.count(staff);
    let seen = import(&t, &admin, file.as_bytes(), true).await.ok();
    assert_eq!((&seen["created"], &seen["updated"], &seen["unchanged"]), (&json!(3), &json!(0), &json!(1)));
    assert_eq!(t.database.count(staff), before, "a preview changes nothing");
    // As Excel writes it in China.
    let gbk = encoding_rs::GBK.encode(&file).0.into_owned();
    let done = import(&t, &admin, &gbk, false).await.ok();
    assert_eq!((&done["preview"], &done["created"]), (&json!(false), &json!(3)));
    assert_eq!(t.database.count(staff), before + 2);
    let (aa, bb) = (by_username(&t, &admin, "aa").await, by_username(&t, &admin, "bb").await);
    assert_eq!((&aa["display_name"], aa["posts"].as_array().expect("posts").len()), (&json!("甲"), 2));
    assert_eq!(aa["phone"], "13950900001", "one line tells it for all");
    assert_eq!((&aa["posts"][0]["deputy_id"], &aa["account"]["password"]), (&bb["id"], &json!("none")));

    let with_mark = [b"\xef\xbb\xbf", file.as_bytes()].concat();
    let again = import(&t, &admin, &with_mark, false).await.ok();
    assert_eq!((&again["created"], &again["updated"], &again["unchanged"]), (&json!(0), &json!(0), &json!(4)));
    assert_eq!(by_username(&t, &admin, "aa").await, aa, "not even the version");
    let renamed = file.replace("乙,,", "乙乙,12345,");
    let changed = import(&t, &admin, renamed.as_bytes(), false).await.ok();
    assert_eq!((&changed["updated"], &changed["unchanged"]), (&json!(1), &json!(3)));
    assert_eq!(by_username(&t, &admin, "bb").await["phone"], "12345");
    // Opened like any other.
    one_time(&t, &admin, &id(&aa)).await;
}

#[actix_web::test]
async fn an_import_with_any_fault_imports_nothing_and_tells_all() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let before = t.database.count("SELECT count(*) AS n FROM staff");
    let file = format!(
        "{HEADER}aa,甲,,village_cadre,均溪镇,\naa,丁,,nobody,均溪镇,\nbb,乙,,township_staff,均溪镇,cc\n\
         cc,丙,,township_staff,均溪镇,bb\ncc,丙,,township_staff,均溪镇,\ndd,戊,,township_staff,没有镇,ghost\nee\n"
    );
    let faults = [
        "/2/unit:unit_level",
        "/3/display_name:two_names",
        "/3/role:unknown_role",
        "/5/deputy:deputy_circle",
        "/6/role:post_twice",
        "/7/deputy:unknown_staff",
        "/7/unit:unknown_unit",
        "/8/:fields",
    ];
    assert_eq!(import(&t, &admin, file.as_bytes(), false).await.problem(422, "invalid").faults(), faults);
    let seen = import(&t, &admin, file.as_bytes(), true).await.ok();
    assert_eq!(seen["lines"][0]["faults"][0]["zh"], "此岗位不在这一级单位");
    assert_eq!(seen["lines"][0]["faults"][0]["en"], "the role does not fit the level of this unit");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM staff"), before);
    assert_eq!(import(&t, &admin, b"a,b\n", true).await.problem(422, "invalid").faults(), [":columns"]);
    let json = t.post("/v1/staff/import").by(&admin).json(json!({})).send().await;
    json.problem(415, "unsupported_media_type");
    import(&t, &admin, &vec![b'x'; 1024 * 1024 + 1], true).await.problem(413, "body_too_large");
}
