//! Q2: what it costs to know who asks and whether they may: a token seen for the first time and again, and
//! quotas on lists over GraphQL.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use daybook::auth::{Auth, Foundation, Grant, Ring, Role, Shown, SigningKey, Tokens};
use daybook::config::Settings;
use daybook::limits::Limiter;
use daybook::ops::Clock;
use daybook::vault::Vault;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use super::cached::{LIST, VEHICLES, register, rounds};
use super::cpu::Cpu;
use super::fleets::door;
use super::measure::{Round, Rounds};
use super::report::{Goal, Row};
use super::served::{Served, request, token};
use super::stand::Stand;
use super::wire::Target;

/// Checks of a round: of tokens seen before, and of new ones.
const SEEN: usize = 1_000_000;
const NEW: usize = 10_000;

/// Quotas that nobody comes to the end of.
const WIDE: [(&str, &str); 7] = [
    ("DAYBOOK_LIMITS__ENABLED", "true"),
    ("DAYBOOK_LIMITS__ADDRESS_PER_MINUTE", "100000000"),
    ("DAYBOOK_LIMITS__ADDRESS_BURST", "100000000"),
    ("DAYBOOK_LIMITS__USER_PER_MINUTE", "100000000"),
    ("DAYBOOK_LIMITS__USER_BURST", "100000000"),
    ("DAYBOOK_LIMITS__COST_PER_MINUTE", "1000000000"),
    ("DAYBOOK_LIMITS__COST_BURST", "1000000000"),
];

/// The line's rows.
pub async fn measure(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![first_seen(stand)?, seen_again(stand).await?];
    rows.extend(lists(stand).await?);
    Ok(rows)
}

fn grant() -> Grant {
    Grant {
        subject: "bench".to_owned(),
        tenant: "default".to_owned(),
        roles: vec![Role::Viewer],
        ..Grant::default()
    }
}

fn round(checks: usize, mut check: impl FnMut()) -> Round {
    let own = std::process::id();
    let (before, began) = (Cpu::of(own, None), Instant::now());
    for _ in 0..checks {
        check();
    }
    Round {
        units: checks as f64,
        seconds: began.elapsed().as_secs_f64(),
        cpu: Cpu::of(own, None) - before,
        latencies_us: Vec::new(),
    }
}

fn micros(round: &Round) -> f64 {
    round.seconds * 1e6 / round.units
}

/// A token that nobody has seen, against its signature alone.
fn first_seen(stand: &Stand) -> anyhow::Result<Row> {
    let mut settings = Settings::default().auth;
    settings.verified_tokens_max = 0;
    let tokens = Tokens::new(&settings, Clock::system());
    let key = SigningKey::random();
    let public = DecodingKey::from_ed_components(key.public())?;
    tokens.install(Ring::of(key));
    let token = tokens.mint(&grant())?;
    let (message, signature) = token.rsplit_once('.').context("a token has parts")?;
    let mut compared = Rounds::default();
    for _ in 0..stand.rounds() {
        let checks = stand.size(NEW);
        compared.ours.push(round(checks, || {
            assert!(std::hint::black_box(tokens.verify(&token)).is_ok());
        }));
        compared.reference.push(round(checks, || {
            let good = crypto::verify(signature, message.as_bytes(), &public, Algorithm::EdDSA);
            assert!(std::hint::black_box(good).is_ok_and(|good| good));
        }));
    }
    Ok(compared.row(
        "token seen for the first time, against its signature alone",
        "us",
        Goal::AtMost(1.25),
        micros,
    ))
}

/// A token that was seen before, what the log says of it every two seconds included.
async fn seen_again(stand: &Stand) -> anyhow::Result<Row> {
    let (store, database) = stand.store().await?;
    let (settings, clock) = (Settings::default(), Clock::system());
    let foundation = Foundation {
        door: door(&store),
        store: store.clone(),
        vault: Vault::open(&settings.vault, stand.dir(), store.pool().clone())?,
        limiter: Limiter::start(&settings.limits, None, [0; 32], clock.clone()),
        clock,
    };
    let auth = Auth::start(&settings, foundation).await?;
    let token = auth.mint(&grant())?;
    let shown = Shown {
        bearer: Some(&token),
        api_key: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let mut compared = Rounds::default();
    for _ in 0..stand.rounds() {
        let (own, checks) = (std::process::id(), stand.size(SEEN));
        let (before, began) = (Cpu::of(own, None), Instant::now());
        for _ in 0..checks {
            let admitted = auth.admit(shown).settled().await;
            std::hint::black_box(admitted)?;
        }
        compared.ours.push(Round {
            units: checks as f64,
            seconds: began.elapsed().as_secs_f64(),
            cpu: Cpu::of(own, None) - before,
            latencies_us: Vec::new(),
        });
    }
    drop(auth);
    store.pool().close().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    stand.drop_database(&database).await?;
    Ok(compared.row(
        "token seen before, the log asked every two seconds",
        "us",
        Goal::OursAtMost(2.0),
        micros,
    ))
}

/// The lists of P8, counted against quotas and not: two processes at a time, since each may take as many
/// connections as its pool has, and the server has a hundred for all.
async fn lists(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let database = stand.database().await?;
    let data_dir = stand.dir().join("identity");
    let making = [
        ("DAYBOOK_CACHE__ANSWERS", "false"),
        ("DAYBOOK_CONSUMERS__PROJECT", "false"),
    ];
    let compared: [(&str, &[(&str, &str)]); 2] = [
        ("kept list with quotas against without", &[]),
        ("list made each time with quotas against without", &making),
    ];
    let mut last = None;
    let mut rows = Vec::new();
    for (what, settings) in compared {
        let free = Served::start(&data_dir, Some(&database), settings).await?;
        let counted = [&WIDE[..], settings].concat();
        let counted = Served::start(&data_dir, Some(&database), &counted).await?;
        let token = token(&data_dir, Some(&database)).await?;
        if last.is_none() {
            last = Some(register(&free.address, &token).await?);
        }
        for served in [&free, &counted] {
            let settled = target(served, &token, last.as_deref())?;
            settled.body().await?;
        }
        let ours = target(&counted, &token, None)?;
        let rounds = rounds(stand, &ours, &target(&free, &token, None)?).await?;
        rows.push(rounds.row(what, "/s", Goal::AtLeast(0.9), Round::rate));
        free.stop().await?;
        counted.stop().await?;
    }
    stand.drop_database(&database).await?;
    Ok(rows)
}

/// The question for the list; with a position, one that waits until that is shown.
fn target(served: &Served, token: &str, at_least: Option<&str>) -> anyhow::Result<Target> {
    let mut body = serde_json::json!({ "query": LIST, "variables": { "first": VEHICLES } });
    if let Some(at_least) = at_least {
        body["extensions"] = serde_json::json!({ "atLeast": at_least });
    }
    let body = serde_json::to_vec(&body)?;
    Ok(Target {
        address: served.address.clone(),
        pid: served.pid,
        request: request("/graphql", &served.address, token, &body),
    })
}
