//! Who takes part, and on which place.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use super::scene::{Arena, but};
use crate::identity::scene::outcome;

#[tokio::test]
async fn everybody_joins_themselves_and_operators_anybody() {
    let arena = Arena::open().await;
    let (ann, root) = (&arena.ann, &arena.root.access);
    let draft =
        json!({ "id": "cup", "rules": but(arena.rules(), json!({ "consentRequired": true })) });
    arena.done(root, "createCompetition", draft).await;
    let cup = json!({ "competition": "cup" });
    let agreed = but(cup.clone(), json!({ "consent": true, "commandId": "j" }));
    let (code, _) = arena
        .refused(&ann.access, "joinCompetition", agreed.clone())
        .await;
    assert_eq!(code, "OUTSIDE_WINDOW");
    arena
        .done(root, "openCompetition", json!({ "id": "cup" }))
        .await;

    let told = arena
        .refused(&ann.access, "joinCompetition", cup.clone())
        .await;
    assert_eq!(told, ("CONSENT_REQUIRED".to_owned(), "consent".to_owned()));
    let nowhere = json!({ "competition": "none", "consent": true });
    let told = arena.refused(&ann.access, "joinCompetition", nowhere).await;
    assert_eq!(told, ("NOT_FOUND".to_owned(), "competition".to_owned()));
    for other in [
        json!({ "user": arena.bob.id }),
        json!({ "groups": ["vip"] }),
    ] {
        let input = but(agreed.clone(), other);
        let told = arena.send(&ann.access, "joinCompetition", input).await;
        assert_eq!(outcome(&told), "FORBIDDEN", "{told}");
    }

    let joined = arena
        .done(&ann.access, "joinCompetition", agreed.clone())
        .await;
    assert_eq!(joined["entry"]["userId"], json!(ann.id));
    assert_eq!(joined["entry"]["joinedAt"], json!(arena.at(0)));
    let again = arena.done(&ann.access, "joinCompetition", agreed).await;
    assert_eq!(again["receipt"]["replayed"], true);
    let head = arena.scene.app.head().await;
    let input = but(cup.clone(), json!({ "user": ann.id, "consent": true }));
    arena.done(&ann.access, "joinCompetition", input).await;
    assert_eq!(arena.scene.app.head().await, head, "already so");

    // A program is nobody's: it says whom it means. Whoever it names needs no account.
    let program = arena.program();
    let told = arena.refused(&program, "joinCompetition", cup).await;
    assert_eq!(told, ("VALIDATION".to_owned(), "user".to_owned()));
    let (_, key) = arena.scene.key(root, &["competitions:write"]).await;
    for who in [&program, &key] {
        let input =
            json!({ "competition": "cup", "user": "4711", "consent": true, "groups": ["vip"] });
        let joined = arena.done(who, "joinCompetition", input).await;
        assert_eq!(joined["entry"]["userId"], "4711");
    }
    let left = json!({ "competition": "cup" });
    let left = arena.done(&ann.access, "leaveCompetition", left).await;
    assert_eq!(left["entry"]["joinedAt"], json!(null));
    let left = json!({ "competition": "cup" });
    let (code, _) = arena
        .refused(&arena.bob.access, "leaveCompetition", left)
        .await;
    assert_eq!(code, "NOT_FOUND");
}

#[tokio::test]
async fn whoever_is_not_invited_stays_outside() {
    let arena = Arena::open().await;
    let root = &arena.root.access;
    arena
        .opened("cup", but(arena.rules(), json!({ "join": "INVITED" })))
        .await;
    let invite = json!({ "id": "cup", "users": [arena.ann.id], "groups": ["vip"] });
    arena.done(root, "inviteToCompetition", invite).await;
    let cup = json!({ "competition": "cup" });
    arena
        .done(&arena.ann.access, "joinCompetition", cup.clone())
        .await;
    let told = arena
        .refused(&arena.bob.access, "joinCompetition", cup.clone())
        .await;
    assert_eq!(told, ("NOT_INVITED".to_owned(), "user".to_owned()));
    let with = json!({ "user": arena.bob.id, "groups": ["vip"] });
    arena.done(root, "joinCompetition", but(cup, with)).await;
}

/// Each place is given once, however many come at the same moment.
#[tokio::test]
async fn fifty_who_join_at_once_get_the_places_there_are() {
    const SIZE: usize = 20;
    let arena = Arena::open().await;
    arena
        .opened("cup", but(arena.rules(), json!({ "sizeMax": SIZE })))
        .await;
    let (program, beside) = (arena.program(), arena.scene.beside().await);
    let join = |user: usize| {
        let (arena, program, beside) = (&arena, &program, &beside);
        async move {
            let input = json!({ "competition": "cup", "user": format!("u{user}") });
            if user.is_multiple_of(2) {
                return arena.send(program, "joinCompetition", input).await;
            }
            let mutation = "mutation($i: JoinCompetitionInput!) { joinCompetition(input: $i) {
                entry { place } userErrors { code } } }";
            let said = json!({ "i": input });
            beside.ask(program, mutation, said).await
        }
    };
    let told = join_all((0..50).map(join)).await;
    let mut places = BTreeSet::new();
    for answer in &told {
        match outcome(answer) {
            "ok" => {
                let place = &answer["data"]["joinCompetition"]["entry"]["place"];
                assert!(places.insert(place.as_u64().unwrap()), "{answer}");
            }
            code => assert_eq!(code, "MAX_SIZE_REACHED", "{answer}"),
        }
    }
    assert_eq!(places, (1..=SIZE as u64).collect());

    // Whoever takes part does so still, and a place that is left is free.
    let inside = told
        .iter()
        .position(|answer| outcome(answer) == "ok")
        .unwrap();
    let outside = told
        .iter()
        .position(|answer| outcome(answer) != "ok")
        .unwrap();
    assert_eq!(outcome(&join(inside).await), "ok");
    let left = json!({ "competition": "cup", "user": format!("u{inside}") });
    arena.done(&program, "leaveCompetition", left).await;
    assert_eq!(outcome(&join(outside).await), "ok");
    assert_eq!(outcome(&join(inside).await), "MAX_SIZE_REACHED");
}

/// Where there is no size nobody waits for anybody.
#[tokio::test]
async fn hundreds_join_at_once_where_there_is_no_size() {
    let arena = Arena::open().await;
    arena.opened("cup", arena.rules()).await;
    let program = arena.program();
    let join = |user: usize| {
        let input = json!({ "competition": "cup", "user": format!("u{user}") });
        arena.send(&program, "joinCompetition", input)
    };
    for answer in join_all((0..300).map(join)).await {
        assert_eq!(outcome(&answer), "ok", "{answer}");
    }
}
