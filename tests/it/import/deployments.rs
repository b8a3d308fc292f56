//! `daybook import deployments` and `daybook import changes`: a year of real deployments, and rows that
//! are none.

use std::fmt::Write as _;

use chrono::TimeDelta;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::Row;

use super::{Told, World, gz, past, start};

/// Four services of GOV.UK in 2024; see the NOTICE there.
const GOVUK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/govuk");

impl World {
    /// Runs `daybook import ARGS`.
    async fn run(&self, args: &[&str]) -> Told {
        let args = [&["import"], args].concat();
        Told::from(self.command(&args).output().await.unwrap())
    }

    /// How often the log says this; `what` is SQL over its events.
    async fn count(&self, what: &str) -> u64 {
        let query = format!("select count(*) from events where tenant = 'default' and {what}");
        let count: i64 = sqlx::query_scalar(&query)
            .fetch_one(self.db.pool())
            .await
            .unwrap();
        count.unsigned_abs()
    }

    /// Payloads of events of a type, in order.
    async fn payloads(&self, event_type: &str) -> Vec<Value> {
        let query = "select payload from events where event_type = $1 order by position";
        let rows = sqlx::query(query).bind(event_type);
        let rows = rows.fetch_all(self.db.pool()).await.unwrap();
        rows.iter().map(|row| row.get("payload")).collect()
    }

    /// What was told of the deployment with this external id and service.
    async fn recorded(&self, id: &str, service: &str) -> Value {
        let recorded = self.payloads("deployment.recorded").await;
        let mut plans = recorded.into_iter().filter(|e| {
            e["plan"]["external"]["id"] == json!(id) && e["plan"]["service"] == json!(service)
        });
        plans.next().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_deployments_and_their_changes_come_in_once() {
    let world = World::new().await;
    let truth = std::fs::read_to_string(format!("{GOVUK}/truth.json")).unwrap();
    let truth: Value = serde_json::from_str(&truth).unwrap();
    let (deployments, changes) = (
        format!("{GOVUK}/deployments.csv.gz"),
        format!("{GOVUK}/changes.csv.gz"),
    );
    let early = world.run(&["changes", "--preset", "govuk", &changes]).await;
    early.check(0, &["Rejected          1,645\n  NOT_FOUND 1,645\n"]);
    assert_eq!(world.head().await, 0);

    let args = ["deployments", "--preset", "govuk", &deployments];
    let lines = ["3,893 rows of 1 file", "Accepted          3,893\n"];
    world.run(&args).await.check(0, &lines);
    assert_eq!(world.head().await, 3_893);
    let recorded = world.payloads("deployment.recorded").await;
    for (environment, count) in truth["per_environment"].as_object().unwrap() {
        let of = |e: &&Value| e["plan"]["environment"] == json!(environment);
        assert_eq!(json!(recorded.iter().filter(of).count()), *count);
    }
    let production = |e: &&Value| e["tier"] == "production";
    let rollbacks = recorded.iter().filter(production);
    let rollbacks = rollbacks.filter(|e| e["plan"]["reason"] == "rollback");
    assert_eq!(json!(rollbacks.count()), truth["rollbacks"]);

    let args_of_changes = ["changes", "--preset", "govuk", &changes];
    let lines = ["1,645 rows of 1 file", "Accepted          1,645\n"];
    world.run(&args_of_changes).await.check(0, &lines);
    let added = world.payloads("deployment.changes_added").await;
    assert_eq!(
        json!(added.len()),
        truth["changes"]["deployments_with_changes"]
    );
    let of = |e: &Value| e["changes"].as_array().unwrap().len();
    assert_eq!(
        json!(added.iter().map(of).sum::<usize>()),
        truth["changes"]["rows"]
    );

    let head = world.head().await;
    let unchanged = "All that could be kept was in the log already; nothing changed.";
    let again = world.run(&args).await;
    again.check(0, &["Duplicate         3,893\n", unchanged]);
    let again = world.run(&args_of_changes).await;
    again.check(0, &["Duplicate         1,645\n", unchanged]);
    assert_eq!(world.head().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_tell_of_no_deployment_are_counted_and_named() {
    let world = World::new().await;
    let content = "\
id,service,environment,version,status,started_at,finished_at,by
7,cart,production,v1,,,2024-05-01T10:00:00Z,bot
7,search,production,v1,,,2024-05-01T10:00:00Z,Ada Lovelace
7,cart,production,v2,,,2024-05-01T10:00:00Z,bot
8,cart,staging,v2,in_progress,2024-05-01T10:00:00Z,,
9,cart,staging,,,,2024-05-01T10:00:00Z,
9,cart,staging,v3,,,2024-05-01T10:00:00Z,
,cart,staging,v3,,,2024-05-01T10:00:00Z,
10,cart,staging,v3,done,,2024-05-01T10:00:00Z,
11,cart,staging,v3,failed,2024-05-01T10:00:00Z,2024-05-01T09:00:00Z,
12,cart,staging,v3,,,,
13,cart,staging,v3,,,2999-05-01T10:00:00Z,
14,cart,staging,v3,,,yesterday,
15,cart,staging
";
    let file = world.file("f.csv", gz(content));
    let args = [
        "deployments",
        "--source",
        "ci",
        "--project",
        "shop",
        "--machine",
        "bot",
        &file,
    ];
    let told = world.run(&args).await;
    let lines = [
        "13 rows of 1 file",
        "Accepted              4\n",
        "Duplicate             1, 1 of them unlike what was kept\n    ",
        "f.csv:4\n",
        "Rejected              8\n",
        "BAD_TIMESTAMP 1",
        "TIME_IN_FUTURE 1",
        "TIME_TRAVEL 1",
        "VALIDATION 5",
        "f.csv:6: version is empty",
        "f.csv:8: id is empty",
        "f.csv:9: status is none of its words",
        "Every read model is as of position 4.",
    ];
    told.check(0, &lines);
    assert_eq!(world.head().await, 4);
    let by = world.recorded("7", "cart").await["requestedBy"].clone();
    assert_eq!(by, json!({"machine": "bot"}));
    let by = world.recorded("7", "search").await["requestedBy"].clone();
    assert!(by["person"]["sealed"].is_string(), "{by:?}");
    assert_eq!(world.count("payload::text like '%Lovelace%'").await, 0);
    assert_eq!(world.count("metadata->>'backfill' = 'true'").await, 4);

    let elsewhere = [
        "deployments",
        "--source",
        "other",
        "--project",
        "shop",
        &file,
    ];
    world
        .run(&elsewhere)
        .await
        .check(0, &["Accepted              4\n"]);
    let nowhere = world.run(&["deployments", &file]).await;
    nowhere.check(1, &[]);
    let said = "f.csv: no column project; it has id, service, environment, version";
    assert!(nowhere.err.contains(said), "{}", nowhere.err);
}

/// What is known stays as it was told first, and who tells of it otherwise is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_deployment_told_otherwise_is_named() {
    let world = World::new().await;
    let header = "id,project,service,environment,version,started_at,finished_at,by\n";
    let row = |version: &str, started: &str, by: &str| {
        format!("7,shop,cart,production,{version},{started},2024-05-01T10:00:00Z,{by}\n")
    };
    let told = [header, &row("v1", "", "Ada")].concat();
    let told = world.file("told.csv", told);
    world
        .run(&["deployments", &told])
        .await
        .check(0, &["Accepted              1\n"]);
    let again = [
        header,
        // Their names are sealed: nobody knows that it is another.
        &row("v1", "", "Grace"),
        &row("v2", "", "Ada"),
        &row("v1", "2024-05-01T09:00:00Z", "Ada"),
        &row("v1", "2024-05-01T11:00:00Z", "Ada"),
        &row("v1", "", ""),
        &row("v1", "", "Ada"),
    ];
    let again = world.file("again.csv", again.concat());
    let lines = [
        "Duplicate             6, 4 of them unlike what was kept\n",
        "again.csv:3\n",
        "again.csv:4\n",
        "again.csv:5\n    ...\n",
    ];
    world.run(&["deployments", &again]).await.check(0, &lines);
    assert_eq!(world.head().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_may_be_an_object() {
    let world = World::new().await;
    let content = r#"{"id": 7, "project": "shop", "service": "cart", "environment": "production", "sha": "abc", "finished_at": "2024-05-01T10:00:00Z"}
{"id": 8, "project": "shop", "service": "cart", "environment": "production", "sha": "abd", "finished_at": "2024-05-01T11:00:00Z", "previous_version": "abc"}
{"id": 9, "id": 10}
{"id": 9
"#;
    let file = world.file("f.ndjson", content);
    let told = world.run(&["deployments", "--version", "sha", &file]).await;
    let lines = [
        "4 rows of 1 file",
        "Accepted              2\n",
        "DUPLICATE_KEY 1\n",
        "f.ndjson:4: the line is no JSON object",
    ];
    told.check(0, &lines);
    let plan = world.recorded("8", "cart").await["plan"].clone();
    assert_eq!(plan["previousVersion"], "abc");
    assert_eq!(plan["external"], json!({"source": "import", "id": "8"}));

    let fixes = r#"{"vehicle": "7", "time": "2024-05-01T10:00:00Z", "lat": 52.1, "lon": 13.1}"#;
    let fixes = world.file("fixes.ndjson", gz(fixes));
    world
        .import(&[&fixes])
        .await
        .check(0, &["Accepted              1\n"]);
    let wrong = world.run(&["deployments", &file]).await;
    wrong.check(1, &[]);
    let said = "f.ndjson: no column version; it has ";
    assert!(wrong.err.contains(said), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_change_is_refused_alone_and_many_are_several_events() {
    let world = World::new().await;
    let deployment = "id,project,service,environment,version,finished_at\n\
                      7,shop,cart,production,v1,2024-05-01T10:00:00Z\n";
    let deployment = world.file("d.csv", deployment);
    world.run(&["deployments", &deployment]).await.check(0, &[]);
    let mut content = String::from("deployment,service,change,committed_at,merged_at\n");
    let mut row = |deployment: &str, change: &str, at: &str| {
        writeln!(content, "{deployment},cart,{change},{at},").unwrap();
    };
    row("8", "c-0", "2024-04-30T10:00:00Z");
    row("7", &"c".repeat(65), "2024-04-30T10:00:00Z");
    row("7", "c-0", "");
    row("7", "c-0", "2024-04-30T10:00:00Z");
    row("7", "c-0", "2024-04-30T11:00:00Z");
    for n in 1..1_200 {
        row("7", &format!("c-{n}"), "2024-04-30T10:00:00Z");
    }
    let file = world.file("c.csv", content);
    let args = ["changes", "--environment", "production", &file];
    let lines = [
        "1,204 rows of 1 file",
        "Accepted          1,200\n",
        "Duplicate             1\n",
        "NOT_FOUND 1\n",
        "c.csv:2: no such deployment",
        "TOO_LARGE 1\n",
        "c.csv:3: id is larger than 64 characters",
        "c.csv:4: committedAt is empty",
    ];
    world.run(&args).await.check(0, &lines);
    let added = world.payloads("deployment.changes_added").await;
    let of = |e: &Value| e["changes"].as_array().unwrap().len();
    let counts: Vec<_> = added.iter().map(of).collect();
    assert_eq!(counts, [999, 201]);
    assert_eq!(
        added[0]["changes"][0]["committedAt"],
        "2024-04-30T10:00:00Z"
    );

    let head = world.head().await;
    let again = world.run(&args).await;
    again.check(0, &["Duplicate         1,201\n", "nothing changed."]);
    assert_eq!(world.head().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_that_were_cut_short_are_taken_up_by_the_next_run() {
    let world = World::new().await;
    let mut content = String::from("id,project,service,environment,version,finished_at\n");
    for n in 0..20_000_i64 {
        let at = (start() + TimeDelta::seconds(n)).to_rfc3339();
        writeln!(content, "{n},shop,s-{},production,v{n},{at}", n % 50).unwrap();
    }
    let file = world.file("f.csv", content);
    let args = ["import", "deployments", &file];
    let mut killed = world.command(&args).spawn().unwrap();
    past(&world, 500, &mut killed).await;
    killed.kill().await.unwrap();
    let after_kill = world.head().await;

    let mut stopped = world.command(&args).spawn().unwrap();
    past(&world, after_kill + 500, &mut stopped).await;
    let pid = Pid::from_raw(stopped.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let told = Told::from(stopped.wait_with_output().await.unwrap());
    told.check(
        130,
        &["Stopped before the end. Run the same command again to go on."],
    );

    let told = world.run(&["deployments", &file]).await;
    told.check(0, &["20,000 rows of 1 file", "Rejected              0"]);
    assert_eq!(world.head().await, 20_000);
    let all = "aggregate_type = 'deployment' and sequence = 1";
    assert_eq!(world.count(all).await, 20_000);
}
