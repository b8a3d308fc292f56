//! Processes over one log, drafts of appends, and a hand on the head's lock.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::store::{
    Append, AppendError, Appended, Basis, Claim, NewEvent, Rejected, Store, StoreSettings,
    StreamWrite, digest,
};
use domain::vehicle::{VehicleCommand, VehicleProfile};
use domain::{Actor, ActorKind, Code, Refusal, StreamKey};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Row as _};
use uuid::Uuid;

use crate::support::eventually;

pub fn tenant() -> Arc<str> {
    "default".into()
}

/// Few connections: many tests run at once on one server.
pub fn settings() -> StoreSettings {
    StoreSettings {
        pool_max: 6,
        pool_min: 1,
        acquire_timeout_ms: 20_000,
        poll_every_ms: 20,
        ..StoreSettings::default()
    }
}

/// A store as another process would have one: it shares nothing with the others but the database.
pub async fn store(options: PgConnectOptions) -> Store {
    store_with(options, settings()).await
}

pub async fn store_with(options: PgConnectOptions, settings: StoreSettings) -> Store {
    Store::connect(options.application_name("daybook-unsafe"), settings)
        .await
        .unwrap()
}

pub async fn door(options: PgConnectOptions) -> Door {
    Door::new(store(options).await, DoorSettings::default())
}

/// 2026-01-05 00:00 UTC.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_571_200, 0).unwrap()
}

pub fn ann() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "ann".into(),
    }
}

pub fn ctx() -> CommandContext {
    CommandContext::new(tenant(), ann(), now())
}

/// With a declared command id.
pub fn declared(id: &str) -> CommandContext {
    CommandContext {
        command_id: Some(id.to_owned()),
        ..ctx()
    }
}

pub fn register(plate: Option<&str>) -> VehicleCommand {
    VehicleCommand::Register {
        profile: profile(None, plate),
        on_first_report: false,
    }
}

pub fn rename(name: &str, plate: Option<&str>) -> VehicleCommand {
    VehicleCommand::ChangeProfile {
        profile: profile(Some(name), plate),
    }
}

pub fn retire() -> VehicleCommand {
    VehicleCommand::Retire { reason: None }
}

fn profile(name: Option<&str>, plate: Option<&str>) -> VehicleProfile {
    VehicleProfile {
        name: name.map(str::to_owned),
        plate: plate.map(str::to_owned),
        ..VehicleProfile::default()
    }
}

pub fn vehicle(id: &str) -> StreamKey {
    StreamKey {
        aggregate_type: "vehicle",
        aggregate_id: id.into(),
    }
}

/// An event that decodes: a vehicle retired for a reason of ours.
pub fn event(reason: &str) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "vehicle.retired",
        event_version: "1",
        payload: format!(r#"{{"reason":"{reason}"}}"#),
    }
}

/// `events` new events on the condition that the stream is at `expected`.
pub fn write(id: &str, expected: i64, events: usize) -> StreamWrite {
    StreamWrite {
        stream: vehicle(id),
        expected,
        events: (0..events).map(|i| event(&format!("{i}"))).collect(),
        basis: Basis::default(),
    }
}

/// A command with a fresh id, which the log does not keep.
pub fn append(writes: Vec<StreamWrite>) -> Append {
    Append {
        remembered: false,
        ..named(Uuid::now_v7(), 0, writes)
    }
}

/// A command with this id; its content is told by `content`.
pub fn named(command_id: Uuid, content: u8, writes: Vec<StreamWrite>) -> Append {
    Append {
        command_id,
        fingerprint: [content; 16],
        remembered: true,
        writes,
        claims: Vec::new(),
        rejected: Vec::new(),
        receipt: None,
        metadata: format!(r#"{{"actor":"user:ann","command_id":"{command_id}"}}"#),
    }
}

/// One event on a stream, the shortest of appends.
pub fn one(id: &str, expected: i64) -> Append {
    append(vec![write(id, expected, 1)])
}

pub fn claim(value: &str, holder: &str, release: bool) -> Claim {
    Claim {
        scope: "vehicle.plate".to_owned(),
        value_hash: digest(&[value.as_bytes()]),
        aggregate_id: holder.to_owned(),
        release,
    }
}

pub fn rejected(record: &str) -> Rejected {
    Rejected {
        source: "test",
        log_source: None,
        refusal: Refusal::new(Code::NullIsland, "no fix").with("lat", 0),
        record: record.to_owned(),
    }
}

/// What became of an append, in a word or two.
pub fn told(outcome: Result<Appended, AppendError>) -> String {
    match outcome {
        Ok(kept) => {
            let word = if kept.replayed { "replayed" } else { "kept" };
            format!("{word} p{} v{}", kept.position, kept.version)
        }
        Err(AppendError::Conflict { stream, actual }) => format!("conflict {stream} v{actual}"),
        Err(AppendError::Claimed { index, holder, .. }) => format!("claimed {index} by {holder}"),
        Err(AppendError::KeyReused) => "reused".to_owned(),
        Err(AppendError::Stale) => "stale".to_owned(),
        Err(AppendError::Overloaded) => "overloaded".to_owned(),
        Err(AppendError::Store(e)) => format!("fault: {e}"),
    }
}

pub async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

/// What the tables themselves say against the log: nothing, if all is well.
pub async fn flaws(pool: &PgPool) -> Vec<String> {
    let mut found = Vec::new();
    for (flaw, sql) in FLAWS {
        let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
        found.extend(rows.iter().map(|row| {
            let place: String = row.get(0);
            format!("{flaw}: {place}")
        }));
    }
    found
}

const FLAWS: &[(&str, &str)] = &[
    (
        "positions are 1..n",
        "select tenant || ' ' || count(*) || ' events up to ' || max(position) from events
         group by tenant having count(*) <> max(position) or min(position) <> 1
             or count(distinct position) <> count(*)",
    ),
    (
        "the head is the last position",
        "select tenant || ' at ' || position from logs l
         where position <> (select coalesce(max(position), 0) from events e
                            where e.tenant = l.tenant)",
    ),
    (
        "versions are 1..n, in position order",
        "select aggregate_type || '-' || aggregate_id || ' ' || sequence from (
             select *, row_number() over (partition by tenant, aggregate_type, aggregate_id
                                          order by position) as nth from events) numbered
         where nth <> sequence",
    ),
    (
        "a stream's row tells its version and its bounds",
        "select aggregate_type || '-' || aggregate_id from streams s
         full join (select tenant, aggregate_type, aggregate_id, count(*) as version,
                           min(position) as first_position, max(position) as last_position
                    from events group by 1, 2, 3) e
             using (tenant, aggregate_type, aggregate_id, version, first_position, last_position)
         where s.version is null or e.version is null",
    ),
    (
        "time never runs against position",
        "select position::text from (
             select position, recorded_at < lag(recorded_at) over (order by position) as back
             from events) timed where back",
    ),
];

/// Holds a tenant's head, as a slow append of another process would.
pub struct Hold {
    conn: PgConnection,
    /// A transaction sees who waits as of its first look: another connection looks.
    watch: PgConnection,
}

impl Hold {
    pub async fn head(options: PgConnectOptions) -> Hold {
        let lock = "select from logs where tenant = 'default' for update";
        Hold::with(options, lock).await
    }

    /// Holds whatever this statement locks.
    pub async fn with(options: PgConnectOptions, statement: &str) -> Hold {
        let watch = PgConnection::connect_with(&options).await.unwrap();
        let mut conn = PgConnection::connect_with(&options).await.unwrap();
        conn.execute("begin").await.unwrap();
        conn.execute(statement).await.unwrap();
        Hold { conn, watch }
    }

    /// Waits until `n` others wait for a lock.
    pub async fn until_waiting(&mut self, n: i64) {
        let watch = tokio::sync::Mutex::new(&mut self.watch);
        eventually("others wait for a lock", async || {
            let mut watch = watch.lock().await;
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            )
            .fetch_one(&mut **watch)
            .await
            .unwrap();
            waiting >= n
        })
        .await;
    }

    pub async fn release(mut self) {
        self.conn.execute("commit").await.unwrap();
        self.conn.close().await.unwrap();
        self.watch.close().await.unwrap();
    }
}
