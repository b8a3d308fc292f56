//! Made-up years of releases, of the shape of GOV.UK's in 2024, as files that `daybook import` reads.
//!
//! A release goes to integration, nearly always to staging and mostly to production; one of a hundred is
//! taken back. A few of those who deploy are people. Every second production deployment of some services
//! tells which changes it brought in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::traffic::Chance;

/// Deployments of a year in all environments.
pub const YEAR_DEPLOYMENTS: usize = 35_087;

/// Services; one is released the more often the lower its number.
const SERVICES: u32 = 60;

/// Services that tell of changes: every second production deployment of one brings in two.
const TELLING: u32 = 10;

/// Deployments of a release, on average and a little less, so that the last falls into the year.
const RELEASE_ROWS: f64 = 2.3;

/// Of so many deployments one is a person's.
const PEOPLE_EVERY: u64 = 1_200;

/// Files of one year.
pub struct Year {
    /// Deployments, in order of time.
    pub deployments: PathBuf,
    /// How many.
    pub count: usize,
    /// Changes that they brought in.
    pub changes: PathBuf,
    /// How many.
    pub change_count: usize,
}

/// A deployment; its id is made of it.
struct Row {
    at: DateTime<Utc>,
    environment: &'static str,
    service: u32,
    before: u32,
    tag: u32,
    id: String,
}

/// The name of the n-th service.
pub fn service(n: u32) -> String {
    format!("service-{n:02}")
}

/// The first moment of a year.
pub fn new_year(year: i32) -> DateTime<Utc> {
    let day = DateTime::UNIX_EPOCH.with_year(year);
    day.expect("each year has a first day")
}

/// Writes about so many deployments of a year; the same files each time.
pub fn write_year(dir: &Path, year: i32, count: usize) -> anyhow::Result<Year> {
    std::fs::create_dir_all(dir)?;
    let mut chance = Chance::new(year.unsigned_abs().into());
    let rows = rows(&mut chance, year, count);
    let mut deployments = String::from(
        "deployment_id,deployed_at,environment,service,previous_tag,image_tag,author,subject\n",
    );
    let mut changes =
        String::from("deployment_id,service,deployed_at,change_sha,authored_at,committed_at\n");
    let mut change_count = 0;
    for row in &rows {
        let person = chance.bits().is_multiple_of(PEOPLE_EVERY);
        let author = if person { "Ada Lovelace" } else { "govuk-ci" };
        let (id, at, service) = (&row.id, stamp(row.at), service(row.service));
        let (environment, before, tag) = (row.environment, row.before, row.tag);
        writeln!(
            deployments,
            "{id},{at},{environment},{service},v{before},v{tag},{author},\
             Update {service} image tag to v{tag} for {environment}"
        )?;
        let tells = row.service < TELLING && tag.is_multiple_of(2);
        if environment == "production" && tells && tag > before {
            for _ in 0..2 {
                let committed = row.at - TimeDelta::seconds(chance.within(9e2, 9e5) as i64);
                let authored = stamp(committed - TimeDelta::hours(1));
                let (sha, committed) = (sha(&mut chance), stamp(committed));
                writeln!(changes, "{id},{service},{at},{sha},{authored},{committed}")?;
                change_count += 1;
            }
        }
    }
    let year = Year {
        deployments: dir.join(format!("deployments-{year}.csv")),
        count: rows.len(),
        changes: dir.join(format!("changes-{year}.csv")),
        change_count,
    };
    std::fs::write(&year.deployments, deployments)?;
    std::fs::write(&year.changes, changes)?;
    Ok(year)
}

fn rows(chance: &mut Chance, year: i32, count: usize) -> Vec<Row> {
    let from = new_year(year);
    let seconds = (new_year(year + 1) - from).num_seconds() as f64;
    let apart_s = seconds * RELEASE_ROWS / count as f64;
    let mut released = from;
    let mut tags = [1u32; SERVICES as usize];
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    while rows.len() < count {
        // Squared: the first ones are released ten times as often as the last.
        let service = (chance.within(0.0, 1.0).powi(2) * f64::from(SERVICES)) as u32;
        let tag = &mut tags[service as usize];
        *tag += 1;
        released += TimeDelta::seconds(chance.within(0.0, 2.0 * apart_s) as i64);
        let mut at = released;
        let mut add = |chance: &mut Chance, at, environment, before, tag| {
            let id = sha(chance);
            rows.push(Row {
                at,
                environment,
                service,
                before,
                tag,
                id,
            });
        };
        for (environment, share) in [("integration", 1.0), ("staging", 0.7), ("production", 0.96)] {
            if chance.within(0.0, 1.0) > share {
                break;
            }
            add(chance, at, environment, *tag - 1, *tag);
            at += TimeDelta::seconds(chance.within(60.0, 900.0) as i64);
            if environment == "production" && chance.bits().is_multiple_of(110) {
                at += TimeDelta::seconds(chance.within(0.0, 1e5) as i64);
                add(chance, at, environment, *tag, *tag - 1);
            }
        }
    }
    rows.truncate(count);
    rows.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    rows
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn sha(chance: &mut Chance) -> String {
    let (a, b, c) = (chance.bits(), chance.bits(), chance.bits() as u32);
    format!("{a:016x}{b:016x}{c:08x}")
}
