//! A month of real Fitbit days through the import, the door and the read models, compared with answers that
//! were computed without Daybook (`scripts/truth/fitbit.py`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Parser;
use daybook::cli::import::activities::{ActivityArgs, ActivityMapping};
use daybook::cli::import::run::{Inflow, import_rows};
use daybook::cli::import::source::Source;
use daybook::cli::import::summary::Summary;
use daybook::cli::progress::Progress;
use daybook::commands::{CommandContext, Door, DoorSettings};
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::ops::{Clock, Shutdown};
use daybook::store::{Store, StoreSettings};
use domain::activity::longest_run;
use domain::competition::{
    Competition, CompetitionCommand, CompetitionRules, CountsFrom, Guards, JoinRule, Metric,
};
use domain::entry::{Entry, EntryCommand, Join, entry_id};
use domain::period::Calendar;
use domain::score::{Operator, Sort};
use domain::standing::TiePolicy;
use domain::{Actor, ActorKind, Zone};
use projections::activities::{self, day_totals};
use projections::competitions::{self, Among, Board};
use projections::{Reader, Snapshot};
use serde_json::{Value, json};

use crate::support::{PATIENCE, TestDb};

/// What the answers call a metric, what it is, and how many decimal places its scores have.
const METRICS: [(&str, Metric, u8); 4] = [
    ("steps", Metric::Steps, 0),
    ("calories", Metric::Calories, 0),
    ("millimetres", Metric::Distance, 3),
    ("active_minutes", Metric::ActiveMinutes, 0),
];

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    mapping: ActivityArgs,
}

struct World {
    store: Store,
    door: Door,
    consumers: Consumers,
    tenant: Arc<str>,
    truth: Value,
    _db: TestDb,
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn data_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fitbit")
}

impl World {
    async fn new() -> World {
        let truth = std::fs::read_to_string(data_dir().join("truth.json")).unwrap();
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
            truth: serde_json::from_str(&truth).unwrap(),
            _db: db,
        }
    }

    async fn import(&self) -> Summary {
        let flags = Flags::parse_from(["import", "--preset", "fitbit"]);
        let file = data_dir().join("dailyActivity_merged.csv.gz");
        let inflow = Inflow {
            tenant: self.tenant.clone(),
            sources: vec![Source::from_argument(file.to_str().unwrap())],
            mapping: ActivityMapping::from_args(&flags.mapping),
            correlation_id: "truth".to_owned(),
            clock: Clock::system(),
        };
        let (_trigger, shutdown) = Shutdown::new();
        let imported = import_rows(&self.door, inflow, Progress::silent(), &shutdown).await;
        imported.unwrap()
    }

    async fn snapshot(&self) -> Snapshot {
        let names = [activities::NAME, competitions::NAME];
        let head = self.store.head(&self.tenant).await.unwrap();
        let waited = self
            .consumers
            .wait_for(&self.tenant, &names, head, PATIENCE);
        waited.await.unwrap();
        let reader = Reader::new(self.store.pool().clone());
        reader.snapshot(&self.tenant).await.unwrap()
    }

    /// A competition that all these users take part in.
    async fn compete(&self, id: &str, rules: CompetitionRules, users: &[String]) {
        let actor = Actor {
            kind: ActorKind::System,
            id: "truth".into(),
        };
        let ctx = CommandContext::new(self.tenant.clone(), actor, Clock::system().now());
        let rules = Box::new(rules);
        for command in [
            CompetitionCommand::Create { rules },
            CompetitionCommand::Open { now: ctx.now },
        ] {
            let done = self.door.execute::<Competition>(&ctx, id, command).await;
            done.unwrap();
        }
        for user in users {
            let nowhere = BTreeSet::new();
            let entry = entry_id(id, user);
            let join = |known: &Competition| {
                EntryCommand::Join(Join {
                    competition: id.to_owned(),
                    terms: Box::new(known.terms(user, &nowhere)),
                    user: user.clone(),
                    consent: true,
                    groups: nowhere.clone(),
                    place: None,
                    now: ctx.now,
                })
            };
            let door = &self.door;
            let joined = door.execute_relying::<Entry, Competition>(&ctx, &entry, id, join);
            joined.await.unwrap();
        }
    }
}

fn rules(metric: Metric, decimals: u8, periods: Calendar) -> CompetitionRules {
    CompetitionRules {
        name: "April".to_owned(),
        metric,
        unit: None,
        decimals,
        operator: Operator::Sum,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods,
        zone: Zone::of_name("UTC").unwrap(),
        starts_at: time("2016-04-11T00:00:00Z"),
        ends_at: None,
        close_delay_seconds: 0,
        join: JoinRule::Open,
        counts_from: CountsFrom::Start,
        consent_required: false,
        size_max: None,
        attempts_max: None,
        start_score: None,
        guards: Guards::default(),
        sources: Vec::new(),
    }
}

/// The board of a period as the answers write one: rank, user, value; equal ones in order of the user.
async fn ranks(snapshot: &mut Snapshot, id: &str, period: &str) -> Value {
    let row = competitions::competition(snapshot, id).await.unwrap();
    let board = Board {
        period: period.to_owned(),
        among: Among::Everybody,
        as_of: None,
    };
    let lines = competitions::everybody(snapshot, &row.unwrap(), &board).await;
    let lines = lines.unwrap().into_iter();
    let mut lines: Vec<_> = lines.map(|l| (l.rank, l.user, l.score.units())).collect();
    lines.sort();
    lines
        .iter()
        .map(|(rank, user, score)| json!([rank, user, score]))
        .collect()
}

/// Ranks as the answers have them, their values being whole.
fn whole(told: &Value) -> Value {
    let whole = |value: &Value| value.as_f64().unwrap() as i64;
    let lines = told.as_array().unwrap().iter();
    lines
        .map(|line| json!([line[0], line[1], whole(&line[2])]))
        .collect()
}

/// Who is on which rank, without the values.
fn places(told: &Value) -> Vec<(&Value, &Value)> {
    let lines = told.as_array().unwrap().iter();
    lines.map(|line| (&line[0], &line[1])).collect()
}

/// Ranks users by what they have come to.
fn ranked(values: &BTreeMap<String, u32>) -> Value {
    let mut order: Vec<_> = values.iter().collect();
    order.sort_by_key(|(user, n)| (std::cmp::Reverse(**n), *user));
    let rank = |n: u32| 1 + values.values().filter(|other| **other > n).count();
    order
        .iter()
        .map(|(user, n)| json!([rank(**n), user, n]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_days_add_up_to_what_was_computed_elsewhere() {
    let world = World::new().await;
    let truth = &world.truth;
    let rows = truth["rows"].as_u64().unwrap();
    let first = world.import().await;
    let counts = |s: &Summary| (s.rows, s.accepted, s.duplicate, s.rejected_total());
    assert_eq!(counts(&first), (rows, rows, 0, 0));
    let head = world.store.head(&world.tenant).await.unwrap();
    let again = world.import().await;
    assert_eq!(counts(&again), (rows, 0, rows, 0));
    assert_eq!(world.store.head(&world.tenant).await.unwrap(), head);

    let users = truth["steps"]["overall"].as_array().unwrap().iter();
    let users: Vec<String> = users.map(|u| u[1].as_str().unwrap().to_owned()).collect();
    assert_eq!(users.len() as u64, truth["users"].as_u64().unwrap());
    for (name, metric, decimals) in METRICS {
        for (periods, kind) in [(Calendar::Weekly, "weeks"), (Calendar::AllTime, "all")] {
            let rules = rules(metric.clone(), decimals, periods);
            world
                .compete(&format!("{name}-{kind}"), rules, &users)
                .await;
        }
    }
    let mut snapshot = world.snapshot().await;
    for (name, ..) in METRICS {
        let all = ranks(&mut snapshot, &format!("{name}-all"), "all").await;
        assert_eq!(all, whole(&truth[name]["overall"]), "{name}");
        for (week, told) in truth[name]["per_iso_week"].as_object().unwrap() {
            let board = ranks(&mut snapshot, &format!("{name}-weeks"), week).await;
            assert_eq!(board, whole(told), "{name} of {week}");
            // Whole millimetres rank as the kilometres do that were told.
            if name == "millimetres" {
                let kilometres = &truth["distance"]["per_iso_week"][week];
                assert_eq!(places(&board), places(kilometres), "{week}");
            }
        }
    }
    let tied = ranks(&mut snapshot, "active_minutes-weeks", "2016-W17").await;
    let tied: Vec<_> = (11..15).map(|n| tied[n][0].as_u64().unwrap()).collect();
    assert_eq!(tied, [12, 13, 13, 15], "two who tie, and who comes next");
    runs_of_days(&mut snapshot, truth, &users).await;
}

async fn runs_of_days(snapshot: &mut Snapshot, truth: &Value, users: &[String]) {
    let span: (DateTime<Utc>, DateTime<Utc>) =
        (time("2016-04-01T00:00:00Z"), time("2016-06-01T00:00:00Z"));
    let (mut good, mut runs) = (BTreeMap::new(), BTreeMap::new());
    let mut counted = 0;
    for user in users {
        let utc = Zone::of_name("UTC").unwrap();
        let days = day_totals(snapshot, user, span, (&Metric::Steps, &[]), utc).await;
        let days = days.unwrap();
        counted += days.len() as u64;
        let days = days.iter().filter(|day| day.units >= 10_000);
        let days: BTreeSet<_> = days.map(|day| day.day).collect();
        good.insert(user.clone(), days.len() as u32);
        runs.insert(user.clone(), longest_run(&days).map_or(0, |run| run.days));
    }
    assert_eq!(counted, truth["rows"].as_u64().unwrap());
    assert_eq!(ranked(&good), truth["days_with_10000_steps_rank"]);
    assert_eq!(ranked(&runs), truth["longest_streak_10000_steps_rank"]);
}
