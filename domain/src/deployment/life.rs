//! The life of a deployment: where it can stand, and what can follow.

use crate::words::words;

words! {
    /// Where a deployment stands in its life.
    Status {
        Requested "requested" "Somebody wants it; nobody has been asked yet.";
        AwaitingApproval "awaiting_approval" "Votes are missing.";
        Approved "approved" "It may start.";
        Rejected "rejected" "Somebody who was asked said no. Final.";
        Expired "expired" "It was not started while its approval was good. Final.";
        Cancelled "cancelled" "Called off, before the start or after it. Final.";
        InProgress "in_progress" "It has started and not ended yet.";
        Succeeded "succeeded" "It runs.";
        Failed "failed" "It did not come to run.";
        RolledBack "rolled_back" "It was replaced by a version from before it. Final.";
    }
}

impl Status {
    /// What can follow. Being recorded is not a step: it enters anywhere.
    pub fn successors(self) -> &'static [Status] {
        use Status::*;
        match self {
            Requested => &[AwaitingApproval, Approved, Cancelled],
            AwaitingApproval => &[Approved, Rejected, Expired, Cancelled],
            Approved => &[InProgress, AwaitingApproval, Expired, Cancelled],
            InProgress => &[Succeeded, Failed, Cancelled],
            Succeeded | Failed => &[RolledBack],
            Rejected | Expired | Cancelled | RolledBack => &[],
        }
    }

    /// May it still start?
    pub fn is_before_start(self) -> bool {
        matches!(
            self,
            Status::Requested | Status::AwaitingApproval | Status::Approved
        )
    }

    /// Has it never started, as far as where it stands tells? One that was cancelled may have.
    pub fn is_idle(self) -> bool {
        self.is_before_start() || matches!(self, Status::Rejected | Status::Expired)
    }

    /// Has it reached its environment, or tried to, and ended?
    pub fn has_ended(self) -> bool {
        matches!(
            self,
            Status::Succeeded | Status::Failed | Status::RolledBack
        )
    }
}
