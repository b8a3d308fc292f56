//! Q1: checking quotas in memory, on one core.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Instant;

use daybook::config::Settings;
use daybook::limits::Limiter;
use daybook::ops::Clock;

use super::cpu::Cpu;
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::stand::Stand;

/// Checks of a round.
const CHECKS: usize = 1_000_000;

/// Addresses that take turns: most are remembered, some are new.
const ADDRESSES: u32 = 50_000;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (checks, rounds) = (stand.size(CHECKS), stand.rounds());
    let rows = tokio::task::spawn_blocking(move || rows(checks, rounds));
    rows.await.map_err(Into::into)
}

fn rows(checks: usize, rounds: usize) -> Vec<Row> {
    let mut compared = Rounds::default();
    for _ in 0..rounds {
        let settings = Settings::default().limits;
        let limiter = Limiter::start(&settings, None, [7; 32], Clock::system());
        compared.ours.push(round(checks, |address| {
            std::hint::black_box(limiter.address(address));
        }));
        let windows = Mutex::new(HashMap::<IpAddr, (u64, u32)>::new());
        let clock = Clock::system();
        compared.reference.push(round(checks, |address| {
            let minute = clock.now().timestamp().unsigned_abs() / 60;
            let mut windows = windows.lock().expect("nobody panics with it");
            let (of, count) = windows.entry(address).or_default();
            if *of != minute {
                (*of, *count) = (minute, 0);
            }
            *count += 1;
            std::hint::black_box(*count <= settings.address_per_minute);
        }));
    }
    vec![compared.row(
        "limiter checks, against windows in one locked map",
        "checks/s",
        Goal::OursAtLeast(1e6),
        Round::rate,
    )]
}

fn round(checks: usize, mut check: impl FnMut(IpAddr)) -> Round {
    let own = std::process::id();
    let (before, began) = (Cpu::of(own, None), Instant::now());
    let mut drawn = 1u32;
    for _ in 0..checks {
        // Any order will do that is not that of the map.
        drawn = drawn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        check(Ipv4Addr::from_bits(0xcb00_0000 + (drawn >> 8) % ADDRESSES).into());
    }
    Round {
        units: checks as f64,
        seconds: began.elapsed().as_secs_f64(),
        cpu: Cpu::of(own, None) - before,
        latencies_us: Vec::new(),
    }
}
