//! Whose records are taken: sources, callers, and what their settings do to records.

use daybook::auth::Role;
use daybook::commands::CommandContext;
use domain::log_source::{
    LogLimits, LogRetention, LogSource, LogSourceCommand, PersonalFields, PersonalRule,
};
use domain::{Actor, ActorKind};
use serde_json::{Value, json};

use super::{BATCH, count, counts, now, record, send, started};
use crate::log::scene::Hold;
use crate::support::TestApp;

const SOURCE: (&str, &str) = ("daybook-log-source", "web-shop");

fn of_ann() -> CommandContext {
    let actor = Actor {
        kind: ActorKind::User,
        id: "ann".into(),
    };
    CommandContext::new("default".into(), actor, now())
}

pub(super) async fn tell(app: &TestApp, command: LogSourceCommand) {
    let door = &app.app().door;
    door.execute::<LogSource>(&of_ann(), "web-shop", command)
        .await
        .unwrap();
}

/// Registers the source `web-shop`, which has these fields of its records sealed.
pub(super) async fn sealing(app: &TestApp, paths: &[&str]) {
    let fields = paths
        .iter()
        .map(|path| ((*path).to_owned(), PersonalRule::Seal));
    tell(app, registered(PersonalFields(fields.collect()))).await;
}

fn registered(personal_fields: PersonalFields) -> LogSourceCommand {
    LogSourceCommand::Register {
        limits: LogLimits::default(),
        retention: LogRetention::default(),
        personal_fields,
        on_first_batch: false,
    }
}

async fn code(app: &TestApp, records: &[Value]) -> (u16, String) {
    let (status, told) = send(app, records, &[SOURCE]).await;
    (status, told["code"].as_str().unwrap_or("ok").to_owned())
}

#[tokio::test]
async fn a_source_that_is_paused_takes_nothing_from_any_process() {
    let first = started().await;
    let second = first.beside(|_| ()).await;
    let records = [record(None)];
    for app in [&first, &second] {
        assert_eq!(code(app, &records).await, (200, "ok".to_owned()));
    }
    let registered = "select count(*) from events where event_type = 'log_source.registered'";
    assert_eq!(count(&first, registered).await, 1, "by its first batch");
    let reason = "too noisy".to_owned();
    tell(&first, LogSourceCommand::Pause { reason }).await;
    let head = first.head().await;
    for app in [&second, &first] {
        let (_, refused) = send(app, &records, &[SOURCE]).await;
        assert_eq!(refused["code"], "STREAM_PAUSED", "{refused}");
    }
    assert_eq!(first.head().await, head);
    tell(&first, LogSourceCommand::Resume).await;
    for app in [&second, &first] {
        assert_eq!(code(app, &records).await, (200, "ok".to_owned()));
    }
    let (status, told) = send(
        &first,
        &records,
        &[("daybook-log-source", &*"x".repeat(300))],
    )
    .await;
    assert_eq!((status, &told["code"]), (422, &json!("TOO_LARGE")));
}

/// What a process has decided of a source and the log has not yet kept is nothing to judge records by.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_judged_by_what_the_log_holds_of_its_source() {
    let first = started().await;
    let second = first.beside(|_| ()).await;
    tell(&first, registered(PersonalFields::default())).await;
    let reason = "too noisy".to_owned();
    // Now the first process is behind, and what it decides next stands on nothing.
    tell(&second, LogSourceCommand::Pause { reason }).await;
    let mut hold = Hold::head(first.db().options()).await;
    let (door, mut ctx) = (first.app().door.clone(), of_ann());
    ctx.expected_version = Some(1);
    let late = tokio::spawn(async move {
        let retention = LogRetention {
            days: Some(9),
            ..LogRetention::default()
        };
        let command = LogSourceCommand::SetRetention { retention };
        door.execute::<LogSource>(&ctx, "web-shop", command).await
    });
    hold.until_waiting(1).await;
    let records = [record(None)];
    let release = async {
        // Of old it waited here behind the other; now it is answered without the log.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        hold.release().await;
    };
    let ((_, told), ()) = tokio::join!(send(&first, &records, &[SOURCE]), release);
    assert_eq!(told["code"], "STREAM_PAUSED", "{told}");
    let refused = late.await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("version"), "{refused}");
    let batches = "select count(*) from events where event_type = 'log_batch.accepted'";
    assert_eq!(count(&first, batches).await, 0);
}

#[tokio::test]
async fn only_who_may_hands_records_in_and_operators_alone_make_sources() {
    let app = started().await;
    let body = json!({ "logs": [record(None)] }).to_string();
    let told = async |role: Option<Role>| {
        let token = role.map(|role| format!("Bearer {}", app.token(&[role], "default")));
        let token = token.unwrap_or_else(|| "Bearer x".to_owned());
        let headers = [
            ("content-type", "application/json"),
            SOURCE,
            ("authorization", &*token),
        ];
        let reply = app.send(BATCH, &headers, body.as_bytes()).await;
        (
            reply.status,
            reply.json()["code"].as_str().unwrap_or("ok").to_owned(),
        )
    };
    assert_eq!(told(None).await, (401, "UNAUTHENTICATED".to_owned()));
    assert_eq!(
        told(Some(Role::Viewer)).await,
        (403, "FORBIDDEN".to_owned())
    );
    let (_, code) = told(Some(Role::Ingest)).await;
    assert_eq!(code, "LOG_SOURCE_UNKNOWN");
    assert_eq!(app.head().await, 0);
    assert_eq!(told(Some(Role::Operator)).await, (200, "ok".to_owned()));
    assert_eq!(told(Some(Role::Ingest)).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn what_a_source_declares_personal_is_sealed_and_its_ids_are_kept_as_it_says() {
    let app = started().await;
    let sealed = ["userId", "properties.email"].map(|path| (path.to_owned(), PersonalRule::Seal));
    let register = LogSourceCommand::Register {
        limits: LogLimits::default(),
        retention: LogRetention {
            id_days: Some(30),
            ..LogRetention::default()
        },
        personal_fields: PersonalFields(sealed.into_iter().collect()),
        on_first_batch: false,
    };
    tell(&app, register).await;
    let of = |user: Option<&str>, id: &str| {
        let mut record = record(Some(id));
        record["user_id"] = json!(user);
        record["properties"] = json!({ "email": "bob@example.org" });
        record
    };
    let records = [of(Some("bob"), "a"), of(Some("bob"), "b"), of(None, "c")];
    let (status, told) = send(&app, &records, &[SOURCE]).await;
    assert_eq!((status, counts(&told)), (200, [3, 0, 0]), "{told}");
    assert!(!app.db().dump().await.contains("bob@example.org"));
    let keys = "select count(*) from subject_keys where subject like 'log\\_%'";
    assert_eq!(count(&app, keys).await, 2, "the user's and the batch's");
    let days = "select count(*) from record_ids where forget_on = current_date + 31";
    assert_eq!(count(&app, days).await, 3);

    let query = "{ events(first: 10) { nodes { type payload redacted { field reason } } } }";
    let told = app.data(query, json!({})).await;
    let nodes = told["events"]["nodes"].as_array().unwrap();
    let batch = nodes
        .iter()
        .find(|node| node["type"] == "log_batch.accepted")
        .unwrap();
    assert_eq!(batch["payload"]["personal"], Value::Null);
    let redacted = json!([{ "field": "personal", "reason": "PERSONAL" }]);
    assert_eq!(batch["redacted"], redacted);
}
