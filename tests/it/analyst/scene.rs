//! A log of fleets, and projections of an analyst over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daybook::analysts::{Addition, AnalystError, AnalystSettings, Analysts, Answered, Question};
use daybook::consumers::{Consumers, RebuildOptions, install};
use daybook::store::Store;
use domain::Position;
use projections::AnyProjection;

use crate::consumers::scene;
pub use crate::consumers::scene::{
    TENANT, append, append_many, settings, status_of, stopped, tenant,
};
use crate::support::{TestDb, eventually};

/// Events per fleet and the sum of their positions, as the tests' read model in Rust has them; and more.
pub const TALLY: &str = "\
-- Events per fleet, and the sum of their positions.
-- projection: fleet_tally
-- version: 1
-- events: fleet.*
-- key: fleet text
-- value: events bigint sum
-- value: positions bigint sum
select aggregate_id as fleet, count(*) as events, sum(position) as positions
from events group by aggregate_id";

/// Every rule of merging.
pub const RULES: &str = "\
-- projection: rules
-- version: 1
-- events: fleet.created, vehicle.*
-- key: kind text
-- key: hour timestamptz
-- value: mean_parts numeric sum
-- value: least text min
-- value: newest timestamptz max
-- value: highest double precision max
-- value: first_stream text first
-- value: last_payload jsonb last
select event_type as kind, date_trunc('hour', recorded_at) as hour, position / 10.0 as mean_parts,
       aggregate_id as least, recorded_at as newest, sqrt(position) as highest,
       aggregate_id as first_stream, payload || jsonb_build_object('at', position) as last_payload, position
from events";

pub struct Scene {
    pub db: TestDb,
    pub store: Store,
    pub analysts: Analysts,
}

impl Scene {
    pub async fn new() -> Scene {
        Scene::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut AnalystSettings)) -> Scene {
        let db = TestDb::create().await;
        let store = scene::store(db.options()).await;
        let mut settings = AnalystSettings::default();
        change(&mut settings);
        let analysts = Analysts::new(store.clone(), settings).unwrap();
        Scene {
            db,
            store,
            analysts,
        }
    }

    pub async fn start(&self, models: &[Arc<dyn AnyProjection>]) -> Consumers {
        start(&self.store, &self.analysts, models).await
    }

    pub async fn install(&self, source: &str) -> Result<Addition, AnalystError> {
        let examined = self.analysts.examine(TENANT, source).await?;
        install(&self.store, &self.analysts, TENANT, &examined, "ann").await
    }

    pub async fn ask(&self, sql: &str) -> Result<Answered, AnalystError> {
        self.ask_of(TENANT, sql).await
    }

    pub async fn ask_of(&self, tenant: &str, sql: &str) -> Result<Answered, AnalystError> {
        let question = Question {
            sql: sql.to_owned(),
            parameters: Vec::new(),
            first: None,
            as_of: None,
        };
        self.analysts.ask(tenant, &question).await
    }

    /// The same of what was built as of a position.
    pub async fn ask_as_of(&self, sql: &str, as_of: Position) -> Result<Answered, AnalystError> {
        let question = Question {
            sql: sql.to_owned(),
            parameters: Vec::new(),
            first: None,
            as_of: Some(as_of),
        };
        self.analysts.ask(TENANT, &question).await
    }

    /// What SQL was refused or failed with.
    pub async fn said(&self, sql: &str) -> String {
        self.ask(sql).await.expect_err(sql).to_string()
    }

    /// The rows as JSON text.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let answered = self.ask(sql).await.unwrap();
        assert!(!answered.cut);
        answered
            .rows
            .iter()
            .map(|row| row.get().to_owned())
            .collect()
    }

    /// What the tally holds, in the words of the tests' read model in Rust.
    pub async fn tally(&self) -> BTreeMap<String, (i64, i64)> {
        let rows = self
            .rows("select fleet, events, positions from fleet_tally")
            .await;
        rows.iter()
            .map(|row| serde_json::from_str(row).unwrap())
            .map(|(fleet, events, positions)| (fleet, (events, positions)))
            .collect()
    }

    pub async fn model(&self, name: &str) -> Arc<dyn AnyProjection> {
        let all = self.analysts.models(TENANT).await.unwrap();
        all.into_iter().find(|m| m.name() == name).unwrap()
    }

    /// The live generation of a projection: number, version and position.
    pub async fn live(&self, name: &str) -> (i32, i32, Position) {
        let (generation, version, position) = sqlx::query_as(
            "select generation, version, position from generations
             where tenant = $1 and projection = $2 and state = 'live'",
        )
        .bind(TENANT)
        .bind(name)
        .fetch_one(self.db.pool())
        .await
        .unwrap();
        (generation, version, Position(position))
    }

    pub async fn reaches(&self, name: &str, at: Position) {
        eventually("the projection has come there", async || {
            self.live(name).await.2 >= at
        })
        .await;
    }
}

pub async fn start(
    store: &Store,
    analysts: &Analysts,
    models: &[Arc<dyn AnyProjection>],
) -> Consumers {
    let analysts = Some(analysts.clone());
    Consumers::start_with(store.clone(), models.to_vec(), analysts, settings())
        .await
        .unwrap()
}

/// Ranges so small that several are folded at once, and compared at the end.
pub fn in_parallel() -> RebuildOptions {
    RebuildOptions {
        range_events: 700,
        rows_max: 300,
        workers: 3,
        compare: true,
        ..RebuildOptions::default()
    }
}

pub const SOON: Duration = Duration::from_millis(300);
