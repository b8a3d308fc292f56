//! What deliveries come to: one after the other, in any order, more than once, all at once.

use futures::future::join_all;
use serde_json::json;

use super::scene::{CREATED, GITHUB, SECRET, SUCCEEDED, Yard, github, outcome, status, told};
use crate::support::Reply;

const AT: [&str; 3] = [
    "2019-05-15T15:20:54Z",
    "2019-05-15T15:20:55Z",
    "2019-05-15T15:20:56Z",
];

fn id_of(reply: &Reply) -> String {
    let told = reply.json();
    let id = told["deploymentId"].as_str();
    id.unwrap_or_else(|| panic!("{told}")).to_owned()
}

/// The examples of GitHub's own, end to end: a deployment, its success, and who said so.
#[tokio::test]
async fn the_shared_bodies_become_a_deployment() {
    let yard = Yard::open().await;
    let created = yard.github("deployment", "d1", CREATED).await;
    assert_eq!(outcome(&created), (200, "recorded".to_owned()));
    let id = id_of(&created);
    let ended = yard.github("deployment_status", "d2", SUCCEEDED).await;
    assert_eq!(outcome(&ended), (200, "moved".to_owned()));
    assert_eq!(
        (id_of(&ended), &ended.json()["status"]),
        (id.clone(), &json!("succeeded"))
    );
    let position = ended.header("daybook-position");
    assert_eq!(ended.json()["receipt"]["position"], position);
    assert_eq!(position, yard.app.head().await.to_string());
    let source = "feed:github/default".to_owned();
    let events = ["recorded", "started", "succeeded"];
    let events = events.map(|kind| (kind.to_owned(), source.clone()));
    assert_eq!(yard.events(&id).await, events);
    let query = "query($id: ID!) { deployment(id: $id) {
        project service environment version status tier } }";
    let shown = yard.app.settled(query, json!({ "id": id })).await;
    let want = json!({
        "project": "Codertocat/Hello-World", "service": "Hello-World",
        "environment": "production", "version": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e",
        "status": "SUCCEEDED", "tier": "PRODUCTION",
    });
    assert_eq!(shown["deployment"], want);
}

/// Nothing is lost and nothing doubled, whichever comes first; what is told late changes nothing.
#[tokio::test]
async fn deliveries_come_in_any_order() {
    let steps = [
        ("deployment", CREATED.to_vec()),
        ("deployment_status", status("in_progress", AT[0])),
        ("deployment_status", status("success", AT[1])),
    ];
    for (order, words, events) in [
        (
            [0, 1, 2],
            ["recorded", "moved", "moved"],
            &["recorded", "started", "succeeded"][..],
        ),
        (
            [0, 2, 1],
            ["recorded", "moved", "unchanged"],
            &["recorded", "started", "succeeded"],
        ),
        (
            [1, 0, 2],
            ["recorded", "unchanged", "moved"],
            &["recorded", "succeeded"],
        ),
        (
            [1, 2, 0],
            ["recorded", "moved", "unchanged"],
            &["recorded", "succeeded"],
        ),
        (
            [2, 0, 1],
            ["recorded", "unchanged", "unchanged"],
            &["recorded"],
        ),
        (
            [2, 1, 0],
            ["recorded", "unchanged", "unchanged"],
            &["recorded"],
        ),
    ] {
        let yard = Yard::open().await;
        let mut id = String::new();
        for (step, word) in order.into_iter().zip(words) {
            let (event, body) = &steps[step];
            let reply = yard.github(event, &format!("d{step}"), body).await;
            assert_eq!(outcome(&reply), (200, word.to_owned()), "{order:?}");
            id = id_of(&reply);
            // Sent again it is answered again, and another delivery of the same is no news.
            let again = yard.github(event, &format!("d{step}"), body).await;
            assert_eq!(again.header("idempotent-replayed"), "true", "{order:?}");
            let position = |reply: &serde_json::Value| reply["receipt"]["position"].clone();
            assert_eq!(
                position(&again.json()),
                position(&reply.json()),
                "{order:?}"
            );
            let other = yard.github(event, &format!("other{step}"), body).await;
            assert_eq!(outcome(&other), (200, "unchanged".to_owned()), "{order:?}");
        }
        assert_eq!(yard.types(&id).await, events, "{order:?}");
        let last = yard.github("deployment_status", "last", SUCCEEDED).await;
        assert_eq!(last.json()["status"], "succeeded", "{order:?}");
    }
}

/// A deployment has one end: another is refused, and that is what its sender is shown.
#[tokio::test]
async fn a_second_end_is_refused() {
    let yard = Yard::open().await;
    let failed = yard
        .github("deployment_status", "d1", &status("failure", AT[1]))
        .await;
    assert_eq!(outcome(&failed), (200, "recorded".to_owned()));
    let head = yard.app.head().await;
    for _ in 0..2 {
        let reply = yard
            .github("deployment_status", "d2", &status("success", AT[2]))
            .await;
        assert_eq!(outcome(&reply), (422, "ILLEGAL_TRANSITION".to_owned()));
        let told = reply.json();
        assert_eq!(
            (&told["from"], &told["to"]),
            (&json!("failed"), &json!("succeeded"))
        );
        assert_eq!(told["redeliver"], false);
    }
    assert_eq!(yard.app.head().await, head);
    // One that was called off is told of in our own words only.
    for (n, (status, word)) in [
        ("in_progress", (200, "recorded")),
        ("cancelled", (200, "moved")),
        ("approved", (200, "unchanged")),
        ("succeeded", (422, "ILLEGAL_TRANSITION")),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = yard
            .generic(&format!("m{n}"), &told("7", "web", status))
            .await;
        assert_eq!(outcome(&reply), (word.0, word.1.to_owned()), "{status}");
    }
}

/// W3, and the same id with another body: whether that comes to the same command or not.
#[tokio::test]
async fn w3_an_id_is_of_one_delivery() {
    let yard = Yard::open().await;
    let body = told("1", "web", "failed");
    assert_eq!(yard.generic("m1", &body).await.status, 200);
    let head = yard.app.head().await;
    yard.hand.advance(chrono::TimeDelta::minutes(4));
    let again = yard.generic("m1", &body).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (200, "true")
    );
    let mut why = body.clone();
    why["why"] = json!("out of memory");
    for other in [told("2", "web", "failed"), told("1", "api", "failed"), why] {
        let reply = yard.generic("m1", &other).await;
        assert_eq!(outcome(&reply), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()));
        assert_eq!(reply.json()["redeliver"], false);
    }
    assert_eq!(yard.app.head().await, head);
    // Other sources have ids of their own.
    let reply = yard.github("deployment", "m1", CREATED).await;
    assert_eq!(outcome(&reply), (200, "recorded".to_owned()));
}

/// One commit may deploy several services, and one run several environments.
#[tokio::test]
async fn one_run_deploys_several_services() {
    let yard = Yard::open().await;
    let mut elsewhere = told("1", "web", "succeeded");
    elsewhere["environment"] = json!("test");
    let bodies = [
        told("1", "web", "succeeded"),
        told("1", "api", "succeeded"),
        elsewhere,
    ];
    let mut ids = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        let reply = yard.generic(&format!("m{n}"), body).await;
        assert_eq!(outcome(&reply), (200, "recorded".to_owned()));
        ids.push(id_of(&reply));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

/// W4: fifty of one delivery at once, over two processes; then of the one that ends it.
#[tokio::test(flavor = "multi_thread")]
async fn w4_duplicates_at_once_apply_once() {
    let yard = Yard::open().await;
    let beside = yard.beside().await;
    let mut id = String::new();
    for (event, delivery, body) in [
        ("deployment", "d1", CREATED),
        ("deployment_status", "d2", SUCCEEDED),
    ] {
        let sent = (0..50).map(|n| {
            let app = if n % 2 == 0 { &yard.app } else { &beside };
            github(app, (GITHUB, SECRET), (event, delivery), body)
        });
        let replies = join_all(sent).await;
        let outcomes: Vec<_> = replies.iter().map(outcome).collect();
        let taken = replies.iter().all(|reply| reply.status == 200);
        assert!(taken, "{event}: {outcomes:?}");
        let first = replies
            .iter()
            .filter(|reply| reply.header("idempotent-replayed") != "true");
        assert_eq!(first.count(), 1, "{event}");
        id = id_of(&replies[0]);
    }
    assert_eq!(yard.types(&id).await, ["recorded", "started", "succeeded"]);
}

/// Different deliveries of one deployment at once, over two processes: each is taken, each step once.
#[tokio::test(flavor = "multi_thread")]
async fn steps_at_once_are_taken_once() {
    let yard = Yard::open().await;
    let beside = yard.beside().await;
    let bodies = [
        ("deployment", CREATED.to_vec()),
        ("deployment_status", status("in_progress", AT[0])),
        ("deployment_status", status("success", AT[1])),
    ];
    let sent = (0..24).map(|n| {
        let app = if n % 2 == 0 { &yard.app } else { &beside };
        let (event, body) = &bodies[n % 3];
        let id = format!("d{n}");
        async move { github(app, (GITHUB, SECRET), (event, &id), body).await }
    });
    let replies = join_all(sent).await;
    let outcomes: Vec<_> = replies.iter().map(outcome).collect();
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{outcomes:?}"
    );
    let types = yard.types(&id_of(&replies[0])).await;
    let [started, succeeded] =
        ["started", "succeeded"].map(|kind| types.iter().filter(|own| *own == kind).count());
    assert_eq!(types.iter().filter(|kind| *kind == "recorded").count(), 1);
    assert!(started <= 1 && succeeded <= 1 && types.len() == 1 + started + succeeded);
    let last = yard.github("deployment_status", "last", SUCCEEDED).await;
    assert_eq!(outcome(&last), (200, "unchanged".to_owned()));
    assert_eq!(last.json()["status"], "succeeded");
}
