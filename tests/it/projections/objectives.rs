//! Objectives as they are, and as they were known at every position.

use domain::slo::{
    BurnAlertCleared, BurnAlertRaised, BurnRates, BurnRule, Method, Objective, PeriodExcluded, Sli,
    SloDefined, SloEvent, SloRetired, SloRevised, SloScope, Window,
};
use domain::{Event, Position};
use projections::slos::{self, SloFilter, SloRow};

use super::scene::{after, at, snapshot};
use crate::support::TestDb;

/// What an objective of this name says.
pub fn objective(name: &str) -> Objective {
    Objective {
        name: name.to_owned(),
        sli: Sli::ApprovalWait,
        scope: SloScope::default(),
        objective_ppm: 990_000,
        window: Window::Rolling { days: 30 },
        method: Method::Occurrences {},
        threshold_seconds: 600,
        percentile_ppm: None,
        min_events: 0,
    }
}

/// A rule that looks back so many minutes.
pub fn rule(long_minutes: u32) -> BurnRule {
    BurnRule {
        long_minutes,
        short_minutes: 5,
        factor_milli: 14_400,
    }
}

/// Something that was measured.
pub fn rates(position: i64) -> BurnRates {
    BurnRates {
        long_milli: 15_000,
        short_milli: 16_000,
        position: Position(position),
    }
}

fn raised(revision: u32, minutes: u32) -> SloEvent {
    SloEvent::BurnAlertRaised(BurnAlertRaised {
        revision,
        rule: rule(minutes),
        rates: rates(1),
    })
}

fn cleared(revision: u32, minutes: u32) -> SloEvent {
    SloEvent::BurnAlertCleared(BurnAlertCleared {
        revision,
        rule: rule(minutes),
        rates: rates(1),
    })
}

fn defined(name: &str) -> SloEvent {
    SloEvent::SloDefined(SloDefined {
        objective: objective(name),
    })
}

fn revised(revision: u32, name: &str) -> SloEvent {
    SloEvent::SloRevised(SloRevised {
        revision,
        objective: objective(name),
    })
}

fn excluded(hour: u32) -> SloEvent {
    SloEvent::PeriodExcluded(PeriodExcluded {
        from: at(&format!("2016-01-01T{hour:02}:00:00Z")),
        to: at(&format!("2016-01-01T{hour:02}:30:00Z")),
        reason: format!("at {hour}"),
    })
}

/// Everything that is told of an objective, in short.
async fn shown(db: &TestDb, id: &str, known_at: Option<i64>) -> String {
    let mut snap = snapshot(db).await;
    let known_at = known_at.map(Position);
    let Some(row) = slos::slo(&mut snap, id, known_at).await.unwrap() else {
        return "nothing".to_owned();
    };
    let revisions = slos::revisions(&mut snap, id, known_at, None, 9).await;
    let revisions = revisions.unwrap().items;
    assert_eq!(revisions[0].objective, row.objective, "the latest first");
    assert_eq!(revisions[0].position, row.revised_position);
    let exclusions = slos::exclusions(&mut snap, id, known_at, None, 9).await;
    let exclusions = exclusions.unwrap().items;
    let reasons: Vec<&str> = exclusions.iter().map(|e| e.reason.as_str()).collect();
    let alerts = row.alerts.iter();
    let alerts: Vec<_> = alerts
        .map(|a| format!("{}@{}", a.rule.long_minutes, a.position))
        .collect();
    format!(
        "{} r{} of {} [{}] [{}] {} at {}",
        row.objective.name,
        row.revision,
        revisions.len(),
        reasons.join(", "),
        alerts.join(", "),
        row.retired_reason.as_deref().unwrap_or("in force"),
        row.position,
    )
}

#[tokio::test]
async fn an_objective_is_told_as_it_was_known_at_every_position() {
    let of = |id: &str, event: SloEvent| (id.to_owned(), Event::from(event));
    let retired = SloEvent::SloRetired(SloRetired {
        reason: Some("met for ever".to_owned()),
    });
    let events = vec![
        of("other", defined("Other")),
        of("a", defined("First")),
        of("a", excluded(3)),
        of("a", raised(1, 60)),
        of("other", raised(1, 60)),
        of("a", raised(1, 360)),
        of("a", cleared(1, 60)),
        of("a", revised(2, "Second")),
        of("a", raised(2, 60)),
        of("a", excluded(1)),
        of("a", retired),
    ];
    let expect = [
        "nothing",
        "nothing",
        "First r1 of 1 [] [] in force at 2",
        "First r1 of 1 [at 3] [] in force at 3",
        "First r1 of 1 [at 3] [60@4] in force at 4",
        "First r1 of 1 [at 3] [60@4] in force at 4",
        "First r1 of 1 [at 3] [60@4, 360@6] in force at 6",
        "First r1 of 1 [at 3] [360@6] in force at 7",
        "Second r2 of 2 [at 3] [] in force at 8",
        "Second r2 of 2 [at 3] [60@9] in force at 9",
        "Second r2 of 2 [at 3, at 1] [60@9] in force at 10",
        "Second r2 of 2 [at 3, at 1] [] met for ever at 11",
    ];
    for batch in [1, 4, 20] {
        let db = after(events.clone(), batch).await;
        for (position, expect) in (0..).zip(expect) {
            let known = shown(&db, "a", Some(position)).await;
            assert_eq!(known, expect, "at {position}, {batch} at a time");
        }
        assert_eq!(shown(&db, "a", None).await, expect[11]);
        assert_eq!(
            shown(&db, "other", None).await,
            "Other r1 of 1 [] [60@5] in force at 5"
        );
    }
}

#[tokio::test]
async fn lists_are_filtered_by_what_objectives_say_now() {
    let scoped = |project: &str, service: Option<&str>, sli: Sli| Objective {
        scope: SloScope {
            project: Some(project.to_owned()),
            service: service.map(str::to_owned),
            environment: None,
        },
        sli,
        ..objective("An objective")
    };
    let says = |id: &str, objective: Objective| {
        let event = SloEvent::SloDefined(SloDefined { objective });
        (id.to_owned(), Event::from(event))
    };
    let moved = SloEvent::SloRevised(SloRevised {
        revision: 2,
        objective: scoped("shop", Some("cart"), Sli::DeploymentDuration),
    });
    let db = after(
        vec![
            says("a", scoped("shop", None, Sli::ApprovalWait)),
            says("b", scoped("mill", Some("cart"), Sli::ApprovalWait)),
            says("c", scoped("mill", None, Sli::DeploymentDuration)),
            says("d", objective("Of everything")),
            ("b".to_owned(), moved.into()),
            (
                "c".to_owned(),
                SloEvent::SloRetired(SloRetired { reason: None }).into(),
            ),
        ],
        2,
    )
    .await;
    let ids = async |filter: SloFilter, after: Option<&str>, first: u32| {
        let mut snap = snapshot(&db).await;
        let page = slos::slos(&mut snap, &filter, after, first).await.unwrap();
        let ids = page.items.iter().map(|row: &SloRow| row.id.as_str());
        (ids.collect::<Vec<_>>().join(""), page.has_next)
    };
    let text = |text: &str| Some(text.to_owned());
    for (filter, expect) in [
        (SloFilter::default(), "abcd"),
        (
            SloFilter {
                project: text("shop"),
                ..SloFilter::default()
            },
            "ab",
        ),
        (
            SloFilter {
                project: text("mill"),
                ..SloFilter::default()
            },
            "c",
        ),
        (
            SloFilter {
                service: text("cart"),
                ..SloFilter::default()
            },
            "b",
        ),
        (
            SloFilter {
                sli: Some(Sli::DeploymentDuration),
                ..SloFilter::default()
            },
            "bc",
        ),
        (
            SloFilter {
                retired: Some(true),
                ..SloFilter::default()
            },
            "c",
        ),
        (
            SloFilter {
                retired: Some(false),
                sli: Some(Sli::DeploymentDuration),
                ..SloFilter::default()
            },
            "b",
        ),
    ] {
        let found = ids(filter.clone(), None, 9).await;
        assert_eq!(found, (expect.to_owned(), false), "{filter:?}");
    }
    let page = ids(SloFilter::default(), Some("a"), 2).await;
    assert_eq!(page, ("bc".to_owned(), true));
}
