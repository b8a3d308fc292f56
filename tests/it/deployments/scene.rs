//! People who deploy, an environment with a policy, and what is told of a deployment.

use daybook::auth::Role;
use daybook::config::Settings;
use daybook::ops::Clock;
use serde_json::{Value, json};

use crate::identity::scene::{As, Person, Scene, outcome};

/// What tests look at of a deployment.
pub const SHOWN: &str = "id version revision status streamVersion
    approval { missing overridden votes { userId agrees group comment } }";

/// People and what they deploy to.
pub struct Yard {
    pub scene: Scene,
    /// Wants deployments; may approve as well.
    pub ann: Person,
    /// Approve.
    pub bob: Person,
    pub cid: Person,
    /// Administers.
    pub root: Person,
}

impl Yard {
    /// Where `shop/live` needs two of ann, bob and cid, and not of who asks; `shop/test` needs nothing.
    pub async fn open() -> Yard {
        Yard::with(Clock::system(), |_| ()).await
    }

    pub async fn with(clock: Clock, change: impl FnOnce(&mut Settings)) -> Yard {
        let scene = Scene::at(clock, change).await;
        let approves = [Role::Operator, Role::Approver];
        let ann = scene.person("default", "ann", &approves).await;
        let bob = scene.person("default", "bob", &[Role::Approver]).await;
        let cid = scene.person("default", "cid", &[Role::Approver]).await;
        let root = scene.person("default", "root", &[Role::Admin]).await;
        let yard = Yard {
            scene,
            ann,
            bob,
            cid,
            root,
        };
        for (name, tier) in [("live", "PRODUCTION"), ("test", "STAGING")] {
            let input = json!({ "project": "shop", "environment": name, "tier": tier });
            let told = yard.send(&yard.root, "defineEnvironment", input).await;
            assert_eq!(outcome(&told), "ok", "{told}");
        }
        yard.set_policy(json!({ "rules": [yard.rule(2)] })).await;
        yard
    }

    /// A rule of ann, bob and cid.
    pub fn rule(&self, required: i32) -> Value {
        let members = [&self.ann.id, &self.bob.id, &self.cid.id];
        json!({ "group": "owners", "members": members, "required": required })
    }

    /// Says what it takes to deploy to `shop/live`.
    pub async fn set_policy(&self, mut policy: Value) {
        policy["project"] = "shop".into();
        policy["environment"] = "live".into();
        let told = self.send(&self.root, "setApprovalPolicy", policy).await;
        assert_eq!(outcome(&told), "ok", "{told}");
    }

    /// Somebody else's view of the same: another process over the same database.
    pub async fn beside(&self) -> Scene {
        self.scene.beside().await
    }

    /// Sends a command; the whole answer.
    pub async fn send(&self, who: &Person, field: &str, input: Value) -> Value {
        send_to(&self.scene, &who.access, field, input).await
    }

    /// Sends a command that must be kept; what its object is told to be afterwards.
    pub async fn done(&self, who: &Person, field: &str, input: Value) -> Value {
        let mut told = self.send(who, field, input.clone()).await;
        assert_eq!(outcome(&told), "ok", "{field} {input}: {told}");
        told["data"][field]["it"].take()
    }

    /// Sends a command that must come to nothing; the code.
    pub async fn refused(&self, who: &Person, field: &str, input: Value) -> String {
        let before = self.scene.app.head().await;
        let told = self.send(who, field, input).await;
        assert_eq!(self.scene.app.head().await, before, "{field}: {told}");
        outcome(&told).to_owned()
    }

    /// Has ann want a version of `shop/web` in an environment.
    pub async fn wanted(&self, id: &str, environment: &str, version: &str) -> Value {
        let input = json!({ "id": id, "project": "shop", "service": "web",
                            "environment": environment, "version": version });
        self.done(&self.ann, "requestDeployment", input).await
    }

    /// Has somebody agree to the first revision.
    pub async fn agreed(&self, who: &Person, id: &str) -> Value {
        let input = json!({ "id": id, "revision": 1 });
        self.done(who, "approveDeployment", input).await
    }

    /// Has a version run in `shop/live` since a time.
    pub async fn ran(&self, id: &str, version: &str, at: &str) {
        let input = json!({ "id": id, "project": "shop", "service": "web", "environment": "live",
                            "version": version, "status": "SUCCEEDED", "finishedAt": at });
        self.done(&self.ann, "recordDeployment", input).await;
    }

    /// What somebody is answered once everything is shown.
    pub async fn settled(&self, who: &Person, query: &str, variables: Value) -> Value {
        let told = self.scene.settled(&who.access, "default", query, variables);
        let mut told = told.await;
        assert_eq!(told["errors"], Value::Null, "{query}");
        told["data"].take()
    }

    /// The types of a deployment's events, in order.
    pub async fn events(&self, id: &str) -> Vec<String> {
        let query = r#"query($id: String!) { events(aggregate: { type: "deployment", id: $id },
                       first: 200) { nodes { type } } }"#;
        let told = self.settled(&self.root, query, json!({ "id": id })).await;
        let nodes = told["events"]["nodes"].as_array().unwrap().clone();
        let types = nodes.iter().map(|node| node["type"].as_str().unwrap());
        types
            .map(|kind| kind.trim_start_matches("deployment.").to_owned())
            .collect()
    }
}

/// The object a mutation's payload holds, and its input's type.
fn object_of(field: &str) -> (&'static str, String) {
    let input = field[..1].to_uppercase() + &field[1..] + "Input";
    let object = match field {
        f if f.ends_with("Incident") || f.starts_with("link") || f.starts_with("unlink") => {
            "it: incident { id status resolvedAt links { deploymentId kind rule } }"
        }
        "defineEnvironment" | "setApprovalPolicy" | "freezeEnvironment" | "unfreezeEnvironment" => {
            "it: environment { id tier freezes { id until } }"
        }
        _ => "",
    };
    (object, input)
}

/// Sends a command at a process; the whole answer.
pub async fn send_to(scene: &Scene, who: &As, field: &str, input: Value) -> Value {
    let (object, kind) = object_of(field);
    let object = match object {
        "" => format!("it: deployment {{ {SHOWN} }}"),
        object => object.to_owned(),
    };
    let mutation = format!(
        "mutation($i: {kind}!) {{ {field}(input: $i) {{ {object}
           receipt {{ position version replayed }}
           userErrors {{ code message path ... on RefusalError {{ details }} }} }} }}"
    );
    scene.ask(who, &mutation, json!({ "i": input })).await
}
