//! Tenants apart, section Z of `docs/promises.md`: what belongs to another tenant is answered as what is not
//! there, to the byte and by the same work.

mod places;

use daybook::auth::Role;
use daybook::commands::{CommandContext, IngestLogs};
use domain::log_batch::LogReport;
use domain::{Actor, ActorKind};
use serde_json::{Value, json};

use places::Kind::{
    self, Competition, Deployment, Fleet, Incident, Key, LogSource, Session, Slo, User, Vehicle,
};
use places::{APART, TAKEN};

use super::scene::{As, Person, SOUTH, Scene, email, outcome};
use super::schema::{committed, root_fields};
use crate::support::Heard;
use crate::transport::client::Socket;

#[test]
fn every_place_for_an_id_is_tried() {
    let places: Vec<String> = root_fields(&committed())
        .iter()
        .flat_map(|field| {
            let of = |id: &String| format!("{}({id})", field.path);
            field.ids.iter().map(of).collect::<Vec<_>>()
        })
        .collect();
    let tried = |place: &&str| {
        TAKEN.iter().any(|(at, ..)| at.contains(place)) || APART.iter().any(|(at, _)| at == place)
    };
    let untried: Vec<&str> = places
        .iter()
        .map(String::as_str)
        .filter(|p| !tried(p))
        .collect();
    assert_eq!(untried, Vec::<&str>::new());
    let all = TAKEN.iter().flat_map(|(at, ..)| *at);
    for place in all.chain(APART.iter().map(|(at, _)| at)) {
        assert!(
            places.iter().any(|p| p == place),
            "{place} is no such place"
        );
    }
}

/// Two tenants in which there is the same.
struct Neighbours {
    scene: Scene,
    own: Things,
    foreign: Things,
}

/// What there is in a tenant.
struct Things {
    person: Person,
    key: String,
}

impl Things {
    async fn make(scene: &Scene, tenant: &str) -> Things {
        let admin = scene.admin(tenant);
        let suffix = if tenant == SOUTH { "south" } else { "own" };
        let environment = json!({ "project": format!("p-{suffix}"), "environment": "live",
                                  "tier": "PRODUCTION" });
        let define = mutation_of("defineEnvironment");
        scene.done(&admin, &define, environment).await;
        for n in ["", "-2"] {
            for (mutation, input) in [
                (
                    "requestDeployment",
                    json!({ "id": format!("d-{suffix}{n}"), "project": format!("p-{suffix}"),
                            "service": "web", "environment": "live", "version": "1" }),
                ),
                (
                    "openIncident",
                    json!({ "id": format!("i-{suffix}{n}"), "project": format!("p-{suffix}"),
                            "title": format!("of {suffix}"), "severity": "LOW" }),
                ),
                (
                    "defineSlo",
                    json!({ "id": format!("o-{suffix}{n}"), "name": format!("slo of {suffix}"),
                            "sli": "APPROVAL_WAIT", "objectivePpm": 990_000,
                            "window": { "kind": "ROLLING", "days": 30 }, "thresholdSeconds": 60 }),
                ),
                ("registerVehicle", json!({ "id": format!("v-{suffix}{n}") })),
                (
                    "registerLogSource",
                    json!({ "id": format!("l-{suffix}{n}") }),
                ),
                (
                    "createCompetition",
                    json!({ "id": format!("c-{suffix}{n}"),
                            "rules": { "name": format!("cup of {suffix}"), "metric": "SUBMITTED",
                                       "operator": "BEST", "startsAt": "2026-01-01T00:00:00Z" } }),
                ),
                (
                    "createFleet",
                    json!({ "id": format!("f-{suffix}{n}"), "name": format!("of {suffix}") }),
                ),
                (
                    "joinFleet",
                    json!({ "vehicleId": format!("v-{suffix}{n}"), "fleetId": format!("f-{suffix}{n}") }),
                ),
            ] {
                scene.done(&admin, &mutation_of(mutation), input).await;
            }
        }
        let fix = json!({ "vehicle": format!("v-{suffix}"), "fixTime": "2026-01-01T12:00:00Z",
                          "lat": 30.25, "lon": -97.75 });
        let report = json!({ "fixes": [fix] });
        scene
            .done(&admin, &mutation_of("reportPositions"), report)
            .await;
        hand_in(scene, tenant, suffix).await;
        let person = scene.person(tenant, &format!("pat-{suffix}"), &[]).await;
        let (key, _) = scene.key(&admin, &["vehicles:read"]).await;
        Things { person, key }
    }

    /// The id of one of them.
    fn id(&self, kind: Kind, tenant: &str) -> String {
        let suffix = if tenant == SOUTH { "south" } else { "own" };
        match kind {
            Vehicle => format!("v-{suffix}"),
            Fleet => format!("f-{suffix}"),
            User => self.person.id.clone(),
            Session => self.person.session.clone(),
            Key => self.key.clone(),
            Deployment => format!("d-{suffix}"),
            Incident => format!("i-{suffix}"),
            Slo => format!("o-{suffix}"),
            LogSource => format!("l-{suffix}"),
            Competition => format!("c-{suffix}"),
        }
    }
}

/// A log record of a source of the tenant's.
async fn hand_in(scene: &Scene, tenant: &str, suffix: &str) {
    let app = scene.app.app();
    let now = app.clock.now();
    let actor = Actor {
        kind: ActorKind::User,
        id: "tester".into(),
    };
    let report = LogReport {
        timestamp: now.to_rfc3339(),
        event_type: "error".to_owned(),
        event_name: format!("of {suffix}"),
        ..LogReport::default()
    };
    let batch = IngestLogs {
        source: format!("l-{suffix}"),
        records: vec![Ok(report)],
        may_register: true,
    };
    let ctx = CommandContext::new(tenant.into(), actor, now);
    app.door.ingest_logs(&ctx, batch).await.unwrap();
}

/// A mutation with nothing but its refusals, by the name of its input.
fn mutation_of(field: &str) -> String {
    let input = match field {
        "joinFleet" => "FleetMembership".to_owned(),
        other => other[..1].to_uppercase() + &other[1..],
    };
    format!(
        "mutation($i: {input}Input!) {{ {field}(input: $i) {{ userErrors {{ code message }} }} }}"
    )
}

/// An id as long as this one, of nothing.
fn of_nothing(id: &str, digit: &str) -> String {
    let (kind, rest) = id.split_once(['_', '-']).unwrap();
    let between = &id[kind.len()..=kind.len()];
    format!("{kind}{between}{}", digit.repeat(rest.len()))
}

impl Neighbours {
    async fn meet() -> Neighbours {
        let scene = Scene::start().await;
        scene.tenant(SOUTH).await;
        let own = Things::make(&scene, "default").await;
        let foreign = Things::make(&scene, SOUTH).await;
        Neighbours {
            scene,
            own,
            foreign,
        }
    }

    /// An answer without the id it is about, and without how far the read models are.
    async fn answer(&self, who: &As, document: &str, id: &str) -> String {
        let told = self
            .scene
            .settled(who, "default", document, json!({ "id": id }));
        let mut told = told.await;
        told.as_object_mut().unwrap().remove("extensions");
        told.to_string().replace(id, "<id>")
    }
}

/// What is looked at now and then, such as the signing keys, falls to one request or another: work is compared
/// so often at most.
const TRIES: usize = 10;

/// Z1, Z2, Z14: the same answer, found out with the same questions to the database, which give as many rows.
#[tokio::test]
async fn z1_what_is_anothers_is_not_there() {
    let heard = Heard::listen();
    let there = Neighbours::meet().await;
    let heads = async || there.scene.app.store().head(SOUTH).await.unwrap();
    let before = heads().await;
    let insider = there
        .scene
        .program(&[Role::Operator, Role::Auditor], "default");
    let owner = there.own.person.access.clone();
    for (_, kind, document) in TAKEN {
        let own = there.own.id(*kind, "default");
        let foreign = there.foreign.id(*kind, SOUTH);
        for who in [&owner, &insider, &there.scene.admin("default")] {
            // What is asked for the first time is worked out as such.
            there
                .answer(who, document, &of_nothing(&foreign, "9"))
                .await;
            let mut work = Vec::new();
            for _ in 0..TRIES {
                heard.take();
                let nothing = of_nothing(&foreign, "0");
                let missing = there.answer(who, document, &nothing).await;
                let for_missing = heard.statements();
                let told = there.answer(who, document, &foreign).await;
                assert_eq!(told, missing, "{document}");
                let known = outcome_of(&told) != "FORBIDDEN";
                assert!(!known || !for_missing.is_empty(), "{document}");
                work = vec![for_missing, heard.statements()];
                if work[0] == work[1] {
                    break;
                }
            }
            assert_eq!(work[0], work[1], "{document}");
        }
        // What is one's own is told apart: the answers above say something.
        let told = there
            .answer(&there.scene.admin("default"), document, &own)
            .await;
        let missing = there
            .answer(
                &there.scene.admin("default"),
                document,
                &of_nothing(&own, "0"),
            )
            .await;
        assert_ne!(told, missing, "{document}");
    }
    assert_eq!(heads().await, before, "nothing was appended there");
}

fn outcome_of(text: &str) -> String {
    outcome(&serde_json::from_str(text).unwrap()).to_owned()
}

/// Z2: a cursor of another tenant's is none.
#[tokio::test]
async fn z2_cursors_stay_where_they_were_given() {
    let there = Neighbours::meet().await;
    there.scene.person(SOUTH, "second-south", &[]).await;
    let (us, them) = (there.scene.admin("default"), there.scene.admin(SOUTH));
    there.scene.key(&them, &["vehicles:read"]).await;
    let sessions = format!("sessions(userId: \"{}\", ", there.foreign.person.id);
    there.scene.sign_in(SOUTH, "pat-south").await;
    for list in [
        "vehicles(",
        "fleets(",
        "latestPositions(",
        "deployments(",
        "incidents(",
        "slos(",
        "competitions(",
        "logs(",
        "logSources(",
        "events(",
        "users(",
        "apiKeys(",
        sessions.as_str(),
    ] {
        let first = format!("{{ {list}first: 1) {{ pageInfo {{ endCursor }} }} }}");
        let told = there.scene.settled(&them, SOUTH, &first, json!({})).await;
        let field = list.split('(').next().unwrap();
        let cursor = told["data"][field]["pageInfo"]["endCursor"].as_str();
        let cursor = cursor
            .unwrap_or_else(|| panic!("{list}: {told}"))
            .to_owned();
        let next = format!(
            "query($c: String!) {{ {list}first: 1, after: $c) {{ nodes {{ __typename }} }} }}"
        );
        let answer = async |who: &As, cursor: &str| {
            let variables = json!({ "c": cursor });
            there.scene.ask(who, &next, variables).await
        };
        let at_home = answer(&them, &cursor).await;
        assert_eq!(outcome(&at_home), "ok", "{list}: {at_home}");
        let (carried, made_up) = (answer(&us, &cursor).await, answer(&us, "AAAA").await);
        assert_eq!(outcome(&carried), "BAD_CURSOR", "{list}: {carried}");
        assert_eq!(carried["errors"], made_up["errors"], "{list}");
    }
}

/// Z2: nothing of another tenant's is in a list, found by a filter, or counted.
#[tokio::test]
async fn z2_lists_filters_and_counts_are_ones_own() {
    let there = Neighbours::meet().await;
    let us = there.scene.admin("default");
    let span = r#"from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z""#;
    let lists = format!(
        "{{ vehicles {{ nodes {{ id fleetIds }} }} fleets {{ nodes {{ id name vehicleCount }} }}
            latestPositions {{ nodes {{ vehicleId vehicle {{ id }} event {{ aggregateId }} }} }}
            deployments {{ nodes {{ id project }} }} incidents {{ nodes {{ id title }} }}
            logSources {{ nodes {{ id records }} }} logs {{ nodes {{ source eventName }} }}
            logStatus {{ records }} logStats {{ topNames {{ eventName records }} }}
            environments {{ nodes {{ id }} }} slos {{ nodes {{ id objective {{ name }} }} }}
            competitions {{ nodes {{ id rules {{ name }} }} }}
            events(first: 200) {{ nodes {{ aggregateId payload metadata {{ actor }} }} }}
            users {{ nodes {{ id email name }} }} apiKeys(includeRevoked: true) {{ nodes {{ id name }} }}
            mine: sessions(userId: \"{}\") {{ nodes {{ id userId }} }}
            heatmap({span}) {{ cells {{ fixes vehicles }} }}
            fleetSummary({span}) {{ activeVehicles fixes }} }}",
        there.own.person.id
    );
    let told = there.scene.settled(&us, "default", &lists, json!({})).await;
    assert_eq!(outcome(&told), "ok", "{told}");
    let text = told.to_string();
    for own in [
        "v-own",
        "f-own",
        "d-own",
        "i-own",
        "o-own",
        "c-own",
        "l-own",
        "of own",
        "p-own/live",
        "pat-own",
        &there.own.person.id,
        &there.own.key,
    ] {
        assert!(text.contains(own), "{own} is not in {text}");
    }
    for foreign in [
        "v-south",
        "f-south",
        "d-south",
        "i-south",
        "o-south",
        "c-south",
        "l-south",
        "of south",
        "slo of south",
        "p-south",
        "pat-south",
        &there.foreign.person.id,
        &there.foreign.person.session,
        &there.foreign.key,
    ] {
        assert!(!text.contains(foreign), "{foreign} is in {text}");
    }
    assert_eq!(
        told["data"]["heatmap"]["cells"],
        json!([{ "fixes": 1, "vehicles": 1 }])
    );
    assert_eq!(
        told["data"]["fleetSummary"],
        json!({ "activeVehicles": 1, "fixes": 1 })
    );
    for (filter, found) in [
        (
            format!("users(filter: {{ email: \"{}\" }})", email("pat-own")),
            1,
        ),
        (
            format!("users(filter: {{ email: \"{}\" }})", email("pat-south")),
            0,
        ),
        (
            format!("users(filter: {{ email: \"{}\" }})", email("nobody")),
            0,
        ),
        ("vehicles(filter: { text: \"v-own\" })".to_owned(), 2),
        ("vehicles(filter: { text: \"v-south\" })".to_owned(), 0),
    ] {
        let query = format!("{{ list: {filter} {{ nodes {{ id }} }} }}");
        let told = there.scene.settled(&us, "default", &query, json!({})).await;
        let nodes = told["data"]["list"]["nodes"].as_array();
        assert_eq!(nodes.map(Vec::len), Some(found), "{filter}: {told}");
    }
}

/// Z3: whoever follows another tenant's vehicles, fleets or streams follows nothing.
#[tokio::test]
async fn z3_nothing_comes_from_elsewhere() {
    let there = Neighbours::meet().await;
    let mut socket = Socket::open(there.scene.app.address(), &[]).await;
    let admin = there.scene.admin("default");
    let init = json!({ "type": "connection_init", "payload": { "token": admin.secret() } });
    socket.send(&init).await;
    socket.next().await;
    let from = there.scene.app.head().await;
    let vehicles = r#"vehicleMoved(vehicleIds: ["v-south", "v-own"]) { vehicleId lat }"#;
    for (id, field) in [
        ("vehicles", vehicles.to_owned()),
        ("everything", "vehicleMoved { vehicleId lat }".to_owned()),
        (
            "events",
            format!("events(after: \"{from}\") {{ aggregateId }}"),
        ),
    ] {
        socket
            .subscribe(id, &format!("subscription {{ {field} }}"))
            .await;
    }
    // A fleet of theirs is as one that is not there.
    for (id, fleet) in [("theirs", "f-south"), ("none", "f-00000")] {
        let field = format!("vehicleMoved(fleetId: \"{fleet}\") {{ vehicleId }}");
        socket
            .subscribe(id, &format!("subscription {{ {field} }}"))
            .await;
    }
    let mut refused = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    // Whoever is subscribed is shown how things stand, and then what comes.
    let report = |vehicle: &str, lat: f64| {
        json!({ "fixes": [{ "vehicle": vehicle, "fixTime": "2026-01-01T13:00:00Z",
                            "lat": lat, "lon": -97.75 }] })
    };
    let mutation = mutation_of("reportPositions");
    let south = there.scene.admin(SOUTH);
    there
        .scene
        .done(&south, &mutation, report("v-south", 31.0))
        .await;
    there
        .scene
        .done(&admin, &mutation, report("v-own", 32.0))
        .await;
    while seen.len() < 3 {
        let said = socket.next().await;
        assert!(!said.to_string().contains("v-south"), "{said}");
        let id = said["id"].as_str().unwrap().to_owned();
        let data = &said["payload"]["data"];
        match said["type"].as_str() {
            Some("error") => refused.push((id, said["payload"][0]["extensions"]["code"].clone())),
            _ if data["vehicleMoved"]["lat"] == 32.0 || data["events"] != Value::Null => {
                seen.insert(id, ());
            }
            _ => {}
        }
    }
    let of = |id: &str| {
        refused
            .iter()
            .find(|(at, _)| at == id)
            .map(|(_, code)| code)
    };
    assert_eq!(of("theirs"), of("none"));
}
