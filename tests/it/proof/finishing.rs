//! An erasure that was begun is finished, whoever began it and wherever they ended.

use std::time::Duration;

use daybook::config::Settings;
use serde_json::{Value, json};

use super::scene::{ask, events, hurried, register, sign_in, turned_away};
use crate::support::{Action, Step, TestApp, Trap, eventually};

const ERASE: &str = "mutation($input: UserInput!) { erasePersonalData(input: $input) {
    userErrors { code path } } }";

fn tends(settings: &mut Settings) {
    hurried(settings);
    settings.auth.tend_interval = Duration::from_millis(20);
}

/// One that finishes nothing by itself while a test lasts.
fn idle(settings: &mut Settings) {
    hurried(settings);
    settings.auth.tend_interval = Duration::from_secs(3_600);
}

async fn count(app: &TestApp, table: &str, column: &str, id: &str) -> i64 {
    let sql = format!("select count(*) from {table} where {column} = $1");
    let count = sqlx::query_scalar(&sql).bind(id);
    count.fetch_one(app.db().pool()).await.unwrap()
}

/// Rows of everything that could tell of a user beside the log.
async fn left(app: &TestApp, id: &str) -> i64 {
    let mut left = 0;
    for (table, column) in [
        ("subject_keys", "subject"),
        ("credentials", "user_id"),
        ("claims", "aggregate_id"),
        ("commands", "aggregate_id"),
        ("erasures", "subject"),
    ] {
        left += count(app, table, column, id).await;
    }
    left
}

/// As if the process that began it had ended more than a minute ago.
async fn time_passes(app: &TestApp) {
    sqlx::query("update erasures set requested_at = now() - interval '61 seconds'")
        .execute(app.db().pool())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_in_the_middle_of_an_erasure_is_finished_by_another_process() {
    let first = TestApp::with(idle).await;
    let steps: Vec<Step> = [
        ("insert", "events"),
        ("delete", "subject_keys"),
        ("delete", "claims"),
        ("delete", "commands"),
        ("delete", "credentials"),
        ("delete", "erasures"),
    ]
    .into_iter()
    .flat_map(|(event, table)| Step::around(event, table, ""))
    .collect();
    let mut trap = Trap::plant(first.db(), &steps).await;
    let second = first.beside(tends).await;
    for (nth, step) in steps.iter().enumerate() {
        let email = format!("somebody-{nth}@example.org");
        let id = register(&first, &email, "Somebody", &["VIEWER"]).await;
        let given = sign_in(&first, &email).await;
        assert_eq!(turned_away(&first, &given.access).await, None);
        let erased_before = events(&first, "user.personal_data_erased").await;

        trap.arm(step, Action::Disconnect).await;
        let input = json!({ "input": { "userId": id } });
        let told = ask(&first, None, ERASE, input.clone()).await;
        assert!(trap.is_sprung().await, "nobody came to {}", step.name);
        trap.disarm().await;
        let kept = events(&first, "user.personal_data_erased").await > erased_before;
        let failed = told["errors"] != Value::Null;
        assert!(failed || kept, "{}: {told}", step.name);
        let open = count(&first, "erasures", "subject", &id).await;
        if failed {
            assert_eq!(open, 1, "{}: it is known what was begun", step.name);
        }
        time_passes(&first).await;
        eventually("the erasure is settled", async || {
            count(&second, "erasures", "subject", &id).await == 0
        })
        .await;
        // By now it was done altogether, or it was not begun.
        let state = "query($id: ID!) { user(id: $id) { status name } }";
        let user = second.settled(state, json!({ "id": id })).await["user"].take();
        if kept {
            assert_eq!(left(&second, &id).await, 0, "{}", step.name);
            assert_eq!(
                user,
                json!({ "status": "ERASED", "name": null }),
                "{}",
                step.name
            );
            register(&second, &email, "Somebody else", &[]).await;
        } else {
            assert_eq!(
                user,
                json!({ "status": "ACTIVE", "name": "Somebody" }),
                "{}",
                step.name
            );
            sign_in(&second, &email).await;
            let told = ask(&second, None, ERASE, input).await;
            assert_eq!(told["data"]["erasePersonalData"]["userErrors"], json!([]));
            assert_eq!(left(&second, &id).await, 0, "{}", step.name);
        }
    }
}

/// What was only asked for is not done behind anybody's back, and one that cannot be done stops no other.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_never_kept_is_struck_off() {
    let first = TestApp::with(idle).await;
    let id = register(&first, "ada@example.org", "Ada", &["VIEWER"]).await;
    sqlx::query("insert into erasures (tenant, subject) values ('default', $1), ('nowhere', 'x')")
        .bind(&id)
        .execute(first.db().pool())
        .await
        .unwrap();
    // A minute is left to whoever is at it.
    let second = first.beside(tends).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&first, "erasures", "subject", &id).await, 1);
    time_passes(&first).await;
    eventually("both are struck off", async || {
        count(&first, "erasures", "subject", &id).await == 0
            && count(&first, "erasures", "subject", "x").await == 0
    })
    .await;
    let user = "{ users { nodes { name } } }";
    let told = second.settled(user, json!({})).await;
    assert_eq!(told["users"]["nodes"], json!([{ "name": "Ada" }]));
    sign_in(&second, "ada@example.org").await;
}
