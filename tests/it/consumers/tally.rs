//! A read model for tests: events per fleet and the sum of their positions.
//!
//! An event folded twice or not at all shows in one of both.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use domain::fleet::FleetEvent;
use domain::{Event, Recorded};
use projections::{AnyDelta, AnyProjection, BoxFuture, Poison, Target};
use sqlx::{Executor as _, PgConnection, PgPool};
use tokio::sync::Semaphore;

/// Counts and sums per fleet.
pub type Counts = BTreeMap<String, (i64, i64)>;

/// The read model. Several with other names make several read models.
pub struct Tally {
    pub name: &'static str,
    pub version: i32,
    /// An event that cannot be taken in parks its fleet instead of stopping all.
    pub by_stream: bool,
    /// After the rows are written, before the commit: waits as long.
    pub write_pause: Duration,
    /// While true, writes wait in the middle until the gate is opened.
    pub gated: AtomicBool,
    pub gate: Semaphore,
    /// Writes that have come to the gate.
    pub at_gate: AtomicU32,
    /// Events that were folded, however often.
    pub folded: AtomicU32,
    /// Folding takes as long per event.
    pub fold_pause: Duration,
    /// While true, whoever folds crashes, as by a fault of the program.
    pub crashes: AtomicBool,
    /// Fleets of this name cannot be folded.
    pub refuses: Option<&'static str>,
    /// A mutant: rows are written through this pool instead of the batch's transaction.
    pub outside: Option<PgPool>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            name: "tally",
            version: 1,
            by_stream: false,
            write_pause: Duration::ZERO,
            gated: AtomicBool::new(false),
            gate: Semaphore::new(0),
            at_gate: AtomicU32::new(0),
            folded: AtomicU32::new(0),
            fold_pause: Duration::ZERO,
            crashes: AtomicBool::new(false),
            refuses: Some("refused"),
            outside: None,
        }
    }
}

impl Tally {
    pub fn named(name: &'static str) -> Arc<dyn AnyProjection> {
        Arc::new(Self {
            name,
            ..Self::default()
        })
    }

    fn table(&self, target: &Target<'_>) -> String {
        target.table(self.name)
    }
}

/// What is in a tally's table.
pub async fn counts(conn: &mut PgConnection, name: &str, generation: i32) -> Counts {
    let sql = format!("select fleet, n, positions from read.{name}_g{generation}");
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(&sql).fetch_all(conn).await.unwrap();
    rows.into_iter()
        .map(|(fleet, n, sum)| (fleet, (n, sum)))
        .collect()
}

impl AnyProjection for Tally {
    fn name(&self) -> &'static str {
        self.name
    }
    fn version(&self) -> i32 {
        self.version
    }
    fn aggregates(&self) -> &'static [&'static str] {
        &["fleet"]
    }
    fn tables(&self) -> &'static [&'static str] {
        match self.name {
            "tally" => &["tally"],
            "a" => &["a"],
            "b" => &["b"],
            "c" => &["c"],
            _ => &["d"],
        }
    }
    fn by_stream(&self) -> bool {
        self.by_stream
    }
    fn ddl(&self, target: &Target<'_>) -> Vec<String> {
        vec![format!(
            "create table if not exists {} (
                tenant text not null, fleet text not null check (fleet <> 'unwritable'),
                n bigint not null, positions bigint not null, primary key (tenant, fleet))",
            self.table(target)
        )]
    }
    fn delta(&self) -> AnyDelta {
        Box::new(Counts::new())
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a slow fold blocks the thread it is given"
    )]
    fn fold(&self, delta: &mut AnyDelta, event: &Recorded<Event>) -> Result<(), Poison> {
        if !self.fold_pause.is_zero() {
            std::thread::sleep(self.fold_pause);
        }
        let entry = counts_in(delta.as_mut())
            .entry(event.aggregate_id.to_string())
            .or_default();
        entry.0 += 1;
        entry.1 += event.position.0;
        self.folded.fetch_add(1, Ordering::SeqCst);
        if let Event::Fleet(FleetEvent::FleetCreated(created)) = &event.event {
            assert_ne!(created.name, "panics", "cannot go on");
            if Some(created.name.as_str()) == self.refuses {
                return Err(Poison("refused by the test".to_owned()));
            }
        }
        Ok(())
    }
    fn merge(&self, into: &mut AnyDelta, mut from: AnyDelta) {
        for (fleet, (n, sum)) in std::mem::take(counts_in(from.as_mut())) {
            let entry = counts_in(into.as_mut()).entry(fleet).or_default();
            *entry = (entry.0 + n, entry.1 + sum);
        }
    }
    fn rows(&self, delta: &AnyDelta) -> usize {
        assert!(!self.crashes.load(Ordering::SeqCst), "crashes");
        delta.downcast_ref::<Counts>().unwrap().len()
    }
    fn write<'a>(
        &'a self,
        conn: &'a mut PgConnection,
        target: &'a Target<'a>,
        mut delta: AnyDelta,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let counts = std::mem::take(counts_in(delta.as_mut()));
        Box::pin(async move {
            let sql = format!(
                "insert into {} as t
                 select $1, * from unnest($2::text[], $3::bigint[], $4::bigint[])
                 on conflict (tenant, fleet) do update
                 set n = t.n + excluded.n, positions = t.positions + excluded.positions",
                self.table(target)
            );
            let (fleets, sums): (Vec<String>, Vec<(i64, i64)>) = counts.into_iter().unzip();
            let (ns, positions): (Vec<i64>, Vec<i64>) = sums.into_iter().unzip();
            let query = sqlx::query(&sql)
                .bind(target.tenant)
                .bind(fleets)
                .bind(ns)
                .bind(positions);
            match &self.outside {
                None => query.execute(&mut *conn).await?,
                Some(pool) => query.execute(pool).await?,
            };
            tokio::time::sleep(self.write_pause).await;
            if self.gated.load(Ordering::SeqCst) {
                self.at_gate.fetch_add(1, Ordering::SeqCst);
                self.gate.acquire().await.unwrap().forget();
                conn.execute("select 1").await?;
            }
            Ok(())
        })
    }
}

fn counts_in(delta: &mut (dyn Any + Send)) -> &mut Counts {
    delta.downcast_mut().unwrap()
}
