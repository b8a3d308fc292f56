//! Who reaches for more than is theirs, section Z of `docs/promises.md`: by fields that nobody may set, by one id
//! among many, by counting through ids, by operations of those who run the place.

use chrono::TimeDelta;
use daybook::auth::{Grant, Role};
use serde_json::{Value, json};

use super::matrix::ARGUMENTS;
use super::scene::{As, SOUTH, Scene, clock, outcome};
use crate::support::Heard;

const REGISTER: &str = "mutation($i: RegisterVehicleInput!) { registerVehicle(input: $i) {
                        userErrors { code } } }";

/// Z6: the same for every input there is, by what the schema says.
#[tokio::test]
async fn z6_no_input_has_a_field_too_many() {
    let scene = Scene::start().await;
    let admin = scene.admin("default");
    let mut tried = 0;
    for (path, arguments) in ARGUMENTS {
        let Some(mutation) = path.strip_prefix("Mutation.") else {
            continue;
        };
        let arguments = match *arguments {
            "" => "(input: {})",
            arguments => arguments,
        };
        for planted in [
            "tenantId: \"south\"",
            "createdBy: \"user:ann\"",
            "issuedBy: \"user:ann\"",
            "isAdmin: true",
            "emailVerified: true",
            "passwordHash: \"x\"",
            "owner: \"ann\"",
            "recordedAt: \"2026-01-01T00:00:00Z\"",
        ] {
            let forged = arguments.replacen("input: {", &format!("input: {{ {planted}, "), 1);
            assert_ne!(forged, *arguments, "{path}");
            let query = format!("mutation {{ {mutation}{forged} {{ __typename }} }}");
            let told = scene.ask(&admin, &query, json!({})).await;
            assert_eq!(
                outcome(&told),
                "GRAPHQL_VALIDATION_FAILED",
                "{query}: {told}"
            );
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

/// Z4: one id of another tenant's among a hundred is answered as one of nothing, and nothing happens there.
#[tokio::test]
async fn z4_one_of_a_hundred() {
    let scene = Scene::start().await;
    scene.tenant(SOUTH).await;
    let south = scene.admin(SOUTH);
    scene
        .done(&south, REGISTER, json!({ "id": "v-south" }))
        .await;
    for n in 0..99 {
        let own = json!({ "id": format!("v-{n}") });
        scene.done(&scene.admin("default"), REGISTER, own).await;
    }
    let theirs = scene.app.store().head(SOUTH).await.unwrap();
    let report = "mutation($i: ReportPositionsInput!) { reportPositions(input: $i) {
                  accepted rejected results { index status error { code message } } userErrors { code path } } }";
    let ids = |foreign: &str| {
        let mut ids: Vec<String> = (0..99).map(|n| format!("v-{n}")).collect();
        ids.insert(50, foreign.to_owned());
        ids
    };
    // By somebody who may not register what is not there.
    let (_, key) = scene
        .key(&scene.admin("default"), &["positions:write"])
        .await;
    let mut told = Vec::new();
    for (hour, foreign) in ["v-south", "v-nouth"].iter().enumerate() {
        let fixes: Vec<Value> = ids(foreign)
            .iter()
            .map(|id| {
                let at = format!("2026-01-01T0{hour}:00:00Z");
                json!({ "vehicle": id, "fixTime": at, "lat": 30.25, "lon": -97.75 })
            })
            .collect();
        let answer = scene
            .ask(&key, report, json!({ "i": { "fixes": fixes } }))
            .await;
        let answer = answer["data"]["reportPositions"].clone();
        assert_eq!(answer["accepted"], 99, "{answer}");
        told.push(answer);
    }
    assert_eq!(told[0], told[1]);
    let viewer = scene.program(&[Role::Viewer], "default");
    for query in [
        "query($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        "query($ids: [ID!]!) { latestPositions(vehicleIds: $ids, first: 100) { nodes { vehicleId } } }",
    ] {
        let mut told = Vec::new();
        for foreign in ["v-south", "v-nouth"] {
            let variables = json!({ "ids": ids(foreign) });
            let answer = scene.settled(&viewer, "default", query, variables).await;
            assert!(answer["data"].to_string().contains("v-98"), "{answer}");
            told.push(answer["data"].clone());
        }
        assert_eq!(told[0], told[1]);
    }
    assert_eq!(scene.app.store().head(SOUTH).await.unwrap(), theirs);
}

/// Z12, Z5: what is for those who run the place is done for nobody else, and who tried can be found in the log
/// lines; what they said is not.
#[tokio::test]
async fn z12_who_tried_is_noted() {
    let heard = Heard::listen();
    let scene = Scene::start().await;
    let ann = scene.person("default", "ann", &[Role::Viewer]).await;
    let (id, key) = scene.key(&ann.access, &["vehicles:read"]).await;
    let head = scene.app.head().await;
    let erase = format!(
        "mutation {{ erasePersonalData(input: {{ userId: \"{}\", commandId: \"planted\" }}) {{ userErrors {{ code }} }} }}",
        ann.id
    );
    for (query, by_person) in [
        (erase.as_str(), "Role(Admin)"),
        (
            "mutation { rotateSigningKey { userErrors { code } } }",
            "Installation",
        ),
        (
            "mutation { suspendTenant(input: { id: \"south\" }) { userErrors { code } } }",
            "Installation",
        ),
        ("{ events { nodes { id } } }", "Role(Auditor)"),
    ] {
        for (who, actor) in [
            (&ann.access, format!("user:{}", ann.id)),
            (&key, format!("api_key:{id}")),
        ] {
            heard.take();
            let reply = scene.request(who, query, json!({})).await;
            assert_eq!(
                (reply.status, outcome(&reply.json())),
                (403, "FORBIDDEN"),
                "{query}"
            );
            let said = heard.take();
            let noted: Vec<&str> = said
                .iter()
                .map(|said| said.text.as_str())
                .filter(|text| text.contains("what they may not"))
                .collect();
            assert_eq!(noted.len(), 1, "{query}: {noted:?}");
            assert!(noted[0].starts_with("INFO"), "{}", noted[0]);
            for fact in [actor.as_str(), by_person, "default"] {
                assert!(noted[0].contains(fact), "{fact} is not in {}", noted[0]);
            }
            assert!(!noted[0].contains("planted"), "{}", noted[0]);
        }
    }
    assert_eq!(scene.app.head().await, head, "nothing was kept");
}

/// Z13: whoever counts through ids finds nothing, and not for long.
#[tokio::test]
async fn z13_counting_through_ids() {
    let (clock, hand) = clock();
    let scene = Scene::at(clock, |settings| settings.limits.enabled = true).await;
    scene.tenant(SOUTH).await;
    for n in [3, 17, 99] {
        let vehicle = json!({ "id": n.to_string() });
        scene.done(&scene.admin(SOUTH), REGISTER, vehicle).await;
    }
    let grant = Grant {
        subject: "guesser".to_owned(),
        tenant: "default".to_owned(),
        roles: vec![Role::Operator],
        ..Grant::default()
    };
    let guesser = As::Token(scene.app.app().auth.mint(&grant).unwrap());
    let guess = async |n: usize| {
        let query = "query($id: ID!) { vehicle(id: $id) { id } }";
        scene
            .request(&guesser, query, json!({ "id": n.to_string() }))
            .await
    };
    for n in 1..=100 {
        let reply = guess(n).await;
        assert_eq!(
            (reply.status, &reply.json()["data"]),
            (200, &json!({ "vehicle": null })),
            "{n}"
        );
    }
    for n in 101..150 {
        let reply = guess(n).await;
        assert_eq!(
            (reply.status, outcome(&reply.json())),
            (429, "RATE_LIMITED"),
            "{n}"
        );
        assert_eq!(reply.header("retry-after"), "1");
    }
    // Ten a second from then on: ten thousand take a quarter of an hour of one caller's quota.
    hand.advance(TimeDelta::seconds(1));
    let mut through = 0;
    for n in 150..170 {
        through += usize::from(guess(n).await.status == 200);
    }
    assert_eq!(through, 10);
}
