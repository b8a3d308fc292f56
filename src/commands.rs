//! The write door: metadata, idempotency, load, decide, append, retry of a lost race.

mod activities;
mod decide;
mod elsewhere;
mod envelope;
mod history;
mod loading;
mod logs;
mod past;
mod places;
mod positions;
mod refused;
mod sealing;
mod states;

pub use activities::{ActivitiesReceipt, SyncActivities, SyncOutcome};
pub use elsewhere::{recorded_deployment_id, recorded_incident_id};
pub use envelope::{CommandContext, check_command_id};
pub use history::{History, HistoryPage, PageBounds, StateAfter, StateBounds};
pub use logs::{
    IngestLogs, KeptRejected, LogsReceipt, RecordOutcome, RecoverRejected, Recovered, RejectedOf,
    Room,
};
pub use positions::{FixOutcome, PositionsReceipt, ReportPositions};

use std::sync::Arc;

use domain::activity::ActivityRules;
use domain::fleet::Fleet;
use domain::track::FixRules;
use domain::vehicle::{Vehicle, VehicleCommand};
use domain::{Aggregate, Code, Position, Refusal, StreamKey};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::limits::{Exceeded, Limiter};
use crate::store::{Appended, Store, StoreError};
use crate::vault::{Vault, VaultError};
use envelope::Receipts;
use logs::Rooms;
use states::States;

/// States stored at once.
const SNAPSHOTS_AT_ONCE: usize = 1;

/// Bounds of the write door; all have working defaults.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Memory for states of recently used aggregates.
    pub state_bytes_max: usize,
    /// Receipts of declared command ids kept in memory; older ones are found in the database.
    pub receipts_max: usize,
    /// How often a command that lost a race is decided again.
    pub attempts_max: u32,
    /// Events read at once when a stream is loaded.
    pub load_events_max: i64,
    /// A stream's state is stored after so many events, so that a load reads about as many at most; 0:
    /// never, and what is stored is not read.
    pub snapshot_events: i64,
    /// What a position fix must be.
    pub fixes: FixRules,
    /// By what activities are marked that are hard to believe.
    pub activities: ActivityRules,
    /// Bytes of a refused record that are kept.
    pub rejected_record_bytes_max: usize,
    /// Bytes of memory that log records take which are being read, judged or waiting for their append.
    pub log_bytes_max: usize,
}

impl Default for DoorSettings {
    fn default() -> DoorSettings {
        DoorSettings {
            state_bytes_max: 64 << 20,
            receipts_max: 16_384,
            attempts_max: 12,
            load_events_max: 5_000,
            snapshot_events: 500,
            fixes: FixRules::default(),
            activities: ActivityRules::default(),
            rejected_record_bytes_max: 4 << 10,
            log_bytes_max: 32 << 20,
        }
    }
}

/// What a kept command's caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Position of the command's last event; the head, if it appended none.
    pub position: Position,
    /// Version of the command's stream after it; 0 if it wrote several streams.
    pub version: i64,
    /// True if this is the first answer given again.
    pub replayed: bool,
}

impl From<&Appended> for Receipt {
    fn from(a: &Appended) -> Receipt {
        Receipt {
            position: a.position,
            version: a.version,
            replayed: a.replayed,
        }
    }
}

/// Why a command has no receipt.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It was refused: data for the caller.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too much is waiting; try again after this many milliseconds.
    #[error("overloaded; try again in {retry_after_ms} ms")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// A source of log records takes no more of them now.
    #[error("the source takes no more records now")]
    Limited(Exceeded),
    /// The database cannot be reached. Whether the command was kept is not known; sending the same
    /// `commandId` again is safe.
    #[error(transparent)]
    Unavailable(StoreError),
    /// A fault of ours or of the database's.
    #[error("internal fault: {0}")]
    Fault(#[source] StoreError),
    /// Personal values could not be sealed, so nothing was kept.
    #[error("personal values cannot be sealed: {0}")]
    Sealing(#[source] VaultError),
    /// A stream holds what this program cannot read.
    #[error("stream {stream} cannot be loaded: {reason}")]
    Unreadable {
        /// Which stream.
        stream: String,
        /// What the decoder said.
        reason: String,
    },
}

impl From<StoreError> for CommandError {
    fn from(e: StoreError) -> CommandError {
        match e {
            StoreError::UnknownTenant(_) => {
                CommandError::Refused(Refusal::new(Code::NotFound, "no such tenant"))
            }
            e if e.is_unavailable() => CommandError::Unavailable(e),
            e => CommandError::Fault(e),
        }
    }
}

/// The write door. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Door {
    store: Store,
    states: Arc<States>,
    receipts: Arc<Receipts>,
    settings: Arc<DoorSettings>,
    /// Held while a state is stored: bounds what that costs beside the commands.
    snapshotting: Arc<Semaphore>,
    vault: Option<Vault>,
    limiter: Option<Limiter>,
    log_rooms: Arc<Rooms>,
    /// Where pages of histories ended.
    history: Arc<history::Pages>,
}

impl Door {
    /// A door to this log.
    pub fn new(store: Store, settings: DoorSettings) -> Door {
        Door {
            store,
            states: Arc::new(States::new(settings.state_bytes_max)),
            receipts: Arc::new(Receipts::new(settings.receipts_max)),
            log_rooms: Arc::new(Rooms::new(settings.log_bytes_max)),
            history: Arc::new(history::pages()),
            settings: Arc::new(settings),
            snapshotting: Arc::new(Semaphore::new(SNAPSHOTS_AT_ONCE)),
            vault: None,
            limiter: None,
        }
    }

    /// Seals personal values with the keys of this vault. Without one, commands that hold any fail.
    pub fn sealing(self, vault: Vault) -> Door {
        Door {
            vault: Some(vault),
            ..self
        }
    }

    /// Holds sources of log records to what they say they take a minute. Without this nobody is: whoever
    /// imports is not the source.
    pub fn counting(self, limiter: Limiter) -> Door {
        Door {
            limiter: Some(limiter),
            ..self
        }
    }

    /// Carries out one command on one aggregate.
    pub async fn execute<A>(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: A::Command,
    ) -> Result<Receipt, CommandError>
    where
        A: Aggregate,
        A::Command: Serialize + Clone + Sync,
    {
        self.decide_one::<A, Nothing>(ctx, id, None, |_| command)
            .await
    }

    /// Carries out a command that depends on the state of another aggregate: if that has moved by the time of
    /// the append, it is decided again.
    pub async fn execute_relying<A, B>(
        &self,
        ctx: &CommandContext,
        id: &str,
        other_id: &str,
        command: impl FnOnce(&B) -> A::Command + Clone,
    ) -> Result<Receipt, CommandError>
    where
        A: Aggregate,
        A::Command: Serialize + Clone + Sync,
        B: Aggregate,
    {
        self.decide_one::<A, B>(ctx, id, Some(other_id), command)
            .await
    }

    /// Makes a vehicle a member of a fleet that is active at that very moment.
    pub async fn join_fleet(
        &self,
        ctx: &CommandContext,
        vehicle_id: &str,
        fleet_id: &str,
    ) -> Result<Receipt, CommandError> {
        self.decide_one::<Vehicle, Fleet>(ctx, vehicle_id, Some(fleet_id), |fleet| {
            VehicleCommand::JoinFleet {
                fleet_id: fleet_id.to_owned(),
                fleet: fleet.standing(),
            }
        })
        .await
    }

    /// The state of one aggregate and its version with everything decided on it here: some of it may be
    /// on its way and never kept, and what another process has just written may be missing. Good for what
    /// an append looks at again, not for an answer. Version 0: there is no such stream.
    pub async fn load<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
    ) -> Result<(A, i64), CommandError> {
        let cell = self.loaded::<A>(tenant, id).await?;
        Ok(cell.peek().unwrap_or_default())
    }

    /// The same without what is still on its way. For what is decided and does not go by the lane of its
    /// stream: of that nothing is withdrawn when a state it rests on is, and the version may fit by chance.
    pub async fn load_settled<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
    ) -> Result<(A, i64), CommandError> {
        let cell = self.loaded::<A>(tenant, id).await?;
        match cell.peek_kept() {
            Some(kept) => Ok(kept),
            None => self.load_kept(tenant, id).await,
        }
    }

    /// The state of one aggregate at this version of its stream or a later one, which the log has reached.
    /// Nothing of it is still on its way: whoever may be let in by it must not be by what is never kept.
    pub async fn load_from<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
        version: i64,
    ) -> Result<A, CommandError> {
        Ok(self.kept_from(tenant, id, version).await?.0)
    }

    /// The state of one aggregate as the log has it now, whoever wrote it.
    pub async fn load_now<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
    ) -> Result<A, CommandError> {
        Ok(self.load_now_versioned(tenant, id).await?.0)
    }

    /// As [`Door::load_now`], with the version. 0: there is no such stream.
    pub async fn load_now_versioned<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
    ) -> Result<(A, i64), CommandError> {
        let stream = StreamKey::of::<A>(id);
        let versions = self.store.stream_versions(tenant, &[&stream]).await?;
        let version = versions.first().copied().unwrap_or_default();
        self.kept_from(tenant, id, version).await
    }

    /// A state and its version, this one or a later one, all of it in the log.
    async fn kept_from<A: Aggregate>(
        &self,
        tenant: &Arc<str>,
        id: &str,
        version: i64,
    ) -> Result<(A, i64), CommandError> {
        let cell = self.loaded::<A>(tenant, id).await?;
        if let Some((state, at)) = cell.peek_kept() {
            if at >= version {
                return Ok((state, at));
            }
            // Another process has written.
            decide::forget(&cell);
            let cell = self.loaded::<A>(tenant, id).await?;
            if let Some(kept) = cell.peek_kept().filter(|(_, at)| *at >= version) {
                return Ok(kept);
            }
        }
        self.load_kept(tenant, id).await
    }
}

/// Stands in where a command relies on no other aggregate.
#[derive(Clone, Default)]
struct Nothing;

impl Aggregate for Nothing {
    const TYPE: &'static str = "nothing";
    type Command = ();
    type Event = domain::Event;

    fn decide(&self, (): &()) -> Result<Vec<domain::Event>, Refusal> {
        Ok(Vec::new())
    }

    fn apply(&mut self, _: &domain::Event) {}
}
