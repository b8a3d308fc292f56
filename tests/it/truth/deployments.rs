//! Real deployments through the real door, and DORA's figures over them, compared with answers that were
//! computed without Daybook (`scripts/truth/govuk.py`).
//!
//! `DAYBOOK_TRUTH_DEPLOYMENTS` names another directory of `deployments.csv.gz`, `changes.csv.gz` and
//! `truth.json` to compare, such as the whole set.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::consumers::{ConsumerSettings, Consumers, RebuildOptions, rebuild};
use daybook::store::{Store, StoreSettings};
use domain::deployment::{
    Change, Deployment, DeploymentCommand, DeploymentReason, Plan, Record, Status, Tier,
};
use domain::{Actor, ActorKind};
use flate2::read::GzDecoder;
use futures::{StreamExt, stream};
use projections::dora::{
    Dora, DoraBucket, DoraEvidence, DoraFigures, DoraQuery, FailureKind, LeadBasis, dora, evidence,
};
use projections::{Reader, Snapshot, deployments};
use serde_json::{Value, json};

use super::{ALL, assert_same, iso, time};
use crate::support::TestDb;

/// Told to the door at once.
const IN_FLIGHT: usize = 32;

fn data_dir() -> PathBuf {
    let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/govuk");
    std::env::var_os("DAYBOOK_TRUTH_DEPLOYMENTS").map_or(slice, PathBuf::from)
}

/// Rows of a file, by the names of their columns.
fn rows(name: &str) -> Vec<HashMap<String, String>> {
    let file = std::fs::File::open(data_dir().join(name)).unwrap();
    let mut rows = csv::Reader::from_reader(GzDecoder::new(file));
    rows.deserialize().map(|row| row.unwrap()).collect()
}

/// What the row tells of, and who may tell: an import decides what a rollback is.
fn recorded(row: &HashMap<String, String>, changes: Vec<Change>) -> (String, Record) {
    let text = |column: &str| row[column].clone();
    let (environment, service) = (text("environment"), text("service"));
    let (before, version) = (text("previous_tag"), text("image_tag"));
    let number = |tag: &str| tag.strip_prefix('v')?.parse::<u64>().ok();
    let back = number(&before).zip(number(&version));
    let reason = match back {
        Some((before, after)) if after < before => DeploymentReason::Rollback,
        _ => DeploymentReason::Planned,
    };
    let id = format!("{}.{environment}.{service}", row["deployment_id"]);
    let record = Record {
        tier: match environment.as_str() {
            "production" => Tier::Production,
            "staging" => Tier::Staging,
            _ => Tier::Other,
        },
        plan: Plan {
            project: "govuk".to_owned(),
            service,
            environment,
            version,
            previous_version: Some(before).filter(|tag| !tag.is_empty()),
            reason,
            change_type: None,
            description: None,
            team: None,
            remedies: None,
            external: None,
            changes,
        },
        requested_by: None,
        status: Status::Succeeded,
        requested_at: None,
        started_at: None,
        finished_at: Some(row["deployed_at"].parse().unwrap()),
        now: at("2025-01-01T00:00:00Z"),
    };
    (id, record)
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// What each production deployment brought in, by (deployment, service).
fn changes() -> HashMap<(String, String), Vec<Change>> {
    let mut changes: HashMap<_, Vec<Change>> = HashMap::new();
    for row in rows("changes.csv.gz") {
        let time = |column: &str| at(&row[column]);
        let change = Change {
            id: row["change_sha"].clone(),
            committed_at: time("committed_at"),
            authored_at: Some(time("authored_at")),
            opened_at: None,
            first_review_at: None,
            merged_at: None,
        };
        let key = (row["deployment_id"].clone(), row["service"].clone());
        changes.entry(key).or_default().push(change);
    }
    changes
}

async fn tell(door: &Door, tenant: &Arc<str>) {
    let mut changes = changes();
    let told = rows("deployments.csv.gz").into_iter().map(|row| {
        let key = (row["deployment_id"].clone(), row["service"].clone());
        let production = row["environment"] == "production";
        let carried = production.then(|| changes.remove(&key)).flatten();
        recorded(&row, carried.unwrap_or_default())
    });
    let told: Vec<_> = told.collect();
    assert!(changes.is_empty(), "every change has its deployment");
    let actor = Actor {
        kind: ActorKind::Feed,
        id: "import".into(),
    };
    let ctx = CommandContext::new(tenant.clone(), actor, at("2025-01-01T00:00:00Z"));
    let tell = |(id, record): (String, Record)| {
        let ctx = &ctx;
        async move {
            let command = DeploymentCommand::Record(record);
            door.execute::<Deployment>(ctx, &id, command).await.unwrap();
        }
    };
    stream::iter(told)
        .map(tell)
        .buffer_unordered(IN_FLIGHT)
        .collect::<()>()
        .await;
}

fn year() -> DoraQuery {
    DoraQuery::production(at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"))
}

async fn asked(snap: &mut Snapshot, what: &str, query: &DoraQuery) -> Dora {
    let began = Instant::now();
    let answer = dora(snap, query).await.unwrap();
    eprintln!("{what}: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_deployments_add_up_to_what_was_computed_elsewhere() {
    let truth = std::fs::read_to_string(data_dir().join("truth.json")).unwrap();
    let truth: Value = serde_json::from_str(&truth).unwrap();
    let db = TestDb::create().await;
    let settings = StoreSettings {
        unsafe_allowed: true,
        ..StoreSettings::default()
    };
    let store = Store::connect(db.options(), settings).await.unwrap();
    let settings = ConsumerSettings::default();
    let consumers = Consumers::start(store.clone(), projections::all(), settings);
    let consumers = consumers.await.unwrap();
    let door = Door::new(store.clone(), DoorSettings::default());
    let tenant: Arc<str> = "default".into();
    tell(&door, &tenant).await;
    let head = store.head(&tenant).await.unwrap();
    assert_eq!(head.0, truth["rows"].as_i64().unwrap());
    let patience = Duration::from_secs(120);
    let caught_up = consumers.wait_for(&tenant, &[deployments::NAME], head, patience);
    caught_up.await.unwrap();

    // As an hour later the database would know by itself.
    sqlx::query("analyze").execute(db.pool()).await.unwrap();
    let reader = Reader::new(store.pool().clone());
    let mut snap = reader.snapshot(&tenant).await.unwrap();
    whole_year(&mut snap, &truth).await;
    days_weeks_and_months(&mut snap, &truth).await;
    services(&mut snap, &truth).await;
    recoveries(&mut snap, &truth).await;
    drop(snap);

    // Folded anew from the first event: the same, or else no swap.
    let model = projections::all().into_iter();
    let model = model.into_iter().find(|m| m.name() == deployments::NAME);
    let options = RebuildOptions {
        compare: true,
        ..RebuildOptions::default()
    };
    let rebuilt = rebuild(&store, &model.unwrap(), &tenant, options, |_| {}).await;
    assert!(rebuilt.unwrap().digest.is_some());
    consumers.stop().await;
}

/// A number to so many places, as the answers are written.
fn rounded(value: Option<f64>, places: i32) -> Value {
    let scale = 10_f64.powi(places);
    value.map_or(Value::Null, |v| json!((v * scale).round() / scale))
}

/// Numbers are equal if they are nearer than the answers' last place.
fn check(got: impl Into<Option<f64>>, want: &Value, what: &str) {
    let got: Option<f64> = got.into();
    let same = match (got, want.as_f64()) {
        (Some(got), Some(want)) => (got - want).abs() < 1e-3,
        (got, want) => got.is_none() && want.is_none(),
    };
    assert!(same, "{what}: {got:?} is not {want}");
}

async fn whole_year(snap: &mut Snapshot, truth: &Value) {
    let all = asked(snap, "the whole year", &year()).await.total;
    let frequency = &all.frequency;
    let count = |n: i64| json!(n);
    assert_eq!(
        count(frequency.deployments),
        truth["production_deployments"]
    );
    assert_eq!(
        count(frequency.days_with_one),
        truth["days_with_production_deployment"]
    );
    let mean = &truth["production_per_day_mean_over_calendar_days"];
    assert_eq!(rounded(frequency.per_day, 6), *mean);
    check(
        frequency.median_days_per_week,
        &truth["daybook"]["median_days_per_week"],
        "week",
    );
    let failures = &all.failures;
    assert_eq!(count(failures.failed), truth["failed_deployments"]);
    assert_eq!(count(failures.rollbacks), truth["rollbacks"]);
    let rate = &truth["change_failure_rate_failed_over_non_rollback"];
    assert_eq!(rounded(failures.rate, 6), *rate);
    assert_eq!(
        rounded(failures.rollback_share, 6),
        truth["rollbacks_over_all_production"]
    );
    let undone = (FailureKind::InferredRollback, failures.failed);
    assert!(failures.by_kind.contains(&undone));
    let recovery = &truth["recovery_seconds"];
    assert_eq!(count(all.recovery.recovered), recovery["n"]);
    assert_eq!(all.recovery.open, 0);
    check(all.recovery.p50_s, &recovery["p50_cont"], "recovery p50");
    check(all.recovery.p90_s, &recovery["p90_cont"], "recovery p90");
    check(all.recovery.p95_s, &recovery["p95_cont"], "recovery p95");
    check(all.recovery.mean_s, &recovery["mean"], "recovery mean");
    let changes = &truth["changes"];
    lead(
        &all,
        &changes["lead_time_seconds_first_deployment_committed"],
        "committed",
    );
    let lead_time = &all.lead_time;
    assert_eq!(count(lead_time.excluded), changes["negative_lead_times"]);
    assert_eq!(count(lead_time.within_1h.changes), changes["within_1h"]);
    assert_eq!(count(lead_time.within_24h.changes), changes["within_24h"]);
    assert_eq!(count(lead_time.within_7d.changes), changes["within_7d"]);
    let mut authored = year();
    authored.basis = LeadBasis::Authored;
    let all = asked(snap, "the whole year, from writing", &authored)
        .await
        .total;
    lead(
        &all,
        &changes["lead_time_seconds_first_deployment_authored"],
        "authored",
    );
    block(&all_again(snap).await, &truth["daybook"]["year"], "year");
}

async fn all_again(snap: &mut Snapshot) -> DoraFigures {
    dora(snap, &year()).await.unwrap().total
}

fn lead(figures: &DoraFigures, want: &Value, what: &str) {
    let lead = &figures.lead_time;
    assert_eq!(json!(lead.changes), want["n"], "{what}");
    check(lead.p50_s, &want["p50_cont"], what);
    check(lead.p90_s, &want["p90_cont"], what);
    check(lead.p95_s, &want["p95_cont"], what);
}

/// What `govuk.py` says of a month, a service or the year.
fn block(figures: &DoraFigures, want: &Value, what: &str) {
    let lead = &figures.lead_time;
    let counts = [
        ("deployments", figures.frequency.deployments),
        ("days_with_one", figures.frequency.days_with_one),
        ("rollbacks", figures.failures.rollbacks),
        ("failed", figures.failures.failed),
        ("changes", lead.changes),
    ];
    for (name, got) in counts {
        assert_eq!(json!(got), want[name], "{what}: {name}");
    }
    check(figures.recovery.p50_s, &want["recovery_p50"], what);
    let percentiles = [lead.p50_s, lead.p75_s, lead.p90_s, lead.p95_s];
    for (n, got) in percentiles.into_iter().enumerate() {
        check(got, &want["lead_p50_p75_p90_p95"][n], what);
    }
}

async fn days_weeks_and_months(snap: &mut Snapshot, truth: &Value) {
    let mut query = year();
    query.bucket = Some(DoraBucket::Day);
    let days = asked(snap, "day by day", &query).await.buckets;
    let got: Vec<_> = days
        .iter()
        .map(|day| json!([day.start.date_naive(), day.frequency.deployments]))
        .collect();
    assert_same(&got, &truth["production_per_day"], "per day");
    query.bucket = Some(DoraBucket::Week);
    let weeks = asked(snap, "week by week", &query).await.buckets;
    // The answers leave out weeks without any.
    let got: Vec<_> = weeks
        .iter()
        .filter(|week| week.frequency.deployments > 0)
        .map(|week| {
            json!([
                week.start.format("%G-W%V").to_string(),
                week.frequency.deployments
            ])
        })
        .collect();
    assert_same(&got, &truth["production_per_iso_week"], "per week");
    query.bucket = Some(DoraBucket::Month);
    let months = asked(snap, "month by month", &query).await.buckets;
    assert_eq!(months.len(), 12);
    for month in months {
        let name = month.start.format("%Y-%m").to_string();
        block(&month, &truth["daybook"]["by_month"][&name], &name);
    }
}

async fn services(snap: &mut Snapshot, truth: &Value) {
    let by_service = truth["daybook"]["by_service"].as_object().unwrap();
    let mut broken: BTreeMap<(i64, &str), ()> = BTreeMap::new();
    for (service, want) in by_service {
        let mut query = year();
        query.scope.services = Some(vec![service.clone()]);
        let all = asked(snap, service, &query).await.total;
        block(&all, want, service);
        if let Some(want) = truth["changes"]["by_service"].get(service) {
            lead(&all, want, service);
        }
        if all.failures.failed > 0 {
            broken.insert((-all.failures.failed, service), ());
        }
    }
    let got: Vec<_> = broken
        .keys()
        .map(|(n, service)| json!([service, -n]))
        .collect();
    let want = truth["failed_by_service_rank"].as_array().unwrap();
    let want: Vec<_> = want.iter().map(|row| json!([row[1], row[2]])).collect();
    assert_same(&got[..want.len()], &want.into(), "failed by service");
}

/// Each recovery behind the figure is one of the answers, and none is missing.
async fn recoveries(snap: &mut Snapshot, truth: &Value) {
    let year = year();
    let page = evidence(snap, &year, DoraEvidence::Recoveries, None, ALL);
    let mut got = Vec::new();
    for item in page.await.unwrap().items {
        let row = deployments::deployment(snap, &item.deployment).await;
        let row = row.unwrap().unwrap();
        let seconds = item.seconds.unwrap() as i64;
        got.push((row.service, iso(item.at), seconds, row.version));
    }
    got.sort();
    let want = truth["recoveries"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut want: Vec<_> = want
        .iter()
        .map(|r| {
            (
                text(&r[1]),
                iso(time(&r[2])),
                r[0].as_i64().unwrap(),
                text(&r[4]),
            )
        })
        .collect();
    want.sort();
    assert_eq!(got, want);
}
