//! The consumers of one process, as the rest of the program sees them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Position;
use projections::{AnyProjection, Live};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::decisions::Decider;
use super::feed::{Feed, Feeds};
use super::generations;
use super::lease::Leases;
use super::rebuild::{self, Progress, RebuildError, RebuildOptions, RebuildStatus, Rebuilt};
use super::status::{self, ProjectionStatus};
use super::supervisor::supervise;
use super::tail::Tail;
use super::wait::{Boards, Stale};
use super::{ConsumerError, ConsumerSettings, control};
use crate::analysts::Analysts;
use crate::store::Store;

/// The consumers of one process. Cheap to clone; they end with [`Consumers::stop`], or roughly when
/// the last clone is dropped.
#[derive(Clone)]
pub struct Consumers {
    shared: Arc<Shared>,
    /// Turns true when all is to stop.
    ending: Arc<watch::Sender<bool>>,
    supervisor: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What the consumers of one process have in common.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) projections: Vec<Arc<dyn AnyProjection>>,
    /// Where tenants have read models of their own.
    analysts: Option<Analysts>,
    pub(super) settings: Arc<ConsumerSettings>,
    pub(super) boards: Boards,
    pub(super) feeds: Feeds,
    /// One for each worker of a rebuild, of all rebuilds of this process.
    pub(super) rebuild_places: Arc<Semaphore>,
    tails: Mutex<HashMap<Arc<str>, Arc<Tail>>>,
}

impl Consumers {
    /// Gives every read model of every tenant its first generation, then starts the work.
    pub async fn start(
        store: Store,
        projections: Vec<Arc<dyn AnyProjection>>,
        settings: ConsumerSettings,
    ) -> Result<Consumers, ConsumerError> {
        Consumers::start_with(store, projections, None, settings).await
    }

    /// The same, with the read models that tenants have installed.
    pub async fn start_with(
        store: Store,
        projections: Vec<Arc<dyn AnyProjection>>,
        analysts: Option<Analysts>,
        settings: ConsumerSettings,
    ) -> Result<Consumers, ConsumerError> {
        let names = projections.iter().map(|p| p.name()).collect();
        let boards = Boards::new(store.pool().clone(), names, settings.poll_ms);
        let rebuild_places = Arc::new(Semaphore::new(settings.rebuild_workers_max));
        let settings = Arc::new(settings);
        let shared = Arc::new(Shared {
            store,
            projections,
            analysts,
            settings,
            boards,
            feeds: Feeds::default(),
            rebuild_places,
            tails: Mutex::default(),
        });
        for tenant in shared.store.tenants().await? {
            generations::ensure(shared.store.pool(), &tenant, &shared.projections).await?;
        }
        let ending = Arc::new(watch::Sender::new(false));
        let supervisor = shared
            .settings
            .project
            .then(|| tokio::spawn(supervise(shared.clone(), ending.subscribe())));
        Ok(Consumers {
            shared,
            ending,
            supervisor: Arc::new(Mutex::new(supervisor)),
        })
    }

    /// Finishes the batches in flight, gives the leases back and returns when nothing is left
    /// running. Calling it again does nothing.
    pub async fn stop(&self) {
        self.ending.send_replace(true);
        let supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(supervisor) = supervisor {
            // a supervisor that panicked has said so and has nothing left to stop
            let _ = supervisor.await;
        }
    }

    /// Leases for work beside read models, which live as long as theirs.
    pub(super) fn leases(&self) -> Leases {
        let life = Duration::from_millis(self.shared.settings.lease_ms);
        Leases::new(self.shared.store.pool().clone(), life)
    }

    /// The log.
    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Where tenants have read models of their own, if they may.
    pub fn analysts(&self) -> Option<&Analysts> {
        self.shared.analysts.as_ref()
    }

    /// The read models, in the order of [`projections::all`].
    pub fn projections(&self) -> &[Arc<dyn AnyProjection>] {
        &self.shared.projections
    }

    /// The shared reader of a tenant's log.
    pub fn tail(&self, tenant: &Arc<str>) -> Arc<Tail> {
        self.shared.tail(tenant)
    }

    /// What happens, as it happens.
    pub fn feed(&self) -> Feed {
        Feed::new(self.shared.clone(), self.ending.subscribe())
    }

    /// Waits until the read models have folded `at_least`, whichever process folds them, or says
    /// after `timeout` how far they got.
    pub async fn wait_for(
        &self,
        tenant: &Arc<str>,
        projections: &[&'static str],
        at_least: Position,
        timeout: Duration,
    ) -> Result<(), Stale> {
        self.shared
            .boards
            .of(tenant)
            .wait_for(projections, at_least, timeout)
            .await
    }

    /// Looks how far the read models are: the database was found behind what this process knows, as after a
    /// crash of the server. They catch up by themselves; [`Consumers::wait_for`] waits for them again.
    pub async fn look_again(&self, tenant: &Arc<str>) {
        self.shared.boards.of(tenant).look_again().await;
    }

    /// The states of these read models as this process knows them, without asking the database unless
    /// that knowledge is older than `age_max`. `None` if one has no state yet or it cannot be had soon.
    pub async fn known(
        &self,
        tenant: &Arc<str>,
        projections: &[&'static str],
        age_max: Duration,
    ) -> Option<Vec<(&'static str, Live)>> {
        let board = self.shared.boards.of(tenant);
        board.known(projections, age_max).await
    }

    /// Tells what a reader saw, so that nobody here is shown an earlier state later.
    pub fn saw<'n>(&self, tenant: &Arc<str>, states: impl Iterator<Item = (&'n str, Live)>) {
        let board = self.shared.boards.of(tenant);
        states.for_each(|(name, live)| board.reached(name, live));
    }

    /// Where every read model stands.
    pub async fn status(&self, tenant: &str) -> Result<Vec<ProjectionStatus>, ConsumerError> {
        let shared = &self.shared;
        let models = shared.models(tenant).await?;
        let mut all = status::status(&shared.store, &models, tenant).await?;
        let board = shared.boards.of(&tenant.into());
        for status in &mut all {
            status.owned_here = board.is_owned_here(status.name);
        }
        Ok(all)
    }

    /// See [`control::pause`].
    pub async fn pause(
        &self,
        tenant: &str,
        projection: &str,
        decider: &Decider,
    ) -> Result<(), ConsumerError> {
        self.shared.known(tenant, projection).await?;
        control::pause(&self.shared.store, tenant, projection, decider).await?;
        self.shared.boards.of(&tenant.into()).poke();
        Ok(())
    }

    /// See [`control::resume`].
    pub async fn resume(
        &self,
        tenant: &str,
        projection: &str,
        decider: &Decider,
    ) -> Result<(), ConsumerError> {
        self.shared.known(tenant, projection).await?;
        control::resume(&self.shared.store, tenant, projection, decider).await?;
        self.shared.boards.of(&tenant.into()).poke();
        Ok(())
    }

    /// See [`control::retry`].
    pub async fn retry(
        &self,
        tenant: &str,
        projection: &str,
        position: Position,
        decider: &Decider,
    ) -> Result<(), ConsumerError> {
        self.shared.known(tenant, projection).await?;
        control::retry(&self.shared.store, tenant, projection, position, decider).await?;
        self.shared.boards.of(&tenant.into()).poke();
        Ok(())
    }

    /// See [`control::skip`].
    pub async fn skip(
        &self,
        tenant: &str,
        projection: &str,
        position: Position,
        by: &str,
        reason: &str,
    ) -> Result<(), ConsumerError> {
        self.shared.known(tenant, projection).await?;
        control::skip(&self.shared.store, tenant, projection, position, by, reason).await?;
        self.shared.boards.of(&tenant.into()).poke();
        Ok(())
    }

    /// See [`rebuild::rebuild`].
    pub async fn rebuild(
        &self,
        tenant: &Arc<str>,
        projection: &str,
        mut options: RebuildOptions,
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<Rebuilt, RebuildError> {
        options.places = self.shared.rebuild_places.clone();
        let projection = self
            .shared
            .known(tenant, projection)
            .await
            .map_err(RebuildError::Bookkeeping)?;
        let rebuilt =
            rebuild::rebuild(&self.shared.store, &projection, tenant, options, progress).await;
        self.shared.boards.of(tenant).poke();
        rebuilt
    }

    /// See [`rebuild::ask_rebuild`].
    pub async fn ask_rebuild(
        &self,
        tenant: &str,
        projection: &str,
        mut options: RebuildOptions,
        command_id: Option<&str>,
    ) -> Result<RebuildStatus, RebuildError> {
        let known = self.shared.known(tenant, projection).await;
        let projection = known.map_err(RebuildError::Bookkeeping)?;
        options.scratches_max = self.shared.settings.scratches_max;
        rebuild::ask_rebuild(
            &self.shared.store,
            &projection,
            tenant,
            &options,
            command_id,
        )
        .await
    }

    /// See [`rebuild::pause_rebuild`].
    pub async fn pause_rebuild(
        &self,
        tenant: &str,
        projection: &str,
        decider: &Decider,
    ) -> Result<RebuildStatus, ConsumerError> {
        self.shared.known(tenant, projection).await?;
        rebuild::pause_rebuild(&self.shared.store, tenant, projection, decider).await
    }

    /// See [`rebuild::resume_rebuild`].
    pub async fn resume_rebuild(
        &self,
        tenant: &str,
        projection: &str,
        decider: &Decider,
    ) -> Result<RebuildStatus, ConsumerError> {
        self.shared.known(tenant, projection).await?;
        rebuild::resume_rebuild(&self.shared.store, tenant, projection, decider).await
    }

    /// See [`rebuild::cancel_rebuild`].
    pub async fn cancel_rebuild(
        &self,
        tenant: &str,
        projection: &str,
        decider: &Decider,
    ) -> Result<RebuildStatus, ConsumerError> {
        self.shared.known(tenant, projection).await?;
        rebuild::cancel_rebuild(&self.shared.store, tenant, projection, decider).await
    }

    /// See [`rebuild::drop_generation`].
    pub async fn drop_generation(
        &self,
        tenant: &str,
        projection: &str,
        generation: i32,
        decider: &Decider,
    ) -> Result<(), ConsumerError> {
        self.shared.known(tenant, projection).await?;
        rebuild::drop_generation(&self.shared.store, tenant, projection, generation, decider).await
    }

    /// The newest rebuild of each read model, or of one: what there is to tell of its progress.
    pub async fn newest_rebuilds(
        &self,
        tenant: &str,
        projection: Option<&str>,
    ) -> Result<Vec<RebuildStatus>, ConsumerError> {
        Ok(rebuild::newest(self.shared.store.pool(), tenant, projection).await?)
    }

    /// Refuses the name of no read model.
    pub async fn check_known(&self, tenant: &str, projection: &str) -> Result<(), ConsumerError> {
        self.shared.known(tenant, projection).await.map(drop)
    }
}

impl Shared {
    /// All read models of a tenant: those of every tenant, then its own.
    pub(super) async fn models(
        &self,
        tenant: &str,
    ) -> Result<Vec<Arc<dyn AnyProjection>>, ConsumerError> {
        let mut all = self.projections.clone();
        if let Some(analysts) = &self.analysts {
            let own = analysts.models(tenant).await?;
            let board = self.boards.of(&tenant.into());
            own.iter().for_each(|model| board.keep(model.name()));
            all.extend(own);
        }
        Ok(all)
    }

    async fn known(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<Arc<dyn AnyProjection>, ConsumerError> {
        let all = self.models(tenant).await?;
        let found = all.into_iter().find(|p| p.name() == name);
        found.ok_or_else(|| ConsumerError::UnknownProjection(name.to_owned()))
    }

    pub(super) fn tail(&self, tenant: &Arc<str>) -> Arc<Tail> {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = tails.entry(tenant.clone()).or_insert_with(|| {
            let (events_max, bytes_max) =
                (self.settings.ring_events_max, self.settings.ring_bytes_max);
            Arc::new(Tail::new(
                self.store.clone(),
                tenant.clone(),
                events_max,
                bytes_max,
            ))
        });
        tail.clone()
    }
}
