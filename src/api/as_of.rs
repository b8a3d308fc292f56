//! What can be asked as of a position: questions that read models alone answer.
//!
//! Such a question is answered from generations that were built for the position, and from nothing else.
//! What would mix in the present is refused, not answered with something else than was asked.

use async_graphql::Request;
use async_graphql::parser::types::OperationType;

use super::access;
use super::document::operation_of;
use super::fault::{Fault, FaultCode};

/// Root fields that are answered by the snapshot of an operation alone, and an analyst's own question, which
/// looks for its generations itself. Left out are those that read the
/// log itself (`events`, a `deployment`, an `slo`, `slaStats`), boards, which are kept beside the read
/// models, accounts and whatever depends on who asks, and bookkeeping. What goes by the clock, such as
/// freezes of an `environment`, goes by the present one.
const FIELDS: &[&str] = &[
    "__typename",
    "vehicle",
    "vehicles",
    "fleet",
    "fleets",
    "node",
    "nodes",
    "latestPositions",
    "positionHistory",
    "heatmap",
    "trend",
    "fleetSummary",
    "deployments",
    "environment",
    "environments",
    "incident",
    "incidents",
    "doraMetrics",
    "applicationStats",
    "slos",
    "competition",
    "competitions",
    "activities",
    "activityTotals",
    "logs",
    "logSource",
    "logSources",
    "logStatus",
    "logStats",
    "analystQuery",
];

/// Refuses what cannot be asked as of a position.
pub(super) fn admit(request: &mut Request) -> Result<(), Fault> {
    let name = request.operation_name.clone();
    let document = match request.parsed_query() {
        Ok(document) => document,
        Err(error) => return Err(Fault::new(FaultCode::ParseFailed, &*error.message)),
    };
    let operation = operation_of(document, name.as_deref())?;
    let mut fields = access::root_fields(document, operation);
    fields.sort_unstable();
    let other = match operation.ty {
        OperationType::Query => fields.into_iter().find(|field| !FIELDS.contains(field)),
        // Not a field of these can be.
        OperationType::Mutation | OperationType::Subscription => fields.first().copied(),
    };
    match other {
        None => Ok(()),
        Some(field) => {
            let message = format!("`{field}` is not told by read models alone");
            Err(Fault::new(FaultCode::AsOfUnsupported, message).with("field", field))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_refused(query: &str) -> Option<String> {
        let refused = admit(&mut Request::new(query)).err()?;
        assert_eq!(refused.code(), "AS_OF_UNSUPPORTED", "{query}");
        refused.facts["field"].as_str().map(str::to_owned)
    }

    #[test]
    fn only_what_read_models_tell_can_be_asked_as_of_a_position() {
        for (query, refused) in [
            ("{ vehicles { nodes { id } } }", None),
            ("{ a: heatmap { cells { cell } } __typename }", None),
            (
                "{ vehicles { nodes { id } } events { nodes { id } } }",
                Some("events"),
            ),
            ("{ ...F } fragment F on Query { me { id } }", Some("me")),
            ("{ projections { name } }", Some("projections")),
            (
                "mutation { retireVehicle { receipt { position } } }",
                Some("retireVehicle"),
            ),
            ("subscription { vehicleMoved { id } }", Some("vehicleMoved")),
        ] {
            assert_eq!(field_refused(query).as_deref(), refused, "{query}");
        }
    }

    #[test]
    fn every_field_named_here_is_in_the_schema() {
        let sdl = crate::api::sdl();
        for field in FIELDS.iter().filter(|field| **field != "__typename") {
            let named = [format!("\n  {field}("), format!("\n  {field}:")];
            assert!(named.iter().any(|name| sdl.contains(name)), "{field}");
        }
    }
}
