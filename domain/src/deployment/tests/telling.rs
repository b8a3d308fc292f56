//! How deployments become known, under which names, and by whom.

use super::*;

fn request() -> Request {
    Request {
        plan: plan(),
        tier: Some(Tier::Production),
        requested_by: Requester::User("linus".to_owned()),
        now: at(0),
    }
}

fn record(status: Status, times: [Option<i64>; 3]) -> Record {
    let [requested_at, started_at, finished_at] = times.map(|time| time.map(at));
    Record {
        plan: plan(),
        tier: Tier::Production,
        requested_by: None,
        status,
        requested_at,
        started_at,
        finished_at,
        now: at(0),
    }
}

fn external(id: &str) -> Option<ExternalRef> {
    Some(ExternalRef {
        source: "github".to_owned(),
        id: id.to_owned(),
    })
}

#[test]
fn a_deployment_is_asked_for_once_and_where_there_is_something() {
    let command = || DeploymentCommand::Request(request());
    check::<Deployment>(&[], command(), Ok(&[requested()]));
    check::<Deployment>(&[requested()], command(), Err(Code::AlreadyExists));
    let nowhere = DeploymentCommand::Request(Request {
        tier: None,
        ..request()
    });
    let refusal = refusal::<Deployment>(&[], &nowhere);
    assert_eq!(refusal.code, Code::EnvironmentNotFound);
    assert_eq!(refusal.path, ["environment"]);
}

/// Needed, possible, impossible: by where the deployment stands.
#[test]
fn the_times_told_fit_where_it_stands() {
    let (a, b, c) = (Some(-10), Some(-5), Some(-1));
    let idle: &[[Option<i64>; 3]] = &[[a, None, None]];
    let under_way: &[[Option<i64>; 3]] = &[[None, b, None], [a, b, None]];
    let ended: &[[Option<i64>; 3]] = &[[None, None, c], [a, None, c], [None, b, c], [a, b, c]];
    let any = [None, a].into_iter().flat_map(|first| {
        let seconds = [None, b].into_iter();
        seconds.flat_map(move |second| [None, c].map(|third| [first, second, third]))
    });
    let any: Vec<_> = any.collect();
    for status in Status::ALL.iter().copied() {
        let good: &[[Option<i64>; 3]] = match status {
            Status::InProgress => under_way,
            Status::Succeeded | Status::Failed | Status::RolledBack | Status::Cancelled => ended,
            _ => idle,
        };
        for times in &any {
            let command = DeploymentCommand::Record(record(status, *times));
            match Deployment::default().decide(&command) {
                Ok(events) => {
                    assert!(good.contains(times), "{status:?} {times:?}");
                    let told = given::<Deployment>(&events);
                    let seen = [told.requested_at, told.started_at, told.finished_at];
                    assert_eq!(
                        (told.status, seen),
                        (Some(status), times.map(|t| t.map(at)))
                    );
                }
                Err(refusal) => {
                    assert!(!good.contains(times), "{status:?} {times:?}");
                    assert_eq!(refusal.code, Code::Validation);
                }
            }
        }
    }
}

#[test]
fn times_are_in_order_and_such_as_clocks_tell() {
    let refused = |times| {
        let command = DeploymentCommand::Record(record(Status::Succeeded, times));
        let refusal = refusal::<Deployment>(&[], &command);
        (refusal.code, refusal.path.join("."))
    };
    let path = |code, field: &str| (code, field.to_owned());
    let travel = Code::TimeTravel;
    assert_eq!(
        refused([None, Some(-4), Some(-5)]),
        path(travel, "finishedAt")
    );
    assert_eq!(
        refused([Some(-4), None, Some(-5)]),
        path(travel, "finishedAt")
    );
    assert_eq!(
        refused([Some(-4), Some(-5), Some(-5)]),
        path(travel, "startedAt")
    );
    let future = Code::TimeInFuture;
    assert_eq!(
        refused([None, None, Some(DAY + 1)]),
        path(future, "finishedAt")
    );
    let ancient = [None, Some(-1_790_000_001), Some(0)];
    assert_eq!(refused(ancient), path(Code::BadTimestamp, "startedAt"));
    let instant = record(Status::Succeeded, [Some(0), Some(0), Some(0)]);
    assert!(
        Deployment::default()
            .decide(&DeploymentCommand::Record(instant))
            .is_ok()
    );
}

#[test]
fn what_was_told_of_under_its_name_is_told_of_once() {
    let told = |id: Option<ExternalRef>, change: fn(&mut Plan)| {
        let mut record = record(Status::Succeeded, [None, None, Some(0)]);
        record.plan.external = id;
        change(&mut record.plan);
        DeploymentCommand::Record(record)
    };
    let same = |_: &mut Plan| {};
    let first = Deployment::default()
        .decide(&told(external("7"), same))
        .expect("new");
    check::<Deployment>(&first, told(external("7"), same), Ok(&[]));
    check::<Deployment>(
        &first,
        told(external("7"), |p| p.version = "v9".to_owned()),
        Ok(&[]),
    );
    for other in [
        told(external("8"), same),
        told(None, same),
        told(external("7"), |p| p.service = "search".to_owned()),
        told(external("7"), |p| p.environment = "staging".to_owned()),
    ] {
        check::<Deployment>(&first, other, Err(Code::AlreadyExists));
    }
    let nameless = Deployment::default()
        .decide(&told(None, same))
        .expect("new");
    check::<Deployment>(&nameless, told(None, same), Err(Code::AlreadyExists));
}

/// One commit may deploy several services to several environments.
#[test]
fn an_external_id_is_taken_with_service_and_environment() {
    let known = ExternalRef {
        source: "github".to_owned(),
        id: "7".to_owned(),
    };
    let claim = |environment, service| deployment_claim(&known, environment, service);
    let values: BTreeSet<_> = [
        claim("production", "frontend"),
        claim("staging", "frontend"),
        claim("production", "search"),
    ]
    .map(|claim| claim.value)
    .into();
    assert_eq!(values.len(), 3);

    let mut request = request();
    request.plan.external = Some(known.clone());
    let command = DeploymentCommand::Request(request);
    let events = Deployment::default().decide(&command).expect("new");
    let taken = Deployment::default().claims(&events[0]);
    assert_eq!(taken, [claim("production", "frontend")]);
    assert_eq!(
        (taken[0].scope, taken[0].release),
        ("deployment.external_id", false)
    );
    assert_eq!(Deployment::default().claims(&requested()), []);
    let state = given::<Deployment>(&events);
    assert_eq!(state.claims(&started(1)), []);
}

#[test]
fn a_persons_name_is_sealed_with_the_deployments_key_and_kept_in_no_state() {
    let mut record = record(Status::Succeeded, [None, None, Some(0)]);
    record.requested_by = Some(Requester::Person(" Ada Lovelace".to_owned()));
    assert!(!format!("{record:?}").contains("Lovelace"));
    let command = DeploymentCommand::Record(record);
    let mut events = Deployment::default().decide(&command).expect("new");
    let state = given::<Deployment>(&events);
    assert!(state.asked_by.is_empty());
    let fields = Deployment::personal("d-1", &mut events[0]);
    let [field] = &fields[..] else {
        panic!("one name: {fields:?}");
    };
    assert_eq!(
        (&field.subject[..], field.field),
        ("deployment:d-1", "requested_by")
    );
    assert_eq!(*field.value, Personal::Plain("Ada Lovelace".to_owned()));
    assert!(
        crate::Event::from(events.remove(0)).payload().is_err(),
        "not in the clear"
    );
    for by in [
        Requester::User("ada".to_owned()),
        Requester::ApiKey("key".to_owned()),
        Requester::Machine("govuk-ci".to_owned()),
    ] {
        let mut request = request();
        request.requested_by = by;
        let command = DeploymentCommand::Request(request);
        let mut events = Deployment::default().decide(&command).expect("new");
        assert!(Deployment::personal("d-1", &mut events[0]).is_empty());
    }
    assert!(Deployment::personal("d-1", &mut started(1)).is_empty());
}

#[test]
fn every_text_is_checked_under_its_name() {
    type Spoil = fn(&mut Plan);
    let cases: [(Spoil, Code, &str); 12] = [
        (|p| p.project = String::new(), Code::Validation, "project"),
        (|p| p.service = " a".to_owned(), Code::Validation, "service"),
        (
            |p| p.environment = "x".repeat(129),
            Code::TooLarge,
            "environment",
        ),
        (|p| p.version = "x".repeat(201), Code::TooLarge, "version"),
        (
            |p| p.previous_version = Some("\0".to_owned()),
            Code::BadText,
            "previousVersion",
        ),
        (
            |p| p.change_type = Some("x".repeat(65)),
            Code::TooLarge,
            "changeType",
        ),
        (
            |p| p.description = Some("x".repeat(501)),
            Code::TooLarge,
            "description",
        ),
        (|p| p.team = Some("a ".to_owned()), Code::Validation, "team"),
        (
            |p| p.remedies = Some(String::new()),
            Code::Validation,
            "remedies",
        ),
        (
            |p| p.external = external("\u{202e}"),
            Code::BadText,
            "external.id",
        ),
        (
            |p| p.changes = vec![change("")],
            Code::Validation,
            "changes.0.id",
        ),
        (
            |p| p.changes = vec![change("c"), change(&"x".repeat(65))],
            Code::TooLarge,
            "changes.1.id",
        ),
    ];
    for (spoil, code, path) in cases {
        let mut request = request();
        spoil(&mut request.plan);
        let refusal = refusal::<Deployment>(&[], &DeploymentCommand::Request(request));
        assert_eq!(
            (refusal.code, refusal.path.join(".")),
            (code, path.to_owned())
        );
    }
    let mut request = request();
    request.requested_by = Requester::Machine("a\n".to_owned());
    let refusal = refusal::<Deployment>(&[], &DeploymentCommand::Request(request));
    assert_eq!(
        (refusal.code, &refusal.path[0][..]),
        (Code::BadText, "requestedBy")
    );
}
