//! Refusals: why a command was not carried out, as data with stable codes.

use serde_json::{Map, Value};

/// The stable codes. Never renamed; the catalogue in `docs/errors.md` is generated from here.
macro_rules! codes {
    ($($variant:ident $code:literal $retryable:literal $($doc:literal)+;)*) => {
        /// Why a command, a record or a request part was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = concat!($($doc),+)] $variant,)* }

        impl Code {
            /// Every code, in catalogue order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            /// The code that clients see so.
            pub fn of_word(word: &str) -> Option<Code> {
                match word { $($code => Some(Code::$variant),)* _ => None }
            }

            /// May the very same request succeed later?
            pub fn retryable(self) -> bool {
                match self { $(Code::$variant => $retryable,)* }
            }

            /// One sentence for the catalogue.
            pub fn doc(self) -> &'static str {
                match self { $(Code::$variant => concat!($($doc),+),)* }
            }
        }
    };
}

codes! {
    NotFound "NOT_FOUND" false "No such object in this tenant.";
    AlreadyExists "ALREADY_EXISTS" false "An object with this id exists already.";
    VersionConflict "VERSION_CONFLICT" true
        "The stream is not at the expected version; `actualVersion` tells where it is.";
    Validation "VALIDATION" false
        "A value is outside what the field accepts; `path` names the field.";
    BadText "BAD_TEXT" false
        "A text holds a character that is not accepted (NUL, control, unpaired surrogate, "
        "invisible or bidirectional override), or is not in canonical form.";
    TooLarge "TOO_LARGE" false "A value is larger than its limit; `limit` and `actual` tell both.";
    DuplicateKey "DUPLICATE_KEY" false "A JSON object names a key twice.";
    BadTimestamp "BAD_TIMESTAMP" false
        "A time is not RFC 3339 with a zone, or outside the years 1970 to 9999.";
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" false
        "This commandId was used for another command within its retention.";
    ExternalIdTaken "EXTERNAL_ID_TAKEN" false
        "Another object of this tenant carries this external id: a vehicle, which is unique by VIN and "
        "plate too; a deployment of the same source, service and environment; an incident of the same "
        "source.";
    VehicleRetired "VEHICLE_RETIRED" false
        "The vehicle is retired and accepts nothing but reinstating.";
    VehicleNotRetired "VEHICLE_NOT_RETIRED" false "Only a retired vehicle can be reinstated.";
    VehicleUnknown "VEHICLE_UNKNOWN" false
        "The vehicle is not registered and the caller may not register it.";
    FleetNotFound "FLEET_NOT_FOUND" false "No such fleet in this tenant.";
    FleetArchived "FLEET_ARCHIVED" false "The fleet is archived and accepts nothing.";
    NotInFleet "NOT_IN_FLEET" false "The vehicle is not a member of this fleet.";
    InvalidCoordinates "INVALID_COORDINATES" false
        "Latitude is outside -90..90 or longitude outside -180..180, or not a finite number.";
    DuplicateDiffers "DUPLICATE_DIFFERS" false
        "A fix or a score with this id or time was accepted before and says something else; the first "
        "stays.";
    NullIsland "NULL_ISLAND" false
        "Latitude and longitude are both exactly 0, a receiver without a fix.";
    FixInFuture "FIX_IN_FUTURE" false
        "The fix time is further ahead of the server's clock than allowed.";
    FixTooOld "FIX_TOO_OLD" false "The fix time is before 1970 or older than the configured limit.";
    InvalidSpeed "INVALID_SPEED" false "The speed is negative, not finite or above the limit.";
    InvalidCourse "INVALID_COURSE" false "The course is not within 0..=360 degrees.";
    OutOfRange "OUT_OF_RANGE" false "A number is outside the range its field accepts.";
    WeakPassword "WEAK_PASSWORD" false
        "The password is guessed within some thousand tries; `advice` says why, where that is known.";
    EmailTaken "EMAIL_TAKEN" false "Another user of this tenant has this e-mail address.";
    UserNotFound "USER_NOT_FOUND" false "No such user in this tenant.";
    UserDeactivated "USER_DEACTIVATED" false
        "The user is deactivated and accepts nothing but reactivating and erasing.";
    UserErased "USER_ERASED" false
        "The user's personal data is erased: the account accepts nothing, for good.";
    AdminIsAppointed "ADMIN_IS_APPOINTED" false
        "`admin` is no role of a user's own: appoint or dismiss an administrator of the tenant.";
    IsAdmin "IS_ADMIN" false
        "The user administers the tenant and must be dismissed as administrator first.";
    LastAdmin "LAST_ADMIN" false
        "The tenant has no other administrator: appoint another one first.";
    SignInFailed "SIGN_IN_FAILED" false
        "There is no such account, its password is another one, or it may not sign in: which of these "
        "is not told.";
    InvalidToken "INVALID_TOKEN" false "The token was never given.";
    TokenExpired "TOKEN_EXPIRED" false "The token, or the session it belongs to, has run out.";
    SessionRevoked "SESSION_REVOKED" false
        "The session was ended, or its user may not sign in any more.";
    RefreshReused "REFRESH_REUSED" false
        "A refresh token was used again after it was given up; the session is ended.";
    KeyTooFresh "KEY_TOO_FRESH" true
        "The signing key has not been published for long enough; `secondsLeft` tells how long.";
    KeyActive "KEY_ACTIVE" false "The signing key signs: another one must be activated first.";
    KeySpent "KEY_SPENT" false
        "The signing key was retired or compromised and never signs again.";
    ScopeEscalation "SCOPE_ESCALATION" false
        "An API key may not be used for more than its issuer may do; `beyond` names the scopes.";
    ApiKeyExpired "API_KEY_EXPIRED" false "The API key has run out and cannot be rotated.";
    ApiKeyRevoked "API_KEY_REVOKED" false "The API key is revoked and accepts nothing.";
    SqlRefused "SQL_REFUSED" false
        "The SQL is not one SELECT over relations and functions that may be used; the message says what is "
        "in the way.";
    SqlFailed "SQL_FAILED" false
        "PostgreSQL would not carry the SQL out; the message is what it said.";
    SqlTooLong "SQL_TOO_LONG" false "The SQL took longer than it may; `limitMs` tells how long.";
    NoAnalysts "NO_ANALYSTS" false
        "There is no login that analysts' SQL could run as; the setting `analyst.url` names one.";
    TenantSuspended "TENANT_SUSPENDED" false
        "The tenant is suspended: it can be read, not written.";
    TimeTravel "TIME_TRAVEL" false
        "Something would end, or go on, before it began; the details tell both times.";
    TimeInFuture "TIME_IN_FUTURE" false
        "Something is said to have happened further ahead of the server's clock than allowed; "
        "`maxSeconds` and `actualSeconds` tell both.";
    IllegalTransition "ILLEGAL_TRANSITION" false
        "What is asked does not follow from where the object stands in its life; `from` and `to` tell "
        "both.";
    EnvironmentNotFound "ENVIRONMENT_NOT_FOUND" false
        "No such project in this tenant, or no such environment of this project.";
    RevisionConflict "REVISION_CONFLICT" false
        "The object was changed after it was looked at; `revision` tells which one it is at.";
    SelfApprovalForbidden "SELF_APPROVAL_FORBIDDEN" false
        "Who asked for a deployment does not approve it under this policy.";
    NotAnApprover "NOT_AN_APPROVER" false
        "The user is in no group of the deployment's approval, or may approve nothing any more.";
    AlreadyVoted "ALREADY_VOTED" false
        "The user has voted on this revision already: the vote can be taken back first.";
    NotVoted "NOT_VOTED" false "The user has no vote on this revision to take back.";
    ApprovalClosed "APPROVAL_CLOSED" false "The deployment has started: votes are over.";
    ApprovalExpired "APPROVAL_EXPIRED" false
        "The deployment was not started before its approval ran out; `expiredAt` tells when.";
    WaitTimerRunning "WAIT_TIMER_RUNNING" true
        "The deployment's approval has a wait timer that is running; `until` tells how long.";
    EnvironmentFrozen "ENVIRONMENT_FROZEN" true
        "Nothing is deployed to the environment now; `reason` tells why, and `until` until when, where "
        "that is known.";
    QuorumImpossible "QUORUM_IMPOSSIBLE" false
        "Even if every member voted, the rules would not be met; `missing` tells how many votes short.";
    VersionNeverDeployed "VERSION_NEVER_DEPLOYED" false
        "This version was never deployed to this service and environment: there is nothing to go back "
        "to.";
    AlreadyLinked "ALREADY_LINKED" false "The incident is linked to this deployment already.";
    NotLinked "NOT_LINKED" false "The incident is not linked to this deployment.";
    LinkWithdrawn "LINK_WITHDRAWN" false
        "The link was taken back on purpose: it can be made again on purpose, not inferred.";
    ObjectiveOutOfRange "OBJECTIVE_OUT_OF_RANGE" false
        "An objective is a share above 0 and below 1, in parts per million.";
    SloRetired "SLO_RETIRED" false "The objective is retired and accepts nothing.";
    LogSourceUnknown "LOG_SOURCE_UNKNOWN" false
        "The source of the records is not registered and the caller may not register it.";
    StreamPaused "STREAM_PAUSED" true
        "The source of the records is paused; `reason` tells why, and sending them again later is safe.";
    UnknownEventType "UNKNOWN_EVENT_TYPE" false
        "A record's type is none of those there are; `accepted` lists them, to the letter.";
    TimestampTooOld "TIMESTAMP_TOO_OLD" false
        "A record's time is before 1970 or further behind the server's clock than its source allows.";
    TimestampInFuture "TIMESTAMP_IN_FUTURE" false
        "A record's time is further ahead of the server's clock than its source allows.";
    PersonalDataRefused "PERSONAL_DATA_REFUSED" false
        "A record carries a field that its source refuses because it tells who somebody is.";
    UnreadableInput "UNREADABLE_INPUT" false
        "What was handed in is not of the `format` it is said to be of; `line` tells where, if it has "
        "lines.";
    AlreadyRecovered "ALREADY_RECOVERED" false
        "The rejected record was recovered before; `batchId` and `index` tell which record it became.";
    InvalidOperator "INVALID_OPERATOR" false
        "The operator does not go with the metric, or with a score to start from.";
    PrizesExceedPool "PRIZES_EXCEED_POOL" false
        "The prizes of all places together are more than the pool holds.";
    RulesFrozen "RULES_FROZEN" false
        "The competition was opened: its rules and prizes stay as they are.";
    OutsideWindow "OUTSIDE_WINDOW" false
        "The competition is not open, or the moment lies in none of its periods.";
    PeriodClosed "PERIOD_CLOSED" false
        "The period takes no scores any more; `period` tells which, and `until` how long it did.";
    PeriodOpen "PERIOD_OPEN" true
        "The period still takes scores, or an earlier one is not closed; `period` tells which.";
    JoinRequired "JOIN_REQUIRED" false
        "The user takes no part in the competition, or did not yet when the score was achieved.";
    NotInvited "NOT_INVITED" false
        "Neither the user nor one of their groups is invited to the competition.";
    ConsentRequired "CONSENT_REQUIRED" false
        "Who takes part agrees to it first.";
    MaxSizeReached "MAX_SIZE_REACHED" true "The competition has no place left; `max` tells how many.";
    MaxAttemptsReached "MAX_ATTEMPTS_REACHED" false
        "The user has handed in as many scores in the period as the rules allow; `max` tells how many.";
    AuthoritativeOnly "AUTHORITATIVE_ONLY" false
        "Scores of this competition are made of activities: none can be handed in.";
    Excluded "EXCLUDED" false
        "The user is excluded from the competition; their entry tells why, and it can be disputed.";
    ActivityInFuture "ACTIVITY_IN_FUTURE" false
        "An activity ends further ahead of the server's clock than allowed.";
    StandingsDiffer "STANDINGS_DIFFER" false
        "Standings to be frozen are not as the rules rank them, or were read before their period was sealed.";
    ReadModelUnknown "READ_MODEL_UNKNOWN" false
        "No read model has this name; `projections` lists those there are.";
    RebuildRunning "REBUILD_RUNNING" true
        "The read model is being rebuilt already, or a rebuild of it is paused: wait for it, or cancel it.";
    NoRebuild "NO_REBUILD" false
        "No rebuild of the read model is under way, or none is paused that could go on.";
    NothingKept "NOTHING_KEPT" false
        "No earlier generation of the read model's version is kept: there is nothing to go back to.";
    GenerationNotLive "GENERATION_NOT_LIVE" false
        "Another generation answers, `live`, than the one that was to be gone away from.";
    ReadModelOutdated "READ_MODEL_OUTDATED" false
        "The generation that answers was built by another version of the read model: rebuild it first.";
    ReadModelParked "READ_MODEL_PARKED" false
        "The generation that answers goes on without some `streams`: have them taken in first (`retryFailedEvent`, `skipFailedEvent`).";
    ScratchLimit "SCRATCH_LIMIT" false
        "There are as many generations as of positions as may be, `limit`: drop one first.";
    GenerationInUse "GENERATION_IN_USE" true
        "The generation answers, is being built or is being read: it cannot be dropped.";
    NotStopped "NOT_STOPPED" false
        "The read model is not stopped at this event, nor is a stream parked there.";
}

/// The catalogue as a Markdown table, one line a code: `docs/errors.md` is made of it.
pub fn catalogue() -> String {
    let mut table = String::from("| code | retryable | meaning |\n|---|---|---|\n");
    for code in Code::ALL {
        let retryable = if code.retryable() { "yes" } else { "no" };
        table += &format!("| `{}` | {retryable} | {} |\n", code.as_str(), code.doc());
    }
    table
}

/// Why not: a code, one sentence, where, and the facts behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence for a person; at most 200 characters, never the rejected text itself in full.
    pub message: String,
    /// Path of the offending field from the command's input, such as `["fixes", "3", "lat"]`.
    pub path: Vec<String>,
    /// Facts a program can act on: limits, actual values, versions.
    pub details: Map<String, Value>,
}

impl Refusal {
    /// A refusal without path or facts.
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
            path: Vec::new(),
            details: Map::new(),
        }
    }

    /// Names the field.
    pub fn at<I: IntoIterator<Item = S>, S: Into<String>>(mut self, path: I) -> Refusal {
        self.path = path.into_iter().map(Into::into).collect();
        self
    }

    /// Puts the parents of the field in front of the path.
    pub fn under<I: IntoIterator<Item = S>, S: Into<String>>(mut self, parents: I) -> Refusal {
        self.path.splice(0..0, parents.into_iter().map(Into::into));
        self
    }

    /// Adds a fact.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Refusal {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_screaming_snake() {
        let codes: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len(), "two codes share a name");
        for code in codes {
            let words = code.split('_');
            let shouts = |word: &str| {
                word.starts_with(|c: char| c.is_ascii_uppercase())
                    && word
                        .chars()
                        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
            };
            assert!(words.clone().all(shouts), "{code} is not SCREAMING_SNAKE");
        }
    }

    #[test]
    fn the_catalogue_has_one_whole_line_a_code() {
        let catalogue = catalogue();
        let lines: Vec<_> = catalogue.lines().skip(2).collect();
        assert_eq!(lines.len(), Code::ALL.len());
        for (line, code) in lines.iter().zip(Code::ALL) {
            assert!(line.contains(&format!("`{}`", code.as_str())), "{line}");
            assert_eq!(
                line.matches('|').count(),
                4,
                "a cell breaks the table: {line}"
            );
            assert!(
                code.doc().ends_with('.'),
                "{line}: the meaning is a sentence"
            );
        }
    }

    #[test]
    fn a_path_is_built_from_the_field_outwards() {
        let refusal = Refusal::new(Code::Validation, "no")
            .at(["lat"])
            .under(["fixes", "3"]);
        assert_eq!(refusal.path, ["fixes", "3", "lat"]);
        assert_eq!(refusal.to_string(), "VALIDATION: no");
    }
}
