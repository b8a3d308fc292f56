//! Alerts go up and down by themselves, once, however many processes there are.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use daybook::config::Settings;
use daybook::ops::Clock;
use serde_json::{Value, json};

use super::scene::{SHOWN, but, done, objective, send};
use crate::deployments::scene::Yard;
use crate::identity::scene::{SOUTH, Scene, at_leisure, clock, outcome};
use crate::support::PATIENCE;

fn often(settings: &mut Settings) {
    settings.slos.alert_interval = Duration::from_millis(100);
    settings.consumers.lease = Duration::from_secs(1);
}

/// Has a deployment of the shop end a minute ago that took so many minutes.
async fn took(yard: &Yard, clock: &Clock, id: &str, minutes: i64) {
    let ended = clock.now() - TimeDelta::minutes(1);
    let text = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let input = json!({ "id": id, "project": "shop", "service": "web", "environment": "live",
                        "version": id, "status": "SUCCEEDED", "finishedAt": text(ended),
                        "startedAt": text(ended - TimeDelta::minutes(minutes)) });
    yard.done(&yard.ann, "recordDeployment", input).await;
}

/// What happened to alerts of an objective so far: `+60` went up by the rule that looks back an hour.
async fn changes(scene: &Scene, tenant: &str, id: &str) -> String {
    let query = "query($id: String!) { events(aggregate: { type: \"slo\", id: $id }, first: 200) {
                 nodes { type payload metadata { actor } } } }";
    let admin = scene.admin(tenant);
    let told = scene.settled(&admin, tenant, query, json!({ "id": id }));
    let told = told.await;
    let nodes = told["data"]["events"]["nodes"].as_array().unwrap().clone();
    let of_alerts = nodes.iter().filter_map(|node| {
        let sign = match node["type"].as_str().unwrap() {
            "slo.burn_alert_raised" => "+",
            "slo.burn_alert_cleared" => "-",
            _ => return None,
        };
        assert_eq!(node["metadata"]["actor"], "system:daybook");
        Some(format!("{sign}{}", node["payload"]["rule"]["longMinutes"]))
    });
    of_alerts.collect::<Vec<_>>().join(" ")
}

/// Waits until that is what happened; that nothing else did is seen by what comes next.
async fn until(scene: &Scene, tenant: &str, id: &str, expect: &str) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while changes(scene, tenant, id).await != expect {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if waited.await.is_err() {
        panic!("{} is not {expect}", changes(scene, tenant, id).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_raise_an_alert_once_and_clear_it_once_its_cause_is_gone() {
    let (clock, hand) = clock();
    let yard = Yard::with(clock.clone(), often).await;
    let other = yard.scene.app.beside(|settings| {
        at_leisure(settings);
        often(settings);
    });
    let other = Scene { app: other.await };
    took(&yard, &clock, "slow", 20).await;
    done(&yard, "defineSlo", objective("o")).await;
    let quiet = but(objective("quiet"), json!({ "minEvents": 2 }));
    done(&yard, "defineSlo", quiet).await;
    let elsewhere = but(objective("p"), json!({ "scope": { "project": "mill" } }));
    done(&yard, "defineSlo", elsewhere).await;
    let up = "+60 +360 +1440 +4320";
    until(&yard.scene, "default", "o", up).await;
    let query = format!("{{ slo(id: \"o\") {{ {SHOWN} }} }}");
    let told = yard.settled(&yard.ann, &query, json!({})).await["slo"].take();
    let rules: Vec<&Value> = told["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["rule"])
        .collect();
    assert_eq!(
        rules,
        [
            &json!({ "longMinutes": 60, "shortMinutes": 5, "factorMilli": 14_400 }),
            &json!({ "longMinutes": 360, "shortMinutes": 30, "factorMilli": 6_000 }),
            &json!({ "longMinutes": 1_440, "shortMinutes": 120, "factorMilli": 3_000 }),
            &json!({ "longMinutes": 4_320, "shortMinutes": 360, "factorMilli": 1_000 }),
        ]
    );
    // The short spans end first, so alerts go down one by one; whoever looked twice would have said so twice.
    hand.advance(TimeDelta::minutes(10));
    let first_down = format!("{up} -60");
    until(&other, "default", "o", &first_down).await;
    // A revision takes its alerts along; what still burns too fast goes up again, of the revision.
    let before = yard.scene.app.store().head("default").await.unwrap();
    let revised = but(objective("o"), json!({ "name": "Another name" }));
    let told = done(&yard, "reviseSlo", revised).await;
    // Whoever looks may have been faster than the answer: it tells no alert of before.
    for alert in told["alerts"].as_array().unwrap() {
        let since: i64 = alert["sincePosition"].as_str().unwrap().parse().unwrap();
        assert!(since > before.0 + 1, "{alert} was there before {before:?}");
    }
    let up_again = format!("{first_down} +360 +1440 +4320");
    until(&other, "default", "o", &up_again).await;
    // What does not count does not burn.
    let now = clock.now();
    let text = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let exclude = json!({ "id": "o", "from": text(now - TimeDelta::hours(1)), "to": text(now),
                          "reason": "a drill" });
    done(&yard, "excludePeriod", exclude).await;
    until(
        &other,
        "default",
        "o",
        &format!("{up_again} -360 -1440 -4320"),
    )
    .await;
    for id in ["quiet", "p"] {
        assert_eq!(changes(&yard.scene, "default", id).await, "", "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_retired_or_suspended_is_not_measured() {
    let (clock, _hand) = clock();
    let yard = Yard::with(clock.clone(), often).await;
    yard.scene.tenant(SOUTH).await;
    let south = yard.scene.admin(SOUTH);
    let tell = async |field: &str, input: Value| {
        let told = send(&yard.scene, &south, field, input).await;
        assert_eq!(outcome(&told), "ok", "{told}");
    };
    let suspended =
        "mutation($i: SuspendTenantInput!) { suspendTenant(input: $i) { userErrors { code } } }";
    let resumed =
        "mutation($i: ResumeTenantInput!) { resumeTenant(input: $i) { userErrors { code } } }";
    let admin = yard.scene.admin("default");
    tell("defineSlo", objective("o")).await;
    yard.scene
        .done(&admin, suspended, json!({ "id": SOUTH }))
        .await;
    // Retired before there is anything to measure, so that no look comes in between.
    done(&yard, "defineSlo", objective("over")).await;
    done(&yard, "retireSlo", json!({ "id": "over" })).await;
    took(&yard, &clock, "slow", 20).await;
    // Tenants are looked at one after the other, by name: two alerts of the first one's tell of a look between.
    for id in ["first", "second"] {
        done(&yard, "defineSlo", objective(id)).await;
        until(&yard.scene, "default", id, "+60 +360 +1440 +4320").await;
    }
    let stands = yard.scene.app.store().head(SOUTH).await.unwrap();
    assert_eq!(changes(&yard.scene, "default", "over").await, "");
    yard.scene
        .done(&admin, resumed, json!({ "id": SOUTH }))
        .await;
    let input = json!({ "id": "slow", "project": "shop", "service": "web", "environment": "live",
                        "version": "1", "status": "SUCCEEDED", "tier": "PRODUCTION",
                        "startedAt": (clock.now() - TimeDelta::hours(1)).to_rfc3339(),
                        "finishedAt": (clock.now() - TimeDelta::minutes(1)).to_rfc3339() });
    let record = "mutation($i: RecordDeploymentInput!) { recordDeployment(input: $i) { userErrors { code } } }";
    assert_eq!(yard.scene.app.store().head(SOUTH).await.unwrap(), stands);
    yard.scene.done(&south, record, input).await;
    until(&yard.scene, SOUTH, "o", "+60 +360 +1440 +4320").await;
}
