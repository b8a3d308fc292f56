//! Sockets that follow vehicles while these are changed, and whether all of them are told.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::calls::vehicles::rename_one;
use crate::client::Client;
use crate::histogram::Histogram;
use crate::setup::advice;
use crate::sockets::{Keep, Order, Swarm};
use crate::target::Target;
use crate::world::World;

/// How many vehicles they follow, one each: a change concerns one in a hundred.
pub const VEHICLES: usize = 100;

/// How often each vehicle is changed before sockets that are not reached are given up.
const PROBES_MAX: usize = 50;

/// How long nothing comes before it is taken for all there is.
const SILENCE: Duration = Duration::from_millis(500);

/// How long is waited for what is missing at the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do where sockets are refused.
const MORE: &str = "a server allows one caller 20 sockets: raise sockets.per_caller_max, sockets.total_max, \
                    feeds.members_max and http.connections_max, or give tokens of several callers (docs/load.md)";

/// The sockets, and what came on them.
pub struct Subscribers {
    swarm: Swarm,
    opened: usize,
    /// Is what they are told known from what is changed?
    is_known: bool,
    ramp_up: u64,
    measured: u64,
    bytes: u64,
    lag: Histogram,
}

/// What came of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deliveries {
    /// Sockets that were opened.
    pub opened: usize,
    /// Sockets that were open to the end.
    pub open: usize,
    /// What came while the load grew.
    pub ramp_up: u64,
    /// What came after that.
    pub deliveries: u64,
    /// That, a second.
    pub per_second: f64,
    /// Of each, its size.
    pub mean_bytes: Option<f64>,
    /// What should have come and did not, from the beginning; none where nobody knows.
    pub missing: Option<u64>,
    /// What should have come.
    pub expected: Option<u64>,
    /// From when it was recorded until it came, milliseconds: the least.
    pub min_ms: Option<f64>,
    /// The mean of it.
    pub mean_ms: Option<f64>,
    /// Half of them.
    pub p50_ms: Option<f64>,
    /// 95 of 100.
    pub p95_ms: Option<f64>,
    /// 99 of 100.
    pub p99_ms: Option<f64>,
    /// The most.
    pub max_ms: Option<f64>,
}

impl Subscribers {
    /// Opens so many, each of which follows a vehicle, or what the documents say; all of them are reached.
    pub async fn open(
        target: &Target,
        tokens: &[String],
        documents: &[String],
        count: usize,
        world: &World,
        client: &mut Client,
    ) -> anyhow::Result<Subscribers> {
        let is_known = documents.is_empty();
        let order = Order {
            address: target.address.clone(),
            path: "/graphql".to_owned(),
            tokens: tokens.to_vec(),
            queries: match is_known {
                true => (0..world.users()).map(|n| follows(world, n)).collect(),
                false => documents.to_vec(),
            },
        };
        let mut swarm = Swarm::open(order, count).await.context(MORE)?;
        if is_known {
            reach(&mut swarm, count, world, client).await?;
        } else {
            sleep(SILENCE).await;
        }
        quiet(&swarm).await;
        swarm.check().context(MORE)?;
        swarm.begin(Keep::Lags);
        Ok(Subscribers {
            swarm,
            opened: count,
            is_known,
            ramp_up: 0,
            measured: 0,
            bytes: 0,
            lag: Histogram::default(),
        })
    }

    /// Takes what came since the last time.
    pub fn take(&mut self, is_measured: bool) {
        let heard = self.swarm.take();
        let new = heard.deliveries - self.ramp_up - self.measured;
        if is_measured {
            self.measured += new;
            heard
                .lags_us
                .iter()
                .for_each(|us| self.lag.record((*us).into()));
        } else {
            self.ramp_up += new;
        }
        self.bytes = heard.bytes;
    }

    /// Waits for what is missing, and tells all.
    pub async fn end(mut self, changes: &[u64], seconds: f64) -> Deliveries {
        let expected = self.is_known.then(|| expected(changes, self.opened));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline
            && expected.is_some_and(|expected| self.swarm.deliveries() < expected)
        {
            sleep(Duration::from_millis(10)).await;
        }
        if expected.is_none() {
            quiet(&self.swarm).await;
        }
        self.take(true);
        let all = self.ramp_up + self.measured;
        let ms = |us: u64| us as f64 / 1_000.0;
        let percentile = |percent| self.lag.percentile_us(percent).map(ms);
        Deliveries {
            opened: self.opened,
            open: self.swarm.count(),
            ramp_up: self.ramp_up,
            deliveries: self.measured,
            per_second: self.measured as f64 / seconds.max(f64::MIN_POSITIVE),
            mean_bytes: (all > 0).then(|| self.bytes as f64 / all as f64),
            missing: expected.map(|expected| expected.saturating_sub(all)),
            expected,
            min_ms: self.lag.min_us().map(ms),
            mean_ms: self.lag.mean_us().map(|us| us / 1_000.0),
            p50_ms: percentile(50.0),
            p95_ms: percentile(95.0),
            p99_ms: percentile(99.0),
            max_ms: self.lag.max_us().map(ms),
        }
    }
}

/// What a socket asks that follows the n-th vehicle.
fn follows(world: &World, n: usize) -> String {
    let vehicle = world.vehicle(n);
    format!(
        "subscription {{ events(aggregate: {{ type: \"vehicle\", id: \"{vehicle}\" }}) {{ \
         position type aggregateId recordedAt }} }}"
    )
}

/// How many deliveries so many changes of each vehicle lead to, where sockets take turns in following them.
fn expected(changes: &[u64], sockets: usize) -> u64 {
    let followers =
        |n: usize| (sockets / changes.len() + usize::from(n < sockets % changes.len())) as u64;
    let each = changes.iter().enumerate();
    each.map(|(n, times)| times * followers(n)).sum()
}

/// Changes all vehicles until every socket has had something: only then has it subscribed.
async fn reach(
    swarm: &mut Swarm,
    count: usize,
    world: &World,
    client: &mut Client,
) -> anyhow::Result<()> {
    for _ in 0..PROBES_MAX {
        for n in 0..world.users() {
            let changed = client.ask(&rename_one(world, n)).await;
            changed.map_err(|code| {
                anyhow::anyhow!("a vehicle cannot be changed: {code}{}", advice(&code))
            })?;
        }
        quiet(swarm).await;
        swarm.check().context(MORE)?;
        if swarm.reached() >= count {
            return Ok(());
        }
    }
    bail!(
        "{} of {count} sockets are told nothing; {MORE}",
        count - swarm.reached()
    )
}

/// Until nothing comes for a while.
async fn quiet(swarm: &Swarm) {
    let mut before = swarm.deliveries();
    loop {
        sleep(SILENCE).await;
        let now = swarm.deliveries();
        if std::mem::replace(&mut before, now) == now {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_those_who_follow_its_vehicle() {
        assert_eq!(expected(&[1, 1, 1], 3), 3);
        assert_eq!(expected(&[5, 1, 0], 7), 5 * 3 + 2);
        assert_eq!(expected(&[5, 5], 1), 5, "nobody follows the second");
        assert_eq!(expected(&[0, 0], 100), 0);
    }
}
