//! However the log is cut and in whatever order its ranges are written, the tables are the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use domain::api_key::{ApiKeyEvent, ApiKeyIssued};
use domain::deployment::{ApprovalGranted, DeploymentEvent};
use domain::environment::{EnvironmentEvent, EnvironmentFrozen, Freeze};
use domain::incident::LinkKind;
use domain::log_batch::LogRecord;
use domain::log_source::{LogSourceEvent, LogSourcePaused, LogSourceResumed, LogType};
use domain::session::{SessionEvent, SessionPolicy, SessionRefreshed, SessionStarted};
use domain::slo::{
    BurnAlertCleared, BurnAlertRaised, PeriodExcluded, SloDefined, SloEvent, SloRetired, SloRevised,
};
use domain::tenant::{TenantEvent, TenantRenamed};
use domain::user::{
    PersonalDataErased, Role, RoleRevoked, UserDeactivated, UserEvent, UserRegistered,
};
use domain::vehicle::{
    VehicleEvent, VehicleJoinedFleet, VehicleLeftFleet, VehicleProfile, VehicleRegistered,
    VehicleRetired,
};
use domain::{Event, Personal, Recorded, Scope};
use projections::{AnyProjection, Filling, ReadError, Reader, Target, digest, positions, vehicles};

use super::competitions;
use super::competitions::measured::{synced, walk};
use super::logs::{batch, record};
use super::objectives::{objective, rates, rule};
use super::releases::{Story, carrying, change, ran};
use super::scene::{
    TENANT, after, at, create_tables, fix, go_live, log, moving, read_model, reported, snapshot,
    write, write_as,
};
use crate::support::TestDb;

/// Of few users with few sessions, erased among them, keys and tenants.
fn about_an_account(n: u32) -> (String, Event) {
    let (user, session) = (format!("user-{}", n % 3), format!("session-{}", n % 4));
    let sealed = Personal::Sealed(format!("sealed{n}"));
    let at = DateTime::from_timestamp(i64::from(n), 0).unwrap();
    let started = SessionStarted {
        user_id: format!("user-{}", n % 5 % 3),
        policy: SessionPolicy::default(),
        ip: Some(sealed.clone()),
        user_agent: Some(Personal::Sealed(format!("agent{n}"))),
        epoch: 0,
        at,
    };
    let registered = UserRegistered {
        email: sealed.clone(),
        name: sealed.clone(),
        roles: BTreeSet::from([Role::Viewer]),
    };
    let deactivated = UserDeactivated {
        reason: Some(sealed),
    };
    let issued = ApiKeyIssued {
        name: format!("key{n}"),
        hash: String::new(),
        last_four: format!("{n:04}"),
        scopes: BTreeSet::from([Scope::LogsRead, Scope::LogsWrite]),
        expires_at: at,
        rotate_every_s: None,
        bootstrap: false,
        owner: None,
    };
    let name = format!("tenant{n}");
    match n % 7 {
        0 => (user, UserEvent::UserRegistered(registered).into()),
        1 => (session, SessionEvent::SessionStarted(started).into()),
        2 => (user, UserEvent::UserDeactivated(deactivated).into()),
        3 if n < 40 => (
            user,
            UserEvent::PersonalDataErased(PersonalDataErased {}).into(),
        ),
        3 => (
            user,
            UserEvent::RoleRevoked(RoleRevoked { role: Role::Viewer }).into(),
        ),
        4 => {
            let refreshed = SessionRefreshed { number: 2, at };
            (session, SessionEvent::SessionRefreshed(refreshed).into())
        }
        5 => ("key".to_owned(), ApiKeyEvent::ApiKeyIssued(issued).into()),
        _ => (
            "north".to_owned(),
            TenantEvent::TenantRenamed(TenantRenamed { name }).into(),
        ),
    }
}

/// Of few deployments, environments and incidents, in an order that could not be: of a fold all are
/// equal.
fn about_a_deployment(n: u32) -> (String, Event) {
    let mut told = Story::default();
    let time = format!("2016-05-{:02}T10:00:00Z", n % 28 + 1);
    let (deployment, incident) = (format!("d{}", n % 4), format!("i{}", n % 3));
    let changes = [
        change(&format!("c{}", n % 5), &time),
        change(&format!("c{n}"), &time),
    ];
    let frozen = |freeze_id: String| {
        EnvironmentEvent::EnvironmentFrozen(EnvironmentFrozen {
            freeze: Freeze {
                id: freeze_id,
                from: at(&time),
                until: None,
                reason: format!("{n}"),
                weekly: vec![],
            },
            at: at(&time),
        })
    };
    match n % 10 {
        0 => told.told(
            &deployment,
            carrying(ran("cart", &format!("v{n}"), &time), &changes),
        ),
        1 => told.also_carries(&deployment, &changes),
        2 => told.rolled_back(&deployment, &time),
        3 => told.hotfix(&deployment, Some("d1")),
        4 => told.opened(&incident, &time),
        5 => told.linked(&incident, &deployment, LinkKind::Explicit),
        6 => told.resolved(&incident, &time),
        7 => told.of("shop/live", frozen(format!("f{}", n % 3))),
        8 => told.unlinked(&incident, &deployment),
        _ => {
            let granted = ApprovalGranted {
                by: format!("user{}", n % 2),
                revision: 1,
                comment: Some(format!("{n}")),
                at: at(&time),
            };
            told.of(&deployment, DeploymentEvent::ApprovalGranted(granted))
        }
    };
    told.0.remove(0)
}

/// Of few objectives, likewise.
fn about_an_objective(n: u32) -> (String, Event) {
    let objective = objective(&format!("objective {n}"));
    let (revision, rule, rates) = (n % 3 + 1, rule(60), rates(n.into()));
    let time = DateTime::from_timestamp(i64::from(n), 0).unwrap();
    let event = match n % 6 {
        0 => SloEvent::SloDefined(SloDefined { objective }),
        1 => SloEvent::SloRevised(SloRevised {
            revision,
            objective,
        }),
        2 => SloEvent::BurnAlertRaised(BurnAlertRaised {
            revision,
            rule,
            rates,
        }),
        3 => SloEvent::BurnAlertCleared(BurnAlertCleared {
            revision,
            rule,
            rates,
        }),
        4 => SloEvent::PeriodExcluded(PeriodExcluded {
            from: time,
            to: time + TimeDelta::hours(1),
            reason: format!("{n}"),
        }),
        _ => SloEvent::SloRetired(SloRetired {
            reason: Some(format!("{n}")),
        }),
    };
    (format!("o{}", n % 5), event.into())
}

/// Of two sources, their records a few minutes apart and those of a batch in no order.
fn about_a_log(n: u32) -> (String, Event) {
    let source = format!("source{}", n % 2);
    let said = match n % 4 {
        0 => LogSourceEvent::LogSourcePaused(LogSourcePaused {
            reason: format!("{n}"),
        }),
        1 => LogSourceEvent::LogSourceResumed(LogSourceResumed {}),
        _ => {
            let record = |m: u32| LogRecord {
                user_id: Some(format!("user{}", m % 3)),
                app_version: m.is_multiple_of(2).then(|| "1.0".to_owned()),
                ..record(
                    &format!("2016-05-01T10:{:02}:00Z", (n + m * 7) % 60),
                    LogType::ALL[usize::try_from(m).unwrap() % LogType::ALL.len()],
                    &format!("name{}", m % 2),
                )
            };
            return batch(&source, (0..4).map(record).collect());
        }
    };
    (source, said.into())
}

/// Of few entries of few competitions, in an order that could not be.
fn about_a_competition(n: u32) -> (String, Event) {
    let (id, user) = (format!("c{}", n % 2), format!("user{}", n % 5));
    let seconds = i64::from(n);
    match n % 9 {
        0 => competitions::created(&id, competitions::rules()),
        1 => competitions::opened(&id),
        2 => competitions::joined(&id, &user, &["east"], competitions::second(seconds)),
        3 => competitions::left(&id, &user),
        4 => competitions::excluded(&id, &user),
        5 => competitions::reinstated(&id, &user),
        6 => competitions::held(&id, &user, n % 3 + 1),
        _ => {
            let tally = competitions::tally(seconds, 0, seconds, n);
            competitions::accepted(&id, &user, "all", tally)
        }
    }
}

/// Of few activities of few users, told again and taken back.
fn about_an_activity(n: u32) -> (String, Event) {
    let (user, id) = (format!("user{}", n % 2), format!("w{}", n % 3));
    let from = i64::from(n) * 60;
    let walk = walk("watch", &id, from, from + 60, from);
    match n % 3 {
        0 => synced(&user, vec![walk], vec![], vec![]),
        1 => synced(&user, vec![], vec![walk], vec![]),
        _ => synced(&user, vec![], vec![], vec![walk.activity.named()]),
    }
}

/// A few vehicles crowded into few places, late fixes among them, joining and leaving a fleet;
/// accounts, deployments with incidents, objectives, log records, competitions and activities.
pub fn story() -> Vec<Recorded<Event>> {
    let mut events = Vec::new();
    for n in 0..60_u32 {
        let vehicle = format!("bus-{}", n % 4);
        let profile = VehicleProfile {
            name: Some(format!("{n}")),
            ..VehicleProfile::default()
        };
        let said = match n % 5 {
            0 => VehicleEvent::VehicleRegistered(VehicleRegistered {
                profile,
                on_first_report: true,
            }),
            1 => VehicleEvent::VehicleJoinedFleet(VehicleJoinedFleet {
                fleet_id: "all".to_owned(),
            }),
            2 => VehicleEvent::VehicleLeftFleet(VehicleLeftFleet {
                fleet_id: "all".to_owned(),
            }),
            _ => VehicleEvent::VehicleRetired(VehicleRetired { reason: None }),
        };
        events.push((vehicle.clone(), said.into()));
        let fixes = (0..5).map(|m| {
            let minute = (n * 7 + m * 11) % 60;
            let time = format!("2016-05-01T10:{minute:02}:{:02}.{n:03}Z", (n + m) % 60);
            let (lat, lon) = (
                30.0 + f64::from(n % 3) * 0.001,
                -97.0 + f64::from(m) * 0.001,
            );
            if m == 0 {
                fix(&time, lat, lon)
            } else {
                moving(&time, lat, lon, f64::from(n) / 7.0)
            }
        });
        events.push(reported(&vehicle, fixes.collect()));
        events.push(about_an_account(n));
        events.push(about_a_deployment(n));
        events.push(about_an_objective(n));
        events.push(about_a_log(n));
        events.push(about_a_competition(n));
        events.push(about_an_activity(n));
    }
    log(events)
}

pub async fn digest_of(db: &TestDb, projection: &dyn AnyProjection, generation: i32) -> String {
    let mut connection = db.pool().acquire().await.unwrap();
    let target = Target {
        tenant: TENANT,
        generation,
    };
    digest(&mut connection, projection, &target).await.unwrap()
}

#[tokio::test]
async fn batches_and_their_order_leave_the_same_rows() {
    let db = TestDb::create().await;
    let log = story();
    for projection in projections::all() {
        let mut digests = Vec::new();
        let cuts: [(usize, bool); 4] = [(log.len(), false), (1, false), (7, true), (1, true)];
        for (generation, (batch, backwards)) in (1..).zip(cuts) {
            create_tables(&db, &*projection, generation).await;
            let mut batches: Vec<_> = log.chunks(batch).collect();
            if backwards {
                batches.reverse();
            }
            for batch in batches {
                write(&db, &*projection, generation, batch).await;
            }
            digests.push(digest_of(&db, &*projection, generation).await);
        }
        assert!(digests.iter().all(|d| *d == digests[0]), "{digests:#?}");
        // And another log has another digest.
        create_tables(&db, &*projection, 9).await;
        write(&db, &*projection, 9, &log[..log.len() - 8]).await;
        assert_ne!(digest_of(&db, &*projection, 9).await, digests[0]);
    }
}

#[tokio::test]
async fn what_a_rebuild_knows_of_its_rows_changes_none_of_them() {
    let db = TestDb::create().await;
    let log = story();
    for projection in projections::all() {
        for generation in 1..=3 {
            create_tables(&db, &*projection, generation).await;
        }
        write(&db, &*projection, 1, &log).await;
        // One knows of all it has written; of two, each takes rows for new that the other has written.
        let [one, two, three] = [(); 3].map(|()| Filling::default());
        for (n, batch) in log.chunks(7).rev().enumerate() {
            write_as(&db, &*projection, 2, batch, Some(&one)).await;
            let other = if n % 2 == 0 { &two } else { &three };
            write_as(&db, &*projection, 3, batch, Some(other)).await;
        }
        let expected = digest_of(&db, &*projection, 1).await;
        for generation in 2..=3 {
            assert_eq!(digest_of(&db, &*projection, generation).await, expected);
        }
    }
}

#[tokio::test]
async fn ranges_written_at_once_lose_nothing() {
    let db = Arc::new(TestDb::create().await);
    let log = Arc::new(story());
    for projection in projections::all() {
        create_tables(&db, &*projection, 1).await;
        create_tables(&db, &*projection, 2).await;
        write(&db, &*projection, 1, &log).await;
        // Four writers, each with every fourth event in turn: all touch the same rows.
        let writers: Vec<_> = (0..4)
            .map(|hand| {
                let (db, log, projection) = (db.clone(), log.clone(), projection.clone());
                tokio::spawn(async move {
                    let mine: Vec<_> = log.iter().skip(hand).step_by(4).cloned().collect();
                    for batch in mine.chunks(3) {
                        write(&db, &*projection, 2, batch).await;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(
            digest_of(&db, &*projection, 2).await,
            digest_of(&db, &*projection, 1).await,
            "{}",
            projection.name()
        );
    }
}

#[tokio::test]
async fn tenants_share_tables_and_see_only_their_own() {
    let db = after(
        vec![reported(
            "ours",
            vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)],
        )],
        1,
    )
    .await;
    let before = digest_of(&db, &*read_model("positions"), 1).await;
    for projection in projections::all() {
        let mut theirs = log(vec![reported(
            "theirs",
            vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)],
        )]);
        theirs[0].tenant = "other".into();
        write(&db, &*projection, 1, &theirs).await;
    }
    assert_eq!(digest_of(&db, &*read_model("positions"), 1).await, before);
    let mut snap = snapshot(&db).await;
    let all = positions::LatestFilter::default();
    let page = positions::latest(&mut snap, &all, None, 10).await.unwrap();
    let ids: Vec<_> = page
        .items
        .iter()
        .map(|row| row.fix.vehicle_id.as_str())
        .collect();
    assert_eq!(ids, ["ours"]);
}

#[tokio::test]
async fn a_read_model_without_a_live_generation_says_so() {
    let db = TestDb::create().await;
    let projection = read_model("positions");
    create_tables(&db, &*projection, 1).await;
    go_live(&db, &*projection, 0).await;
    let mut snap = Reader::new(db.pool().clone())
        .snapshot(TENANT)
        .await
        .unwrap();
    let all = positions::LatestFilter::default();
    assert_eq!(
        positions::latest(&mut snap, &all, None, 10)
            .await
            .unwrap()
            .items,
        []
    );
    let error = vehicles::vehicle(&mut snap, "1").await.unwrap_err();
    assert!(matches!(error, ReadError::NotBuilt("vehicles")) && !error.is_callers());
}
