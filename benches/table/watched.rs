//! A board whose scores change ten thousand times a second, and somebody who watches it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use daybook::api::FeedStream;
use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::boards::{Race, runner_id};
use super::feeds::{api, subscribe};
use super::measure::{Round, Rounds, figure};
use super::report::{Goal, Row};
use super::stand::Stand;

/// Score changes a second.
const PACE: u32 = 10_000;

/// Who hands them in at once.
const CALLERS: u32 = 250;

/// Users of the competition. The first of them are followed.
const RUNNERS: usize = 4_096;

/// Looks a second of whoever watches.
const LOOKS: u32 = 20;

/// Changes a second that are followed, each of them to the first line.
const FOLLOWED: u32 = 5;

/// One that is not told of by then has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is added to a score that is followed: more than all others come to.
const LEAP: i64 = 1_000_000_000;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let race = Race::open(stand, store, RUNNERS).await?;
    let consumers = race.follow().await?;
    let api = api(&race.store, &consumers).await?;
    let document = format!(
        "subscription {{ leaderboardChanged(competition: \"race\", first: 100, maxHz: {LOOKS}) {{ \
         userId score }} }}"
    );
    stand.settle().await?;
    let mut rounds = Rounds::default();
    let mut leaps = 0;
    for n in 0..=stand.rounds() {
        let feed = subscribe(&api, &document).await?;
        let watch = stand.watch();
        let until = Instant::now() + 2 * stand.round();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(call(race.clone(), caller as usize, until));
        }
        let lags = follow(&race, feed, until, &mut leaps).await?;
        let mut changes = lags.len();
        while let Some(ended) = callers.join_next().await {
            changes += ended??;
        }
        let round = watch.stop(changes as f64, lags);
        if n > 0 || stand.is_quick() {
            rounds.ours.push(round);
        }
    }
    consumers.stop().await;
    race.store.pool().close().await;
    stand.drop_database(&database).await?;
    let late = format!("score handed in to subscriber of its board at {LOOKS} looks a second, p99");
    Ok(vec![
        rounds.row(late, "ms", Goal::OursAtMost(250.0), |r| r.latency_ms(99.0)),
        Row {
            what: "score changes meanwhile".to_owned(),
            unit: "/s",
            ours: figure(&rounds.ours, Round::rate),
            reference: None,
            ratio: None,
            goal: Goal::OursAtLeast(0.98 * f64::from(PACE)),
        },
    ])
}

/// Hands scores of everybody but the first in, at its part of the pace; how many.
async fn call(race: Arc<Race>, caller: usize, until: Instant) -> anyhow::Result<usize> {
    let mut ticks = interval(Duration::from_secs(1) * CALLERS / PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while Instant::now() < until {
        ticks.tick().await;
        let runner = 1 + (sent * CALLERS as usize + caller) % (RUNNERS - 1);
        race.add(runner, 1).await?;
        sent += 1;
    }
    Ok(sent)
}

/// Hands scores of the first in and waits until each is told of; how long that took, in microseconds.
async fn follow(
    race: &Race,
    mut feed: FeedStream,
    until: Instant,
    leaps: &mut i64,
) -> anyhow::Result<Vec<u32>> {
    let (mut lags, first) = (Vec::new(), runner_id(0));
    let mut ticks = interval(Duration::from_secs(1) / FOLLOWED);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        ticks.tick().await;
        race.add(0, LEAP).await?;
        *leaps += LEAP;
        let committed = Instant::now();
        loop {
            let item = timeout(PATIENCE, feed.next())
                .await
                .context("it is told of")?;
            let item = item
                .context("more")?
                .map_err(|fault| anyhow::anyhow!("{fault}"))?;
            let told: Value = serde_json::from_slice(&item.payload)?;
            let line = &told["data"]["leaderboardChanged"];
            if line["userId"] == *first {
                let score = line["score"].as_str().and_then(|score| score.parse().ok());
                if score == Some(*leaps) {
                    break;
                }
            }
        }
        lags.push(committed.elapsed().as_micros() as u32);
    }
    ensure!(!lags.is_empty(), "nothing was followed");
    Ok(lags)
}
