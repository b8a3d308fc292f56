//! The fold of accounts: order is no matter, and nothing plain gets through it.

use std::collections::BTreeSet;

use domain::Personal;
use domain::admins::{AdminAppointed, AdminDismissed, AdminsEvent};
use domain::api_key::{ApiKeyEvent, ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated};
use domain::scope::Scope;
use domain::session::{
    ReuseDetected, RevokeReason, SessionEvent, SessionRefreshed, SessionRevoked, SessionStarted,
};
use domain::tenant::{TenantCreated, TenantEvent, TenantRenamed, TenantResumed, TenantSuspended};
use domain::user::{
    EmailVerified, PasswordChangeReason, PasswordChanged, PersonalDataErased, Role, RoleAssigned,
    RoleRevoked, SignedOutEverywhere, UserDeactivated, UserEvent, UserReactivated, UserRegistered,
};
use proptest::prelude::*;

use super::*;
use crate::testing::{at, check_order_is_no_matter, deal, recorded};

fn role(n: i64) -> Role {
    Role::ALL[usize::try_from(n).expect("not negative") % Role::ALL.len()]
}

fn registered(n: i64, email: Personal) -> UserEvent {
    UserEvent::UserRegistered(UserRegistered {
        email,
        name: Personal::Sealed(format!("name{n}")),
        roles: BTreeSet::from([role(n), Role::Viewer]),
    })
}

fn deactivated(reason: Personal) -> UserEvent {
    UserEvent::UserDeactivated(UserDeactivated {
        reason: Some(reason),
    })
}

fn started(n: i64, user_id: String, ip: Personal) -> SessionEvent {
    SessionEvent::SessionStarted(SessionStarted {
        user_id,
        policy: SessionPolicy {
            sliding_s: 60,
            absolute_s: 600,
            grace_s: 10,
        },
        ip: Some(ip),
        user_agent: Some(Personal::Sealed(format!("agent{n}"))),
        epoch: 0,
        at: at(n),
    })
}

/// How many kinds of event there are.
const KINDS: u8 = 22;

/// Of every kind there is; `n` is told by the values.
fn event(kind: u8, n: i64, user_id: String) -> Event {
    let sealed = Personal::Sealed(format!("sealed{n}"));
    let reason = PasswordChangeReason::Reset;
    match kind {
        0 => registered(n, sealed).into(),
        1 => UserEvent::EmailVerified(EmailVerified {}).into(),
        2 => UserEvent::PasswordChanged(PasswordChanged { reason }).into(),
        3 => UserEvent::RoleAssigned(RoleAssigned { role: role(n) }).into(),
        4 => UserEvent::RoleRevoked(RoleRevoked { role: role(n) }).into(),
        5 => deactivated(sealed).into(),
        6 => UserEvent::UserReactivated(UserReactivated {}).into(),
        7 => UserEvent::PersonalDataErased(PersonalDataErased {}).into(),
        21 => UserEvent::SignedOutEverywhere(SignedOutEverywhere {}).into(),
        8 => AdminsEvent::AdminAppointed(AdminAppointed { user_id }).into(),
        9 => AdminsEvent::AdminDismissed(AdminDismissed { user_id }).into(),
        10 => started(n, user_id, sealed).into(),
        11 => SessionEvent::SessionRefreshed(SessionRefreshed {
            number: 2,
            at: at(n),
        })
        .into(),
        12 => SessionEvent::ReuseDetected(ReuseDetected {
            presented: 1,
            current: 3,
            at: at(n),
        })
        .into(),
        13 => SessionEvent::SessionRevoked(SessionRevoked {
            reason: RevokeReason::SignedOut,
            at: at(n),
        })
        .into(),
        14 => ApiKeyEvent::ApiKeyIssued(ApiKeyIssued {
            name: format!("key{n}"),
            hash: "0".repeat(64),
            last_four: format!("{n:04}"),
            scopes: BTreeSet::from([Scope::LogsRead, Scope::Backfill]),
            expires_at: at(n + 1_000),
            rotate_every_s: Some(60),
            bootstrap: n % 2 == 0,
            owner: None,
        })
        .into(),
        15 => ApiKeyEvent::ApiKeyRotated(ApiKeyRotated {
            hash: "1".repeat(64),
            last_four: format!("{n:04}"),
            expires_at: at(n + 2_000),
            previous_until: at(n + 60),
        })
        .into(),
        16 => ApiKeyEvent::ApiKeyRevoked(ApiKeyRevoked { reason: None }).into(),
        17 => TenantEvent::TenantCreated(TenantCreated {
            name: format!("tenant{n}"),
        })
        .into(),
        18 => TenantEvent::TenantRenamed(TenantRenamed {
            name: format!("tenant{n}"),
        })
        .into(),
        19 => TenantEvent::TenantSuspended(TenantSuspended {
            reason: Some(format!("reason{n}")),
        })
        .into(),
        _ => TenantEvent::TenantResumed(TenantResumed {}).into(),
    }
}

#[test]
fn every_kind_of_event_is_among_them() {
    let ours = |event_type: &&str| {
        let (family, _) = event_type
            .split_once('.')
            .expect("family and what happened");
        Accounts::AGGREGATES.contains(&family)
    };
    let vocabulary = domain::event::VOCABULARY
        .iter()
        .map(|(event_type, _)| *event_type);
    let expect: BTreeSet<&str> = vocabulary.filter(ours).collect();
    let told = (0..KINDS).map(|kind| event(kind, 1, "u".to_owned()).event_type());
    assert_eq!(told.collect::<BTreeSet<_>>(), expect);
}

proptest! {
    #[test]
    fn order_is_no_matter(
        kinds in proptest::collection::vec((0..KINDS, 0..2_u8, 0..2_u8), 0..24), deal in deal(),
    ) {
        let events: Vec<_> = (1..)
            .zip(kinds)
            .map(|(n, (kind, id, user))| {
                let event = event(kind, n, format!("id{user}"));
                let mut recorded = recorded(n, &format!("id{id}"), event);
                recorded.event_id = Uuid::from_u128(n.unsigned_abs().into());
                recorded.metadata.actor = format!("user:{n}");
                recorded
            })
            .collect();
        check_order_is_no_matter::<Accounts, _>(&events, &deal, |delta| delta);
    }
}

#[test]
fn a_value_in_the_clear_stops_the_fold() {
    let plain = || Personal::Plain("ada@example.org".to_owned());
    let user = || "u".to_owned();
    let events: [Event; 3] = [
        registered(1, plain()).into(),
        deactivated(plain()).into(),
        started(1, user(), plain()).into(),
    ];
    for event in events {
        let poison = Accounts::fold(&mut Delta::default(), &recorded(1, "u", event));
        let poison = poison.expect_err("a plain value is poison");
        assert!(!poison.0.contains("ada"), "{poison}");
    }
}
