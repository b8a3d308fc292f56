//! P7: how long after its commit an event is in the read models, at a steady 4,000 commits a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use daybook::commands::{Door, ReportPositions};
use daybook::consumers::{ConsumerSettings, Consumers};
use domain::Position;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::fleets::{context, door};
use super::measure::{Round, Rounds, figure, percentile};
use super::report::{Goal, Row};
use super::stand::Stand;
use super::traffic::{Bus, report_of};

/// Commits a second.
const PACE: u32 = 4_000;

/// Who sends them, each a vehicle of its own.
const CALLERS: u32 = 64;

/// Every so many commits of a caller one is followed into the read models.
const SAMPLED_EVERY: usize = 16;

/// Read models that fixes are folded into: those that have nothing to do with one are there at once, and would
/// make the figure look better than it is.
const FOLDING: [&str; 4] = ["vehicles", "heatmap", "positions", "trends"];

/// A read model that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, database) = stand.store().await?;
    let all = projections::all();
    for name in FOLDING {
        anyhow::ensure!(all.iter().any(|p| p.name() == name), "no read model {name}");
    }
    let consumers = Consumers::start(store.clone(), all, ConsumerSettings::default()).await?;
    let from = DateTime::from_timestamp(1_480_000_000, 0).expect("a time");
    let mut buses: Vec<Bus> = (0..u64::from(CALLERS)).map(|n| Bus::new(n, from)).collect();
    let sender = Sender {
        door: door(&store),
        tenant: "default".into(),
        consumers: consumers.clone(),
    };
    stand.settle().await?;
    let mut rounds = Rounds::default();
    let mut of_model: Vec<(&'static str, Vec<u32>)> = Vec::new();
    for n in 0..=stand.rounds() {
        let watch = stand.watch();
        let (sent, lags) = sender.send(stand, &mut buses).await?;
        let latencies = lags.iter().map(|(_, lag)| *lag).collect();
        let round = watch.stop(sent as f64, latencies);
        if n > 0 || stand.is_quick() {
            rounds.ours.push(round);
            for (name, lag) in lags {
                match of_model.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, lags)) => lags.push(lag),
                    None => of_model.push((name, vec![lag])),
                }
            }
        }
    }
    consumers.stop().await;
    stand.drop_database(&database).await?;
    let row = |what: &str, percent, goal| {
        rounds.row(what.to_owned(), "ms", goal, |r| r.latency_ms(percent))
    };
    let pace = figure(&rounds.ours, Round::rate);
    let each: Vec<String> = of_model
        .iter()
        .map(|(name, lags)| {
            let at = |percent| percentile(lags, percent) / 1_000.0;
            format!("{name} {:.1} / {:.1}", at(50.0), at(99.0))
        })
        .collect();
    Ok(vec![
        row("commit to projection, p50", 50.0, Goal::OursAtMost(3.0)),
        row("commit to projection, p99", 99.0, Goal::OursAtMost(15.0)),
        Row {
            what: format!(
                "commits meanwhile, one fix each (p50 / p99 ms: {})",
                each.join(", ")
            ),
            unit: "/s",
            ours: pace,
            reference: None,
            ratio: None,
            goal: Goal::OursAtLeast(0.98 * f64::from(PACE)),
        },
    ])
}

/// Sends commands at a steady pace and follows some of them.
#[derive(Clone)]
struct Sender {
    door: Door,
    tenant: Arc<str>,
    consumers: Consumers,
}

/// Lags in microseconds, with the read model.
type Lags = Vec<(&'static str, u32)>;

impl Sender {
    async fn send(&self, stand: &Stand, buses: &mut Vec<Bus>) -> anyhow::Result<(usize, Lags)> {
        let until = Instant::now() + 2 * stand.round();
        let mut callers = JoinSet::new();
        for bus in std::mem::take(buses) {
            callers.spawn(self.clone().call(bus, until));
        }
        let (mut sent, mut lags) = (0, Vec::new());
        while let Some(ended) = callers.join_next().await {
            let (bus, count, mut follows) = ended??;
            sent += count;
            buses.push(bus);
            while let Some(lag) = follows.join_next().await {
                lags.push(lag??);
            }
        }
        Ok((sent, lags))
    }

    async fn call(
        self,
        mut bus: Bus,
        until: Instant,
    ) -> anyhow::Result<(Bus, usize, JoinSet<anyhow::Result<(&'static str, u32)>>)> {
        let mut ticks = interval(Duration::from_secs(1) * CALLERS / PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut sent, mut follows) = (0, JoinSet::new());
        while Instant::now() < until {
            ticks.tick().await;
            let fix = bus.fix();
            let report = ReportPositions {
                fixes: vec![report_of(&bus.id, &fix)],
                may_register: true,
            };
            let kept = self
                .door
                .report_positions(&context(&self.tenant), report)
                .await?;
            let committed = Instant::now();
            sent += 1;
            if sent % SAMPLED_EVERY == 0 {
                for name in FOLDING {
                    let follow = self.clone().follow(name, kept.receipt.position, committed);
                    follows.spawn(follow);
                }
            }
        }
        Ok((bus, sent, follows))
    }

    async fn follow(
        self,
        name: &'static str,
        position: Position,
        committed: Instant,
    ) -> anyhow::Result<(&'static str, u32)> {
        self.consumers
            .wait_for(&self.tenant, &[name], position, PATIENCE)
            .await
            .map_err(|stale| anyhow::anyhow!("{name} fell behind: {stale:?}"))?;
        Ok((name, committed.elapsed().as_micros() as u32))
    }
}
