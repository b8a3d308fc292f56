//! What makes two subscriptions the same: document, variables and rights, but not who asks, nor from
//! where on a journal is read.

use async_graphql::parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
};
use async_graphql::{Request, Value, Variables};
use sha2::{Digest, Sha256};

use super::mark::Mark;
use crate::api::fault::{Fault, FaultCode};
use crate::api::operation_of;
use crate::auth::{Caller, Role};

/// Which feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The journal of events.
    Events,
    /// The journal of what deployments come to.
    DeploymentChanged,
    /// The journal of alerts that go up and down.
    SloBurnAlert,
    /// The journal of log records.
    LogTail,
    /// Where vehicles are.
    VehicleMoved,
    /// A heat map.
    HeatmapChanged,
    /// The first lines of a board.
    LeaderboardChanged,
    /// How far rebuilds are.
    ProjectionProgress,
}

impl Kind {
    /// The root field of the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Events => "events",
            Kind::DeploymentChanged => "deploymentChanged",
            Kind::SloBurnAlert => "sloBurnAlert",
            Kind::LogTail => "logTail",
            Kind::VehicleMoved => "vehicleMoved",
            Kind::HeatmapChanged => "heatmapChanged",
            Kind::LeaderboardChanged => "leaderboardChanged",
            Kind::ProjectionProgress => "projectionProgress",
        }
    }

    /// Is every item told, in order, from wherever its reader was? Else the latest of each wins.
    pub fn is_journal(self) -> bool {
        match self {
            Kind::Events | Kind::DeploymentChanged | Kind::SloBurnAlert | Kind::LogTail => true,
            Kind::VehicleMoved
            | Kind::HeatmapChanged
            | Kind::LeaderboardChanged
            | Kind::ProjectionProgress => false,
        }
    }

    /// May one event of it be several items?
    pub fn cuts_events(self) -> bool {
        self == Kind::LogTail
    }

    fn of(field: &str) -> Option<Kind> {
        let all = [
            Kind::Events,
            Kind::DeploymentChanged,
            Kind::SloBurnAlert,
            Kind::LogTail,
            Kind::VehicleMoved,
            Kind::HeatmapChanged,
            Kind::LeaderboardChanged,
            Kind::ProjectionProgress,
        ];
        all.into_iter().find(|kind| kind.as_str() == field)
    }
}

/// A subscription, apart from who asks.
pub struct Asked {
    /// Its only root field.
    pub kind: Kind,
    query: String,
    operation_name: Option<String>,
    variables: Variables,
    document: ExecutableDocument,
    /// The value of the journal's argument `after`, if it is there.
    after: Option<Value>,
    /// The variable that gives `after` and nothing else.
    after_variable: Option<String>,
}

/// Names a group.
pub type Key = [u8; 32];

impl Asked {
    /// Reads a request; refuses what is not a subscription to exactly one feed.
    pub fn read(mut request: Request) -> Result<Asked, Fault> {
        // The text is what groups are told apart by, even if the document comes along.
        if request.query.is_empty() {
            return Err(Fault::new(FaultCode::ParseFailed, "the document is empty"));
        }
        let document = match request.parsed_query() {
            Ok(document) => document.clone(),
            Err(error) => return Err(Fault::new(FaultCode::ParseFailed, error.message)),
        };
        let operation = operation_of(&document, request.operation_name.as_deref())?;
        let field = root_field(operation)?;
        let kind = Kind::of(&field.name.node).ok_or_else(|| {
            invalid(format!(
                "Unknown field \"{}\" on type \"Subscription\".",
                field.name.node
            ))
        })?;
        let (after, variable) = after(field, operation, &request.variables);
        let after_variable = variable.filter(|name| mentions(&request.query, name) == 2);
        Ok(Asked {
            kind,
            after,
            after_variable,
            query: request.query,
            operation_name: request.operation_name,
            variables: request.variables,
            document,
        })
    }

    /// Where the journal is asked for from.
    pub fn after(&self) -> Result<Option<Mark>, Fault> {
        match &self.after {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if let Some(mark) = Mark::read(text) => Ok(Some(mark)),
            Some(_) => Err(Fault::of(FaultCode::BadPosition)),
        }
    }

    /// The same request once more.
    pub fn request(&self) -> Request {
        let mut request = Request::new(&self.query).variables(self.variables.clone());
        request.operation_name = self.operation_name.clone();
        request.set_parsed_query(self.document.clone());
        request
    }

    /// The group that callers with these rights belong to.
    pub fn key(&self, caller: &Caller) -> Key {
        let mut variables = self.variables.clone();
        variables.retain(|name, _| self.after_variable.as_deref() != Some(name.as_str()));
        let mut roles: Vec<&str> = caller.roles.iter().map(|role| role.as_str()).collect();
        let mut scopes: Vec<&str> = caller.scopes.iter().map(String::as_str).collect();
        roles.sort_unstable();
        scopes.sort_unstable();
        let variables = serde_json::to_string(&variables).unwrap_or_default();
        let mut hasher = Sha256::new();
        let mut part = |text: &str| {
            hasher.update(text.len().to_le_bytes());
            hasher.update(text);
        };
        part(&caller.tenant);
        part(&serde_json::to_string(&(roles, scopes)).unwrap_or_default());
        part(self.operation_name.as_deref().unwrap_or_default());
        part(&variables);
        part(&self.query);
        // Whoever may see some boards only, by taking part, is told of them alone.
        if self.kind == Kind::LeaderboardChanged && !caller.may(Role::Viewer) {
            part(&caller.actor.id);
        }
        hasher.finalize().into()
    }
}

fn root_field(operation: &OperationDefinition) -> Result<&Field, Fault> {
    if operation.ty != OperationType::Subscription {
        return Err(invalid("the operation is no subscription"));
    }
    match operation.selection_set.node.items.as_slice() {
        [only] => match &only.node {
            Selection::Field(field) => Ok(&field.node),
            _ => Err(invalid(
                "a subscription names its root field itself, not by a fragment",
            )),
        },
        _ => Err(invalid("a subscription has exactly one root field")),
    }
}

/// The value of the argument `after`, and the variable that it comes from.
fn after(
    field: &Field,
    operation: &OperationDefinition,
    variables: &Variables,
) -> (Option<Value>, Option<String>) {
    let Some(argument) = field.get_argument("after") else {
        return (None, None);
    };
    let mut variable = None;
    let value = argument.node.clone().into_const_with(|name| {
        let definitions = operation.variable_definitions.iter();
        let mut own = definitions.filter(|definition| definition.node.name.node == name);
        let default = own.next().and_then(|own| own.node.default_value().cloned());
        variable = Some(name.to_string());
        Ok::<_, std::convert::Infallible>(
            variables
                .get(&name)
                .cloned()
                .or(default)
                .unwrap_or_default(),
        )
    });
    let Ok(value) = value;
    (Some(value), variable)
}

/// How often a document names a variable.
fn mentions(query: &str, variable: &str) -> usize {
    let named = query.split('$').skip(1).filter(|rest| {
        let rest = rest.trim_start().strip_prefix(variable);
        rest.is_some_and(|r| !r.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    });
    named.count()
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(FaultCode::ValidationFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Credential, Role};
    use serde_json::{Value as Json, json};

    fn asked(query: &str, variables: Json) -> Result<Asked, Fault> {
        Asked::read(Request::new(query).variables(Variables::from_json(variables)))
    }

    fn caller(tenant: &str, roles: &[Role], scopes: &[&str], token: &str) -> Caller {
        Caller {
            actor: domain::Actor {
                kind: domain::ActorKind::User,
                id: token.into(),
            },
            tenant: tenant.into(),
            roles: roles.to_vec(),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            credential: Credential::Token {
                id: token.into(),
                session: None,
                issued_at: chrono::DateTime::UNIX_EPOCH,
            },
            suspended: false,
            expires_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn where_a_journal_is_read_from_does_not_part_its_readers() {
        let query = "subscription($after: Position, $t: [String!]) {
            events(after: $after, types: $t) { id } }";
        let viewer = caller("a", &[Role::Viewer], &[], "1");
        let key = |variables| asked(query, variables).map(|a| a.key(&viewer)).ok();
        let first = key(json!({ "after": "1", "t": ["x"] }));
        assert_eq!(first, key(json!({ "after": "2", "t": ["x"] })));
        assert_eq!(first, key(json!({ "t": ["x"] })));
        assert_ne!(first, key(json!({ "after": "1", "t": ["y"] })));
        // A variable that says something else too is part of what is asked.
        let twice = "subscription($p: Position) { events(after: $p) { id @skip(if: $p) } }";
        let key = |p: &str| asked(twice, json!({ "p": p })).map(|a| a.key(&viewer)).ok();
        assert_ne!(key("1"), key("2"));
    }

    #[test]
    fn tokens_do_not_part_and_rights_do() {
        let asked = asked("subscription { events { id } }", json!({})).ok();
        let key = |caller: Caller| asked.as_ref().map(|asked| asked.key(&caller));
        let first = key(caller(
            "a",
            &[Role::Viewer, Role::Operator],
            &["x", "y"],
            "1",
        ));
        assert_eq!(
            first,
            key(caller(
                "a",
                &[Role::Operator, Role::Viewer],
                &["y", "x"],
                "2"
            ))
        );
        for other in [
            caller("b", &[Role::Viewer, Role::Operator], &["x", "y"], "1"),
            caller("a", &[Role::Viewer], &["x", "y"], "1"),
            caller("a", &[Role::Viewer, Role::Operator], &["x"], "1"),
            caller("a", &[Role::Viewer, Role::Operator], &["x\",\"y"], "1"),
        ] {
            assert_ne!(first, key(other.clone()), "{other:?}");
        }
    }

    #[test]
    fn after_is_read_wherever_it_is_written() {
        let literal = |text: &str| format!("subscription {{ events(after: {text}) {{ id }} }}");
        let by_variable = "subscription($a: Position = \"7\") { events(after: $a) { id } }";
        let good = [
            (literal("\"5\""), json!({}), Some(5)),
            (literal("null"), json!({}), None),
            (by_variable.to_owned(), json!({ "a": "9" }), Some(9)),
            (by_variable.to_owned(), json!({}), Some(7)),
            (by_variable.to_owned(), json!({ "a": null }), None),
            ("subscription { events { id } }".to_owned(), json!({}), None),
        ];
        for (query, variables, expect) in good {
            let after = asked(&query, variables).and_then(|asked| asked.after());
            let expect = expect.map(|position| Mark::from(domain::Position(position)));
            assert_eq!(after, Ok(expect), "{query}");
        }
        for bad in [
            "5",
            "\"-1\"",
            "\"abc\"",
            "\"\"",
            "\"05\"",
            "[\"5\"]",
            "\"9223372036854775808\"",
        ] {
            let after = asked(&literal(bad), json!({})).and_then(|asked| asked.after());
            assert_eq!(after.map_err(|f| f.code()), Err("BAD_POSITION"), "{bad}");
        }
    }

    #[test]
    fn only_a_subscription_to_one_feed_is_one() {
        for query in [
            "{ events { nodes { id } } }",
            "subscription { events { id } vehicleMoved { id } }",
            "subscription { ...F } fragment F on Subscription { events { id } }",
            "subscription { nothing { id } }",
            "subscription { __typename }",
        ] {
            let refused = asked(query, json!({}))
                .map(|a| a.kind)
                .map_err(|f| f.code());
            assert_eq!(refused, Err("GRAPHQL_VALIDATION_FAILED"), "{query}");
        }
    }
}
