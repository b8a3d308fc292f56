//! A competition is written down, revised, opened and ended; what it cannot be by is refused where it stands.

use serde_json::{Value, json};

use super::scene::{Arena, but};
use crate::identity::scene::outcome;

#[tokio::test]
async fn rules_can_change_until_the_competition_is_opened() {
    let arena = Arena::open().await;
    let root = &arena.root.access;
    let made = json!({ "rules": arena.rules(), "commandId": "k1" });
    let first = arena.done(root, "createCompetition", made.clone()).await;
    let id = first["competition"]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("competition_"), "{id}");
    assert_eq!(first["competition"]["status"], "DRAFT");
    let again = arena.done(root, "createCompetition", made).await;
    assert_eq!(again["competition"]["id"], json!(id));
    assert_eq!(again["receipt"]["replayed"], true);

    let input = json!({ "id": id, "rules": arena.rules() });
    let (code, _) = arena.refused(root, "createCompetition", input).await;
    assert_eq!(code, "ALREADY_EXISTS");

    let rules = but(
        arena.rules(),
        json!({ "operator": "DECREMENT", "startScore": "10.5", "decimals": 1, "ties": "DENSE",
                "periods": "WEEKLY", "zone": "Europe/London", "sizeMax": 3,
                "guards": { "scoreMax": 7 } }),
    );
    let revised = arena
        .done(
            root,
            "reviseCompetition",
            json!({ "id": id, "rules": rules }),
        )
        .await;
    assert_eq!(
        revised["competition"]["rules"],
        json!({ "name": "Cup", "metric": "SUBMITTED", "decimals": 1, "operator": "DECREMENT",
                "ties": "DENSE", "periods": "WEEKLY", "zone": "Europe/London", "sizeMax": 3,
                "startScore": "10.5", "guards": { "scoreMax": "7.0" } })
    );
    let prizes = json!({ "currency": "EUR", "decimals": 2, "pool": "100",
                         "rules": [{ "place": 1, "amount": "60.50" },
                                   { "place": 2, "sharePpm": 250_000 }] });
    let defined = arena
        .done(root, "definePrizes", json!({ "id": id, "prizes": prizes }))
        .await;
    assert_eq!(
        defined["competition"]["prizes"],
        json!({ "pool": "100.00", "ties": "SPLIT",
                "rules": [{ "place": 1, "amount": "60.50", "sharePpm": null },
                          { "place": 2, "amount": null, "sharePpm": 250_000 }] })
    );
    let invite = json!({ "id": id, "users": ["u", "v"], "groups": ["g"] });
    let invited = arena.done(root, "inviteToCompetition", invite).await;
    assert_eq!(invited["competition"]["invited"], 3);

    let opened = arena
        .done(root, "openCompetition", json!({ "id": id }))
        .await;
    assert_eq!(opened["competition"]["status"], "OPEN");
    for (field, input) in [
        (
            "reviseCompetition",
            json!({ "id": id, "rules": arena.rules() }),
        ),
        ("definePrizes", json!({ "id": id })),
    ] {
        let (code, _) = arena.refused(root, field, input).await;
        assert_eq!(code, "RULES_FROZEN", "{field}");
    }
    let (code, _) = arena
        .refused(root, "openCompetition", json!({ "id": id }))
        .await;
    assert_eq!(code, "ILLEGAL_TRANSITION");

    let cut = json!({ "id": id, "reason": "rain" });
    let cut = arena.done(root, "cutCompetitionShort", cut).await;
    assert_eq!(cut["competition"]["endsAt"], json!(arena.at(0)));
    let cancelled = arena
        .done(root, "cancelCompetition", json!({ "id": id }))
        .await;
    assert_eq!(cancelled["competition"]["status"], "CANCELLED");
    let (code, _) = arena
        .refused(
            root,
            "inviteToCompetition",
            json!({ "id": id, "users": ["w"] }),
        )
        .await;
    assert_eq!(code, "ILLEGAL_TRANSITION");
}

#[tokio::test]
async fn what_a_competition_cannot_be_by_is_refused_where_it_stands() {
    let arena = Arena::open().await;
    let root = &arena.root.access;
    let with = |other: Value| json!({ "rules": but(arena.rules(), other) });
    let days = |start: &str, end: &str| json!([{ "key": "k", "start": start, "end": end }]);
    let (early, late) = (arena.at(0), arena.at(60));
    let cases = [
        (with(json!({ "name": "" })), "VALIDATION", "rules.name"),
        (
            with(json!({ "zone": "Europe/Atlantis" })),
            "VALIDATION",
            "rules.zone",
        ),
        (
            with(json!({ "decimals": 7 })),
            "OUT_OF_RANGE",
            "rules.decimals",
        ),
        (
            with(json!({ "decimals": -1 })),
            "OUT_OF_RANGE",
            "rules.decimals",
        ),
        (
            with(json!({ "sizeMax": 0 })),
            "OUT_OF_RANGE",
            "rules.sizeMax",
        ),
        (
            with(json!({ "closeDelaySeconds": -1 })),
            "OUT_OF_RANGE",
            "rules.closeDelaySeconds",
        ),
        (
            with(json!({ "operator": "DECREMENT" })),
            "INVALID_OPERATOR",
            "rules.startScore",
        ),
        (
            with(json!({ "startScore": 5 })),
            "INVALID_OPERATOR",
            "rules.startScore",
        ),
        (
            with(json!({ "customMetric": "pushups" })),
            "VALIDATION",
            "rules.customMetric",
        ),
        (
            with(json!({ "metric": "CUSTOM" })),
            "VALIDATION",
            "rules.customMetric",
        ),
        (
            with(json!({ "metric": "STEPS", "decimals": 2 })),
            "VALIDATION",
            "rules.decimals",
        ),
        (
            with(json!({ "periods": "CUSTOM" })),
            "VALIDATION",
            "rules.customPeriods",
        ),
        (
            with(json!({ "periods": "CUSTOM", "customPeriods": days(&late, &early) })),
            "TIME_TRAVEL",
            "rules.periods.0.end",
        ),
        (
            with(json!({ "endsAt": arena.at(-7_200) })),
            "TIME_TRAVEL",
            "rules.endsAt",
        ),
        (
            with(json!({ "guards": { "scoreMax": "1.5" } })),
            "VALIDATION",
            "rules.guards.scoreMax",
        ),
        (
            but(with(json!({})), json!({ "id": "a/b" })),
            "VALIDATION",
            "id",
        ),
    ];
    for (input, code, path) in cases {
        let told = arena
            .refused(root, "createCompetition", input.clone())
            .await;
        assert_eq!(told, (code.to_owned(), path.to_owned()), "{input}");
    }
    let draft = json!({ "id": "cup", "rules": arena.rules() });
    arena.done(root, "createCompetition", draft).await;
    let plan = |rule: Value| json!({ "id": "cup", "prizes": { "currency": "EUR", "pool": 10, "rules": [rule] } });
    for (rule, code, path) in [
        (
            json!({ "place": 1, "amount": 11 }),
            "PRIZES_EXCEED_POOL",
            "prizes.rules",
        ),
        (
            json!({ "place": 0, "amount": 1 }),
            "OUT_OF_RANGE",
            "prizes.rules.0.place",
        ),
        (
            json!({ "place": 1, "amount": "1.5" }),
            "VALIDATION",
            "prizes.rules.0.amount",
        ),
        (json!({ "amount": 1 }), "VALIDATION", "prizes.rules.0"),
    ] {
        let told = arena
            .refused(root, "definePrizes", plan(rule.clone()))
            .await;
        assert_eq!(told, (code.to_owned(), path.to_owned()), "{rule}");
    }
    for (field, input) in [
        ("createCompetition", json!({ "rules": arena.rules() })),
        ("openCompetition", json!({ "id": "cup" })),
        (
            "excludeEntry",
            json!({ "competition": "cup", "user": "u", "reason": "r" }),
        ),
    ] {
        let told = arena.send(&arena.ann.access, field, input).await;
        assert_eq!(outcome(&told), "FORBIDDEN", "{field}");
    }
}
