//! What log records tell of somebody who has no account can be erased: by the user, by the batch.

use daybook::auth::Role;
use domain::log_source::{LogSourceCommand, PersonalFields, PersonalRule};
use serde_json::{Value, json};

use super::sources::tell;
use super::{counts, send, started};
use crate::support::TestApp;

const ERASE: &str =
    "mutation($person: LogPersonInput!) { eraseLogPerson(input: { person: $person }) {
    receipt { position } userErrors { code message path } } }";

pub(super) async fn erase(app: &TestApp, person: Value) {
    let told = app.data(ERASE, json!({ "person": person })).await;
    assert_eq!(told["eraseLogPerson"]["userErrors"], json!([]), "{person}");
}

/// A source that keeps telephone numbers sealed.
async fn shop(app: &TestApp) {
    let fields = [("properties.phone".to_owned(), PersonalRule::Seal)];
    let registered = LogSourceCommand::Register {
        limits: Default::default(),
        retention: Default::default(),
        personal_fields: PersonalFields(fields.into()),
        on_first_batch: false,
    };
    tell(app, registered).await;
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
