//! `deploymentChanged`: a journal, in order, without gaps, from wherever it is asked.

use serde_json::{Value, json};

use super::scene::Yard;
use crate::identity::scene::Person;
use crate::transport::client::Socket;

const NEWS: &str = "position type deploymentId project environment service version status";

async fn socket(yard: &Yard, who: &Person) -> Socket {
    let mut socket = Socket::open(yard.scene.app.address(), &[]).await;
    let init = json!({ "type": "connection_init", "payload": { "token": who.access.secret() } });
    socket.send(&init).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket
}

/// The next item of a subscription.
async fn next(socket: &mut Socket) -> Value {
    let mut said = socket.next().await;
    assert_eq!(said["type"], "next", "{said}");
    let mut item = said["payload"]["data"]["deploymentChanged"].take();
    assert_eq!(said["payload"]["extensions"]["position"], item["position"]);
    item["said"] = json!(format!(
        "{} {} {}",
        item["deploymentId"].as_str().unwrap(),
        item["type"].as_str().unwrap(),
        item["status"].as_str().unwrap()
    ));
    item
}

#[tokio::test]
async fn what_deployments_come_to_is_told_in_order_wherever_one_begins() {
    let yard = Yard::open().await;
    let from = yard.scene.app.head().await;
    yard.wanted("live", "live", "1").await;
    yard.wanted("test", "test", "1").await;
    let mut past = socket(&yard, &yard.bob).await;
    let all = format!("subscription {{ deploymentChanged(after: \"{from}\") {{ {NEWS} }} }}");
    past.subscribe("1", &all).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(next(&mut past).await);
    }
    yard.agreed(&yard.bob, "live").await;
    yard.done(&yard.ann, "startDeployment", json!({ "id": "test" }))
        .await;
    yard.agreed(&yard.cid, "live").await;
    for _ in 0..4 {
        seen.push(next(&mut past).await);
    }
    let said: Vec<&str> = seen
        .iter()
        .map(|item| item["said"].as_str().unwrap())
        .collect();
    assert_eq!(
        said,
        [
            "live deployment.requested REQUESTED",
            "live deployment.approval_requested AWAITING_APPROVAL",
            "test deployment.requested REQUESTED",
            "test deployment.approval_requested AWAITING_APPROVAL",
            "test deployment.approval_satisfied APPROVED",
            "live deployment.approval_granted AWAITING_APPROVAL",
            "test deployment.started IN_PROGRESS",
            "live deployment.approval_granted AWAITING_APPROVAL",
            "live deployment.approval_satisfied APPROVED",
        ]
    );
    // From any item on, the same rest; of one environment, its own.
    for cut in [0, 4, 7] {
        let after = seen[cut]["position"].as_str().unwrap();
        for (filter, wanted) in [
            ("", None),
            (", environment: \"test\"", Some("test")),
            (", project: \"other\"", Some("none")),
        ] {
            let rest: Vec<&Value> = seen[cut + 1..]
                .iter()
                .filter(|item| wanted.is_none_or(|wanted| item["environment"] == wanted))
                .collect();
            let mut again = socket(&yard, &yard.bob).await;
            let query = format!(
                "subscription {{ deploymentChanged(after: \"{after}\"{filter}) {{ {NEWS} }} }}"
            );
            again.subscribe("1", &query).await;
            for expect in rest {
                assert_eq!(&next(&mut again).await, expect, "{query}");
            }
        }
    }
}
