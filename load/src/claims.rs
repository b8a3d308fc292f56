//! What the five sources say of themselves. These figures are theirs: none was measured by us, on no machine
//! that we know, and none is ours.

use serde::Serialize;

use crate::scenario::Scenario;

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Of {
    /// Requests a second.
    Rate,
    /// The mean of answers, milliseconds.
    MeanMs,
    /// Half of the answers, milliseconds.
    P50Ms,
    /// 95 of 100 answers, milliseconds.
    P95Ms,
    /// 99 of 100 answers, milliseconds.
    P99Ms,
    /// Share of requests that fail, percent.
    FailedPercent,
    /// Memory of the server under load, MiB.
    MemoryMib,
    /// Processors that the server keeps busy.
    Cores,
    /// Connections of the server to its database.
    DatabaseConnections,
    /// Memory of the server's Redis, MiB: another process, which this tool does not see.
    RedisMib,
    /// Users, vehicles or places.
    Users,
    /// Sockets open at once.
    Sockets,
    /// Records in a batch.
    BatchRecords,
}

/// What a source says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// Which.
    pub source: &'static str,
    /// Of what.
    pub of: Of,
    /// In its words.
    pub text: &'static str,
}

const S0: &[Claim] = &[claim("S0", Of::Users, "95+ locations")];

const S2: &[Claim] = &[
    claim("S2", Of::Users, "1,000 users for 5 minutes"),
    claim("S2", Of::Rate, "1,200 requests/s"),
    claim("S2", Of::MeanMs, "15 ms"),
    claim("S2", Of::P95Ms, "45 ms"),
    claim("S2", Of::P99Ms, "120 ms"),
    claim("S2", Of::FailedPercent, "0.1 %"),
    claim("S2", Of::MemoryMib, "~100 MB at 1,000 requests/s"),
    claim("S2", Of::Cores, "~20 % of 4 cores"),
    claim("S2", Of::DatabaseConnections, "~50 connections"),
    claim("S2", Of::RedisMib, "~50 MB"),
];

const S3: &[Claim] = &[claim("S3", Of::BatchRecords, "1,000 records a batch")];

const S4: &[Claim] = &[
    claim("S4", Of::Rate, "100,000+ requests/s"),
    claim("S4", Of::P50Ms, "< 10 ms"),
    claim("S4", Of::P95Ms, "< 50 ms"),
    claim("S4", Of::P99Ms, "< 100 ms"),
    claim("S4", Of::MemoryMib, "20 MB, 100 MB under load"),
];

const SOCKETS: &[Claim] = &[claim("S4", Of::Sockets, "10,000+ connections")];

const fn claim(source: &'static str, of: Of, text: &'static str) -> Claim {
    Claim { source, of, text }
}

/// What is claimed for a load like this; nothing where no source says anything.
pub fn of(scenario: Scenario) -> &'static [Claim] {
    match scenario {
        Scenario::S0 => S0,
        Scenario::S2 => S2,
        Scenario::S3 | Scenario::Ingest => S3,
        Scenario::S4 => S4,
        Scenario::Subscriptions => SOCKETS,
        Scenario::S1 | Scenario::Mixed => &[],
    }
}

impl Of {
    /// What it is, for people.
    pub fn name(self) -> &'static str {
        match self {
            Of::Rate => "requests/s",
            Of::MeanMs => "mean",
            Of::P50Ms => "p50",
            Of::P95Ms => "p95",
            Of::P99Ms => "p99",
            Of::FailedPercent => "failed",
            Of::MemoryMib => "memory of the server",
            Of::Cores => "processors of the server",
            Of::DatabaseConnections => "connections to the database",
            Of::RedisMib => "memory of Redis",
            Of::Users => "users, vehicles or places",
            Of::Sockets => "sockets open at once",
            Of::BatchRecords => "records in a batch",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_profile_of_a_source_shows_that_source_alone_and_each_figure_once() {
        for scenario in Scenario::value_variants() {
            let claims = of(*scenario);
            for (n, claim) in claims.iter().enumerate() {
                assert!(claims[..n].iter().all(|other| other.of != claim.of));
            }
            if let Some(digit) = scenario.name().strip_prefix('s').filter(|d| d.len() == 1) {
                let source = format!("S{digit}");
                assert!(claims.iter().all(|claim| claim.source == source));
            }
        }
    }

    #[test]
    fn the_claims_that_have_figures_are_there() {
        let texts = |scenario| -> Vec<&str> { of(scenario).iter().map(|c| c.text).collect() };
        assert!(texts(Scenario::S2).contains(&"1,200 requests/s"));
        assert!(texts(Scenario::S4).contains(&"100,000+ requests/s"));
        assert!(texts(Scenario::Mixed).is_empty(), "no source claims this");
    }
}
