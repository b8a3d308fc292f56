//! One operation: who asks, what it has read so far, and the doors it goes through.

mod moment;
mod watched;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_graphql::Context;
use domain::{Code, Position, Refusal};
use projections::{Live, ReadError, Reader, Snapshot};
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

pub use moment::Moment;

use super::failure::{read_fault, stale_read};
use super::fault::{Fault, FaultCode};
use super::telling::Telling;
use crate::auth::{Auth, Caller, ClientAt};
use crate::cache::Cache;
use crate::commands::{CommandContext, Door, Receipt};
use crate::competitions::Competitions;
use crate::config;
use crate::consumers::Consumers;
use crate::deployments::Deployments;
use crate::leaderboards::Leaderboards;
use crate::ops::{Clock, TraceContext};
use crate::slos::Slos;
use crate::store::Store;

/// How often one operation may ask for the fixes behind figures: each is a query of its own.
pub const EVIDENCE_MAX: u32 = 200;

/// What the API stands on. Assembled once.
#[derive(Clone)]
pub struct Parts {
    /// The log, for reading events.
    pub store: Store,
    /// The write door.
    pub door: Door,
    /// Accounts, sessions, keys.
    pub auth: Auth,
    /// Deployments, environments, incidents.
    pub deployments: Deployments,
    /// Objectives.
    pub slos: Slos,
    /// Competitions and activities.
    pub competitions: Competitions,
    /// Boards of competitions.
    pub leaderboards: Leaderboards,
    /// The read models.
    pub reader: Reader,
    /// Who keeps them up to date.
    pub consumers: Consumers,
    /// Answers given before.
    pub cache: Cache,
    /// What time it is.
    pub clock: Clock,
    /// How long a query waits for the position its caller insists on.
    pub read_wait: Duration,
    /// Turns for snapshots: each holds a connection, and the others of the pool must do for the short
    /// reads that an operation with a snapshot makes beside it.
    pub turns: Arc<Semaphore>,
    /// How long an operation waits for its turn.
    pub turn_wait: Duration,
    /// How whole answers are kept.
    pub answers: config::Cache,
    /// How much of an error is told to subscribers.
    pub telling: Telling,
    /// Links that verify addresses are written to the log of the process: in development.
    pub shows_links: bool,
}

/// Where a request came from, for the metadata of what it causes. Written out only if it causes something.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Ties together everything one outside request led to.
    pub correlation: Option<Correlation>,
    /// W3C trace context.
    pub trace: Option<TraceContext>,
    /// Where the client is, as far as that is known by somebody who is trusted.
    pub address: Option<IpAddr>,
    /// What the client says it is.
    pub user_agent: Option<Arc<str>>,
}

/// What ties together everything one outside request led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Correlation {
    /// The caller's own id for it.
    Sent(Arc<str>),
    /// Our id of the request.
    Request(Uuid),
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Correlation::Sent(id) => f.write_str(id),
            Correlation::Request(id) => id.fmt(f),
        }
    }
}

/// How many items a page of this operation holds.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    /// When the caller does not say.
    pub default: u32,
    /// At most.
    pub max: u32,
}

/// One operation in progress.
pub struct Operation {
    pub(super) parts: Arc<Parts>,
    pub(super) caller: Arc<Caller>,
    pub(super) pages: Pages,
    origin: Origin,
    /// The position all reads are as of, where they are not of the present.
    pub(super) as_of: Option<Position>,
    reads: Mutex<Reads>,
    progress: std::sync::Mutex<Progress>,
    evidence: AtomicU32,
}

/// The one moment all reads of the operation see.
struct Reads {
    snapshot: Option<Snapshot>,
    at_least: Option<Position>,
    /// Held with the snapshot.
    turn: Option<OwnedSemaphorePermit>,
    /// The moment that all reads so far saw; `None` if they saw none yet, or several.
    moment: Option<Moment>,
    /// How many snapshots were opened.
    opened: u32,
    /// The read models that were read, and go on without some streams.
    parked: BTreeSet<&'static str>,
}

impl Reads {
    /// Nothing was read yet.
    fn waiting_for(at_least: Option<Position>) -> Reads {
        Reads {
            snapshot: None,
            at_least,
            turn: None,
            moment: None,
            opened: 0,
            parked: BTreeSet::new(),
        }
    }

    /// Is a moment open, of which these read models had come so far?
    fn shows(&self, models: &[&'static str], at_least: Position) -> bool {
        let position = self.snapshot.as_ref().map(|s| s.position(models));
        matches!(position, Some(Ok(position)) if position >= at_least)
    }
}

/// How far the operation's answer is.
#[derive(Clone, Copy, Default)]
struct Progress {
    lowest_read: Option<Position>,
    last_kept: Option<Position>,
    /// A command was to be carried out.
    commanded: bool,
}

impl Operation {
    /// An operation of `caller`, whose reads wait until they show `at_least`.
    pub fn new(
        parts: Arc<Parts>,
        caller: Arc<Caller>,
        origin: Origin,
        at_least: Option<Position>,
        pages: Pages,
    ) -> Operation {
        Operation {
            parts,
            caller,
            pages,
            origin,
            as_of: None,
            reads: Mutex::new(Reads::waiting_for(at_least)),
            progress: std::sync::Mutex::default(),
            evidence: AtomicU32::new(0),
        }
    }

    /// The same, with all reads as of a position: of generations that were built for that.
    pub fn viewing(self, as_of: Option<Position>) -> Operation {
        Operation { as_of, ..self }
    }

    /// Another operation of the same caller, which has read nothing yet.
    pub fn anew(&self) -> Operation {
        let (parts, caller) = (self.parts.clone(), self.caller.clone());
        Operation::new(parts, caller, self.origin.clone(), None, self.pages)
    }

    /// The operation a resolver works for.
    pub fn of<'c>(ctx: &Context<'c>) -> &'c Operation {
        ctx.data_unchecked::<Arc<Operation>>()
    }

    /// Whose data is asked for.
    pub fn tenant(&self) -> &Arc<str> {
        &self.caller.tenant
    }

    /// The position to give out with the answer: the last command's, else the lowest of the read
    /// models touched; none if nothing was read or written.
    pub fn position(&self) -> Option<Position> {
        let progress = self.progress.lock().expect("no panic while it is held");
        progress.last_kept.or(progress.lowest_read)
    }

    /// Notes how far the log is if all commands were refused: a refusal rests on what it holds by now.
    pub async fn conclude(&self) {
        let progress = *self.progress.lock().expect("no panic while it is held");
        let told = progress.last_kept.or(progress.lowest_read).is_some();
        // How far a tenant's log is is none of a stranger's business.
        if !progress.commanded || told || !self.caller.is_known() {
            return;
        }
        match self.parts.store.head(self.tenant()).await {
            Ok(head) => self.touch(head),
            // The refusal stands without it.
            Err(error) => tracing::debug!(%error, "the log's head was not read: {error}"),
        }
    }

    /// The read models as of one moment, which these have reached the position asked for in.
    /// All reads of an operation share the moment, unless a later one has to wait for its own.
    pub async fn read(&self, models: &[&'static str]) -> Result<Reading<'_>, Fault> {
        let mut reads = self.reads.lock().await;
        if let Some(as_of) = self.as_of {
            if let Some(at_least) = reads.at_least.filter(|at_least| *at_least > as_of) {
                return Err(stale_read(&[], at_least).with("asOf", as_of.to_string()));
            }
        } else if let Some(at_least) = reads.at_least
            && !reads.shows(models, at_least)
        {
            reads.snapshot = None;
            self.wait(models, at_least).await?;
            self.open(&mut reads).await?;
            if !reads.shows(models, at_least) {
                // This process knows more than the database does, as after a crash of the server.
                reads.snapshot = None;
                self.parts.consumers.look_again(self.tenant()).await;
                self.wait(models, at_least).await?;
            }
        }
        self.open(&mut reads).await?;
        let Reads {
            moment,
            snapshot,
            parked,
            ..
        } = &mut *reads;
        if let Some(moment) = moment {
            moment.ask(models);
        }
        if let Some(snapshot) = snapshot {
            parked.extend(models.iter().filter(|name| snapshot.is_parked(name)));
        }
        let at_least = reads.at_least;
        let reading = Reading(reads);
        let snapshot = reading.snapshot();
        let position = snapshot.position(models).map_err(read_fault)?;
        if let Some(at_least) = at_least.filter(|at_least| position < *at_least) {
            let reached = models
                .iter()
                .map(|name| Ok((*name, snapshot.live(name)?.position)));
            let reached: Result<Vec<_>, ReadError> = reached.collect();
            return Err(stale_read(&reached.map_err(read_fault)?, at_least));
        }
        self.touch(position);
        Ok(reading)
    }

    /// Opens the moment that is read of, unless it is open.
    async fn open(&self, reads: &mut Reads) -> Result<(), Fault> {
        if reads.snapshot.is_none() {
            if reads.turn.is_none() {
                reads.turn = Some(self.turn().await?);
            }
            let (reader, tenant) = (&self.parts.reader, self.tenant());
            let snapshot = match self.as_of {
                Some(as_of) => reader.snapshot_as_of(tenant, as_of).await,
                None => reader.snapshot(tenant).await,
            };
            let snapshot = snapshot.map_err(read_fault)?;
            if self.as_of.is_none() {
                // Nobody in this process is shown an earlier state from here on.
                let consumers = &self.parts.consumers;
                consumers.saw(tenant, snapshot.states());
            }
            reads.opened += 1;
            // What goes on without some streams has no state that an answer could be kept for.
            let states = snapshot.states().filter(|(n, _)| !snapshot.is_parked(n));
            reads.moment = (reads.opened == 1).then(|| Moment::of(states));
            reads.snapshot = Some(snapshot);
        }
        Ok(())
    }

    /// Hands over the moment that all reads saw; `None` if there was none, or several.
    pub async fn moment(&self) -> Option<Moment> {
        self.reads.lock().await.moment.take()
    }

    /// Notes that what was read of a read model is as of a position, which may be a later one than that of the
    /// moment that is open: then the answer shows several.
    pub async fn showed(&self, model: &'static str, position: Position) {
        let mut reads = self.reads.lock().await;
        let live = reads.snapshot.as_ref().map(|s| s.live(model));
        if let Some(Ok(live)) = live
            && live.position < position
        {
            reads.moment = None;
            // Nobody in this process is shown an earlier state from here on.
            let later = (model, Live { position, ..live });
            self.parts.consumers.saw(self.tenant(), [later].into_iter());
        }
    }

    /// The read models that were read, and go on without some streams.
    pub async fn parked(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut self.reads.lock().await.parked)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let turn = self.parts.turns.clone().acquire_owned();
        match tokio::time::timeout(self.parts.turn_wait, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Fault::of(FaultCode::Overloaded).with("retryAfterMs", 1_000)),
        }
    }

    /// Notes that the answer shows the log up to `position`, but no further.
    pub fn touch(&self, position: Position) {
        let mut progress = self.progress.lock().expect("no panic while it is held");
        let lowest = progress
            .lowest_read
            .map_or(position, |lowest| lowest.min(position));
        progress.lowest_read = Some(lowest);
    }

    async fn wait(&self, models: &[&'static str], at_least: Position) -> Result<(), Fault> {
        let consumers = &self.parts.consumers;
        let waited = consumers
            .wait_for(self.tenant(), models, at_least, self.parts.read_wait)
            .await;
        waited.map_err(|stale| stale_read(&stale.reached, at_least))
    }

    /// The context of what a caller does about their own account: it can always be done, whatever the tenant
    /// may not.
    pub fn own_affair(&self) -> CommandContext {
        self.commanding();
        self.context(None, None)
    }

    fn commanding(&self) {
        let mut progress = self.progress.lock().expect("no panic while it is held");
        progress.commanded = true;
    }

    /// The context of a command; refuses a negative `expectedVersion`, and any command of a suspended tenant.
    pub fn command(
        &self,
        command_id: Option<String>,
        expected_version: Option<i32>,
    ) -> Result<CommandContext, Refusal> {
        self.commanding();
        if expected_version.is_some_and(i32::is_negative) {
            return Err(Refusal::new(Code::OutOfRange, "a version is 0 or more")
                .at(["expectedVersion"])
                .with("minimum", 0));
        }
        if self.caller.suspended {
            let why = "the tenant is suspended: it can be read, not written";
            return Err(Refusal::new(Code::TenantSuspended, why));
        }
        Ok(self.context(command_id, expected_version))
    }

    fn context(&self, command_id: Option<String>, expected_version: Option<i32>) -> CommandContext {
        CommandContext {
            tenant: self.caller.tenant.clone(),
            actor: self.caller.actor.clone(),
            command_id,
            said: None,
            expected_version: expected_version.map(i64::from),
            correlation_id: self.origin.correlation.as_ref().map(ToString::to_string),
            causation_id: None,
            traceparent: self.origin.trace.as_ref().map(TraceContext::traceparent),
            occurred_at: None,
            now: self.parts.clock.now(),
            backfill: self.caller.has_scope("backfill"),
        }
    }

    /// Where the operation's client is.
    pub fn client(&self) -> ClientAt {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        ClientAt {
            address: self.origin.address.unwrap_or(unknown),
            user_agent: self.origin.user_agent.as_deref().map(str::to_owned),
        }
    }

    /// A command was kept: whatever the operation reads from now on shows it.
    pub async fn kept(&self, receipt: &Receipt) {
        let mut reads = self.reads.lock().await;
        reads.at_least = reads.at_least.max(Some(receipt.position));
        drop(reads);
        self.progress
            .lock()
            .expect("no panic while it is held")
            .last_kept = Some(receipt.position);
    }

    /// Whatever the operation reads from now on shows the log up to `position` at least.
    pub async fn insist_on(&self, position: Position) {
        self.reads.lock().await.at_least = Some(position);
    }

    /// Whatever the operation reads from now on shows `position` too, beside what was insisted on before.
    pub async fn show(&self, position: Position) {
        let mut reads = self.reads.lock().await;
        reads.at_least = reads.at_least.max(Some(position));
    }

    /// Begins anew, as another operation of the same caller: of another moment, and with nothing
    /// spent. A subscription does so for each of its items.
    pub async fn renew(&self) {
        *self.reads.lock().await = Reads::waiting_for(None);
        *self.progress.lock().expect("no panic while it is held") = Progress::default();
        self.evidence.store(0, Ordering::Relaxed);
    }

    /// Takes one of the operation's look-ups of evidence.
    pub fn spend_evidence(&self) -> Result<(), Fault> {
        if self.evidence.fetch_add(1, Ordering::Relaxed) < EVIDENCE_MAX {
            return Ok(());
        }
        let message = "too many figures were asked for their evidence in one operation";
        Err(Fault::new(FaultCode::CostLimit, message).with("limit", EVIDENCE_MAX))
    }
}

/// The read models as of the operation's moment; others wait while it is held.
pub struct Reading<'o>(MutexGuard<'o, Reads>);

impl Reading<'_> {
    fn snapshot(&self) -> &Snapshot {
        self.0.snapshot.as_ref().expect("read() opened it")
    }

    /// Has later reads of the operation begin another transaction: this one failed.
    pub fn discard(mut self) {
        self.0.snapshot = None;
    }

    /// Passes an answer on. After a failure the database refuses the rest of the transaction, so
    /// that later reads of the operation begin another.
    pub fn answer<T>(mut self, answer: Result<T, ReadError>) -> Result<T, Fault> {
        if answer.is_err() {
            self.0.snapshot = None;
        }
        answer.map_err(read_fault)
    }
}

impl std::ops::Deref for Reading<'_> {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        self.snapshot()
    }
}

impl std::ops::DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut Snapshot {
        self.0.snapshot.as_mut().expect("read() opened it")
    }
}
