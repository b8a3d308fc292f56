//! Sockets that follow vehicles while these are changed, and whether all of them are told.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::calls::vehicles::rename_one;
use crate::client::Client;
use crate::figures::per_second;
use crate::histogram::Histogram;
use crate::latency::Latency;
use crate::setup::advice;
use crate::sockets::{Keep, Order, Swarm, now_us};
use crate::target::Target;
use crate::world::World;

/// How many vehicles they follow, one each: a change concerns one in a hundred.
pub const VEHICLES: usize = 100;

/// How often each vehicle is changed before sockets that are not reached are given up.
const PROBES_MAX: usize = 50;

/// How long nothing comes before it is taken for all there is.
const SILENCE: Duration = Duration::from_millis(500);

/// How long is waited for what is missing at the end, and for silence.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often is looked at what has come.
const LOOK: Duration = Duration::from_millis(10);

/// What to do where sockets are refused.
const MORE: &str = "a server allows one caller 20 sockets: raise sockets.per_caller_max, sockets.total_max, \
                    feeds.members_max and http.connections_max, or give tokens of several callers (docs/load.md)";

/// The sockets, and what came on them.
pub struct Subscribers {
    swarm: Swarm,
    opened: usize,
    /// Is what they are told known from what is changed?
    is_known: bool,
    /// From when on what comes is measured, in microseconds.
    from_us: Option<u64>,
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
    /// That, a second, until the last came if that was after the end.
    pub per_second: f64,
    /// Of each, its size.
    pub mean_bytes: Option<f64>,
    /// What should have come and did not, from the beginning, on each socket by itself; none where nobody
    /// knows.
    pub missing: Option<u64>,
    /// What came on sockets beyond what should have: of changes that were not answered, or of others.
    pub extra: Option<u64>,
    /// What should have come.
    pub expected: Option<u64>,
    /// From when it was recorded until it came.
    #[serde(flatten)]
    pub lag: Latency,
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
            from_us: None,
            ramp_up: 0,
            measured: 0,
            bytes: 0,
            lag: Histogram::default(),
        })
    }

    /// From now on what comes is measured.
    pub fn measure(&mut self) {
        self.take();
        self.from_us = Some(now_us());
    }

    /// Takes what came since the last time; when the last came, in microseconds.
    pub fn take(&mut self) -> u64 {
        let heard = self.swarm.take();
        let new = heard.deliveries - self.ramp_up - self.measured;
        if self.from_us.is_some() {
            self.measured += new;
            heard
                .lags_us
                .iter()
                .for_each(|us| self.lag.record((*us).into()));
        } else {
            self.ramp_up += new;
        }
        self.bytes = heard.bytes;
        heard.last_us
    }

    /// Waits for what is missing, and tells all, of a run that was measured for so long.
    pub async fn end(mut self, changes: &[u64], measured: Duration) -> Deliveries {
        let begun = Instant::now();
        let mut silence = Silence::new(begun, self.swarm.deliveries());
        let last_us = loop {
            let last_us = self.take();
            let is_all = match self.is_known {
                true => self.swarm.each(|told| differ(changes, told).0 == 0),
                false => silence.is_over(Instant::now(), self.swarm.deliveries()),
            };
            if is_all || begun.elapsed() >= PATIENCE {
                break last_us;
            }
            sleep(LOOK).await;
        };
        let (missing, extra) = self.swarm.each(|told| differ(changes, told));
        self.told(measured, last_us, changes, missing, extra)
    }

    fn told(
        mut self,
        measured: Duration,
        last_us: u64,
        changes: &[u64],
        missing: u64,
        extra: u64,
    ) -> Deliveries {
        let all = self.ramp_up + self.measured;
        let span = span(measured, self.from_us, last_us);
        Deliveries {
            opened: self.opened,
            open: self.swarm.count(),
            ramp_up: self.ramp_up,
            deliveries: self.measured,
            per_second: per_second(self.measured, span.as_secs_f64()),
            mean_bytes: (all > 0).then(|| self.bytes as f64 / all as f64),
            missing: self.is_known.then_some(missing),
            extra: self.is_known.then_some(extra),
            expected: self.is_known.then(|| expected(changes, self.opened)),
            lag: Latency::of(&self.lag),
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

/// What deliveries are divided by: how long was measured, or until the last came, if that was later.
fn span(measured: Duration, from_us: Option<u64>, last_us: u64) -> Duration {
    let until_last = from_us.map(|from_us| Duration::from_micros(last_us.saturating_sub(from_us)));
    until_last.map_or(Duration::ZERO, |until_last| measured.max(until_last))
}

/// How many deliveries so many changes of each vehicle lead to, where sockets take turns in following them.
fn expected(changes: &[u64], sockets: usize) -> u64 {
    changes.iter().cycle().take(sockets).sum()
}

/// What is missing on these sockets, and what came beyond what should have: each is looked at by itself, so
/// that one that is told twice does not stand for another that is told nothing.
fn differ(changes: &[u64], told: &[u64]) -> (u64, u64) {
    let each = changes.iter().cycle().zip(told);
    each.fold((0, 0), |(missing, extra), (change, told)| {
        (
            missing + change.saturating_sub(*told),
            extra + told.saturating_sub(*change),
        )
    })
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

/// Until nothing comes for a while, or patience ends.
async fn quiet(swarm: &Swarm) {
    let mut silence = Silence::new(Instant::now(), swarm.deliveries());
    while !silence.is_over(Instant::now(), swarm.deliveries()) {
        sleep(LOOK).await;
    }
}

/// Waits for silence where it may never come.
struct Silence {
    begun: Instant,
    since: Instant,
    deliveries: u64,
}

impl Silence {
    fn new(now: Instant, deliveries: u64) -> Silence {
        Silence {
            begun: now,
            since: now,
            deliveries,
        }
    }

    /// Has nothing come for a while, or is this waited for too long?
    fn is_over(&mut self, now: Instant, deliveries: u64) -> bool {
        if std::mem::replace(&mut self.deliveries, deliveries) != deliveries {
            self.since = now;
        }
        now - self.since >= SILENCE || now - self.begun >= PATIENCE
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

    #[test]
    fn a_socket_that_is_told_twice_does_not_stand_for_one_that_is_told_nothing() {
        assert_eq!(differ(&[2, 1], &[2, 1, 2, 1]), (0, 0));
        assert_eq!(differ(&[2, 1], &[4, 1, 0, 1]), (2, 2));
        assert_eq!(
            differ(&[1, 1, 1], &[1, 0]),
            (1, 0),
            "nobody follows the third"
        );
    }

    #[test]
    fn silence_is_waited_for_and_where_it_never_comes_no_longer_than_patience() {
        let begun = Instant::now();
        let mut silent = Silence::new(begun, 5);
        assert!(!silent.is_over(begun + SILENCE / 2, 6));
        assert!(!silent.is_over(begun + SILENCE, 6));
        assert!(silent.is_over(begun + SILENCE * 3 / 2, 6));

        let mut loud = Silence::new(begun, 0);
        let looks = (PATIENCE.as_millis() / LOOK.as_millis()) as u32;
        let over = (0..2 * looks).find(|n| loud.is_over(begun + LOOK * *n, u64::from(*n)));
        assert_eq!(over, Some(looks));
    }

    #[test]
    fn what_comes_after_the_end_is_divided_by_the_time_until_it_came() {
        let s = Duration::from_secs(1);
        assert_eq!(span(s * 10, Some(5_000_000), 8_000_000), s * 10);
        assert_eq!(span(s * 10, Some(5_000_000), 25_000_000), s * 20);
        assert_eq!(span(s * 10, Some(5_000_000), 0), s * 10, "nothing came");
        assert_eq!(
            span(s * 10, None, 8_000_000),
            Duration::ZERO,
            "it ended before"
        );
    }
}
