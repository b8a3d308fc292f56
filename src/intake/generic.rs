//! The body of any system that deploys: a deployment as it stands, in our own words. Others beside them are
//! passed over, so that one body may serve several readers.

use chrono::{DateTime, Utc};
use domain::deployment::{DeploymentReason, Plan, Record, Requester, Status, Tier};
use domain::values::timestamp;
use domain::{Code, ExternalRef, Refusal};
use serde::Deserialize;

use super::Told;
use crate::commands::recorded_deployment_id;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    source: String,
    id: String,
    project: String,
    service: String,
    environment: String,
    version: String,
    status: Status,
    previous_version: Option<String>,
    tier: Option<Tier>,
    reason: Option<DeploymentReason>,
    change_type: Option<String>,
    description: Option<String>,
    team: Option<String>,
    by: Option<By>,
    requested_at: Option<String>,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// Why it failed, or was called off.
    why: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum By {
    Machine(String),
    Person(String),
}

/// Where a deployment can be told to stand. Approvals are ours alone, and going back to another version is a
/// deployment of its own, whose reason is `rollback`.
const TOLD: [Status; 5] = [
    Status::Approved,
    Status::InProgress,
    Status::Succeeded,
    Status::Failed,
    Status::Cancelled,
];

/// What a delivery tells.
pub fn translate(body: &[u8], now: DateTime<Utc>) -> Result<Told, Refusal> {
    let told: Delivery = serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body tells of no deployment: {error}");
        Refusal::new(Code::Validation, message)
    })?;
    if !TOLD.contains(&told.status) {
        let words: Vec<&str> = TOLD.iter().map(|status| status.as_str()).collect();
        let message = format!("status is one of {}", words.join(", "));
        return Err(Refusal::new(Code::Validation, message).at(["status"]));
    }
    let time = |text: Option<String>, field| text.map(|t| timestamp(&t, field)).transpose();
    let external = ExternalRef {
        source: told.source,
        id: told.id,
    };
    let id = recorded_deployment_id(&external, &told.environment, &told.service);
    let tier_said = told.tier.is_some();
    let tier = told
        .tier
        .unwrap_or_else(|| Tier::of_environment(&told.environment));
    let plan = Plan {
        project: told.project,
        service: told.service,
        environment: told.environment,
        version: told.version,
        previous_version: told.previous_version,
        reason: told.reason.unwrap_or(DeploymentReason::Planned),
        change_type: told.change_type,
        description: told.description,
        team: told.team,
        remedies: None,
        external: Some(external),
        changes: Vec::new(),
    };
    let record = Record {
        plan,
        tier,
        requested_by: told.by.map(|by| match by {
            By::Machine(name) => Requester::Machine(name),
            By::Person(name) => Requester::Person(name),
        }),
        status: told.status,
        requested_at: time(told.requested_at, "requestedAt")?,
        started_at: time(told.started_at, "startedAt")?,
        finished_at: time(told.finished_at, "finishedAt")?,
        now,
    };
    Ok(Told {
        id,
        record,
        tier_said,
        why: told.why,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body() -> Value {
        json!({
            "source": "jenkins", "id": "42", "project": "shop", "service": "cart",
            "environment": "prod-eu", "version": "abc", "status": "failed",
            "startedAt": "2024-05-01T10:00:00Z", "finishedAt": "2024-05-01T12:01:00+02:00",
            "by": {"machine": "bot"}, "why": "out of memory",
        })
    }

    fn check(body: &Value) -> Result<Told, Code> {
        let now = "2024-06-01T00:00:00Z".parse().unwrap();
        translate(body.to_string().as_bytes(), now).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_deployment_is_told_as_it_stands() {
        let told = check(&body()).unwrap();
        let want = json!({
            "plan": {
                "project": "shop", "service": "cart", "environment": "prod-eu", "version": "abc",
                "reason": "planned", "external": {"source": "jenkins", "id": "42"},
            },
            "tier": "production", "requestedBy": {"machine": "bot"}, "status": "failed",
            "requestedAt": null, "startedAt": "2024-05-01T10:00:00Z",
            "finishedAt": "2024-05-01T10:01:00Z",
        });
        assert_eq!(serde_json::to_value(&told.record).unwrap(), want);
        assert_eq!(told.why.as_deref(), Some("out of memory"));
    }

    #[test]
    fn a_body_says_what_it_must() {
        let cases = [
            ("status", json!("done"), Code::Validation),
            ("id", json!(42), Code::Validation),
            ("status", json!("requested"), Code::Validation),
            ("status", json!("rolled_back"), Code::Validation),
            ("by", json!("Ada"), Code::Validation),
            ("startedAt", json!("2024-05-01 10:00"), Code::BadTimestamp),
        ];
        for (field, value, code) in cases {
            let mut body = body();
            body[field] = value;
            assert_eq!(check(&body), Err(code), "{field}");
        }
        let mut more = body();
        more["role"] = json!("admin");
        assert_eq!(check(&more), check(&body()));
        for field in [
            "source",
            "id",
            "project",
            "service",
            "environment",
            "version",
            "status",
        ] {
            let mut body = body();
            body.as_object_mut().unwrap().remove(field);
            assert_eq!(check(&body), Err(Code::Validation), "{field}");
        }
    }
}
