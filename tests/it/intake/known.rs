//! What a source may tell, and where: its projects, its tenant, and how long it waits for an answer.

use std::time::Duration;

use serde_json::json;

use super::scene::{CREATED, GITHUB, OTHER, SUCCEEDED, Yard, github, outcome, told};
use crate::support::eventually;

#[tokio::test]
async fn a_source_tells_of_its_own_projects_alone() {
    let yard = Yard::open().await;
    let head = yard.app.head().await;
    let mut body = told("1", "web", "approved");
    body["project"] = json!("warehouse");
    let reply = yard.generic("m1", &body).await;
    assert_eq!(outcome(&reply), (403, "FORBIDDEN".to_owned()));
    assert_eq!(reply.json()["project"], "warehouse");
    assert_eq!(reply.json()["redeliver"], false);
    let theirs =
        String::from_utf8_lossy(CREATED).replace("Codertocat/Hello-World", "Eve/Hello-World");
    let reply = yard.github("deployment", "d1", theirs.as_bytes()).await;
    assert_eq!(outcome(&reply), (403, "FORBIDDEN".to_owned()));
    assert_eq!(yard.app.head().await, head);
}

/// Whoever may tell of one project cannot end what runs in another by calling it by its name there.
#[tokio::test]
async fn names_of_another_project_are_taken() {
    let yard = Yard::open().await;
    let reply = yard.github("deployment", "d1", CREATED).await;
    let id = reply.json()["deploymentId"].as_str().unwrap().to_owned();
    let head = yard.app.head().await;
    let mut body = told("145988746", "Hello-World", "failed");
    body["source"] = json!("github");
    body["environment"] = json!("production");
    let reply = yard.generic("m1", &body).await;
    assert_eq!(outcome(&reply), (422, "EXTERNAL_ID_TAKEN".to_owned()));
    assert_eq!(yard.app.head().await, head);
    assert_eq!(yard.types(&id).await, ["recorded"]);
}

/// A source writes to its tenant's log, and to none that is suspended or not there.
#[tokio::test]
async fn a_source_writes_to_its_tenants_log() {
    let yard = Yard::open().await;
    let path = format!("{GITHUB}/other");
    let send = async |id: &str| {
        let reply = github(&yard.app, (&path, OTHER), ("deployment", id), CREATED).await;
        outcome(&reply)
    };
    assert_eq!(send("d1").await, (404, "NOT_FOUND".to_owned()));
    let change = async |mutation: &str, input: &str| {
        let query = format!(
            "mutation($i: {input}!) {{ {mutation}(input: $i) {{ userErrors {{ code }} }} }}"
        );
        let input = match mutation {
            "createTenant" => json!({ "id": "south", "name": "South" }),
            "suspendTenant" => json!({ "id": "south", "reason": "a test" }),
            _ => json!({ "id": "south" }),
        };
        let told = yard.app.data(&query, json!({ "i": input })).await;
        assert_eq!(told[mutation]["userErrors"], json!([]), "{mutation}");
    };
    change("createTenant", "CreateTenantInput").await;
    let heads = async || {
        let store = yard.app.store();
        let of = async |tenant: &str| store.head(tenant).await.unwrap().0;
        (of("default").await, of("south").await)
    };
    let before = heads().await;
    assert_eq!(send("d1").await, (200, "recorded".to_owned()));
    assert_eq!(heads().await, (before.0, before.1 + 1));
    change("suspendTenant", "SuspendTenantInput").await;
    let before = heads().await;
    for id in ["d1", "d2"] {
        assert_eq!(send(id).await, (422, "TENANT_SUSPENDED".to_owned()));
    }
    assert_eq!(heads().await, before);
    change("resumeTenant", "ResumeTenantInput").await;
    assert_eq!(send("d2").await, (200, "unchanged".to_owned()));
}

/// Whoever waits for an answer has one in time, and can send it again: it applies once.
#[tokio::test]
async fn an_answer_comes_in_time_whatever_the_log_does() {
    let yard = Yard::with(|settings| {
        settings.intake.answer_within = Duration::from_millis(300);
    })
    .await;
    let pool = yard.app.store().pool().clone();
    let mut lock = projections::begin(&pool, "begin").await.unwrap();
    sqlx::query("select 1 from logs where tenant = 'default' for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    let reply = yard.github("deployment", "d1", CREATED).await;
    assert_eq!(outcome(&reply), (504, "TIMEOUT".to_owned()));
    assert_eq!(reply.json()["redeliver"], true);
    lock.rollback().await.unwrap();
    // On a busy machine more than one of them may be told to come again.
    let mut told = json!(null);
    eventually("it was taken, once", async || {
        let reply = yard.github("deployment", "d1", CREATED).await;
        told = reply.json();
        reply.status == 200 && told["receipt"]["replayed"] == true
    })
    .await;
    let id = told["deploymentId"].as_str().unwrap();
    assert_eq!(yard.types(id).await, ["recorded"]);
}

/// A copy of a delivery whose steps are on their way waits for them: were it answered on what may never be
/// kept, it would not come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_not_answered_on_steps_that_are_on_their_way() {
    let yard = Yard::open().await;
    let created = yard.github("deployment", "d0", CREATED).await;
    assert_eq!(outcome(&created), (200, "recorded".to_owned()));
    let pool = yard.app.db().pool();
    let hold = "
        create function hold() returns trigger language plpgsql as $$
        begin
            perform pg_advisory_xact_lock(4712);
            return new;
        end $$;
        create trigger hold before insert on events for each row
            when (new.event_type = 'deployment.succeeded') execute function hold()";
    sqlx::raw_sql(hold).execute(pool).await.unwrap();
    let mut held = projections::begin(pool, "begin").await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(4712)")
        .execute(&mut *held)
        .await
        .unwrap();
    let deliver = async || yard.github("deployment_status", "d1", SUCCEEDED).await;
    let on_its_way = eventually("its end waits in the log", async || {
        let waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                     and objid = 4712
                     and database = (select oid from pg_database where datname = current_database()))";
        let waits = sqlx::query_scalar::<_, bool>(waits);
        waits.fetch_one(pool).await.unwrap()
    });
    let mut first = Box::pin(deliver());
    tokio::select! {
        early = &mut first => panic!("{:?}", outcome(&early)),
        () = on_its_way => {}
    }
    let mut copy = Box::pin(deliver());
    let early = tokio::time::timeout(Duration::from_millis(500), &mut copy).await;
    assert!(early.is_err(), "{:?}", early.map(|reply| outcome(&reply)));
    held.rollback().await.unwrap();
    let (first, copy) = tokio::join!(first, copy);
    assert_eq!(outcome(&first), (200, "moved".to_owned()));
    assert_eq!(copy.status, 200);
    let told = copy.json();
    assert_eq!(told["status"], "succeeded");
    let id = told["deploymentId"].as_str().unwrap();
    assert_eq!(yard.types(id).await, ["recorded", "started", "succeeded"]);
}
