//! Money that passes through a helper's hands, and their hours.

use serde_json::{Value, json};

use crate::{
    attachments::{FORM, form},
    errands::villager,
    harness::{Reply, Session, TestApp},
    helpers::volunteer,
    orders::{codes, get, path, placed, step, todos},
};

async fn upload(t: &TestApp, by: &Session) -> Value {
    let file = form("receipt.jpg", "image/jpeg", &crate::attachments::photo());
    t.post("/v1/attachments").by(by).bytes(FORM, file).send().await.created()["id"].clone()
}

async fn line(t: &TestApp, by: &Session, order: &Value, kind: &str, fen: i64, receipt: Option<Value>) -> Reply {
    let mut body = json!({"kind": kind, "amount_fen": fen});
    if let Some(receipt) = receipt {
        body["attachment_id"] = receipt;
    }
    t.post(&format!("{}/money", path(order))).by(by).json(body).send().await
}

async fn answer(t: &TestApp, by: &Session, order: &Value, line: u8, verb: &str) -> Reply {
    t.post(&format!("{}/money/{line}/{verb}", path(order))).by(by).json(json!({})).send().await
}

#[actix_web::test]
async fn every_fen_is_agreed_to_before_it_is_confirmed() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (lin, helper) = volunteer(&t, "lin", &[]).await;
    let (junxi, cadre) = (t.staff("junxi").await, t.staff("cadre").await);
    let meal = placed(&t, &who, "助餐").await;
    step(&t, &lin, &meal, "claim", json!({})).await.ok();
    line(&t, &lin, &meal, "advance", 100, None).await.problem(409, "money_not_asked");
    let order = placed(&t, &who, "日用品代购").await;
    line(&t, &who, &order, "advance", 10_000, None).await.problem(409, "order_state");
    step(&t, &lin, &order, "claim", json!({})).await.ok();
    let (start, finish) = codes(&t, &who, &order).await;
    step(&t, &lin, &order, "start", json!({"code": start})).await.ok();
    assert_eq!(
        line(&t, &who, &order, "advance", 0, None).await.problem(422, "invalid").faults(),
        ["/amount_fen:range"]
    );
    line(&t, &cadre, &order, "advance", 100, None).await.problem(409, "other_side");
    line(&t, &who, &order, "advance", 10_000, None).await.ok();
    // Not one's own, not twice, not what is not there.
    answer(&t, &who, &order, 1, "agree").await.problem(409, "other_side");
    answer(&t, &lin, &order, 2, "agree").await.problem(404, "not_found");
    answer(&t, &lin, &order, 1, "agree").await.ok();
    answer(&t, &lin, &order, 1, "refuse").await.problem(409, "money_line_answered");
    assert_eq!(
        line(&t, &lin, &order, "spent", 8_650, None).await.problem(422, "invalid").faults(),
        ["/attachment_id:required"]
    );
    let receipt = upload(&t, &who).await;
    let theirs = line(&t, &lin, &order, "spent", 8_650, Some(receipt)).await.problem(422, "invalid");
    assert_eq!(theirs.faults(), ["/attachment_id:attachment"]);
    let receipt = upload(&t, &lin).await;
    let told = line(&t, &lin, &order, "spent", 8_650, Some(receipt.clone())).await.ok();
    assert_eq!((&told["pending"], &told["spent_fen"], &told["difference_fen"]), (&json!(1), &json!(0), &json!(10_000)));
    // The resident sees the receipt.
    t.get(&format!("/v1/attachments/{}", receipt.as_str().expect("an id"))).by(&who).send().await.ok();
    let photo = upload(&t, &lin).await;
    let bare = step(&t, &lin, &order, "finish", json!({"words": "买好了"})).await.problem(422, "invalid");
    assert_eq!(bare.faults(), ["/attachment_ids:photo_needed"]);
    step(&t, &lin, &order, "finish", json!({"attachment_ids": [photo]})).await.ok();
    let refused = step(&t, &who, &order, "confirm", json!({})).await.problem(409, "money_does_not_add_up");
    assert!(refused["detail"].as_str().expect("a detail").contains("1 笔"), "{}", refused.body);
    assert!(todos(&t, &junxi).await.iter().any(|title| title.contains("账目不符")));
    // Too much; what is right is a further line.
    answer(&t, &who, &order, 2, "refuse").await.ok();
    let again = upload(&t, &lin).await;
    line(&t, &lin, &order, "spent", 8_600, Some(again)).await.ok();
    // For somebody without a phone a member of staff writes it down, never the helper.
    let agreed = answer(&t, &cadre, &order, 3, "agree").await.ok();
    assert_eq!((&agreed["lines"][2]["by_staff"], &agreed["difference_fen"]), (&json!(true), &json!(1_400)));
    step(&t, &lin, &order, "confirm", json!({"code": finish.clone()})).await.problem(409, "money_does_not_add_up");
    line(&t, &lin, &order, "change", 1_400, None).await.ok();
    answer(&t, &who, &order, 4, "agree").await.ok();
    let done = step(&t, &lin, &order, "confirm", json!({"code": finish})).await.ok();
    assert_eq!((&done["state"], &done["confirmed_how"]), (&json!("confirmed"), &json!("code")));
    assert!(todos(&t, &junxi).await.iter().all(|title| !title.contains("账目不符")));
    line(&t, &who, &order, "advance", 100, None).await.problem(409, "order_state");
    let statement = format!("/v1/helpers/{}/statement", helper["id"].as_str().expect("an id"));
    let told = t.get(&format!("{statement}?month=2026-11")).by(&lin).send().await.ok();
    assert_eq!(
        (&told["advance_fen"], &told["spent_fen"], &told["change_fen"]),
        (&json!(10_000), &json!(8_600), &json!(1_400))
    );
    assert_eq!(told["lines"].as_array().expect("lines").len(), 4);
    assert_eq!(t.get(&format!("{statement}?month=2026-10")).by(&junxi).send().await.ok()["lines"], json!([]));
    t.get(&format!("{statement}?month=11")).by(&lin).send().await.problem(422, "invalid");
    t.get(&statement).by(&who).send().await.problem(404, "not_found");
    t.get(&statement).by(&cadre).send().await.problem(404, "not_found");
    t.run_jobs().await;
}

#[actix_web::test]
async fn hours_are_those_of_confirmed_orders() {
    let t = TestApp::new().await;
    let who = villager(&t, "chen").await;
    let (lin, helper) = volunteer(&t, "lin", &[]).await;
    let hours = format!("/v1/helpers/{}/hours?year=2026", helper["id"].as_str().expect("an id"));
    for confirmed in [true, false] {
        t.set_time("2026-11-23T08:00:00+08:00");
        let order = placed(&t, &who, "助餐").await;
        step(&t, &lin, &order, "claim", json!({})).await.ok();
        let (start, _) = codes(&t, &who, &order).await;
        step(&t, &lin, &order, "start", json!({"code": start})).await.ok();
        t.set_time("2026-11-23T08:10:00+08:00");
        step(&t, &lin, &order, "finish", json!({})).await.ok();
        if confirmed {
            step(&t, &who, &order, "confirm", json!({})).await.ok();
        }
        assert_eq!(get(&t, &who, &order).await["state"], if confirmed { "confirmed" } else { "finished" });
    }
    let told = t.get(&hours).by(&lin).send().await.ok();
    assert_eq!(
        (&told["orders"], &told["minutes"], &told["months"][0]["month"]),
        (&json!(1), &json!(10), &json!("2026-11"))
    );
    t.get(&hours).by(&who).send().await.problem(404, "not_found");
    t.run_jobs().await;
}
