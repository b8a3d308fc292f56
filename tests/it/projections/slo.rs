//! How far objectives are met, over histories made by hand: one clause of the definitions each.

mod figures;
mod freshness;
mod independent;
mod waiting;

use chrono::{DateTime, Utc};
use domain::Position;
use domain::deployment::{DeploymentRecorded, Status};
use domain::slo::{Method, Objective, Sli, SloScope, Window};
use projections::slo::{
    Attainment, Counted, Known, SampleKind, SampleRow, SloQuery, evidence, measure,
};

use super::releases::ran;
use super::scene::{at, snapshot};
use crate::support::TestDb;

/// Nine of ten take two minutes at most, over 30 days.
fn nine_of_ten(sli: Sli) -> Objective {
    Objective {
        name: "nine of ten".to_owned(),
        sli,
        scope: SloScope::default(),
        objective_ppm: 900_000,
        window: Window::Rolling { days: 30 },
        method: Method::Occurrences {},
        threshold_seconds: 120,
        percentile_ppm: None,
        min_events: 1,
    }
}

fn week_of(zone: &str) -> Window {
    Window::CalendarWeek {
        zone: zone.to_owned(),
    }
}

/// Slices of an hour, of which so many parts per million are to be good.
fn hours(slice_objective_ppm: u32) -> Method {
    Method::Timeslices {
        slice_minutes: 60,
        slice_objective_ppm,
    }
}

/// Asked at a time, as known now.
fn asked(objective: Objective, time: &str) -> SloQuery {
    SloQuery {
        objective,
        excluded: vec![],
        at: at(time),
        known_at: None,
    }
}

/// The same as known when the log had come so far.
fn known(query: &SloQuery, position: i64, time: &str) -> SloQuery {
    let known = Known {
        position: Position(position),
        at: at(time),
    };
    SloQuery {
        known_at: Some(known),
        ..query.clone()
    }
}

async fn measured(db: &TestDb, query: &SloQuery) -> Attainment {
    let mut snap = snapshot(db).await;
    measure(&mut snap, query).await.unwrap()
}

/// So many, and so many of them good.
fn of(total: i64, good: i64) -> Counted {
    Counted { total, good }
}

/// All samples of a kind, taken two at a time.
async fn behind(db: &TestDb, query: &SloQuery, of: SampleKind) -> Vec<SampleRow> {
    let mut snap = snapshot(db).await;
    let mut rows: Vec<SampleRow> = Vec::new();
    loop {
        let after = rows.last().map(Into::into);
        let page = evidence(&mut snap, query, of, after.as_ref(), 2);
        let page = page.await.unwrap();
        rows.extend(page.items);
        if !page.has_next {
            return rows;
        }
    }
}

/// The evidence is as much as the figures count, and says the same.
async fn check_evidence(db: &TestDb, query: &SloQuery) {
    let told = measured(db, query).await;
    let count = async |kind| i64::try_from(behind(db, query, kind).await.len()).unwrap();
    let good = count(SampleKind::Good).await;
    let bad = count(SampleKind::Bad).await;
    assert_eq!(told.samples, of(good + bad, good));
    assert_eq!(told.negative, count(SampleKind::Negative).await);
    assert_eq!(told.open, count(SampleKind::Open).await);
}

/// A deployment of the shop's cart to production that ran from then to then.
fn took(started: &str, finished: &str) -> DeploymentRecorded {
    DeploymentRecorded {
        started_at: Some(at(started)),
        ..ran("cart", finished, finished)
    }
}

/// It came to nothing.
fn failed(told: DeploymentRecorded) -> DeploymentRecorded {
    DeploymentRecorded {
        status: Status::Failed,
        ..told
    }
}

/// The time of day on 10 February 2026, a Tuesday.
fn tuesday(clock: &str) -> String {
    format!("2026-02-10T{clock}:00Z")
}

fn instant(clock: &str) -> DateTime<Utc> {
    at(&tuesday(clock))
}
