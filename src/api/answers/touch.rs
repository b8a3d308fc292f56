//! Which read models a query may ask, told from its document alone.

use std::collections::HashSet;

use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use projections::{competitions, deployments, heatmap, positions, slos, trends, vehicles};

/// A set of read models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Models(u8);

const NONE: Models = Models(0);
const VEHICLES: Models = Models(1);
const POSITIONS: Models = Models(2);
const HEATMAP: Models = Models(4);
const TRENDS: Models = Models(8);
const DEPLOYMENTS: Models = Models(16);
const SLOS: Models = Models(32);
const COMPETITIONS: Models = Models(64);

impl Models {
    /// Their names, always in the same order.
    pub fn names(self) -> Vec<&'static str> {
        [
            (VEHICLES, vehicles::NAME),
            (POSITIONS, positions::NAME),
            (HEATMAP, heatmap::NAME),
            (TRENDS, trends::NAME),
            (DEPLOYMENTS, deployments::NAME),
            (SLOS, slos::NAME),
            (COMPETITIONS, competitions::NAME),
        ]
        .into_iter()
        .filter(|(model, _)| self.0 & model.0 != 0)
        .map(|(_, name)| name)
        .collect()
    }

    const fn and(self, other: Models) -> Models {
        Models(self.0 | other.0)
    }
}

/// What a root field of a query asks, whatever its arguments. `None` for those whose answer is not a
/// function of read models: of the log (`events`, an `aggregate` and its history, `seals` and proofs, a
/// `deployment`, an `slo` or `doraMetrics` as of then), of the time (freezes of an `environment`, `slaStats`,
/// the period a `leaderboard` is of), of who asks (`activities`, `myRank`, boards and prizes for those who
/// take part), of a retention that takes away what no event tells of (`logs` and what is made of them), of
/// bookkeeping (`projections`, `rebuilds`, `ingestReceipt`, `rejectedRecords`), of tables that analysts made
/// (`analystQuery`), of the schema.
fn of_root(field: &str) -> Option<Models> {
    Some(match field {
        "__typename" => NONE,
        "vehicle" | "vehicles" | "fleet" | "fleets" => VEHICLES,
        "node" | "nodes" => VEHICLES.and(DEPLOYMENTS),
        "deployments" | "incident" | "incidents" | "applicationStats" => DEPLOYMENTS,
        "slos" => SLOS,
        "competition" | "competitions" => COMPETITIONS,
        // Whose fixes: those of a fleet's members, perhaps.
        "latestPositions" => POSITIONS.and(VEHICLES),
        "positionHistory" => POSITIONS,
        "heatmap" => HEATMAP,
        "trend" | "fleetSummary" => TRENDS.and(VEHICLES),
        _ => return None,
    })
}

/// What a field further down asks beside. Events are looked up by their positions, and an event at a
/// position never changes: asking for one asks no read model, and so does a deployment's approval, which
/// is told by its events up to the one it is known by. `None` for what is told of persons, and for periods that
/// have begun by now.
fn of_nested(field: &str) -> Option<Models> {
    Some(match field {
        "vehicle" | "vehicles" => VEHICLES,
        "latestPosition" | "evidence" => POSITIONS,
        "personName" | "periods" | "presentPeriod" | "nextReset" => return None,
        _ => NONE,
    })
}

/// What an operation may ask; `None` if it is no query, or its answer depends on more than that.
/// Each fragment is walked once, and conditions of `@skip` and `@include` are taken to hold.
pub fn models(document: &ExecutableDocument, operation: &OperationDefinition) -> Option<Models> {
    if operation.ty != OperationType::Query {
        return None;
    }
    let mut walk = Walk {
        document,
        entered: HashSet::new(),
        models: NONE,
    };
    walk.root(&operation.selection_set.node)?;
    (walk.models != NONE).then_some(walk.models)
}

struct Walk<'d> {
    document: &'d ExecutableDocument,
    /// Fragments walked before: at the root, or further down.
    entered: HashSet<(&'d str, bool)>,
    models: Models,
}

impl<'d> Walk<'d> {
    fn root(&mut self, set: &'d SelectionSet) -> Option<()> {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let models = of_root(&field.node.name.node)?;
                    self.models = self.models.and(models);
                    self.nested(&field.node.selection_set.node)?;
                }
                Selection::InlineFragment(inline) => self.root(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => {
                    if let Some(set) = self.enter(&spread.node.fragment_name.node, true) {
                        self.root(set)?;
                    }
                }
            }
        }
        Some(())
    }

    fn nested(&mut self, set: &'d SelectionSet) -> Option<()> {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    self.models = self.models.and(of_nested(&field.node.name.node)?);
                    self.nested(&field.node.selection_set.node)?;
                }
                Selection::InlineFragment(inline) => {
                    self.nested(&inline.node.selection_set.node)?
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(set) = self.enter(&spread.node.fragment_name.node, false) {
                        self.nested(set)?;
                    }
                }
            }
        }
        Some(())
    }

    /// The fragment of this name, the first time it is met; one that is not there is refused later.
    fn enter(&mut self, name: &'d str, root: bool) -> Option<&'d SelectionSet> {
        let fragment = self.document.fragments.get(name)?;
        let first = self.entered.insert((name, root));
        first.then_some(&fragment.node.selection_set.node)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

    use super::*;

    fn check(document: &str, expect: Option<&[&str]>) {
        let parsed = parse_query(document).expect("it is GraphQL");
        let (_, operation) = parsed.operations.iter().next().expect("there is one");
        let models = models(&parsed, &operation.node).map(Models::names);
        assert_eq!(models.as_deref(), expect, "{document}");
    }

    #[test]
    fn a_document_tells_what_it_may_ask() {
        let (v, p, h, t) = (vehicles::NAME, positions::NAME, heatmap::NAME, trends::NAME);
        check("{ vehicles { nodes { id } } }", Some(&[v]));
        check(
            "{ vehicles { nodes { latestPosition { event { type } } } } }",
            Some(&[v, p]),
        );
        check("{ heatmap { cells { cell } } }", Some(&[h]));
        check(
            "{ heatmap { cells { evidence { nodes { vehicle { id } } } } } }",
            Some(&[v, p, h]),
        );
        check("{ a: trend { median } __typename }", Some(&[v, t]));
        check(
            "{ ...A ... on Query { positionHistory { nodes { ...B } } } }
             fragment A on Query { fleets { nodes { ...C } } }
             fragment B on PositionFix { vehicle { id } }
             fragment C on Fleet { vehicles { nodes { latestPosition { id } } } }",
            Some(&[v, p]),
        );
        check("{ incidents { nodes { id } } }", Some(&[deployments::NAME]));
        check(
            "{ competitions { nodes { id entries } } }",
            Some(&[competitions::NAME]),
        );
        check("{ node { id } }", Some(&[v, deployments::NAME]));
        for beyond in [
            "{ deployments { nodes { requestedBy { ...A } } } } fragment A on B { personName }",
            "{ competition { nextReset } }",
            "{ events { nodes { position } } }",
            "{ vehicles { nodes { id } } events { nodes { position } } }",
            "{ vehicles { nodes { id } } ...A } fragment A on Query { projections { name } }",
            "{ __schema { types { name } } }",
            "{ __typename }",
            "{ somethingNew }",
            "mutation { createFleet { fleet { id vehicles { nodes { id } } } } }",
            "subscription { vehicleMoved { id } }",
        ] {
            check(beyond, None);
        }
    }

    #[test]
    fn a_fragment_is_walked_once_however_often_it_is_spread() {
        let mut document = "{ vehicles { ...F0 } }".to_owned();
        for n in 0..40 {
            let next = n + 1;
            document += &format!(" fragment F{n} on T {{ a {{ ...F{next} }} b {{ ...F{next} }} }}");
        }
        document += " fragment F40 on T { evidence { ...F0 } }";
        check(&document, Some(&[vehicles::NAME, positions::NAME]));
    }

    /// Whoever adds a question decides here whether its answer may be kept.
    #[test]
    fn every_question_of_the_schema_is_either_kept_or_left_out() {
        // What is told of persons is told to one caller, not to whoever asks the same.
        const LEFT_OUT: &[&str] = &[
            "deployment",
            "pendingApprovals",
            "doraMetrics",
            "slo",
            "slaStats",
            "environment",
            "environments",
            "logs",
            "logSource",
            "logSources",
            "logStatus",
            "logStats",
            "leaderboard",
            "leaderboardAround",
            "myRank",
            "prizes",
            "awards",
            "activities",
            "activityTotals",
            "moderationQueue",
            "events",
            "aggregate",
            "aggregateHistory",
            "seals",
            "inclusionProof",
            "consistencyProof",
            "projections",
            "rebuilds",
            "generations",
            "failedEvents",
            "projectionDecisions",
            "analystQuery",
            "ingestReceipt",
            "rejectedRecords",
            "me",
            "tokenStatus",
            "user",
            "users",
            "sessions",
            "apiKeys",
            "tenants",
        ];
        let sdl = crate::api::sdl();
        let schema = async_graphql::parser::parse_schema(sdl).expect("our own schema");
        let query = schema
            .definitions
            .iter()
            .find_map(|definition| match definition {
                TypeSystemDefinition::Type(t) if t.node.name.node == "Query" => {
                    match &t.node.kind {
                        TypeKind::Object(query) => Some(query),
                        _ => None,
                    }
                }
                _ => None,
            });
        let mut fields = 0;
        for field in &query.expect("there are questions").fields {
            let name = field.node.name.node.as_str();
            fields += 1;
            assert_ne!(
                of_root(name).is_some(),
                LEFT_OUT.contains(&name),
                "is the answer to `{name}` a function of read models?"
            );
        }
        assert!(fields >= 10, "only {fields} questions were found");
    }
}
