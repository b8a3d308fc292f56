//! P1: log records over HTTP with an API key, against raw COPY BINARY of the same records.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::cpu::{forget_peak, peak_mib};
use super::measure::{Round, Rounds, Watch, figure};
use super::records::{BATCH_RECORDS, Batch, SOURCE, Shape, Shop, Table, count, mean_bytes};
use super::report::{Figure, Goal, Row};
use super::served::{Connection, Served, request, token};
use super::stand::Stand;

/// Batches of a round.
const BATCHES: usize = 120;

/// Who sends batches at once.
const CALLERS: usize = 8;

const ISSUE: &str = "mutation($input: IssueApiKeyInput!) { issueApiKey(input: $input) {
  secret userErrors { code message } } }";

/// What the line is held against: the shape of the table, what a row against it is called, its goal.
type Reference = (Shape, &'static str, Goal);

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let events = ", against events of one record";
    let bare = ", against bare rows";
    let without = [
        (Shape::Event, events, Goal::AtLeast(1.5)),
        (Shape::Plain, bare, Goal::Shown),
    ];
    let declared = [
        (Shape::EventOnce, events, Goal::AtLeast(1.0)),
        (Shape::PlainOnce, bare, Goal::Shown),
    ];
    let mut rows = over_http(stand, false, without).await?;
    rows.extend(over_http(stand, true, declared).await?);
    Ok(rows)
}

/// Records with or without ids of their own; no read model follows.
async fn over_http(
    stand: &Stand,
    declared: bool,
    references: [Reference; 2],
) -> anyhow::Result<Vec<Row>> {
    let batches_of_round = stand.size(BATCHES).max(CALLERS);
    // The source's first batch, and a round that warms.
    let batches = 1 + batches_of_round * (stand.rounds() + 1);
    let mut shop = Shop::new(batches * BATCH_RECORDS, declared);
    let mut sides = Vec::new();
    for (shape, against, goal) in references {
        let table = Table::open(stand, shape).await?;
        sides.push((table, Rounds::default(), against, goal));
    }
    let desk = Desk::open(stand, &shop.batches(1)[0]).await?;
    let (mut ours, mut mib, mut bytes) = (Vec::new(), Vec::new(), 0.0);
    for n in 0..=stand.rounds() {
        let batches = shop.batches(batches_of_round);
        bytes = mean_bytes(&batches);
        let (round, peak) = desk.take(stand, &batches).await?;
        // The first round warms connections, plans and caches.
        let counts = n > 0 || stand.is_quick();
        for (table, rounds, ..) in &mut sides {
            let copied = table.copy(stand, &batches).await?;
            if counts {
                rounds.ours.push(round.clone());
                rounds.reference.push(copied);
            }
        }
        if counts {
            ours.push(round);
            mib.push(peak);
        }
    }
    desk.close(stand).await?;
    let ids = match declared {
        true => "log records with declared ids over HTTP",
        false => "log records over HTTP in batches of 1,000",
    };
    let mut rows = Vec::new();
    for (table, rounds, against, goal) in sides {
        table.close(stand).await?;
        rows.push(rounds.row(format!("{ids}{against}"), "records/s", goal, Round::rate));
    }
    rows.push(per_core(ids, &ours, bytes));
    let most = format!("most memory resident in a round, {ids}");
    rows.push(Row::memory(most, mib, 100.0));
    Ok(rows)
}

/// How much raw JSON goes in for each second that the server's processes are busy.
fn per_core(ids: &str, rounds: &[Round], bytes: f64) -> Row {
    Row {
        what: format!("raw JSON per core of PostgreSQL, {ids} ({bytes:.0} bytes each)"),
        unit: "MB/s",
        ours: Figure {
            cpu_us: None,
            // Bytes a microsecond are megabytes a second.
            ..figure(rounds, |r| r.units * bytes / r.cpu.postgres)
        },
        reference: None,
        ratio: None,
        goal: Goal::OursAtLeast(15.0),
    }
}

/// A process that records are handed in to, and the key they are handed in with.
struct Desk {
    served: Served,
    database: PgConnectOptions,
    key: String,
}

impl Desk {
    /// Opens it with a first batch: a key may not register a source.
    async fn open(stand: &Stand, first: &Batch) -> anyhow::Result<Desk> {
        let database = stand.database().await?;
        let data_dir = stand.dir().join("logs");
        let settings = [("DAYBOOK_CONSUMERS__PROJECT", "false")];
        let served = Served::start(&data_dir, Some(&database), &settings).await?;
        let token = token(&data_dir, Some(&database)).await?;
        let who = format!("Authorization: Bearer {token}");
        let first = sent_by(&served, &who, &body(first));
        send_all(&served.address, vec![vec![first]]).await?;
        let key = key(&served, &token).await?;
        Ok(Desk {
            served,
            database,
            key,
        })
    }

    /// Hands the batches in; what came of it, and the most memory that the process held.
    async fn take(&self, stand: &Stand, batches: &[Batch]) -> anyhow::Result<(Round, f64)> {
        let who = format!("X-API-Key: {}", self.key);
        let mut requests = vec![Vec::new(); CALLERS];
        for (n, batch) in batches.iter().enumerate() {
            requests[n % CALLERS].push(sent_by(&self.served, &who, &body(batch)));
        }
        stand.settle().await?;
        forget_peak(self.served.pid)?;
        let watch = Watch::start(self.served.pid, stand.postmaster());
        send_all(&self.served.address, requests).await?;
        let round = watch.stop(count(batches), Vec::new());
        Ok((round, peak_mib(self.served.pid)?))
    }

    async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        self.served.stop().await?;
        stand.drop_database(&self.database).await
    }
}

/// A key that may hand in log records and nothing else.
async fn key(served: &Served, token: &str) -> anyhow::Result<String> {
    let input = json!({ "name": "bench", "scopes": ["logs:write"] });
    let body = json!({ "query": ISSUE, "variables": { "input": input } });
    let request = request(
        "/graphql",
        &served.address,
        token,
        body.to_string().as_bytes(),
    );
    let answer = Connection::open(&served.address)
        .await?
        .ask(&request)
        .await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let secret = answer["data"]["issueApiKey"]["secret"].as_str();
    Ok(secret.with_context(|| answer.to_string())?.to_owned())
}

fn body(batch: &Batch) -> Vec<u8> {
    serde_json::to_vec(&json!({ "logs": batch })).expect("plain data")
}

/// The bytes of a POST of somebody whom this header shows.
fn sent_by(served: &Served, who: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /api/v1/batch-ingest HTTP/1.1\r\nHost: {}\r\n{who}\r\nDaybook-Log-Source: {SOURCE}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        served.address,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn send_all(address: &str, requests: Vec<Vec<Vec<u8>>>) -> anyhow::Result<()> {
    let mut callers = JoinSet::new();
    for requests in requests {
        let mut connection = Connection::open(address).await?;
        callers.spawn(async move {
            for request in requests {
                let answer = String::from_utf8(connection.ask(&request).await?)?;
                ensure!(
                    answer.contains(&format!("\"accepted\":{BATCH_RECORDS},")),
                    "not all was accepted: {answer}"
                );
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}
