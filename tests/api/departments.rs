//! Departments of the county government, and the posts in them.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::foreign_admin,
    harness::{Session, TestApp},
    staff::{by_username, id},
};

#[actix_web::test]
async fn departments_are_made_changed_and_closed() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let make =
        |name: &str| t.post("/v1/departments").by(&admin).json(json!({"name": name, "phone": "0598-7220101"})).send();
    let made = make("县医保局").await.is(201);
    let path = format!("/v1/departments/{}", id(&made.body));
    assert_eq!(made.header("location"), path);
    make("县医保局").await.problem(409, "name_taken");
    assert_eq!(make(" ").await.problem(422, "invalid").faults(), ["/name:length"]);
    let all = join_all((0..4).map(|_| make("县人社局"))).await;
    assert_eq!(all.iter().filter(|reply| reply.status == 201).count(), 1, "one name, one department");
    let seen = t.get(&format!("{path}?county=350425")).send().await.is(200);
    assert_eq!(seen.body, made.body);
    let put = |version: &str, body: Value| t.put(&path).by(&admin).header("if-match", version).json(body).send();
    let closed = json!({"name": "县医疗保障局", "phone": null, "state": "closed"});
    t.put(&path).by(&admin).json(closed.clone()).send().await.problem(428, "precondition_required");
    let now = put("\"1\"", closed.clone()).await.ok();
    assert_eq!(
        (&now["name"], &now["phone"], &now["state"], &now["version"]),
        (&json!("县医疗保障局"), &Value::Null, &json!("closed"), &json!(2))
    );
    put("\"1\"", closed).await.problem(412, "version_stale");
    put("\"2\"", json!({"name": "县民政局", "state": "active"})).await.problem(409, "name_taken");
    let list = t.get("/v1/departments?county=350425&state=active&count=true").send().await.ok();
    assert_eq!(list["total"], 4);
    let fields = t.database.texts(
        "SELECT array_to_string(fields, ',') AS text FROM audit_log WHERE entity = 'department' AND action = 'update'",
    );
    assert_eq!(fields, ["name,phone,state"]);
    let foreign = foreign_admin(&t).await;
    let body = json!({"name": "x", "state": "closed"});
    t.put(&path).by(&foreign).header("if-match", "*").json(body).send().await.problem(404, "not_found");
}

#[actix_web::test]
async fn what_is_in_use_is_not_closed() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let close = async |by: &Session, name: &str| {
        let path = format!("/v1/departments/{}", t.department(name).await);
        t.put(&path).by(by).header("if-match", "*").json(json!({"name": name, "state": "closed"})).send().await
    };
    // Versions in effect, and a post.
    for name in ["县民政局", "县残联"] {
        close(&admin, name).await.problem(409, "department_in_use");
    }
    let matter = t.matter_named("残疾人证申领").await;
    let path = format!("/v1/matters/{matter}/versions");
    let elsewhere =
        json!({"decided_by": "township", "kind": "promised", "promised_days": 5, "effective_from": "2026-11-24"});
    t.post(&path).by(&admin).json(elsewhere).send().await.created();
    close(&admin, "县残联").await.problem(409, "department_in_use");
    t.set_time("2026-11-24T08:00:00+08:00");
    let admin = t.staff("admin").await;
    let id = t.department("县残联").await;
    close(&admin, "县残联").await.ok();
    let back = json!({"decided_by": "department", "department_id": id, "kind": "promised", "promised_days": 5});
    let reply = t.post(&path).by(&admin).json(back).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/department_id:unknown_department"]);
    // A coming version counts as well.
    let made = t.post("/v1/departments").by(&admin).json(json!({"name": "县卫健局"})).send().await.created();
    let coming = json!({"decided_by": "department", "department_id": made["id"], "kind": "promised", "promised_days": 5, "effective_from": "2027-01-01"});
    t.post(&path).by(&admin).json(coming).send().await.created();
    close(&admin, "县卫健局").await.problem(409, "department_in_use");
}

#[actix_web::test]
async fn posts_of_departments_name_one() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let (county, civil) = (t.unit("大田县").await, t.department("县民政局").await);
    let sample = by_username(&t, &admin, "civil.affairs").await;
    assert_eq!(sample["posts"][0]["department_id"], json!(civil));
    let make = |body: Value| {
        let mut whole =
            json!({"username": "police", "display_name": "民警", "role": "department_staff", "unit_id": county});
        whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        t.post("/v1/staff").by(&admin).json(whole).send()
    };
    let refused = async |body: Value, fault: &str| {
        assert_eq!(make(body).await.problem(422, "invalid").faults(), [fault]);
    };
    refused(json!({}), "/department_id:required").await;
    refused(json!({"department_id": Uuid::now_v7()}), "/department_id:unknown_department").await;
    refused(json!({"role": "county_admin", "department_id": civil}), "/department_id:role").await;
    let police = t.department("县公安局").await;
    let made = make(json!({"department_id": police})).await.created();
    assert_eq!(made["posts"][0]["department_id"], json!(police));
    let post = |id: &Value| format!("/v1/staff/{}/posts/{}", crate::staff::id(&made), id.as_str().expect("an id"));
    let path = post(&made["posts"][0]["id"]);
    let put = |body: Value| t.put(&path).by(&admin).header("if-match", "*").json(body).send();
    let kept = put(json!({"deputy_id": null})).await.ok();
    assert_eq!(kept["posts"][0]["department_id"], json!(police), "left out, it stays");
    let moved = put(json!({"department_id": civil})).await.ok();
    assert_eq!(moved["posts"][0]["department_id"], json!(civil));
    assert_eq!(
        put(json!({"department_id": Uuid::nil()})).await.problem(422, "invalid").faults(),
        ["/department_id:unknown_department"]
    );
    let member: Uuid = crate::staff::id(&made).parse().expect("a UUID");
    let found = t.app.db.read("test", move |conn| {
        Ok((lianxin::departments::of_staff(conn, 1, &[member])?, lianxin::departments::staff_of(conn, 1, civil)?))
    });
    let (departments, staff) = found.await.expect("reads");
    assert_eq!((departments, staff.contains(&member), staff.len()), (vec![civil], true, 2));
    let there = t.get(&format!("/v1/staff?department_id={civil}&count=true")).by(&admin).send().await.ok();
    assert_eq!((&there["total"], &there["items"][1]["id"]), (&json!(2), &made["id"]));
    let elsewhere = t.get(&format!("/v1/staff?department_id={police}")).by(&admin).send().await.ok();
    assert_eq!(elsewhere["items"], json!([]));
    let to = json!({"post_id": made["posts"][0]["id"], "to": {"role": "township_staff", "unit_id": t.unit("均溪镇").await, "department_id": civil}});
    let transfer =
        t.post(&format!("/v1/staff/{member}/transfer")).by(&admin).header("if-match", "*").json(to).send().await;
    assert_eq!(transfer.problem(422, "invalid").faults(), ["/to/department_id:role"]);
    let insert = format!("UPDATE staff_posts SET department_id = '{civil}' WHERE role = 'village_cadre'");
    let refused = diesel::connection::SimpleConnection::batch_execute(&mut t.database.service(), &insert);
    assert!(refused.expect_err("a cadre").to_string().contains("staff_posts_department"));
}
