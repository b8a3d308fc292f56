//! What breaks something, and how long it is broken.

use domain::Position;
use domain::incident::LinkKind;
use projections::dora::{ChangeFailures, DoraEvidence, DoraFigures, FailureKind};

use super::super::releases::{Story, back, ran};
use super::{as_known_at, behind, figures, january_2024, told};

const MINUTE: f64 = 60.0;

/// Four deployments of the cart, on the 8th to the 11th at noon.
fn four() -> Story {
    let mut story = Story::default();
    for n in 1..=4 {
        let time = format!("2024-01-{:02}T12:00:00Z", 7 + n);
        story.told(&format!("d{n}"), ran("cart", &format!("v{n}"), &time));
    }
    story
}

fn counts(failures: &ChangeFailures, kind: FailureKind) -> i64 {
    let of = failures.by_kind.iter().find(|(of, _)| *of == kind);
    of.unwrap().1
}

/// Failed, of how many, and by each kind: explicit, inferred, rolled back, undone, hotfix.
fn summed(figures: &DoraFigures) -> (i64, i64, [i64; 5]) {
    let failures = &figures.failures;
    let kinds = [
        FailureKind::Explicit,
        FailureKind::Inferred,
        FailureKind::Rollback,
        FailureKind::InferredRollback,
        FailureKind::Hotfix,
    ];
    let kinds = kinds.map(|kind| counts(failures, kind));
    (failures.failed, failures.of, kinds)
}

#[tokio::test]
async fn each_kind_of_failure_is_told_apart_and_each_deployment_counts_once() {
    let mut story = four();
    story
        .opened("i1", "2024-01-08T12:30:00Z")
        .linked("i1", "d1", LinkKind::Explicit)
        .opened("i2", "2024-01-08T13:00:00Z")
        .linked("i2", "d1", LinkKind::Inferred)
        .rolled_back("d2", "2024-01-09T12:10:00Z")
        .hotfix("d3", None)
        .told("r", back("cart", "v4", "v3", "2024-01-12T12:00:00Z"));
    let db = told(story).await;
    let all = figures(&db, &january_2024()).await;
    assert_eq!(summed(&all), (4, 4, [1, 1, 1, 1, 1]));
    assert_eq!(all.failures.rate, Some(1.0));
    assert_eq!(
        (all.failures.rollbacks, all.failures.rollback_share),
        (1, Some(0.2))
    );
    let items = behind(&db, &january_2024(), DoraEvidence::Failures).await;
    let told: Vec<_> = items
        .iter()
        .map(|item| (item.deployment.as_str(), item.kinds.as_slice()))
        .collect();
    let expect: [(&str, &[FailureKind]); 4] = [
        ("d1", &[FailureKind::Explicit, FailureKind::Inferred]),
        ("d2", &[FailureKind::Rollback]),
        ("d3", &[FailureKind::Hotfix]),
        ("d4", &[FailureKind::InferredRollback]),
    ];
    assert_eq!(told, expect);
    assert_eq!(items[0].incidents, ["i1", "i2"]);
    // That it ran; both incidents and their links; nothing else.
    let positions = [1, 5, 6, 7, 8].map(Position);
    assert_eq!(items[0].positions, positions);
    assert_eq!(items[3].positions, [Position(4), Position(11)]);
    let rollbacks = behind(&db, &january_2024(), DoraEvidence::Rollbacks).await;
    assert_eq!(rollbacks.len(), 1);
}

#[tokio::test]
async fn what_is_said_on_purpose_takes_the_place_of_what_was_inferred() {
    let mut story = four();
    story
        .opened("i1", "2024-01-11T12:30:00Z")
        .linked("i1", "d4", LinkKind::Inferred);
    let inferred = story.position();
    // Somebody knows better: it was another one.
    story.linked("i1", "d3", LinkKind::Explicit);
    let explicit = story.position();
    // And takes that back: what the rule found counts again.
    story.unlinked("i1", "d3");
    let unlinked = story.position();
    story.linked("i1", "d4", LinkKind::Explicit);
    let db = told(story).await;
    let known = async |position| {
        let items = behind(&db, &as_known_at(position), DoraEvidence::Failures).await;
        let told = items.into_iter().map(|item| (item.deployment, item.kinds));
        told.collect::<Vec<_>>()
    };
    let one = |id: &str, kind| vec![(id.to_owned(), vec![kind])];
    assert_eq!(known(inferred).await, one("d4", FailureKind::Inferred));
    assert_eq!(known(explicit).await, one("d3", FailureKind::Explicit));
    assert_eq!(known(unlinked).await, one("d4", FailureKind::Inferred));
    assert_eq!(known(unlinked + 1).await, one("d4", FailureKind::Explicit));
}

#[tokio::test]
async fn a_late_incident_changes_the_past_but_not_what_was_known() {
    let mut story = four();
    let before = story.position();
    story
        .opened("i1", "2024-01-08T12:30:00Z")
        .linked("i1", "d1", LinkKind::Explicit);
    let open = story.position();
    story.resolved("i1", "2024-01-08T13:30:00Z");
    let db = told(story).await;
    let then = figures(&db, &as_known_at(before)).await;
    assert_eq!((then.failures.failed, then.failures.rate), (0, Some(0.0)));
    let then = figures(&db, &as_known_at(open)).await;
    assert_eq!((then.failures.failed, then.failures.rate), (1, Some(0.25)));
    assert_eq!((then.recovery.recovered, then.recovery.open), (0, 1));
    assert_eq!(then.recovery.p50_s, None);
    let now = figures(&db, &january_2024()).await;
    assert_eq!((now.failures.failed, now.recovery.open), (1, 0));
    assert_eq!(now.recovery.p50_s, Some(60.0 * MINUTE));
    assert_eq!(now.recovery.mean_s, Some(60.0 * MINUTE));
}

#[tokio::test]
async fn an_incident_that_is_open_again_is_open() {
    let mut story = four();
    story
        .opened("i1", "2024-01-08T12:30:00Z")
        .linked("i1", "d1", LinkKind::Explicit)
        .resolved("i1", "2024-01-08T13:00:00Z")
        .reopened("i1");
    let reopened = story.position();
    story.resolved("i1", "2024-01-08T14:00:00Z");
    let db = told(story).await;
    let recovery = figures(&db, &as_known_at(reopened)).await.recovery;
    assert_eq!((recovery.recovered, recovery.open), (0, 1));
    let open = behind(&db, &as_known_at(reopened), DoraEvidence::Open).await;
    assert_eq!(open.len(), 1);
    let recovery = figures(&db, &january_2024()).await.recovery;
    assert_eq!(
        (recovery.recovered, recovery.p50_s),
        (1, Some(90.0 * MINUTE))
    );
    let recovered = behind(&db, &january_2024(), DoraEvidence::Recoveries).await;
    assert_eq!(recovered[0].seconds, Some(90.0 * MINUTE));
}

#[tokio::test]
async fn recovered_is_whatever_comes_first() {
    let mut story = four();
    // d1: resolved after ten minutes, rolled back after twenty.
    story
        .opened("i1", "2024-01-08T12:00:00Z")
        .linked("i1", "d1", LinkKind::Explicit)
        .resolved("i1", "2024-01-08T12:10:00Z")
        .rolled_back("d1", "2024-01-08T12:20:00Z");
    // d2: an incident half an hour later, whose fix runs after another hour; still open.
    story
        .opened("i2", "2024-01-09T12:30:00Z")
        .linked("i2", "d2", LinkKind::Explicit);
    let mut fix = ran("cart", "v2.1", "2024-01-09T13:30:00Z");
    fix.plan.remedies = Some("i2".to_owned());
    story.told("f2", fix);
    // d3: marked, with the deployment that fixed it; d4: marked and nothing else is known.
    story.told("f3", ran("cart", "v3.1", "2024-01-10T14:00:00Z"));
    story.hotfix("d3", Some("f3")).hotfix("d4", None);
    let db = told(story).await;
    let all = figures(&db, &january_2024()).await;
    assert_eq!(summed(&all), (4, 6, [2, 0, 1, 0, 2]));
    assert_eq!((all.recovery.recovered, all.recovery.open), (3, 1));
    assert_eq!(all.recovery.p50_s, Some(60.0 * MINUTE));
    let each = behind(&db, &january_2024(), DoraEvidence::Failures).await;
    let each: Vec<_> = each
        .iter()
        .map(|item| item.seconds.map(|s| s / MINUTE))
        .collect();
    assert_eq!(each, [Some(10.0), Some(60.0), Some(120.0), None]);
    assert!((all.recovery.p90_s.unwrap() - 108.0 * MINUTE).abs() < 1e-6);
}

#[tokio::test]
async fn a_rollback_undoes_the_latest_deployment_of_what_it_replaces() {
    let mut story = Story::default();
    story
        .told("v1", ran("cart", "v1", "2024-01-08T12:00:00Z"))
        .told("v2", ran("cart", "v2", "2024-01-09T12:00:00Z"))
        .told("v2 again", ran("cart", "v2", "2024-01-10T12:00:00Z"))
        .told("v2 elsewhere", ran("pay", "v2", "2024-01-10T13:00:00Z"))
        .told("r1", back("cart", "v2", "v1", "2024-01-10T14:00:00Z"))
        // Of the rollback itself, and of a version that never ran.
        .told("r2", back("cart", "v1", "v0", "2024-01-10T15:00:00Z"))
        .told("r3", back("cart", "v9", "v1", "2024-01-10T16:00:00Z"))
        .told("v2 later", ran("cart", "v2", "2024-01-11T12:00:00Z"));
    let db = told(story).await;
    let all = figures(&db, &january_2024()).await;
    // r2 replaced what r1 had brought back: a rollback, which is not asked whether it failed.
    assert_eq!(summed(&all), (1, 5, [0, 0, 0, 1, 0]));
    assert_eq!(all.failures.rollbacks, 3);
    let failed = behind(&db, &january_2024(), DoraEvidence::Failures).await;
    assert_eq!(failed[0].deployment, "v2 again");
    assert_eq!(failed[0].seconds, Some(120.0 * MINUTE));
    assert_eq!(summed(&figures(&db, &as_known_at(4)).await).0, 0);
    // The deployment lies in the span, what undid it behind it.
    let mut span = january_2024();
    span.to = super::super::scene::at("2024-01-10T12:30:00Z");
    assert_eq!(summed(&figures(&db, &span).await), (1, 3, [0, 0, 0, 1, 0]));
}

#[tokio::test]
async fn a_mark_taken_back_is_none_but_was_one() {
    let mut story = four();
    story.hotfix("d1", None);
    let marked = story.position();
    story.no_hotfix("d1");
    let db = told(story).await;
    assert_eq!(figures(&db, &january_2024()).await.failures.failed, 0);
    let then = figures(&db, &as_known_at(marked)).await.failures;
    assert_eq!(counts(&then, FailureKind::Hotfix), 1);
}

#[tokio::test]
async fn rollbacks_are_not_asked_whether_they_failed() {
    let mut story = four();
    story
        .told("r", back("cart", "v9", "v4", "2024-01-12T12:00:00Z"))
        .opened("i1", "2024-01-12T12:30:00Z")
        .linked("i1", "r", LinkKind::Explicit);
    let db = told(story).await;
    let all = figures(&db, &january_2024()).await;
    assert_eq!(summed(&all), (0, 4, [0; 5]));
    assert_eq!((all.recovery.recovered, all.recovery.open), (0, 0));
}
