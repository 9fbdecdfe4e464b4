//! Who may act for whom: relatives, carers, guardians.

use serde_json::{Value, json};

use crate::{
    harness::{Session, TestApp, id_number},
    merging::{id, register, with_phone},
};

const NINE: &str = "2026-11-24T09:00:00+08:00";

/// The cadre writes down what the old man said, and reads the code to his daughter, who accepts.
pub async fn authorised(t: &TestApp, cadre: &Session, of: &str, daughter: &Session, body: Value) -> String {
    let made = t.post(&format!("/v1/residents/{of}/proxies")).by(cadre).json(body).send().await.created();
    assert_eq!((&made["state"], &made["proxy_id"]), (&json!("invited"), &json!(null)));
    let code = t.post(&format!("/v1/proxies/{}/code", id(&made))).by(cadre).send().await.is(200);
    let accepted = t.post("/v1/proxies/accept").by(daughter).json(json!({"code": code["code"]})).send().await.ok();
    assert_eq!((&accepted["state"], &accepted["proxy_id"]), (&json!("active"), &json!(daughter.subject)));
    t.run_jobs().await;
    id(&made)
}

#[actix_web::test]
async fn a_daughter_in_the_city_books_for_her_father_until_it_ends() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let father = id(&register(&t, &cadre, "林大山", None, None).await);
    let daughter = with_phone(&t, "daughter", "林小梅", "13950900002").await;
    let mut booking = t.booking(NINE).await;
    booking["resident_id"] = json!(father);
    let book = |by: &Session| t.post("/v1/appointments").by(by).json(booking.clone()).send();
    let reply = book(&daughter).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/resident_id:may_not_act_for"]);

    let said = json!({"relation": "child", "may": ["book"], "given_how": "spoken", "valid_until": "2026-12-31"});
    let proxy = authorised(&t, &cadre, &father, &daughter, said).await;
    let principals = t.get(&format!("/v1/residents/{}/principals", daughter.subject)).by(&daughter).send().await.ok();
    assert_eq!(
        (&principals["items"][0]["resident_name"], &principals["items"][0]["may"]),
        (&json!("林*山"), &json!(["book"]))
    );
    let booked = book(&daughter).await.created();
    assert_eq!(booked["resident"]["id"], json!(father));
    assert_eq!((&booked["booked_by_resident"], &booked["booked_by"]), (&json!(daughter.subject), &json!(null)));
    assert_eq!(booked["resident"]["name"], "林*山", "not her own data");
    let path = format!("/v1/appointments/{}", id(&booked));
    t.get(&path).by(&daughter).send().await.ok();
    let list = t.get(&format!("/v1/appointments?resident_id={father}")).by(&daughter).send().await.ok();
    assert_eq!(list["items"][0]["id"], booked["id"]);
    // His bookings are not in her own list, and nothing else of him is hers to see.
    assert_eq!(t.get("/v1/appointments").by(&daughter).send().await.ok()["items"], json!([]));
    t.get(&format!("/v1/residents/{father}")).by(&daughter).send().await.problem(404, "not_found");
    t.get(&path).by(&t.resident("stranger").await).send().await.problem(404, "not_found");
    t.post(&format!("{path}/cancel")).by(&daughter).send().await.ok();
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'cancel'"), 1);

    let again = book(&daughter).await.created();
    t.post(&format!("/v1/proxies/{proxy}/end")).by(&daughter).send().await.ok();
    t.get(&format!("/v1/appointments/{}", id(&again))).by(&daughter).send().await.problem(404, "not_found");
    book(&daughter).await.problem(422, "invalid");
    t.post(&format!("/v1/proxies/{proxy}/end")).by(&daughter).send().await.problem(409, "proxy_ended");
    t.run_jobs().await;
}

#[actix_web::test]
async fn it_runs_out_by_itself() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let father = id(&register(&t, &cadre, "林大山", None, None).await);
    let daughter = with_phone(&t, "daughter", "林小梅", "13950900002").await;
    let said = json!({"relation": "child", "may": ["book"], "given_how": "signed", "valid_until": "2026-11-23"});
    authorised(&t, &cadre, &father, &daughter, said).await;
    let mut booking = t.booking("2026-11-25T09:00:00+08:00").await;
    booking["resident_id"] = json!(father);
    t.set_time("2026-11-23T23:59:59+08:00");
    t.post("/v1/appointments").by(&t.resident("daughter").await).json(booking.clone()).send().await.created();
    t.set_time("2026-11-24T00:00:00+08:00");
    t.post("/v1/appointments").by(&t.resident("daughter").await).json(booking).send().await.problem(422, "invalid");
    t.run_jobs().await;
}

#[actix_web::test]
async fn what_it_is_not_for_it_does_not_allow() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let father = id(&register(&t, &cadre, "林大山", None, None).await);
    let daughter = with_phone(&t, "daughter", "林小梅", "13950900002").await;
    let said = json!({"relation": "child", "may": ["order", "errand"], "given_how": "spoken"});
    authorised(&t, &cadre, &father, &daughter, said).await;
    let mut booking = t.booking(NINE).await;
    booking["resident_id"] = json!(father);
    t.post("/v1/appointments").by(&daughter).json(booking).send().await.problem(422, "invalid");
}

#[actix_web::test]
async fn invitations_are_accepted_once_by_somebody_else_who_is_known() {
    let t = TestApp::new().await;
    let father = with_phone(&t, "father", "林大山", "13950900001").await;
    let daughter = with_phone(&t, "daughter", "林小梅", "13950900002").await;
    let path = format!("/v1/residents/{}/proxies", father.subject);
    let wish = json!({"relation": "child", "may": ["book", "book"]});
    let made = t.post(&path).by(&father).json(wish.clone()).send().await.created();
    assert_eq!(
        (&made["given_how"], &made["may"], &made["valid_until"]),
        (&json!("in_mini_program"), &json!(["book"]), &json!("2027-11-23"))
    );
    let code = async |of: &Value| {
        let reply = t.post(&format!("/v1/proxies/{}/code", id(of))).by(&father).send().await.is(200);
        reply["code"].as_str().expect("a code").to_owned()
    };
    let accept = |by: &Session, code: &str| t.post("/v1/proxies/accept").by(by).json(json!({"code": code})).send();
    let first = code(&made).await;
    let second = code(&made).await;
    assert_eq!(accept(&daughter, &first).await.problem(422, "invalid").faults(), ["/code:code_refused"]);
    accept(&t.resident("unknown").await, &second).await.problem(403, "identity_needed");
    let own = accept(&father, &second).await.problem(422, "invalid");
    assert_eq!(own.faults(), ["/code:proxy_of_oneself"]);
    // Two at once: one has it.
    let son = with_phone(&t, "son", "林小军", "13950900003").await;
    let (one, other) = futures_util::join!(accept(&daughter, &second), accept(&son, &second));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422]);
    t.post(&format!("/v1/proxies/{}/code", id(&made))).by(&father).send().await.problem(409, "proxy_not_invited");
    // A second one for the same person.
    let winner = if one.status == 200 { &daughter } else { &son };
    let twice = t.post(&path).by(&father).json(wish.clone()).send().await.created();
    accept(winner, &code(&twice).await).await.problem(409, "proxy_exists");
    // Too late.
    t.pass(chrono::TimeDelta::days(8));
    let (father, daughter) = (t.resident("father").await, t.resident("daughter").await);
    let late =
        t.post(&path).by(&father).json(json!({"relation": "child", "may": ["book"], "valid_until": "2026-12-02"}));
    let late = late.send().await.created();
    let reply = t.post(&format!("/v1/proxies/{}/code", id(&late))).by(&father).send().await.is(200);
    t.pass(chrono::TimeDelta::days(3));
    let daughter = Session { access: t.resident("daughter").await.access, ..daughter };
    accept(&daughter, reply["code"].as_str().expect("a code")).await.problem(409, "proxy_not_invited");
    t.run_jobs().await;
    // He is told, whoever wrote it down.
    let inbox = t.get("/v1/messages").by(&father).send().await;
    assert!(inbox.status == 401 || inbox["items"][0]["kind"] == "proxy_accepted", "{}", inbox.body);
}

#[actix_web::test]
async fn limits_and_every_wrong_field() {
    let t = TestApp::new().await;
    let (cadre, zhang) = (t.staff("cadre").await, t.resident("zhang").await);
    let father = id(&register(&t, &cadre, "林大山", None, None).await);
    let path = format!("/v1/residents/{father}/proxies");
    let wrong = json!({"relation": "guardian", "may": ["book"], "valid_until": "2036-01-01"});
    let reply = t.post(&path).by(&cadre).json(wrong).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/given_how:given_how", "/relation:guardian", "/valid_until:range"]);
    let own = format!("/v1/residents/{}/proxies", zhang.subject);
    let wish = json!({"relation": "neighbour", "may": ["book"]});
    for _ in 0..5 {
        t.post(&own).by(&zhang).json(wish.clone()).send().await.created();
    }
    t.post(&own).by(&zhang).json(wish.clone()).send().await.problem(409, "proxy_limit");
    let all = t.get(&format!("{own}?count=true&limit=2")).by(&zhang).send().await.ok();
    assert_eq!((&all["total"], all["items"].as_array().map(Vec::len)), (&json!(5), Some(2)));
    // Nobody names a proxy for somebody else.
    t.post(&path).by(&zhang).json(wish.clone()).send().await.problem(404, "not_found");
    t.post(&path).by(&t.staff("supervisor").await).json(wish).send().await.problem(403, "forbidden");
}

#[actix_web::test]
async fn children_only_through_a_guardian() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let number = id_number("2016-12-01", 1);
    let unit = t.unit("红星村委会").await;
    let consents = |body: &mut Value| {
        body["consents"] = json!(["id_number", "under_14"]);
        body["consents_how"] = json!("signed");
    };
    let mut alone =
        json!({"name": "林小宝", "id_number": number, "unit_id": unit, "identity_seen": "household_register"});
    consents(&mut alone);
    let reply = t.post("/v1/residents").by(&cadre).json(alone).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/id_number:guardian_required"]);
    let unchecked = with_phone(&t, "uncle", "林叔", "13950900004").await;
    let mother = id(&register(&t, &cadre, "王秀英", Some(&id_number("1990-01-01", 2)), None).await);
    let child = |guardian: &str, number: &str| {
        let mut body = json!({"name": "林小宝", "id_number": number, "unit_id": unit, "identity_seen": "household_register", "guardian_id": guardian});
        consents(&mut body);
        t.post("/v1/children").by(&cadre).json(body).send()
    };
    let reply = child(&unchecked.subject.to_string(), &number).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/guardian_id:guardian_unfit"]);
    let reply = child(&mother, &id_number("2012-11-23", 3)).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/id_number:not_a_child"]);
    let made = child(&mother, &number).await.created();
    assert_eq!(
        (&made["guardian"]["relation"], &made["guardian"]["valid_until"]),
        (&json!("guardian"), &json!("2030-11-30"))
    );
    // The mother claims her own record and books for the child; the child's cannot be claimed.
    let account = t.resident("mother").await;
    let code = t.post(&format!("/v1/residents/{}/claim_code", account.subject)).by(&account).send().await.is(200);
    let claim = |record: &str| {
        let body = json!({"code": code["code"], "identity_seen": "id_card"});
        t.post(&format!("/v1/residents/{record}/claim")).by(&cadre).json(body).send()
    };
    let reply = claim(made["child"]["id"].as_str().expect("an id")).await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/id_number:guardian_required"]);
    claim(&mother).await.ok();
    t.pass(chrono::TimeDelta::seconds(6));
    let account = t.resident("mother").await;
    assert_eq!(account.subject.to_string(), mother);
    let mut booking = t.booking(NINE).await;
    booking["resident_id"] = made["child"]["id"].clone();
    t.post("/v1/appointments").by(&account).json(booking).send().await.created();
    let end = format!("/v1/proxies/{}/end", made["guardian"]["id"].as_str().expect("an id"));
    t.post(&end).by(&account).send().await.problem(403, "forbidden");
    t.post(&end).by(&cadre).send().await.ok();
    // Nobody under 14 types a number of their own.
    let kid = t.resident("kid").await;
    crate::merging::consent(&t, &kid).await;
    let body = json!({"name": "小明", "id_number": id_number("2018-01-01", 4), "unit_id": unit});
    let path = format!("/v1/residents/{}", kid.subject);
    let reply = t.put(&path).by(&kid).header("if-match", "*").json(body).send().await.problem(422, "invalid");
    assert_eq!(reply.faults(), ["/id_number:guardian_required"]);
    t.run_jobs().await;
}

#[actix_web::test]
async fn some_matters_want_to_know_who_it_is() {
    let t = TestApp::new().await;
    let (admin, cadre) = (t.staff("admin").await, t.staff("cadre").await);
    let matter = t.matter().await;
    let read = t.get(&format!("/v1/matters/{matter}?county=350425")).send().await.ok();
    assert_eq!(read["identity_level"], "none");
    let body = json!({"name": read["name"], "description": read["description"], "state": "active", "identity_level": "officer"});
    t.put(&format!("/v1/matters/{matter}")).by(&admin).header("if-match", "*").json(body).send().await.ok();
    let zhang = with_phone(&t, "zhang", "张小明", "13950900005").await;
    let booking = t.booking(NINE).await;
    let reply =
        t.post("/v1/appointments").by(&zhang).json(booking.clone()).send().await.problem(403, "identity_needed");
    assert!(reply["detail"].as_str().expect("a detail").contains("核验身份"));
    // The agent sees the person.
    let mut by_agent = booking.clone();
    by_agent["resident_id"] = json!(zhang.subject);
    let booked = t.post("/v1/appointments").by(&cadre).json(by_agent).send().await.created();
    t.post(&format!("/v1/appointments/{}/cancel", id(&booked))).by(&cadre).send().await.ok();
    let seen = json!({"name": "张小明", "phone": "139****0005", "unit_id": t.unit("红星村委会").await, "identity_seen": "id_card"});
    t.put(&format!("/v1/residents/{}", zhang.subject)).by(&cadre).header("if-match", "*").json(seen).send().await.ok();
    t.post("/v1/appointments").by(&zhang).json(booking).send().await.created();
    t.run_jobs().await;
}

#[actix_web::test]
async fn a_new_year_begins_where_the_last_one_has_run_out() {
    let t = TestApp::new().await;
    let cadre = t.staff("cadre").await;
    let father = id(&register(&t, &cadre, "林大山", None, None).await);
    let daughter = with_phone(&t, "daughter", "林小梅", "13950900002").await;
    let said = |until: &str| json!({"relation": "child", "may": ["book"], "given_how": "spoken", "valid_until": until});
    let first = authorised(&t, &cadre, &father, &daughter, said("2026-11-24")).await;
    t.set_time("2026-11-25T09:00:00+08:00");
    let (cadre, daughter) = (t.staff("cadre").await, t.resident("daughter").await);
    authorised(&t, &cadre, &father, &daughter, said("2026-12-31")).await;
    assert_eq!(t.get(&format!("/v1/proxies/{first}")).by(&cadre).send().await.ok()["state"], "ended");
    // What nobody renews ends by itself.
    t.set_time("2027-01-01T00:00:00+08:00");
    lianxin::jobs::sweep(&t.app).await.expect("swept");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM proxies WHERE state <> 'ended'"), 0);
}
