//! Deployments: wanted, started, ended, and what is counted from it.

use serde_json::{Value, json};

use crate::call::{Call, Stage};
use crate::chance::Chance;
use crate::world::World;

/// The environment that deployments go to.
pub const ENVIRONMENT: &str = "live";

/// Services of the project.
const SERVICES: u64 = 20;

/// A page of deployments.
pub fn list(world: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str =
        "query($project: String) { deployments(filter: { project: $project }, first: 20) {
        nodes { id service environment version status } asOfPosition } }";
    Call::query("deployments", DOCUMENT, &json!({ "project": world.name() }))
}

/// The same by REST.
pub fn rest_list(world: &World, _: &mut Chance) -> Call {
    let path = format!("/api/deployments?project={}&first=20", world.name());
    Call::get("GET deployments", path)
}

/// How the application does.
pub fn rest_stats(_: &World, _: &mut Chance) -> Call {
    Call::get("GET stats", "/api/stats".to_owned())
}

/// DORA's figures of a day.
pub fn dora(world: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($project: String, $from: DateTime!, $to: DateTime!) {
        doraMetrics(scope: { project: $project }, from: $from, to: $to) {
          total { deploymentFrequency { deployments perDay } changeFailRate { failed of rate } } asOfPosition } }";
    let (from, to) = world.day();
    let variables = json!({ "project": world.name(), "from": from, "to": to });
    Call::query("doraMetrics", DOCUMENT, &variables)
}

/// How far an objective is met.
pub fn sla(world: &World, _: &mut Chance) -> Call {
    const DOCUMENT: &str = "query($slo: ID!) { slaStats(slo: $slo) {
        status total good attainment errorBudget { budget remaining } asOfPosition } }";
    Call::query("slaStats", DOCUMENT, &json!({ "slo": world.name() }))
}

/// The next thing that becomes of a deployment; where none waits, another one is wanted.
pub fn go_on(world: &World, chance: &mut Chance) -> Call {
    const START: &str = "mutation($input: StartDeploymentInput!) { startDeployment(input: $input) {
        deployment { id status } receipt { position } userErrors { code message } } }";
    const SUCCEED: &str =
        "mutation($input: SucceedDeploymentInput!) { succeedDeployment(input: $input) {
        deployment { id status } receipt { position } userErrors { code message } } }";
    let input = |id: &str| json!({ "id": id, "commandId": world.fresh() });
    match world.next() {
        Some(Stage::Requested(id)) => Call {
            then: Some(Stage::Started(id.clone())),
            ..Call::mutation("startDeployment", START, &input(&id))
        },
        Some(Stage::Started(id)) => Call::mutation("succeedDeployment", SUCCEED, &input(&id)),
        None => request(world, chance),
    }
}

/// A deployment is wanted.
pub fn request(world: &World, chance: &mut Chance) -> Call {
    const DOCUMENT: &str =
        "mutation($input: RequestDeploymentInput!) { requestDeployment(input: $input) {
        deployment { id status } receipt { position } userErrors { code message } } }";
    let id = world.fresh();
    let input: Value = json!({
        "id": id, "commandId": id, "project": world.name(), "environment": ENVIRONMENT,
        "service": format!("service-{}", chance.below(SERVICES)), "version": id,
    });
    Call {
        then: Some(Stage::Requested(id)),
        ..Call::mutation("requestDeployment", DOCUMENT, &input)
    }
}
