//! Periods by the calendar, boards that are frozen, and prizes.

use domain::Position;
use domain::standing::canonical_text;
use projections::competitions::{self, Among, Board};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::scene::{Arena, but, lines, ranked};
use crate::identity::scene::outcome;

impl Arena {
    /// Closes a period; gives what its board is as of, and the hash of it, made here.
    async fn freeze(&self, competition: &str, period: &str) -> (Position, String) {
        let input = json!({ "competition": competition, "period": period });
        let told = self.send(&self.program(), "closePeriod", input).await;
        assert_eq!(outcome(&told), "ok", "{told}");
        // Once the read model shows it.
        self.seen(&self.program(), "competitions { nodes { id } }")
            .await;
        let mut snapshot = self.scene.app.app().reader.snapshot("default").await;
        let snapshot = snapshot.as_mut().unwrap();
        let row = competitions::competition(snapshot, competition).await;
        let closed = competitions::period(snapshot, competition, period).await;
        let as_of = closed.unwrap().unwrap().closed.unwrap().as_of;
        let board = Board {
            period: period.to_owned(),
            among: Among::Everybody,
            as_of: Some(as_of),
        };
        let row = row.unwrap().unwrap();
        let standings = competitions::everybody(snapshot, &row, &board).await;
        let text = canonical_text(competition, period, as_of, &standings.unwrap());
        let hash = Sha256::digest(text);
        (as_of, hash.iter().map(|b| format!("{b:02x}")).collect())
    }
}

const PERIODS: &str = "competition(id: \"cup\") { nextReset sealedUntil presentPeriod { key }
    periods { nodes { key start end sealedAt closed { entries standingsHash asOfPosition }
                      prizes { pool total currency winners } } } }";

#[tokio::test]
async fn periods_follow_the_calendar_and_stay_as_they_were_frozen() {
    let arena = Arena::open().await;
    let root = &arena.root.access;
    // Eight in the morning of 15 January 2027, UTC.
    let rules = json!({ "periods": "DAILY", "zone": "Europe/Berlin",
                        "startsAt": "2027-01-14T12:00:00Z", "endsAt": "2027-01-16T12:00:00Z",
                        // Until a minute from now.
                        "closeDelaySeconds": 9 * 3_600 + 60 });
    let cup = json!({ "id": "cup", "rules": but(arena.rules(), rules) });
    arena.done(root, "createCompetition", cup).await;
    let prizes = json!({ "currency": "EUR", "decimals": 2, "pool": "10.01",
                         "rules": [{ "place": 1, "amount": "5.01" },
                                   { "place": 2, "amount": "3.00" }] });
    arena
        .done(
            root,
            "definePrizes",
            json!({ "id": "cup", "prizes": prizes }),
        )
        .await;
    arena
        .done(root, "openCompetition", json!({ "id": "cup" }))
        .await;
    for (user, score, at) in [
        ("ada", 7, "2027-01-14T13:00:00Z"),
        ("bob", 7, "2027-01-14T12:30:00Z"),
        ("cat", 5, "2027-01-14T12:10:00Z"),
        ("cat", 1, "2027-01-14T23:00:00Z"),
    ] {
        let of = json!({ "competition": "cup", "user": user });
        arena.done(root, "joinCompetition", of.clone()).await;
        let score = but(of, json!({ "score": score, "achievedAt": at }));
        arena.done(root, "submitScore", score).await;
    }
    let told = arena.seen(root, PERIODS).await;
    let open = |key: &str, start: &str, end: &str| {
        json!({ "key": key, "start": start, "end": end, "sealedAt": null, "closed": null,
                "prizes": null })
    };
    let today = open("2027-01-15", "2027-01-14T23:00:00Z", "2027-01-15T23:00:00Z");
    let yesterday = open("2027-01-14", "2027-01-14T12:00:00Z", "2027-01-14T23:00:00Z");
    assert_eq!(
        told,
        json!({ "nextReset": "2027-01-15T23:00:00Z", "sealedUntil": null,
                "presentPeriod": { "key": "2027-01-15" },
                "periods": { "nodes": [today, yesterday.clone()] } })
    );
    // Page by page.
    let page = async |after: &str| {
        let field = format!(
            "competition(id: \"cup\") {{ periods(first: 1{after}) {{ nodes {{ key }}
               pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        arena.seen(root, &field).await["periods"].clone()
    };
    let first = page("").await;
    assert_eq!(first["nodes"], json!([{ "key": "2027-01-15" }]));
    let next = page(&format!(", after: {}", first["pageInfo"]["endCursor"])).await;
    assert_eq!(next["nodes"], json!([{ "key": "2027-01-14" }]));
    assert_eq!(next["pageInfo"]["hasNextPage"], false);

    // Left out it is the one that goes on.
    assert_eq!(
        arena.lines("competition: \"cup\"").await,
        lines(&[(1, "cat")])
    );
    let then = "competition: \"cup\", period: \"2027-01-14\"";
    let expected = lines(&[(1, "bob"), (1, "ada"), (3, "cat")]);
    assert_eq!(arena.lines(then).await, expected);

    arena.clock.advance(chrono::TimeDelta::seconds(60));
    let (as_of, hash) = arena.freeze("cup", "2027-01-14").await;
    let told = arena.seen(root, PERIODS).await;
    let ended = &told["periods"]["nodes"][1];
    assert_eq!(told["sealedUntil"], "2027-01-14T23:00:00Z");
    assert_eq!(
        ended["closed"],
        json!({ "entries": 3, "standingsHash": hash, "asOfPosition": as_of.to_string() })
    );
    assert_eq!(
        ended["prizes"],
        json!({ "pool": "10.01", "total": "8.01", "currency": "EUR", "winners": 2 })
    );
    assert_ne!(ended["sealedAt"], Value::Null);

    // Who is excluded later is still on it, and on no other.
    let excluded = json!({ "competition": "cup", "user": "cat", "reason": "r" });
    arena.done(root, "excludeEntry", excluded).await;
    assert_eq!(arena.lines(then).await, expected);
    assert_eq!(arena.lines("competition: \"cup\"").await, lines(&[]));
    let known = format!("{then}, asOf: {{ position: \"{}\" }}", as_of.0 - 1);
    assert_eq!(arena.lines(&known).await, expected);
    let field = format!("leaderboard({then}) {{ asOfPosition size nodes {{ rank userId }} }}");
    let told = arena.seen(root, &field).await;
    assert_eq!(told["asOfPosition"], as_of.to_string());
    assert_eq!(
        (&told["size"], ranked(&told["nodes"])),
        (&json!(3), expected)
    );

    prizes_are_told(&arena).await;
    // After the last day there is none that goes on.
    arena.clock.advance(chrono::TimeDelta::days(3));
    let late = arena.program();
    let now = "leaderboard(competition: \"cup\") { size }";
    assert_eq!(arena.code(&late, now).await, "VALIDATION");
    let told = arena.seen(&late, PERIODS).await;
    assert_eq!(told["periods"]["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&told["nextReset"], &told["presentPeriod"]),
        (&Value::Null, &Value::Null)
    );
}

/// The places of two who tie are divided to the cent, and what cannot be goes to who was first.
async fn prizes_are_told(arena: &Arena) {
    let root = &arena.root.access;
    let field = "prizes(competition: \"cup\", period: \"2027-01-14\") {
        competitionId period { key prizes { total } }
        awards(first: 1) { nodes { userId rank amount currency period event { type } }
                           pageInfo { hasNextPage endCursor } } }";
    let told = arena.seen(root, field).await;
    assert_eq!(told["period"]["prizes"]["total"], "8.01");
    assert_eq!(
        told["awards"]["nodes"],
        json!([{ "userId": "ada", "rank": 1, "amount": "4.00", "currency": "EUR",
                 "period": "2027-01-14", "event": { "type": "competition.prizes_awarded" } }])
    );
    let cursor = &told["awards"]["pageInfo"]["endCursor"];
    let next = format!(
        "prizes(competition: \"cup\", period: \"2027-01-14\") {{ awards(after: {cursor}) {{
           nodes {{ userId rank amount }} pageInfo {{ hasNextPage }} }} }}"
    );
    let told = arena.seen(root, &next).await;
    assert_eq!(
        told["awards"],
        json!({ "nodes": [{ "userId": "bob", "rank": 1, "amount": "4.01" }],
                "pageInfo": { "hasNextPage": false } })
    );
    let present =
        "prizes(competition: \"cup\") { period { key prizes { pool } } awards { nodes { rank } } }";
    let told = arena.seen(root, present).await;
    assert_eq!(
        told,
        json!({ "period": { "key": "2027-01-15", "prizes": null }, "awards": { "nodes": [] } })
    );
    let own = "awards(user: \"bob\") { nodes { competitionId amount rank } }";
    let told = arena.seen(root, own).await;
    assert_eq!(
        told["nodes"],
        json!([{ "competitionId": "cup", "amount": "4.01", "rank": 1 }])
    );
    let ann = &arena.ann.access;
    assert_eq!(arena.code(ann, own).await, "FORBIDDEN");
    let told = arena.seen(ann, "awards { nodes { amount } }").await;
    assert_eq!(told["nodes"], json!([]));
}

#[tokio::test]
async fn competitions_are_listed_by_where_they_stand() {
    let arena = Arena::open().await;
    let root = &arena.root.access;
    for id in ["a", "b", "c"] {
        let draft = json!({ "id": id, "rules": arena.rules() });
        arena.done(root, "createCompetition", draft).await;
    }
    arena
        .done(root, "openCompetition", json!({ "id": "b" }))
        .await;
    let cancelled = json!({ "id": "c", "reason": "rain" });
    arena.done(root, "cancelCompetition", cancelled).await;
    let list = async |arguments: &str| {
        let field = format!(
            "competitions{arguments} {{ nodes {{ id status reason }} pageInfo {{ endCursor }} }}"
        );
        arena.seen(&arena.ann.access, &field).await
    };
    let of = |id: &str, status: &str, reason: Value| json!({ "id": id, "status": status, "reason": reason });
    let (a, b) = (of("a", "DRAFT", Value::Null), of("b", "OPEN", Value::Null));
    let c = of("c", "CANCELLED", json!("rain"));
    assert_eq!(list("").await["nodes"], json!([a, b, c]));
    assert_eq!(list("(status: OPEN)").await["nodes"], json!([b]));
    let page = list("(first: 1)").await;
    let next = list(&format!("(after: {})", page["pageInfo"]["endCursor"])).await;
    assert_eq!(next["nodes"], json!([b, c]));
    // A command's answer shows what the read model adds.
    let mutation = "mutation($i: CreateCompetitionInput!) { createCompetition(input: $i) {
        competition { createdAt entries lastEventPosition } receipt { position } userErrors { code } } }";
    let input = json!({ "id": "d", "rules": arena.rules() });
    let told = arena.scene.done(root, mutation, input).await;
    let made = &told["competition"];
    assert_eq!(made["entries"], 0, "{told}");
    assert_eq!(made["lastEventPosition"], told["receipt"]["position"]);
    assert_ne!(made["createdAt"], Value::Null);
}
