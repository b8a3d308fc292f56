//! Exports: files have every event byte for byte, prove themselves, and are whole or not there.

mod archive;
mod asked;
mod events;
mod read_models;
mod readers;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use chrono::DateTime;
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::export::{Checked, EventExport, Format, check_export, export_events};
use daybook::seals::Seals;
use daybook::store::{Store, StoreSettings};
use domain::fleet::{Fleet, FleetCommand};
use domain::{Actor, ActorKind};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{Scratch, TestDb, command, shared_vault};

/// Positions of a partition of the log.
const PARTITION: i64 = 64;

/// An event as it is stored: position, id, type and id of the aggregate, sequence, type, version, time,
/// payload, metadata.
type Raw = (
    i64,
    Vec<u8>,
    String,
    String,
    i64,
    String,
    String,
    i64,
    String,
    String,
);

/// A log in small partitions, and whoever seals it.
struct Log {
    db: TestDb,
    store: Store,
    seals: Seals,
    dir: Scratch,
}

impl Log {
    async fn open() -> Log {
        let db = TestDb::create().await;
        let settings = StoreSettings {
            pool_max: 8,
            pool_min: 1,
            partition_positions: PARTITION,
            ..StoreSettings::default()
        };
        let options = db.options().application_name("daybook-unsafe");
        let store = Store::connect(options, settings).await.unwrap();
        Log {
            seals: Seals::new(store.clone(), shared_vault(&db)),
            store,
            db,
            dir: Scratch::new(),
        }
    }

    /// A sealed log of so many fleets, one event each.
    async fn sealed(fleets: i64) -> Log {
        let log = Log::open().await;
        log.append("default", 0..fleets).await;
        log.seal("default").await;
        log
    }

    async fn append(&self, tenant: &str, fleets: std::ops::Range<i64>) {
        let door = Door::new(self.store.clone(), DoorSettings::default());
        let actor = Actor {
            kind: ActorKind::User,
            id: "ann".into(),
        };
        let now = DateTime::from_timestamp(1_767_571_200, 0).unwrap();
        for n in fleets {
            let ctx = CommandContext::new(tenant.into(), actor.clone(), now);
            let create = FleetCommand::Create {
                name: format!("Fleet {n}"),
            };
            let id = format!("f{n}");
            door.execute::<Fleet>(&ctx, &id, create).await.unwrap();
        }
    }

    async fn seal(&self, tenant: &str) {
        let (tenant, now): (Arc<str>, _) = (
            tenant.into(),
            DateTime::from_timestamp(1_767_571_300, 0).unwrap(),
        );
        while self.seals.seal_next(&tenant, now, 37).await.unwrap() > 0 {}
    }

    /// Runs a statement that nothing guards the log from.
    async fn as_owner(&self, sql: &str) {
        let mut conn = PgConnection::connect_with(&self.db.options())
            .await
            .unwrap();
        let all_off = "set session_replication_role = replica";
        conn.execute(all_off).await.unwrap();
        conn.execute(sql).await.unwrap();
    }

    /// The events at some positions, as they are stored.
    async fn stored(&self, from: i64, to: i64) -> Vec<Raw> {
        sqlx::query_as(
            "select position, uuid_send(event_id), aggregate_type, aggregate_id, sequence, event_type, event_version,
                    (extract(epoch from recorded_at) * 1000000)::bigint, payload::text, metadata::text
             from events where tenant = 'default' and position between $1 and $2 order by position",
        )
        .bind(from)
        .bind(to)
        .fetch_all(self.db.pool())
        .await
        .unwrap()
    }

    /// Exports a range with its proof: the two files.
    async fn export(&self, from: i64, to: i64, format: Format) -> (PathBuf, PathBuf) {
        let name = match format {
            Format::Parquet => format!("{from}-{to}.parquet"),
            Format::Ndjson => format!("{from}-{to}.ndjson"),
        };
        let out = self.dir.path().join(name);
        let proof = out.with_extension("proof");
        let what = EventExport {
            tenant: "default".into(),
            positions: from..=to,
            only: None,
            format,
            out: out.clone(),
            proof: Some(proof.clone()),
        };
        let done = export_events(&self.store, &what, |_, _| ()).await.unwrap();
        assert_eq!(done.events, (to - from).unsigned_abs() + 1);
        (out, proof)
    }

    /// Runs the program on this database, in the scratch directory.
    fn run(&self, args: &[&str]) -> Output {
        let url = self.db.url();
        let named = [
            ("DATABASE_URL", url.as_str()),
            ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
            ("DAYBOOK_APPEND__PARTITION_POSITIONS", "1000"),
        ];
        command(self.dir.path(), args, &named).output().unwrap()
    }

    fn run_well(&self, args: &[&str]) -> String {
        let done = self.run(args);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{args:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }
}

/// What a check says of two files, and the events that it read.
async fn checked(data: &Path, proof: &Path) -> (Option<Checked>, Vec<Raw>) {
    let (data, proof) = (data.to_owned(), proof.to_owned());
    let checking = tokio::task::spawn_blocking(move || {
        let mut rows = Vec::new();
        let checked = check_export(&data, &proof, None, |row| {
            rows.push((
                row.position,
                row.event_id.to_vec(),
                row.aggregate_type.to_owned(),
                row.aggregate_id.to_owned(),
                row.sequence,
                row.event_type.to_owned(),
                row.event_version.to_owned(),
                row.recorded_us,
                row.payload.to_owned(),
                row.metadata.to_owned(),
            ));
            Ok(())
        });
        (checked.ok(), rows)
    });
    // A reader that gave up on the file has not held it to be true.
    checking.await.unwrap_or_default()
}

/// The position that a check names for certain.
async fn differs_at(data: &Path, proof: &Path) -> Option<i64> {
    match checked(data, proof).await.0 {
        Some(Checked::Differs {
            position,
            certain: true,
            ..
        }) => Some(position),
        _ => None,
    }
}

async fn holds(data: &Path, proof: &Path) -> bool {
    matches!(checked(data, proof).await.0, Some(Checked::Holds { .. }))
}
