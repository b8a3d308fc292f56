//! Who a field is for: written in the schema as `@auth`, and read back from it, so that what is shown is
//! what is enforced. What an operation asks for is known before anything of it runs, on every way in.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    ExecutableDocument, FieldDefinition, OperationDefinition, OperationType, Selection,
    SelectionSet, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Enum, InputType as _, TypeDirective, Value};
pub use domain::Scope;

use super::document::operation_of;
use super::fault::{Fault, FaultCode};
use crate::auth::{Caller, Denied, Needs, Role, Rule};

/// What a person needs to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum AuthRole {
    /// Nothing: whoever asks.
    Anyone,
    /// Credentials of any kind, API keys included: for what concerns them alone.
    Known,
    /// To be signed in, with any role or none.
    SignedIn,
    /// To see what there is: every role but `ingest`.
    Viewer,
    /// To register and change vehicles, fleets and routes.
    Operator,
    /// To vote on deployments.
    Approver,
    /// To ask for figures and exports.
    Analyst,
    /// To ask the log itself who did what.
    Auditor,
    /// To hand in records; operators may as well.
    Ingest,
    /// To administer the tenant.
    Admin,
    /// To administer the tenant `default`, which stands for the installation.
    InstallationAdmin,
}

/// Who may ask for the field. People are let in by `role`; an administrator has every role. API keys are let
/// in by `scope`, and not at all where none is named.
#[TypeDirective(location = "FieldDefinition")]
pub fn auth(role: AuthRole, scope: Option<String>) {}

/// The scope of this list, as the directive takes it.
pub fn to(scope: Scope) -> Option<String> {
    Some(scope.as_str().to_owned())
}

impl AuthRole {
    fn needs(self) -> Needs {
        match self {
            AuthRole::Anyone => Needs::Nothing,
            AuthRole::Known => Needs::Credentials,
            AuthRole::SignedIn => Needs::Identity,
            AuthRole::Viewer => Needs::Role(Role::Viewer),
            AuthRole::Operator => Needs::Role(Role::Operator),
            AuthRole::Approver => Needs::Role(Role::Approver),
            AuthRole::Analyst => Needs::Role(Role::Analyst),
            AuthRole::Auditor => Needs::Role(Role::Auditor),
            AuthRole::Ingest => Needs::Role(Role::Ingest),
            AuthRole::Admin => Needs::Role(Role::Admin),
            AuthRole::InstallationAdmin => Needs::Installation,
        }
    }
}

/// The rule of every root field.
pub struct Rules(HashMap<&'static str, HashMap<String, Option<Rule>>>);

/// The rules of what one operation asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access(Vec<Rule>);

impl Access {
    /// By one rule, for what is no field of the schema.
    pub fn of(rule: Rule) -> Access {
        Access([rule].into_iter().collect())
    }

    /// Lets a caller in that meets every rule. Whoever is known and asks for more than they may is noted.
    pub fn admit(&self, caller: &Caller) -> Result<(), Fault> {
        self.0.iter().try_for_each(|rule| {
            caller.meets(rule).map_err(|denied| match denied {
                Denied::Unknown => Fault::of(FaultCode::Unauthenticated),
                Denied::Forbidden(rule) => {
                    note(caller, &rule);
                    forbidden(&rule)
                }
            })
        })
    }
}

/// What an auditor finds of a refusal: nothing of it is in the event log, which holds what was done.
fn note(caller: &Caller, rule: &Rule) {
    tracing::info!(
        tenant = &*caller.tenant,
        actor = %caller.actor,
        needs = ?rule.needs,
        scope = rule.scope.map(Scope::as_str),
        "a caller asked for what they may not"
    );
}

fn forbidden(rule: &Rule) -> Fault {
    let fault = Fault::of(FaultCode::Forbidden);
    let fault = match rule.needs {
        Needs::Role(role) => fault.with("role", role.as_str()),
        _ => fault,
    };
    match rule.scope {
        Some(scope) => fault.with("scope", scope.as_str()),
        None => fault,
    }
}

impl Rules {
    /// Reads them from a schema.
    ///
    /// # Panics
    /// If it is none: it is our own.
    pub fn of_schema(sdl: &str) -> Rules {
        let document = parse_schema(sdl).expect("the schema is our own");
        let mut rules: HashMap<_, HashMap<_, _>> = HashMap::new();
        for definition in document.definitions {
            let TypeSystemDefinition::Type(of) = definition else {
                continue;
            };
            let (Some(root), TypeKind::Object(object)) =
                (root_named(&of.node.name.node), of.node.kind)
            else {
                continue;
            };
            for field in object.fields {
                let rule = rule_of(&field.node);
                let fields = rules.entry(root).or_default();
                fields.insert(field.node.name.node.to_string(), rule);
            }
        }
        Rules(rules)
    }

    /// What an operation of a document needs. What has no rule is for nobody.
    pub fn access(
        &self,
        document: &ExecutableDocument,
        operation: Option<&str>,
    ) -> Result<Access, Fault> {
        let operation = operation_of(document, operation)?;
        let rules = self.0.get(root_of(operation.ty));
        let mut access = Access::default();
        for field in root_fields(document, operation) {
            match rules.and_then(|rules| rules.get(field)) {
                // Of the library's own, or not in the schema: whoever validates the document says so.
                None => {}
                Some(None) => return Err(Fault::of(FaultCode::Forbidden)),
                Some(Some(rule)) if access.0.contains(rule) => {}
                Some(Some(rule)) => access.0.push(*rule),
            }
        }
        // Asked of the schema alone: for those who may be told at all.
        if access.0.is_empty() {
            access.0.push(Rule {
                needs: Needs::Credentials,
                scope: None,
            });
        }
        Ok(access)
    }
}

impl Rules {
    /// What one mutation needs.
    pub fn of_mutation(&self, field: &str) -> Access {
        let rule = self.0.get("Mutation").and_then(|rules| rules.get(field));
        Access(rule.copied().flatten().into_iter().collect())
    }
}

/// The names of an operation's root fields, each once, wherever they are written.
pub(super) fn root_fields<'d>(
    document: &'d ExecutableDocument,
    operation: &'d OperationDefinition,
) -> Vec<&'d str> {
    let mut walk = Walk {
        document,
        entered: HashSet::new(),
        fields: HashSet::new(),
    };
    walk.set(&operation.selection_set.node);
    walk.fields.into_iter().collect()
}

fn root_named(name: &str) -> Option<&'static str> {
    ["Query", "Mutation", "Subscription"]
        .into_iter()
        .find(|root| *root == name)
}

fn root_of(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}

fn rule_of(field: &FieldDefinition) -> Option<Rule> {
    let mut directives = field.directives.iter().map(|directive| &directive.node);
    let rule = directives.find(|directive| directive.name.node == "auth")?;
    let role = AuthRole::parse(rule.get_argument("role").map(|value| value.node.clone())).ok()?;
    let scope = match rule.get_argument("scope").map(|value| &value.node) {
        None => None,
        Some(Value::String(word)) => Some(Scope::of_word(word)?),
        Some(_) => return None,
    };
    Some(Rule {
        needs: role.needs(),
        scope,
    })
}

/// Collects the names of root fields, through fragments.
struct Walk<'d> {
    document: &'d ExecutableDocument,
    entered: HashSet<&'d str>,
    fields: HashSet<&'d str>,
}

impl<'d> Walk<'d> {
    fn set(&mut self, set: &'d SelectionSet) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    self.fields.insert(&field.node.name.node);
                }
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    // One that is not there is told of by whoever validates the document.
                    if let Some(fragment) = self.document.fragments.get(name)
                        && self.entered.insert(name)
                    {
                        self.set(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;
    use crate::auth::Credential;

    const SDL: &str = r#"
        type Query { a: Int @auth(role: ANYONE) b: Int @auth(role: VIEWER, scope: "vehicles:read") c: Int
                     d: Int @auth(role: NOBODY) e: Int @auth(role: VIEWER, scope: "no:such") }
        type Mutation { a: Int @auth(role: ADMIN) }
        type Other { b: Int }
    "#;

    fn access(query: &str, operation: Option<&str>) -> Result<Access, Fault> {
        let document = parse_query(query).expect("it is GraphQL");
        Rules::of_schema(SDL).access(&document, operation)
    }

    fn code(query: &str, caller: &Caller) -> Option<&'static str> {
        let admitted = access(query, None).and_then(|access| access.admit(caller));
        admitted.err().map(|fault| fault.code())
    }

    #[test]
    fn every_root_field_of_the_operation_counts_wherever_it_is_written() {
        let (nobody, viewer) = (
            Caller::anonymous(),
            Caller {
                roles: vec![Role::Viewer],
                credential: Credential::Token {
                    id: "t".into(),
                    session: None,
                    issued_at: chrono::DateTime::UNIX_EPOCH,
                },
                ..Caller::anonymous()
            },
        );
        let (unknown, forbidden) = (Some("UNAUTHENTICATED"), Some("FORBIDDEN"));
        for (query, of_nobody, of_viewer) in [
            ("{ a __typename }", None, None),
            ("{ x: a y: b }", unknown, None),
            ("{ ...f } fragment f on Query { ... { b } }", unknown, None),
            ("{ ...f } fragment f on Query { ...f b }", unknown, None),
            // Of another type: only roots have rules.
            ("{ a { b } }", None, None),
            ("mutation { a }", unknown, forbidden),
            // Written without a rule, or with one that means nothing: for nobody.
            ("{ c }", forbidden, forbidden),
            ("{ d }", forbidden, forbidden),
            ("{ e }", forbidden, forbidden),
            // Not in the schema: whoever validates says so.
            ("{ zzz }", unknown, None),
            ("{ __typename }", unknown, None),
        ] {
            assert_eq!(code(query, &nobody), of_nobody, "{query}");
            assert_eq!(code(query, &viewer), of_viewer, "{query}");
        }
        let two = "query A { a } query B { b }";
        assert!(access(two, Some("A")).is_ok_and(|access| access.admit(&nobody).is_ok()));
        assert!(access(two, Some("B")).is_ok_and(|access| access.admit(&nobody).is_err()));
    }
}
