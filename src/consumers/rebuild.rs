//! Rebuilding a read model beside the live one: fold the whole log in parallel, catch up, swap.
//!
//! 1. [`plan`]: the next generation's empty tables, and the log up to its head cut into ranges.
//! 2. [`ranges`]: workers fold ranges in any order; each is written and marked done in one
//!    transaction, so that a killed rebuild goes on where it was.
//! 3. [`swap`]: the new generation follows the log to where the live one is, loses what is kept no
//!    longer, is compared with it if asked, and takes its place in one transaction. Readers see old or
//!    new, never a mix.
//!
//! The live generation goes on throughout; the old one is kept until the next rebuild drops it, and can
//! be rolled back to until then. Built as of a position, a generation takes no place: it stays beside
//! the live one, for questions about then.
//!
//! A rebuild is recorded before anything is done ([`order`], [`plan`]), so any process can carry it out;
//! [`watch`] tells it how far it is and hears from there whether it is to stop.

mod ask;
mod error;
mod order;
mod plan;
mod progress;
mod ranges;
mod record;
mod swap;
mod turns;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Position;
use projections::AnyProjection;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::ConsumerSettings;
use super::decisions::Decider;
use super::generations;
use super::lease::{Lease, Leases};
use crate::ops::Clock;
use crate::store::Store;

pub use ask::{ask_rebuild, cancel_rebuild, drop_generation, pause_rebuild, resume_rebuild};
pub use error::RebuildError;
pub(super) use plan::{cancel, unfinished};
pub use progress::{Phase, Progress};
pub(super) use record::newest;
pub use record::{RebuildStatus, rebuilds};

use order::Order;
use plan::Plan;
use progress::Meter;

/// A rebuild's lease lives so long without being renewed, in milliseconds.
const LEASE_MS: u64 = 3_000;

/// A rebuild that lost its lease (the database was away) tries to go on for so many milliseconds.
const REGAIN_MS: u64 = 60_000;

/// While the database is away the lease is asked for once in so many milliseconds.
const REGAIN_LOOK_MS: u64 = 200;

/// A rebuild gives up after so many faults in a row.
const FAULTS_MAX: u32 = 20;

/// What becomes of the generation that is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It takes the place of the live one.
    Replace,
    /// It stays beside the live one, as of a position.
    Scratch {
        /// The last position folded in.
        up_to: Position,
    },
    /// It is compared with the live one, and dropped.
    Check,
    /// Nothing is built: the one that is kept follows the log to where the live one is, and takes its
    /// place again.
    RollBack,
}

impl Mode {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Replace => "replace",
            Mode::Scratch { .. } => "scratch",
            Mode::Check => "check",
            Mode::RollBack => "roll_back",
        }
    }

    fn of(word: &str, to: Position) -> Mode {
        match word {
            "scratch" => Mode::Scratch { up_to: to },
            "check" => Mode::Check,
            "roll_back" => Mode::RollBack,
            _ => Mode::Replace,
        }
    }
}

/// How a rebuild is done.
#[derive(Clone, Debug)]
pub struct RebuildOptions {
    /// What becomes of it.
    pub mode: Mode,
    /// How many ranges are folded at once, each with two connections.
    pub workers: usize,
    /// At most this many events in a range. Ranges are made smaller when the log is short.
    pub range_events: i64,
    /// A worker writes once what it has folded comes to this many rows, and cuts its range there.
    pub rows_max: usize,
    /// How much of their rate those who append may lose while the log is folded, 0 to 1. The rebuild
    /// rests as much as it takes; at 1 it never does.
    pub slowdown_max: f64,
    /// Compare both generations at one position before the swap, if one version built both; refuse
    /// to swap if they differ.
    pub compare: bool,
    /// By which it is told what is kept no longer: the new generation answers without it.
    pub clock: Clock,
    /// Who asks for it, and why; kept.
    pub decider: Option<Decider>,
    /// A tenant has at most this many generations as of positions.
    pub scratches_max: usize,
    /// Whoever goes back goes away from this generation, and no other.
    pub away_from: Option<i32>,
    /// A worker takes one of these before it opens its connections: rebuilds of one process share them.
    pub places: Arc<Semaphore>,
}

/// At most this many workers.
pub const WORKERS_MAX: usize = 16;

/// Workers of all rebuilds of a process, where nothing else is said.
pub(super) const PLACES: usize = 8;

/// The bounds of [`RebuildOptions::range_events`].
pub const RANGE_EVENTS: std::ops::RangeInclusive<i64> = 1_000..=10_000_000;

impl Default for RebuildOptions {
    fn default() -> RebuildOptions {
        RebuildOptions {
            mode: Mode::Replace,
            workers: 2,
            range_events: 100_000,
            rows_max: 100_000,
            slowdown_max: 0.2,
            compare: false,
            clock: Clock::system(),
            decider: None,
            scratches_max: 8,
            away_from: None,
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }
}

/// What a rebuild has come to.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// The generation that answers now.
    pub generation: i32,
    /// The position it was swapped in at.
    pub position: Position,
    /// Events folded in ranges by this try.
    pub events: u64,
    /// The digest both generations had at one position, if they were compared.
    pub digest: Option<String>,
    /// How long this try took.
    pub elapsed: Duration,
}

/// Rebuilds a read model, or goes on with a rebuild that was interrupted. `progress` is called a
/// few times a second from the caller's task. Dropping the future interrupts it.
pub async fn rebuild(
    store: &Store,
    projection: &Arc<dyn AnyProjection>,
    tenant: &Arc<str>,
    options: RebuildOptions,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Rebuilt, RebuildError> {
    run(store, projection, tenant, options, Cause::Asked, progress).await
}

/// Rebuilds a read model whose live generation is of an older version, or goes on with a rebuild
/// that was interrupted. If neither is so any more, it was [`RebuildError::Cancelled`].
pub(super) async fn rebuild_if_due(
    store: &Store,
    projection: &Arc<dyn AnyProjection>,
    tenant: &Arc<str>,
    (slowdown_max, places): (f64, Arc<Semaphore>),
) -> Result<Rebuilt, RebuildError> {
    let options = RebuildOptions {
        slowdown_max,
        places,
        ..RebuildOptions::default()
    };
    run(store, projection, tenant, options, Cause::Due, |_| {}).await
}

/// Why a rebuild is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Someone asked for it.
    Asked,
    /// Nobody did: only if there is a reason.
    Due,
}

async fn run(
    store: &Store,
    projection: &Arc<dyn AnyProjection>,
    tenant: &Arc<str>,
    options: RebuildOptions,
    cause: Cause,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Rebuilt, RebuildError> {
    let life = Duration::from_millis(LEASE_MS);
    let leases = Leases::new(store.pool().clone(), life);
    let resource = format!("rebuild/{}", projection.name());
    let lease = leases
        .acquire(tenant, &resource)
        .await?
        .ok_or(RebuildError::Running)?;
    generations::ensure(store.pool(), tenant, std::slice::from_ref(projection)).await?;
    let mut job = Job {
        store: store.clone(),
        projection: projection.clone(),
        tenant: tenant.clone(),
        options,
        cause,
        token: lease.token,
        settings: Arc::new(ConsumerSettings::default()),
        meter: Arc::new(Meter::new()),
    };
    let mut lease = Some(lease);
    loop {
        let held = match lease.take() {
            Some(held) => held,
            None => regain(&leases, tenant, &resource).await?,
        };
        job.token = held.token;
        let outcome = tokio::select! {
            biased;
            () = held.lost() => Err(RebuildError::LeaseLost),
            never = job.meter.tell(&progress) => match never {},
            outcome = build(&job) => outcome,
        };
        if matches!(outcome, Err(RebuildError::LeaseLost)) {
            continue;
        }
        job.meter.tell_once(&progress);
        // it expires by itself if this fails
        let _ = held.release().await;
        return outcome;
    }
}

/// Takes the lease again after it was lost, unless someone else goes on in our place.
async fn regain(leases: &Leases, tenant: &Arc<str>, resource: &str) -> Result<Lease, RebuildError> {
    let until = Instant::now() + Duration::from_millis(REGAIN_MS);
    loop {
        match leases.acquire(tenant, resource).await {
            Ok(Some(lease)) => return Ok(lease),
            Ok(None) => return Err(RebuildError::Running),
            Err(_) if Instant::now() < until => sleep(Duration::from_millis(REGAIN_LOOK_MS)).await,
            Err(_) => return Err(RebuildError::LeaseLost),
        }
    }
}

async fn build(job: &Job) -> Result<Rebuilt, RebuildError> {
    let began = Instant::now();
    // what is refused before it begins has nothing to close
    let plan = plan::open(job).await?;
    let swapped = tokio::select! {
        biased;
        ended = watch::watch(job, &plan) => Err(ended),
        done = carry_out(job, &plan) => done,
    };
    match swapped {
        Ok(swapped) => Ok(Rebuilt {
            generation: plan.generation,
            position: swapped.position,
            events: job.meter.folded(),
            digest: swapped.digest,
            elapsed: began.elapsed(),
        }),
        Err(error) => {
            if error.is_lasting() {
                plan::fail(job, &plan, &error).await?;
            }
            Err(error)
        }
    }
}

async fn carry_out(job: &Job, plan: &Plan) -> Result<swap::Swapped, RebuildError> {
    // dropping waits for the disk; the fold need not
    let (folded, ()) = tokio::join!(
        ranges::fold_all(job, plan),
        plan::drop_leftovers(job, plan.mode)
    );
    folded?;
    swap::finish(job, plan).await
}

/// Everything one try of a rebuild works with.
#[derive(Clone)]
struct Job {
    store: Store,
    projection: Arc<dyn AnyProjection>,
    tenant: Arc<str>,
    options: RebuildOptions,
    cause: Cause,
    token: i64,
    settings: Arc<ConsumerSettings>,
    meter: Arc<Meter>,
}

impl Job {
    /// What is to be recorded of it.
    fn order(&self) -> Order<'_> {
        Order {
            store: &self.store,
            tenant: &self.tenant,
            projection: self.projection.as_ref(),
            options: &self.options,
            command_id: None,
            // Nothing waits for the disk: a crash of the server loses a rebuild that had just begun, and
            // with it everything it had written.
            begin: "begin; set local synchronous_commit = off",
        }
    }

    /// Is there a reason to begin anew, other than going on?
    async fn is_due(&self) -> Result<bool, sqlx::Error> {
        if self.cause == Cause::Asked {
            return Ok(true);
        }
        let (name, version) = (self.projection.name(), self.projection.version());
        let live = generations::live(self.store.pool(), &self.tenant).await?;
        Ok(live
            .iter()
            .any(|l| l.projection == name && l.version < version))
    }
}
