//! The fold of deployments: order is no matter, and nothing plain gets through it.

use std::collections::BTreeSet;

use domain::approval::{ApprovalPolicy, ApprovalRule};
use domain::deployment::{
    ApprovalExpired, ApprovalGranted, ApprovalOverridden, ApprovalRejected, ApprovalRequested,
    ApprovalRevoked, ApprovalSatisfied, ApprovalTimes, ChangesAdded, DeploymentAmended,
    DeploymentCancelled, DeploymentEvent, DeploymentFailed, DeploymentReason, DeploymentRecorded,
    DeploymentRequested, DeploymentRolledBack, DeploymentStarted, DeploymentSucceeded,
    HotfixMarked, HotfixUnmarked, RequestedBy, Status, Tier,
};
use domain::environment::{
    ApprovalPolicySet, EnvironmentDefined, EnvironmentEvent, EnvironmentFrozen, EnvironmentUnfrozen,
};
use domain::incident::{
    IncidentEvent, IncidentLinked, IncidentOpened, IncidentReopened, IncidentReport,
    IncidentResolved, IncidentUnlinked, LinkKind, Severity,
};
use domain::{ExternalRef, Personal};
use proptest::prelude::*;

use super::*;
use crate::testing::{at, check_order_is_no_matter, deal, recorded};

fn change(n: i64) -> Change {
    Change {
        id: format!("change{}", n % 3),
        committed_at: at(n),
        authored_at: (n % 2 == 0).then(|| at(n - 60)),
        opened_at: None,
        first_review_at: None,
        merged_at: Some(at(n + 1)),
    }
}

fn plan(n: i64) -> Plan {
    Plan {
        project: "shop".to_owned(),
        service: format!("service{}", n % 2),
        environment: "live".to_owned(),
        version: format!("v{n}"),
        previous_version: Some(format!("v{}", n - 1)),
        reason: DeploymentReason::Planned,
        change_type: None,
        description: Some(format!("text{n}")),
        team: None,
        remedies: None,
        external: Some(ExternalRef {
            source: "ci".to_owned(),
            id: format!("{n}"),
        }),
        changes: vec![change(n), change(n + 1)],
    }
}

fn policy() -> ApprovalPolicy {
    ApprovalPolicy {
        rules: vec![ApprovalRule {
            group: "leads".to_owned(),
            members: BTreeSet::from(["ada".to_owned(), "bob".to_owned()]),
            required: 1,
        }],
        prevent_self_review: true,
        ..ApprovalPolicy::default()
    }
}

fn times(n: i64) -> ApprovalTimes {
    ApprovalTimes {
        wait_until: at(n),
        expires_at: at(n + 600),
    }
}

fn freeze(n: i64) -> Freeze {
    Freeze {
        id: format!("freeze{}", n % 2),
        from: at(n),
        until: None,
        reason: format!("reason{n}"),
        weekly: vec![],
    }
}

fn requested(n: i64, by: Personal) -> Event {
    DeploymentEvent::DeploymentRequested(DeploymentRequested {
        plan: plan(n),
        tier: Tier::Production,
        requested_by: RequestedBy::Person(by),
        at: at(n),
    })
    .into()
}

/// How many kinds of event there are.
const KINDS: u8 = 27;

/// Of every kind there is; `n` is told by the values.
fn event(kind: u8, n: i64, deployment: String) -> Event {
    let revision = u32::try_from(n % 2 + 1).expect("small");
    let by = ["ada", "bob"][usize::from(n % 3 == 0)].to_owned();
    let comment = Some(format!("comment{n}"));
    let at = at(n);
    match kind {
        0 => requested(n, Personal::Sealed(format!("sealed{n}"))),
        1 => DeploymentEvent::DeploymentRecorded(DeploymentRecorded {
            plan: plan(n),
            tier: Tier::Staging,
            requested_by: Some(RequestedBy::Machine("ci".to_owned())),
            status: Status::ALL[usize::try_from(n).expect("small") % Status::ALL.len()],
            requested_at: None,
            started_at: (n % 2 == 0).then_some(at),
            finished_at: Some(at),
        })
        .into(),
        2 => DeploymentEvent::ApprovalRequested(ApprovalRequested {
            policy: policy(),
            at,
            times: times(n),
        })
        .into(),
        3 => DeploymentEvent::ApprovalGranted(ApprovalGranted {
            by,
            revision,
            comment,
            at,
        })
        .into(),
        4 => DeploymentEvent::ApprovalSatisfied(ApprovalSatisfied {
            revision,
            votes: vec![],
            at,
        })
        .into(),
        5 => DeploymentEvent::ApprovalRevoked(ApprovalRevoked {
            by,
            revision,
            reopened: n % 2 == 0,
            at,
        })
        .into(),
        6 => DeploymentEvent::ApprovalRejected(ApprovalRejected {
            by,
            revision,
            comment,
            at,
        })
        .into(),
        7 => DeploymentEvent::ApprovalExpired(ApprovalExpired { at }).into(),
        8 => DeploymentEvent::ApprovalOverridden(ApprovalOverridden {
            by,
            revision,
            reason: format!("reason{n}"),
            lifts: vec![],
            at,
        })
        .into(),
        9..18 => carried_out(kind, n, deployment),
        _ => beside(kind, n, deployment),
    }
}

/// Of deployments once they are approved, or amended.
fn carried_out(kind: u8, n: i64, deployment: String) -> Event {
    let reason = Some(format!("reason{n}"));
    let at = at(n);
    match kind {
        9 => DeploymentEvent::DeploymentAmended(DeploymentAmended {
            revision: u32::try_from(n % 2 + 1).expect("small"),
            by: Some(format!("user{n}")),
            version: format!("w{n}"),
            description: None,
            changes: (n % 2 == 0).then(|| vec![change(n)]),
            reopened: (n % 3 == 0).then(|| times(n)),
            at,
        })
        .into(),
        10 => {
            let changes = vec![change(n)];
            DeploymentEvent::ChangesAdded(ChangesAdded { changes }).into()
        }
        11 => {
            let despite = vec![];
            DeploymentEvent::DeploymentStarted(DeploymentStarted { at, despite }).into()
        }
        12 => DeploymentEvent::DeploymentSucceeded(DeploymentSucceeded { at }).into(),
        13 => DeploymentEvent::DeploymentFailed(DeploymentFailed { at, reason }).into(),
        14 => DeploymentEvent::DeploymentRolledBack(DeploymentRolledBack {
            to: format!("v{n}"),
            at,
            reason,
        })
        .into(),
        15 => DeploymentEvent::DeploymentCancelled(DeploymentCancelled { at, reason }).into(),
        16 => {
            let fixed_by = Some(deployment);
            DeploymentEvent::HotfixMarked(HotfixMarked { fixed_by, reason }).into()
        }
        _ => DeploymentEvent::HotfixUnmarked(HotfixUnmarked { reason }).into(),
    }
}

/// Of environments and incidents.
fn beside(kind: u8, n: i64, deployment: String) -> Event {
    let at = at(n);
    match kind {
        18 => EnvironmentEvent::EnvironmentDefined(EnvironmentDefined {
            project: "shop".to_owned(),
            name: format!("name{n}"),
            tier: Tier::Other,
        })
        .into(),
        19 => {
            let policy = policy();
            EnvironmentEvent::ApprovalPolicySet(ApprovalPolicySet { policy }).into()
        }
        20 => {
            let freeze = freeze(n);
            EnvironmentEvent::EnvironmentFrozen(EnvironmentFrozen { freeze, at }).into()
        }
        21 => EnvironmentEvent::EnvironmentUnfrozen(EnvironmentUnfrozen {
            freeze_id: freeze(n).id,
            reason: None,
        })
        .into(),
        22 => IncidentEvent::IncidentOpened(IncidentOpened {
            report: IncidentReport {
                title: format!("title{n}"),
                severity: Severity::High,
                project: "shop".to_owned(),
                service: None,
                environment: None,
                opened_at: at,
                external: None,
            },
        })
        .into(),
        23 => IncidentEvent::IncidentLinked(IncidentLinked {
            deployment,
            kind: LinkKind::ALL[usize::from(n % 2 == 0)],
            rule: None,
        })
        .into(),
        24 => {
            let reason = None;
            IncidentEvent::IncidentUnlinked(IncidentUnlinked { deployment, reason }).into()
        }
        25 => IncidentEvent::IncidentResolved(IncidentResolved { at }).into(),
        _ => IncidentEvent::IncidentReopened(IncidentReopened { reason: None }).into(),
    }
}

#[test]
fn every_kind_of_event_is_among_them() {
    let ours = |event_type: &&str| {
        let (family, _) = event_type
            .split_once('.')
            .expect("family and what happened");
        Deployments::AGGREGATES.contains(&family)
    };
    let vocabulary = domain::event::VOCABULARY
        .iter()
        .map(|(event_type, _)| *event_type);
    let expect: BTreeSet<&str> = vocabulary.filter(ours).collect();
    let told = (0..KINDS).map(|kind| event(kind, 1, "d".to_owned()).event_type());
    assert_eq!(told.collect::<BTreeSet<_>>(), expect);
}

proptest! {
    #[test]
    fn order_is_no_matter(
        kinds in proptest::collection::vec((0..KINDS, 0..2_u8, 0..2_u8), 0..24), deal in deal(),
    ) {
        let events: Vec<_> = (1..)
            .zip(kinds)
            .map(|(n, (kind, id, other))| {
                let event = event(kind, n, format!("id{other}"));
                let mut recorded = recorded(n, &format!("id{id}"), event);
                recorded.event_id = Uuid::from_u128(n.unsigned_abs().into());
                recorded.metadata.actor = format!("user:{n}");
                recorded
            })
            .collect();
        check_order_is_no_matter::<Deployments, _>(&events, &deal, |delta| delta);
    }
}

#[test]
fn a_value_in_the_clear_stops_the_fold() {
    let event = requested(1, Personal::Plain("Ada Lovelace".to_owned()));
    let poison = Deployments::fold(&mut Delta::default(), &recorded(1, "d", event));
    let poison = poison.expect_err("a plain value is poison");
    assert!(!poison.0.contains("Ada"), "{poison}");
}

#[test]
fn only_what_was_said_stands_in_a_step() {
    let mut delta = Delta::default();
    let failed = DeploymentFailed {
        at: at(1),
        reason: None,
    };
    let event = recorded(7, "d", DeploymentEvent::DeploymentFailed(failed));
    Deployments::fold(&mut delta, &event).expect("a well-formed event");
    let step = &delta.steps[&("d".to_owned(), 7)];
    assert_eq!(
        (step.kind, &step.detail),
        ("deployment.failed", &serde_json::json!({}))
    );
}
