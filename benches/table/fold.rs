//! P10: folding position reports into the heat map, on one core.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use domain::track::{PositionsReported, TrackEvent};
use domain::{Event, Metadata, Position, Recorded};
use h3o::{LatLng, Resolution};
use projections::AnyProjection;
use uuid::Uuid;

use super::cpu::Cpu;
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::stand::Stand;
use super::traffic::Bus;

/// Points of a round.
const POINTS: usize = 1_000_000;

/// Fixes of one packed event.
const FIXES_PER_EVENT: usize = 50;

/// Buses that take turns.
const BUSES: usize = 400;

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (points, rounds) = (stand.size(POINTS), stand.rounds());
    tokio::task::spawn_blocking(move || rows(points, rounds))
        .await
        .map_err(Into::into)
}

fn rows(points: usize, rounds: usize) -> Vec<Row> {
    let heatmap = projections::all()
        .into_iter()
        .find(|p| p.name() == projections::heatmap::NAME)
        .expect("the heat map is a read model");
    let events = events(points);
    let stored: Vec<String> = events
        .iter()
        .map(|e| e.event.payload().expect("events are plain data"))
        .collect();
    let (mut fold, mut decode_fold) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        fold.ours
            .push(round(points, || fold_all(&heatmap, &events)));
        let encode = round(points, || encode_all(&events));
        fold.reference.push(encode.clone());
        decode_fold
            .ours
            .push(round(points, || decode_all(&heatmap, &events, &stored)));
        decode_fold.reference.push(encode);
    }
    let million = Goal::OursAtLeast(1e6);
    vec![
        fold.row(
            "heat map fold, against encoding to H3 alone",
            "points/s",
            million,
            Round::rate,
        ),
        decode_fold.row(
            "the same with decoding stored events",
            "points/s",
            Goal::Shown,
            Round::rate,
        ),
    ]
}

/// Events as a rebuild sees them: of all buses in turn.
fn events(points: usize) -> Vec<Recorded<Event>> {
    let from = DateTime::from_timestamp(1_480_000_000, 0).expect("a time");
    let mut buses: Vec<Bus> = (0..BUSES as u64).map(|n| Bus::new(n, from)).collect();
    let event = |n: usize| {
        let bus = &mut buses[n % BUSES];
        let reported = PositionsReported {
            vehicle_id: bus.id.clone(),
            fixes: (0..FIXES_PER_EVENT).map(|_| bus.fix()).collect(),
        };
        recorded(n, from, reported)
    };
    (0..points.div_ceil(FIXES_PER_EVENT)).map(event).collect()
}

fn recorded(n: usize, at: DateTime<Utc>, reported: PositionsReported) -> Recorded<Event> {
    Recorded {
        tenant: "default".into(),
        position: Position(n as i64 + 1),
        aggregate_type: "track".into(),
        aggregate_id: reported.vehicle_id.as_str().into(),
        sequence: 1,
        event_id: Uuid::nil(),
        recorded_at: at,
        metadata: Metadata::default(),
        event: Event::Track(TrackEvent::PositionsReported(reported)),
    }
}

fn round(points: usize, work: impl FnOnce()) -> Round {
    let own = std::process::id();
    let (before, began) = (Cpu::of(own, None), Instant::now());
    work();
    Round {
        units: points as f64,
        seconds: began.elapsed().as_secs_f64(),
        cpu: Cpu::of(own, None) - before,
        latencies_us: Vec::new(),
    }
}

fn fold_all(heatmap: &Arc<dyn AnyProjection>, events: &[Recorded<Event>]) {
    let mut delta = heatmap.delta();
    for event in events {
        heatmap
            .fold(&mut delta, event)
            .expect("every fix is a place");
    }
    std::hint::black_box(heatmap.rows(&delta));
}

fn decode_all(heatmap: &Arc<dyn AnyProjection>, events: &[Recorded<Event>], stored: &[String]) {
    let mut delta = heatmap.delta();
    for (event, payload) in events.iter().zip(stored) {
        let decoded = Recorded {
            event: Event::decode("track.positions_reported", "1", payload).expect("it was encoded"),
            metadata: Metadata::default(),
            tenant: event.tenant.clone(),
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            ..*event
        };
        heatmap
            .fold(&mut delta, &decoded)
            .expect("every fix is a place");
    }
    std::hint::black_box(heatmap.rows(&delta));
}

/// What no fold can do without: each point's cell.
fn encode_all(events: &[Recorded<Event>]) {
    let mut sum = 0u64;
    for event in events {
        let Event::Track(TrackEvent::PositionsReported(reported)) = &event.event else {
            continue;
        };
        for fix in &reported.fixes {
            let place = LatLng::new(fix.lat, fix.lon).expect("a place");
            sum = sum.wrapping_add(u64::from(place.to_cell(Resolution::Nine)));
        }
    }
    std::hint::black_box(sum);
}
