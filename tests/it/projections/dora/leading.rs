//! Lead times.

use std::sync::Arc;

use domain::deployment::{Status, Tier};
use projections::Target;
use projections::dora::{DoraEvidence, LeadBasis};

use super::super::releases::{Story, carrying, change, ran};
use super::super::scene::{TENANT, at, create_tables, go_live, log, read_model, write};
use super::{as_known_at, behind, figures, january_2024, told};
use crate::support::TestDb;

const HOUR: f64 = 3_600.0;

#[tokio::test]
async fn a_change_counts_once_where_it_first_ran() {
    let one = change("one", "2024-01-09T11:00:00Z");
    let mut story = Story::default();
    // To staging before production, and to production without coming to run.
    let mut staging = ran("cart", "v1", "2024-01-09T11:30:00Z");
    staging.tier = Tier::Staging;
    story.told("staging", carrying(staging, std::slice::from_ref(&one)));
    let mut failed = ran("cart", "v1", "2024-01-09T11:45:00Z");
    failed.status = Status::Failed;
    story.told("failed", carrying(failed, std::slice::from_ref(&one)));
    let first = ran("cart", "v1", "2024-01-09T12:00:00Z");
    story.told("first", carrying(first, std::slice::from_ref(&one)));
    let again = ran("cart", "v2", "2024-01-09T20:00:00Z");
    story.told("again", carrying(again, std::slice::from_ref(&one)));
    // The same commit in another service of one repository is another change.
    let other = ran("pay", "v1", "2024-01-09T14:00:00Z");
    story.told("other", carrying(other, std::slice::from_ref(&one)));
    let db = told(story).await;
    let lead = figures(&db, &january_2024()).await.lead_time;
    assert_eq!((lead.changes, lead.excluded), (2, 0));
    assert_eq!(lead.p50_s, Some(2.0 * HOUR));
    let items = behind(&db, &january_2024(), DoraEvidence::LeadTimes).await;
    let ids: Vec<_> = items.iter().map(|item| item.deployment.as_str()).collect();
    assert_eq!(ids, ["first", "other"]);
    assert_eq!(items[0].seconds, Some(HOUR));
    // Where the first one lies before the span, the change is not in it.
    let mut later = january_2024();
    later.from = at("2024-01-09T13:00:00Z");
    assert_eq!(figures(&db, &later).await.lead_time.changes, 1);
    // An earlier deployment that became known later changes what came first.
    assert_eq!(figures(&db, &as_known_at(2)).await.lead_time.changes, 0);
}

#[tokio::test]
async fn an_earlier_deployment_told_of_later_moves_a_change() {
    let one = [change("one", "2024-01-09T11:00:00Z")];
    let mut story = Story::default();
    story.told(
        "second",
        carrying(ran("cart", "v2", "2024-01-09T20:00:00Z"), &one),
    );
    story.told(
        "first",
        carrying(ran("cart", "v1", "2024-01-09T12:00:00Z"), &one),
    );
    let db = told(story).await;
    let median = async |query| figures(&db, &query).await.lead_time.p50_s;
    assert_eq!(median(as_known_at(1)).await, Some(9.0 * HOUR));
    assert_eq!(median(january_2024()).await, Some(HOUR));
}

/// Two who write at the same moment do not see each other's rows: the second waits for the first.
#[tokio::test]
async fn a_change_of_two_deployments_that_are_written_at_once_counts_once() {
    let one = [change("one", "2024-01-09T11:00:00Z")];
    let mut story = Story::default();
    for (id, time) in [("first", "12:00"), ("second", "20:00")] {
        let ran = ran("cart", id, &format!("2024-01-09T{time}:00Z"));
        story.told(id, carrying(ran, &one));
    }
    let log = log(story.0);
    let db = Arc::new(TestDb::create().await);
    let deployments = read_model("deployments");
    create_tables(&db, &*deployments, 1).await;
    let mut delta = deployments.delta();
    deployments.fold(&mut delta, &log[0]).unwrap();
    let target = Target {
        tenant: TENANT,
        generation: 1,
    };
    let mut held = projections::begin(db.pool(), "begin").await.unwrap();
    deployments.write(&mut held, &target, delta).await.unwrap();
    let beside = tokio::spawn({
        let (db, deployments) = (db.clone(), deployments.clone());
        async move { write(&db, &*deployments, 1, &log[1..]).await }
    });
    let waits = "select exists (select from pg_locks l join pg_database d on d.oid = l.database
                 where d.datname = current_database() and l.locktype = 'advisory' and not l.granted)";
    while !beside.is_finished() {
        let waiting: bool = sqlx::query_scalar(waits)
            .fetch_one(db.pool())
            .await
            .unwrap();
        if waiting {
            break;
        }
    }
    held.commit().await.unwrap();
    beside.await.unwrap();
    go_live(&db, &*deployments, 2).await;
    let lead = figures(&db, &january_2024()).await.lead_time;
    assert_eq!((lead.changes, lead.p50_s), (1, Some(HOUR)));
}

#[tokio::test]
async fn the_first_deployment_of_a_service_takes_only_what_is_listed() {
    let mut story = Story::default();
    story.told("seed", ran("cart", "v1", "2024-01-09T12:00:00Z"));
    let listed = [change("new", "2024-01-10T10:00:00Z")];
    story.told(
        "next",
        carrying(ran("cart", "v2", "2024-01-10T12:00:00Z"), &listed),
    );
    let db = told(story).await;
    let all = figures(&db, &january_2024()).await;
    assert_eq!((all.frequency.deployments, all.lead_time.changes), (2, 1));
    assert_eq!(all.lead_time.p50_s, Some(2.0 * HOUR));
}

#[tokio::test]
async fn what_is_not_positive_is_left_out_and_counted() {
    let mut story = Story::default();
    let changes = [
        change("a", "2024-01-10T11:00:00Z"),
        change("b", "2024-01-10T09:00:00Z"),
        change("at once", "2024-01-10T12:00:00Z"),
        change("before", "2024-01-10T13:00:00Z"),
    ];
    story.told(
        "d",
        carrying(ran("cart", "v1", "2024-01-10T12:00:00Z"), &changes),
    );
    let db = told(story).await;
    let lead = figures(&db, &january_2024()).await.lead_time;
    assert_eq!((lead.changes, lead.excluded, lead.untimed), (2, 2, 0));
    // Continuous percentiles of one and three hours.
    assert_eq!(lead.p50_s, Some(2.0 * HOUR));
    assert_eq!(
        (lead.p75_s, lead.p90_s),
        (Some(2.5 * HOUR), Some(2.8 * HOUR))
    );
    assert!((lead.p95_s.unwrap() - 2.9 * HOUR).abs() < 1e-6);
    assert_eq!(
        (lead.within_1h.changes, lead.within_1h.share),
        (1, Some(0.5))
    );
    assert_eq!(
        (lead.within_24h.changes, lead.within_24h.share),
        (2, Some(1.0))
    );
    let excluded = behind(&db, &january_2024(), DoraEvidence::Excluded).await;
    let excluded: Vec<_> = excluded
        .iter()
        .map(|item| (item.change.as_deref().unwrap(), item.seconds.unwrap()))
        .collect();
    assert_eq!(excluded, [("at once", 0.0), ("before", -HOUR)]);
}

#[tokio::test]
async fn lead_times_may_begin_with_writing() {
    let mut story = Story::default();
    let mut written = change("written", "2024-01-10T11:00:00Z");
    written.authored_at = Some(at("2024-01-10T02:00:00Z"));
    let changes = [written, change("committed", "2024-01-10T11:00:00Z")];
    story.told(
        "d",
        carrying(ran("cart", "v1", "2024-01-10T12:00:00Z"), &changes),
    );
    let db = told(story).await;
    let mut query = january_2024();
    query.basis = LeadBasis::Authored;
    let lead = figures(&db, &query).await.lead_time;
    assert_eq!((lead.changes, lead.untimed, lead.excluded), (1, 1, 0));
    assert_eq!(lead.p50_s, Some(10.0 * HOUR));
}

#[tokio::test]
async fn parts_count_as_far_as_they_were_told() {
    let mut story = Story::default();
    let mut whole = change("whole", "2024-01-10T03:00:00Z");
    whole.authored_at = Some(at("2024-01-10T01:00:00Z"));
    whole.opened_at = Some(at("2024-01-10T04:00:00Z"));
    whole.first_review_at = Some(at("2024-01-10T05:00:00Z"));
    whole.merged_at = Some(at("2024-01-10T09:00:00Z"));
    // Merged before anybody looked at it: that is no time of review.
    let mut unread = change("unread", "2024-01-10T03:00:00Z");
    unread.opened_at = Some(at("2024-01-10T04:00:00Z"));
    unread.first_review_at = Some(at("2024-01-10T08:00:00Z"));
    unread.merged_at = Some(at("2024-01-10T07:00:00Z"));
    let changes = [whole, unread, change("bare", "2024-01-10T03:00:00Z")];
    story.told(
        "d",
        carrying(ran("cart", "v1", "2024-01-10T12:00:00Z"), &changes),
    );
    let db = told(story).await;
    let parts = figures(&db, &january_2024()).await.lead_time.parts;
    let told = |part: projections::dora::Part| (part.changes, part.p50_s.map(|s| s / HOUR));
    assert_eq!(told(parts.coding), (2, Some(2.0)));
    assert_eq!(told(parts.pickup), (2, Some(2.5)));
    assert_eq!(told(parts.review), (1, Some(4.0)));
    assert_eq!(told(parts.deploy), (2, Some(4.0)));
}
