//! Shares, percentiles, budgets, burn rates and windows, of how long deployments take.

use chrono::TimeDelta;
use domain::Position;
use domain::deployment::{DeploymentRecorded, Status, Tier};
use domain::slo::{Objective, Sli, SloScope, Window};
use projections::ReadError;
use projections::slo::{HistoryBucket, SampleKind, SloQuery, SloStatus, history, measure};

use super::{
    asked, behind, check_evidence, failed, hours, instant, known, measured, nine_of_ten, of, took,
    tuesday, week_of,
};
use crate::projections::releases::Story;
use crate::projections::scene::{after, at, snapshot};
use crate::support::TestDb;

fn duration() -> Objective {
    nine_of_ten(Sli::DeploymentDuration)
}

/// Deployments of one, two, three and no minutes, in two hours.
fn four() -> Story {
    let mut story = Story::default();
    for (id, from, to) in [
        ("one", "12:00", "12:01"),
        ("two", "12:10", "12:12"),
        ("three", "13:00", "13:03"),
        ("none", "13:30", "13:30"),
    ] {
        story.told(id, took(&tuesday(from), &tuesday(to)));
    }
    story
}

async fn told(story: Story) -> TestDb {
    after(story.0, 3).await
}

#[tokio::test]
async fn what_was_good_is_counted_and_listed() {
    let db = told(four()).await;
    let mut query = asked(duration(), &tuesday("14:00"));
    query.objective.percentile_ppm = Some(500_000);
    let found = measured(&db, &query).await;
    assert_eq!(found.from, at("2026-01-11T14:00:00Z"));
    assert_eq!((found.samples, found.counted), (of(4, 3), of(4, 3)));
    assert_eq!((found.negative, found.open), (0, 0));
    assert_eq!(found.counted.share(), Some(0.75));
    assert_eq!(found.percentile_s, Some(90.0));
    assert_eq!(found.counted.budget_used(900_000), Some(2.5));
    assert_eq!(
        (found.status, found.as_of),
        (SloStatus::Missed, Position(4))
    );
    let bad = behind(&db, &query, SampleKind::Bad).await;
    let three = (bad[0].deployment.as_deref(), bad[0].seconds, bad[0].at);
    assert_eq!(three, (Some("three"), Some(180.0), instant("13:03")));
    assert_eq!(
        (bad[0].began, &bad[0].positions[..]),
        (instant("13:00"), &[Position(3)][..])
    );
    let good = behind(&db, &query, SampleKind::Good).await;
    let ids: Vec<_> = good
        .iter()
        .filter_map(|row| row.deployment.as_deref())
        .collect();
    assert_eq!(ids, ["one", "two", "none"]);
    check_evidence(&db, &query).await;
}

#[tokio::test]
async fn burn_rates_are_of_the_long_and_the_short_span() {
    let db = told(four()).await;
    let found = measured(&db, &asked(duration(), &tuesday("14:00"))).await;
    let factors: Vec<_> = found.burn.iter().map(|b| b.rule.factor_milli).collect();
    assert_eq!(factors, [14_400, 6_000, 3_000, 1_000]);
    // Of the last hour one of two was bad, of its last five minutes there is nothing.
    assert_eq!(
        (found.burn[0].long, found.burn[0].short),
        (of(2, 1), of(0, 0))
    );
    assert!(!found.burn[0].is_too_fast(900_000));
    // Of three days, and of six hours, one of four.
    assert_eq!(
        (found.burn[3].long, found.burn[3].short),
        (of(4, 3), of(4, 3))
    );
    assert!(found.burn[3].is_too_fast(900_000));
    assert!(
        !found.burn[2].is_too_fast(900_000),
        "2.5 is not more than 3"
    );
}

/// Of 1 % that may be bad, 18 of 125 use up 14.4 times as much: as fast as allowed, not too fast.
#[tokio::test]
async fn a_rate_of_fourteen_point_four_is_exact() {
    let mut story = Story::default();
    for n in 0..125 {
        let to = if n < 18 { "11:59" } else { "11:56" };
        story.told(&format!("d{n}"), took(&tuesday("11:55"), &tuesday(to)));
    }
    let strict = Objective {
        objective_ppm: 990_000,
        ..duration()
    };
    let query = asked(strict, &tuesday("12:00"));
    let db = told(Story(story.0.clone())).await;
    let found = measured(&db, &query).await;
    let urgent = found.burn[0];
    let rates = [urgent.long, urgent.short].map(|counted| counted.budget_used(990_000));
    assert_eq!(rates, [Some(14.4), Some(14.4)]);
    assert!(!urgent.is_too_fast(990_000));
    story.told("one more", took(&tuesday("11:50"), &tuesday("11:58")));
    let found = measured(&told(story).await, &query).await;
    assert!(found.burn[0].is_too_fast(990_000));
}

#[tokio::test]
async fn slices_count_where_something_happened() {
    let db = told(four()).await;
    let sliced = async |ppm: u32| {
        let objective = Objective {
            method: hours(ppm),
            ..duration()
        };
        measured(&db, &asked(objective, &tuesday("23:00"))).await
    };
    // Of the hours with a deployment, in the second half was good.
    let strict = sliced(500_001).await;
    assert_eq!((strict.samples, strict.counted), (of(4, 3), of(2, 1)));
    assert_eq!(strict.status, SloStatus::Missed);
    let lax = sliced(500_000).await;
    assert_eq!((lax.counted, lax.status), (of(2, 2), SloStatus::Met));
    // A burn rate is of slices too, each as far as it lies in the span.
    let day = lax.burn[2];
    assert_eq!((day.rule.long_minutes, day.long), (1_440, of(2, 2)));
    assert_eq!(strict.burn[2].long, of(2, 1));
}

#[tokio::test]
async fn a_percentile_has_to_be_met_as_well() {
    let db = told(four()).await;
    let with = async |percentile, objective_ppm| {
        let objective = Objective {
            percentile_ppm: Some(percentile),
            objective_ppm,
            ..duration()
        };
        let found = measured(&db, &asked(objective, &tuesday("14:00"))).await;
        (found.percentile_s, found.status)
    };
    assert_eq!(
        with(750_000, 750_000).await,
        (Some(135.0), SloStatus::Missed)
    );
    assert_eq!(with(500_000, 750_000).await, (Some(90.0), SloStatus::Met));
    assert_eq!(
        with(500_000, 750_001).await,
        (Some(90.0), SloStatus::Missed)
    );
}

#[tokio::test]
async fn little_is_told_apart_from_nothing() {
    let db = told(four()).await;
    let with = async |objective: Objective, time: &str| {
        let query = asked(objective, time);
        let found = measured(&db, &query).await;
        check_evidence(&db, &query).await;
        (
            found.counted,
            found.counted.share(),
            found.percentile_s,
            found.status,
        )
    };
    let of_five = Objective {
        min_events: 5,
        ..duration()
    };
    let little = with(of_five, &tuesday("14:00")).await;
    assert_eq!(little, (of(4, 3), Some(0.75), None, SloStatus::LowTraffic));
    let nothing = (of(0, 0), None, None, SloStatus::NoData);
    let median = Objective {
        percentile_ppm: Some(500_000),
        ..duration()
    };
    assert_eq!(with(median, &tuesday("12:00")).await, nothing);
    let elsewhere = Objective {
        scope: SloScope {
            service: Some("till".to_owned()),
            ..SloScope::default()
        },
        ..duration()
    };
    assert_eq!(with(elsewhere, &tuesday("14:00")).await, nothing);
}

#[tokio::test]
async fn a_period_that_is_left_out_leaves_both_sides() {
    let db = told(four()).await;
    let mut query = asked(duration(), &tuesday("14:00"));
    query.excluded = vec![(instant("13:00"), instant("13:30"))];
    let found = measured(&db, &query).await;
    assert_eq!((found.samples, found.status), (of(3, 3), SloStatus::Met));
    assert_eq!(found.burn[0].long, of(1, 1));
    assert_eq!(behind(&db, &query, SampleKind::Bad).await, []);
    query.excluded.push((instant("12:00"), instant("14:00")));
    assert_eq!(measured(&db, &query).await.status, SloStatus::NoData);
}

/// Only good and bad ends are ends; clocks of others may run backwards.
#[tokio::test]
async fn what_is_open_negative_or_called_off_counts_apart() {
    let mut story = four();
    let started = |status| DeploymentRecorded {
        status,
        ..took(&tuesday("13:40"), &tuesday("13:50"))
    };
    story
        .told("failed", failed(took(&tuesday("13:00"), &tuesday("13:40"))))
        .told("off", started(Status::Cancelled))
        .told("backwards", took(&tuesday("13:20"), &tuesday("13:10")))
        .told("later", took(&tuesday("13:59"), &tuesday("14:00")))
        .told(
            "open",
            DeploymentRecorded {
                finished_at: None,
                ..started(Status::InProgress)
            },
        );
    let db = told(story).await;
    let query = asked(duration(), &tuesday("14:00"));
    let found = measured(&db, &query).await;
    assert_eq!(
        (found.samples, found.negative, found.open),
        (of(5, 3), 1, 2)
    );
    check_evidence(&db, &query).await;
    let open = behind(&db, &query, SampleKind::Open).await;
    let ids: Vec<_> = open
        .iter()
        .filter_map(|row| row.deployment.as_deref())
        .collect();
    assert_eq!(ids, ["open", "later"]);
    assert_eq!(open[0].seconds, None);
    let backwards = behind(&db, &query, SampleKind::Negative).await;
    assert_eq!(backwards[0].seconds, Some(-600.0));
}

/// From being wanted to running, in production alone.
#[tokio::test]
async fn requests_to_production_end_when_they_run_there() {
    let mut story = Story::default();
    let wanted = |told: DeploymentRecorded, clock| DeploymentRecorded {
        requested_at: Some(instant(clock)),
        ..told
    };
    let mut elsewhere = wanted(took(&tuesday("12:00"), &tuesday("12:01")), "12:00");
    elsewhere.tier = Tier::Staging;
    story
        .told(
            "quick",
            wanted(took(&tuesday("12:00"), &tuesday("12:01")), "11:59"),
        )
        .told(
            "slow",
            wanted(took(&tuesday("12:00"), &tuesday("12:01")), "11:58"),
        )
        .told("unasked", took(&tuesday("12:00"), &tuesday("12:01")))
        .told("elsewhere", elsewhere)
        .told(
            "failed",
            failed(wanted(took(&tuesday("12:00"), &tuesday("12:01")), "12:00")),
        );
    let mut query = asked(nine_of_ten(Sli::RequestToProduction), &tuesday("13:00"));
    let db = told(story).await;
    let found = measured(&db, &query).await;
    assert_eq!((found.samples, found.open), (of(2, 1), 0));
    check_evidence(&db, &query).await;
    // While it was under way it was open.
    query.at = at("2026-02-10T12:00:30Z");
    assert_eq!(measured(&db, &query).await.open, 3);
}

#[tokio::test]
async fn what_becomes_known_late_changes_the_past_but_not_what_was_known() {
    let mut story = four();
    let before = story.position();
    story.told("late", took(&tuesday("12:30"), &tuesday("12:40")));
    let db = told(story).await;
    let query = asked(duration(), &tuesday("14:00"));
    let now = measured(&db, &query).await;
    assert_eq!((now.samples, now.as_of), (of(5, 3), Position(5)));
    let then = known(&query, before, &tuesday("14:00"));
    let found = measured(&db, &then).await;
    assert_eq!((found.samples, found.as_of), (of(4, 3), Position(4)));
    check_evidence(&db, &then).await;
}

/// In London clocks go forward on 29 March 2026 and back on 25 October: Sundays of 23 and 25 hours.
#[tokio::test]
async fn weeks_are_those_of_the_zone() {
    let mut story = Story::default();
    story
        .told(
            "spring",
            took("2026-03-29T22:00:00Z", "2026-03-29T22:30:00Z"),
        )
        .told(
            "autumn",
            took("2026-10-25T23:30:00Z", "2026-10-25T23:31:00Z"),
        );
    let db = told(story).await;
    let week = |time| {
        let objective = Objective {
            window: week_of("Europe/London"),
            ..duration()
        };
        asked(objective, time)
    };
    let sunday = async |query: &SloQuery| {
        let mut snap = snapshot(&db).await;
        let days = history(&mut snap, query, HistoryBucket::Day).await.unwrap();
        assert_eq!(days.len(), 7);
        (days[6].end - days[6].start, days[6].counted)
    };
    let spring = week("2026-03-29T22:59:59.999999Z");
    let found = measured(&db, &spring).await;
    assert_eq!(found.from, at("2026-03-23T00:00:00Z"));
    assert_eq!(found.samples, of(1, 0));
    // 2 % of 167 hours in one.
    assert_eq!(found.burn[0].rule.factor_milli, 3_340);
    let last = TimeDelta::hours(23) - TimeDelta::microseconds(1);
    assert_eq!(sunday(&spring).await, (last, of(1, 0)));
    let autumn = week("2026-10-25T23:59:59.999999Z");
    let found = measured(&db, &autumn).await;
    assert_eq!(found.from, at("2026-10-18T23:00:00Z"));
    assert_eq!(found.burn[0].rule.factor_milli, 3_380);
    let last = TimeDelta::hours(25) - TimeDelta::microseconds(1);
    assert_eq!(sunday(&autumn).await, (last, of(1, 1)));
    // The next week has just begun: nothing can have happened in it.
    let next = week("2026-03-29T23:00:00Z");
    let found = measured(&db, &next).await;
    assert_eq!((found.from, found.to), (next.at, next.at));
    assert_eq!(
        (found.counted.share(), found.status),
        (None, SloStatus::NoData)
    );
    let mut snap = snapshot(&db).await;
    let days = history(&mut snap, &next, HistoryBucket::Day).await.unwrap();
    assert_eq!(days, []);
}

#[tokio::test]
async fn months_and_weeks_of_a_window_are_cut_at_its_edges() {
    let db = told(four()).await;
    let month = Objective {
        window: Window::CalendarMonth {
            zone: "Europe/Berlin".to_owned(),
        },
        ..duration()
    };
    let query = asked(month, &tuesday("14:00"));
    assert_eq!(measured(&db, &query).await.from, at("2026-01-31T23:00:00Z"));
    let mut snap = snapshot(&db).await;
    let weeks = history(&mut snap, &query, HistoryBucket::Week)
        .await
        .unwrap();
    let starts: Vec<_> = weeks.iter().map(|week| week.start).collect();
    let mondays = [
        "2026-01-31T23:00:00Z",
        "2026-02-01T23:00:00Z",
        "2026-02-08T23:00:00Z",
    ];
    assert_eq!(starts, mondays.map(at));
    assert_eq!(weeks[2].end, query.at);
    let counted: Vec<_> = weeks.iter().map(|week| week.counted).collect();
    assert_eq!(counted, [of(0, 0), of(0, 0), of(4, 3)]);
    let mars = Objective {
        window: week_of("Mars"),
        ..duration()
    };
    let refused = measure(&mut snap, &asked(mars, &tuesday("14:00"))).await;
    assert!(
        matches!(refused, Err(ReadError::UnknownZone)),
        "{refused:?}"
    );
}
