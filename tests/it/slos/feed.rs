//! `sloBurnAlert`: a journal of alerts, in order, without gaps, of one's own tenant.

use std::sync::Arc;

use daybook::commands::CommandContext;
use domain::slo::{BurnRates, BurnRule, Slo, SloCommand};
use domain::{Actor, ActorKind, Position};
use serde_json::{Value, json};

use super::scene::{but, done, objective, send};
use crate::deployments::scene::Yard;
use crate::identity::scene::{As, SOUTH, outcome};
use crate::transport::client::Socket;

const NEWS: &str = "position change sloId revision objective { name project }
                    rule { longMinutes } rates { longMilli shortMilli position }";

async fn socket(yard: &Yard, who: &As) -> Socket {
    let mut socket = Socket::open(yard.scene.app.address(), &[]).await;
    let init = json!({ "type": "connection_init", "payload": { "token": who.secret() } });
    socket.send(&init).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket
}

async fn next(socket: &mut Socket) -> Value {
    let mut said = socket.next().await;
    assert_eq!(said["type"], "next", "{said}");
    let item = said["payload"]["data"]["sloBurnAlert"].take();
    assert_eq!(said["payload"]["extensions"]["position"], item["position"]);
    item
}

/// An item in short.
fn short(item: &Value) -> String {
    format!(
        "{} {} r{} {}",
        item["change"].as_str().unwrap(),
        item["sloId"].as_str().unwrap(),
        item["revision"],
        item["objective"]["name"].as_str().unwrap()
    )
}

/// Says that an alert went up or down.
async fn alert(yard: &Yard, tenant: &str, id: &str, up: bool) {
    let rule = BurnRule {
        long_minutes: 60,
        short_minutes: 5,
        factor_milli: 14_400,
    };
    let rates = BurnRates {
        long_milli: 15_000,
        short_milli: 16_000,
        position: Position(7),
    };
    let command = match up {
        true => SloCommand::RaiseAlert { rule, rates },
        false => SloCommand::ClearAlert { rule, rates },
    };
    let actor = Actor {
        kind: ActorKind::System,
        id: "daybook".into(),
    };
    let tenant: Arc<str> = tenant.into();
    let ctx = CommandContext::new(tenant, actor, chrono::DateTime::UNIX_EPOCH);
    let door = &yard.scene.app.app().door;
    door.execute::<Slo>(&ctx, id, command).await.unwrap();
}

#[tokio::test]
async fn alerts_are_told_in_order_wherever_one_begins() {
    let yard = Yard::open().await;
    yard.scene.tenant(SOUTH).await;
    let south = yard.scene.admin(SOUTH);
    let theirs = send(&yard.scene, &south, "defineSlo", objective("a")).await;
    assert_eq!(outcome(&theirs), "ok", "{theirs}");
    let named = |id: &str, name: &str| but(objective(id), json!({ "name": name }));
    done(&yard, "defineSlo", named("a", "First")).await;
    let mill = but(
        named("b", "Mill's"),
        json!({ "scope": { "project": "mill", "service": "saw" } }),
    );
    done(&yard, "defineSlo", mill).await;
    let from = yard.scene.app.head().await;
    let mut past = socket(&yard, &yard.bob.access).await;
    let all = format!("subscription {{ sloBurnAlert(after: \"{from}\") {{ {NEWS} }} }}");
    past.subscribe("1", &all).await;
    alert(&yard, SOUTH, "a", true).await;
    alert(&yard, "default", "a", true).await;
    alert(&yard, "default", "b", true).await;
    done(&yard, "reviseSlo", named("a", "Second")).await;
    alert(&yard, "default", "a", true).await;
    alert(&yard, "default", "a", false).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(next(&mut past).await);
    }
    let said: Vec<String> = seen.iter().map(short).collect();
    assert_eq!(
        said,
        [
            "RAISED a r1 First",
            "RAISED b r1 Mill's",
            "RAISED a r2 Second",
            "CLEARED a r2 Second",
        ]
    );
    assert_eq!(
        seen[0]["rates"],
        json!({ "longMilli": 15_000, "shortMilli": 16_000, "position": "7" })
    );
    // From any item on, the same rest; of one objective, project or service, its own.
    for cut in [0, 1, 2] {
        let after = seen[cut]["position"].as_str().unwrap();
        for (filter, id) in [
            ("", None),
            (", sloId: \"a\"", Some("a")),
            (", project: \"mill\"", Some("b")),
            (", project: \"shop\"", Some("a")),
            (", service: \"saw\"", Some("b")),
        ] {
            let mut again = socket(&yard, &yard.bob.access).await;
            let query =
                format!("subscription {{ sloBurnAlert(after: \"{after}\"{filter}) {{ {NEWS} }} }}");
            again.subscribe("1", &query).await;
            let rest = seen[cut + 1..].iter();
            for expect in rest.filter(|item| id.is_none_or(|id| item["sloId"] == id)) {
                assert_eq!(&next(&mut again).await, expect, "{query}");
            }
        }
    }
    // Another tenant hears of its own alone.
    let mut theirs = socket(&yard, &south).await;
    let query =
        "subscription { sloBurnAlert(after: \"0\", sloId: \"a\") { sloId objective { name } } }";
    theirs.subscribe("1", query).await;
    let item = theirs.next().await["payload"]["data"]["sloBurnAlert"].take();
    assert_eq!(item["objective"]["name"], "Deployed within ten minutes");
}
