//! What must be there before anything is asked: made under ids that follow from the seed, so that a second
//! run finds it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::call::Call;
use crate::calls::deployments::ENVIRONMENT;
use crate::calls::people::{ACCOUNTS_MAX, PASSWORD};
use crate::client::Client;
use crate::scenario::Scenario;
use crate::world::World;

/// Commands sent in one request: as many as a server takes by default.
const BATCH: usize = 10;

/// Vehicles of the fleet.
const FLEET_VEHICLES: usize = 20;

/// How long read models may take to show what was made.
const SETTLE: Duration = Duration::from_secs(60);

/// What says that something is there already, whoever made it.
const THERE: &[&str] = &["ALREADY_EXISTS", "EMAIL_TAKEN", "ILLEGAL_TRANSITION"];

/// A command that makes something.
struct Step {
    field: &'static str,
    input_type: &'static str,
    input: Value,
}

/// Makes what the scenario speaks of, and waits until it is shown.
pub async fn prepare(client: &mut Client, scenario: Scenario, world: &World) -> anyhow::Result<()> {
    let mut position: Option<u64> = None;
    for stage in stages(scenario, world) {
        for batch in stage.chunks(BATCH) {
            position = position.max(send(client, batch).await?);
        }
    }
    match position {
        Some(position) => settle(client, scenario, world, position).await,
        None => Ok(()),
    }
}

/// What is made, one stage after the other.
fn stages(scenario: Scenario, world: &World) -> Vec<Vec<Step>> {
    use Scenario::{Ingest, Mixed, S0, S1, S2, S3, S4, Subscriptions};
    match scenario {
        S3 => Vec::new(),
        Ingest | S0 | Subscriptions => vec![vehicles(world)],
        S1 => vec![vehicles(world), fleet(world), people(world)],
        S2 => vec![deployments(world)],
        S4 => competition(world),
        Mixed => {
            let mut stages = vec![vehicles(world), deployments(world)];
            stages.extend(competition(world));
            stages
        }
    }
}

fn vehicles(world: &World) -> Vec<Step> {
    let vehicle = |n| {
        let id = world.vehicle(n);
        let input = json!({ "id": id, "name": format!("Vehicle {n}"), "kind": "van" });
        step("registerVehicle", "RegisterVehicleInput", &id, input)
    };
    (0..world.users()).map(vehicle).collect()
}

fn fleet(world: &World) -> Vec<Step> {
    let name = world.name();
    let made = json!({ "id": name, "name": "Load" });
    let mut steps = vec![step("createFleet", "CreateFleetInput", &name, made)];
    for n in 0..world.users().min(FLEET_VEHICLES) {
        let vehicle = world.vehicle(n);
        let input = json!({ "vehicleId": vehicle, "fleetId": name });
        steps.push(step("joinFleet", "FleetMembershipInput", &vehicle, input));
    }
    steps
}

fn people(world: &World) -> Vec<Step> {
    let person = |n| {
        let input = json!({ "email": world.email(n), "name": format!("Person {n}"),
                            "password": PASSWORD, "roles": ["VIEWER"] });
        step("registerUser", "RegisterUserInput", &world.person(n), input)
    };
    (0..world.users().min(ACCOUNTS_MAX)).map(person).collect()
}

fn deployments(world: &World) -> Vec<Step> {
    let name = world.name();
    let environment = json!({ "project": name, "environment": ENVIRONMENT, "tier": "PRODUCTION" });
    let objective = json!({
        "id": name, "name": "Deployed within ten minutes", "sli": "DEPLOYMENT_DURATION",
        "scope": { "project": name }, "objectivePpm": 990_000, "thresholdSeconds": 600,
        "window": { "kind": "ROLLING", "days": 30 },
    });
    vec![
        step(
            "defineEnvironment",
            "DefineEnvironmentInput",
            &name,
            environment,
        ),
        step("defineSlo", "DefineSloInput", &name, objective),
    ]
}

fn competition(world: &World) -> Vec<Vec<Step>> {
    let name = world.name();
    let rules = json!({ "name": "Load", "metric": "SUBMITTED", "operator": "BEST",
                        "startsAt": "2020-01-01T00:00:00Z" });
    let created = json!({ "id": name, "rules": rules });
    let opened = json!({ "id": name });
    let join = |n| {
        let user = world.person(n);
        let input = json!({ "competition": name, "user": user });
        step("joinCompetition", "JoinCompetitionInput", &user, input)
    };
    vec![
        vec![
            step(
                "createCompetition",
                "CreateCompetitionInput",
                &name,
                created,
            ),
            step("openCompetition", "OpenCompetitionInput", &name, opened),
        ],
        (0..world.users()).map(join).collect(),
    ]
}

/// A command under an id of its own that is the same in every run.
fn step(field: &'static str, input_type: &'static str, id: &str, mut input: Value) -> Step {
    input["commandId"] = format!("{id}/{field}").into();
    Step {
        field,
        input_type,
        input,
    }
}

/// Sends some; the last position that was told.
async fn send(client: &mut Client, steps: &[Step]) -> anyhow::Result<Option<u64>> {
    let reply = client.reply(&batch(steps)).await;
    let reply = reply.map_err(|code| anyhow::anyhow!("what is needed cannot be made: {code}"))?;
    let told: Value = serde_json::from_slice(&reply.body)
        .with_context(|| format!("what is needed cannot be made: HTTP {}", reply.status))?;
    read(steps, &told)
}

fn batch(steps: &[Step]) -> Call {
    let (mut head, mut fields, mut variables) = (String::new(), String::new(), Map::new());
    for (n, step) in steps.iter().enumerate() {
        let Step {
            field, input_type, ..
        } = step;
        let _ = write!(head, "$i{n}: {input_type}! ");
        let _ = write!(
            fields,
            "s{n}: {field}(input: $i{n}) {{ receipt {{ position }} userErrors {{ code message }} }} "
        );
        variables.insert(format!("i{n}"), step.input.clone());
    }
    let document = format!("mutation({head}) {{ {fields} }}");
    Call::query("setup", &document, &variables.into())
}

/// The last position that an answer tells; an error that says what to do if something is refused.
fn read(steps: &[Step], told: &Value) -> anyhow::Result<Option<u64>> {
    if let Some(error) = told["errors"].get(0) {
        let code = error["extensions"]["code"].as_str().unwrap_or("ERROR");
        let message = error["message"].as_str().unwrap_or_default();
        bail!(
            "what is needed cannot be made: {code}, {message}{}",
            advice(code)
        );
    }
    let mut last = None;
    for (n, step) in steps.iter().enumerate() {
        let payload = &told["data"][format!("s{n}")];
        let position = payload["receipt"]["position"].as_str();
        last = last.max(position.and_then(|position| position.parse().ok()));
        let Some(refused) = payload["userErrors"].get(0) else {
            ensure!(payload.is_object(), "{} tells nothing", step.field);
            continue;
        };
        let code = refused["code"].as_str().unwrap_or("REFUSED");
        if !THERE.contains(&code) {
            let message = refused["message"].as_str().unwrap_or_default();
            bail!(
                "{} is refused: {code}, {message}{}",
                step.field,
                advice(code)
            );
        }
    }
    Ok(last)
}

/// What to do about a code.
pub fn advice(code: &str) -> &'static str {
    match code {
        "RATE_LIMITED" => {
            "; raise limits.user_per_minute and limits.cost_per_minute, or set limits.enabled to false \
             (docs/load.md)"
        }
        "FORBIDDEN" => "; the token must be an administrator's: `daybook token` prints one",
        "UNAUTHENTICATED" => {
            "; give a token of this server: --token \"$(daybook token)\", run where its data directory is"
        }
        _ => "",
    }
}

/// Waits until the read models show what is at this position.
async fn settle(
    client: &mut Client,
    scenario: Scenario,
    world: &World,
    position: u64,
) -> anyhow::Result<()> {
    let call = settled(scenario, world, position);
    let deadline = Instant::now() + SETTLE;
    loop {
        match client.ask(&call).await {
            Ok(()) => return Ok(()),
            Err(code) if code == "STALE_READ" && Instant::now() < deadline => {
                sleep(Duration::from_millis(200)).await;
            }
            Err(code) => bail!(
                "what was made is not shown: {code}{}; `projections` in /healthz tells what is behind",
                advice(&code)
            ),
        }
    }
}

/// A question to each read model that the scenario asks about what was made.
fn settled(scenario: Scenario, world: &World, position: u64) -> Call {
    use Scenario::{Ingest, Mixed, S0, S1, S2, S3, S4, Subscriptions};
    let vehicle = "vehicles(first: 1) { asOfPosition }";
    let deployments = "deployments(first: 1) { asOfPosition }";
    let board = format!(
        "leaderboard(competition: \"{}\", first: 1) {{ asOfPosition }}",
        world.name()
    );
    let asked = match scenario {
        Ingest | S0 | Subscriptions | S3 => vec![vehicle],
        S1 => vec![
            vehicle,
            "fleets(first: 1) { asOfPosition }",
            "users(first: 1) { asOfPosition }",
        ],
        S2 => vec![deployments],
        S4 => vec![board.as_str()],
        Mixed => vec![vehicle, deployments, board.as_str()],
    };
    let document = format!("{{ {} }}", asked.join(" "));
    let mut call = Call::query("setup", &document, &json!({}));
    let body: BTreeMap<&str, Value> = [
        ("query", document.into()),
        ("extensions", json!({ "atLeast": position.to_string() })),
    ]
    .into();
    call.body = json!(body).to_string();
    call
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn world() -> World {
        World::new(1, 25, "2026-03-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn what_is_made_is_the_same_in_every_run_under_ids_that_differ() {
        for scenario in Scenario::value_variants() {
            let made = |world: &World| -> Vec<Value> {
                let stages = stages(*scenario, world);
                stages
                    .into_iter()
                    .flatten()
                    .map(|step| step.input)
                    .collect()
            };
            let (first, second) = (made(&world()), made(&world()));
            assert_eq!(first, second);
            let mut ids: Vec<&str> = first
                .iter()
                .map(|i| i["commandId"].as_str().unwrap())
                .collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), first.len(), "{scenario:?}");
        }
    }

    #[test]
    fn an_answer_tells_the_last_position_and_what_is_there_already_is_well() {
        let steps = deployments(&world());
        let told = json!({ "data": {
            "s0": { "receipt": { "position": "7" }, "userErrors": [] },
            "s1": { "receipt": null, "userErrors": [{ "code": "ALREADY_EXISTS", "message": "m" }] } } });
        assert_eq!(read(&steps, &told).unwrap(), Some(7));
    }

    #[test]
    fn what_is_refused_is_told_with_what_to_do() {
        let steps = deployments(&world());
        for (told, words) in [
            (
                json!({ "errors": [{ "message": "m", "extensions": { "code": "RATE_LIMITED" } }] }),
                ["RATE_LIMITED", "limits.user_per_minute"],
            ),
            (
                json!({ "data": { "s0": { "userErrors": [{ "code": "FORBIDDEN", "message": "m" }] } } }),
                ["defineEnvironment", "daybook token"],
            ),
        ] {
            let refused = read(&steps, &told).unwrap_err().to_string();
            assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
        }
        assert!(read(&steps, &json!({ "data": { "s0": null } })).is_err());
    }
}
