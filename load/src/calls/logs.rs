//! Log records: handed in one by one and in batches, and looked for.

use serde_json::{Value, json};

use crate::call::Call;
use crate::chance::Chance;
use crate::clock;
use crate::world::World;

/// Records of a batch: what S3's server takes at most, and ours.
pub const BATCH: usize = 1_000;

/// Kinds of records; errors are the rarest.
const TYPES: &[&str] = &[
    "behavioral",
    "behavioral",
    "behavioral",
    "telemetry",
    "telemetry",
    "performance",
    "observability",
    "error",
];

/// What happens in a shop.
const NAMES: &[&str] = &[
    "page_view",
    "search",
    "add_to_cart",
    "checkout",
    "payment",
    "login",
    "render",
    "api_call",
];

/// A batch.
pub fn batch(world: &World, chance: &mut Chance) -> Call {
    let logs: Vec<Value> = (0..BATCH).map(|_| record(world, chance)).collect();
    let body = json!({ "commandId": world.fresh(), "logs": logs });
    let call = Call::post("POST batch-ingest", "/api/v1/batch-ingest", &body);
    Call {
        source: Some(world.name()),
        ..call.of_records(BATCH)
    }
}

/// One record.
pub fn single(world: &World, chance: &mut Chance) -> Call {
    let body = record(world, chance);
    Call {
        source: Some(world.name()),
        ..Call::post("POST ingest", "/api/v1/ingest", &body)
    }
}

/// The last records.
pub fn recent(_: &World, _: &mut Chance) -> Call {
    Call::get("GET logs/recent", "/api/v1/logs/recent?limit=50".to_owned())
}

/// Errors of the last hours.
pub fn filter(world: &World, _: &mut Chance) -> Call {
    let (from, to) = world.day();
    let path = format!(
        "/api/v1/logs/filter?event_type=error&page_size=50&start_time={from}&end_time={to}"
    );
    Call::get("GET logs/filter", path)
}

/// Where records come from.
pub fn status(_: &World, _: &mut Chance) -> Call {
    Call::get("GET status", "/api/v1/status".to_owned())
}

/// The same by GraphQL, as a page shows them.
pub fn page(_: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str = "{ logs(filter: { types: [ERROR] }, first: 20) {
        nodes { id timestamp eventName userId } asOfPosition } }";
    Call::query("logs", DOCUMENT, &json!({}))
}

fn record(world: &World, chance: &mut Chance) -> Value {
    let pick = |chance: &mut Chance, words: &[&str]| {
        words[chance.below(words.len() as u64) as usize].to_owned()
    };
    let user = world.any(chance);
    json!({
        "event_id": world.fresh(),
        "timestamp": clock::text(clock::now()),
        "event_type": pick(chance, TYPES),
        "event_name": pick(chance, NAMES),
        "user_id": world.person(user),
        "session_id": format!("s{user}-{}", chance.below(5)),
        "app_version": format!("2.{}", chance.below(4)),
        "priority": if chance.below(20) == 0 { "high" } else { "normal" },
        "properties": { "page": format!("/p/{}", chance.below(500)), "took_ms": chance.below(900),
                        "provider_name": "web" },
    })
}
