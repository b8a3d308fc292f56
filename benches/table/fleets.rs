//! Fleets with a history, the same in our log and in a stock postgres-es.

use std::sync::Arc;

use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::store::cqrs::Adapted;
use daybook::store::{Append, Basis, NewEvent, Store, StreamWrite};
use domain::fleet::{Fleet, FleetCommand};
use domain::{Actor, ActorKind, StreamKey};
use futures::{StreamExt, TryStreamExt};
use postgres_es::PostgresEventRepository;
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use super::traffic::now;

/// The stock framework over stock tables.
pub type Stock =
    CqrsFramework<Adapted<Fleet>, PersistedEventStore<PostgresEventRepository, Adapted<Fleet>>>;

/// Fleets `{prefix}0..count`, each with so many events.
#[derive(Clone, Copy, Debug)]
pub struct Fleets {
    /// Sets of fleets differ in it.
    pub prefix: &'static str,
    /// How many fleets.
    pub count: usize,
    /// How many events each has to begin with.
    pub events: usize,
}

impl Fleets {
    /// The key of the n-th one.
    pub fn id(&self, n: usize) -> String {
        format!("{}{}", self.prefix, n % self.count)
    }

    /// Appends their histories to our log.
    pub async fn seed(&self, store: &Store, tenant: &Arc<str>) -> anyhow::Result<()> {
        let appends = (0..self.count).map(|n| store.append(tenant, self.history(n)));
        futures::stream::iter(appends)
            .buffer_unordered(16)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    fn history(&self, n: usize) -> Append {
        let event = |i: usize| NewEvent {
            event_id: Uuid::now_v7(),
            event_type: if i == 0 {
                "fleet.created"
            } else {
                "fleet.renamed"
            },
            event_version: "1",
            payload: format!(r#"{{"name":"Buses of depot {i}"}}"#),
        };
        Append {
            command_id: Uuid::now_v7(),
            fingerprint: [0; 16],
            remembered: false,
            writes: vec![StreamWrite {
                stream: StreamKey::of::<Fleet>(&self.id(n)),
                expected: 0,
                events: (0..self.events).map(event).collect(),
                basis: Basis::default(),
            }],
            claims: Vec::new(),
            rejected: Vec::new(),
            receipt: None,
            metadata: r#"{"actor":"system:bench","command_id":"seed"}"#.to_owned(),
        }
    }

    /// Inserts their histories into the tables of [`stock`].
    pub async fn seed_stock(&self, pool: &PgPool) -> anyhow::Result<()> {
        sqlx::query(
            "insert into events
             select 'fleet', $1 || n, i, case i when 1 then 'fleet.created' else 'fleet.renamed' end, '1',
                    json_build_object(case i when 1 then 'fleet.created' else 'fleet.renamed' end,
                                      json_build_object('name', 'Buses of depot ' || i - 1)),
                    json_build_object('actor', 'system:bench', 'command_id', 'seed')
             from generate_series(0, $2::bigint - 1) n, generate_series(1, $3::bigint) i",
        )
        .bind(self.prefix)
        .bind(self.count as i64)
        .bind(self.events as i64)
        .execute(pool)
        .await?;
        Ok(())
    }
}

/// Makes the tables that postgres-es asks for, as its own script does.
pub async fn stock_tables(pool: &PgPool) -> anyhow::Result<()> {
    pool.execute(
        "create table events (
             aggregate_type text not null, aggregate_id text not null,
             sequence bigint check (sequence >= 0) not null, event_type text not null,
             event_version text not null, payload json not null, metadata json not null,
             primary key (aggregate_type, aggregate_id, sequence));
         create table snapshots (
             aggregate_type text not null, aggregate_id text not null,
             last_sequence bigint check (last_sequence >= 0) not null,
             current_snapshot bigint check (current_snapshot >= 0) not null, payload json not null,
             primary key (aggregate_type, aggregate_id, last_sequence))",
    )
    .await?;
    Ok(())
}

/// A stock postgres-es over these connections.
pub fn stock(pool: PgPool) -> Stock {
    let store = PersistedEventStore::new_event_store(PostgresEventRepository::new(pool));
    CqrsFramework::new(store, Vec::new(), ())
}

/// A write door with the settings of production.
pub fn door(store: &Store) -> Door {
    Door::new(store.clone(), DoorSettings::default())
}

/// A command that always has something to do.
pub fn rename(n: u64) -> FleetCommand {
    FleetCommand::Rename {
        name: format!("Buses of depot {n} and neighbours"),
    }
}

/// Who sends the commands.
pub fn context(tenant: &Arc<str>) -> CommandContext {
    let actor = Actor {
        kind: ActorKind::System,
        id: "bench".into(),
    };
    CommandContext::new(tenant.clone(), actor, now())
}
