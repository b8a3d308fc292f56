//! Alerts go up and down by themselves: each objective is measured now and then, by one process for each
//! tenant.
//!
//! What is said rests on the version that was looked at, so nothing is said twice, nor of what was revised
//! or retired meanwhile: the next look sees to that.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::slo::{BurnRates, EXCLUSIONS_MAX, Slo, SloCommand};
use domain::{Actor, ActorKind, Code};
use metrics::{counter, histogram};
use projections::slo::{Attainment, Counted, SloQuery, SloStatus, measure};
use projections::slos::{self, SloFilter, SloRow};
use projections::{ReadError, Reader};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::auth::{Auth, AuthError};
use crate::commands::{CommandContext, CommandError, Door};
use crate::config;
use crate::consumers::{ConsumerError, Consumers, Duty};
use crate::ops::{Clock, metrics as names};
use crate::store::{Store, StoreError};

/// What it takes to measure objectives and to say what was found.
pub struct Foundation {
    /// Where it is said.
    pub door: Door,
    /// Which tenants there are.
    pub store: Store,
    /// Which of them are suspended.
    pub auth: Auth,
    /// What is measured.
    pub reader: Reader,
    /// Which process measures.
    pub consumers: Consumers,
    /// What time it is.
    pub clock: Clock,
}

/// Why objectives were not measured.
#[derive(Debug, thiserror::Error)]
enum AlertError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Duty(#[from] ConsumerError),
    #[error(transparent)]
    Tenant(#[from] AuthError),
}

/// Whoever looks, and where the next look at each tenant goes on.
struct Watch {
    on: Foundation,
    settings: config::Slos,
    duty: Duty,
    places: HashMap<Arc<str>, String>,
    /// Objectives of which nothing can be said because their stream is parked, by tenant: told once.
    parked: Mutex<HashSet<(Arc<str>, String)>>,
}

/// What came of measuring an objective.
enum Measured {
    /// What was to be said of its alerts is said, or is left to the next look.
    Said,
    /// Nothing can be said while its stream is parked: the version is not known.
    Parked,
}

/// Starts looking at all objectives, again and again; ends with the returned set.
pub fn start(settings: &config::Slos, on: Foundation) -> JoinSet<()> {
    let watch = Watch {
        duty: on.consumers.duty("slo alerts"),
        on,
        settings: settings.clone(),
        places: HashMap::new(),
        parked: Mutex::default(),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(watch.run());
    tasks
}

impl Watch {
    async fn run(mut self) {
        let every = self.settings.alert_interval;
        let mut turns = tokio::time::interval_at(Instant::now() + every, every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let tenants = match self.on.store.tenants().await {
                Ok(tenants) => tenants,
                Err(error) => {
                    tracing::warn!(%error, "objectives were not measured: {error}");
                    continue;
                }
            };
            for tenant in tenants {
                match self.look(&tenant).await {
                    Ok(()) | Err(AlertError::Read(ReadError::NotBuilt(_))) => {}
                    Err(error) => {
                        let what = "objectives were not measured";
                        tracing::warn!(%error, tenant = &*tenant, "{what}: {error}");
                    }
                }
            }
        }
    }

    /// Measures the objectives of a tenant, from where the last look ended, for as long as one may take.
    async fn look(&mut self, tenant: &Arc<str>) -> Result<(), AlertError> {
        if !self.duty.is_ours(tenant).await? || self.on.auth.tenant(tenant).await?.suspended {
            self.places.remove(tenant);
            return Ok(());
        }
        let begun = Instant::now();
        let place = self.places.remove(tenant);
        let next = self.measure_from(tenant, place, begun + self.settings.alert_time_max);
        let next = next.await?;
        self.places.extend(next.map(|next| (tenant.clone(), next)));
        histogram!(names::SLO_LOOK_SECONDS).record(begun.elapsed());
        Ok(())
    }

    /// Measures page by page; tells where to go on if there was not time enough for all.
    async fn measure_from(
        &self,
        tenant: &Arc<str>,
        mut after: Option<String>,
        until: Instant,
    ) -> Result<Option<String>, AlertError> {
        let filter = SloFilter {
            retired: Some(false),
            ..SloFilter::default()
        };
        loop {
            let page = {
                let mut snapshot = self.on.reader.snapshot(tenant).await?;
                let first = self.settings.alert_batch;
                slos::slos(&mut snapshot, &filter, after.as_deref(), first).await?
            };
            for row in page.items {
                if Instant::now() >= until {
                    return Ok(after);
                }
                // One that cannot be measured does not keep the others from it.
                let measured = self.measure_one(tenant, &row).await;
                let is_parked = matches!(measured, Ok(Measured::Parked));
                let outcome = match measured {
                    Ok(Measured::Said) => "ok",
                    Ok(Measured::Parked) => "parked",
                    Err(_) => "failed",
                };
                if self.is_news(tenant, &row.id, is_parked) {
                    let (tenant, slo) = (&**tenant, &*row.id);
                    let what = "alerts of an objective rest: its stream is parked";
                    tracing::warn!(tenant, slo, "{what}");
                }
                counter!(names::SLO_MEASUREMENTS_TOTAL, "outcome" => outcome).increment(1);
                if let Err(error) = measured {
                    let (tenant, slo) = (&**tenant, &*row.id);
                    tracing::warn!(%error, tenant, slo, "an objective was not measured: {error}");
                }
                after = Some(row.id);
            }
            if !page.has_next {
                return Ok(None);
            }
        }
    }

    /// Notes whether an objective is parked. True if it is, and was not before.
    fn is_news(&self, tenant: &Arc<str>, slo: &str, is_parked: bool) -> bool {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        let which = (tenant.clone(), slo.to_owned());
        match is_parked {
            true => parked.insert(which),
            false => {
                parked.remove(&which);
                false
            }
        }
    }

    /// Measures one objective, and says of its alerts what is not said yet.
    async fn measure_one(&self, tenant: &Arc<str>, row: &SloRow) -> Result<Measured, AlertError> {
        let now = self.on.clock.now();
        let (found, some_are_parked) = {
            let mut snapshot = self.on.reader.snapshot(tenant).await?;
            let first = EXCLUSIONS_MAX as u32;
            let excluded = slos::exclusions(&mut snapshot, &row.id, None, None, first).await?;
            let query = SloQuery {
                objective: row.objective.clone(),
                excluded: excluded.items.iter().map(|e| (e.from, e.to)).collect(),
                at: now,
                known_at: None,
            };
            let found = measure(&mut snapshot, &query).await?;
            (found, snapshot.is_parked(slos::NAME))
        };
        let mut version = row.stream_version;
        for command in changes(row, &found) {
            let change = match &command {
                SloCommand::RaiseAlert { .. } => "raised",
                _ => "cleared",
            };
            let ctx = context(tenant, now, version);
            version = match self.on.door.execute::<Slo>(&ctx, &row.id, command).await {
                Ok(receipt) => receipt.version,
                // Somebody has said something else of it since it was looked up, or nothing of it is taken in.
                Err(CommandError::Refused(refusal)) if refusal.code == Code::VersionConflict => {
                    return Ok(match some_are_parked {
                        true => Measured::Parked,
                        false => Measured::Said,
                    });
                }
                Err(error) => return Err(error.into()),
            };
            counter!(names::SLO_ALERT_CHANGES_TOTAL, "change" => change).increment(1);
        }
        Ok(Measured::Said)
    }
}

fn context(tenant: &Arc<str>, now: DateTime<Utc>, version: i64) -> CommandContext {
    let actor = Actor {
        kind: ActorKind::System,
        id: "daybook".into(),
    };
    CommandContext {
        expected_version: Some(version),
        ..CommandContext::new(tenant.clone(), actor, now)
    }
}

/// What is to be said of an objective's alerts: those go up whose rule finds the budget to burn too fast
/// over both of its spans, and those go down whose rule does not, or is none any more. While there is too
/// little to say whether it is met, none is up.
fn changes(row: &SloRow, found: &Attainment) -> Vec<SloCommand> {
    let ppm = row.objective.objective_ppm;
    let speaks = matches!(found.status, SloStatus::Met | SloStatus::Missed);
    let mut commands = Vec::new();
    for burn in &found.burn {
        let rates = BurnRates {
            long_milli: milli(burn.long, ppm),
            short_milli: milli(burn.short, ppm),
            position: found.as_of,
        };
        let (rule, too_fast) = (burn.rule, speaks && burn.is_too_fast(ppm));
        match (row.alerts.iter().any(|alert| alert.rule == rule), too_fast) {
            (false, true) => commands.push(SloCommand::RaiseAlert { rule, rates }),
            (true, false) => commands.push(SloCommand::ClearAlert { rule, rates }),
            (true, true) | (false, false) => {}
        }
    }
    let is_measured = |rule| found.burn.iter().any(|burn| burn.rule == rule);
    let gone = row.alerts.iter().filter(|alert| !is_measured(alert.rule));
    commands.extend(gone.map(|alert| SloCommand::ClearAlert {
        rule: alert.rule,
        rates: BurnRates {
            long_milli: 0,
            short_milli: 0,
            position: found.as_of,
        },
    }));
    commands
}

/// How fast a budget burns in thousandths; 0 where nothing was counted.
fn milli(counted: Counted, objective_ppm: u32) -> u64 {
    let used = counted.budget_used(objective_ppm).unwrap_or(0.0);
    (used * 1_000.0).round() as u64
}
