//! Who folds what: one task per tenant and read model, shared by processes through leases.
//!
//! Sharing is a matter of counting. Every process that folds holds a member lease; with m members
//! and n read models none keeps more than ceil(n / m): it hands surplus back, and takes free ones
//! up to its share. One that nobody has wanted for a lease's life is taken by anyone, whatever the
//! count, so a member that hangs on to its membership without working delays it, no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use projections::AnyProjection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::generations::{self, LiveRow};
use super::lease::{Lease, Leases, Seen};
use super::projector::{self, Ended, Workplace};
use super::rebuild::{self, RebuildError};
use super::runner::Shared;
use super::status;
use super::wait::Board;

/// How often a life of a lease the sharing is looked at.
const ROUNDS_PER_LIFE: u32 = 3;

/// A projector that crashed is started again after so many milliseconds.
const RESTART_MS: u64 = 1_000;

/// A rebuild of our own accord that failed is tried again after so many milliseconds.
const REBUILD_AGAIN_MS: u64 = 60_000;

/// Rows of processes that are long gone are removed after so many seconds.
const MEMBER_KEPT_S: f64 = 3_600.0;

/// Starts, shares and ends the projectors of all tenants until `ending` turns true.
pub(super) async fn supervise(shared: Arc<Shared>, mut ending: watch::Receiver<bool>) {
    let life = Duration::from_millis(shared.settings.lease_ms);
    let leases = Leases::new(shared.store.pool().clone(), life);
    let mut crews: HashMap<Arc<str>, Crew> = HashMap::new();
    while !*ending.borrow() {
        if let Err(error) = round(&shared, &leases, &mut crews).await {
            tracing::warn!(%error, "the read models' work was not shared out: {error}");
        }
        tokio::select! {
            () = sleep(life / ROUNDS_PER_LIFE) => {}
            ended = ending.changed() => if ended.is_err() { break },
        }
    }
    for crew in crews.values_mut() {
        crew.workers.values().for_each(|w| w.ask_to_end());
        crew.builders.values().for_each(|b| b.task.abort());
    }
    for (_, crew) in crews {
        for (_, worker) in crew.workers {
            // one that panicked has said so
            let _ = worker.task.await;
        }
        if let Some(member) = crew.member
            && let Err(error) = member.release().await
        {
            tracing::debug!(%error, "membership was not given back");
        }
    }
}

async fn round(
    shared: &Arc<Shared>,
    leases: &Leases,
    crews: &mut HashMap<Arc<str>, Crew>,
) -> Result<(), super::ConsumerError> {
    for tenant in shared.store.tenants().await? {
        if !crews.contains_key(&tenant) {
            generations::ensure(shared.store.pool(), &tenant, &shared.projections).await?;
            forget_members(shared, &tenant).await?;
        }
        let models = shared.models(&tenant).await?;
        let crew = crews.entry(tenant.clone()).or_default();
        crew.share_out(shared, leases, &tenant, &models).await?;
        status::show_gauges(&status::status(&shared.store, &models, &tenant).await?);
    }
    Ok(())
}

/// What this process has at work for one tenant.
#[derive(Default)]
struct Crew {
    member: Option<Lease>,
    workers: HashMap<&'static str, Worker>,
    builders: HashMap<&'static str, Builder>,
    /// Pieces of work that are not started again before a time.
    resting: HashMap<String, Instant>,
}

/// A projector's task, which owns its lease.
struct Worker {
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    fn ask_to_end(&self) {
        self.ending.send_replace(true);
    }

    fn stays(&self) -> bool {
        !*self.ending.borrow()
    }
}

/// A rebuild this process has taken up: the version changed, one was asked for, or left unfinished.
struct Builder {
    /// What rests if it fails: a rebuild that is asked for after it is another.
    rests: String,
    task: JoinHandle<Result<(), RebuildError>>,
}

impl Crew {
    async fn share_out(
        &mut self,
        shared: &Arc<Shared>,
        leases: &Leases,
        tenant: &Arc<str>,
        models: &[Arc<dyn AnyProjection>],
    ) -> Result<(), super::ConsumerError> {
        self.reap().await;
        self.dismiss_removed(models);
        if self.member.as_ref().is_none_or(Lease::is_lost) {
            self.member = None;
            self.member = leases
                .acquire(tenant, &format!("member/{}", leases.owner()))
                .await?;
        }
        let seen = leases.survey(tenant).await?;
        let live = generations::live(shared.store.pool(), tenant).await?;
        self.hand_out(shared, leases, (tenant, models), &seen, &live)
            .await?;
        self.start_builders(shared, (tenant, models), &seen, &live)
            .await
    }

    /// Ends the work at read models that are no more.
    fn dismiss_removed(&mut self, models: &[Arc<dyn AnyProjection>]) {
        for (name, worker) in &self.workers {
            if !models.iter().any(|m| m.name() == *name) {
                worker.ask_to_end();
            }
        }
    }

    /// Takes free read models up to this process's share, hands back what is beyond it.
    async fn hand_out(
        &mut self,
        shared: &Arc<Shared>,
        leases: &Leases,
        (tenant, models): (&Arc<str>, &[Arc<dyn AnyProjection>]),
        seen: &[Seen],
        live: &[LiveRow],
    ) -> Result<(), super::ConsumerError> {
        let ours: Vec<_> = models.iter().filter(|p| same_version(p, live)).collect();
        let members = seen
            .iter()
            .filter(|s| s.held && s.resource.starts_with("member/"))
            .count();
        let share = ours.len().div_ceil(members.max(1));
        let mut kept = self.workers.values().filter(|w| w.stays()).count();
        for projection in ours.iter().rev() {
            if let Some(worker) = self.workers.get(projection.name())
                && worker.stays()
                && kept > share
            {
                worker.ask_to_end();
                kept -= 1;
            }
        }
        for projection in ours {
            let name = projection.name();
            let resource = format!("projection/{name}");
            let row = seen.iter().find(|s| s.resource == resource);
            let wanted = kept < share || row.is_none_or(|s| s.abandoned);
            let free = row.is_none_or(|s| !s.held || s.mine) && !self.workers.contains_key(name);
            if !wanted || !free || self.rests(&resource) {
                continue;
            }
            if let Some(lease) = leases.acquire(tenant, &resource).await? {
                self.workers
                    .insert(name, start_worker(shared, tenant, projection, lease));
                kept += 1;
            }
        }
        Ok(())
    }

    /// Starts rebuilds that nobody is at: of an older version's generation, asked for, or left unfinished.
    async fn start_builders(
        &mut self,
        shared: &Arc<Shared>,
        (tenant, models): (&Arc<str>, &[Arc<dyn AnyProjection>]),
        seen: &[Seen],
        live: &[LiveRow],
    ) -> Result<(), super::ConsumerError> {
        let unfinished = rebuild::unfinished(shared.store.pool(), tenant).await?;
        for projection in models {
            let (name, version) = (projection.name(), projection.version());
            let outdated = live
                .iter()
                .any(|l| l.projection == name && l.version < version);
            let mut ours = unfinished.iter();
            let left = ours.find(|u| u.projection == name && u.version == version);
            let resource = format!("rebuild/{name}");
            let rests = match left {
                Some(left) => format!("{resource}/{}", left.generation),
                None => resource.clone(),
            };
            let busy = self.builders.contains_key(name)
                || seen.iter().any(|s| s.held && s.resource == resource)
                || left.is_some_and(|left| left.paused);
            if !(outdated || left.is_some()) || busy || self.rests(&rests) {
                continue;
            }
            tracing::info!(projection = name, %tenant, "read model {name} is being rebuilt");
            let task = tokio::spawn(build(shared.clone(), tenant.clone(), projection.clone()));
            self.builders.insert(name, Builder { rests, task });
        }
        Ok(())
    }

    /// Takes note of tasks that have ended.
    async fn reap(&mut self) {
        let ended: Vec<_> = self
            .workers
            .extract_if(|_, w| w.task.is_finished())
            .collect();
        for (name, worker) in ended {
            if let Err(panic) = worker.task.await {
                tracing::error!(projection = name, %panic, "projector of {name} crashed: {panic}");
                self.rest(format!("projection/{name}"), RESTART_MS);
            }
        }
        let built: Vec<_> = self
            .builders
            .extract_if(|_, b| b.task.is_finished())
            .collect();
        for (name, builder) in built {
            let ended = builder.task.await;
            match ended {
                Ok(
                    Ok(())
                    | Err(RebuildError::Running | RebuildError::Cancelled | RebuildError::Paused),
                ) => {}
                Ok(Err(error)) => {
                    tracing::error!(projection = name, %error, "{name} was not rebuilt: {error}");
                    self.rest(builder.rests, REBUILD_AGAIN_MS);
                }
                Err(panic) => {
                    tracing::error!(projection = name, %panic, "rebuild of {name} crashed: {panic}");
                    self.rest(builder.rests, REBUILD_AGAIN_MS);
                }
            }
        }
    }

    fn rest(&mut self, resource: String, ms: u64) {
        self.resting
            .insert(resource, Instant::now() + Duration::from_millis(ms));
    }

    fn rests(&self, resource: &str) -> bool {
        self.resting
            .get(resource)
            .is_some_and(|until| *until > Instant::now())
    }
}

/// Is the live generation of the version this program knows?
fn same_version(projection: &Arc<dyn AnyProjection>, live: &[LiveRow]) -> bool {
    live.iter()
        .any(|l| l.projection == projection.name() && l.version == projection.version())
}

fn start_worker(
    shared: &Arc<Shared>,
    tenant: &Arc<str>,
    projection: &Arc<dyn AnyProjection>,
    lease: Lease,
) -> Worker {
    let place = Workplace {
        store: shared.store.clone(),
        tenant: tenant.clone(),
        projection: projection.clone(),
        tail: shared.tail(tenant),
        board: shared.boards.of(tenant),
        settings: shared.settings.clone(),
    };
    let (ending, asked) = watch::channel(false);
    Worker {
        ending,
        task: tokio::spawn(work(place, lease, asked)),
    }
}

/// Folds as long as the lease is held. A lost lease drops the work where it is: its transaction is
/// rolled back, and the fence would have refused it anyway.
async fn work(place: Workplace, lease: Lease, asked: watch::Receiver<bool>) {
    let name = place.projection.name();
    let _here = Here::new(place.board.clone(), name);
    let ended = tokio::select! {
        biased;
        () = lease.lost() => None,
        ended = projector::run(place.clone(), lease.token, asked) => Some(ended),
    };
    match ended {
        None => tracing::warn!(projection = name, "the lease on {name} was lost"),
        Some(Ended::Fenced) => tracing::warn!(projection = name, "{name} has a newer owner"),
        Some(Ended::Asked | Ended::OtherVersion) => {
            if let Err(error) = lease.release().await {
                tracing::debug!(%error, "the lease on {name} was not given back");
            }
        }
    }
}

/// Says on the board that a projector of this process is at work, as long as it lives.
struct Here(Arc<Board>, &'static str);

impl Here {
    fn new(board: Arc<Board>, projection: &'static str) -> Here {
        board.owned_here(projection, true);
        Here(board, projection)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.owned_here(self.1, false);
    }
}

async fn build(
    shared: Arc<Shared>,
    tenant: Arc<str>,
    projection: Arc<dyn AnyProjection>,
) -> Result<(), RebuildError> {
    let how = (
        shared.settings.rebuild_slowdown_max,
        shared.rebuild_places.clone(),
    );
    rebuild::rebuild_if_due(&shared.store, &projection, &tenant, how).await?;
    shared.boards.of(&tenant).poke();
    Ok(())
}

async fn forget_members(shared: &Shared, tenant: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from leases where tenant = $1 and resource like 'member/%'
         and expires_at < clock_timestamp() - make_interval(secs => $2)",
    )
    .bind(tenant)
    .bind(MEMBER_KEPT_S)
    .execute(shared.store.pool())
    .await?;
    Ok(())
}
