//! Live, rebuilt and a fold in memory are the same rows, whatever happened and however it was cut.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::{Event, Position, Recorded};
use futures::StreamExt as _;
use projections::{AnyProjection, Filling, Target, digest};

use super::order::story;
use super::scene::{at, create_tables, write, write_as};
use crate::support::{Dice, TestDb};

/// Random histories, each through every read model.
const CASES: u64 = 256;

/// Events of a history, at most.
const EVENTS_MAX: usize = 40;

/// Histories looked at side by side.
const CASES_AT_ONCE: usize = 4;

/// Generations: one that followed, one that was rebuilt, one that was folded in memory.
const LIVE: i32 = 1;
const REBUILT: i32 = 2;
const PURE: i32 = 3;

/// A number below `n`.
fn below(dice: &mut Dice, n: usize) -> usize {
    usize::try_from(dice.below(n as u64)).unwrap()
}

/// Cuts a log into batches of random lengths, at most so many.
fn cut<'l>(dice: &mut Dice, log: &'l [Recorded<Event>], most: usize) -> Vec<&'l [Recorded<Event>]> {
    let mut batches = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let length = if batches.len() + 1 == most {
            rest.len()
        } else {
            below(dice, rest.len()) + 1
        };
        let (batch, left) = rest.split_at(length);
        batches.push(batch);
        rest = left;
    }
    batches
}

/// The log of a tenant of its own: some of what can happen, in an order that may not.
fn history(dice: &mut Dice, tenant: &str, all: &[Recorded<Event>]) -> Vec<Recorded<Event>> {
    let tenant: Arc<str> = tenant.into();
    let events = below(dice, EVENTS_MAX) + 1;
    let picked = (1..=events as i64).map(|position| {
        let event = &all[below(dice, all.len())];
        Recorded {
            tenant: tenant.clone(),
            position: Position(position),
            sequence: position,
            recorded_at: at("2016-01-01T00:00:00Z") + TimeDelta::seconds(position),
            ..event.clone()
        }
    });
    picked.collect()
}

async fn digest_of(
    db: &TestDb,
    projection: &dyn AnyProjection,
    (tenant, generation): (&str, i32),
) -> String {
    let mut conn = db.pool().acquire().await.unwrap();
    let target = Target { tenant, generation };
    digest(&mut conn, projection, &target).await.unwrap()
}

/// One history through every read model in three ways.
async fn check(db: &TestDb, all: &[Recorded<Event>], seed: u64) {
    let mut dice = Dice::from_seed(seed);
    let tenant = format!("case{seed}");
    let log = history(&mut dice, &tenant, all);
    for projection in projections::all() {
        for batch in cut(&mut dice, &log, 4) {
            write(db, &*projection, LIVE, batch).await;
        }
        let mut ranges = cut(&mut dice, &log, 3);
        let filling = Filling::default();
        while !ranges.is_empty() {
            let range = ranges.swap_remove(below(&mut dice, ranges.len()));
            write_as(db, &*projection, REBUILT, range, Some(&filling)).await;
        }
        write(db, &*projection, PURE, &log).await;
        let of = async |generation| digest_of(db, &*projection, (&tenant, generation)).await;
        let pure = of(PURE).await;
        let name = projection.name();
        assert_eq!(of(LIVE).await, pure, "{name} live, seed {seed}: {log:#?}");
        assert_eq!(
            of(REBUILT).await,
            pure,
            "{name} rebuilt, seed {seed}: {log:#?}"
        );
    }
}

#[tokio::test]
async fn live_is_rebuilt_is_folded_for_256_random_histories() {
    let db = TestDb::create().await;
    for projection in projections::all() {
        for generation in [LIVE, REBUILT, PURE] {
            create_tables(&db, &*projection, generation).await;
        }
    }
    let all = story();
    let cases = futures::stream::iter(0..CASES).map(|seed| check(&db, &all, seed));
    cases.buffer_unordered(CASES_AT_ONCE).count().await;
}
