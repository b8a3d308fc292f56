//! What log records tell of somebody who has no account can be erased: by the user, by the batch.

use daybook::auth::Role;
use serde_json::{Value, json};

use super::sources::sealing;
use super::{count, counts, send, started};
use crate::support::TestApp;

const ERASE: &str = "mutation($person: LogPersonInput!, $id: ID) {
    eraseLogPerson(input: { person: $person, commandId: $id }) {
        receipt { position replayed } userErrors { code message path } } }";

pub(super) async fn erase(app: &TestApp, person: Value) {
    erase_by(app, person, Value::Null).await;
}

/// By a command of this id; was it kept before?
async fn erase_by(app: &TestApp, person: Value, id: Value) -> bool {
    let told = app.data(ERASE, json!({ "person": person, "id": id })).await;
    assert_eq!(told["eraseLogPerson"]["userErrors"], json!([]), "{person}");
    told["eraseLogPerson"]["receipt"]["replayed"] == true
}

/// A source that keeps telephone numbers sealed.
async fn shop(app: &TestApp) {
    sealing(app, &["properties.phone"]).await;
}

/// Hands in a record with a telephone number; the batch it became.
async fn called(app: &TestApp, id: &str, user: Option<&str>) -> Value {
    let mut said = super::record(Some(id));
    said["user_id"] = json!(user);
    said["properties"] = json!({ "phone": "+49 30 1" });
    let source = [("daybook-log-source", "web-shop")];
    let (_, mut told) = send(app, &[said], &source).await;
    assert_eq!(counts(&told), [1, 0, 0], "{told}");
    told["batchId"].take()
}

/// The ids whose telephone numbers nobody can read any more.
async fn gone(app: &TestApp) -> Vec<String> {
    let query = "{ logs(orderBy: OLDEST_FIRST) { nodes { eventId personal { erased } } } }";
    let shown = app.settled(query, json!({})).await;
    let nodes = shown["logs"]["nodes"].as_array().unwrap();
    let erased = nodes
        .iter()
        .filter(|node| node["personal"]["erased"] == true);
    let mut ids: Vec<String> = erased
        .map(|node| node["eventId"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_user_is_erased_up_to_now_and_later_again() {
    let app = started().await;
    shop(&app).await;
    called(&app, "a", Some("ann@example.org")).await;
    called(&app, "b", Some("bob@example.org")).await;
    erase(&app, json!({ "user": "ann@example.org" })).await;
    called(&app, "c", Some("ann@example.org")).await;
    assert_eq!(gone(&app).await, ["a"]);
    let query = r#"{ logs(filter: { user: "ann@example.org" }) { nodes { userId } } }"#;
    let shown = app.settled(query, json!({})).await;
    let nodes = shown["logs"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2, "the records stay");
    erase(&app, json!({ "pseudonym": nodes[0]["userId"] })).await;
    assert_eq!(gone(&app).await, ["a", "c"]);
    let events =
        r#"{ events(types: ["log_person.personal_data_erased"]) { nodes { aggregateId } } }"#;
    let told = app.settled(events, json!({})).await;
    let one =
        json!({ "aggregateId": format!("log_user:{}", nodes[0]["userId"].as_str().unwrap()) });
    assert_eq!(told["events"]["nodes"], json!([one, one]));
}

#[tokio::test]
async fn what_names_no_user_is_erased_with_its_batch_and_only_that() {
    let app = started().await;
    shop(&app).await;
    let batch = called(&app, "a", None).await;
    called(&app, "b", None).await;
    erase(&app, json!({ "batchId": batch })).await;
    assert_eq!(gone(&app).await, ["a"]);
    let bad = [
        (json!({ "pseudonym": "ann@example.org" }), "VALIDATION"),
        (json!({ "user": "" }), "VALIDATION"),
        (json!({ "batchId": "" }), "VALIDATION"),
    ];
    for (person, code) in bad {
        let told = app.data(ERASE, json!({ "person": person })).await;
        let told = &told["eraseLogPerson"];
        assert_eq!(told["userErrors"][0]["code"], code, "{person}");
        assert_eq!(told["receipt"], Value::Null);
    }
}

#[tokio::test]
async fn an_erasure_that_is_told_again_erases_nothing_that_came_since() {
    let app = started().await;
    shop(&app).await;
    let ann = json!({ "user": "ann@example.org" });
    called(&app, "a", Some("ann@example.org")).await;
    assert!(!erase_by(&app, ann.clone(), json!("e-1")).await);
    called(&app, "b", Some("ann@example.org")).await;
    assert!(erase_by(&app, ann.clone(), json!("e-1")).await);
    assert_eq!(gone(&app).await, ["a"]);
    assert!(!erase_by(&app, ann, json!("e-2")).await);
    assert_eq!(gone(&app).await, ["a", "b"]);
}

#[tokio::test]
async fn an_erasure_that_was_cut_off_is_finished_by_asking_again() {
    let app = started().await;
    shop(&app).await;
    let ann = json!({ "user": "ann@example.org" });
    called(&app, "a", Some("ann@example.org")).await;
    let run = async |statement: &str| {
        let done = sqlx::query(statement).execute(app.db().pool()).await;
        done.unwrap().rows_affected()
    };
    run("create table kept_keys as select * from subject_keys").await;
    assert!(!erase_by(&app, ann.clone(), json!("e-1")).await);
    // As if the process had ended between the append and the destruction of the key.
    let back = "insert into subject_keys select * from kept_keys where subject like 'log\\_user:%'";
    assert_eq!(run(back).await, 1);
    let begun = "insert into erasures (tenant, subject) select tenant, subject from kept_keys
                 where subject like 'log\\_user:%'";
    assert_eq!(run(begun).await, 1);
    assert_eq!(gone(&app).await, Vec::<String>::new());
    assert!(erase_by(&app, ann, json!("e-1")).await);
    assert_eq!(gone(&app).await, ["a"]);
    assert_eq!(count(&app, "select count(*) from erasures").await, 0);
}

#[tokio::test]
async fn nobody_erases_anothers() {
    let app = started().await;
    shop(&app).await;
    let batch = called(&app, "a", None).await;
    called(&app, "b", Some("ann@example.org")).await;
    let shown = app
        .settled("{ logs(first: 1) { nodes { userId } } }", json!({}))
        .await;
    let create = r#"mutation { createTenant(input: { id: "south", name: "South" }) { userErrors { code } } }"#;
    let made = app.data(create, json!({})).await;
    assert_eq!(made["createTenant"]["userErrors"], json!([]));
    let admin = format!("Bearer {}", app.token(&[Role::Admin], "south"));
    for person in [
        json!({ "pseudonym": shown["logs"]["nodes"][0]["userId"] }),
        json!({ "batchId": batch }),
        json!({ "user": "ann@example.org" }),
    ] {
        let body = json!({ "query": ERASE, "variables": { "person": person } }).to_string();
        let reply = app
            .post(body.as_bytes(), &[("authorization", &admin)])
            .await;
        let told = reply.json();
        assert_eq!(
            told["data"]["eraseLogPerson"]["userErrors"],
            json!([]),
            "{told}"
        );
    }
    assert_eq!(gone(&app).await, Vec::<String>::new());
}
