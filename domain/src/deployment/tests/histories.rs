//! Whatever is asked of a deployment in whatever order, its story holds together.

use proptest::prelude::*;

use super::*;
use crate::event::Event;
use crate::given::check_shape;

fn any_command() -> impl Strategy<Value = DeploymentCommand> {
    let who = prop::sample::select(vec!["ada", "grace", "joan", "linus", "mallory"]);
    let vote = (who.clone(), 1u32..4).prop_map(|(by, revision)| vote(by, revision));
    let version = prop::sample::select(vec!["v1", "v2", "v3"]);
    let ids = prop::collection::vec("[a-d]", 0..3);
    let now = 0i64..3_000;
    let late = prop_oneof![now.clone(), (2 * DAY - 3_000)..(2 * DAY + 3_000)];
    let policy = prop_oneof![Just(ApprovalPolicy::default()), Just(policy())];
    prop_oneof![
        1 => Just(DeploymentCommand::Request(Request {
            plan: plan(),
            tier: Some(Tier::Staging),
            requested_by: Requester::User("linus".to_owned()),
            now: at(0),
        })),
        2 => policy.prop_map(|policy| DeploymentCommand::RequestApproval { policy, now: at(0) }),
        8 => vote.clone().prop_map(DeploymentCommand::Approve),
        1 => vote.prop_map(DeploymentCommand::Reject),
        4 => who.clone().prop_map(revoke),
        1 => Just(break_glass()),
        1 => late.prop_map(expire),
        2 => now.clone().prop_map(|now| start_at(None, now)),
        1 => now.clone().prop_map(|now| succeed(None, now)),
        1 => now.clone().prop_map(fail),
        1 => any::<bool>().prop_map(|known| DeploymentCommand::RollBack(roll_back(known))),
        1 => now.prop_map(cancel),
        3 => version.prop_map(amend),
        1 => ids.prop_map(|ids| DeploymentCommand::AddChanges {
            changes: ids.iter().map(|id| change(id)).collect(),
        }),
        1 => prop_oneof![Just(mark()), Just(unmark())],
    ]
}

/// What a reader who knows nothing but events makes of them.
#[derive(Default)]
struct Reader {
    status: Option<Status>,
    satisfied: bool,
    votes: BTreeSet<String>,
}

impl Reader {
    fn read(&mut self, event: &DeploymentEvent) {
        use DeploymentEvent as E;
        let status = match event {
            E::DeploymentRequested(_) => Status::Requested,
            E::DeploymentRecorded(e) => e.status,
            E::ApprovalRequested(_) => Status::AwaitingApproval,
            E::ApprovalGranted(e) => {
                assert!(self.votes.insert(e.by.clone()), "{} votes twice", e.by);
                return;
            }
            E::ApprovalSatisfied(e) => {
                assert!(!self.satisfied, "enough, and enough again");
                self.satisfied = true;
                let counted: BTreeSet<_> = e.votes.iter().map(|vote| vote.by.clone()).collect();
                assert_eq!(counted.len(), e.votes.len(), "a vote counts twice");
                assert!(counted.is_subset(&self.votes), "a vote nobody gave");
                Status::Approved
            }
            E::ApprovalRevoked(e) => {
                assert!(self.votes.remove(&e.by), "a vote nobody gave is taken back");
                if !e.reopened {
                    return;
                }
                self.satisfied = false;
                Status::AwaitingApproval
            }
            E::DeploymentAmended(e) => {
                self.votes.clear();
                if e.reopened.is_none() {
                    return;
                }
                self.satisfied = false;
                Status::AwaitingApproval
            }
            E::ApprovalRejected(_) => Status::Rejected,
            E::ApprovalExpired(_) => Status::Expired,
            E::ApprovalOverridden(_) => Status::Approved,
            E::DeploymentStarted(_) => Status::InProgress,
            E::DeploymentSucceeded(_) => Status::Succeeded,
            E::DeploymentFailed(_) => Status::Failed,
            E::DeploymentRolledBack(_) => Status::RolledBack,
            E::DeploymentCancelled(_) => Status::Cancelled,
            E::ChangesAdded(_) | E::HotfixMarked(_) | E::HotfixUnmarked(_) => return,
        };
        let steps = self.status.map_or(&[][..], |from| from.successors());
        let begins = self.status.is_none();
        let stays = self.status == Some(status);
        assert!(
            begins || stays || steps.contains(&status),
            "{:?} {status:?}",
            self.status
        );
        self.status = Some(status);
    }
}

proptest! {
    #[test]
    fn any_history_holds_together(commands in prop::collection::vec(any_command(), 0..60)) {
        let (mut state, mut reader) = (Deployment::default(), Reader::default());
        for command in commands {
            let Ok(events) = state.decide(&command) else { continue };
            for event in events {
                state.apply(&event);
                reader.read(&event);
                prop_assert_eq!(state.status.is_some(), reader.status.is_some());
                let stored = Event::from(event);
                let payload = stored.payload().expect("JSON");
                let read = Event::decode(stored.event_type(), stored.event_version(), &payload);
                prop_assert_eq!(read.ok(), Some(stored));
            }
            prop_assert_eq!(state.status, reader.status);
            let votes = state.approval.as_ref().map(|a| a.votes.clone()).unwrap_or_default();
            prop_assert_eq!(&votes, &reader.votes);
            let shape = Deployment::SHAPE.expect("deployments grow old");
            prop_assert_eq!((shape.read)(&(shape.write)(&state)), Some(state.clone()));
        }
    }
}

#[test]
fn a_state_is_written_as_it_always_was() {
    let state = given::<Deployment>(&and(awaiting(), &[overridden(), started(700)]));
    let text = concat!(
        r#"{"status":"in_progress","project":"publishing","service":"frontend","#,
        r#""environment":"production","version":"v538","description":null,"external":null,"#,
        r#""askedBy":["linus"],"requestedAt":"2026-09-21T14:13:20Z","#,
        r#""startedAt":"2026-09-21T14:25:00Z","finishedAt":null,"revision":1,"#,
        r#""approval":{"policy":{"rules":[{"group":"web","members":["ada","grace","joan","linus"],"#,
        r#""required":2}],"preventSelfReview":true,"waitMinutes":10,"expiryDays":2},"#,
        r#""askedAt":"2026-09-21T14:13:20Z","times":{"waitUntil":"2026-09-21T14:23:20Z","expiresAt":"2026-09-23T14:13:20Z"},"#,
        r#""votes":["grace"]},"overridden":true,"hotfix":false,"changes":[]}"#,
    );
    check_shape(&state, text);
    let grown = given::<Deployment>(&and(vec![recorded(Status::Succeeded)], &many_changes()));
    assert!(
        grown.weight_bytes() > state.weight_bytes() + 64_000,
        "what it holds weighs"
    );
}

fn many_changes() -> Vec<DeploymentEvent> {
    let changes = (0..1_000).map(|n| change(&format!("{n:064}"))).collect();
    vec![DeploymentEvent::ChangesAdded(ChangesAdded { changes })]
}
