//! What an objective is to say, as it is sent.

use async_graphql::{ID, InputObject};
use domain::slo::{Method, Objective, SloScope, Window};
use domain::{Code, Refusal};

use crate::api::mutation::payload::{Conditions, Told, whole};
use crate::api::types::slo::{ServiceLevelIndicator, SloMethodKind, SloWindowKind};

/// Of what something is measured: of everything, or of what these name.
#[derive(Default, InputObject)]
pub struct SloScopeInput {
    /// Of this project.
    project: Option<String>,
    /// Of this service.
    service: Option<String>,
    /// In this environment.
    environment: Option<String>,
}

/// Over which time an objective is to be met.
#[derive(InputObject)]
pub struct SloWindowInput {
    /// Of which kind.
    kind: SloWindowKind,
    /// Of a rolling one, and only of that: how many days, 1 to 90.
    days: Option<i32>,
    /// Of the others, and only of those: by the clocks of this zone of the IANA database.
    zone: Option<String>,
}

/// How attainment is counted.
#[derive(InputObject)]
pub struct SloMethodInput {
    /// What is counted.
    kind: SloMethodKind,
    /// Of slices, and only of those: how long one is, 1 to 1,440.
    slice_minutes: Option<i32>,
    /// Of slices, and only of those: how much of one is to be good, in parts per million.
    slice_objective_ppm: Option<i32>,
}

/// An input that says what an objective says: fields of its own before those of every objective.
macro_rules! objective_of {
    ($(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $field_doc:literal])* $field:ident: $ty:ty,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(InputObject)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $ty,)*
            /// What is measured.
            sli: ServiceLevelIndicator,
            /// Of what; of everything if not said.
            scope: Option<SloScopeInput>,
            /// How much of it is to be good, in parts per million, more than 0 and less than 1,000,000.
            objective_ppm: i32,
            /// Over which time.
            window: SloWindowInput,
            /// How it is counted; what happened if not said.
            method: Option<SloMethodInput>,
            /// Up to so many seconds are good; at most 366 days.
            threshold_seconds: i32,
            /// The percentile that is to be within the threshold as well, in parts per million.
            percentile_ppm: Option<i32>,
            /// Below so many, nothing is said.
            #[graphql(default = 1)]
            min_events: i32,
        }

        impl $name {
            /// What it says under a name. The domain knows what may be said; here numbers become its own.
            fn says(self, name: String) -> Told<Objective> {
                let scope = self.scope.unwrap_or_default();
                Ok(Objective {
                    name,
                    sli: self.sli.into(),
                    scope: SloScope {
                        project: scope.project,
                        service: scope.service,
                        environment: scope.environment,
                    },
                    objective_ppm: share(self.objective_ppm, "objectivePpm")?,
                    window: self.window.read().map_err(|r| r.under(["window"]))?,
                    method: match self.method {
                        Some(method) => method.read().map_err(|r| r.under(["method"]))?,
                        None => Method::Occurrences {},
                    },
                    threshold_seconds: whole(self.threshold_seconds, "thresholdSeconds")?,
                    percentile_ppm: self
                        .percentile_ppm
                        .map(|ppm| whole(ppm, "percentilePpm"))
                        .transpose()?,
                    min_events: whole(self.min_events, "minEvents")?,
                })
            }
        }
    };
}

objective_of! {
    /// Brings an objective into being.
    DefineSloInput {
        /// Its id from now on, 1 to 128 characters; made if not said.
        id: Option<ID>,
        /// Idempotency key, 1 to 255 characters.
        command_id: Option<ID>,
        /// A name for people; at most 200 characters.
        name: String,
    }
}
objective_of! {
    /// Has an objective say something else, whole, from now on.
    ReviseSloInput {
        /// Which one.
        id: ID,
        /// Refuse with VERSION_CONFLICT unless it is at this version.
        expected_version: Option<i32>,
        /// Idempotency key, 1 to 255 characters.
        command_id: Option<ID>,
        /// A name for people; at most 200 characters.
        name: String,
    }
}
objective_of! {
    /// An objective that is asked about and kept nowhere.
    ObjectiveInput {}
}

impl ObjectiveInput {
    /// The objective, if it may be one.
    pub fn checked(self) -> Told<Objective> {
        let told = self.says("asked about".to_owned());
        told.and_then(Objective::checked)
            .map_err(|refusal| refusal.under(["objective"]))
    }
}

impl ReviseSloInput {
    /// What it is to say.
    pub fn objective(self) -> Told<Objective> {
        let name = self.name.clone();
        self.says(name)
    }

    /// Which one, under which conditions.
    pub fn head(&self) -> (Conditions, ID) {
        let conditions = Conditions {
            command_id: self.command_id.clone(),
            expected_version: self.expected_version,
        };
        (conditions, self.id.clone())
    }
}

impl DefineSloInput {
    /// What it is to say.
    pub fn objective(self) -> Told<Objective> {
        let name = self.name.clone();
        self.says(name)
    }

    /// The conditions.
    pub fn conditions(&self) -> Conditions {
        Conditions::of_new(self.command_id.clone())
    }
}

impl SloWindowInput {
    fn read(self) -> Told<Window> {
        let zone = |zone: Option<String>| must_be(zone, "zone");
        let (window, beside) = match self.kind {
            SloWindowKind::Rolling => {
                let days = whole(must_be(self.days, "days")?, "days")?;
                (Window::Rolling { days }, self.zone.map(|_| "zone"))
            }
            SloWindowKind::CalendarWeek => {
                let zone = zone(self.zone)?;
                (Window::CalendarWeek { zone }, self.days.map(|_| "days"))
            }
            SloWindowKind::CalendarMonth => {
                let zone = zone(self.zone)?;
                (Window::CalendarMonth { zone }, self.days.map(|_| "days"))
            }
        };
        must_not_be(beside)?;
        Ok(window)
    }
}

impl SloMethodInput {
    fn read(self) -> Told<Method> {
        match self.kind {
            SloMethodKind::Occurrences => {
                must_not_be(self.slice_minutes.map(|_| "sliceMinutes"))?;
                must_not_be(self.slice_objective_ppm.map(|_| "sliceObjectivePpm"))?;
                Ok(Method::Occurrences {})
            }
            SloMethodKind::Timeslices => {
                let minutes = must_be(self.slice_minutes, "sliceMinutes")?;
                let ppm = must_be(self.slice_objective_ppm, "sliceObjectivePpm")?;
                Ok(Method::Timeslices {
                    slice_minutes: whole(minutes, "sliceMinutes")?,
                    slice_objective_ppm: share(ppm, "sliceObjectivePpm")?,
                })
            }
        }
    }
}

/// A share, or what is refused as none: below nothing is as far out of range as nothing is.
fn share(ppm: i32, field: &str) -> Told<u32> {
    u32::try_from(ppm).map_err(|_| {
        let message = format!("{field} is not above 0");
        let refusal = Refusal::new(Code::ObjectiveOutOfRange, message).at([field]);
        refusal.with("actual", ppm)
    })
}

fn must_be<T>(value: Option<T>, field: &str) -> Told<T> {
    value.ok_or_else(|| {
        let message = format!("{field} has to be said for this kind");
        Refusal::new(Code::Validation, message).at([field])
    })
}

fn must_not_be(beside: Option<&str>) -> Told<()> {
    match beside {
        None => Ok(()),
        Some(field) => {
            let message = format!("{field} means nothing for this kind");
            Err(Refusal::new(Code::Validation, message).at([field]))
        }
    }
}
