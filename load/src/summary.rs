//! What a run comes to, as it is written down.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::calls::logs;
use crate::claims::{self, Claim, Of};
use crate::figures::{Figures, NOT_ANSWERED, NOT_SENT, Operation, per_second};
use crate::latency::Latency;
use crate::options::Options;
use crate::resources::Taken;
use crate::scenario::Scenario;
use crate::subscribers::Deliveries;

/// All of it. Times are milliseconds, but where their name says otherwise.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What was asked.
    pub scenario: &'static str,
    /// Of whom.
    pub url: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// What data and choices followed from.
    pub seed: u64,
    /// Vehicles and people, or sockets.
    pub users: u32,
    /// Requests under way at once, at most.
    pub concurrency: u32,
    /// Requests a second that were due, if that was said.
    pub rate: Option<f64>,
    /// How long the load grew, seconds.
    pub ramp_up_s: f64,
    /// Requests while it grew; they are in none of the figures.
    pub ramp_up_requests: u64,
    /// Those of them that failed.
    pub ramp_up_failed: u64,
    /// How long was measured, until the end or until it was ended, seconds.
    pub measured_s: f64,
    /// Was it ended early?
    pub ended_early: bool,
    /// All operations as one.
    pub overall: Line,
    /// Each by itself.
    pub operations: Vec<Line>,
    /// What came on sockets, if there were any.
    pub deliveries: Option<Deliveries>,
    /// What the server took, if it was told which process it is.
    pub server: Option<Taken>,
    /// What this program took of the same machine.
    pub own: Option<Taken>,
    /// Connections to the database that the server holds for queries, by its own figures at the end.
    pub database_connections: Option<f64>,
    /// What others claim of themselves, and ours beside it.
    pub claims: Vec<Beside>,
    /// What whoever reads this should know.
    pub notes: Vec<String>,
    /// Which share might fail.
    pub max_failures: f64,
    /// Did no more fail than that, and was anything asked?
    pub passed: bool,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Which.
    pub operation: &'static str,
    /// How many were answered, or could not be.
    pub requests: u64,
    /// Those that were answered well.
    pub successes: u64,
    /// The others.
    pub failed: u64,
    /// By code.
    pub failures: BTreeMap<String, u64>,
    /// Good answers that came while it was measured, a second: what is refused at once must not look fast,
    /// and what is answered after the end must not make the rest look slow.
    pub per_second: f64,
    /// Records of these a second, where they come in batches; else as many as answers.
    pub units_per_second: f64,
    /// Of those that were answered well.
    #[serde(flatten)]
    pub took: Latency,
}

/// A claim, and what was measured here.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Beside {
    /// Whose claim it is.
    pub claimed_by: &'static str,
    /// Of what.
    pub of: Of,
    /// In their words.
    pub claim: &'static str,
    /// Ours, in this run; none if it was not measured.
    pub ours: Option<f64>,
}

/// What a run left.
pub struct Outcome {
    /// What came while the load grew.
    pub ramp_up: Figures,
    /// What came after that.
    pub measured: Figures,
    /// How long that was.
    pub took: Duration,
    /// Was it ended early?
    pub ended_early: bool,
    /// When it began.
    pub began: String,
    /// Whom it asked.
    pub url: String,
    /// What came on sockets.
    pub deliveries: Option<Deliveries>,
    /// What the server took.
    pub server: Option<Taken>,
    /// What this program took.
    pub own: Option<Taken>,
    /// Connections to the database that the server holds for queries, by its own figures.
    pub database_connections: Option<f64>,
}

impl Summary {
    /// Of a run as it was asked for.
    pub fn of(options: &Options, outcome: Outcome) -> Summary {
        let seconds = outcome.took.as_secs_f64();
        let overall = Line::of("all", &outcome.measured.overall(), seconds);
        let before = outcome.ramp_up.overall();
        let operations = outcome.measured.operations.iter();
        let mut summary = Summary {
            scenario: options.scenario.name(),
            url: outcome.url,
            began: outcome.began,
            seed: options.seed,
            users: options.users,
            concurrency: options.concurrency,
            rate: options.rate,
            ramp_up_s: options.ramp_up.as_secs_f64(),
            ramp_up_requests: before.successes() + before.failed(),
            ramp_up_failed: before.failed(),
            measured_s: seconds,
            ended_early: outcome.ended_early,
            operations: operations
                .map(|(name, figures)| Line::of(name, figures, seconds))
                .collect(),
            deliveries: outcome.deliveries,
            server: outcome.server,
            own: outcome.own,
            database_connections: outcome.database_connections,
            claims: Vec::new(),
            notes: Vec::new(),
            max_failures: options.max_failures,
            passed: false,
            overall,
        };
        let claims = claims::of(options.scenario).iter();
        summary.claims = claims
            .map(|claim| summary.beside(claim, options.scenario))
            .collect();
        summary.passed = summary.is_passed();
        summary.notes = summary.noted();
        summary
    }

    fn beside(&self, claim: &Claim, scenario: Scenario) -> Beside {
        let all = &self.overall;
        let ours = match claim.of {
            Of::Rate => Some(all.per_second),
            Of::MeanMs => all.took.mean_ms,
            Of::P50Ms => all.took.p50_ms,
            Of::P95Ms => all.took.p95_ms,
            Of::P99Ms => all.took.p99_ms,
            Of::FailedPercent => (all.requests > 0).then(|| all.failed_share() * 100.0),
            Of::MemoryMib => self.server.map(|server| server.resident_max_mib),
            Of::Cores => self.server.map(|server| server.cores),
            Of::DatabaseConnections => self.database_connections,
            Of::RedisMib => None,
            Of::Users => Some(self.users.into()),
            Of::Sockets => self.deliveries.as_ref().map(|d| d.open as f64),
            Of::BatchRecords => {
                matches!(scenario, Scenario::S3 | Scenario::Ingest).then_some(logs::BATCH as f64)
            }
        };
        Beside {
            claimed_by: claim.source,
            of: claim.of,
            claim: claim.text,
            ours,
        }
    }

    fn is_passed(&self) -> bool {
        let told = self.deliveries.as_ref().is_none_or(|deliveries| {
            let missing = deliveries.missing.unwrap_or(0) as f64;
            let expected = deliveries.expected.unwrap_or(0).max(1) as f64;
            deliveries.open == deliveries.opened && missing / expected <= self.max_failures
        });
        self.overall.requests > 0 && self.overall.failed_share() <= self.max_failures && told
    }

    fn noted(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let all = &self.overall;
        if all.requests == 0 {
            notes.push(
                "Nothing was measured: the run ended before the load was as it shall be."
                    .to_owned(),
            );
        }
        if let Some(limited) = all.failures.get("RATE_LIMITED") {
            notes.push(format!(
                "{limited} requests were refused as RATE_LIMITED: this is the server's quota, not its speed. Raise \
                 limits.user_per_minute, limits.address_per_minute and limits.cost_per_minute, or set \
                 limits.enabled to false; sign-ins have limits.sign_ins_per_minute (docs/load.md)."
            ));
        }
        if all.failures.contains_key("NOT_CONNECTED") {
            notes.push("Connections were refused: is the server still there, and http.connections_max high enough?".to_owned());
        }
        if let Some(unanswered) = all.failures.get(NOT_ANSWERED) {
            notes.push(format!(
                "{unanswered} requests were under way when the run was ended and not answered soon after: they count as failed."
            ));
        }
        if let Some(unsent) = all.failures.get(NOT_SENT) {
            notes.push(format!(
                "{unsent} requests that were due were not sent, since all connections waited for answers: they count as failed."
            ));
        }
        if let Some(extra) = self
            .deliveries
            .as_ref()
            .and_then(|d| d.extra)
            .filter(|extra| *extra > 0)
        {
            notes.push(format!(
                "{extra} deliveries came that were not expected: somebody else changes these vehicles, or changes were \
                 made whose requests failed."
            ));
        }
        let is_slow = |rate: &f64| self.measured_s > 0.0 && all.per_second < rate * 0.95;
        if let Some(rate) = self.rate.filter(is_slow) {
            notes.push(format!(
                "{:.1} requests/s were answered well where {rate} were due: the server, or --concurrency {}, is not enough for more.",
                all.per_second, self.concurrency
            ));
        }
        if self.own.is_some_and(|own| own.cores > 0.9) {
            notes.push(
                "This program kept a processor busy: it may be the limit itself (--threads)."
                    .to_owned(),
            );
        }
        if !self.claims.is_empty() {
            notes.push(
                "Claims are the sources' own words about other machines and other work, not measured here and not ours."
                    .to_owned(),
            );
        }
        notes
    }
}

impl Line {
    fn of(operation: &'static str, figures: &Operation, seconds: f64) -> Line {
        let requests = figures.successes() + figures.failed();
        Line {
            operation,
            requests,
            successes: figures.successes(),
            failed: figures.failed(),
            failures: figures.failures.clone(),
            per_second: per_second(figures.in_time, seconds),
            units_per_second: per_second(figures.units, seconds),
            took: Latency::of(&figures.took),
        }
    }

    /// Which share of the requests failed.
    pub fn failed_share(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }
}
