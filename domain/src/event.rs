//! The whole event vocabulary on one page, and how stored bytes become events.

use serde::{Serialize, de::DeserializeOwned};

use crate::activity_log::ActivityLogEvent;
use crate::admins::AdminsEvent;
use crate::api_key::ApiKeyEvent;
use crate::competition::CompetitionEvent;
use crate::deployment::DeploymentEvent;
use crate::entry::EntryEvent;
use crate::environment::EnvironmentEvent;
use crate::fleet::FleetEvent;
use crate::incident::IncidentEvent;
use crate::log_batch::LogBatchEvent;
use crate::log_person::LogPersonEvent;
use crate::log_source::LogSourceEvent;
use crate::rejected_record::RejectedRecordEvent;
use crate::session::SessionEvent;
use crate::signing_keys::SigningKeysEvent;
use crate::slo::SloEvent;
use crate::tenant::TenantEvent;
use crate::token::TokenEvent;
use crate::track::TrackEvent;
use crate::upcast;
use crate::user::UserEvent;
use crate::vehicle::VehicleEvent;

/// Any event of any aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Of one vehicle's stream.
    Vehicle(VehicleEvent),
    /// Of one fleet's stream.
    Fleet(FleetEvent),
    /// Of one vehicle's track of one UTC day.
    Track(TrackEvent),
    /// Of one tenant's stream, in the log of the default tenant.
    Tenant(TenantEvent),
    /// Of one user's stream.
    User(UserEvent),
    /// Of the tenant's roster of administrators.
    Admins(AdminsEvent),
    /// Of one session's stream.
    Session(SessionEvent),
    /// Of one access token.
    Token(TokenEvent),
    /// Of one issuer's signing keys.
    SigningKeys(SigningKeysEvent),
    /// Of one API key's stream.
    ApiKey(ApiKeyEvent),
    /// Of one deployment's stream.
    Deployment(DeploymentEvent),
    /// Of one environment of a project.
    Environment(EnvironmentEvent),
    /// Of one incident's stream.
    Incident(IncidentEvent),
    /// Of one service level objective.
    Slo(SloEvent),
    /// Of one source of log records.
    LogSource(LogSourceEvent),
    /// Of one batch of log records.
    LogBatch(LogBatchEvent),
    /// Of somebody whom log records alone are about.
    LogPerson(LogPersonEvent),
    /// Of one rejected record.
    RejectedRecord(RejectedRecordEvent),
    /// Of one competition's stream.
    Competition(CompetitionEvent),
    /// Of one user's entry in a competition.
    Entry(EntryEvent),
    /// Of one user's activities of one month.
    ActivityLog(ActivityLogEvent),
}

/// Why stored bytes are not an event this program knows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The type is not in the vocabulary.
    #[error("unknown event type {0:?}")]
    UnknownType(String),
    /// The version is newer than this program, or was never released.
    #[error("event type {event_type:?} has no version {event_version:?}")]
    UnknownVersion {
        /// The stored type.
        event_type: String,
        /// The stored version.
        event_version: String,
    },
    /// The payload does not have the shape of its type and version.
    #[error("payload of {event_type:?} cannot be read: {reason}")]
    Payload {
        /// The stored type.
        event_type: String,
        /// What the decoder said.
        reason: String,
    },
}

/// One line per event: stored type, today's version, variant and payload struct.
macro_rules! vocabulary {
    ($($ty:literal $version:literal => $aggregate:ident($family:ident::$variant:ident);)*) => {
        /// Every stored event type with today's version, in vocabulary order.
        ///
        /// A type is never renamed and never taken out: logs hold it for good. A payload that
        /// changes its shape raises the version, and a step in `upcast` turns the old shape into
        /// the new one. Each released version has a golden file in `tests-data/golden`.
        pub const VOCABULARY: &[(&str, &str)] = &[$(($ty, $version),)*];

        impl Event {
            /// The stored event type, never renamed.
            pub fn event_type(&self) -> &'static str {
                match self { $(Event::$aggregate($family::$variant(_)) => $ty,)* }
            }

            /// Today's version of the payload's shape.
            pub fn event_version(&self) -> &'static str {
                match self { $(Event::$aggregate($family::$variant(_)) => $version,)* }
            }

            /// The payload as it is stored.
            pub fn payload(&self) -> serde_json::Result<String> {
                match self { $(Event::$aggregate($family::$variant(p)) => encode(p),)* }
            }

            /// Reads a stored payload of any released version.
            pub fn decode(
                event_type: &str,
                event_version: &str,
                payload: &str,
            ) -> Result<Event, DecodeError> {
                match event_type {
                    $($ty => {
                        let p = if event_version == $version {
                            decode(event_type, payload)?
                        } else {
                            upcast::decode_old(event_type, event_version, $version, payload)?
                        };
                        Ok(Event::$aggregate($family::$variant(p)))
                    })*
                    other => Err(DecodeError::UnknownType(other.to_owned())),
                }
            }
        }
    };
}

vocabulary! {
    "vehicle.registered"      "1" => Vehicle(VehicleEvent::VehicleRegistered);
    "vehicle.profile_changed" "1" => Vehicle(VehicleEvent::VehicleProfileChanged);
    "vehicle.joined_fleet"    "1" => Vehicle(VehicleEvent::VehicleJoinedFleet);
    "vehicle.left_fleet"      "1" => Vehicle(VehicleEvent::VehicleLeftFleet);
    "vehicle.retired"         "1" => Vehicle(VehicleEvent::VehicleRetired);
    "vehicle.reinstated"      "1" => Vehicle(VehicleEvent::VehicleReinstated);
    "fleet.created"           "1" => Fleet(FleetEvent::FleetCreated);
    "fleet.renamed"           "1" => Fleet(FleetEvent::FleetRenamed);
    "fleet.archived"          "1" => Fleet(FleetEvent::FleetArchived);
    "track.positions_reported" "1" => Track(TrackEvent::PositionsReported);
    "tenant.created" "1" => Tenant(TenantEvent::TenantCreated);
    "tenant.renamed" "1" => Tenant(TenantEvent::TenantRenamed);
    "tenant.suspended" "1" => Tenant(TenantEvent::TenantSuspended);
    "tenant.resumed" "1" => Tenant(TenantEvent::TenantResumed);
    "user.registered" "1" => User(UserEvent::UserRegistered);
    "user.email_verified" "1" => User(UserEvent::EmailVerified);
    "user.password_changed" "1" => User(UserEvent::PasswordChanged);
    "user.role_assigned" "1" => User(UserEvent::RoleAssigned);
    "user.role_revoked" "1" => User(UserEvent::RoleRevoked);
    "user.deactivated" "1" => User(UserEvent::UserDeactivated);
    "user.reactivated" "1" => User(UserEvent::UserReactivated);
    "user.signed_out_everywhere" "1" => User(UserEvent::SignedOutEverywhere);
    "user.personal_data_erased" "1" => User(UserEvent::PersonalDataErased);
    "admins.appointed" "1" => Admins(AdminsEvent::AdminAppointed);
    "admins.dismissed" "1" => Admins(AdminsEvent::AdminDismissed);
    "session.started" "1" => Session(SessionEvent::SessionStarted);
    "session.refreshed" "1" => Session(SessionEvent::SessionRefreshed);
    "session.reuse_detected" "1" => Session(SessionEvent::ReuseDetected);
    "session.revoked" "1" => Session(SessionEvent::SessionRevoked);
    "token.revoked" "1" => Token(TokenEvent::TokenRevoked);
    "signing_key.published" "1" => SigningKeys(SigningKeysEvent::KeyPublished);
    "signing_key.activated" "1" => SigningKeys(SigningKeysEvent::KeyActivated);
    "signing_key.retired" "1" => SigningKeys(SigningKeysEvent::KeyRetired);
    "signing_key.compromised" "1" => SigningKeys(SigningKeysEvent::KeyCompromised);
    "api_key.issued" "1" => ApiKey(ApiKeyEvent::ApiKeyIssued);
    "api_key.rotated" "1" => ApiKey(ApiKeyEvent::ApiKeyRotated);
    "api_key.revoked" "1" => ApiKey(ApiKeyEvent::ApiKeyRevoked);
    "deployment.requested" "1" => Deployment(DeploymentEvent::DeploymentRequested);
    "deployment.recorded" "1" => Deployment(DeploymentEvent::DeploymentRecorded);
    "deployment.approval_requested" "1" => Deployment(DeploymentEvent::ApprovalRequested);
    "deployment.approval_granted" "1" => Deployment(DeploymentEvent::ApprovalGranted);
    "deployment.approval_satisfied" "1" => Deployment(DeploymentEvent::ApprovalSatisfied);
    "deployment.approval_revoked" "1" => Deployment(DeploymentEvent::ApprovalRevoked);
    "deployment.approval_rejected" "1" => Deployment(DeploymentEvent::ApprovalRejected);
    "deployment.approval_expired" "1" => Deployment(DeploymentEvent::ApprovalExpired);
    "deployment.approval_overridden" "1" => Deployment(DeploymentEvent::ApprovalOverridden);
    "deployment.amended" "1" => Deployment(DeploymentEvent::DeploymentAmended);
    "deployment.changes_added" "1" => Deployment(DeploymentEvent::ChangesAdded);
    "deployment.started" "1" => Deployment(DeploymentEvent::DeploymentStarted);
    "deployment.succeeded" "1" => Deployment(DeploymentEvent::DeploymentSucceeded);
    "deployment.failed" "1" => Deployment(DeploymentEvent::DeploymentFailed);
    "deployment.rolled_back" "1" => Deployment(DeploymentEvent::DeploymentRolledBack);
    "deployment.cancelled" "1" => Deployment(DeploymentEvent::DeploymentCancelled);
    "deployment.hotfix_marked" "1" => Deployment(DeploymentEvent::HotfixMarked);
    "deployment.hotfix_unmarked" "1" => Deployment(DeploymentEvent::HotfixUnmarked);
    "environment.defined" "1" => Environment(EnvironmentEvent::EnvironmentDefined);
    "environment.approval_policy_set" "1" => Environment(EnvironmentEvent::ApprovalPolicySet);
    "environment.frozen" "1" => Environment(EnvironmentEvent::EnvironmentFrozen);
    "environment.unfrozen" "1" => Environment(EnvironmentEvent::EnvironmentUnfrozen);
    "incident.opened" "1" => Incident(IncidentEvent::IncidentOpened);
    "incident.linked" "1" => Incident(IncidentEvent::IncidentLinked);
    "incident.unlinked" "1" => Incident(IncidentEvent::IncidentUnlinked);
    "incident.resolved" "1" => Incident(IncidentEvent::IncidentResolved);
    "incident.reopened" "1" => Incident(IncidentEvent::IncidentReopened);
    "slo.defined" "1" => Slo(SloEvent::SloDefined);
    "slo.revised" "1" => Slo(SloEvent::SloRevised);
    "slo.retired" "1" => Slo(SloEvent::SloRetired);
    "slo.period_excluded" "1" => Slo(SloEvent::PeriodExcluded);
    "slo.burn_alert_raised" "1" => Slo(SloEvent::BurnAlertRaised);
    "slo.burn_alert_cleared" "1" => Slo(SloEvent::BurnAlertCleared);
    "log_source.registered" "1" => LogSource(LogSourceEvent::LogSourceRegistered);
    "log_source.limits_set" "1" => LogSource(LogSourceEvent::LogLimitsSet);
    "log_source.retention_set" "1" => LogSource(LogSourceEvent::LogRetentionSet);
    "log_source.personal_fields_set" "1" => LogSource(LogSourceEvent::PersonalFieldsSet);
    "log_source.paused" "1" => LogSource(LogSourceEvent::LogSourcePaused);
    "log_source.resumed" "1" => LogSource(LogSourceEvent::LogSourceResumed);
    "log_batch.accepted" "1" => LogBatch(LogBatchEvent::LogBatchAccepted);
    "log_person.personal_data_erased" "1" => LogPerson(LogPersonEvent::LogPersonErased);
    "rejected_record.recovered" "1" => RejectedRecord(RejectedRecordEvent::RejectedRecordRecovered);
    "competition.created" "1" => Competition(CompetitionEvent::CompetitionCreated);
    "competition.revised" "1" => Competition(CompetitionEvent::CompetitionRevised);
    "competition.prizes_defined" "1" => Competition(CompetitionEvent::PrizesDefined);
    "competition.invited" "1" => Competition(CompetitionEvent::CompetitionInvited);
    "competition.opened" "1" => Competition(CompetitionEvent::CompetitionOpened);
    "competition.cut_short" "1" => Competition(CompetitionEvent::CompetitionCutShort);
    "competition.cancelled" "1" => Competition(CompetitionEvent::CompetitionCancelled);
    "competition.period_sealed" "1" => Competition(CompetitionEvent::PeriodSealed);
    "competition.period_closed" "1" => Competition(CompetitionEvent::PeriodClosed);
    "competition.prizes_calculated" "1" => Competition(CompetitionEvent::PrizesCalculated);
    "competition.prizes_awarded" "1" => Competition(CompetitionEvent::PrizesAwarded);
    "competition.ended" "1" => Competition(CompetitionEvent::CompetitionEnded);
    "entry.joined" "1" => Entry(EntryEvent::EntryJoined);
    "entry.left" "1" => Entry(EntryEvent::EntryLeft);
    "entry.score_accepted" "1" => Entry(EntryEvent::ScoreAccepted);
    "entry.score_held" "1" => Entry(EntryEvent::ScoreHeld);
    "entry.score_released" "1" => Entry(EntryEvent::ScoreReleased);
    "entry.score_dismissed" "1" => Entry(EntryEvent::ScoreDismissed);
    "entry.excluded" "1" => Entry(EntryEvent::EntryExcluded);
    "entry.reinstated" "1" => Entry(EntryEvent::EntryReinstated);
    "entry.dispute_opened" "1" => Entry(EntryEvent::DisputeOpened);
    "entry.dispute_resolved" "1" => Entry(EntryEvent::DisputeResolved);
    "activity_log.synced" "1" => ActivityLog(ActivityLogEvent::ActivitiesSynced);
}

fn encode<T: Serialize>(payload: &T) -> serde_json::Result<String> {
    serde_json::to_string(payload)
}

pub(crate) fn decode<T: DeserializeOwned>(
    event_type: &str,
    payload: &str,
) -> Result<T, DecodeError> {
    serde_json::from_str(payload).map_err(|e| DecodeError::Payload {
        event_type: event_type.to_owned(),
        reason: e.to_string(),
    })
}

/// Wires one aggregate's event enum into [`Event`].
macro_rules! belongs {
    ($family:ident => $aggregate:ident) => {
        impl From<$family> for Event {
            fn from(e: $family) -> Event {
                Event::$aggregate(e)
            }
        }
        impl TryFrom<Event> for $family {
            type Error = Event;
            fn try_from(e: Event) -> Result<$family, Event> {
                match e {
                    Event::$aggregate(e) => Ok(e),
                    other => Err(other),
                }
            }
        }
    };
}
belongs!(VehicleEvent => Vehicle);
belongs!(FleetEvent => Fleet);
belongs!(TrackEvent => Track);
belongs!(TenantEvent => Tenant);
belongs!(UserEvent => User);
belongs!(AdminsEvent => Admins);
belongs!(SessionEvent => Session);
belongs!(TokenEvent => Token);
belongs!(SigningKeysEvent => SigningKeys);
belongs!(ApiKeyEvent => ApiKey);
belongs!(DeploymentEvent => Deployment);
belongs!(EnvironmentEvent => Environment);
belongs!(IncidentEvent => Incident);
belongs!(SloEvent => Slo);
belongs!(LogSourceEvent => LogSource);
belongs!(LogBatchEvent => LogBatch);
belongs!(LogPersonEvent => LogPerson);
belongs!(RejectedRecordEvent => RejectedRecord);
belongs!(CompetitionEvent => Competition);
belongs!(EntryEvent => Entry);
belongs!(ActivityLogEvent => ActivityLog);
