//! What `daybook projection` shows, in columns.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::cli::columns;
use crate::consumers::{Decision, FailedEvent, Generation, ProjectionStatus, RebuildStatus};

/// A head of words, and rows of cells under it.
fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Vec<String> {
    let mut cells = vec![head.map(str::to_owned)];
    cells.extend(rows);
    columns(&cells)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Every read model.
pub(super) fn projections(rows: &[ProjectionStatus]) -> Vec<String> {
    let head = [
        "READ MODEL",
        "STATUS",
        "GENERATION",
        "POSITION",
        "LAG",
        "ERROR",
    ];
    let stands = |row: &ProjectionStatus| {
        let status = format!("{:?}", row.status).to_lowercase();
        match row.parked_streams {
            0 => status,
            parked => format!("{status}, {parked} parked"),
        }
    };
    let lag = |row: &ProjectionStatus| {
        let seconds = row.lag_ms as f64 / 1e3;
        format!("{} events, {seconds:.1} s", row.lag_events)
    };
    let cells = rows.iter().map(|row| {
        [
            row.name.to_owned(),
            stands(row),
            row.generation.to_string(),
            row.position.to_string(),
            lag(row),
            row.error.clone().unwrap_or_default(),
        ]
    });
    table(head, cells)
}

/// Events that could not be taken in.
pub(super) fn failed(rows: &[FailedEvent]) -> Vec<String> {
    let head = ["READ MODEL", "POSITION", "STANDS", "TRIED", "ERROR"];
    let stands = |row: &FailedEvent| match (&row.skipped, row.blocks, &row.parked) {
        (_, _, Some((kind, id))) => format!("parked: {kind} {id}"),
        (Some((by, why, _)), ..) => format!("skipped by {by}: {why}"),
        (None, true, None) => "stopped here".to_owned(),
        (None, false, None) => "over".to_owned(),
    };
    let cells = rows.iter().map(|row| {
        [
            row.projection.clone(),
            row.position.to_string(),
            stands(row),
            row.attempts.to_string(),
            row.error.lines().next().unwrap_or_default().to_owned(),
        ]
    });
    table(head, cells)
}

/// Rebuilds.
pub(super) fn rebuilds(rows: &[RebuildStatus]) -> Vec<String> {
    let head = [
        "READ MODEL",
        "GENERATION",
        "MODE",
        "PHASE",
        "EVENTS",
        "EVENTS/S",
        "LEFT",
        "ASKED BY",
        "WHY NOT",
    ];
    let phase = |row: &RebuildStatus| match row.paused && !row.is_over() {
        true => format!("{}, paused", row.phase),
        false => row.phase.clone(),
    };
    let why_not = |row: &RebuildStatus| {
        let first = row.difference.as_ref().map(ToString::to_string);
        first.or(row.error.clone()).unwrap_or_default()
    };
    let cells = rows.iter().map(|row| {
        [
            row.projection.clone(),
            row.generation.to_string(),
            row.mode.clone(),
            phase(row),
            format!("{}/{}", row.done_events, row.to_position),
            row.events_per_second
                .map_or_else(String::new, |rate| format!("{rate:.0}")),
            row.eta()
                .map_or_else(String::new, |left| format!("{} s", left.as_secs())),
            row.asked_by.clone().unwrap_or_default(),
            why_not(row),
        ]
    });
    table(head, cells)
}

/// Generations.
pub(super) fn generations(rows: &[Generation]) -> Vec<String> {
    let head = [
        "READ MODEL",
        "GENERATION",
        "VERSION",
        "STATE",
        "POSITION",
        "BEGUN",
    ];
    let cells = rows.iter().map(|row| {
        [
            row.projection.clone(),
            row.generation.to_string(),
            row.version.to_string(),
            row.state.clone(),
            row.position.to_string(),
            time(row.created_at),
        ]
    });
    table(head, cells)
}

/// Who decided what.
pub(super) fn decisions(rows: &[Decision]) -> Vec<String> {
    let head = [
        "WHEN",
        "WHO",
        "WHAT",
        "READ MODEL",
        "GENERATION",
        "POSITION",
        "WHY",
    ];
    let number = |n: Option<i64>| n.map_or_else(String::new, |n| n.to_string());
    let cells = rows.iter().map(|row| {
        [
            time(row.at),
            row.by.clone(),
            row.action.clone(),
            row.projection.clone(),
            number(row.generation.map(i64::from)),
            number(row.position.map(|position| position.0)),
            row.reason.clone().unwrap_or_default(),
        ]
    });
    table(head, cells)
}
