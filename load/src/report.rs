//! The report: as a table for people, as Markdown, as JSON.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::claims::Of;
use crate::latency;
use crate::resources::Taken;
use crate::subscribers::Deliveries;
use crate::summary::{Line, Summary};

/// What columns are called, before those of latencies.
const HEAD: [&str; 6] = [
    "operation",
    "requests",
    "ok",
    "failed",
    "req/s",
    "records/s",
];

/// A table: its head, then its lines.
type Table = Vec<Vec<String>>;

/// Makes sure that a report can be written there, before anything is asked.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).with_context(|| {
        format!(
            "--report {} cannot be written; name a file in a directory that is there and yours",
            path.display()
        )
    })
}

/// Writes the report in the form that the file's ending says.
pub fn write(path: &Path, summary: &Summary) -> anyhow::Result<()> {
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let text = match is_json {
        true => serde_json::to_string_pretty(summary)? + "\n",
        false => markdown(summary),
    };
    fs::write(path, text).with_context(|| format!("--report {} cannot be written", path.display()))
}

/// Writes all reports; only then tells what went wrong in leaving the server, lest the run be lost with it.
pub fn write_all(
    paths: &[PathBuf],
    summary: anyhow::Result<Summary>,
    left: anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let summary = summary?;
    paths.iter().try_for_each(|path| write(path, &summary))?;
    left.map(|()| summary)
}

/// For a terminal.
pub fn text(summary: &Summary) -> String {
    render(summary, aligned)
}

/// For a file that people read.
pub fn markdown(summary: &Summary) -> String {
    format!(
        "# daybook-load: {}\n\n{}",
        summary.scenario,
        render(summary, piped)
    )
}

fn render(summary: &Summary, table: fn(&Table) -> String) -> String {
    let mut parts = vec![headline(summary), table(&operations(summary))];
    let failures = failures(summary);
    if failures.len() > 1 {
        parts.push(table(&failures));
    }
    if let Some(deliveries) = &summary.deliveries {
        parts.push(table(&of_deliveries(deliveries)));
    }
    let processes: Vec<String> = [("server", summary.server), ("this program", summary.own)]
        .into_iter()
        .filter_map(|(name, taken)| taken.map(|taken| of_process(name, taken)))
        .collect();
    if !processes.is_empty() {
        parts.push(processes.join("\n"));
    }
    if !summary.claims.is_empty() {
        parts.push(table(&of_claims(summary)));
    }
    parts.extend(summary.notes.iter().cloned());
    parts.push(verdict(summary));
    parts.join("\n\n") + "\n"
}

fn headline(summary: &Summary) -> String {
    let asked = match summary.rate {
        Some(rate) => format!("{rate} requests/s due"),
        None => "each worker asks again once it was answered".to_owned(),
    };
    let early = match summary.ended_early {
        true => ", ended early",
        false => "",
    };
    format!(
        "{} at {}, from {}: {} users, concurrency {}, seed {}; {asked}.\n\
         Measured for {:.1} s{early}, after {:.1} s in which the load grew ({} requests, {} failed, not in the figures).",
        summary.scenario,
        summary.url,
        summary.began,
        summary.users,
        summary.concurrency,
        summary.seed,
        summary.measured_s,
        summary.ramp_up_s,
        summary.ramp_up_requests,
        summary.ramp_up_failed,
    )
}

fn operations(summary: &Summary) -> Table {
    let mut table = vec![words(&[HEAD, latency::HEADS].concat())];
    table.extend(summary.operations.iter().chain([&summary.overall]).map(row));
    table
}

fn row(line: &Line) -> Vec<String> {
    let mut row = vec![
        line.operation.to_owned(),
        line.requests.to_string(),
        line.successes.to_string(),
        line.failed.to_string(),
        figure(line.per_second),
        figure(line.units_per_second),
    ];
    row.extend(line.took.columns().map(maybe));
    row
}

fn failures(summary: &Summary) -> Table {
    let mut table = vec![words(&["failed", "code", "requests"])];
    for line in &summary.operations {
        for (code, count) in &line.failures {
            table.push(vec![
                line.operation.to_owned(),
                code.clone(),
                count.to_string(),
            ]);
        }
    }
    table
}

fn of_deliveries(told: &Deliveries) -> Table {
    let head = [
        "sockets",
        "open to the end",
        "deliveries",
        "per s",
        "missing",
        "bytes each",
    ];
    let mut row = vec![
        told.opened.to_string(),
        told.open.to_string(),
        told.deliveries.to_string(),
        figure(told.per_second),
        told.missing
            .map_or("not known".to_owned(), |missing| missing.to_string()),
        maybe(told.mean_bytes),
    ];
    row.extend(told.lag.columns().map(maybe));
    vec![words(&[head, latency::HEADS].concat()), row]
}

fn of_process(name: &str, taken: Taken) -> String {
    format!(
        "{name}: memory {} MiB before, at most {} MiB; CPU {} s, {:.2} processors on average.",
        figure(taken.resident_before_mib),
        figure(taken.resident_max_mib),
        figure(taken.cpu_s),
        taken.cores
    )
}

fn of_claims(summary: &Summary) -> Table {
    let mut table = vec![words(&["", "ours, in this run", "claimed"])];
    for beside in &summary.claims {
        table.push(vec![
            beside.of.name().to_owned(),
            beside
                .ours
                .map_or("not measured".to_owned(), |ours| with_unit(ours, beside.of)),
            format!("claimed by {}: {}", beside.claimed_by, beside.claim),
        ]);
    }
    table
}

fn with_unit(value: f64, of: Of) -> String {
    match of {
        Of::MeanMs | Of::P50Ms | Of::P95Ms | Of::P99Ms => format!("{} ms", figure(value)),
        Of::MemoryMib | Of::RedisMib => format!("{} MiB", figure(value)),
        Of::FailedPercent => format!("{value:.2} %"),
        Of::Cores => format!("{value:.2}"),
        Of::Rate => figure(value),
        Of::Users | Of::Sockets | Of::BatchRecords | Of::DatabaseConnections => {
            format!("{value:.0}")
        }
    }
}

fn verdict(summary: &Summary) -> String {
    let share = summary.overall.failed_share() * 100.0;
    let allowed = summary.max_failures * 100.0;
    match summary.passed {
        true => format!("Passed: {share:.2} % failed, {allowed} % may."),
        false => format!(
            "Not passed: {share:.2} % failed, {allowed} % may, something must be asked, and sockets must stay open and be told."
        ),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Three digits that say something.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn maybe(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), figure)
}

/// Columns under each other: figures end at the right, words begin at the left.
fn aligned(table: &Table) -> String {
    let width = |column: usize| {
        let cells = table.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let is_figures = |column: usize| {
        let mut cells = table[1..].iter().map(|row| &row[column]);
        cells.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
    };
    let columns: Vec<(usize, bool)> = (0..table[0].len())
        .map(|column| (width(column), is_figures(column)))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&columns);
        let cells = cells.map(|(cell, (width, is_figures))| match is_figures {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// As Markdown has it.
fn piped(table: &Table) -> String {
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut lines: Vec<String> = table.iter().map(line).collect();
    let rule = vec!["---".to_owned(); table[0].len()];
    lines.insert(1, line(&rule));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
