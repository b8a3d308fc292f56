//! From scores to prizes: a period is closed once, by itself or when somebody says so, and stays as it was.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use daybook::config::Settings;
use domain::decimal;
use domain::standing::Standing;
use futures::future::join_all;
use projections::competitions::{self as read, Among, Board, PeriodRow};
use projections::{Snapshot, activities};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::scene::{Arena, but};
use crate::identity::scene::{As, SOUTH, Scene, at_leisure, outcome};
use crate::support::{PATIENCE, eventually};

/// Everything is looked at all the time, and another process takes over soon.
fn often(settings: &mut Settings) {
    settings.competitions.close_interval = Duration::from_millis(100);
    settings.consumers.lease = Duration::from_secs(1);
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The text whose SHA-256 a board is frozen with, as docs tell an auditor to make it.
fn text(id: &str, key: &str, as_of: i64, board: &[Standing]) -> String {
    let entries = board.len();
    let mut text = format!(
        "daybook standings 1\ncompetition\t{id}\nperiod\t{key}\nas of\t{as_of}\nentries\t{entries}\n"
    );
    for line in board {
        let (score, sub) = (line.score.units(), line.sub_score.units());
        let reached = line.achieved_at.timestamp_micros();
        writeln!(
            text,
            "{}\t{}\t{score}\t{sub}\t{reached}",
            line.rank, line.user
        )
        .unwrap();
    }
    text
}

fn lines(board: &[Standing]) -> Vec<(u64, &str, i64)> {
    let all = board.iter();
    all.map(|line| (line.rank, line.user.as_str(), line.score.units()))
        .collect()
}

impl Arena {
    /// Puts the clock to a time.
    fn turn_to(&self, at: &str) {
        self.clock.set(time(at));
    }

    /// The read models with all that the log holds.
    async fn settled(&self) -> Snapshot {
        let app = self.scene.app.app();
        let head = self.scene.app.store().head("default").await.unwrap();
        let models = [read::NAME, activities::NAME];
        let tenant = "default".into();
        let waited = app.consumers.wait_for(&tenant, &models, head, PATIENCE);
        waited.await.unwrap();
        app.reader.snapshot("default").await.unwrap()
    }

    async fn period(&self, id: &str, key: &str) -> Option<PeriodRow> {
        let mut snapshot = self.settled().await;
        read::period(&mut snapshot, id, key).await.unwrap()
    }

    /// Waits until a period is closed by itself.
    async fn until_closed(&self, id: &str, key: &str) -> PeriodRow {
        let is_closed = async || {
            let period = self.period(id, key).await;
            period.is_some_and(|period| period.closed.is_some())
        };
        eventually(&format!("{key} of {id} is closed"), is_closed).await;
        self.period(id, key).await.unwrap()
    }

    /// A whole board, as of a position or as it is.
    async fn board(&self, id: &str, key: &str, as_of: Option<i64>) -> Vec<Standing> {
        let mut snapshot = self.settled().await;
        let row = read::competition(&mut snapshot, id).await.unwrap().unwrap();
        let board = Board {
            period: key.to_owned(),
            among: Among::Everybody,
            as_of: as_of.map(domain::Position),
        };
        let lines = read::everybody(&mut snapshot, &row, &board).await;
        lines.unwrap()
    }

    /// Checks a closed period's hash against the board that the log gives as of the same position.
    async fn check_hash(&self, id: &str, key: &str) -> Vec<Standing> {
        let period = self.period(id, key).await.unwrap();
        let closed = period.closed.unwrap();
        let board = self.board(id, key, Some(closed.as_of.0)).await;
        let digest = Sha256::digest(text(id, key, closed.as_of.0, &board));
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(closed.standings_hash, hash, "{key} of {id}");
        assert_eq!(closed.entries, board.len() as u64);
        assert_eq!(closed.top, board[..board.len().min(100)]);
        assert!(closed.as_of >= period.sealed_position);
        board
    }

    /// What was awarded for a period: rank, user, and how much, written out.
    async fn awarded(&self, id: &str, key: &str, decimals: u8) -> Vec<(u64, String, String)> {
        let mut snapshot = self.settled().await;
        let page = read::awards(&mut snapshot, id, key, None, 100).await;
        let awards = page.unwrap().items.into_iter().map(|row| row.award);
        awards
            .map(|award| {
                let amount = decimal::text(award.amount, decimals);
                (award.rank, award.user, amount)
            })
            .collect()
    }

    /// Hands a score in for somebody; `ok` and its period, or the code it is refused with.
    async fn hand_in(&self, id: &str, user: &str, score: &str, at: &str) -> (String, String) {
        let input = json!({ "competition": id, "user": user, "score": score, "achievedAt": at });
        let told = self.send(&self.program(), "submitScore", input).await;
        let period = &told["data"]["submitScore"]["period"]["key"];
        let period = period.as_str().unwrap_or_default().to_owned();
        (outcome(&told).to_owned(), period)
    }

    async fn close(&self, who: &As, id: &str, key: &str) -> Value {
        let input = json!({ "competition": id, "period": key });
        self.send(who, "closePeriod", input).await
    }

    /// How often the log says this of a competition.
    async fn said(&self, event_type: &str, id: &str) -> i64 {
        let count = "select count(*) from events where event_type = $1 and aggregate_id = $2";
        sqlx::query_scalar(count)
            .bind(event_type)
            .bind(id)
            .fetch_one(self.scene.app.store().pool())
            .await
            .unwrap()
    }

    /// Writes a competition down with prizes, opens it, and has these users take part.
    async fn with_prizes(&self, id: &str, rules: Value, prizes: Value, users: &[&str]) {
        let root = &self.root.access;
        let input = json!({ "id": id, "rules": rules });
        self.done(root, "createCompetition", input).await;
        if prizes.is_object() {
            let input = json!({ "id": id, "prizes": prizes });
            self.done(root, "definePrizes", input).await;
        }
        self.done(root, "openCompetition", json!({ "id": id }))
            .await;
        for user in users {
            let input = json!({ "competition": id, "user": user });
            self.done(root, "joinCompetition", input).await;
        }
    }
}

/// Three days in Berlin, of which the second has 23 hours; scores are waited for for ten minutes.
fn spring(arena: &Arena) -> Value {
    but(
        arena.rules(),
        json!({ "operator": "SUM", "decimals": 1, "periods": "DAILY", "zone": "Europe/Berlin",
                "startsAt": "2027-03-26T23:00:00Z", "endsAt": "2027-03-29T22:00:00Z",
                "closeDelaySeconds": 600 }),
    )
}

/// Worth 100.01 a day.
fn prizes(ties: &str) -> Value {
    json!({ "currency": "EUR", "decimals": 2, "pool": "100.01", "ties": ties,
            "rules": [{ "place": 1, "amount": "50.00" }, { "place": 2, "amount": "30.01" },
                      { "place": 3, "amount": "20.00" }] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_scores_to_prizes_over_a_day_that_lacks_an_hour() {
    let arena = Arena::with(often).await;
    let users = ["ada", "bob", "cat"];
    let both = ["split", "double"];
    for (id, ties) in both.into_iter().zip(["SPLIT", "DUPLICATE"]) {
        arena
            .with_prizes(id, spring(&arena), prizes(ties), &users)
            .await;
    }
    arena.turn_to("2027-03-27T22:45:00Z");
    let first = "2027-03-27";
    for id in both {
        // bob was first, and both have the same in the end.
        for (user, score, at) in [
            ("bob", "12.5", "2027-03-27T20:00:00Z"),
            ("ada", "12.0", "2027-03-27T21:00:00Z"),
            ("cat", "7.0", "2027-03-27T22:00:00Z"),
        ] {
            let told = arena.hand_in(id, user, score, at).await;
            assert_eq!(told, ("ok".to_owned(), first.to_owned()));
        }
    }
    // Past midnight: late scores of yesterday and early ones of today each go where they belong.
    arena.turn_to("2027-03-27T23:09:00Z");
    for id in both {
        let late = arena.hand_in(id, "ada", "0.5", "2027-03-27T22:59:59Z");
        assert_eq!(late.await, ("ok".to_owned(), first.to_owned()));
        let early = arena.hand_in(id, "cat", "3.0", "2027-03-27T23:00:00Z");
        assert_eq!(early.await, ("ok".to_owned(), "2027-03-28".to_owned()));
    }
    let too_early = arena.close(&arena.program(), "split", first).await;
    assert_eq!(outcome(&too_early), "PERIOD_OPEN", "{too_early}");
    let details = &too_early["data"]["closePeriod"]["userErrors"][0]["details"];
    assert_eq!(details["until"], "2027-03-27T23:10:00Z");

    arena.turn_to("2027-03-27T23:10:00Z");
    for id in both {
        arena.until_closed(id, first).await;
        let board = arena.check_hash(id, first).await;
        assert_eq!(
            lines(&board),
            [(1, "bob", 125), (1, "ada", 125), (3, "cat", 70)]
        );
        let (code, _) = arena
            .hand_in(id, "cat", "9.0", "2027-03-27T22:30:00Z")
            .await;
        assert_eq!(code, "PERIOD_CLOSED");
    }
    let award = |rank, user: &str, amount: &str| (rank, user.to_owned(), amount.to_owned());
    // 80.01 is for two, and the cent that cannot be divided for who was first.
    let split = [
        award(1, "ada", "40.00"),
        award(1, "bob", "40.01"),
        award(3, "cat", "20.00"),
    ];
    assert_eq!(arena.awarded("split", first, 2).await, split);
    let double = [
        award(1, "ada", "50.00"),
        award(1, "bob", "50.00"),
        award(3, "cat", "20.00"),
    ];
    assert_eq!(arena.awarded("double", first, 2).await, double);
    let total = async |id: &str| {
        let prizes = arena.period(id, first).await.unwrap().prizes.unwrap();
        let all = [prizes.pool, prizes.total].map(|units| decimal::text(units, prizes.decimals));
        (all, prizes.winners)
    };
    assert_eq!(
        total("split").await,
        (["100.01", "100.01"].map(str::to_owned), 3)
    );
    assert_eq!(
        total("double").await,
        (["100.01", "120.00"].map(str::to_owned), 3)
    );

    // The day that lacks an hour ends at 22:00 of UTC.
    arena.turn_to("2027-03-28T22:05:00Z");
    let last = arena.hand_in("split", "ada", "1.0", "2027-03-28T21:59:59Z");
    assert_eq!(last.await, ("ok".to_owned(), "2027-03-28".to_owned()));
    let next = arena.hand_in("split", "ada", "9.9", "2027-03-28T22:00:00Z");
    assert_eq!(next.await, ("ok".to_owned(), "2027-03-29".to_owned()));
    arena.turn_to("2027-03-29T22:10:00Z");
    // One after the other, and with the last one it is over.
    let closed = arena.until_closed("split", "2027-03-29").await;
    assert_eq!(closed.end, time("2027-03-29T22:00:00Z"));
    let second = arena.period("split", "2027-03-28").await.unwrap();
    let span = (second.start, second.end);
    assert_eq!(
        span,
        (time("2027-03-27T23:00:00Z"), time("2027-03-28T22:00:00Z"))
    );
    let board = arena.check_hash("split", "2027-03-28").await;
    assert_eq!(lines(&board), [(1, "cat", 30), (2, "ada", 10)]);
    arena.check_hash("split", "2027-03-29").await;
    let late = arena.hand_in("split", "ada", "1.0", "2027-03-29T21:00:00Z");
    assert_eq!(late.await.0, "PERIOD_CLOSED");
    arena.until_closed("double", "2027-03-29").await;
    // Nobody played on that day.
    assert_eq!(arena.check_hash("double", "2027-03-29").await, []);
    assert_eq!(arena.awarded("double", "2027-03-29", 2).await, []);
    for id in both {
        for (event_type, times) in [
            ("competition.period_sealed", 3),
            ("competition.period_closed", 3),
            ("competition.prizes_calculated", 3),
            ("competition.ended", 1),
        ] {
            assert_eq!(arena.said(event_type, id).await, times, "{event_type}");
        }
    }
    let by = "select distinct metadata->>'actor' from events
              where event_type = 'competition.period_closed'";
    let by: Vec<String> = sqlx::query_scalar(by)
        .fetch_all(arena.scene.app.store().pool())
        .await
        .unwrap();
    assert_eq!(by, ["system:daybook"]);
}

#[tokio::test]
async fn who_is_excluded_later_stays_on_the_closed_board() {
    let arena = Arena::open().await;
    let rules = but(
        arena.rules(),
        json!({ "endsAt": arena.at(60), "ties": "COMPETITION" }),
    );
    let worth = json!({ "currency": "EUR", "decimals": 2, "pool": "10.00",
                        "rules": [{ "place": 1, "sharePpm": 1_000_000 }] });
    arena
        .with_prizes("cup", rules, worth, &["ada", "bob"])
        .await;
    let at = arena.at(0);
    for (user, score) in [("ada", "9"), ("bob", "5")] {
        assert_eq!(arena.hand_in("cup", user, score, &at).await.0, "ok");
    }
    // Nobody comes in whom the board has not.
    assert_eq!(
        arena.hand_in("cup", "eve", "99", &at).await.0,
        "JOIN_REQUIRED"
    );
    arena.clock.advance(TimeDelta::seconds(60));
    let root = &arena.root.access;
    let told = arena.close(root, "cup", "all").await;
    assert_eq!(outcome(&told), "ok", "{told}");
    assert_eq!(
        told["data"]["closePeriod"]["competition"]["status"],
        "ENDED"
    );
    let before = arena.period("cup", "all").await.unwrap();
    let board = arena.check_hash("cup", "all").await;
    assert_eq!(lines(&board), [(1, "ada", 9), (2, "bob", 5)]);
    let out = json!({ "competition": "cup", "user": "ada", "reason": "a motor" });
    arena.done(root, "excludeEntry", out).await;
    assert_eq!(
        lines(&arena.board("cup", "all", None).await),
        [(1, "bob", 5)]
    );
    assert_eq!(arena.check_hash("cup", "all").await, board);
    assert_eq!(arena.period("cup", "all").await.unwrap(), before);
    let award = (1, "ada".to_owned(), "10.00".to_owned());
    assert_eq!(arena.awarded("cup", "all", 2).await, [award]);
}

/// Two processes close at once when a hundred scores come in: each score that was acknowledged is in one
/// period, and the frozen board counts just those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_scores_while_the_period_is_closed() {
    let arena = Arena::with(often).await;
    let rules = but(
        arena.rules(),
        json!({ "operator": "SUM", "periods": "DAILY", "endsAt": "2027-01-17T00:00:00Z",
                "closeDelaySeconds": 60 }),
    );
    arena
        .with_prizes("cup", rules, json!(null), &["ada", "bob"])
        .await;
    let beside = arena.scene.app.beside(|settings| {
        at_leisure(settings);
        often(settings);
    });
    let beside = Scene { app: beside.await };
    arena.turn_to("2027-01-16T00:00:59Z");
    let who = arena.program();
    let (over, is_over) = tokio::sync::watch::channel(false);
    let submit = |n: usize| {
        let (arena, beside, who) = (&arena, &beside, &who);
        let mut is_over = is_over.clone();
        async move {
            let at = ["2027-01-15T23:59:50Z", "2027-01-16T00:00:10Z"][usize::from(n % 4 == 3)];
            let user = ["ada", "bob"][n % 2];
            let input = json!({ "competition": "cup", "user": user, "score": 1, "achievedAt": at,
                                "submissionId": n.to_string() });
            let scene = if n.is_multiple_of(3) {
                beside
            } else {
                &arena.scene
            };
            tokio::time::sleep(Duration::from_millis(n as u64)).await;
            if n >= 90 {
                is_over.wait_for(|over| *over).await.unwrap();
            }
            let told = scene.ask(who, SUBMIT, json!({ "i": input })).await;
            let period = &told["data"]["submitScore"]["period"]["key"];
            let period = period.as_str().unwrap_or_default().to_owned();
            (n.to_string(), outcome(&told).to_owned(), period)
        }
    };
    let closed = async {
        let first = "select count(*) > 0 from events where event_type = 'entry.score_accepted'
                     and payload->>'period' = '2027-01-15'";
        let pool = arena.scene.app.store().pool();
        eventually("some are in", async || {
            let some: bool = sqlx::query_scalar(first).fetch_one(pool).await.unwrap();
            some
        })
        .await;
        arena.clock.advance(TimeDelta::seconds(1));
        over.send_replace(true);
        let mutation =
            "mutation { closePeriod(input: { competition: \"cup\", period: \"2027-01-15\" }) {
            receipt { position } userErrors { code } } }";
        let two = [&arena.scene, &beside].map(|scene| scene.ask(&who, mutation, json!({})));
        join_all(two).await
    };
    let (told, closed) = tokio::join!(join_all((0..100).map(submit)), closed);
    for answer in &closed {
        assert!(
            ["ok", "PERIOD_CLOSED"].contains(&outcome(answer)),
            "{answer}"
        );
    }
    arena.until_closed("cup", "2027-01-15").await;
    assert_eq!(arena.said("competition.period_closed", "cup").await, 1);

    let kept: Vec<(String, String)> = sqlx::query_as(
        "select payload->'submission'->>'id', payload->>'period' from events
         where event_type = 'entry.score_accepted'",
    )
    .fetch_all(arena.scene.app.store().pool())
    .await
    .unwrap();
    let mut acknowledged = BTreeSet::new();
    for (id, code, period) in &told {
        match code.as_str() {
            "ok" => assert!(acknowledged.insert((id.clone(), period.clone()))),
            code => assert_eq!(code, "PERIOD_CLOSED", "{id}"),
        }
    }
    assert_eq!(kept.len(), acknowledged.len(), "each is kept once");
    let kept: BTreeSet<(String, String)> = kept.into_iter().collect();
    assert_eq!(kept, acknowledged);
    let of = |key: &str| kept.iter().filter(|(_, period)| period == key).count() as i64;
    assert_eq!(of("2027-01-16"), 25, "none of these was refused");
    // One at least came before, and seven came after.
    assert!((1..=68).contains(&of("2027-01-15")), "{kept:?}");
    let frozen = arena.check_hash("cup", "2027-01-15").await;
    let sum = |board: &[Standing]| board.iter().map(|line| line.score.units()).sum::<i64>();
    assert_eq!(sum(&frozen), of("2027-01-15"));
    assert_eq!(
        sum(&arena.board("cup", "2027-01-15", None).await),
        sum(&frozen)
    );
    assert_eq!(sum(&arena.board("cup", "2027-01-16", None).await), 25);
}

const SUBMIT: &str = "mutation($i: SubmitScoreInput!) { submitScore(input: $i) {
    period { key } receipt { position } userErrors { code } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_synced_late_counts_until_the_period_is_sealed() {
    let arena = Arena::open().await;
    let rules = json!({ "metric": "STEPS", "operator": "SUM", "periods": "DAILY",
                        "endsAt": "2027-01-20T00:00:00Z", "closeDelaySeconds": 600 });
    arena
        .with_prizes(
            "steps",
            but(arena.rules(), rules),
            json!(null),
            &["ada", "bob"],
        )
        .await;
    let walk = |user: &str, id: &str, hour: u32, steps: u32| {
        json!({ "user": user, "records": [{ "activity": {
            "source": "fitbit", "externalId": id, "kind": "walking",
            "start": format!("2027-01-15T{hour:02}:00:00Z"),
            "end": format!("2027-01-15T{hour:02}:30:00Z"), "measures": { "steps": steps } } }] })
    };
    let sync = async |input: Value| {
        let synced = arena.done(&arena.program(), "syncActivities", input).await;
        synced["results"][0]["status"].as_str().unwrap().to_owned()
    };
    arena.turn_to("2027-01-15T23:00:00Z");
    assert_eq!(sync(walk("ada", "a", 9, 1_000)).await, "RECORDED");
    assert_eq!(sync(walk("bob", "b", 9, 1_500)).await, "RECORDED");
    arena.turn_to("2027-01-16T00:09:59Z");
    let told = arena.close(&arena.program(), "steps", "2027-01-15").await;
    assert_eq!(outcome(&told), "PERIOD_OPEN", "{told}");
    assert_eq!(sync(walk("ada", "c", 10, 700)).await, "RECORDED");
    arena.turn_to("2027-01-16T00:10:00Z");
    let told = arena.close(&arena.program(), "steps", "2027-01-15").await;
    assert_eq!(outcome(&told), "ok", "{told}");
    let frozen = arena.check_hash("steps", "2027-01-15").await;
    assert_eq!(lines(&frozen), [(1, "ada", 1_700), (2, "bob", 1_500)]);
    // It is taken in, since it was done; the board stays.
    assert_eq!(sync(walk("bob", "d", 11, 900)).await, "RECORDED");
    let amended = walk("ada", "a", 9, 4_000);
    assert_eq!(sync(amended).await, "AMENDED");
    assert_eq!(arena.check_hash("steps", "2027-01-15").await, frozen);
    let present = arena.board("steps", "2027-01-15", None).await;
    assert_eq!(lines(&present), [(1, "ada", 4_700), (2, "bob", 2_400)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_who_close_at_once_close_once() {
    let arena = Arena::open().await;
    arena
        .joined("cup", but(arena.rules(), json!({ "endsAt": arena.at(60) })))
        .await;
    arena.clock.advance(TimeDelta::seconds(60));
    let beside = arena.scene.beside().await;
    let root = &arena.root.access;
    let mutation = "mutation($i: ClosePeriodInput!) { closePeriod(input: $i) {
        receipt { position replayed } userErrors { code } } }";
    let close = |n: usize| {
        let input = json!({ "competition": "cup", "period": "all", "commandId": n.to_string() });
        let scene = if n.is_multiple_of(2) {
            &beside
        } else {
            &arena.scene
        };
        async move { scene.ask(root, mutation, json!({ "i": input })).await }
    };
    let told = join_all((0..8).map(close)).await;
    let codes: Vec<&str> = told.iter().map(outcome).collect();
    let winners: Vec<usize> = (0..8).filter(|n| codes[*n] == "ok").collect();
    assert_eq!(winners.len(), 1, "{codes:?}");
    let others = codes.iter().filter(|code| **code == "PERIOD_CLOSED");
    assert_eq!(others.count(), 7, "{codes:?}");
    for event_type in ["competition.period_sealed", "competition.period_closed"] {
        assert_eq!(arena.said(event_type, "cup").await, 1, "{event_type}");
    }
    // Who did it is told so again, who did not is told so again.
    let head = arena.scene.app.head().await;
    let again = close(winners[0]).await;
    let receipt = |told: &Value| told["data"]["closePeriod"]["receipt"].clone();
    assert_eq!(receipt(&again)["replayed"], true, "{again}");
    assert_eq!(
        receipt(&again)["position"],
        receipt(&told[winners[0]])["position"]
    );
    assert_eq!(outcome(&close(9).await), "PERIOD_CLOSED");
    assert_eq!(arena.scene.app.head().await, head);
    for (id, key, code) in [
        ("cup", "2027-01-15", "NOT_FOUND"),
        ("none", "all", "NOT_FOUND"),
        ("a/b", "all", "VALIDATION"),
    ] {
        assert_eq!(
            outcome(&arena.close(root, id, key).await),
            code,
            "{id} {key}"
        );
    }
    let told = arena.close(&arena.ann.access, "cup", "all").await;
    assert_eq!(outcome(&told), "FORBIDDEN");
}

/// A process that sealed a period and went away: another one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_that_was_only_sealed_is_closed_by_whoever_comes_next() {
    let arena = Arena::open().await;
    let rules = but(
        arena.rules(),
        json!({ "periods": "DAILY", "endsAt": "2027-01-20T00:00:00Z" }),
    );
    for id in ["cup", "later", "called-off"] {
        arena
            .with_prizes(id, rules.clone(), json!(null), &["ada", "bob"])
            .await;
        let at = arena.at(0);
        for (user, score) in [("ada", "7"), ("bob", "5")] {
            assert_eq!(arena.hand_in(id, user, score, &at).await.0, "ok");
        }
    }
    arena.turn_to("2027-01-16T00:00:30Z");
    for id in ["cup", "called-off"] {
        arena.seal(id, "2027-01-15").await;
    }
    // While it is closed it takes none of its scores, and those of the next one.
    let closing = arena
        .hand_in("cup", "ada", "8", "2027-01-15T23:00:00Z")
        .await;
    assert_eq!(closing.0, "PERIOD_CLOSED");
    let next = arena
        .hand_in("cup", "ada", "8", "2027-01-16T00:00:00Z")
        .await;
    assert_eq!(next, ("ok".to_owned(), "2027-01-16".to_owned()));
    // What is said behind the seal is said of the next board.
    let out = json!({ "competition": "cup", "user": "bob", "reason": "a motor" });
    arena.done(&arena.program(), "excludeEntry", out).await;
    let off = json!({ "id": "called-off" });
    arena.done(&arena.program(), "cancelCompetition", off).await;
    let beside = arena.scene.app.beside(|settings| {
        at_leisure(settings);
        often(settings);
        // Page by page, and period by period.
        settings.competitions.close_batch = 1;
        settings.competitions.close_periods_max = 1;
    });
    let beside = beside.await;
    for id in ["cup", "later"] {
        arena.until_closed(id, "2027-01-15").await;
        let board = arena.check_hash(id, "2027-01-15").await;
        assert_eq!(lines(&board), [(1, "ada", 7), (2, "bob", 5)]);
        assert_eq!(arena.said("competition.period_sealed", id).await, 1);
    }
    // Days later all that is due is closed, in order.
    arena.turn_to("2027-01-30T00:00:00Z");
    arena.until_closed("cup", "2027-01-19").await;
    let order = "select string_agg(payload->>'period', ' ' order by position) from events
                 where event_type = 'competition.period_closed' and aggregate_id = 'cup'";
    let order: String = sqlx::query_scalar(order)
        .fetch_one(beside.store().pool())
        .await
        .unwrap();
    let days = "2027-01-15 2027-01-16 2027-01-17 2027-01-18 2027-01-19";
    assert_eq!(order, days);
    assert_eq!(arena.said("competition.ended", "cup").await, 1);
    let off = arena.period("called-off", "2027-01-15").await.unwrap();
    assert_eq!(off.closed, None);
}

/// What was told before the seal counts, so a board waits for whoever has not folded that yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_board_is_frozen_that_its_read_models_lack_something_of() {
    let arena = Arena::with(|settings| {
        settings.competitions.close_interval = Duration::from_secs(86_400);
        settings.consumers.wait_max = Duration::from_millis(200);
    })
    .await;
    let steps = json!({ "metric": "STEPS", "operator": "SUM" });
    let ends = json!({ "endsAt": arena.at(60) });
    let rules = but(arena.rules(), ends);
    for (id, rules) in [("handed-in", rules.clone()), ("walked", but(rules, steps))] {
        arena.with_prizes(id, rules, json!(null), &["ada"]).await;
    }
    // Both have something of the read models that are asked.
    drop(arena.settled().await);
    let consumers = &arena.scene.app.app().consumers;
    for (id, model) in [("handed-in", read::NAME), ("walked", activities::NAME)] {
        consumers
            .pause(
                "default",
                model,
                &daybook::consumers::Decider::of("user:ann"),
            )
            .await
            .unwrap();
        if id == "walked" {
            let (start, end) = (arena.at(-60), arena.at(-1));
            let walk = json!({ "source": "w", "externalId": "a", "kind": "walking", "start": start,
                               "end": end, "measures": { "steps": 100 } });
            let sync = json!({ "user": "ada", "records": [{ "activity": walk }] });
            arena.done(&arena.program(), "syncActivities", sync).await;
        } else {
            let told = arena.hand_in(id, "ada", "100", &arena.at(0)).await;
            assert_eq!(told.0, "ok");
            arena.clock.advance(TimeDelta::seconds(60));
        }
        let told = arena.close(&arena.program(), id, "all").await;
        assert_eq!(outcome(&told), "UNAVAILABLE", "{told}");
        assert_eq!(arena.said("competition.period_sealed", id).await, 1);
        assert_eq!(arena.said("competition.period_closed", id).await, 0);
        consumers
            .resume(
                "default",
                model,
                &daybook::consumers::Decider::of("user:ann"),
            )
            .await
            .unwrap();
        drop(arena.settled().await);
        let told = arena.close(&arena.program(), id, "all").await;
        assert_eq!(outcome(&told), "ok", "{told}");
        let board = arena.check_hash(id, "all").await;
        assert_eq!(lines(&board), [(1, "ada", 100)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_tenant_is_left_alone() {
    let arena = Arena::with(often).await;
    arena.scene.tenant(SOUTH).await;
    let south = arena.scene.program(&[daybook::auth::Role::Operator], SOUTH);
    let rules = but(arena.rules(), json!({ "endsAt": arena.at(60) }));
    let input = json!({ "id": "cup", "rules": rules });
    arena.done(&south, "createCompetition", input).await;
    arena
        .done(&south, "openCompetition", json!({ "id": "cup" }))
        .await;
    let tell = async |field: &str| {
        let kind = field[..1].to_uppercase() + &field[1..] + "Input";
        let mutation =
            format!("mutation($i: {kind}!) {{ {field}(input: $i) {{ userErrors {{ code }} }} }}");
        let admin = arena.scene.admin("default");
        arena
            .scene
            .done(&admin, &mutation, json!({ "id": SOUTH }))
            .await
    };
    tell("suspendTenant").await;
    arena.clock.advance(TimeDelta::seconds(60));
    // Tenants are looked at one after the other, by name: two periods of the first one's, closed one after
    // the other, tell of a look between.
    for id in ["first", "second"] {
        let rules = but(
            arena.rules(),
            json!({ "startsAt": arena.at(-60), "endsAt": arena.at(60) }),
        );
        let root = arena.program();
        let input = json!({ "id": id, "rules": rules });
        arena.done(&root, "createCompetition", input).await;
        arena
            .done(&root, "openCompetition", json!({ "id": id }))
            .await;
        arena.clock.advance(TimeDelta::seconds(60));
        arena.until_closed(id, "all").await;
    }
    let closed = "select count(*) from events where tenant = $1
                  and event_type = 'competition.period_sealed'";
    let closed = async || {
        let count: i64 = sqlx::query_scalar(closed)
            .bind(SOUTH)
            .fetch_one(arena.scene.app.store().pool())
            .await
            .unwrap();
        count
    };
    assert_eq!(closed().await, 0);
    tell("resumeTenant").await;
    eventually("it is closed", async || closed().await == 1).await;
}
