//! `/api/slos`: the same operations by plain HTTP.

use serde_json::{Value, json};

use super::scene::{but, objective};
use crate::deployments::scene::Yard;
use crate::identity::scene::Person;
use crate::support::Reply;

async fn call(yard: &Yard, who: &Person, line: &str, body: &Value) -> Reply {
    let head = yard.scene.app.head().await.to_string();
    let (header, body) = match line.starts_with("GET") {
        true => (("daybook-at-least", head.as_str()), String::new()),
        false => (("content-type", "application/json"), body.to_string()),
    };
    let access = &who.access;
    yard.scene
        .send(access, line, &[header], body.as_bytes())
        .await
}

#[tokio::test]
async fn an_objective_goes_by_way_of_rest() {
    let yard = Yard::open().await;
    let made = call(&yard, &yard.root, "POST /api/slos", &objective("o/1")).await;
    assert_eq!(made.status, 200, "{}", made.json());
    let told = made.json();
    assert_eq!(told["slo"]["objective"]["objectivePpm"], 990_000);
    assert_eq!(made.header("daybook-position"), told["receipt"]["position"]);
    let one = call(&yard, &yard.bob, "GET /api/slos/o%2F1", &Value::Null).await;
    assert_eq!(
        (one.status, &one.json()["revision"]),
        (200, &json!(1)),
        "{}",
        one.json()
    );
    let line = "GET /api/slos?project=shop&sli=DEPLOYMENT_DURATION&retired=false&first=5";
    let list = call(&yard, &yard.bob, line, &Value::Null).await.json();
    assert_eq!(list["items"][0]["id"], "o/1", "{list}");
    let wrong = but(objective("new"), json!({ "objectivePpm": 0 }));
    for (who, line, body, status, code) in [
        (
            &yard.root,
            "POST /api/slos",
            &wrong,
            422,
            "OBJECTIVE_OUT_OF_RANGE",
        ),
        (
            &yard.bob,
            "POST /api/slos",
            &objective("new"),
            403,
            "FORBIDDEN",
        ),
        (
            &yard.bob,
            "GET /api/slos/nobody",
            &Value::Null,
            404,
            "NOT_FOUND",
        ),
        (
            &yard.bob,
            "GET /api/slos?retired=maybe",
            &Value::Null,
            422,
            "VALIDATION",
        ),
        (
            &yard.bob,
            "DELETE /api/slos",
            &Value::Null,
            405,
            "METHOD_NOT_ALLOWED",
        ),
    ] {
        let reply = call(&yard, who, line, body).await;
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (status, &json!(code)),
            "{line}"
        );
    }
}
