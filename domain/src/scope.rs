//! Scopes: what an API key, or a token narrowed to less than its user's roles, may be used for.

use crate::words::words;

words! {
    /// One thing that may be done with a key or token.
    Scope {
        VehiclesWrite "vehicles:write" "Register and change vehicles and fleets.";
        VehiclesRead "vehicles:read" "Ask for vehicles, fleets, positions and what is made of them.";
        LogsWrite "logs:write" "Hand in log records.";
        LogsRead "logs:read" "Ask for log records and what is made of them.";
        DeploymentsWrite "deployments:write" "Record and move on deployments.";
        DeploymentsRead "deployments:read" "Ask for deployments and what is made of them.";
        Backfill "backfill" "Hand in facts older than the limits for what is new.";
        AuditRead "audit:read" "Ask the log itself who did what.";
        PositionsWrite "positions:write" "Report positions, and nothing else about vehicles.";
        DeploymentsApprove "deployments:approve" "Vote on deployments in the name of the key's owner.";
        CompetitionsWrite "competitions:write" "Set up competitions, have users join, decide on entries.";
        ScoresWrite "scores:write" "Hand in scores and activities of any user, and ask for activities.";
        CompetitionsRead "competitions:read" "Ask for competitions, boards and prizes.";
    }
}
