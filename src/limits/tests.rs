//! The limiter without HTTP: who is counted together, what is divided, what is left.

use chrono::{DateTime, TimeDelta};
use domain::ActorKind;

use super::*;
use crate::config::{Networks, Settings};
use crate::ops::MockClock;

fn limiter(change: impl FnOnce(&mut config::Limits)) -> (Limiter, MockClock) {
    let (clock, hand) = Clock::mock(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let mut settings = Settings::default().limits;
    change(&mut settings);
    (Limiter::start(&settings, None, [7; 32], clock), hand)
}

fn networks(text: &str) -> Networks {
    <Networks as crate::config::value::Setting>::parse(text).unwrap()
}

fn passed(limiter: &Limiter, address: &str, times: usize) -> usize {
    let address = address.parse().unwrap();
    let asked = (0..times).map(|_| limiter.address(address));
    asked
        .filter(|verdict| matches!(verdict, Some(Ok(_))))
        .count()
}

#[test]
fn the_thousand_and_first_of_an_address_is_refused() {
    let (limiter, hand) = limiter(|_| ());
    assert_eq!(passed(&limiter, "203.0.113.7", 1_001), 1_000);
    assert_eq!(passed(&limiter, "203.0.113.8", 1), 1);
    let refused = limiter
        .address([203, 0, 113, 7].into())
        .unwrap()
        .unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_millis(60));
    assert_eq!(refused.standing.remaining, 0);
    assert_eq!(refused.standing.reset, Duration::from_secs(60));
    hand.advance(TimeDelta::milliseconds(60));
    assert_eq!(passed(&limiter, "203.0.113.7", 5), 1);
    hand.advance(TimeDelta::seconds(60));
    assert_eq!(passed(&limiter, "203.0.113.7", 2_000), 1_000);
}

#[test]
fn addresses_of_one_network_are_one() {
    let (limiter, _) = limiter(|_| ());
    let rotated = (0..1_100u16).map(|n| format!("2001:db8:1:2:{n:x}::{n:x}"));
    let through: usize = rotated.map(|address| passed(&limiter, &address, 1)).sum();
    assert_eq!(through, 1_000);
    assert_eq!(passed(&limiter, "2001:db8:1:3::1", 1), 1);
}

#[test]
fn exempt_networks_are_not_counted() {
    let (limiter, _) = limiter(|settings| {
        settings.exempt_networks = networks("10.0.0.0/8");
    });
    assert!(limiter.address([10, 1, 2, 3].into()).is_none());
    assert!(limiter.address([11, 1, 2, 3].into()).is_some());
}

#[test]
fn a_caller_pays_for_requests_and_for_points() {
    let (limiter, hand) = limiter(|_| ());
    let actor = |kind, id: &str| Actor {
        kind,
        id: id.into(),
    };
    let payer = |tenant: &str, actor| limiter.payer(tenant, &actor).unwrap();
    let user = payer("a", actor(ActorKind::User, "x"));
    let through = |payer, times: usize| {
        (0..times)
            .filter(|_| limiter.request(payer).is_ok())
            .count()
    };
    assert_eq!(through(user, 200), 100);
    hand.advance(TimeDelta::seconds(1));
    assert_eq!(through(user, 200), 10, "600 a minute");
    for other in [
        payer("b", actor(ActorKind::User, "x")),
        payer("a", actor(ActorKind::ApiKey, "x")),
        payer("a", actor(ActorKind::User, "y")),
    ] {
        assert_eq!(through(other, 1), 1);
    }
    let left = |verdict: Result<Standing, Exceeded>| verdict.map(|standing| standing.remaining);
    assert_eq!(left(limiter.operation(user, 4_000)), Ok(6_000));
    assert_eq!(left(limiter.operation(user, 6_000)), Ok(0));
    let refused = limiter.operation(user, 100).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_millis(600));
    assert_eq!(refused.standing.kind, Kind::Cost);
}

#[test]
fn without_redis_each_process_gives_out_its_share() {
    let (limiter, _) = limiter(|settings| settings.nodes_assumed = 4);
    assert_eq!(limiter.0.heard(Err::<(), _>("late")), None);
    assert_eq!(passed(&limiter, "203.0.113.7", 1_000), 250);
    assert_eq!(limiter.0.heard(Ok(())), Some(()));
    assert_eq!(passed(&limiter, "203.0.113.8", 1_100), 1_000);
    assert_eq!(
        passed(&limiter, "203.0.113.7", 1_000),
        0,
        "what was spent stays spent"
    );
}

#[test]
fn a_quota_that_changes_counts_what_was_spent() {
    let (limiter, _) = limiter(|settings| settings.address_burst = 10);
    assert_eq!(passed(&limiter, "203.0.113.7", 11), 10);
    let mut settings = Settings::default().limits;
    (settings.address_per_minute, settings.address_burst) = (1_000, 15);
    limiter.adopt(&settings);
    assert_eq!(passed(&limiter, "203.0.113.7", 11), 5);
    settings.user_per_minute = 7;
    limiter.adopt(&settings);
    let said = "\"address\";q=1000;w=60, \"user\";q=7;w=60, \"cost\";q=10000;w=60";
    assert_eq!(&*limiter.policy(true), said);
    settings.exempt_networks = networks("203.0.113.0/24");
    limiter.adopt(&settings);
    assert!(limiter.address([203, 0, 113, 7].into()).is_none());
    settings.enabled = false;
    limiter.adopt(&settings);
    assert!(limiter.address([198, 51, 100, 1].into()).is_none());
}

#[test]
fn what_is_remembered_is_bounded() {
    let (limiter, _) = limiter(|settings| settings.entries_max = 1_000);
    assert_eq!(passed(&limiter, "203.0.113.7", 1_001), 1_000);
    for n in 0..50_000u32 {
        limiter.address(IpAddr::V4(n.into()));
    }
    assert_eq!(
        passed(&limiter, "203.0.113.7", 1),
        0,
        "who spent most is remembered"
    );
}

#[test]
fn a_source_of_log_records_has_its_own_quota() {
    let (limiter, hand) = limiter(|settings| {
        settings.enabled = false;
        settings.nodes_assumed = 4;
    });
    let take = |source: &str, per_minute, records| {
        let taken = limiter.log_records("a", source, per_minute, records);
        taken.map(|standing| standing.remaining)
    };
    assert_eq!(take("x", 600, 500), Ok(100));
    let refused = take("x", 600, 101).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_millis(100));
    assert_eq!(refused.standing.kind, Kind::LogRecords);
    assert_eq!(take("x", 600, 100), Ok(0), "what was refused is not spent");
    assert_eq!(take("y", 600, 1), Ok(599));
    assert_eq!(
        limiter.log_records("b", "x", 600, 1).map(|s| s.remaining),
        Ok(599)
    );
    hand.advance(TimeDelta::seconds(30));
    assert_eq!(take("x", 600, 300), Ok(0));
    // Twice the rate from now on: what was spent stays spent.
    assert!(take("x", 1_200, 1).is_err());
    hand.advance(TimeDelta::seconds(30));
    assert_eq!(take("x", 1_200, 600), Ok(0));
    assert_eq!(limiter.0.heard(Err::<(), _>("late")), None);
    assert_eq!(take("z", 1_000, 250), Ok(0), "a share of it");
    assert!(take("z", 1_000, 1).is_err());
}
