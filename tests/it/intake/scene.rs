//! A process that takes webhooks, and their senders.

use base64ct::{Base64, Encoding as _};
use daybook::config::value::Setting as _;
use daybook::config::{HookSources, Intake, Settings};
use daybook::ops::{Clock, MockClock};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::identity::scene::clock;
use crate::support::{PATIENCE, Reply, Scratch, TestApp};

/// What a deployment is told by, of those that GitHub shows as examples.
pub const CREATED: &[u8] = include_bytes!("../../data/webhooks_github/deployment/payload.json");
pub const SUCCEEDED: &[u8] =
    include_bytes!("../../data/webhooks_github/deployment_status/payload.json");
pub const PING: &[u8] = include_bytes!("../../data/webhooks_github/ping/payload.json");
pub const PUSH: &[u8] = include_bytes!("../../data/webhooks_github/push/payload.json");

/// Of the source `default` of each kind; that of `generic` is written as Standard Webhooks do.
pub const SECRET: &str = "9f86d081884c7d659a2feaa0c55ad015";
pub const ENCODED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Of the source `other`.
pub const OTHER: &str = "3f9c1be07a52d4863f9c1be07a52d486";

pub const GITHUB: &str = "/api/v1/webhooks/github";
pub const GENERIC: &str = "/api/v1/webhooks/generic";

/// A process, the hand on its clock, and where secrets are kept.
pub struct Yard {
    pub app: TestApp,
    pub hand: MockClock,
    pub secrets: Scratch,
}

impl Yard {
    pub async fn open() -> Yard {
        Yard::with(|_| ()).await
    }

    /// With `default` of each kind, and `other` of GitHub's.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Yard {
        let (clock, hand): (Clock, MockClock) = clock();
        let secrets = Scratch::new();
        for (name, secret) in [("github", SECRET), ("generic", ENCODED), ("other", OTHER)] {
            std::fs::write(secrets.join(name), format!("{secret}\n")).unwrap();
            private(&secrets, name);
        }
        let sources = json!([
            { "kind": "github", "projects": ["Codertocat/*"], "secrets": [file(&secrets, "github")] },
            { "kind": "generic", "projects": ["shop"], "secrets": [file(&secrets, "generic")] },
            { "kind": "github", "name": "other", "tenant": "south", "projects": ["Codertocat/*"],
              "secrets": [file(&secrets, "other")] },
        ]);
        let app = TestApp::at(clock, |settings| {
            settings.intake = intake(&sources);
            // How long answers take on a busy machine is no matter here; the test that is about it says so.
            settings.intake.answer_within = PATIENCE;
            settings.auth.recheck = std::time::Duration::ZERO;
            change(settings);
        });
        Yard {
            app: app.await,
            hand,
            secrets,
        }
    }

    /// Another process over the same log.
    pub async fn beside(&self) -> TestApp {
        let intake = self.app.app().settings.intake.clone();
        self.app.beside(|settings| settings.intake = intake).await
    }

    /// The seconds of a delivery that is sent now.
    pub fn now(&self) -> i64 {
        self.app.app().clock.now().timestamp()
    }

    /// Sends one of GitHub's, signed by `default`.
    pub async fn github(&self, event: &str, id: &str, body: &[u8]) -> Reply {
        github(&self.app, (GITHUB, SECRET), (event, id), body).await
    }

    /// Sends one of ours, signed by `default`.
    pub async fn generic(&self, id: &str, body: &Value) -> Reply {
        let body = body.to_string();
        let at = self.now().to_string();
        let signature = standard(ENCODED, id, &at, body.as_bytes());
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &at),
            ("webhook-signature", &signature),
        ];
        post(&self.app, GENERIC, &headers, body.as_bytes()).await
    }

    /// The types and actors of a deployment's events, in order.
    pub async fn events(&self, id: &str) -> Vec<(String, String)> {
        let query = r#"query($id: String!) { events(aggregate: { type: "deployment", id: $id },
                       first: 200) { nodes { type metadata { actor } } } }"#;
        let told = self.app.settled(query, json!({ "id": id })).await;
        let nodes = told["events"]["nodes"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let events = nodes.iter().map(|node| {
            let kind = text(&node["type"]);
            let kind = kind.trim_start_matches("deployment.").to_owned();
            (kind, text(&node["metadata"]["actor"]))
        });
        events.collect()
    }

    /// The types alone.
    pub async fn types(&self, id: &str) -> Vec<String> {
        let events = self.events(id).await.into_iter();
        events.map(|(kind, _)| kind).collect()
    }
}

/// The settings of these sources.
pub fn intake(sources: &Value) -> Intake {
    Intake {
        sources: HookSources::parse(&sources.to_string()).unwrap(),
        ..Settings::default().intake
    }
}

/// A secret in a file.
pub fn file(secrets: &Scratch, name: &str) -> Value {
    json!({ "file": secrets.join(name) })
}

/// Nobody but its owner may read it.
pub fn private(secrets: &Scratch, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(secrets.join(name), mode).unwrap();
}

/// Sends one of GitHub's to this path of this process, signed so.
pub async fn github(
    app: &TestApp,
    (path, secret): (&str, &str),
    (event, id): (&str, &str),
    body: &[u8],
) -> Reply {
    let signature = hub(secret, body);
    let headers = [
        ("x-github-event", event),
        ("x-github-delivery", id),
        ("x-hub-signature-256", &signature),
    ];
    post(app, path, &headers, body).await
}

/// Posts JSON without a token.
pub async fn post(app: &TestApp, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut all = vec![("authorization", "")];
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", "application/json"));
    }
    all.extend_from_slice(headers);
    app.send(&format!("POST {path}"), &all, body).await
}

/// As GitHub signs.
pub fn hub(secret: &str, body: &[u8]) -> String {
    let digits = mac(secret.as_bytes(), body);
    let digits = digits.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256={}", digits.collect::<String>())
}

/// As Standard Webhooks are signed.
pub fn standard(secret: &str, id: &str, at: &str, body: &[u8]) -> String {
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => Base64::decode_vec(encoded).unwrap(),
        None => secret.as_bytes().to_vec(),
    };
    let signed = [format!("{id}.{at}.").as_bytes(), body].concat();
    format!("v1,{}", Base64::encode_string(&mac(&key, &signed)))
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

/// The example that tells of a status, with another state and time.
pub fn status(state: &str, at: &str) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(SUCCEEDED).unwrap();
    body["deployment_status"]["state"] = json!(state);
    body["deployment_status"]["created_at"] = json!(at);
    body.to_string().into_bytes()
}

/// One of ours: `id` of a pipeline, so far.
pub fn told(id: &str, service: &str, status: &str) -> Value {
    let mut body = json!({
        "source": "ci", "id": id, "project": "shop", "service": service, "environment": "live",
        "version": "7", "status": status, "requestedAt": "2026-05-01T10:00:00Z",
    });
    if status != "approved" {
        body["startedAt"] = json!("2026-05-01T10:01:00Z");
    }
    if ["succeeded", "failed", "cancelled"].contains(&status) {
        body["finishedAt"] = json!("2026-05-01T10:02:00Z");
    }
    body
}

/// The status and the code, or what it came to.
pub fn outcome(reply: &Reply) -> (u16, String) {
    let told = reply.json();
    let word = told["code"].as_str().or(told["outcome"].as_str());
    (reply.status, word.unwrap_or_default().to_owned())
}
