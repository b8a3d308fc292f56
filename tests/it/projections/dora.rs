//! DORA's figures over histories made by hand, one clause of the definitions each.

mod failing;
mod leading;

use domain::Position;
use domain::deployment::{DeploymentReason, Tier};
use projections::ReadError;
use projections::dora::{
    Dora, DoraBucket, DoraEvidence, DoraFigures, DoraQuery, EvidenceItem, FrequencyBand, dora,
    evidence,
};

use super::releases::{Story, carrying, change, january, ran};
use super::scene::{after, at, snapshot};
use crate::support::TestDb;

/// January 2024, by UTC.
fn january_2024() -> DoraQuery {
    DoraQuery::production(at("2024-01-01T00:00:00Z"), at("2024-02-01T00:00:00Z"))
}

async fn told(story: Story) -> TestDb {
    after(story.0, 3).await
}

async fn asked(db: &TestDb, query: &DoraQuery) -> Dora {
    let mut snap = snapshot(db).await;
    dora(&mut snap, query).await.unwrap()
}

async fn figures(db: &TestDb, query: &DoraQuery) -> DoraFigures {
    asked(db, query).await.total
}

fn as_known_at(position: i64) -> DoraQuery {
    DoraQuery {
        known_at: Some(Position(position)),
        ..january_2024()
    }
}

/// Everything behind a figure, taken two at a time.
async fn behind(db: &TestDb, query: &DoraQuery, of: DoraEvidence) -> Vec<EvidenceItem> {
    let mut snap = snapshot(db).await;
    let mut items: Vec<EvidenceItem> = Vec::new();
    loop {
        let after = items.last().map(Into::into);
        let page = evidence(&mut snap, query, of, after.as_ref(), 2);
        let page = page.await.unwrap();
        items.extend(page.items);
        if !page.has_next {
            return items;
        }
    }
}

#[tokio::test]
async fn without_data_no_figure_is_a_number() {
    let mut story = Story::default();
    let mut elsewhere = ran("cart", "v1", "2024-01-10T12:00:00Z");
    elsewhere.tier = Tier::Staging;
    story.told("staging", elsewhere);
    story.told("later", ran("cart", "v1", "2024-02-01T00:00:00Z"));
    let db = told(story).await;
    let mut by_week = january_2024();
    by_week.bucket = Some(DoraBucket::Week);
    let answer = asked(&db, &by_week).await;
    assert_eq!((answer.buckets.len(), answer.as_of), (5, Position(2)));
    for none in answer.buckets.iter().chain([&answer.total]) {
        let frequency = &none.frequency;
        assert_eq!((frequency.deployments, frequency.days_with_one), (0, 0));
        assert_eq!(
            (frequency.per_day, frequency.median_days_per_week),
            (None, None)
        );
        assert_eq!(frequency.band, None);
        let lead = &none.lead_time;
        assert_eq!((lead.changes, lead.excluded, lead.untimed), (0, 0, 0));
        assert_eq!((lead.p50_s, lead.p95_s), (None, None));
        assert_eq!((lead.within_7d.changes, lead.within_7d.share), (0, None));
        assert_eq!(
            (lead.parts.review.changes, lead.parts.review.p50_s),
            (0, None)
        );
        assert_eq!((none.failures.failed, none.failures.of), (0, 0));
        assert_eq!(
            (none.failures.rate, none.failures.rollback_share),
            (None, None)
        );
        assert_eq!((none.recovery.recovered, none.recovery.open), (0, 0));
        assert_eq!((none.recovery.p50_s, none.recovery.mean_s), (None, None));
        assert_eq!((none.rework.deployments, none.rework.rate), (0, None));
    }
    assert_eq!(
        behind(&db, &january_2024(), DoraEvidence::Deployments).await,
        []
    );
}

#[tokio::test]
async fn buckets_are_those_of_the_zone_and_end_with_the_span() {
    let mut story = Story::default();
    // 23:30 on the 30th in London is still the 30th; with summer time it is the 31st, a day of 23 hours.
    story.told("a", ran("cart", "v1", "2024-03-30T23:30:00Z"));
    story.told("b", ran("cart", "v2", "2024-03-31T22:30:00Z"));
    story.told("c", ran("cart", "v3", "2024-03-31T23:30:00Z"));
    let db = told(story).await;
    let mut query = DoraQuery::production(at("2024-03-30T12:00:00Z"), at("2024-04-02T10:00:00Z"));
    query.zone = "Europe/London".to_owned();
    query.bucket = Some(DoraBucket::Day);
    let days = asked(&db, &query).await;
    let told: Vec<_> = days
        .buckets
        .iter()
        .map(|day| (day.start.to_rfc3339(), day.frequency.deployments))
        .collect();
    let expect = [
        ("2024-03-30T12:00:00+00:00".to_owned(), 1),
        ("2024-03-31T00:00:00+00:00".to_owned(), 1),
        ("2024-03-31T23:00:00+00:00".to_owned(), 1),
        ("2024-04-01T23:00:00+00:00".to_owned(), 0),
    ];
    assert_eq!(told, expect);
    assert_eq!(days.buckets[3].end, query.to);
    // A day on which clocks change is one day; half a day is half a day.
    assert_eq!(days.buckets[1].frequency.per_day, Some(1.0));
    assert_eq!(days.buckets[0].frequency.per_day, Some(2.0));
    assert_eq!(days.total.frequency.days_with_one, 3);
    assert_eq!(days.total.frequency.deployments, 3);

    query.bucket = Some(DoraBucket::Month);
    let months = asked(&db, &query).await.buckets;
    let starts: Vec<_> = months.iter().map(|month| month.start).collect();
    assert_eq!(starts, [query.from, at("2024-03-31T23:00:00Z")]);

    let mut snap = snapshot(&db).await;
    query.zone = "Europe/Nowhere".to_owned();
    let refused = dora(&mut snap, &query).await.unwrap_err();
    assert!(matches!(refused, ReadError::UnknownZone));
    query.zone = "UTC".to_owned();
    query.from = at("1900-01-01T00:00:00Z");
    let refused = dora(&mut snap, &query).await.unwrap_err();
    assert!(matches!(
        refused,
        ReadError::TooManyBuckets { most: 1_000, .. }
    ));
    query.from = query.to;
    let refused = dora(&mut snap, &query).await.unwrap_err();
    assert!(matches!(refused, ReadError::EmptySpan));
    // The snapshot is still good.
    dora(&mut snap, &january_2024()).await.unwrap();
}

#[tokio::test]
async fn a_usual_week_is_the_median_of_whole_weeks() {
    let mut story = Story::default();
    // Weeks of January: three days with one, then one, none and four; the rest of it is no whole week.
    for (n, day) in [1, 1, 2, 3, 8, 22, 23, 24, 25, 29].into_iter().enumerate() {
        let time = january(day, "12:00").to_rfc3339();
        story.told(&format!("d{n}"), ran("cart", "v1", &time));
    }
    let db = told(story).await;
    let frequency = figures(&db, &january_2024()).await.frequency;
    assert_eq!((frequency.deployments, frequency.days_with_one), (10, 9));
    assert_eq!(frequency.per_day, Some(10.0 / 31.0));
    assert_eq!(frequency.median_days_per_week, Some(2.0));
    assert_eq!(frequency.band, Some(FrequencyBand::Weekly));
    let mut days = january_2024();
    days.to = at("2024-01-05T00:00:00Z");
    let frequency = figures(&db, &days).await.frequency;
    assert_eq!(
        (frequency.median_days_per_week, frequency.band),
        (None, None)
    );
    assert_eq!(frequency.per_day, Some(1.0));
}

#[tokio::test]
async fn rework_is_an_unplanned_fix_or_what_ends_an_incident() {
    let mut story = Story::default();
    story.told("planned", ran("cart", "v1", "2024-01-02T12:00:00Z"));
    let mut fix = ran("cart", "v2", "2024-01-03T12:00:00Z");
    fix.plan.reason = DeploymentReason::UnplannedFix;
    story.told("fix", fix);
    let mut ends = ran("cart", "v3", "2024-01-04T12:00:00Z");
    ends.plan.remedies = Some("incident".to_owned());
    story.told("ends", ends);
    story.told("next", ran("cart", "v4", "2024-01-05T12:00:00Z"));
    let db = told(story).await;
    let rework = figures(&db, &january_2024()).await.rework;
    assert_eq!((rework.deployments, rework.rate), (2, Some(0.5)));
    let items = behind(&db, &january_2024(), DoraEvidence::Rework).await;
    let ids: Vec<_> = items.iter().map(|item| item.deployment.as_str()).collect();
    assert_eq!(ids, ["fix", "ends"]);
    assert_eq!(items[0].positions, [Position(2)]);
    let all = behind(&db, &january_2024(), DoraEvidence::Deployments).await;
    assert_eq!(all.len(), 4);
}

#[tokio::test]
async fn a_scope_is_all_its_conditions() {
    let mut story = Story::default();
    let mut of = |id: &str, service: &str, change_of: &dyn Fn(&mut domain::deployment::Plan)| {
        let mut told = ran(service, "v1", "2024-01-02T12:00:00Z");
        change_of(&mut told.plan);
        story.told(id, told);
    };
    of("cart", "cart", &|_| {});
    of("pay", "pay", &|plan| plan.team = Some("money".to_owned()));
    of("eu", "cart", &|plan| {
        plan.environment = "live-eu".to_owned()
    });
    of("other", "cart", &|plan| plan.project = "blog".to_owned());
    let db = told(story).await;
    let count = async |change_of: &dyn Fn(&mut DoraQuery)| {
        let mut query = january_2024();
        change_of(&mut query);
        figures(&db, &query).await.frequency.deployments
    };
    assert_eq!(count(&|_| {}).await, 4);
    assert_eq!(
        count(&|q| q.scope.project = Some("shop".to_owned())).await,
        3
    );
    let services = |names: &[&str]| Some(names.iter().map(|&n| n.to_owned()).collect());
    assert_eq!(count(&|q| q.scope.services = services(&["cart"])).await, 3);
    assert_eq!(
        count(&|q| q.scope.services = services(&["cart", "pay"])).await,
        4
    );
    assert_eq!(count(&|q| q.scope.services = services(&[])).await, 0);
    assert_eq!(count(&|q| q.scope.team = Some("money".to_owned())).await, 1);
    let environment = Some("live-eu".to_owned());
    assert_eq!(
        count(&|q| q.scope.environment = environment.clone()).await,
        1
    );
    let both = |q: &mut DoraQuery| {
        q.scope.services = services(&["cart"]);
        q.scope.project = Some("shop".to_owned());
    };
    assert_eq!(count(&both).await, 2);
    assert_eq!(count(&|q| q.tier = Tier::Staging).await, 0);
    // Told at positions 1 to 4: as known before the third there were two.
    assert_eq!(count(&|q| q.known_at = Some(Position(2))).await, 2);
}

#[tokio::test]
async fn what_was_amended_away_is_not_carried() {
    use domain::deployment::{
        DeploymentAmended, DeploymentEvent, DeploymentRequested, DeploymentStarted,
        DeploymentSucceeded, RequestedBy,
    };
    let committed = "2024-01-01T12:00:00Z";
    let mut story = Story::default();
    let plan = carrying(
        ran("cart", "v1", committed),
        &[change("kept", committed), change("dropped", committed)],
    )
    .plan;
    story.of(
        "d",
        DeploymentEvent::DeploymentRequested(DeploymentRequested {
            plan,
            tier: Tier::Production,
            requested_by: RequestedBy::User("ann".to_owned()),
            at: january(2, "12:00"),
        }),
    );
    story.of(
        "d",
        DeploymentEvent::DeploymentAmended(DeploymentAmended {
            revision: 2,
            by: None,
            version: "v2".to_owned(),
            description: None,
            changes: Some(vec![change("kept", committed), change("new", committed)]),
            reopened: None,
            at: january(2, "13:00"),
        }),
    );
    let started = DeploymentStarted {
        at: january(2, "14:00"),
        despite: vec![],
    };
    story.of("d", DeploymentEvent::DeploymentStarted(started));
    let at = january(2, "15:00");
    story.of(
        "d",
        DeploymentEvent::DeploymentSucceeded(DeploymentSucceeded { at }),
    );
    story.also_carries("d", &[change("late", committed)]);
    let db = told(story).await;
    let carried = async |query: &DoraQuery| {
        let items = behind(&db, query, DoraEvidence::LeadTimes).await;
        let changes = items.into_iter().map(|item| item.change.unwrap());
        changes.collect::<Vec<_>>()
    };
    assert_eq!(carried(&january_2024()).await, ["kept", "late", "new"]);
    assert_eq!(carried(&as_known_at(4)).await, ["kept", "new"]);
    assert!(carried(&as_known_at(3)).await.is_empty());
    // It runs at 15:00 of the next day, 27 hours after its changes were committed.
    let lead = figures(&db, &january_2024()).await.lead_time;
    assert_eq!((lead.changes, lead.p50_s), (3, Some(27.0 * 3_600.0)));
}
