//! What each event says about an account.

use domain::admins::AdminsEvent;
use domain::api_key::ApiKeyEvent;
use domain::session::{SessionEvent, SessionStarted};
use domain::tenant::TenantEvent;
use domain::user::{Role, UserEvent};
use domain::{Event, Personal, Recorded};

use super::{
    Deactivated, Delta, Issued, REUSED, Registered, Secret, Started, Suspended, keep_max, keep_min,
};
use crate::Poison;
use crate::latest::{Latest, keep_last, keep_last_of};

pub(super) fn user(
    delta: &mut Delta,
    event: &Recorded<Event>,
    what: &UserEvent,
) -> Result<(), Poison> {
    let id = event.aggregate_id.as_ref();
    let change = delta.users.entry(id.to_owned()).or_default();
    change.seen.see(event);
    match what {
        UserEvent::UserRegistered(e) => {
            let registered = Registered {
                at: event.recorded_at,
                email: sealed(&e.email)?,
                name: sealed(&e.name)?,
                event: event.event_id,
            };
            keep_last(&mut change.registered, said(event, registered));
            for role in &e.roles {
                hold(delta, event, id, *role, true);
            }
        }
        UserEvent::EmailVerified(_) => change.verified = true,
        UserEvent::PasswordChanged(_) => {
            keep_max(&mut change.password_changed_at, Some(event.recorded_at));
            change.epochs += 1;
        }
        UserEvent::RoleAssigned(e) => hold(delta, event, id, e.role, true),
        UserEvent::RoleRevoked(e) => hold(delta, event, id, e.role, false),
        UserEvent::UserDeactivated(e) => {
            let deactivated = Deactivated {
                at: event.recorded_at,
                reason: e.reason.as_ref().map(sealed).transpose()?,
                event: event.event_id,
            };
            keep_last(&mut change.deactivated, said(event, Some(deactivated)));
            change.epochs += 1;
        }
        UserEvent::SignedOutEverywhere(_) => change.epochs += 1,
        UserEvent::UserReactivated(_) => keep_last(&mut change.deactivated, said(event, None)),
        UserEvent::PersonalDataErased(_) => {
            keep_min(&mut change.erased_at, Some(event.recorded_at));
            change.epochs += 1;
        }
    }
    Ok(())
}

pub(super) fn admins(delta: &mut Delta, event: &Recorded<Event>, what: &AdminsEvent) {
    let (id, held) = match what {
        AdminsEvent::AdminAppointed(e) => (&e.user_id, true),
        AdminsEvent::AdminDismissed(e) => (&e.user_id, false),
    };
    hold(delta, event, id, Role::Admin, held);
}

pub(super) fn session(
    delta: &mut Delta,
    event: &Recorded<Event>,
    what: &SessionEvent,
) -> Result<(), Poison> {
    let id = event.aggregate_id.as_ref();
    let change = delta.sessions.entry(id.to_owned()).or_default();
    change.seen.see(event);
    match what {
        SessionEvent::SessionStarted(e) => {
            keep_last(&mut change.started, said(event, started(event, e)?));
            keep_max(&mut change.last_used_at, Some(e.at));
        }
        SessionEvent::SessionRefreshed(e) => keep_max(&mut change.last_used_at, Some(e.at)),
        SessionEvent::ReuseDetected(e) => {
            keep_last(&mut change.ended, said(event, (e.at, REUSED)));
        }
        SessionEvent::SessionRevoked(e) => {
            keep_last(&mut change.ended, said(event, (e.at, e.reason.as_str())));
        }
    }
    Ok(())
}

fn started(event: &Recorded<Event>, e: &SessionStarted) -> Result<Started, Poison> {
    Ok(Started {
        user_id: e.user_id.clone(),
        at: e.at,
        policy: e.policy,
        epoch: i64::try_from(e.epoch)
            .map_err(|_| Poison(format!("epoch {} is beyond counting", e.epoch)))?,
        user_agent: e.user_agent.as_ref().map(sealed).transpose()?,
        ip: e.ip.as_ref().map(sealed).transpose()?,
        event: event.event_id,
    })
}

pub(super) fn api_key(delta: &mut Delta, event: &Recorded<Event>, what: &ApiKeyEvent) {
    let id = event.aggregate_id.as_ref();
    let change = delta.api_keys.entry(id.to_owned()).or_default();
    change.seen.see(event);
    match what {
        ApiKeyEvent::ApiKeyIssued(e) => {
            let scopes: Vec<_> = e.scopes.iter().map(|scope| scope.as_str()).collect();
            let issued = Issued {
                at: event.recorded_at,
                by: event.metadata.actor.clone(),
                name: e.name.clone(),
                scopes: scopes.join(" "),
                rotate_every_s: e.rotate_every_s.map(i64::from),
                bootstrap: e.bootstrap,
            };
            keep_last(&mut change.issued, said(event, issued));
            let secret = Secret {
                last_four: e.last_four.clone(),
                expires_at: e.expires_at,
                rotated: None,
            };
            keep_last(&mut change.secret, said(event, secret));
        }
        ApiKeyEvent::ApiKeyRotated(e) => {
            let secret = Secret {
                last_four: e.last_four.clone(),
                expires_at: e.expires_at,
                rotated: Some((event.recorded_at, e.previous_until)),
            };
            keep_last(&mut change.secret, said(event, secret));
        }
        ApiKeyEvent::ApiKeyRevoked(_) => keep_min(&mut change.revoked_at, Some(event.recorded_at)),
    }
}

pub(super) fn tenant(delta: &mut Delta, event: &Recorded<Event>, what: &TenantEvent) {
    let id = event.aggregate_id.as_ref();
    let change = delta.tenants.entry(id.to_owned()).or_default();
    change.seen.see(event);
    match what {
        TenantEvent::TenantCreated(e) => {
            keep_min(&mut change.created_at, Some(event.recorded_at));
            keep_last(&mut change.name, said(event, e.name.clone()));
        }
        TenantEvent::TenantRenamed(e) => {
            keep_last(&mut change.name, said(event, e.name.clone()));
        }
        TenantEvent::TenantSuspended(e) => {
            let suspended = Suspended {
                at: event.recorded_at,
                reason: e.reason.clone(),
            };
            keep_last(&mut change.suspended, said(event, Some(suspended)));
        }
        TenantEvent::TenantResumed(_) => keep_last(&mut change.suspended, said(event, None)),
    }
}

fn hold(delta: &mut Delta, event: &Recorded<Event>, user: &str, role: Role, held: bool) {
    let key = (user.to_owned(), role.as_str().to_owned());
    let said = Latest {
        position: event.position.0,
        value: held,
    };
    keep_last_of(&mut delta.roles, key, said);
}

fn said<T>(event: &Recorded<Event>, value: T) -> Option<Latest<T>> {
    Some(Latest {
        position: event.position.0,
        value,
    })
}

/// The sealed form. A plain one is never in a log, and must not get into a table.
pub(crate) fn sealed(value: &Personal) -> Result<String, Poison> {
    match value {
        Personal::Sealed(text) => Ok(text.clone()),
        Personal::Plain(_) => Err(Poison("a personal value is not sealed".to_owned())),
    }
}
