//! Logs to read: many fixes in packed events, or events of all kinds with a fix each.

use std::sync::Arc;

use chrono::DateTime;
use daybook::store::{Append, Basis, NewEvent, Store, StreamWrite};
use domain::fleet::Fleet;
use domain::track::{PositionsReported, Track, TrackEvent};
use domain::vehicle::Vehicle;
use domain::{Event, StreamKey};
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::traffic::Bus;

/// Vehicles of a log.
const BUSES: usize = 400;

/// What the events are like.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Each holds this many fixes of one vehicle.
    Packed {
        /// How many.
        fixes: usize,
    },
    /// Of five, three hold one fix, one is a vehicle's and one a fleet's.
    Mixed,
}

/// Fills a log with so many events. Read models must be able to fold every one.
pub async fn fill(
    store: &Store,
    tenant: &Arc<str>,
    kind: Kind,
    events: usize,
) -> anyhow::Result<()> {
    let from = DateTime::from_timestamp(1_480_000_000, 0).expect("a time");
    let mut buses: Vec<Bus> = (0..BUSES as u64).map(|n| Bus::new(n, from)).collect();
    let rounds = events.div_ceil(BUSES);
    for round in 0..rounds {
        let writes = buses
            .iter_mut()
            .enumerate()
            .map(|(n, bus)| write(kind, n, round, bus));
        let writes: Vec<StreamWrite> = writes.collect();
        // Eight appends a round: each has streams of its own, so they go in any order.
        let mut appends: Vec<Append> = (0..8).map(|_| append()).collect();
        for (n, write) in writes.into_iter().enumerate() {
            appends[n % 8].writes.push(write);
        }
        futures::stream::iter(
            appends
                .into_iter()
                .map(|append| store.append(tenant, append)),
        )
        .buffer_unordered(8)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    }
    Ok(())
}

fn write(kind: Kind, n: usize, round: usize, bus: &mut Bus) -> StreamWrite {
    let fixes = match kind {
        Kind::Packed { fixes } => fixes,
        Kind::Mixed => 1,
    };
    let named = |text: &str| format!(r#"{{"name":"{text} {n} after {round} changes"}}"#);
    let profile = || format!(r#"{{"profile":{}}}"#, named("Bus"));
    let (stream, event_type, payload) = match (kind, n % 5) {
        (Kind::Mixed, 3) if round == 0 => {
            let payload = format!(r#"{{"profile":{},"onFirstReport":false}}"#, named("Bus"));
            (
                StreamKey::of::<Vehicle>(&bus.id),
                "vehicle.registered",
                payload,
            )
        }
        (Kind::Mixed, 3) => (
            StreamKey::of::<Vehicle>(&bus.id),
            "vehicle.profile_changed",
            profile(),
        ),
        (Kind::Mixed, 4) => {
            let event_type = if round == 0 {
                "fleet.created"
            } else {
                "fleet.renamed"
            };
            (StreamKey::of::<Fleet>(&bus.id), event_type, named("Fleet"))
        }
        _ => {
            let reported = PositionsReported {
                vehicle_id: bus.id.clone(),
                fixes: (0..fixes).map(|_| bus.fix()).collect(),
            };
            let event = Event::Track(TrackEvent::PositionsReported(reported));
            let payload = event.payload().expect("plain data");
            (
                StreamKey::of::<Track>(&bus.id),
                "track.positions_reported",
                payload,
            )
        }
    };
    StreamWrite {
        stream,
        expected: round as i64,
        events: vec![NewEvent {
            event_id: Uuid::now_v7(),
            event_type,
            event_version: "1",
            payload,
        }],
        basis: Basis::default(),
    }
}

fn append() -> Append {
    Append {
        command_id: Uuid::now_v7(),
        fingerprint: [0; 16],
        remembered: false,
        writes: Vec::new(),
        claims: Vec::new(),
        rejected: Vec::new(),
        receipt: None,
        metadata: format!(
            r#"{{"actor":"feed:bench","command_id":"{}"}}"#,
            Uuid::now_v7()
        ),
    }
}
