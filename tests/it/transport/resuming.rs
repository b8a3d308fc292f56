//! S17: a journal over a socket, resumed from positions of every kind.

use serde_json::{Value, json};

use super::client::Socket;
use crate::support::TestApp;

const EVENTS: &str = "subscription($after: Position) { events(after: $after) { position } }";

struct Scene {
    app: TestApp,
    socket: Socket,
    /// Positions given out so far.
    head: i64,
}

impl Scene {
    async fn with_events(count: i64) -> Scene {
        let app = TestApp::with(|s| s.sockets.messages_burst = 1_000).await;
        let mut socket = Socket::open(app.address(), &[]).await;
        let init = json!({ "type": "connection_init", "payload": { "token": app.own_token() } });
        socket.send(&init).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        let mut scene = Scene {
            app,
            socket,
            head: 0,
        };
        for _ in 0..count {
            scene.write().await;
        }
        scene
    }

    /// One event more.
    async fn write(&mut self) {
        self.head += 1;
        let register = format!(
            "mutation {{ registerVehicle(input: {{ id: \"v{}\" }}) {{ receipt {{ position }} }} }}",
            self.head
        );
        let told = self.app.data(&register, json!({})).await;
        let position = &told["registerVehicle"]["receipt"]["position"];
        assert_eq!(position, &json!(self.head.to_string()));
    }

    async fn subscribe(&mut self, id: &str, after: &Value) {
        let payload = json!({ "query": EVENTS, "variables": { "after": after } });
        let message = json!({ "id": id, "type": "subscribe", "payload": payload });
        self.socket.send(&message).await;
    }
}

#[tokio::test]
async fn every_position_is_replayed_from_exactly_or_refused() {
    let mut scene = Scene::with_events(5).await;
    for (kind, after) in [
        ("future", json!("6")),
        ("far beyond", json!("1000000000")),
        ("the last there can be", json!("9223372036854775807")),
        ("beyond any number", json!("9223372036854775808")),
        ("beyond any number", json!("9".repeat(1_000))),
        ("negative", json!("-1")),
        ("malformed", json!("five")),
        ("malformed", json!("")),
        ("malformed", json!("3.0")),
        ("malformed", json!(" 3")),
        ("malformed", json!("03")),
        ("malformed", json!("0x3")),
        ("no text", json!(["3"])),
        ("no text", json!({ "position": "3" })),
    ] {
        scene.subscribe("1", &after).await;
        let told = scene.socket.next().await;
        assert_eq!(told["type"], "error", "{kind} {after}: {told}");
        let code = &told["payload"][0]["extensions"]["code"];
        assert_eq!(code, "BAD_POSITION", "{kind} {after}: {told}");
    }
    for (n, after) in ["0", "3", "4", "5"].into_iter().enumerate() {
        let id = n.to_string();
        scene.subscribe(&id, &json!(after)).await;
        let first: i64 = after.parse::<i64>().unwrap() + 1;
        // All that was there, and what comes then: nothing left out, nothing twice.
        for position in first..=scene.head + 1 {
            if position > scene.head {
                scene.write().await;
            }
            let told = scene.socket.next().await;
            let item = &told["payload"];
            let expect = position.to_string();
            assert_eq!(told["id"], id, "{told}");
            assert_eq!(item["data"]["events"]["position"], expect, "after {after}");
            assert_eq!(item["extensions"]["position"], expect);
        }
        let complete = json!({ "id": id, "type": "complete" });
        scene.socket.send(&complete).await;
    }
}
