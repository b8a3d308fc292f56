//! A period that is sealed takes no score, not even one that is on its way.

use daybook::commands::CommandContext;
use domain::competition::{Competition, CompetitionCommand};
use domain::{Actor, ActorKind};
use futures::future::join_all;
use serde_json::json;

use super::scene::{Arena, but};
use crate::identity::scene::outcome;

impl Arena {
    /// Seals a period, as the program does by itself; the position of the seal.
    pub(super) async fn seal(&self, competition: &str, period: &str) -> i64 {
        let app = self.scene.app.app();
        let actor = Actor {
            kind: ActorKind::System,
            id: "daybook".into(),
        };
        let ctx = CommandContext::new("default".into(), actor, app.clock.now());
        let seal = CompetitionCommand::SealPeriod {
            period: period.to_owned(),
            now: ctx.now,
        };
        let door = &app.door;
        let sealed = door.execute::<Competition>(&ctx, competition, seal).await;
        sealed.unwrap().position.0
    }
}

#[tokio::test]
async fn a_sealed_period_takes_nothing_more() {
    let arena = Arena::open().await;
    let rules = json!({ "endsAt": arena.at(60), "closeDelaySeconds": 30,
                        "guards": { "scoreMax": 10 } });
    arena.joined("cup", but(arena.rules(), rules)).await;
    let early = arena.score("cup", json!(1));
    let held = but(
        arena.score("cup", json!(99)),
        json!({ "submissionId": "held" }),
    );
    arena.done(&arena.ann.access, "submitScore", held).await;
    arena.clock.advance(chrono::TimeDelta::seconds(89));
    arena
        .done(&arena.ann.access, "submitScore", early.clone())
        .await;
    arena.clock.advance(chrono::TimeDelta::seconds(1));
    arena.seal("cup", "all").await;
    let late = but(early, json!({ "submissionId": "late" }));
    let told = arena.send(&arena.ann.access, "submitScore", late).await;
    assert_eq!(outcome(&told), "PERIOD_CLOSED", "{told}");
    let details = &told["data"]["submitScore"]["userErrors"][0]["details"];
    assert_eq!(details["period"], "all");
    let held = json!({ "competition": "cup", "user": arena.ann.id, "period": "all", "attempt": 1 });
    let (code, _) = arena
        .refused(&arena.root.access, "releaseScore", held)
        .await;
    assert_eq!(code, "PERIOD_CLOSED");
}

/// A score is either before the seal in the log, or refused: by whichever process it came. The clocks of two
/// processes differ, so the seal and not the time decides.
#[tokio::test]
async fn a_hundred_scores_at_the_moment_of_the_seal() {
    let arena = Arena::open().await;
    let rules = json!({ "endsAt": arena.at(60), "operator": "SUM" });
    arena.joined("cup", but(arena.rules(), rules)).await;
    let beside = arena.scene.beside().await;
    let score = arena.score("cup", json!(1));
    let mutation = "mutation($i: SubmitScoreInput!) { submitScore(input: $i) {
        receipt { position } userErrors { code } } }";
    let submit = |n: usize| {
        let (arena, beside, score) = (&arena, &beside, score.clone());
        async move {
            let input = but(score, json!({ "submissionId": n.to_string() }));
            let who = if n.is_multiple_of(3) {
                &arena.ann
            } else {
                &arena.bob
            };
            let scene = if n.is_multiple_of(2) {
                beside
            } else {
                &arena.scene
            };
            scene
                .ask(&who.access, mutation, json!({ "i": input }))
                .await
        }
    };
    let seal = async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let app = arena.scene.app.app();
        let actor = Actor {
            kind: ActorKind::System,
            id: "daybook".into(),
        };
        let later = app.clock.now() + chrono::TimeDelta::seconds(61);
        let ctx = CommandContext::new("default".into(), actor, later);
        let seal = CompetitionCommand::SealPeriod {
            period: "all".to_owned(),
            now: later,
        };
        let sealed = app.door.execute::<Competition>(&ctx, "cup", seal).await;
        sealed.unwrap().position.0
    };
    let (told, sealed) = tokio::join!(join_all((0..100).map(submit)), seal);
    let mut kept = 0;
    for answer in told {
        match outcome(&answer) {
            "ok" => {
                let position = &answer["data"]["submitScore"]["receipt"]["position"];
                let position: i64 = position.as_str().unwrap().parse().unwrap();
                assert!(
                    position < sealed,
                    "{position} is behind the seal at {sealed}"
                );
                kept += 1;
            }
            code => assert_eq!(code, "PERIOD_CLOSED", "{answer}"),
        }
    }
    let behind = "select count(*) filter (where position > $1), count(*) from events
                  where event_type = 'entry.score_accepted'";
    let (behind, all): (i64, i64) = sqlx::query_as(behind)
        .bind(sealed)
        .fetch_one(arena.scene.app.store().pool())
        .await
        .unwrap();
    assert_eq!((behind, all), (0, kept));
}
