//! The rules of incidents.

use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::given::{at, check, check_shape, given, refusal};

fn report() -> IncidentReport {
    IncidentReport {
        title: "Search is empty".to_owned(),
        severity: Severity::High,
        project: "publishing".to_owned(),
        service: None,
        environment: None,
        opened_at: at(0),
        external: None,
    }
}

fn named(id: &str) -> IncidentReport {
    IncidentReport {
        external: Some(ExternalRef {
            source: "pagerduty".to_owned(),
            id: id.to_owned(),
        }),
        ..report()
    }
}

fn open(report: IncidentReport) -> IncidentCommand {
    IncidentCommand::Open {
        report,
        now: at(10),
    }
}

fn opened(report: IncidentReport) -> IncidentEvent {
    IncidentEvent::IncidentOpened(IncidentOpened { report })
}

fn link(deployment: &str, kind: LinkKind, known: bool) -> IncidentCommand {
    IncidentCommand::LinkDeployment {
        deployment: deployment.to_owned(),
        kind,
        rule: rule(kind),
        known,
    }
}

fn rule(kind: LinkKind) -> Option<String> {
    (kind == LinkKind::Inferred).then(|| "last_success_before".to_owned())
}

fn linked(deployment: &str, kind: LinkKind) -> IncidentEvent {
    IncidentEvent::IncidentLinked(IncidentLinked {
        deployment: deployment.to_owned(),
        kind,
        rule: rule(kind),
    })
}

fn unlink(deployment: &str) -> IncidentCommand {
    IncidentCommand::UnlinkDeployment {
        deployment: deployment.to_owned(),
        reason: None,
    }
}

fn unlinked(deployment: &str) -> IncidentEvent {
    IncidentEvent::IncidentUnlinked(IncidentUnlinked {
        deployment: deployment.to_owned(),
        reason: None,
    })
}

fn resolve(said: Option<i64>, now: i64) -> IncidentCommand {
    IncidentCommand::Resolve {
        at: said.map(at),
        now: at(now),
    }
}

fn resolved(seconds: i64) -> IncidentEvent {
    IncidentEvent::IncidentResolved(IncidentResolved { at: at(seconds) })
}

fn reopen() -> IncidentCommand {
    IncidentCommand::Reopen { reason: None }
}

fn reopened() -> IncidentEvent {
    IncidentEvent::IncidentReopened(IncidentReopened { reason: None })
}

#[test]
fn an_incident_is_opened_once() {
    check::<Incident>(&[], open(report()), Ok(&[opened(report())]));
    check::<Incident>(
        &[opened(report())],
        open(report()),
        Err(Code::AlreadyExists),
    );
    let told = [opened(named("Q2")), resolved(5)];
    check::<Incident>(&[], open(named("Q2")), Ok(&told[..1]));
    check::<Incident>(&told, open(named("Q2")), Ok(&[]));
    check::<Incident>(&told, open(named("Q3")), Err(Code::AlreadyExists));
    check::<Incident>(&told, open(report()), Err(Code::AlreadyExists));
    let claim = |source: &str, id: &str| {
        incident_claim(&ExternalRef {
            source: source.to_owned(),
            id: id.to_owned(),
        })
    };
    let claims = Incident::default().claims(&told[0]);
    assert_eq!(claims, [claim("pagerduty", "Q2")]);
    assert_ne!(claim("a", "b").value, claim("a\",\"b", "").value);
    assert_eq!(Incident::default().claims(&opened(report())), []);
    assert_eq!(given::<Incident>(&told).claims(&reopened()), []);
}

#[test]
fn what_is_said_of_an_incident_is_checked() {
    type Spoil = fn(&mut IncidentReport);
    let cases: [(Spoil, Code, &str); 7] = [
        (|r| r.title = "x".repeat(201), Code::TooLarge, "title"),
        (|r| r.project = String::new(), Code::Validation, "project"),
        (
            |r| r.service = Some("a\n".to_owned()),
            Code::BadText,
            "service",
        ),
        (
            |r| r.environment = Some(" a".to_owned()),
            Code::Validation,
            "environment",
        ),
        (
            |r| r.opened_at = at(11 + 86_400),
            Code::TimeInFuture,
            "openedAt",
        ),
        (
            |r| r.opened_at = at(-1_790_000_001),
            Code::BadTimestamp,
            "openedAt",
        ),
        (
            |r| r.external = named("").external,
            Code::Validation,
            "external.id",
        ),
    ];
    for (spoil, code, path) in cases {
        let mut report = report();
        spoil(&mut report);
        let refusal = refusal::<Incident>(&[], &open(report));
        assert_eq!(
            (refusal.code, refusal.path.join(".")),
            (code, path.to_owned())
        );
    }
}

#[test]
fn an_incident_is_resolved_and_reopened_in_turn() {
    let open = [opened(report())];
    check::<Incident>(&open, resolve(None, 50), Ok(&[resolved(50)]));
    check::<Incident>(&open, resolve(Some(0), 50), Ok(&[resolved(0)]));
    check::<Incident>(&open, resolve(Some(-1), 50), Err(Code::TimeTravel));
    check::<Incident>(
        &open,
        resolve(Some(51 + 86_400), 50),
        Err(Code::TimeInFuture),
    );
    check::<Incident>(&open, resolve(None, -50), Ok(&[resolved(0)]));
    check::<Incident>(&open, reopen(), Err(Code::IllegalTransition));
    let over = [open[0].clone(), resolved(50)];
    let twice = refusal::<Incident>(&over, &resolve(None, 60));
    assert_eq!(twice.code, Code::IllegalTransition);
    assert_eq!(
        (&twice.details["from"], &twice.details["to"]),
        (&"resolved".into(), &"resolved".into())
    );
    check::<Incident>(&over, reopen(), Ok(&[reopened()]));
    let again = [open[0].clone(), resolved(50), reopened()];
    check::<Incident>(&again, resolve(Some(40), 60), Ok(&[resolved(40)]));
}

#[test]
fn an_incident_is_put_down_to_deployments() {
    use LinkKind::{Explicit, Inferred};
    let open = opened(report());
    let with = |kind| [open.clone(), linked("d-1", kind)];
    for kind in [Explicit, Inferred] {
        check::<Incident>(
            std::slice::from_ref(&open),
            link("d-1", kind, true),
            Ok(&with(kind)[1..]),
        );
        check::<Incident>(
            std::slice::from_ref(&open),
            link("d-1", kind, false),
            Err(Code::NotFound),
        );
        check::<Incident>(
            &with(kind),
            link("d-1", Inferred, true),
            Err(Code::AlreadyLinked),
        );
        check::<Incident>(
            &with(kind),
            link("d-2", kind, true),
            Ok(&[linked("d-2", kind)]),
        );
        check::<Incident>(&with(kind), unlink("d-1"), Ok(&[unlinked("d-1")]));
        check::<Incident>(&with(kind), unlink("d-2"), Err(Code::NotLinked));
    }
    check::<Incident>(
        &with(Explicit),
        link("d-1", Explicit, true),
        Err(Code::AlreadyLinked),
    );
    let surely = [linked("d-1", Explicit)];
    check::<Incident>(&with(Inferred), link("d-1", Explicit, true), Ok(&surely));
    let over = [open.clone(), resolved(50)];
    check::<Incident>(&over, link("d-1", Explicit, true), Ok(&surely));
}

/// A correction is not undone by the rule that was wrong.
#[test]
fn what_was_taken_back_is_not_inferred_again() {
    let (explicit, inferred) = (LinkKind::Explicit, LinkKind::Inferred);
    let corrected = [opened(report()), linked("d-1", inferred), unlinked("d-1")];
    check::<Incident>(
        &corrected,
        link("d-1", inferred, true),
        Err(Code::LinkWithdrawn),
    );
    let surely = linked("d-1", explicit);
    check::<Incident>(
        &corrected,
        link("d-1", explicit, true),
        Ok(std::slice::from_ref(&surely)),
    );
    check::<Incident>(&corrected, unlink("d-1"), Err(Code::NotLinked));
    let state = given::<Incident>(&[&corrected[..], &[surely]].concat());
    assert!(state.withdrawn.is_empty());
}

#[test]
fn a_rule_is_named_where_there_is_one() {
    let known = [opened(report())];
    for (kind, rule) in [
        (LinkKind::Inferred, None),
        (LinkKind::Explicit, Some("last_success_before")),
        (LinkKind::Inferred, Some("")),
    ] {
        let command = IncidentCommand::LinkDeployment {
            deployment: "d-1".to_owned(),
            kind,
            rule: rule.map(str::to_owned),
            known: true,
        };
        let refusal = refusal::<Incident>(&known, &command);
        assert_eq!(
            (refusal.code, &refusal.path[0][..]),
            (Code::Validation, "rule")
        );
    }
}

#[test]
fn links_are_bounded() {
    let mut state = given::<Incident>(&[opened(report())]);
    for n in 0..LINKS_MAX {
        state.apply(&linked(&n.to_string(), LinkKind::Inferred));
        if n % 2 == 0 {
            state.apply(&unlinked(&n.to_string()));
        }
    }
    let decide = |deployment: &str| {
        let command = link(deployment, LinkKind::Explicit, true);
        state.decide(&command).map_err(|refusal| refusal.code)
    };
    assert_eq!(decide("one more"), Err(Code::TooLarge));
    assert_eq!(
        decide("0"),
        Ok(vec![linked("0", LinkKind::Explicit)]),
        "known to it"
    );
    assert_eq!(decide("1"), Ok(vec![linked("1", LinkKind::Explicit)]));
    assert!(state.weight_bytes() > LINKS_MAX * size_of::<String>());
}

#[test]
fn nothing_is_said_of_an_incident_nobody_opened() {
    let linking = link("d-1", LinkKind::Explicit, true);
    for command in [linking, unlink("d-1"), resolve(None, 0), reopen()] {
        check::<Incident>(&[], command, Err(Code::NotFound));
    }
}

#[test]
fn a_state_is_written_as_it_always_was() {
    let state = given::<Incident>(&[
        opened(named("Q2")),
        linked("d-1", LinkKind::Inferred),
        linked("d-2", LinkKind::Explicit),
        unlinked("d-1"),
        resolved(50),
    ]);
    let text = concat!(
        r#"{"status":"resolved","openedAt":"2026-09-21T14:13:20Z","#,
        r#""external":{"source":"pagerduty","id":"Q2"},"#,
        r#""links":{"d-2":"explicit"},"withdrawn":["d-1"]}"#,
    );
    check_shape(&state, text);
}

fn any_command() -> impl Strategy<Value = IncidentCommand> {
    let deployment = prop::sample::select(vec!["d-1", "d-2"]);
    let kind = prop::sample::select(LinkKind::ALL);
    let said = prop::option::of(-20i64..100);
    prop_oneof![
        Just(open(named("Q2"))),
        (deployment.clone(), kind).prop_map(|(deployment, kind)| link(deployment, kind, true)),
        deployment.prop_map(unlink),
        (said, 0i64..100).prop_map(|(said, now)| resolve(said, now)),
        Just(reopen()),
    ]
}

proptest! {
    /// Links are a set, a resolution never lies before the beginning, and what is stored is read back.
    #[test]
    fn any_history_holds_together(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut state = Incident::default();
        for command in commands {
            let Ok(events) = state.decide(&command) else { continue };
            for event in events {
                if let IncidentEvent::IncidentResolved(e) = &event {
                    prop_assert!(state.opened_at.is_some_and(|opened| opened <= e.at));
                    prop_assert_eq!(state.status, Some(IncidentStatus::Open));
                }
                state.apply(&event);
                prop_assert!(state.links.keys().all(|id| !state.withdrawn.contains(id)));
                let stored = Event::from(event);
                let payload = stored.payload().expect("JSON");
                let read = Event::decode(stored.event_type(), stored.event_version(), &payload);
                prop_assert_eq!(read.ok(), Some(stored));
            }
        }
    }
}
