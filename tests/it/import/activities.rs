//! `daybook import activities`: days of real people, and rows that are no activities.

use std::fmt::Write as _;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Told, World, gz, past};

/// A month of Fitbit; see the NOTICE there.
const FITBIT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/fitbit/dailyActivity_merged.csv.gz"
);

impl World {
    async fn activities(&self, args: &[&str]) -> Told {
        let args = [&["import", "activities"], args].concat();
        Told::from(self.command(&args).output().await.unwrap())
    }

    /// What the log says that a user did, in its order.
    async fn did(&self, user: &str) -> Vec<Value> {
        let query = "select payload from events where event_type = 'activity_log.synced'
                     and payload->>'user' = $1 order by position";
        let payloads: Vec<Value> = sqlx::query_scalar(query)
            .bind(user)
            .fetch_all(self.db.pool())
            .await
            .unwrap();
        let of = |payload: &Value, field: &str| payload[field].as_array().cloned();
        let told = payloads.iter().flat_map(|payload| {
            let recorded = of(payload, "recorded").unwrap_or_default();
            recorded
                .into_iter()
                .chain(of(payload, "amended").unwrap_or_default())
        });
        told.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_fitbit_come_in_once() {
    let world = World::new().await;
    let args = ["--preset", "fitbit", "--zone", "America/New_York", FITBIT];
    let told = world.activities(&args).await;
    let lines = [
        "940 rows of 1 file",
        "Accepted            940\n",
        "Rejected              0\n",
        "Every read model is as of position ",
    ];
    told.check(0, &lines);
    let head = world.head().await;
    let days = world.did("1503960366").await;
    let day = days
        .iter()
        .find(|day| day["activity"]["externalId"] == "2016-04-13")
        .unwrap();
    let want = json!({
        "source": "fitbit", "externalId": "2016-04-13", "kind": "day",
        "start": "2016-04-13T04:00:00Z", "end": "2016-04-14T04:00:00Z", "manual": false,
        "measures": { "steps": 10_735, "distanceMm": 6_970_000, "caloriesKcal": 1_797,
                      "activeMinutes": 40 },
    });
    assert_eq!(day["activity"], want);
    let lifted = "select bool_and(metadata->>'backfill' = 'true') from events";
    let lifted: bool = sqlx::query_scalar(lifted)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    assert!(lifted);

    let again = world.activities(&args).await;
    let unchanged = "All that could be kept was in the log already; nothing changed.";
    again.check(0, &["Duplicate           940\n", unchanged]);
    assert_eq!(world.head().await, head);

    let wrong = world.activities(&["--zone", "Mars/Olympus", FITBIT]).await;
    assert_eq!(wrong.code, Some(2), "{}", wrong.err);
    let said = "Mars/Olympus is no zone of the IANA database";
    assert!(wrong.err.contains(said), "{}", wrong.err);
    let wrong = world.activities(&[FITBIT]).await;
    wrong.check(1, &[]);
    let said = "no column user, id, kind, start, end; it has Id, ActivityDate";
    assert!(wrong.err.contains(said), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_tell_of_no_activity_are_counted_and_named() {
    let world = World::new().await;
    let content = "\
user,id,start,end,steps,distance,manual
ada,1,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3000,2.1005,
ada,1,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3000,2.1005,false
ada,1,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3001,2.1005,
bob,1,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,10,,true
ada,2,2024-05-01T10:00:00Z,2024-05-01T09:30:00Z,3000,,
ada,3,2024-05-01T10:00:00Z,2024-05-09T10:00:00Z,3000,,
ada,4,2999-05-01T10:00:00Z,2999-05-01T11:00:00Z,3000,,
ada,5,2024-05-01,2024-05-01T11:00:00Z,3000,,
ada,6,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,,,
ada,7,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,1e3,,
ada,8,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3000
,9,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3000,,
ada,,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3000,,
ada,10,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3000,NaN,
ada,11,2024-05-01T10:00:00Z,2024-05-01T10:30:00Z,3000,-1,
";
    let file = world.file("f.csv", gz(content));
    let args = [
        "--source",
        "watch",
        "--kind",
        "walking",
        "--distance-unit",
        "km",
        &file,
    ];
    let told = world.activities(&args).await;
    let lines = [
        "15 rows of 1 file",
        "Accepted              2\n",
        "Duplicate             1\n",
        "Rejected             12\n",
        "ACTIVITY_IN_FUTURE 1",
        "BAD_TIMESTAMP 1",
        "OUT_OF_RANGE 2",
        "TIME_TRAVEL 1",
        "VALIDATION 7",
        "f.csv:4: an earlier record of the sync says something else of this activity",
        "f.csv:10: nothing was measured",
    ];
    told.check(0, &lines);
    let days = world.did("ada").await;
    assert_eq!(days.len(), 1);
    assert_eq!(
        days[0]["activity"]["measures"],
        json!({ "steps": 3_000, "distanceMm": 2_100_500 })
    );
    let head = world.head().await;
    let again = world.activities(&args).await;
    again.check(
        0,
        &["Accepted              0\n", "Duplicate             3\n"],
    );
    assert_eq!(world.head().await, head);

    // Told otherwise by itself it is amended; a line may be an object.
    let object = r#"{"user": "ada", "id": 1, "start": "2024-05-01T10:00:00Z", "end": "2024-05-01T10:30:00Z", "steps": 3001, "floors": 4}"#;
    let object = world.file("f.ndjson", object);
    let args = [
        "--source",
        "watch",
        "--kind",
        "walking",
        "--measure",
        "floors=climbed",
        &object,
    ];
    let told = world.activities(&args).await;
    told.check(0, &["Accepted              1\n"]);
    let days = world.did("ada").await;
    assert_eq!(days[1]["revision"], 2);
    assert_eq!(
        days[1]["activity"]["measures"],
        json!({ "steps": 3_001, "custom": { "climbed": 4 } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_that_were_cut_short_are_taken_up_by_the_next_run() {
    let world = World::new().await;
    let mut content = String::from("user,kind,date,steps\n");
    for user in 0..400 {
        for day in 1..=50 {
            let (month, day) = (1 + day / 28, 1 + day % 28);
            writeln!(content, "u{user},day,2024-{month:02}-{day:02},{user}").unwrap();
        }
    }
    let file = world.file("f.csv", content);
    let args = ["import", "activities", "--day", "date", &file];
    let mut killed = world.command(&args).spawn().unwrap();
    past(&world, 20, &mut killed).await;
    killed.kill().await.unwrap();
    let after_kill = world.head().await;

    let mut stopped = world.command(&args).spawn().unwrap();
    past(&world, after_kill + 20, &mut stopped).await;
    let pid = Pid::from_raw(stopped.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let told = Told::from(stopped.wait_with_output().await.unwrap());
    told.check(
        130,
        &["Stopped before the end. Run the same command again to go on."],
    );

    let told = world.activities(&args[2..]).await;
    told.check(0, &["20,000 rows of 1 file", "Rejected              0"]);
    let told = "select sum(json_array_length(payload->'recorded')) from events
                where event_type = 'activity_log.synced'";
    let told: i64 = sqlx::query_scalar(told)
        .fetch_one(world.db.pool())
        .await
        .unwrap();
    assert_eq!(told, 20_000);
    let head = world.head().await;
    let again = world.activities(&args[2..]).await;
    again.check(0, &["Duplicate        20,000\n", "nothing changed."]);
    assert_eq!(world.head().await, head);
}
