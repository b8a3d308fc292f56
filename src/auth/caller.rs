//! Who is calling, what they may do, and the one rule by which a field lets them in.

use std::sync::Arc;

use chrono::{DateTime, Utc};
pub use domain::user::Role;
use domain::{Actor, ActorKind, Scope};

/// Whom checked credentials stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// Whose data; credentials are good for one tenant.
    pub tenant: Arc<str>,
    /// What they may do, as it is now.
    pub roles: Vec<Role>,
    /// What an API key may be used for; of a token, what it may do beside its roles, such as `backfill`.
    pub scopes: Vec<String>,
    /// What was shown.
    pub credential: Credential,
    /// The tenant may be read, not written.
    pub suspended: bool,
    /// When the credentials end, clock difference not counted.
    pub expires_at: DateTime<Utc>,
}

/// What a caller shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// Nothing: nobody is known.
    None,
    /// An access token.
    Token {
        /// Its own id (`jti`).
        id: Arc<str>,
        /// The session it was given in (`sid`); tokens made by an operator have none.
        session: Option<Arc<str>>,
        /// When it was made.
        issued_at: DateTime<Utc>,
    },
    /// An API key, the actor's own.
    ApiKey,
}

/// Who a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What a person needs.
    pub needs: Needs,
    /// What an API key needs; closed to API keys if none is named.
    pub scope: Option<Scope>,
}

/// What a person needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even to be known.
    Nothing,
    /// Credentials of any kind: for what concerns them alone.
    Credentials,
    /// To be signed in.
    Identity,
    /// This role.
    Role(Role),
    /// To administer the default tenant, which stands for the whole installation.
    Installation,
}

/// Why a rule does not let a caller in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nobody is known: signing in may help.
    Unknown,
    /// The caller is known and may not.
    Forbidden(Rule),
}

impl Caller {
    /// Somebody who shows nothing.
    pub fn anonymous() -> Caller {
        Caller {
            actor: Actor {
                kind: ActorKind::System,
                id: "anonymous".into(),
            },
            tenant: domain::tenant::DEFAULT_TENANT.into(),
            roles: Vec::new(),
            scopes: Vec::new(),
            credential: Credential::None,
            suspended: false,
            expires_at: DateTime::<Utc>::MAX_UTC,
        }
    }

    /// Has the caller this role? An administrator has every role; whoever has any but `ingest` may see
    /// what there is; operators may hand records in.
    pub fn may(&self, role: Role) -> bool {
        self.roles.iter().any(|held| implies(*held, role))
    }

    /// Has the caller this scope?
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    /// Is somebody known?
    pub fn is_known(&self) -> bool {
        self.credential != Credential::None
    }

    /// May the caller do all that the same caller could before?
    pub fn covers(&self, before: &Caller) -> bool {
        let roles = before.roles.iter().all(|role| self.may(*role));
        roles && before.scopes.iter().all(|scope| self.has_scope(scope))
    }

    /// The session the caller's token was given in.
    pub fn session(&self) -> Option<&str> {
        match &self.credential {
            Credential::Token { session, .. } => session.as_deref(),
            Credential::None | Credential::ApiKey => None,
        }
    }

    /// Is the caller this user?
    pub fn is_user(&self, id: &str) -> bool {
        self.actor.kind == ActorKind::User && *self.actor.id == *id
    }

    /// Is the caller this API key?
    pub fn is_api_key(&self, id: &str) -> bool {
        self.credential == Credential::ApiKey && *self.actor.id == *id
    }

    /// Does the rule let the caller in?
    pub fn meets(&self, rule: &Rule) -> Result<(), Denied> {
        if rule.needs == Needs::Nothing {
            return Ok(());
        }
        let allowed = match self.credential {
            Credential::None => return Err(Denied::Unknown),
            _ if rule.needs == Needs::Credentials => true,
            Credential::ApiKey => {
                let scope = rule.scope.map(Scope::as_str);
                scope.is_some_and(|scope| self.has_scope(scope))
            }
            Credential::Token { .. } => match rule.needs {
                Needs::Nothing | Needs::Credentials | Needs::Identity => true,
                Needs::Role(role) => self.may(role),
                Needs::Installation => {
                    &*self.tenant == domain::tenant::DEFAULT_TENANT && self.may(Role::Admin)
                }
            },
        };
        if allowed {
            Ok(())
        } else {
            Err(Denied::Forbidden(*rule))
        }
    }

    /// What an API key that the caller issues may be used for at most.
    pub fn grantable(&self) -> Vec<Scope> {
        let granted = |scope: &Scope| {
            let by_role = self.roles.iter().any(|role| carries(*role, *scope));
            by_role || self.has_scope(scope.as_str())
        };
        Scope::ALL.iter().copied().filter(granted).collect()
    }
}

fn implies(held: Role, wanted: Role) -> bool {
    match (held, wanted) {
        (Role::Admin, _) => true,
        (held, Role::Viewer) => held != Role::Ingest,
        (Role::Operator, Role::Ingest) => true,
        (held, wanted) => held == wanted,
    }
}

/// Does the role cover what the scope allows?
pub fn carries(role: Role, scope: Scope) -> bool {
    let needs = match scope {
        Scope::VehiclesRead
        | Scope::LogsRead
        | Scope::DeploymentsRead
        | Scope::CompetitionsRead => Role::Viewer,
        Scope::VehiclesWrite | Scope::DeploymentsWrite | Scope::CompetitionsWrite => Role::Operator,
        Scope::DeploymentsApprove => Role::Approver,
        Scope::LogsWrite | Scope::PositionsWrite | Scope::ScoresWrite => Role::Ingest,
        Scope::AuditRead => Role::Auditor,
        Scope::Backfill => Role::Admin,
    };
    implies(role, needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(roles: &[Role]) -> Caller {
        Caller {
            roles: roles.to_vec(),
            credential: Credential::Token {
                id: "t".into(),
                session: None,
                issued_at: DateTime::UNIX_EPOCH,
            },
            ..Caller::anonymous()
        }
    }

    #[test]
    fn roles_carry_others() {
        let held = |role: Role| Role::ALL.iter().filter(move |other| implies(role, **other));
        let words = |role| held(role).map(|role| role.as_str()).collect::<Vec<_>>();
        assert_eq!(words(Role::Viewer), ["viewer"]);
        assert_eq!(words(Role::Operator), ["viewer", "operator", "ingest"]);
        assert_eq!(words(Role::Auditor), ["viewer", "auditor"]);
        assert_eq!(words(Role::Ingest), ["ingest"]);
        assert_eq!(words(Role::Admin).len(), Role::ALL.len());
    }

    #[test]
    fn a_rule_lets_in_whom_it_names() {
        let rule = |needs, scope| Rule { needs, scope };
        let open = rule(Needs::Nothing, None);
        let signed_in = rule(Needs::Identity, None);
        let read = rule(Needs::Role(Role::Viewer), Some(Scope::VehiclesRead));
        let house = rule(Needs::Installation, None);
        let nobody = Caller::anonymous();
        assert_eq!(nobody.meets(&open), Ok(()));
        assert_eq!(nobody.meets(&signed_in), Err(Denied::Unknown));
        assert_eq!(nobody.meets(&read), Err(Denied::Unknown));

        let (viewer, ingest) = (token(&[Role::Viewer]), token(&[Role::Ingest]));
        assert_eq!(viewer.meets(&read), Ok(()));
        assert_eq!(ingest.meets(&read), Err(Denied::Forbidden(read)));
        assert_eq!(ingest.meets(&signed_in), Ok(()));

        let admin = token(&[Role::Admin]);
        let elsewhere = Caller {
            tenant: "north".into(),
            ..admin.clone()
        };
        assert_eq!(admin.meets(&house), Ok(()));
        assert_eq!(elsewhere.meets(&house), Err(Denied::Forbidden(house)));
    }

    #[test]
    fn an_api_key_is_let_in_by_scope_alone() {
        let key = Caller {
            roles: vec![Role::Admin],
            scopes: vec!["vehicles:read".to_owned()],
            credential: Credential::ApiKey,
            ..Caller::anonymous()
        };
        let rule = |scope| Rule {
            needs: Needs::Role(Role::Viewer),
            scope,
        };
        assert_eq!(key.meets(&rule(Some(Scope::VehiclesRead))), Ok(()));
        assert!(key.meets(&rule(Some(Scope::LogsRead))).is_err());
        assert!(key.meets(&rule(None)).is_err());
    }

    #[test]
    fn nobody_can_grant_more_than_they_may() {
        let words = |roles: &[Role]| {
            let scopes = token(roles).grantable();
            scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>()
        };
        assert_eq!(
            words(&[Role::Viewer]),
            [
                "vehicles:read",
                "logs:read",
                "deployments:read",
                "competitions:read"
            ]
        );
        assert_eq!(
            words(&[Role::Ingest]),
            ["logs:write", "positions:write", "scores:write"]
        );
        assert_eq!(words(&[Role::Admin]).len(), Scope::ALL.len());
        let mut importer = token(&[]);
        importer.scopes = vec!["backfill".to_owned()];
        assert_eq!(importer.grantable(), [Scope::Backfill]);
    }
}
