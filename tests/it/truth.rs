//! Real bus positions through the real door and the real read models, compared with answers that
//! were computed without Daybook (`scripts/truth/capmetro.py`).
//!
//! `DAYBOOK_TRUTH_DATA` names another directory of `*.csv.gz` and `truth.json` to compare, such as
//! the whole set.

mod activities;
mod deployments;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use clap::Parser;
use daybook::cli::import::mapping::{Mapping, MappingArgs};
use daybook::cli::import::run::{Inflow, import_rows};
use daybook::cli::import::source::Source;
use daybook::cli::import::summary::Summary;
use daybook::cli::progress::Progress;
use daybook::commands::{Door, DoorSettings};
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::ops::{Clock, Shutdown};
use daybook::store::{Store, StoreSettings};
use domain::Position;
use projections::heatmap::{self, HeatmapMetric, HeatmapQuery, HeatmapSpan};
use projections::positions::{self, AsOf, HistoryOrder, HistoryQuery, LatestFilter};
use projections::trends::{self, Scope, TrendBucket, TrendCompare, TrendMetric, TrendQuery};
use projections::vehicles::{self, VehicleFilter};
use projections::{Near, Reader, Snapshot, summary};
use serde_json::{Value, json};

use crate::support::TestDb;

/// More than any list here has.
const ALL: u32 = 1_000_000;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    mapping: MappingArgs,
}

struct World {
    store: Store,
    door: Door,
    consumers: Consumers,
    tenant: Arc<str>,
    sources: Vec<Source>,
    truth: Value,
    _db: TestDb,
}

impl World {
    async fn new() -> World {
        let dir = data_dir();
        let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "gz"))
            .collect();
        files.sort();
        let truth = std::fs::read_to_string(dir.join("truth.json")).unwrap();
        let db = TestDb::create().await;
        let settings = StoreSettings {
            unsafe_allowed: true,
            ..StoreSettings::default()
        };
        let store = Store::connect(db.options(), settings).await.unwrap();
        let settings = ConsumerSettings::default();
        let consumers = Consumers::start(store.clone(), projections::all(), settings)
            .await
            .unwrap();
        World {
            door: Door::new(store.clone(), DoorSettings::default()),
            store,
            consumers,
            tenant: "default".into(),
            sources: files
                .iter()
                .map(|f| Source::from_argument(f.to_str().unwrap()))
                .collect(),
            truth: serde_json::from_str(&truth).unwrap(),
            _db: db,
        }
    }

    async fn import(&self, flags: &[&str]) -> Summary {
        let flags = Flags::parse_from(["import"].iter().chain(flags));
        let inflow = Inflow {
            tenant: self.tenant.clone(),
            sources: self.sources.clone(),
            mapping: Mapping::from_args(&flags.mapping),
            correlation_id: "truth".to_owned(),
            clock: Clock::system(),
        };
        let (_trigger, shutdown) = Shutdown::new();
        let imported = import_rows(&self.door, inflow, Progress::silent(), &shutdown).await;
        imported.unwrap()
    }

    async fn head(&self) -> Position {
        self.store.head(&self.tenant).await.unwrap()
    }

    async fn snapshot(&self) -> Snapshot {
        let names = [vehicles::NAME, positions::NAME, heatmap::NAME, trends::NAME];
        let head = self.head().await;
        let patience = Duration::from_secs(120);
        self.consumers
            .wait_for(&self.tenant, &names, head, patience)
            .await
            .unwrap();
        let snapshot = Reader::new(self.store.pool().clone())
            .snapshot(&self.tenant)
            .await
            .unwrap();
        assert_eq!(snapshot.position(&names).unwrap(), head);
        snapshot
    }

    fn count(&self, key: &str) -> u64 {
        self.truth[key].as_u64().unwrap()
    }

    fn accepted(&self, key: &str) -> &Value {
        &self.truth["deduplicated"][key]
    }
}

fn data_dir() -> PathBuf {
    let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/capmetro");
    std::env::var_os("DAYBOOK_TRUTH_DATA").map_or(slice, PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_buses_add_up_to_what_was_computed_elsewhere() {
    let world = World::new().await;
    counts_of_three_imports(&world).await;
    let mut snapshot = world.snapshot().await;
    let whole = whole_span(&world.truth);
    cells(&world, &mut snapshot, whole).await;
    cell_hours(&world, &mut snapshot).await;
    hours(&world, &mut snapshot).await;
    points_per_vehicle(&world, &mut snapshot, whole).await;
    points_per_trip(&world, &mut snapshot, whole).await;
    latest(&world, &mut snapshot).await;
    nearby(&world, &mut snapshot).await;
    drop(snapshot);
    world.consumers.stop().await;
}

/// The first brings everything in; the second is answered from its receipts; the third says
/// something else of the same instants. Only the first changes anything.
async fn counts_of_three_imports(world: &World) {
    let (accepted, valid) = (
        world.count("valid_points_first_per_vehicle_and_time"),
        world.count("valid_points"),
    );
    let first = world.import(&["--preset", "capmetro"]).await;
    assert_eq!(first.rows, world.count("rows"));
    assert_eq!(
        (first.accepted, first.duplicate),
        (accepted, valid - accepted)
    );
    assert_eq!(first.differing, world.count("duplicates_that_differ"));
    let refused: Vec<_> = first
        .rejected
        .iter()
        .map(|(code, r)| (*code, r.count))
        .collect();
    assert_eq!(refused, [("NULL_ISLAND", world.count("points_at_0_0"))]);
    assert_eq!((first.earlier, first.unreadable.len()), (0, 0));
    let head = world.head().await;
    assert_eq!(first.position, head);

    let second = world.import(&["--preset", "capmetro"]).await;
    assert_eq!(second.earlier, second.rows);
    assert_eq!(
        (second.accepted, second.duplicate),
        (first.accepted, first.duplicate)
    );
    assert_eq!(second.rejected, first.rejected);
    assert_eq!(world.head().await, head);

    let bare = "--vehicle vehicle_id --time timestamp --lat latitude --lon longitude";
    let third = world.import(&bare.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(
        (third.accepted, third.duplicate, third.earlier),
        (0, valid, 0)
    );
    assert_eq!(third.differing, valid);
    assert_eq!(world.head().await, head);
}

async fn cells(world: &World, snapshot: &mut Snapshot, whole: (DateTime<Utc>, DateTime<Utc>)) {
    for (resolution, key) in [(9, "h3_res9"), (8, "h3_res8_by_parents")] {
        let map = map(snapshot, whole, resolution, HeatmapSpan::Whole).await;
        let got: Vec<_> = map
            .iter()
            .map(|c| json!([c.cell.to_string(), c.fixes]))
            .collect();
        let distinct = &world.accepted(&format!("{key}_distinct_cells"));
        assert_eq!(got.len() as u64, distinct.as_u64().unwrap());
        assert_same(&got, world.accepted(&format!("{key}_cells")), key);
    }
}

async fn cell_hours(world: &World, snapshot: &mut Snapshot) {
    for (resolution, key) in [(9, "h3_res9"), (8, "h3_res8_by_parents")] {
        let mut got = Vec::new();
        for span in days(&world.truth) {
            for c in map(snapshot, span, resolution, HeatmapSpan::Hour).await {
                let hour = iso(c.start.expect("an hour has a start"));
                got.push((-c.fixes, hour, c.cell.to_string(), c.vehicles));
            }
        }
        got.sort();
        let got: Vec<_> = got
            .iter()
            .map(|(n, h, c, v)| json!([h, c, -n, v]))
            .collect();
        assert_same(&got, world.accepted(&format!("{key}_cell_hours")), key);
    }
}

async fn map(
    snapshot: &mut Snapshot,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    resolution: u8,
    span: HeatmapSpan,
) -> Vec<heatmap::HeatmapCell> {
    let metric = HeatmapMetric::Fixes;
    let query = HeatmapQuery {
        from,
        to,
        resolution,
        area: None,
        span,
        metric,
        min_vehicles: 1,
        limit: ALL,
    };
    let map = heatmap::heatmap(snapshot, &query).await.unwrap();
    assert_eq!((map.suppressed, map.more), (0, 0));
    map.cells
}

async fn hours(world: &World, snapshot: &mut Snapshot) {
    let (mut counts, mut speeds) = (Vec::new(), Vec::new());
    for span in days(&world.truth) {
        let fixes = series(snapshot, TrendMetric::Fixes, span).await;
        let vehicles = series(snapshot, TrendMetric::Vehicles, span).await;
        for ((hour, fixes), (_, vehicles)) in fixes.iter().zip(&vehicles) {
            counts.push(json!([hour, *fixes as u64, *vehicles as u64]));
        }
        speeds.extend(series(snapshot, TrendMetric::MeanSpeed, span).await);
    }
    assert_same(&counts, world.accepted("per_hour"), "per_hour");
    let want = world.accepted("mean_speed_per_hour").as_array().unwrap();
    assert_eq!(speeds.len(), want.len());
    for ((hour, speed), want) in speeds.iter().zip(want) {
        assert_eq!(want[0], *hour);
        let want = want[1].as_f64().unwrap();
        assert!((speed - want).abs() < 1e-5, "{hour}: {speed} is not {want}");
    }
}

/// Hours with data and their value.
async fn series(
    snapshot: &mut Snapshot,
    metric: TrendMetric,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<(String, f64)> {
    let query = TrendQuery {
        metric,
        from,
        to,
        bucket: TrendBucket::Hour,
        zone: "UTC".into(),
        scope: Scope::All,
        window: 1,
        compare: TrendCompare::PreviousBucket,
    };
    let trend = trends::trend(snapshot, &query).await.unwrap();
    assert_eq!(trend.points.len(), 24);
    trend
        .points
        .iter()
        .filter_map(|p| Some((iso(p.start), p.value?)))
        .collect()
}

async fn points_per_vehicle(
    world: &World,
    snapshot: &mut Snapshot,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) {
    let page = summary::summary_by_vehicle(snapshot, &Scope::All, from, to, None, ALL);
    let mut got: Vec<_> = page
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|v| (-v.summary.fixes, v.vehicle_id))
        .collect();
    got.sort();
    let want = world.accepted("points_per_vehicle").as_array().unwrap();
    let want: Vec<_> = want.iter().map(|w| json!([w[1], w[2]])).collect();
    let got: Vec<_> = got
        .into_iter()
        .map(|(n, vehicle)| json!([vehicle, -n]))
        .collect();
    assert_same(&got, &want.into(), "points per vehicle");
}

/// Rows of one instant differ in their trip only, so this tells whether the first of them was kept.
async fn points_per_trip(
    world: &World,
    snapshot: &mut Snapshot,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) {
    let mut trips: BTreeMap<(String, String), u64> = BTreeMap::new();
    let vehicles = vehicles::vehicles(snapshot, &VehicleFilter::default(), None, ALL).await;
    for vehicle in vehicles.unwrap().items {
        let order = HistoryOrder::default();
        let query = HistoryQuery {
            vehicle_id: vehicle.id,
            from,
            to,
            order,
        };
        for fix in positions::history(snapshot, &query, None, ALL)
            .await
            .unwrap()
            .items
        {
            let trip = fix.attributes["trip_id"].as_str().unwrap().to_owned();
            *trips.entry((fix.vehicle_id, trip)).or_default() += 1;
        }
    }
    let got: Vec<_> = trips
        .into_iter()
        .map(|((v, trip), n)| json!([v, trip, n]))
        .collect();
    assert_same(
        &got,
        world.accepted("points_per_vehicle_and_trip"),
        "points per trip",
    );
}

async fn latest(world: &World, snapshot: &mut Snapshot) {
    let page = positions::latest(snapshot, &LatestFilter::default(), None, ALL)
        .await
        .unwrap();
    let got: Vec<_> = page
        .items
        .iter()
        .map(|row| {
            json!([
                row.fix.vehicle_id,
                iso(row.fix.fix_time),
                row.fix.lat,
                row.fix.lon
            ])
        })
        .collect();
    assert_same(&got, world.accepted("latest_position"), "latest");
}

async fn nearby(world: &World, snapshot: &mut Snapshot) {
    let question = world.accepted("nearby");
    let window = Duration::from_secs(question["window_seconds"].as_u64().unwrap());
    let as_of = Some(AsOf {
        at: time(&question["as_of"]),
        window,
    });
    let everywhere = LatestFilter {
        as_of,
        ..LatestFilter::default()
    };
    let page = positions::latest(snapshot, &everywhere, None, ALL)
        .await
        .unwrap();
    assert_eq!(
        page.items.len() as u64,
        question["vehicles_in_window"].as_u64().unwrap()
    );

    let number = |v: &Value| v.as_f64().unwrap();
    let centre = &question["centre"];
    let near = Near::new(
        number(&centre[0]),
        number(&centre[1]),
        number(&question["radius_m"]),
    );
    let filter = LatestFilter { near, ..everywhere };
    let page = positions::latest(snapshot, &filter, None, ALL)
        .await
        .unwrap();
    let tenth = |row: &positions::LatestRow| (row.distance_m.unwrap() * 10.0).round() / 10.0;
    let got: Vec<_> = page
        .items
        .iter()
        .map(|r| json!([r.fix.vehicle_id, tenth(r)]))
        .collect();
    assert_same(&got, &question["hits"], "nearby");
}

/// Names the first difference instead of printing two long lists.
fn assert_same(got: &[Value], want: &Value, what: &str) {
    let want = want.as_array().unwrap();
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got, want, "{what}, entry {at}");
    }
    assert_eq!(got.len(), want.len(), "{what}");
}

fn whole_span(truth: &Value) -> (DateTime<Utc>, DateTime<Utc>) {
    let next_day = time(&truth["time_max"]) + Days::new(1);
    (time(&truth["time_min"]), next_day)
}

/// The UTC days with points.
fn days(truth: &Value) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let hours = truth["all_valid"]["per_hour"].as_array().unwrap();
    let mut days: Vec<NaiveDate> = hours.iter().map(|h| time(&h[0]).date_naive()).collect();
    days.dedup();
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).unwrap().and_utc();
    days.into_iter()
        .map(|day| (midnight(day), midnight(day + Days::new(1))))
        .collect()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

fn iso(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
