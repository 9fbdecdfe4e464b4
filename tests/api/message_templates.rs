//! A county's own words and templates for messages, and messages on paper.

use futures_util::future::join_all;
use lianxin::messages::Kind;
use serde_json::{Value, json};

use crate::{
    harness::{Session, TestApp},
    messages::{post, registered, texts, with_wechat},
};

#[actix_web::test]
async fn templates_are_default_until_the_county_decides() {
    let t = TestApp::new().await;
    let (admin, junxi) = (t.staff("admin").await, t.staff("junxi").await);
    let page = t.get("/v1/message_templates").by(&junxi).send().await.ok();
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), Kind::ALL.len());
    assert_eq!(
        (&items[0]["policy"], &items[0]["own"], &items[0]["version"]),
        (&json!("at_once"), &json!([]), &json!(1))
    );
    assert_eq!((&items[1]["late_after"], &items[1]["version"]), (&json!("expires_at"), &json!(0)));
    let path = "/v1/message_templates/appointment_booked";
    let body = json!({"text_zh": "{starts_at}到{unit}办{matter}，带身份证", "wechat_template_id": "t-2",
        "wechat_fields": {"thing5": "matter", "date2": "starts_at", "character_string3": "unit"}, "sms_template": "SMS_1"});
    let put = |by: &Session, tag: &'static str| t.put(path).by(by).header("if-match", tag).json(body.clone()).send();
    t.put(path).by(&admin).json(body.clone()).send().await.problem(428, "precondition_required");
    put(&admin, "\"7\"").await.problem(412, "version_stale");
    put(&junxi, "*").await.problem(403, "forbidden");
    let reply = put(&admin, "\"1\"").await.is(200);
    assert_eq!((reply.header("etag"), &reply["own"]), ("\"2\"", &json!(["text_zh", "wechat_fields"])));
    assert_eq!(reply["title_zh"], "预约成功", "what is left out is the default");
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE entity = 'message_template'"), 1);

    let zhang = with_wechat(&t, "zhang", Some("13800138000")).await;
    let grant = json!({"template_ids": ["t-2"]});
    t.post("/v1/messages/grants").by(&zhang).json(grant).send().await.created();
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    post(&t, zhang.subject, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    let sent = t.wechat.sent.lock().expect("sent")[0].clone();
    assert_eq!(
        (&sent["template_id"], &sent["data"]),
        (
            &json!("t-2"),
            &json!({"thing5": {"value": "医保登记"}, "date2": {"value": "2026年11月23日"}, "character_string3": {"value": "-"}})
        )
    );
    let sms = texts(&t)[0].clone();
    assert_eq!(
        (&sms["template"], &sms["text"]),
        (&json!("SMS_1"), &json!("2026-11-23 09:00到均溪镇办医保登记，带身份证"))
    );
    // What was said does not change with the template.
    let reset = t.put(path).by(&admin).header("if-match", "\"2\"").json(json!({})).send().await.is(200);
    assert_eq!((&reset["own"], &reset["wechat_template_id"]), (&json!([]), &Value::Null));
    let page = t.get("/v1/messages").by(&zhang).send().await.ok();
    assert!(page["items"][0]["text"].as_str().expect("a text").ends_with("带身份证"));
    let left = t.get("/v1/messages/grants").by(&zhang).send().await.ok();
    assert_eq!(left["items"][0]["kinds"], json!(["proxy_booked"]), "the other kind still has a template");
}

#[actix_web::test]
async fn every_fault_of_a_template_is_named() {
    let t = TestApp::new().await;
    let admin = t.staff("admin").await;
    let put = |kind: &str, body: Value| {
        t.put(&format!("/v1/message_templates/{kind}")).by(&admin).header("if-match", "*").json(body).send()
    };
    let body = json!({"title_zh": "{name}您好", "text_en": "{matter} {phone}",
        "wechat_fields": {"thing1": "nobody", "image2": "matter", "time3": "matter"}});
    let reply = put("appointment_booked", body).await.problem(422, "invalid");
    assert_eq!(
        reply.faults(),
        [
            "/text_en:unknown_placeholder",
            "/title_zh:unknown_placeholder",
            "/wechat_fields/image2:unknown_field",
            "/wechat_fields/thing1:unknown_placeholder",
            "/wechat_fields/time3:wrong_placeholder",
        ]
    );
    assert!(reply["errors"].to_string().contains("starts_at"), "says what there is: {}", reply.body);
    put("appointment_booked", json!({"title_zh": ""})).await.problem(422, "invalid");
    put("no_such_kind", json!({})).await.problem(404, "not_found");
    let writes = json!({"title_zh": "办好了"});
    let replies = join_all((0..4).map(|_| {
        t.put("/v1/message_templates/proxy_accepted").by(&admin).header("if-match", "\"0\"").json(writes.clone()).send()
    }));
    let statuses: Vec<_> = replies.await.into_iter().map(|reply| reply.status).collect();
    assert_eq!((statuses.iter().filter(|status| **status == 200).count(), statuses.len()), (1, 4), "{statuses:?}");
}

#[actix_web::test]
async fn a_slip_is_plain_audited_and_within_reach() {
    let t = TestApp::new().await;
    let granny = registered(&t, "陈阿婆", Some("13950900001")).await;
    post(&t, granny, Kind::AppointmentBooked).await;
    t.run_jobs().await;
    let cadre = t.staff("cadre").await;
    let list = format!("/v1/residents/{granny}/messages");
    let page = t.get(&format!("{list}?count=true")).by(&cadre).send().await.ok();
    assert_eq!((&page["total"], &page["items"][0]["title"]), (&json!(1), &json!("预约成功")));
    let slip = format!("/v1/messages/{}/slip", page["items"][0]["id"].as_str().expect("an id"));
    let reply = t.get(&slip).by(&cadre).send().await.is(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(
        (&reply["name"], &reply["phone"], &reply["unit"], &reply["made_at"]),
        (&json!("陈阿婆"), &json!("13950900001"), &json!("红星村委会"), &json!("2026-11-23T08:00:00+08:00"))
    );
    assert!(reply["text"].as_str().expect("a text").contains("2026-11-23 09:00"));
    let looked = |action: &str| {
        t.database.count(&format!(
            "SELECT count(*) AS n FROM audit_log WHERE action = '{action}' AND entity = 'resident' AND entity_id = '{granny}' AND actor_id = '{}'",
            cadre.subject
        ))
    };
    assert_eq!((looked("print_slip"), looked("list_messages")), (1, 1));
    // Somebody of another township, and of another county.
    let far = t.unit("石牌镇").await;
    t.database.run(&format!("UPDATE residents SET unit_id = '{far}' WHERE id = '{granny}'"));
    for by in [cadre, t.staff("junxi").await, crate::access::foreign_admin(&t).await] {
        t.get(&slip).by(&by).send().await.problem(404, "not_found");
        t.get(&list).by(&by).send().await.problem(404, "not_found");
    }
    assert_eq!(t.database.count("SELECT count(*) AS n FROM audit_log WHERE action = 'print_slip'"), 1);
    t.get(&slip).by(&t.resident("zhang").await).send().await.problem(403, "forbidden");
    t.get(&slip).by(&t.staff("admin").await).send().await.ok();
}
