//! Ids of what other systems tell of: the same names there lead to the same stream here.

use domain::deployment::deployment_claim;
use domain::incident::incident_claim;
use domain::{ClaimChange, ExternalRef};
use uuid::Uuid;

use crate::store::digest;

/// The id of a deployment of another system. It follows from what the deployment is found by, so that
/// whoever tells of it, and however often at once, meets in one stream and not at its claim.
pub fn recorded_deployment_id(external: &ExternalRef, environment: &str, service: &str) -> String {
    id_of(
        "deployment",
        &deployment_claim(external, environment, service),
    )
}

/// The id of an incident of another system, likewise.
pub fn recorded_incident_id(external: &ExternalRef) -> String {
    id_of("incident", &incident_claim(external))
}

fn id_of(kind: &str, claim: &ClaimChange) -> String {
    let digest = digest(&[claim.scope.as_bytes(), claim.value.as_bytes()]);
    format!("{kind}_{}", Uuid::from_bytes(digest).simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_follows_from_the_names_and_nothing_else() {
        let id = |source: &str, id: &str, environment, service| {
            let external = ExternalRef {
                source: source.to_owned(),
                id: id.to_owned(),
            };
            recorded_deployment_id(&external, environment, service)
        };
        let first = id("github", "7", "production", "frontend");
        // For good: streams are found by it.
        assert_eq!(first, "deployment_627931bcf03d7d1f3ed8481db45f0cd3");
        let others = [
            id("gitlab", "7", "production", "frontend"),
            id("github", "8", "production", "frontend"),
            id("github", "7", "staging", "frontend"),
            id("github", "7", "production", "search"),
            id("github", "7production", "", "frontend"),
        ];
        assert!(others.iter().all(|other| *other != first));
        let incident = |source: &str, id: &str| {
            recorded_incident_id(&ExternalRef {
                source: source.to_owned(),
                id: id.to_owned(),
            })
        };
        assert_eq!(incident("pager", "7"), incident("pager", "7"));
        assert_ne!(incident("pager", "7"), incident("pager7", ""));
    }
}
