//! P1, Q5: the read model that finds log records: how fast it follows, how far it is behind, and how long a
//! filter takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::TimeDelta;
use projections::Reader;
use projections::logs::{LogFilter, LogPlace, LogQuery, LogRow, logs};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::measure::{Round, Rounds, figure, median};
use super::records::{BATCH_RECORDS, Batch, Shape, Shop, Table, USERS, count};
use super::report::{Goal, Row};
use super::shops::{CALLERS, Desk};
use super::stand::{Stand, upkeep};
use super::traffic::now;

/// Batches of a round.
const BATCHES: usize = 120;

/// How long records come at half of what COPY takes.
const STEADY: Duration = Duration::from_secs(20);

/// Of what COPY takes.
const SHARE: f64 = 0.5;

/// Records that are stored where nothing else is asked.
const RECORDS: usize = 200_000;

/// Questions of a round.
const QUESTIONS: usize = 100;

/// Records of an answer.
const PAGE: u32 = 50;

/// How fast it follows, and how far it is behind after a burst and at a steady pace.
pub async fn keeping_up(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let batches_of_round = stand.size(BATCHES).max(CALLERS);
    let (mut followed, mut caught_up) = (Rounds::default(), Rounds::default());
    // A store of one row a record that refuses an id declared twice, as ours does.
    let mut copied_once = Vec::new();
    for n in 0..=stand.rounds() {
        let mut shop = Shop::new(2 * batches_of_round * BATCH_RECORDS, true);
        let desk = Arc::new(Desk::open(stand).await?);
        let batches = shop.batches(batches_of_round);
        desk.hand_in_all(batches.clone()).await?;
        stand.settle().await?;
        let watch = stand.watch();
        let consumers = desk.follow().await?;
        desk.reach_head(&consumers).await?;
        let read = watch.stop(count(&batches), Vec::new());
        let copied = copied_as(stand, Shape::Event, &batches).await?;
        let once = copied_as(stand, Shape::EventOnce, &batches).await?;

        let burst = shop.batches(batches_of_round);
        let records = count(&burst);
        desk.hand_in_all(burst).await?;
        let watch = stand.watch();
        desk.reach_head(&consumers).await?;
        let behind = watch.stop(records, Vec::new());
        consumers.stop().await;
        desk.close(stand).await?;
        // The first round warms the machine.
        if n > 0 || stand.is_quick() {
            followed.ours.push(read);
            followed.reference.push(copied);
            copied_once.push(once.rate());
            caught_up.ours.push(behind);
        }
    }
    let what = "log records found by the read model, against COPY of events of one record";
    let burst = format!(
        "how far it is behind after a burst of {} records",
        batches_of_round * BATCH_RECORDS
    );
    let mut rows = vec![
        followed.row(what, "records/s", Goal::AtLeast(SHARE), Round::rate),
        caught_up.row(burst, "s", Goal::Shown, |r| r.seconds),
    ];
    rows.extend(steady(stand, SHARE * median(&copied_once)).await?);
    Ok(rows)
}

/// The same records by COPY into a table of one row a record.
async fn copied_as(stand: &Stand, shape: Shape, batches: &[Batch]) -> anyhow::Result<Round> {
    let mut table = Table::open(stand, shape).await?;
    let copied = table.copy(stand, batches).await?;
    table.close(stand).await?;
    Ok(copied)
}

/// At so many records a second, with the read model following.
async fn steady(stand: &Stand, pace: f64) -> anyhow::Result<Vec<Row>> {
    let time = if stand.is_quick() {
        stand.round()
    } else {
        STEADY
    };
    let batches = (pace * time.as_secs_f64() / BATCH_RECORDS as f64).ceil() as usize;
    let each = (batches / CALLERS).max(1);
    let mut shop = Shop::new(batches.max(CALLERS) * BATCH_RECORDS, true);
    let desk = Arc::new(Desk::open(stand).await?);
    let consumers = desk.follow().await?;
    let of_caller: Vec<_> = (0..CALLERS).map(|_| shop.batches(each)).collect();
    stand.settle().await?;
    let watch = stand.watch();
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for batches in of_caller {
        let (desk, consumers) = (desk.clone(), consumers.clone());
        let mut ticks = interval(time.div_f64(each as f64));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        callers.spawn(async move {
            let mut follows = JoinSet::new();
            for batch in batches {
                ticks.tick().await;
                let position = desk.hand_in(batch).await?;
                let (desk, consumers, kept) = (desk.clone(), consumers.clone(), Instant::now());
                follows.spawn(async move {
                    desk.reach(&consumers, position).await?;
                    anyhow::Ok(kept.elapsed().as_micros() as u32)
                });
            }
            anyhow::Ok((Instant::now(), follows))
        });
    }
    let (mut ended, mut lags) = (Vec::new(), Vec::new());
    while let Some(caller) = callers.join_next().await {
        let (at, mut follows) = caller??;
        ended.push((at - began).as_secs_f64());
        while let Some(lag) = follows.join_next().await {
            lags.push(lag??);
        }
    }
    let records = (each * CALLERS * BATCH_RECORDS) as f64;
    let mut round = watch.stop(records, lags);
    // Up to the last receipt, not up to the last look.
    round.seconds = ended.iter().copied().fold(0.0, f64::max);
    consumers.stop().await;
    desk.close(stand).await?;
    let rounds = Rounds {
        ours: vec![round],
        ..Rounds::default()
    };
    let what = format!(
        "log records with declared ids handed in at {SHARE} of what COPY takes of them, all found"
    );
    let least = Goal::OursAtLeast(0.95 * pace);
    let lag = |r: &Round| r.latency_ms(99.0) / 1_000.0;
    Ok(vec![
        rounds.row(what, "records/s", least, Round::rate),
        rounds.row(
            "how far behind they are found, p99",
            "s",
            Goal::OursAtMost(5.0),
            lag,
        ),
    ])
}

/// So many of the records, each at another time of the day they were made over.
async fn over_the_day(reader: &Reader, tenant: &str, count: usize) -> anyhow::Result<Vec<LogRow>> {
    let apart = TimeDelta::hours(23) / i32::try_from(count)?;
    let mut before = now();
    let mut found = Vec::with_capacity(count);
    for n in 0..count {
        let filter = LogFilter {
            to: Some(before),
            ..LogFilter::default()
        };
        let query = LogQuery {
            filter,
            ..LogQuery::default()
        };
        let mut snap = reader.snapshot(tenant).await?;
        let mut page = logs(&mut snap, &query, LogPlace::Skip(0), PAGE)
            .await?
            .records;
        ensure!(!page.is_empty(), "nothing before {before}");
        found.push(page.swap_remove(n % page.len()));
        before -= apart;
    }
    Ok(found)
}

/// How long a page takes that is filtered by time, type and user.
pub async fn filters(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let stored = stand.records().unwrap_or_else(|| stand.size(RECORDS));
    let searched = Searched::open(stand, stored, USERS).await?;
    let round = searched.ask().await?;
    let stored = searched.stored;
    searched.close(stand).await?;
    let value = figure(&[round], |r| r.latency_ms(95.0));
    Ok(vec![Row {
        what: format!("a page of {PAGE} by time, type and user among {stored} log records, p95"),
        unit: "ms",
        ours: value,
        reference: None,
        ratio: None,
        goal: Goal::OursAtMost(20.0),
    }])
}

/// Log records that can be found, and what is known to be among them.
pub struct Searched {
    desk: Arc<Desk>,
    reader: Reader,
    known: Vec<LogRow>,
    stored: usize,
}

impl Searched {
    /// Stores so many of so many users over a day, in a database of their own.
    pub async fn open(stand: &Stand, records: usize, users: usize) -> anyhow::Result<Searched> {
        let batches = records.div_ceil(BATCH_RECORDS);
        let mut shop = Shop::new(batches * BATCH_RECORDS, false).visited_by(users);
        let desk = Arc::new(Desk::open(stand).await?);
        let consumers = desk.follow().await?;
        // Not all at once: there may be ten million.
        for done in (0..batches).step_by(BATCHES) {
            let some = shop.batches(BATCHES.min(batches - done));
            desk.hand_in_all(some).await?;
        }
        desk.reach_head(&consumers).await?;
        consumers.stop().await;
        // As the database would do by itself within the hour.
        let pool = desk.store.pool();
        upkeep(pool, "vacuum analyze").await?;
        let reader = Reader::new(pool.clone());
        let questions = stand.size(QUESTIONS).max(4);
        let known = over_the_day(&reader, &desk.tenant, questions).await?;
        Ok(Searched {
            desk,
            reader,
            known,
            stored: batches * BATCH_RECORDS,
        })
    }

    /// Asks for pages of two hours, one type and one user, other ones each time.
    pub async fn ask(&self) -> anyhow::Result<Round> {
        let mut round = Round::default();
        for of in &self.known {
            let filter = LogFilter {
                event_types: vec![of.event_type],
                user_id: of.user_id.clone(),
                from: Some(of.timestamp - TimeDelta::hours(2)),
                to: Some(of.timestamp + TimeDelta::seconds(1)),
                ..LogFilter::default()
            };
            let query = LogQuery {
                filter,
                ..LogQuery::default()
            };
            let asked = Instant::now();
            let mut snap = self.reader.snapshot(&self.desk.tenant).await?;
            let page = logs(&mut snap, &query, LogPlace::Skip(0), PAGE).await?;
            round.latencies_us.push(asked.elapsed().as_micros() as u32);
            ensure!(!page.records.is_empty(), "{query:?} finds nothing");
        }
        Ok(round)
    }

    /// Removes them.
    pub async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        self.desk.close(stand).await
    }
}
