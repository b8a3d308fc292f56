//! The settings, as each part takes them; and the line that shows the limits in force.

use std::time::Duration;

use domain::track::FixRules;

use crate::analysts::AnalystSettings;
use crate::commands::DoorSettings;
use crate::config::{Bytes, Limits, Settings};
use crate::consumers::ConsumerSettings;
use crate::consumers::feed::FeedSettings;
use crate::ops::descriptors;
use crate::store::{Room, Store, StoreSettings};

pub fn store(settings: &Settings) -> StoreSettings {
    let (database, append) = (&settings.database, &settings.append);
    let commands = &settings.commands;
    StoreSettings {
        pool_max: database.pool_max,
        pool_min: database.pool_min,
        acquire_timeout_ms: ms(database.acquire_timeout),
        connection_lifetime_s: database.connection_lifetime.as_secs(),
        statement_timeout_ms: ms(database.statement_timeout),
        lock_timeout_ms: ms(database.lock_timeout),
        idle_in_transaction_timeout_ms: ms(database.idle_in_transaction_timeout),
        statement_cache_max: database.statement_cache,
        unsafe_allowed: database.allow_unsafe_durability,
        write_timeout_ms: ms(database.write_timeout),
        queue_max: append.queue_max,
        group_commands_max: append.group_commands_max,
        group_bytes_max: append.group_bytes_max.len(),
        bulk_bytes_min: append.bulk_bytes_min.len(),
        bulk_group_bytes_max: append.bulk_group_bytes_max.len(),
        bulk_connections_max: append.bulk_connections_max,
        groups_in_flight_max: append.groups_in_flight_max,
        second_group_commands_min: append.second_group_commands_min,
        gather_yields: append.gather_yields,
        lanes_max: append.lanes_max,
        races_max: append.races_max,
        reconnect_min_ms: ms(database.reconnect_min),
        reconnect_max_ms: ms(database.reconnect_max),
        partition_positions: i64::try_from(append.partition_positions).unwrap_or(i64::MAX),
        notify_every_ms: ms(append.notify_interval),
        poll_every_ms: ms(append.poll_interval),
        command_retention_h: whole(commands.idempotency_retention, 3_600),
        rejected_retention_d: whole(commands.rejected_retention, 86_400),
        rejected_records_max: commands.rejected_records_max.into(),
        ..StoreSettings::default()
    }
}

pub fn door(settings: &Settings) -> DoorSettings {
    let (commands, fixes) = (&settings.commands, &settings.fixes);
    DoorSettings {
        state_bytes_max: commands.state_bytes_max.len(),
        receipts_max: commands.receipts_max,
        attempts_max: commands.attempts_max,
        snapshot_events: commands.snapshot_events.into(),
        fixes: FixRules {
            future_max: fixes.future_max,
            age_max: fixes.age_max,
            speed_max_mps: fixes.speed_max_mps,
            ..FixRules::default()
        },
        rejected_record_bytes_max: commands.rejected_record_bytes_max.len(),
        log_bytes_max: commands.log_bytes_max.len(),
        ..DoorSettings::default()
    }
}

pub fn consumers(settings: &Settings) -> ConsumerSettings {
    let consumers = &settings.consumers;
    ConsumerSettings {
        project: consumers.project,
        lease_ms: ms(consumers.lease),
        batch_events_max: consumers.batch_events_max,
        batch_rows_max: consumers.batch_rows_max,
        batch_bytes_max: consumers.batch_bytes_max.len(),
        batch_ms_max: ms(consumers.batch_time_max),
        ring_events_max: consumers.ring_events_max,
        ring_bytes_max: consumers.ring_bytes_max.len(),
        poll_ms: ms(consumers.poll_interval),
        retry_ms_min: ms(consumers.retry_min),
        retry_ms_max: ms(consumers.retry_max),
        poison_attempts_max: consumers.attempts_max,
        parked_streams_max: consumers.parked_streams_max,
        step_ms_max: ms(consumers.step_time_max),
        rebuild_slowdown_max: consumers.rebuild_slowdown_max,
        rebuild_workers_max: consumers.rebuild_workers_max,
        scratches_max: consumers.scratches_max,
        feed: feed(settings),
    }
}

pub fn analysts(settings: &Settings) -> AnalystSettings {
    let analyst = &settings.analyst;
    AnalystSettings {
        url: analyst.url.as_ref().map(|url| url.expose().to_owned()),
        projections_max: analyst.projections_max,
        connections_max: analyst.connections_max,
        fold_connections_max: analyst.fold_connections_max,
        fold_timeout: analyst.fold_timeout,
        query_timeout: analyst.query_timeout,
        rows_max: analyst.rows_max,
        answer_bytes_max: analyst.answer_bytes_max.len(),
    }
}

fn feed(settings: &Settings) -> FeedSettings {
    let feeds = &settings.feeds;
    FeedSettings {
        groups_max: feeds.groups_max,
        members_max: feeds.members_max,
        queue_events_max: feeds.queue_events_max,
        queue_bytes_max: feeds.queue_bytes_max.len(),
        ring_items_max: feeds.ring_items_max,
        ring_bytes_max: feeds.ring_bytes_max.len(),
        keys_max: feeds.keys_max,
        latest_bytes_max: feeds.latest_bytes_max.len(),
        scans_max: feeds.scans_max,
        scan_wait_ms: ms(feeds.scan_wait),
        scan_events_max: feeds.scan_events_max,
        scan_page_bytes_max: feeds.scan_page_bytes_max.len(),
        scan_bytes_max: feeds.scan_bytes_max.len(),
        scan_positions_max: feeds.scan_positions_max,
        tail_records_max: feeds.tail_records_max,
        tail_bytes_max: feeds.tail_bytes_max.len(),
        attempts_max: feeds.attempts_max,
        item_ms_max: ms(feeds.item_time_max),
        hz_default: feeds.hz_default,
        hz_max: feeds.hz_max,
    }
}

/// Open files beside connections and the pool's: the listener, appends, logs, Redis.
const OPEN_FILES_ELSE: u64 = 256;

/// Sees to it that all connections can be open at once, or says how many can.
pub fn open_files(settings: &Settings) {
    let connections = settings.http.connections_max as u64;
    let others = u64::from(settings.database.pool_max) + OPEN_FILES_ELSE;
    let open_max = descriptors::raise(connections + others);
    if open_max < connections + others {
        let possible = open_max.saturating_sub(others);
        tracing::warn!(
            open_max,
            possible,
            connections,
            "the hard limit of {open_max} open files leaves room for about {possible} of \
             {connections} connections (http.connections_max): raise it (`ulimit -Hn`, \
             `LimitNOFILE=`) or allow fewer"
        );
    }
}

/// Says so if the server has no room for all that the pool may ask it for.
pub async fn connections(store: &Store, settings: &Settings) {
    let pool_max = settings.database.pool_max;
    match store.room().await {
        Ok(Room { all, left }) if left < i64::from(pool_max) => tracing::warn!(
            all,
            left,
            pool_max,
            "the database server has {all} connections, {left} of them for this process, fewer than the \
             {pool_max} of database.pool_max: raise its max_connections, or lower database.pool_max of the \
             processes that share it (docs/operations.md, \"Connections to the database\")"
        ),
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "whether the database server has room was not found out: {error}");
        }
    }
}

/// The limits a caller meets first; `/metrics` and the reference have the others.
pub fn line(settings: &Settings) -> String {
    let (limits, http) = (&settings.limits, &settings.http);
    let [body, query] = [http.body_bytes_max, limits.query_bytes_max].map(shown);
    format!(
        "body {body}, query {query}, {} tokens, depth {}, {} aliases, {} selections, cost {}, \
         {} s an operation, {}",
        limits.tokens_max,
        limits.depth_max,
        limits.aliases_max,
        limits.selections_max,
        limits.cost_max,
        limits.operation_timeout.as_secs_f64(),
        quotas(limits),
    )
}

fn quotas(limits: &Limits) -> String {
    if !limits.enabled {
        return "no quotas".to_owned();
    }
    format!(
        "a minute {} requests an address, {} and {} points a caller",
        limits.address_per_minute, limits.user_per_minute, limits.cost_per_minute
    )
}

/// In the largest unit that leaves a whole number.
fn shown(bytes: Bytes) -> String {
    match bytes.0 {
        n if n > 0 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n > 0 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole units, rounded up: what is promised is kept at least that long.
fn whole(duration: Duration, unit_s: u64) -> u32 {
    u32::try_from(duration.as_secs().div_ceil(unit_s)).unwrap_or(u32::MAX)
}
