//! GitHub's `deployment` and `deployment_status`.
//!
//! A deployment there needs no approval of ours: created is approved. The repository is the project, its
//! name the service, and the commit the version.

use chrono::{DateTime, Utc};
use domain::deployment::{DeploymentReason, Plan, Record, Requester, Status, Tier};
use domain::values::timestamp;
use domain::{Code, ExternalRef, Refusal};
use serde::Deserialize;

use super::Told;
use crate::commands::recorded_deployment_id;

/// Where these deployments come from.
pub const SOURCE: &str = "github";

#[derive(Deserialize)]
struct Delivery {
    deployment: Deployment,
    deployment_status: Option<DeploymentStatus>,
    repository: Repository,
}

#[derive(Deserialize)]
struct Deployment {
    id: u64,
    sha: String,
    environment: String,
    description: Option<String>,
    creator: Account,
    created_at: String,
    /// Newer installations say so.
    production_environment: Option<bool>,
}

#[derive(Deserialize)]
struct DeploymentStatus {
    state: String,
    description: Option<String>,
    created_at: String,
}

#[derive(Deserialize)]
struct Repository {
    name: String,
    full_name: String,
}

#[derive(Deserialize)]
struct Account {
    login: String,
    #[serde(rename = "type")]
    kind: String,
}

/// What a delivery of this event tells; `None` for what is no step of a deployment's life.
pub fn translate(event: &str, body: &[u8], now: DateTime<Utc>) -> Result<Option<Told>, Refusal> {
    if !["deployment", "deployment_status"].contains(&event) {
        return Ok(None);
    }
    let delivery: Delivery = serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is none of GitHub's {event}: {error}");
        Refusal::new(Code::Validation, message)
    })?;
    let requested_at = timestamp(&delivery.deployment.created_at, "deployment.created_at")?;
    let Some(stands) = Stands::of(event, delivery.deployment_status.as_ref())? else {
        return Ok(None);
    };
    let tier_said = delivery.deployment.production_environment == Some(true);
    let (id, plan, tier, requested_by) = describe(delivery.deployment, delivery.repository);
    let record = Record {
        plan,
        tier,
        requested_by: Some(requested_by),
        status: stands.status,
        requested_at: Some(requested_at),
        started_at: stands.at.filter(|_| stands.status == Status::InProgress),
        finished_at: stands.at.filter(|_| stands.status.has_ended()),
        now,
    };
    Ok(Some(Told {
        id,
        record,
        tier_said,
        why: stands.why,
    }))
}

/// Where a deployment stands, since when, and why.
struct Stands {
    status: Status,
    at: Option<DateTime<Utc>>,
    why: Option<String>,
}

impl Stands {
    /// `inactive` says that a later deployment took its place: nothing became of this one by that. The
    /// other states are those of a deployment that waits.
    fn of(event: &str, told: Option<&DeploymentStatus>) -> Result<Option<Stands>, Refusal> {
        if event == "deployment" {
            return Ok(Some(Stands {
                status: Status::Approved,
                at: None,
                why: None,
            }));
        }
        let missing = || Refusal::new(Code::Validation, "deployment_status is missing");
        let told = told.ok_or_else(|| missing().at(["deployment_status"]))?;
        let status = match &*told.state {
            "queued" | "pending" | "waiting" => Status::Approved,
            "in_progress" => Status::InProgress,
            "success" => Status::Succeeded,
            "failure" | "error" => Status::Failed,
            _ => return Ok(None),
        };
        let at = timestamp(&told.created_at, "deployment_status.created_at")?;
        let why = told
            .description
            .clone()
            .filter(|_| status == Status::Failed);
        Ok(Some(Stands {
            status,
            at: Some(at),
            why: why.filter(|why| !why.trim().is_empty()),
        }))
    }
}

/// Its id with us, what it is, what its environment is for, and who wanted it.
fn describe(there: Deployment, repository: Repository) -> (String, Plan, Tier, Requester) {
    let external = ExternalRef {
        source: SOURCE.to_owned(),
        id: there.id.to_string(),
    };
    let id = recorded_deployment_id(&external, &there.environment, &repository.name);
    let tier = match there.production_environment {
        Some(true) => Tier::Production,
        _ => Tier::of_environment(&there.environment),
    };
    let requester = match &*there.creator.kind {
        "User" => Requester::Person(there.creator.login),
        _ => Requester::Machine(there.creator.login),
    };
    let plan = Plan {
        project: repository.full_name,
        service: repository.name,
        environment: there.environment,
        version: there.sha,
        previous_version: None,
        reason: DeploymentReason::Planned,
        change_type: None,
        description: there.description.filter(|text| !text.trim().is_empty()),
        team: None,
        remedies: None,
        external: Some(external),
        changes: Vec::new(),
    };
    (id, plan, tier, requester)
}

#[cfg(test)]
mod tests {
    use domain::Aggregate;
    use serde_json::{Value, json};

    use super::*;

    macro_rules! body {
        ($name:literal) => {
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/data/webhooks_github/",
                $name,
                ".payload.json"
            ))
        };
    }

    /// Of three examples of each event; the file's name is without a word where GitHub gives it none.
    const CREATED: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/webhooks_github/deployment/payload.json"
    ));
    const SUCCEEDED: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/webhooks_github/deployment_status/payload.json"
    ));
    const PAGES_CREATED: &[u8] = body!("deployment/gh-pages");
    const PAGES_STARTED: &[u8] = body!("deployment_status/gh-pages");

    fn now() -> DateTime<Utc> {
        "2024-01-01T00:00:00Z".parse().unwrap()
    }

    fn told(event: &str, body: &[u8]) -> Told {
        translate(event, body, now()).unwrap().unwrap()
    }

    /// With the state and the time of its status, and whatever else, replaced.
    fn status(state: &str, at: &str) -> Told {
        let mut body: Value = serde_json::from_slice(SUCCEEDED).unwrap();
        body["deployment_status"]["state"] = json!(state);
        body["deployment_status"]["created_at"] = json!(at);
        body["deployment_status"]["description"] = json!("out of memory");
        told("deployment_status", body.to_string().as_bytes())
    }

    /// Event types that these lead to, told in this order.
    fn check(told: &[Told]) -> Vec<&'static str> {
        let (mut ours, mut types) = (domain::deployment::Deployment::default(), Vec::new());
        for told in told {
            while let Some(command) = told.next(&ours) {
                for event in ours.decide(&command).unwrap() {
                    ours.apply(&event);
                    types.push(domain::Event::from(event).event_type());
                }
            }
        }
        types
    }

    #[test]
    fn the_examples_are_read() {
        let created = told("deployment", CREATED);
        let want = json!({
            "plan": {
                "project": "Codertocat/Hello-World", "service": "Hello-World",
                "environment": "production", "version": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e",
                "reason": "planned", "external": {"source": "github", "id": "145988746"},
            },
            "tier": "production", "requestedBy": {"person": "Codertocat"}, "status": "approved",
            "requestedAt": "2019-05-15T15:20:53Z", "startedAt": null, "finishedAt": null,
        });
        assert_eq!(serde_json::to_value(&created.record).unwrap(), want);
        let succeeded = told("deployment_status", SUCCEEDED);
        assert_eq!(succeeded.id, created.id);
        assert_eq!(succeeded.record.plan, created.record.plan);
        let finished = succeeded.record.finished_at.unwrap();
        assert_eq!(finished.to_rfc3339(), "2019-05-15T15:20:55+00:00");

        let pages = told("deployment", PAGES_CREATED).record;
        let by = Requester::Machine("github-pages[bot]".to_owned());
        assert_eq!((pages.requested_by, pages.tier), (Some(by), Tier::Other));
        let started = told("deployment_status", PAGES_STARTED).record;
        assert_eq!(started.status, Status::InProgress);
        assert!(started.started_at.is_some() && started.finished_at.is_none());
        for (event, body) in [
            ("deployment", &body!("deployment/with-installation")[..]),
            (
                "deployment_status",
                &body!("deployment_status/with-installation")[..],
            ),
        ] {
            assert_eq!(told(event, body).record.plan.service, "Hello-World");
        }
    }

    #[test]
    fn deliveries_come_in_any_order_and_more_than_once() {
        let created = told("deployment", CREATED);
        let started = status("in_progress", "2019-05-15T15:20:54Z");
        let ended = status("success", "2019-05-15T15:20:55Z");
        let [recorded, start, success] = [
            "deployment.recorded",
            "deployment.started",
            "deployment.succeeded",
        ];
        let all = [created.clone(), started.clone(), ended.clone()];
        assert_eq!(check(&all), [recorded, start, success]);
        let twice = [
            created.clone(),
            created.clone(),
            started.clone(),
            started.clone(),
        ];
        assert_eq!(check(&twice), [recorded, start]);
        assert_eq!(
            check(&[created.clone(), ended.clone()]),
            [recorded, start, success]
        );
        assert_eq!(check(&[ended.clone(), started, created]), [recorded]);
        let failed = status("error", "2019-05-15T15:20:55Z");
        assert_eq!(failed.why.as_deref(), Some("out of memory"));
        assert_eq!(check(&[failed.clone()]), [recorded]);
        let mut ours = domain::deployment::Deployment::default();
        for event in ours.decide(&failed.next(&ours).unwrap()).unwrap() {
            ours.apply(&event);
        }
        assert_eq!(failed.next(&ours), None);
        // It cannot have come to both ends.
        let refused = ours.decide(&ended.next(&ours).unwrap()).unwrap_err();
        assert_eq!(refused.code, Code::IllegalTransition);
    }

    #[test]
    fn what_is_no_step_is_passed_over_and_what_is_no_body_is_refused() {
        let mut body: Value = serde_json::from_slice(SUCCEEDED).unwrap();
        body["deployment_status"]["state"] = json!("inactive");
        let inactive = translate("deployment_status", body.to_string().as_bytes(), now());
        assert_eq!(inactive, Ok(None));
        assert_eq!(translate("push", b"{}", now()), Ok(None));
        body["deployment"]["created_at"] = json!("yesterday");
        let cases: [(&str, &[u8], Code); 4] = [
            ("deployment", b"{}", Code::Validation),
            ("deployment", b"[", Code::Validation),
            ("deployment_status", CREATED, Code::Validation),
            (
                "deployment",
                body.to_string().leak().as_bytes(),
                Code::BadTimestamp,
            ),
        ];
        for (event, body, code) in cases {
            let refused = translate(event, body, now()).unwrap_err();
            assert_eq!(refused.code, code, "{refused}");
        }
    }
}
