//! DevLake's own fixtures through our door: where both mean the same, the answers are the same. Where they
//! do not, `docs/dora.md` says why.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::scene::Yard;

/// A row by the names of its columns.
type Row = HashMap<String, String>;

/// Rows of a file of DevLake's; see the NOTICE beside them.
fn rows(name: &str) -> Vec<Row> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/devlake");
    let mut rows = csv::Reader::from_path(format!("{dir}/{name}.csv")).unwrap();
    rows.deserialize().map(|row| row.unwrap()).collect()
}

/// Whose pipelines and incidents these are, as DevLake's mapping has it; `repo3` is nobody's.
fn project(scope: &str) -> &str {
    match scope {
        "cicd1" | "cicd2" | "repo1" | "repo2" | "board1" => "project1",
        "cicd3" => "project2",
        nobody => nobody,
    }
}

/// A pipeline is a deployment, however many commits and repositories it has: it reached production when
/// the last of them had.
fn deployments() -> BTreeMap<String, Value> {
    let mut deployments = BTreeMap::<String, Value>::new();
    let reached = |row: &Row| row["result"] == "SUCCESS" && row["environment"] == "PRODUCTION";
    for row in rows("deployments").into_iter().filter(reached) {
        let (id, finished) = (&row["cicd_deployment_id"], &row["finished_date"]);
        let known = deployments.entry(id.clone()).or_insert_with(|| {
            json!({ "id": id, "project": project(&row["cicd_scope_id"]),
                    "service": row["cicd_scope_id"], "environment": "production",
                    "tier": "PRODUCTION", "version": row["commit_sha"], "status": "SUCCEEDED",
                    "finishedAt": finished })
        });
        if known["finishedAt"].as_str() < Some(finished.as_str()) {
            known["finishedAt"] = finished.as_str().into();
        }
    }
    deployments
}

#[tokio::test]
async fn an_incident_is_put_down_to_what_devlake_puts_it_down_to() {
    let yard = Yard::open().await;
    let deployments = deployments();
    assert_eq!(
        deployments.len(),
        6,
        "pipelines with a success in production"
    );
    for deployment in deployments.values() {
        yard.done(&yard.ann, "recordDeployment", deployment.clone())
            .await;
    }
    let mut links = BTreeMap::new();
    for row in rows("incidents") {
        let time = |column: &str| row[column].replace(' ', "T") + "Z";
        let report = json!({ "id": row["id"], "title": "An incident", "severity": "HIGH",
                             "project": project(&row["scope_id"]),
                             "openedAt": time("created_date") });
        let told = yard.done(&yard.ann, "openIncident", report).await;
        if let Some(link) = told["links"].get(0) {
            let cause = link["deploymentId"].as_str().unwrap().to_owned();
            links.insert(row["id"].clone(), cause);
        }
        let over = json!({ "id": row["id"], "at": time("updated_date") });
        yard.done(&yard.ann, "resolveIncident", over).await;
    }
    let theirs = rows("links").into_iter();
    let theirs = theirs.map(|row| (row["id"].clone(), row["deployment_id"].clone()));
    assert_eq!(links, theirs.collect());

    // Five of its pipelines reached production, and two of them broke something: a deployment with five
    // incidents is one failure, and was mended when the first of them was over.
    let query = r#"{ doraMetrics(scope: { project: "project1" }, from: "2022-09-01T00:00:00Z",
                                 to: "2022-12-01T00:00:00Z") { total {
        deploymentFrequency { deployments } changeFailRate { failed of rate }
        failedDeploymentRecoveryTime { recovered open p50 } } } }"#;
    let told = yard.settled(&yard.bob, query, json!({})).await;
    let total = &told["doraMetrics"]["total"];
    assert_eq!(total["deploymentFrequency"]["deployments"], 5);
    let failed = json!({ "failed": 2, "of": 5, "rate": 0.4 });
    assert_eq!(total["changeFailRate"], failed);
    assert_eq!(total["failedDeploymentRecoveryTime"]["recovered"], 2);
}
