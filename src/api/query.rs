//! What can be asked.

pub mod activity;
pub mod analyst;
pub mod audit;
pub mod competition;
pub mod deployment;
pub mod dora;
pub mod figures;
pub mod identity;
pub mod ingest;
pub mod leaderboard;
pub mod log;
pub mod logs;
pub mod position;
pub mod projection;
pub mod sla;
pub mod slo;
pub mod vehicle;

use async_graphql::MergedObject;

/// What can be asked. Every list is a page; every figure can list the fixes behind it. A query that
/// must see what a command did sends the command's position as `atLeast`.
#[derive(Default, MergedObject)]
pub struct Query(
    vehicle::VehicleQueries,
    position::PositionQueries,
    figures::FigureQueries,
    deployment::DeploymentQueries,
    dora::DoraQueries,
    slo::SloQueries,
    sla::SlaQueries,
    competition::CompetitionQueries,
    leaderboard::LeaderboardQueries,
    activity::ActivityQueries,
    logs::LogRecordQueries,
    log::LogQueries,
    audit::AuditQueries,
    projection::ProjectionQueries,
    analyst::AnalystQueries,
    ingest::IngestQueries,
    identity::IdentityQueries,
);
