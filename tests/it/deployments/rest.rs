//! `/api/deployments`: the same operations by plain HTTP.

use serde_json::{Value, json};

use super::scene::Yard;
use crate::identity::scene::Person;
use crate::support::Reply;

async fn call(
    yard: &Yard,
    who: &Person,
    line: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Reply {
    let json = [("content-type", "application/json")];
    let head = yard.scene.app.head().await.to_string();
    let waits = [("daybook-at-least", head.as_str())];
    let is_get = line.starts_with("GET");
    let mut all = headers.to_vec();
    all.extend(if is_get { waits } else { json });
    let body = if is_get {
        String::new()
    } else {
        body.to_string()
    };
    yard.scene
        .send(&who.access, line, &all, body.as_bytes())
        .await
}

#[tokio::test]
async fn a_deployment_goes_by_way_of_rest() {
    let yard = Yard::open().await;
    let wanted = json!({ "id": "d/1", "project": "shop", "service": "web", "environment": "live",
                         "version": "7" });
    let key = [("idempotency-key", "k1")];
    for replayed in ["", "true"] {
        let reply = call(&yard, &yard.ann, "POST /api/deployments", &key, &wanted).await;
        let told = reply.json();
        assert_eq!(reply.status, 200, "{told}");
        assert_eq!(told["deployment"]["status"], "AWAITING_APPROVAL");
        assert_eq!(reply.header("idempotent-replayed"), replayed);
        assert_eq!(
            reply.header("daybook-position"),
            told["receipt"]["position"]
        );
    }
    let path = "PUT /api/deployments/d%2F1/approval";
    for (who, decision, status, told) in [
        (&yard.ann, json!("approve"), 422, "SELF_APPROVAL_FORBIDDEN"),
        (&yard.bob, json!("perhaps"), 422, "VALIDATION"),
        (&yard.bob, json!(null), 422, "VALIDATION"),
        (&yard.root, json!("reject"), 422, "NOT_AN_APPROVER"),
        (&yard.bob, json!("approve"), 200, "AWAITING_APPROVAL"),
        (&yard.bob, json!("approve"), 422, "ALREADY_VOTED"),
        (&yard.cid, json!("reject"), 200, "REJECTED"),
    ] {
        let reply = call(
            &yard,
            who,
            path,
            &[],
            &json!({ "decision": decision, "revision": 1 }),
        )
        .await;
        let body = reply.json();
        let said = if status == 200 {
            &body["deployment"]["status"]
        } else {
            &body["code"]
        };
        assert_eq!((reply.status, said), (status, &json!(told)), "{body}");
    }
    let one = call(
        &yard,
        &yard.bob,
        "GET /api/deployments/d%2F1",
        &[],
        &json!(null),
    )
    .await;
    assert_eq!(
        (one.status, &one.json()["approval"]["votes"][0]["userId"]),
        (200, &json!(yard.bob.id))
    );
    let list = call(
        &yard,
        &yard.bob,
        "GET /api/deployments?project=shop&status=REJECTED,EXPIRED&first=5",
        &[],
        &json!(null),
    )
    .await;
    assert_eq!(list.json()["items"][0]["id"], "d/1");
    for (line, status, code) in [
        ("GET /api/deployments/nobody", 404, "NOT_FOUND"),
        ("GET /api/deployments/a%00b", 400, "BAD_TEXT"),
        ("GET /api/deployments/%ff", 400, "BAD_TEXT"),
        ("PUT /api/deployments/%ff/approval", 400, "BAD_TEXT"),
        ("GET /api/deployments?status=GONE", 422, "VALIDATION"),
        ("GET /api/deployments?sort=name", 422, "VALIDATION"),
        ("DELETE /api/deployments", 405, "METHOD_NOT_ALLOWED"),
        ("PUT /api/deployments/nobody", 405, "METHOD_NOT_ALLOWED"),
        (
            "POST /api/deployments/nobody/approval",
            405,
            "METHOD_NOT_ALLOWED",
        ),
    ] {
        let reply = call(&yard, &yard.bob, line, &[], &json!({})).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (status, &json!(code)),
            "{line}"
        );
    }
    // Both ways of naming a command at once mean nothing.
    let mut twice = wanted;
    twice["commandId"] = "k2".into();
    let reply = call(&yard, &yard.ann, "POST /api/deployments", &key, &twice).await;
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (400, &json!("BAD_REQUEST"))
    );
    let reply = call(&yard, &yard.bob, "POST /api/deployments", &[], &json!({})).await;
    assert!([403, 422].contains(&reply.status), "{}", reply.json());
}

/// D12: a key is 1 to 255 characters that can be seen, whichever way it is sent.
#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let yard = Yard::open().await;
    let before = yard.scene.app.head().await;
    let wanted = json!({ "id": "d", "project": "shop", "service": "web", "environment": "live",
                         "version": "7" });
    let long = "k".repeat(256);
    for (key, code) in [
        (long.as_str(), "VALIDATION"),
        ("a\tb", "BAD_TEXT"),
        ("gr\u{fc}n", "BAD_TEXT"),
    ] {
        let header = [("idempotency-key", key)];
        let line = "POST /api/deployments";
        let reply = call(&yard, &yard.ann, line, &header, &wanted).await;
        let told = reply.json();
        assert_eq!((reply.status, &told["code"]), (422, &json!(code)), "{told}");
        let mut input = wanted.clone();
        input["commandId"] = key.into();
        if key.is_ascii() {
            let told = yard.refused(&yard.ann, "requestDeployment", input).await;
            assert_eq!(told, code, "{key:?}");
        }
    }
    assert_eq!(yard.scene.app.head().await, before);
    let long = "k".repeat(255);
    let header = [("idempotency-key", long.as_str())];
    let reply = call(&yard, &yard.ann, "POST /api/deployments", &header, &wanted).await;
    assert_eq!(reply.status, 200, "{}", reply.json());
}

/// D10: who sends a command again while the first is under way is told what became of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_in_flight_is_answered_with_the_first_receipt() {
    let yard = Yard::open().await;
    let before = yard.scene.app.head().await;
    let wanted = json!({ "id": "d", "project": "shop", "service": "web", "environment": "live",
                         "version": "7" });
    let key = [("idempotency-key", "k")];
    let line = "POST /api/deployments";
    let sent = (0..20).map(|_| call(&yard, &yard.ann, line, &key, &wanted));
    let replies = futures::future::join_all(sent).await;
    let first = &replies[0].json()["receipt"]["position"];
    for reply in &replies {
        let told = reply.json();
        assert_eq!(reply.status, 200, "{told}");
        assert_eq!(told["receipt"]["position"], *first);
    }
    let replayed = replies
        .iter()
        .filter(|r| r.header("idempotent-replayed") == "true");
    assert_eq!(replayed.count(), 19, "one of them was the first");
    let events = yard.events("d").await;
    assert_eq!(events, ["requested", "approval_requested"]);
    assert_eq!(yard.scene.app.head().await, before + 2);
}
