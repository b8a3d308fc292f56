//! Quotas shared by processes through Redis, and what becomes of them when it is lost, slow, full or lying
//! (O13 of `docs/promises.md`).

use std::net::IpAddr;
use std::time::Duration;

use daybook::cache::Cache;
use daybook::config::{Limits, Settings};
use daybook::limits::{Kind, Limiter};
use daybook::ops::{Clock, Metrics};
use redis::{Cmd, cmd};
use rustix::process::Signal;

use crate::support::{Line, TestApp, TestRedis, Trouble, eventually, redis_settings, redis_url};

const SECRET: [u8; 32] = [7; 32];

/// What one address may ask at once; hours pass until it may ask more.
const BURST: usize = 200;

fn limits() -> Limits {
    let mut limits = Settings::default().limits;
    limits.address_per_minute = 1;
    limits.address_burst = BURST as u32;
    limits.settle_interval = Duration::from_millis(1);
    limits.nodes_assumed = 4;
    limits
}

/// A process's limiter over the Redis at this address, which may take its time: a busy machine is no fault.
fn node(url: &str, secret: [u8; 32]) -> Limiter {
    node_within(Duration::from_secs(10), url, secret)
}

/// One that waits for Redis no longer than this.
fn node_within(budget: Duration, url: &str, secret: [u8; 32]) -> Limiter {
    let mut redis = redis_settings(url);
    redis.budget = budget;
    let cache = Cache::new(&Settings::default().cache, &redis, SECRET).unwrap();
    Limiter::start(&limits(), cache.ledger(), secret, Clock::system())
}

fn address(n: u32) -> IpAddr {
    IpAddr::V4((0xcb00_0000 + n).into())
}

/// What is left after a request; none if it was refused.
fn left(node: &Limiter, address: IpAddr) -> Option<usize> {
    let verdict = node.address(address).expect("it is counted").ok()?;
    usize::try_from(verdict.remaining).ok()
}

/// How many of so many requests get through.
fn through(node: &Limiter, address: IpAddr, times: usize) -> usize {
    (0..times).filter(|_| left(node, address).is_some()).count()
}

#[tokio::test]
async fn processes_share_a_quota() {
    let redis = TestRedis::start().await;
    let (a, b) = (node(&redis.url(), SECRET), node(&redis.url(), SECRET));
    let one = address(1);
    assert_eq!(through(&a, one, 150), 150);
    let mut own = 0;
    eventually("the other process knows of it", async || {
        own += 1;
        left(&b, one).is_some_and(|left| left == BURST - 150 - own)
    })
    .await;
    assert!(own < BURST - 150, "it was known in time");
    assert_eq!(through(&b, one, BURST), BURST - 150 - own);
    // What it let through is known to the first one, which had some left of its own.
    let mut over = 0;
    eventually("the first one knows as well", async || {
        match left(&a, one) {
            Some(_) => {
                over += 1;
                false
            }
            None => true,
        }
    })
    .await;
    assert!(over < BURST - 150, "{over} more than the quota");
    // Others have theirs, and processes of another secret know nothing of these.
    assert_eq!(through(&b, address(2), 10), 10);
    let stranger = node(&redis.url(), [8; 32]);
    assert_eq!(through(&stranger, one, 10), 10);
}

/// Two processes that both let through all they have are no way to have twice the quota for long: what was
/// let through before it was known is paid back.
#[tokio::test]
async fn what_goes_over_is_paid_back() {
    let redis = TestRedis::start().await;
    let (a, b) = (node(&redis.url(), SECRET), node(&redis.url(), SECRET));
    let one = address(1);
    // No settlement comes between: nothing is awaited.
    assert_eq!(through(&a, one, BURST) + through(&b, one, BURST), 2 * BURST);
    let minutes = |node: &Limiter| {
        let refused = node.address(one).unwrap().unwrap_err();
        refused.retry_after.as_secs_f64() / 60.0
    };
    assert!(
        minutes(&a) <= 1.0 && minutes(&b) <= 1.0,
        "neither knows of the other"
    );
    eventually("one of them waits for both", async || {
        minutes(&a).max(minutes(&b)) > BURST as f64
    })
    .await;
}

/// What Redis is told: digests and numbers; the script once.
#[tokio::test]
async fn redis_is_told_no_names() {
    let redis = TestRedis::start().await;
    let node = node(&redis.url(), SECRET);
    node.login(address(6), "a").await.unwrap();
    for round in 0..5 {
        assert_eq!(through(&node, address(round), 1), 1);
        node.login(address(7), "somebody@example.org")
            .await
            .unwrap();
    }
    let told = async || -> (usize, usize) {
        let stats: String = redis.tell(cmd("INFO").arg("commandstats")).await;
        let calls = |name: &str| {
            let line = stats.lines().find(|line| line.starts_with(name))?;
            line.split("calls=").nth(1)?.split(',').next()?.parse().ok()
        };
        let of = |name: &str| calls(name).unwrap_or(0);
        (of("cmdstat_eval:"), of("cmdstat_evalsha:"))
    };
    let (whole, _) = told().await;
    assert_eq!(whole, 1, "the script is known by the name we give it");
    redis.tell::<()>(cmd("SCRIPT").arg("FLUSH")).await;
    node.login(address(8), "b").await.unwrap();
    // Once, or by both who need it at the same moment.
    let (again, _) = told().await;
    assert!(again > whole, "a server that has lost it is told again");
    let keys: Vec<String> = redis.tell(cmd("KEYS").arg("*")).await;
    assert!(keys.len() >= 2, "{keys:?}");
    for key in keys {
        let (place, digest) = key.rsplit_once(':').unwrap();
        assert!(
            place.starts_with("daybook:") && place.ends_with(":spent"),
            "{key}"
        );
        assert!(
            digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
            "{key}"
        );
        let ttl: i64 = redis.tell(cmd("PTTL").arg(&key)).await;
        assert!(ttl > 0, "{key} ends by itself");
        let value: String = redis.tell(&Cmd::get(&key)).await;
        assert!(value.parse::<u64>().is_ok(), "{value}");
    }
}

/// O13: whatever befalls Redis, a process gives out its share: neither all, nor nothing.
#[tokio::test]
async fn o13_redis_in_trouble() {
    let metrics = Metrics::install();
    let mut redis = TestRedis::start().await;
    let line = Line::to(redis.socket());
    let url = redis_url(&line.socket());
    let node = node_within(Duration::from_millis(250), &url, SECRET);
    let mut fresh = 1_000;
    let mut eventually_gives = async |what: &str, most: usize| {
        eventually(what, async || {
            fresh += 1;
            left(&node, address(fresh)) == Some(most - 1)
        })
        .await;
        fresh += 1;
        through(&node, address(fresh), 2 * BURST)
    };
    assert_eq!(eventually_gives("all is well", BURST).await, BURST);
    for trouble in [
        Trouble::Silence,
        Trouble::Garbage,
        Trouble::Reset,
        Trouble::Half,
    ] {
        line.disturb(trouble);
        let given = eventually_gives(&format!("{trouble:?} is noticed"), BURST / 4).await;
        assert_eq!(given, BURST / 4, "{trouble:?}");
        line.disturb(Trouble::None);
        let given = eventually_gives(&format!("{trouble:?} is over"), BURST).await;
        assert_eq!(given, BURST, "{trouble:?}");
    }
    let full = |bytes: &str| {
        let mut full = cmd("CONFIG");
        full.arg("SET").arg("maxmemory").arg(bytes);
        full
    };
    redis.tell::<()>(&full("1")).await;
    assert_eq!(eventually_gives("it is full", BURST / 4).await, BURST / 4);
    redis.tell::<()>(&full("0")).await;
    assert_eq!(eventually_gives("there is room", BURST).await, BURST);
    redis.signal(Signal::STOP);
    assert_eq!(
        eventually_gives("it stands still", BURST / 4).await,
        BURST / 4
    );
    redis.signal(Signal::CONT);
    assert_eq!(eventually_gives("it goes on", BURST).await, BURST);
    redis.kill().await;
    assert_eq!(eventually_gives("it is gone", BURST / 4).await, BURST / 4);
    redis.restart().await;
    assert_eq!(eventually_gives("it is back", BURST).await, BURST);
    for reason in ["late", "failed"] {
        let label = format!("reason=\"{reason}\"");
        assert!(
            counted(&metrics, "daybook_limit_fallbacks_total", &label) > 0,
            "{reason}"
        );
    }
}

/// A counter, all its series of this label added up.
fn counted(metrics: &Metrics, name: &str, label: &str) -> u64 {
    let page = metrics.render();
    let lines = page
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label));
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

/// What is counted, refused and forgotten can be seen.
#[tokio::test]
async fn figures() {
    let metrics = Metrics::install();
    let mut limits = limits();
    limits.entries_max = 64;
    let limiter = Limiter::start(&limits, None, SECRET, Clock::system());
    let seen = |name: &str, label: &str| counted(&metrics, name, label);
    let refused = r#"kind="address",outcome="refused""#;
    let (before, forgotten) = (
        seen("daybook_limits_total", refused),
        seen("daybook_limit_evictions_total", ""),
    );
    assert_eq!(through(&limiter, address(1), BURST + 7), BURST);
    let others = (0..1_000).filter(|n| left(&limiter, address(*n)).is_some());
    assert!(others.count() >= 999, "each asks once");
    assert!(seen("daybook_limits_total", refused) >= before + 7);
    assert!(
        seen(
            "daybook_limits_total",
            r#"kind="address",outcome="allowed""#
        ) >= 1_000
    );
    assert!(seen("daybook_limit_evictions_total", "") > forgotten);
}

/// Somebody else's entries: a wrong one is no entry, one that says nothing was spent gives nothing back.
#[tokio::test]
async fn o13_planted_entries() {
    let redis = TestRedis::start().await;
    let node = node(&redis.url(), SECRET);
    let one = address(1);
    assert_eq!(through(&node, one, 100), 100);
    let mut keys: Vec<String> = Vec::new();
    eventually("it is settled", async || {
        keys = redis.tell(cmd("KEYS").arg("*")).await;
        keys.len() == 1
    })
    .await;
    let mut spent = 100;
    for planted in ["0", "-1", "nan", "-inf", "some text", ""] {
        redis.tell::<()>(&Cmd::set(&keys[0], planted)).await;
        spent += 1;
        assert_eq!(left(&node, one), Some(BURST - spent), "{planted}");
        eventually("it is settled again", async || {
            let kept: String = redis.tell(&Cmd::get(&keys[0])).await;
            kept.parse::<u64>().is_ok_and(|tat| tat > 0)
        })
        .await;
    }
    // The far future is believed as far as a bucket can be overspent.
    redis.tell::<()>(&Cmd::set(&keys[0], "1e308")).await;
    eventually("it is believed", async || left(&node, one).is_none()).await;
    let refused = node.address(one).unwrap().unwrap_err();
    assert!(refused.retry_after <= Duration::from_secs(2 * 60 * BURST as u64));
}

/// K7 over several processes: an account's pause is everybody's, an address's quota as well; whoever is
/// refused for one is not counted for the other.
#[tokio::test]
async fn sign_ins_are_counted_everywhere() {
    let redis = TestRedis::start().await;
    let (a, b) = (node(&redis.url(), SECRET), node(&redis.url(), SECRET));
    for n in 0..5 {
        a.login(address(n), "x").await.unwrap();
    }
    let refused = b.login(address(9), "x").await.unwrap_err();
    assert_eq!(refused.standing.kind, Kind::SignInAccount);
    assert!(refused.retry_after <= Duration::from_secs(1));
    a.signed_in(address(0), "x").await;
    b.login(address(9), "x")
        .await
        .expect("the pause was taken back");

    for n in 0..10 {
        a.login(address(50), &format!("y{n}")).await.unwrap();
    }
    for _ in 0..3 {
        b.login(address(50), "z").await.unwrap_err();
    }
    for n in 60..65 {
        b.login(address(n), "z")
            .await
            .expect("what was refused was no attempt");
    }
}

/// Without Redis, sign-ins stay strict: each process has its share of them.
#[tokio::test]
async fn sign_ins_without_redis() {
    let mut redis = TestRedis::start().await;
    let node = node(&redis.url(), SECRET);
    node.login(address(1), "w").await.unwrap();
    redis.kill().await;
    node.login(address(1), "w").await.unwrap();
    let mut passed = 0;
    for n in 0..20 {
        passed += usize::from(node.login(address(2), &format!("y{n}")).await.is_ok());
    }
    assert_eq!(passed, 2, "ten, divided by four");
    let mut tried = 0;
    for n in 10..20 {
        tried += usize::from(node.login(address(n), "z").await.is_ok());
    }
    assert_eq!(tried, 2, "five, divided by four and rounded up");
}

/// Two serving processes and one Redis: a caller has one quota.
#[tokio::test]
async fn serving_processes_share_quotas() {
    let redis = TestRedis::start().await;
    let share = |settings: &mut Settings| {
        settings.redis = redis_settings(&redis.url());
        settings.redis.budget = Duration::from_secs(10);
        settings.limits.enabled = true;
        settings.limits.user_per_minute = 1;
        settings.limits.user_burst = 100;
        settings.limits.settle_interval = Duration::from_millis(1);
    };
    let a = TestApp::with(share).await;
    let b = a.beside(share).await;
    let body = br#"{"query":"{ __typename }"}"#;
    for _ in 0..60 {
        assert_eq!(a.post(body, &[]).await.status, 200);
    }
    let mut passed = 60;
    eventually("both are at an end", async || {
        let statuses = [
            a.post(body, &[]).await.status,
            b.post(body, &[]).await.status,
        ];
        passed += statuses.iter().filter(|status| **status == 200).count();
        statuses == [429, 429]
    })
    .await;
    assert!((100..130).contains(&passed), "{passed} of 100");
}
