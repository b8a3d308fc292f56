//! Presents `domain` aggregates to cqrs-es, and this log as a `cqrs_es::EventStore`.
//!
//! One generic adapter for all aggregates, so that frameworks and tools built on cqrs-es work over the
//! same log: `CqrsFramework::new(LogEventStore::<Vehicle>::new(store, tenant, actor), vec![], ())`.
//! The write door does the same with idempotency, a cache and a receipt, and does not pass here.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{AggregateContext, AggregateError, DomainEvent, EventEnvelope, EventStore};
use domain::{Actor, Aggregate, Code, Metadata, Refusal, StreamKey};
use postgres_es::PostgresEventRepository;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{Append, AppendError, Basis, Claim, NewEvent, Store, StoredEvent, StreamWrite};

/// A `domain` aggregate as cqrs-es sees one.
#[derive(Clone, Debug, Default)]
pub struct Adapted<A>(pub A);

/// Its events, in the shape of the `events_default` view: tagged with their stored type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AdaptedEvent<E>(pub E);

/// A stock repository over the default tenant's streams: whoever has tools on postgres-es reads with them.
/// Read-only: it looks at the `events_default` view, and there is no table of snapshots.
pub fn stock_repository(store: &Store) -> PostgresEventRepository {
    PostgresEventRepository::new(store.pool().clone()).with_tables("events_default", "no_snapshots")
}

/// What an aggregate's events must be able to do for cqrs-es.
pub trait CqrsEvent:
    Serialize + DeserializeOwned + Clone + PartialEq + fmt::Debug + Send + Sync + Into<domain::Event>
{
}

impl<E> CqrsEvent for E where
    E: Serialize
        + DeserializeOwned
        + Clone
        + PartialEq
        + fmt::Debug
        + Send
        + Sync
        + Into<domain::Event>
{
}

impl<E: CqrsEvent> DomainEvent for AdaptedEvent<E> {
    fn event_type(&self) -> String {
        let event: domain::Event = self.0.clone().into();
        event.event_type().to_owned()
    }

    fn event_version(&self) -> String {
        let event: domain::Event = self.0.clone().into();
        event.event_version().to_owned()
    }
}

impl<A> cqrs_es::Aggregate for Adapted<A>
where
    A: Aggregate<Event: CqrsEvent, Command: Send + Sync>,
{
    const TYPE: &'static str = A::TYPE;
    type Command = A::Command;
    type Event = AdaptedEvent<A::Event>;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: A::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in self.0.decide(&command)? {
            sink.write(AdaptedEvent(event), self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: AdaptedEvent<A::Event>) {
        self.0.apply(&event.0);
    }
}

/// cqrs-es asks for this in order to store snapshots. It applies events to them twice, so it gets none.
impl<A> Serialize for Adapted<A> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(
            "the log stores states itself, where that pays",
        ))
    }
}

impl<'de, A> Deserialize<'de> for Adapted<A> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom(
            "the log stores states itself, where that pays",
        ))
    }
}

/// One tenant's log as an event store of cqrs-es.
pub struct LogEventStore<A> {
    store: Store,
    tenant: Arc<str>,
    actor: Actor,
    aggregate: PhantomData<fn() -> A>,
}

/// An aggregate with the version it was loaded at.
pub struct LoadedAggregate<A> {
    id: String,
    version: i64,
    /// As it was loaded: claims follow from the state before each event.
    before: A,
    aggregate: Adapted<A>,
}

impl<A> LogEventStore<A> {
    /// Appends are recorded as `actor`'s.
    pub fn new(store: Store, tenant: Arc<str>, actor: Actor) -> LogEventStore<A> {
        LogEventStore {
            store,
            tenant,
            actor,
            aggregate: PhantomData,
        }
    }
}

impl<A> AggregateContext<Adapted<A>> for LoadedAggregate<A>
where
    A: Aggregate<Event: CqrsEvent, Command: Send + Sync>,
{
    fn aggregate(&mut self) -> &mut Adapted<A> {
        &mut self.aggregate
    }
}

/// Events read at once when an aggregate is loaded: a long stream is never in memory as a whole.
const LOAD_EVENTS_MAX: i64 = 5_000;

type CqrsResult<T> = Result<T, AggregateError<Refusal>>;
type Envelopes<A> = Vec<EventEnvelope<Adapted<A>>>;

impl<A> EventStore<Adapted<A>> for LogEventStore<A>
where
    A: Aggregate<Event: CqrsEvent, Command: Send + Sync>,
{
    type AC = LoadedAggregate<A>;

    async fn load_events(&self, aggregate_id: &str) -> CqrsResult<Envelopes<A>> {
        let stream = StreamKey::of::<A>(aggregate_id);
        let stored = self
            .store
            .read_stream(&self.tenant, &stream, 0, i64::MAX)
            .await;
        stored
            .map_err(unexpected)?
            .iter()
            .map(envelope::<A>)
            .collect()
    }

    async fn load_aggregate(&self, aggregate_id: &str) -> CqrsResult<LoadedAggregate<A>> {
        let stream = StreamKey::of::<A>(aggregate_id);
        let (mut before, mut version) = (A::default(), 0);
        loop {
            let page = self
                .store
                .read_stream(&self.tenant, &stream, version, LOAD_EVENTS_MAX)
                .await
                .map_err(unexpected)?;
            for stored in &page {
                if stored.sequence != version + 1 {
                    let why = format!("events before {} are not here", stored.sequence);
                    return Err(unexpected(std::io::Error::other(why)));
                }
                before.apply(&envelope::<A>(stored)?.payload.0);
                version = stored.sequence;
            }
            if (page.len() as i64) < LOAD_EVENTS_MAX {
                break;
            }
        }
        let aggregate = Adapted(before.clone());
        Ok(LoadedAggregate {
            id: aggregate_id.to_owned(),
            version,
            before,
            aggregate,
        })
    }

    async fn commit(
        &self,
        events: Vec<AdaptedEvent<A::Event>>,
        context: LoadedAggregate<A>,
        metadata: HashMap<String, String>,
    ) -> CqrsResult<Envelopes<A>> {
        let command_id = Uuid::now_v7();
        let own = Metadata {
            actor: self.actor.to_string(),
            command_id: command_id.to_string(),
            correlation_id: metadata.get("correlation_id").cloned(),
            causation_id: metadata.get("causation_id").cloned(),
            traceparent: metadata.get("traceparent").cloned(),
            ..Metadata::default()
        };
        let (mut claims, mut new_events, mut envelopes) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = context.before;
        for (sequence, event) in (context.version as usize + 1..).zip(events) {
            claims.extend(
                state
                    .claims(&event.0)
                    .iter()
                    .map(|c| Claim::of(c, &context.id)),
            );
            state.apply(&event.0);
            envelopes.push(EventEnvelope {
                aggregate_id: context.id.clone(),
                sequence,
                payload: event.clone(),
                metadata: metadata.clone(),
            });
            new_events.push(new_event::<A>(event)?);
        }
        let append = Append {
            command_id,
            fingerprint: [0; 16],
            remembered: false,
            writes: vec![StreamWrite {
                stream: StreamKey::of::<A>(&context.id),
                expected: context.version,
                events: new_events,
                basis: Basis::default(),
            }],
            claims,
            rejected: Vec::new(),
            receipt: None,
            metadata: serde_json::to_string(&own).map_err(unexpected)?,
        };
        match self.store.append(&self.tenant, append).await {
            Ok(_) => Ok(envelopes),
            Err(AppendError::Conflict { .. }) => Err(AggregateError::AggregateConflict),
            Err(AppendError::Claimed { scope, .. }) => {
                let why = format!("another object of this tenant holds this {scope}");
                Err(AggregateError::UserError(Refusal::new(
                    Code::ExternalIdTaken,
                    why,
                )))
            }
            Err(error) => Err(unexpected(error)),
        }
    }
}

fn new_event<A: Aggregate>(event: AdaptedEvent<A::Event>) -> CqrsResult<NewEvent> {
    let event: domain::Event = event.0.into();
    Ok(NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: event.payload().map_err(unexpected)?,
    })
}

fn envelope<A>(stored: &StoredEvent) -> CqrsResult<EventEnvelope<Adapted<A>>>
where
    A: Aggregate<Event: CqrsEvent, Command: Send + Sync>,
{
    let event = stored.decode().map_err(unexpected)?.event;
    let payload = A::Event::try_from(event)
        .map_err(|_| unexpected(std::io::Error::other("an event of another aggregate")))?;
    Ok(EventEnvelope {
        aggregate_id: stored.aggregate_id.to_string(),
        sequence: stored.sequence as usize,
        payload: AdaptedEvent(payload),
        metadata: serde_json::from_str(&stored.metadata).map_err(unexpected)?,
    })
}

fn unexpected(error: impl std::error::Error + Send + Sync + 'static) -> AggregateError<Refusal> {
    AggregateError::UnexpectedError(Box::new(error))
}
