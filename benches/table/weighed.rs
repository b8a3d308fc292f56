//! P1, Q6: what a log record takes on disk with everything that is kept of it, and what its declared id costs
//! among many others.

use std::sync::Arc;

use super::measure::{Round, Rounds};
use super::records::{BATCH_RECORDS, Batch, Shape, Shop, Table, count};
use super::report::{Figure, Goal, Row};
use super::shops::Desk;
use super::stand::{Stand, upkeep};

/// Batches that are weighed.
const WEIGHED_BATCHES: usize = 200;

/// Batches of a round.
const BATCHES: usize = 60;

/// Ids that are known before where nothing else is asked; and a tenth of them.
const IDS: usize = 200_000;

/// Log, ids, records that can be found and their indexes, against a plain table of the same records.
pub async fn on_disk(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let batches = stand.size(WEIGHED_BATCHES);
    let batches = Shop::new(batches * BATCH_RECORDS, true).batches(batches);
    let desk = Arc::new(Desk::open(stand).await?);
    desk.hand_in_all(batches.clone()).await?;
    let consumers = desk.follow().await?;
    desk.reach_head(&consumers).await?;
    consumers.stop().await;
    let mut parts = Vec::new();
    for (what, tables) in [
        ("log", "^events"),
        ("ids", "^record_ids"),
        ("found", "^log_"),
    ] {
        let query = "select coalesce(sum(pg_total_relation_size(oid)), 0)::float8 from pg_class
                     where relkind = 'r' and relname ~ $1";
        let bytes: f64 = sqlx::query_scalar(query)
            .bind(tables)
            .fetch_one(desk.store.pool())
            .await?;
        parts.push((what, bytes / count(&batches)));
    }
    desk.close(stand).await?;
    let told: Vec<String> = parts
        .iter()
        .map(|(what, n)| format!("{what} {n:.0}"))
        .collect();
    let ours: f64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let plain = of_table(stand, Shape::PlainOnce, &batches).await?;
    let events = of_table(stand, Shape::EventOnce, &batches).await?;
    let row = |what: String, reference, goal| Row {
        what,
        unit: "bytes",
        ours: of_one(ours),
        reference: Some(of_one(reference)),
        ratio: Some(ours / reference),
        goal,
    };
    let what = "a log record with a declared id on disk";
    Ok(vec![
        row(
            format!("{what} ({}), against a plain table", told.join(", ")),
            plain,
            Goal::AtMost(1.6),
        ),
        row(
            format!("{what}, against events of one record"),
            events,
            Goal::Shown,
        ),
    ])
}

/// Bytes of a record in a table.
async fn of_table(stand: &Stand, shape: Shape, batches: &[Batch]) -> anyhow::Result<f64> {
    let mut table = Table::open(stand, shape).await?;
    table.copy(stand, batches).await?;
    let bytes = table.bytes().await? / count(batches);
    table.close(stand).await?;
    Ok(bytes)
}

fn of_one(value: f64) -> Figure {
    Figure {
        value,
        rounds: vec![value],
        cpu_us: None,
    }
}

/// Records with declared ids against the same without, where so many ids are known.
pub async fn ids(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let most = stand.records().unwrap_or_else(|| stand.size(IDS));
    let mut rows = Vec::new();
    for known in [most / 10, most] {
        rows.extend(among(stand, known).await?);
    }
    Ok(rows)
}

async fn among(stand: &Stand, known: usize) -> anyhow::Result<Vec<Row>> {
    let batches = stand.size(BATCHES).max(super::shops::CALLERS);
    let records = batches * BATCH_RECORDS * (stand.rounds() + 1);
    let (with, without) = (Desk::open(stand).await?, Desk::open(stand).await?);
    let (with, without) = (Arc::new(with), Arc::new(without));
    let mut shops = [Shop::new(records, true), Shop::new(records, false)];
    let tenant = &with.tenant;
    let fill = format!(
        "insert into record_ids (tenant, id_hash, batch)
         select '{tenant}', gen_random_uuid(), gen_random_uuid() from generate_series(1, {known})"
    );
    for statement in [&*fill, "vacuum analyze record_ids"] {
        upkeep(with.store.pool(), statement).await?;
    }
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let [declaring, silent] = &mut shops;
        let ours = handed_in(stand, &with, declaring.batches(batches)).await?;
        let reference = handed_in(stand, &without, silent.batches(batches)).await?;
        // The first round warms connections, plans and caches.
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(reference);
        }
    }
    with.close(stand).await?;
    without.close(stand).await?;
    let cost = |(with, without): (&Round, &Round)| {
        let of = |round: &Round| round.cpu.per(round.units).postgres;
        of(with) - of(without)
    };
    let each: Vec<f64> = rounds
        .ours
        .iter()
        .zip(&rounds.reference)
        .map(cost)
        .collect();
    let what = format!("log records with declared ids among {known} others, against none declared");
    Ok(vec![
        rounds.row(what, "records/s", Goal::Shown, Round::rate),
        Row {
            what: format!("CPU of PostgreSQL for a declared id among {known} others"),
            unit: "us",
            ours: Figure {
                value: super::measure::median(&each),
                rounds: each,
                cpu_us: None,
            },
            reference: None,
            ratio: None,
            goal: Goal::Shown,
        },
    ])
}

async fn handed_in(stand: &Stand, desk: &Arc<Desk>, batches: Vec<Batch>) -> anyhow::Result<Round> {
    let records = count(&batches);
    stand.settle().await?;
    let watch = stand.watch();
    desk.hand_in_all(batches).await?;
    Ok(watch.stop(records, Vec::new()))
}
