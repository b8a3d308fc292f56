//! Every command at every point of a deployment's life.

use super::*;

/// A command of each kind, and where it leads if it is carried out.
fn commands() -> [(&'static str, DeploymentCommand, Status); 16] {
    use Status::*;
    [
        ("ask", ask(), AwaitingApproval),
        ("approve", approve("ada"), Approved),
        ("one more", approve("joan"), Approved),
        ("reject", reject("joan"), Rejected),
        ("revoke", revoke("grace"), AwaitingApproval),
        ("override", break_glass(), Approved),
        ("expire", expire(2 * DAY), Expired),
        ("start", start(), InProgress),
        ("succeed", succeed(None, 800), Succeeded),
        ("fail", fail(800), Failed),
        (
            "roll back",
            DeploymentCommand::RollBack(roll_back(true)),
            RolledBack,
        ),
        ("cancel", cancel(800), Cancelled),
        ("amend", amend("v539"), AwaitingApproval),
        ("add", add(&["c1"]), AwaitingApproval),
        ("mark", mark(), Succeeded),
        ("unmark", unmark(), Succeeded),
    ]
}

/// A history that ends in each status, after an approval where there is one.
fn history(status: Status) -> Vec<DeploymentEvent> {
    use DeploymentEvent as E;
    let under_way = and(approved(), &[started(700)]);
    match status {
        Status::Requested => vec![requested()],
        Status::AwaitingApproval => awaiting(),
        Status::Approved => approved(),
        Status::Rejected => {
            let rejected = ApprovalRejected {
                by: "joan".to_owned(),
                revision: 1,
                comment: None,
                at: at(1),
            };
            and(awaiting(), &[E::ApprovalRejected(rejected)])
        }
        Status::Expired => {
            let expired = ApprovalExpired { at: at(2 * DAY) };
            and(awaiting(), &[E::ApprovalExpired(expired)])
        }
        Status::Cancelled => {
            let cancelled = DeploymentCancelled {
                at: at(1),
                reason: None,
            };
            and(awaiting(), &[E::DeploymentCancelled(cancelled)])
        }
        Status::InProgress => under_way,
        Status::Succeeded => and(under_way, &[succeeded(800)]),
        Status::Failed => {
            let failed = DeploymentFailed {
                at: at(800),
                reason: None,
            };
            and(under_way, &[E::DeploymentFailed(failed)])
        }
        Status::RolledBack => {
            let back = DeploymentRolledBack {
                to: "v537".to_owned(),
                at: at(900),
                reason: None,
            };
            and(under_way, &[succeeded(800), E::DeploymentRolledBack(back)])
        }
    }
}

/// What each command comes to: the letter of the status after it, `=` for already so, `x` for
/// `ILLEGAL_TRANSITION`, `c` for `APPROVAL_CLOSED`, `v` for `ALREADY_VOTED`. The letters are those of
/// [`LETTERS`].
const LIFE: [(Status, &str); 10] = [
    // ask, approve, one more, reject, revoke, override, expire, start,
    // succeed, fail, roll back, cancel, amend, add, mark, unmark
    (Status::Requested, "W x x x x x x x  x x x C R R x x"),
    (Status::AwaitingApproval, "x A A J W A E x  x x x C W x x x"),
    (Status::Approved, "x v A x W A E P  x x x C W x x x"),
    (Status::Rejected, "x x x x x x x x  x x x x x x x x"),
    (Status::Expired, "x x x x x x x x  x x x x x x x x"),
    (Status::Cancelled, "x x x x x x x x  x x x x x x x x"),
    (Status::InProgress, "x c c c c c x x  S F x C x P x x"),
    (Status::Succeeded, "x x x x x x x x  x x B x x S S ="),
    (Status::Failed, "x x x x x x x x  x x B x x F F ="),
    (Status::RolledBack, "x x x x x x x x  x x x x x B B ="),
];

/// One for each status, in the order of [`Status::ALL`].
const LETTERS: &str = "RWAJECPSFB";

/// These lead nowhere, so where they are refused it is told that it stays, but for changes that would
/// slip in behind votes.
fn stays(name: &str, from: Status) -> bool {
    match name {
        "add" => !from.is_before_start(),
        "mark" | "unmark" => true,
        _ => false,
    }
}

fn letter(status: Status) -> char {
    let nth = Status::ALL
        .iter()
        .position(|s| *s == status)
        .expect("one of all");
    LETTERS.chars().nth(nth).expect("a letter each")
}

#[test]
fn every_command_at_every_point_of_life() {
    for (from, row) in LIFE {
        let history = history(from);
        let before = given::<Deployment>(&history);
        assert_eq!(before.status, Some(from), "the history ends there");
        let expected = row.split_whitespace();
        assert_eq!(expected.clone().count(), commands().len());
        for ((name, command, to), expected) in commands().into_iter().zip(expected) {
            let seen = match before.decide(&command) {
                Ok(events) if events.is_empty() => '=',
                Ok(events) => {
                    let after = given::<Deployment>(&and(history.clone(), &events));
                    letter(after.status.expect("known"))
                }
                Err(refusal) => match refusal.code {
                    Code::IllegalTransition => {
                        assert_eq!(refusal.details["from"], from.as_str());
                        let to = if stays(name, from) { from } else { to };
                        assert_eq!(refusal.details["to"], to.as_str(), "{name} from {from:?}");
                        'x'
                    }
                    Code::ApprovalClosed => 'c',
                    Code::AlreadyVoted => 'v',
                    other => panic!("{name} from {from:?}: {other:?}"),
                },
            };
            assert_eq!(seen.to_string(), expected, "{name} from {from:?}");
        }
    }
}

#[test]
fn what_is_not_known_is_not_found() {
    for (name, command, _) in commands() {
        assert_eq!(
            refusal::<Deployment>(&[], &command).code,
            Code::NotFound,
            "{name}"
        );
    }
}

/// The way from status to status is exactly what the commands can do, and the other way round.
#[test]
fn what_can_follow_is_what_commands_lead_to() {
    let allowed = Status::ALL.iter().flat_map(|from| {
        let next = from.successors().iter();
        next.map(|to| (*from, *to))
    });
    let mut led = BTreeSet::from([(Status::Requested, Status::Approved)]);
    for (from, row) in LIFE {
        for (n, letters) in row.split_whitespace().enumerate() {
            let to = LETTERS.find(letters).map(|nth| Status::ALL[nth]);
            if let Some(to) = to.filter(|to| *to != from) {
                assert_eq!(to, commands()[n].2, "{from:?}");
                led.insert((from, to));
            }
        }
    }
    assert_eq!(allowed.collect::<BTreeSet<_>>(), led);
    let no_rule = DeploymentCommand::RequestApproval {
        policy: ApprovalPolicy::default(),
        now: at(0),
    };
    let events = [
        asked(ApprovalPolicy::default()),
        DeploymentEvent::ApprovalSatisfied(ApprovalSatisfied {
            revision: 1,
            votes: Vec::new(),
            at: at(0),
        }),
    ];
    check::<Deployment>(&[requested()], no_rule, Ok(&events));
}

/// One that was told of goes on as any other: it has no approval of ours, and needs none.
#[test]
fn what_was_recorded_goes_on_from_there() {
    for status in Status::ALL.iter().copied() {
        let before = given::<Deployment>(&[recorded(status)]);
        for (command, to) in [
            (start(), Status::InProgress),
            (succeed(None, 800), Status::Succeeded),
            (
                DeploymentCommand::RollBack(roll_back(true)),
                Status::RolledBack,
            ),
            (cancel(800), Status::Cancelled),
        ] {
            let decided = before.decide(&command);
            let legal = status.successors().contains(&to);
            assert_eq!(
                decided.is_ok(),
                legal,
                "{command:?} from {status:?}: {decided:?}"
            );
        }
    }
    let waits = [recorded(Status::AwaitingApproval)];
    for command in [approve("ada"), reject("ada")] {
        check::<Deployment>(&waits, command, Err(Code::NotAnApprover));
    }
    check::<Deployment>(&waits, revoke("ada"), Err(Code::NotVoted));
    check::<Deployment>(&waits, break_glass(), Ok(&[overridden()]));
}
