//! The same figures made by PostgreSQL from the very list that the events were made of.

use chrono::{DateTime, TimeDelta, Utc};
use domain::deployment::DeploymentRecorded;
use domain::slo::{Objective, Sli, SloScope};
use projections::slo::SloQuery;
use sqlx::Row;

use super::{asked, hours, measured, nine_of_ten, of, tuesday};
use crate::projections::releases::{Story, ran};
use crate::projections::scene::after;
use crate::support::TestDb;

/// A deployment: its service, when it was wanted, began and ran.
type Told = (&'static str, [DateTime<Utc>; 3]);

/// Two hundred deployments of two services in forty days, by rules without a pattern in time.
fn releases(last: DateTime<Utc>) -> Vec<Told> {
    let told = |n: i64| {
        let ran = last - TimeDelta::seconds(n * 17_291 % (40 * 86_400));
        let began = ran - TimeDelta::milliseconds(n * n * 7_919 % 900_001);
        let wanted = began - TimeDelta::milliseconds(n * 7_104_729 % 86_400_003);
        let service = if n % 3 == 0 { "cart" } else { "till" };
        (service, [wanted, began, ran])
    };
    (0..200).map(told).collect()
}

/// Counts, median and 95th percentile, shares of hours: by hand, from a list of spans of time.
const BY_HAND: &str = "
    with told as (
        select wanted, began, ran, service,
               extract(epoch from case when $1 then ran - wanted else ran - began end)::float8 as seconds
        from unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
             t (service, wanted, began, ran)
        where ran >= $6 - interval '720 hours' and ran < $6 and ($7::text is null or service = $7)),
    hour as (
        select avg((seconds <= $8)::int) >= 0.5 as good from told
        group by floor(extract(epoch from ran) / 3600))
    select count(*), count(*) filter (where seconds <= $8),
           percentile_cont(0.5) within group (order by seconds),
           percentile_cont(0.95) within group (order by seconds),
           (select count(*) from hour), (select count(*) from hour where good)
    from told";

async fn check(db: &TestDb, told: &[Told], query: &SloQuery) {
    let scope = &query.objective.scope;
    let column = |n: usize| told.iter().map(|t| t.1[n]).collect::<Vec<_>>();
    let row = sqlx::query(BY_HAND)
        .bind(query.objective.sli == Sli::RequestToProduction)
        .bind(told.iter().map(|t| t.0).collect::<Vec<_>>())
        .bind(column(0))
        .bind(column(1))
        .bind(column(2))
        .bind(query.at)
        .bind(scope.service.clone())
        .bind(f64::from(query.objective.threshold_seconds))
        .fetch_one(db.pool())
        .await
        .unwrap();
    let with = async |percentile, method| {
        let objective = Objective {
            percentile_ppm: Some(percentile),
            method,
            ..query.objective.clone()
        };
        let query = SloQuery {
            objective,
            ..query.clone()
        };
        measured(db, &query).await
    };
    let median = with(500_000, query.objective.method.clone()).await;
    let late = with(950_000, hours(500_000)).await;
    let count = |n: usize| row.get::<i64, _>(n);
    assert!(
        count(0) > 20 && count(1) > 0 && count(1) < count(0),
        "{scope:?}"
    );
    assert_eq!(median.counted, of(count(0), count(1)), "{scope:?}");
    assert_eq!(median.percentile_s, row.get(2), "{scope:?}");
    assert_eq!(late.percentile_s, row.get(3), "{scope:?}");
    assert_eq!(late.counted, of(count(4), count(5)), "{scope:?}");
}

#[tokio::test]
async fn figures_equal_those_of_postgresql() {
    let query = asked(nine_of_ten(Sli::DeploymentDuration), &tuesday("14:00"));
    let told = releases(query.at);
    let mut story = Story::default();
    for (n, (service, [wanted, began, ran_at])) in told.iter().enumerate() {
        let release = DeploymentRecorded {
            requested_at: Some(*wanted),
            started_at: Some(*began),
            ..ran(service, &n.to_string(), &ran_at.to_rfc3339())
        };
        story.told(&format!("d{n}"), release);
    }
    let db = after(story.0, 50).await;
    for (sli, threshold_seconds) in [
        (Sli::DeploymentDuration, 300),
        (Sli::RequestToProduction, 40_000),
    ] {
        for service in [None, Some("cart"), Some("till")] {
            let mut query = query.clone();
            query.objective = Objective {
                threshold_seconds,
                scope: SloScope {
                    service: service.map(str::to_owned),
                    ..SloScope::default()
                },
                ..nine_of_ten(sli)
            };
            check(&db, &told, &query).await;
        }
    }
}
