//! Pages of boards: nobody twice, nobody left out.

use std::collections::{BTreeMap, BTreeSet};

use daybook::commands::CommandContext;
use domain::competition::Competition;
use domain::entry::{Entry, EntryCommand, Join, Submission, entry_id};
use domain::score::Score;
use domain::{Actor, ActorKind};
use futures::StreamExt;
use serde_json::{Value, json};

use super::scene::{Arena, but, lines};

/// How many tie.
const USERS: usize = 2_000;

impl Arena {
    /// Has so many users join and come to one score at one moment.
    async fn all_equal(&self, competition: &str) {
        let app = self.scene.app.app();
        let actor = Actor {
            kind: ActorKind::System,
            id: "tester".into(),
        };
        let ctx = CommandContext::new("default".into(), actor, app.clock.now());
        let known: Competition = app.door.load_now(&ctx.tenant, competition).await.unwrap();
        let enter = |n: usize| {
            let (ctx, known) = (&ctx, &known);
            async move {
                let user = format!("u{n:04}");
                let groups = BTreeSet::new();
                let terms = || Box::new(known.terms(&user, &groups));
                let join = EntryCommand::Join(Join {
                    competition: competition.to_owned(),
                    terms: terms(),
                    user: user.clone(),
                    consent: false,
                    groups: groups.clone(),
                    place: None,
                    now: ctx.now,
                });
                let submit = EntryCommand::SubmitScore {
                    submission: Submission {
                        id: None,
                        score: Score::of_units(5, "score").unwrap(),
                        sub_score: Score::ZERO,
                        achieved_at: ctx.now,
                        source: None,
                        manual: false,
                    },
                    terms: terms(),
                    now: ctx.now,
                };
                for command in [join, submit] {
                    let id = entry_id(competition, &user);
                    app.door.execute::<Entry>(ctx, &id, command).await.unwrap();
                }
            }
        };
        let entering = futures::stream::iter((0..USERS).map(enter));
        entering.buffer_unordered(64).collect::<Vec<()>>().await;
    }
}

/// D18
#[tokio::test]
async fn two_thousand_of_one_score_are_each_told_once() {
    let arena = Arena::open().await;
    let root = &arena.root.access;
    let id = "cup";
    arena.opened(id, arena.rules()).await;
    arena.all_equal(id).await;
    let mut ranks: BTreeMap<String, i64> = BTreeMap::new();
    let mut order = Vec::new();
    let mut after = String::new();
    for page in 0.. {
        let field = format!(
            "leaderboard(competition: \"{id}\", first: 190{after}) {{
               nodes {{ rank userId }} pageInfo {{ hasNextPage hasPreviousPage endCursor }} }}"
        );
        let told = arena.seen(root, &field).await;
        for line in told["nodes"].as_array().unwrap() {
            let user = line["userId"].as_str().unwrap().to_owned();
            order.push(user.clone());
            let before = ranks.insert(user.clone(), line["rank"].as_i64().unwrap());
            assert_eq!(before, None, "{user} is told twice, on page {page}");
        }
        let info = &told["pageInfo"];
        assert_eq!(info["hasPreviousPage"], page > 0);
        if info["hasNextPage"] == false {
            break;
        }
        // The last goes to the front, and the first leaves: the list goes on as it was.
        let user = |user: String| json!({ "competition": id, "user": user });
        let last = user(format!("u{:04}", USERS - 1 - page));
        let better = but(
            last,
            json!({ "score": 9, "achievedAt": arena.at(0),
                                       "submissionId": "better" }),
        );
        arena.done(root, "submitScore", better).await;
        let first = user(format!("u{page:04}"));
        arena.done(root, "leaveCompetition", first).await;
        after = format!(", after: {}", info["endCursor"]);
    }
    let expected: Vec<String> = (0..USERS).map(|n| format!("u{n:04}")).collect();
    assert_eq!(order, expected);
    assert!(ranks.values().all(|rank| *rank == 1));
}

#[tokio::test]
async fn pages_are_bounded_and_cursors_are_of_one_list() {
    let arena = Arena::open().await;
    let scores = [("a", 9, 4), ("b", 7, 3), ("c", 5, 2), ("d", 3, 1)];
    arena.played("cup", arena.rules(), &scores).await;
    arena.played("other", arena.rules(), &scores).await;
    let root = &arena.root.access;
    let page = async |arguments: &str| {
        let field = format!(
            "leaderboard(competition: \"cup\", {arguments}) {{ nodes {{ rank userId }}
               pageInfo {{ hasNextPage endCursor }} }}"
        );
        arena.seen(root, &field).await
    };
    // From a rank, and on from there.
    let first = page("first: 1, rank: 2").await;
    assert_eq!(super::scene::ranked(&first["nodes"]), lines(&[(2, "b")]));
    let cursor = first["pageInfo"]["endCursor"].as_str().unwrap();
    let next = page(&format!("first: 5, after: \"{cursor}\"")).await;
    assert_eq!(
        super::scene::ranked(&next["nodes"]),
        lines(&[(3, "c"), (4, "d")])
    );
    assert_eq!(next["pageInfo"]["hasNextPage"], Value::Bool(false));
    for (arguments, code) in [
        ("competition: \"cup\", first: 0".to_owned(), "PAGE_LIMIT"),
        ("competition: \"cup\", first: 201".to_owned(), "PAGE_LIMIT"),
        ("competition: \"cup\", rank: 0".to_owned(), "OUT_OF_RANGE"),
        ("competition: \"cup\", rank: -1".to_owned(), "OUT_OF_RANGE"),
        (
            "competition: \"cup\", after: \"x\"".to_owned(),
            "BAD_CURSOR",
        ),
        (
            format!("competition: \"other\", after: \"{cursor}\""),
            "BAD_CURSOR",
        ),
        (
            format!("competition: \"cup\", among: {{ group: \"g\" }}, after: \"{cursor}\""),
            "BAD_CURSOR",
        ),
        (
            format!("competition: \"cup\", rank: 2, after: \"{cursor}\""),
            "VALIDATION",
        ),
        (
            "competition: \"cup\", period: \"2027\"".to_owned(),
            "NOT_FOUND",
        ),
    ] {
        let field = format!("leaderboard({arguments}) {{ size }}");
        assert_eq!(arena.code(root, &field).await, code, "{arguments}");
    }
}
