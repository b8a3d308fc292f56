//! Q4: DORA's figures of a year, made anew for each question, with a year and with ten years stored.

use std::time::Instant;

use anyhow::ensure;
use serde_json::{Value, json};

use super::imports::{TENANT, follow, import_changes, import_deployments, sealing};
use super::measure::{Round, Rounds};
use super::releases::{YEAR_DEPLOYMENTS, new_year, service, write_year};
use super::report::{Goal, Row};
use super::served::{Connection, Served, request, token};
use super::stand::{Stand, upkeep};

/// The year that is asked about.
const YEAR: i32 = 2024;

/// Years stored beside it on one side.
const YEARS_BEFORE: i32 = 9;

/// Questions of a round.
const QUESTIONS: usize = 60;

const QUERY: &str = "query($from: DateTime!, $to: DateTime!, $scope: DoraScopeInput,
  $bucket: DoraBucket) {
  doraMetrics(scope: $scope, from: $from, to: $to, bucket: $bucket) {
    total { ...figures } buckets { ...figures } asOfPosition } }
fragment figures on DoraFigures {
  start end deploymentFrequency { deployments perDay medianDaysPerWeek }
  changeLeadTime { changes p50 p90 } changeFailRate { failed of rate }
  failedDeploymentRecoveryTime { recovered p50 } deploymentReworkRate { deployments rate } }";

/// A server over so many years, and what it is sent.
struct Side {
    served: Served,
    token: String,
    database: sqlx::postgres::PgConnectOptions,
}

/// A question: what it is called, what it is about, and how long it may take, in milliseconds.
struct Question {
    what: &'static str,
    about: fn(usize) -> Value,
    most_ms: f64,
}

const ASKED: [Question; 2] = [
    Question {
        what: "DORA's figures of one service over a year",
        about: |n| json!({ "scope": { "services": [service(n as u32 % 40)] } }),
        most_ms: 5.0,
    },
    Question {
        what: "those of all services by month",
        about: |_| json!({ "bucket": "MONTH" }),
        most_ms: 50.0,
    },
];

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let one = Side::open(stand, 0).await?;
    let ten = Side::open(stand, YEARS_BEFORE).await?;
    let mut rows = Vec::new();
    for question in ASKED {
        let mut rounds = Rounds::default();
        for n in 0..=stand.rounds() {
            let (with_one, with_ten) = turns(stand, &question, &one, &ten).await?;
            // The first round warms connections, plans and the server's pages.
            if n > 0 || stand.is_quick() {
                rounds.ours.push(with_ten);
                rounds.reference.push(with_one);
            }
        }
        let alone = Rounds {
            ours: rounds.reference.clone(),
            ..Rounds::default()
        };
        let most = Goal::OursAtMost(question.most_ms);
        let p50 = |r: &Round| r.latency_ms(50.0);
        rows.push(alone.row(format!("{}, p50", question.what), "ms", most, p50));
        let what = "the same with ten years stored, against one";
        rows.push(rounds.row(what, "ms", Goal::AtMost(1.2), p50));
    }
    one.close(stand).await?;
    ten.close(stand).await?;
    Ok(rows)
}

/// Both sides are asked in turn, question by question.
async fn turns(
    stand: &Stand,
    question: &Question,
    one: &Side,
    ten: &Side,
) -> anyhow::Result<(Round, Round)> {
    // Opened for each round: an idle one is not kept for as long as the other side takes to be filled.
    let mut to_one = Connection::open(&one.served.address).await?;
    let mut to_ten = Connection::open(&ten.served.address).await?;
    let (mut with_one, mut with_ten) = (Round::default(), Round::default());
    for n in 0..stand.size(QUESTIONS) {
        let variables = (question.about)(n);
        let first = one.ask(&mut to_one, &variables, &mut with_one).await?;
        let second = ten.ask(&mut to_ten, &variables, &mut with_ten).await?;
        ensure!(
            first["total"] == second["total"] && first["buckets"] == second["buckets"],
            "the years before change the figures of {variables}: {first} and {second}"
        );
    }
    Ok((with_one, with_ten))
}

impl Side {
    /// A log of the year and so many before it, read and served; no answer is kept.
    async fn open(stand: &Stand, years_before: i32) -> anyhow::Result<Side> {
        let (store, database) = stand.store().await?;
        let door = sealing(stand, &store)?;
        for year in YEAR - years_before..=YEAR {
            let dir = stand.dir().join("delivered");
            let year = write_year(&dir, year, stand.size(YEAR_DEPLOYMENTS))?;
            import_deployments(&door, &year).await?;
            import_changes(&door, &year).await?;
        }
        follow(&store).await?;
        // As the database would do by itself within the hour.
        upkeep(store.pool(), "vacuum analyze").await?;
        let head = store.head(TENANT).await?;
        ensure!(head.0 > 0, "nothing was imported");
        store.pool().close().await;
        stand.settle().await?;
        let data_dir = stand.dir().join(format!("delivered-{years_before}"));
        let settings = [
            ("DAYBOOK_CACHE__ANSWERS", "false"),
            ("DAYBOOK_CONSUMERS__PROJECT", "false"),
        ];
        let served = Served::start(&data_dir, Some(&database), &settings).await?;
        let token = token(&data_dir, Some(&database)).await?;
        Ok(Side {
            served,
            token,
            database,
        })
    }

    /// Asks and notes how long it took.
    async fn ask(
        &self,
        connection: &mut Connection,
        variables: &Value,
        round: &mut Round,
    ) -> anyhow::Result<Value> {
        let mut variables = variables.clone();
        variables["from"] = json!(new_year(YEAR));
        variables["to"] = json!(new_year(YEAR + 1));
        let body = serde_json::to_vec(&json!({ "query": QUERY, "variables": variables }))?;
        let request = request("/graphql", &self.served.address, &self.token, &body);
        let sent = Instant::now();
        let answer = connection.ask(&request).await?;
        round.latencies_us.push(sent.elapsed().as_micros() as u32);
        let mut answer: Value = serde_json::from_slice(&answer)?;
        let figures = answer["data"]["doraMetrics"].take();
        ensure!(
            figures["total"]["deploymentFrequency"]["deployments"].as_i64() > Some(0),
            "no figures: {answer} {figures}"
        );
        Ok(figures)
    }

    async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        self.served.stop().await?;
        stand.drop_database(&self.database).await
    }
}
