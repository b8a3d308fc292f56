//! What can be done: one mutation a command, in the command's own words.

pub mod activity;
pub mod api_key;
pub mod competition;
pub mod deployment;
pub mod environment;
pub mod fleet;
pub mod incident;
pub mod ingest;
pub mod installation;
pub mod log_person;
pub mod log_source;
pub mod payload;
pub mod position;
pub mod projection;
pub mod session;
pub mod slo;
pub mod user;
pub mod vehicle;

use async_graphql::MergedObject;

/// What can be done. Each mutation is one command: it is carried out whole or not at all, and a
/// refusal is an answer, told in `userErrors`. With `commandId` a command is safe to send again: the
/// same id and content get the first receipt again.
#[derive(Default, MergedObject)]
pub struct Mutation(
    vehicle::VehicleCommands,
    fleet::FleetCommands,
    position::PositionCommands,
    ingest::IngestCommands,
    log_source::LogSourceCommands,
    log_person::LogPersonCommands,
    deployment::DeploymentCommands,
    deployment::approval::ApprovalCommands,
    environment::EnvironmentCommands,
    incident::IncidentCommands,
    slo::SloCommands,
    competition::CompetitionCommands,
    competition::entry::EntryCommands,
    competition::moderation::ModerationCommands,
    activity::ActivityCommands,
    projection::ProjectionCommands,
    session::SessionCommands,
    user::UserCommands,
    api_key::ApiKeyCommands,
    installation::InstallationCommands,
);
