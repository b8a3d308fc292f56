//! What an objective says, and how it is sent.

use serde_json::{Value, json};

use crate::deployments::scene::Yard;
use crate::identity::scene::{As, Scene, outcome};

/// What tests look at of an objective.
pub const SHOWN: &str = "id revision streamVersion retiredReason
    objective { name sli project objectivePpm window { kind days zone } method { kind sliceMinutes }
                thresholdSeconds percentilePpm minEvents }
    alerts { rule { longMinutes shortMinutes factorMilli } sincePosition }";

/// An objective on deployments of the shop: they take ten minutes at most.
pub fn objective(id: &str) -> Value {
    json!({ "id": id, "name": "Deployed within ten minutes", "sli": "DEPLOYMENT_DURATION",
            "scope": { "project": "shop" }, "objectivePpm": 990_000,
            "window": { "kind": "ROLLING", "days": 30 }, "thresholdSeconds": 600 })
}

/// An objective with some fields said otherwise, or not at all.
pub fn but(mut objective: Value, other: Value) -> Value {
    for (field, value) in other.as_object().unwrap() {
        match value {
            Value::Null => drop(objective.as_object_mut().unwrap().remove(field)),
            value => objective[field] = value.clone(),
        }
    }
    objective
}

/// Sends a command on an objective; the whole answer.
pub async fn send(scene: &Scene, who: &As, field: &str, input: Value) -> Value {
    let kind = field[..1].to_uppercase() + &field[1..] + "Input";
    let mutation = format!(
        "mutation($i: {kind}!) {{ {field}(input: $i) {{ slo {{ {SHOWN} }}
           receipt {{ position version replayed }}
           userErrors {{ code message path ... on RefusalError {{ details }} }} }} }}"
    );
    scene.ask(who, &mutation, json!({ "i": input })).await
}

/// Sends one that must be kept; the objective afterwards.
pub async fn done(yard: &Yard, field: &str, input: Value) -> Value {
    let mut told = send(&yard.scene, &yard.root.access, field, input.clone()).await;
    assert_eq!(outcome(&told), "ok", "{field} {input}: {told}");
    told["data"][field]["slo"].take()
}
