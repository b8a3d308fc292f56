//! The tables of log records.

use super::ids::{HOUR, OF_USER, USER_HASH};
use crate::Target;

/// A record's columns, in the order in which rows are made.
pub(super) const COLUMNS: &str = "position, recorded_at, happened_at, sequence_number, recorded_day, idx, \
     event_type, priority, backfill, tenant, source_id, event_name, user_id, user_text, session_id, \
     app_version, event_id, event_text, device_info, properties, personal";
/// How many they are.
pub(super) const COLUMNS_N: i16 = 21;

pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    let mut all = vec![records(target)];
    all.extend(indexes(target));
    all.extend([
        days(target),
        volume(target),
        user_days(target),
        sources(target),
    ]);
    all
}

/// Fixed columns come first, the wide ones first among them, so that nothing is lost to alignment. A day's
/// partition is made when its first record is written.
///
/// There is no key: that each record is there once is the checkpoint's doing, which moves with its rows, and
/// nobody asks for a record by its place in the log. JSON is text, which takes less than `jsonb` and is not
/// taken apart on its way in.
fn records(target: &Target<'_>) -> String {
    let table = target.table("log_records");
    format!(
        r#"create table if not exists {table} (
            position        bigint not null,           -- position of the event that carries it
            recorded_at     timestamptz not null,      -- when it was recorded
            happened_at     timestamptz not null,      -- when it happened, by its source's clock
            sequence_number bigint,                    -- its number within its session
            recorded_day    date not null,             -- UTC day on which it was recorded
            idx             integer not null,          -- its number in the event, from 0
            event_type      smallint not null,         -- place in the list of types, from 0
            priority        smallint not null,         -- place in the list of priorities, from 0
            backfill        boolean not null,          -- time windows were lifted for it
            tenant          text collate "C" not null, -- whose log
            source_id       text collate "C" not null, -- whose record
            event_name      text collate "C" not null, -- what happened
            user_id         uuid,                      -- pseudonym of its user
            user_text       text collate "C",          -- its user, where that is no pseudonym
            session_id      text collate "C",          -- its session
            app_version     text collate "C",          -- version of the program
            event_id        uuid,                      -- the source's own id of it, if that is a UUID
            event_text      text collate "C",          -- the source's own id of it, if not
            device_info     text compression lz4 collate "C", -- what the program ran on, as JSON; null if nothing is said
            properties      text compression lz4 collate "C", -- anything else, as JSON; null if there is nothing
            personal        text compression lz4)      -- what is personal, sealed
           partition by range (recorded_day)"#
    )
}

/// Time and type in one index: of all types it is walked once each, and merged. Tenants, users and sessions
/// are found by a hash of four bytes, the rows are compared: of the many records of a user and an hour an
/// index keeps little more than where they are. Whose records are too many to be read and put in
/// order (`few`) is looked for in the order of time.
fn indexes(target: &Target<'_>) -> [String; 4] {
    let (table, generation) = (target.table("log_records"), target.generation);
    let of_users = format!("(({USER_HASH}), {HOUR}) where {OF_USER}");
    [
        ("time", "(hashtext(tenant), event_type, happened_at)"),
        ("user", &*of_users),
        (
            "session",
            "(hashtext(session_id)) where session_id is not null",
        ),
        // Of few records: the urgent ones.
        (
            "urgent",
            "(hashtext(tenant), event_type, happened_at) where priority > 0",
        ),
    ]
    .map(|(name, columns)| {
        format!("create index if not exists log_records_g{generation}_{name} on {table} {columns}")
    })
}

fn days(target: &Target<'_>) -> String {
    let table = target.table("log_days");
    format!(
        r#"create table if not exists {table} (
            tenant     text collate "C" not null, -- whose log
            day        date not null,             -- UTC day on which was recorded
            source_id  text collate "C" not null, -- whose records
            event_type smallint not null,         -- place in the list of types
            records    bigint not null,           -- how many
            first_at   timestamptz not null,      -- the first of them happened then
            last_at    timestamptz not null,      -- and the last
            primary key (tenant, day, source_id, event_type))"#
    )
}

fn volume(target: &Target<'_>) -> String {
    let table = target.table("log_volume");
    format!(
        r#"create table if not exists {table} (
            tenant      text collate "C" not null, -- whose log
            bucket      bigint not null,           -- quarter of an hour, counted from 1970
            source_id   text collate "C" not null, -- whose records
            event_type  smallint not null,         -- place in the list of types
            event_name  text collate "C" not null, -- what happened
            app_version text collate "C" not null, -- version of the program; empty if not told
            records     bigint not null,           -- how many
            primary key (tenant, bucket, source_id, event_type, event_name, app_version))"#
    )
}

fn user_days(target: &Target<'_>) -> String {
    let table = target.table("log_user_days");
    format!(
        r#"create table if not exists {table} (
            tenant  text collate "C" not null, -- whose log
            day     date not null,             -- UTC day of the record's own time
            user_id bytea not null,            -- pseudonym of somebody a record of that day is about; other texts behind zeros
            primary key (tenant, day, user_id))"#
    )
}

fn sources(target: &Target<'_>) -> String {
    let table = target.table("log_sources");
    format!(
        r#"create table if not exists {table} (
            tenant          text collate "C" not null, -- whose
            source_id       text collate "C" not null, -- the source
            on_first_batch  boolean, -- known because its first batch came
            registered_at   timestamptz, -- recorded time
            registered_pos  bigint not null default 0, -- position that said so
            limits          jsonb, -- what its records may be
            limits_pos      bigint not null default 0, -- position that said so
            retention       jsonb, -- how long they are kept
            retention_pos   bigint not null default 0, -- position that said so
            personal_fields jsonb, -- what in them is personal
            personal_pos    bigint not null default 0, -- position that said so
            paused          text, -- why nothing is taken; null while records are
            paused_pos      bigint not null default 0, -- position that said so
            stream_version  bigint not null, -- version of its stream
            position        bigint not null, -- position of its last event
            primary key (tenant, source_id))"#
    )
}
