//! Objectives through the front door, what they said at some place in the log, and the alerts that go up and
//! down by themselves.

pub mod alerts;

use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use chrono_tz::Tz;
use domain::slo::{Objective, Slo, SloCommand, SloEvent, Window};
use domain::{Aggregate as _, Code, Position, Refusal};

use crate::commands::{CommandContext, CommandError, Door, Receipt};

/// What happens to objectives. Cheap to clone.
#[derive(Clone)]
pub struct Slos {
    door: Door,
}

impl Slos {
    /// Those behind this door.
    pub fn new(door: Door) -> Slos {
        Slos { door }
    }

    /// Brings an objective into being. Gives its id: as asked for, or made.
    pub async fn define(
        &self,
        ctx: &CommandContext,
        id: Option<String>,
        objective: Objective,
    ) -> Result<(String, Receipt), CommandError> {
        let id = ctx.new_id(id, "slo")?;
        must_have_a_known_zone(&objective)?;
        let define = SloCommand::Define { objective };
        let kept = self.on_slo(ctx, &id, define).await?;
        Ok((id, kept))
    }

    /// Has an objective say something else.
    pub async fn revise(
        &self,
        ctx: &CommandContext,
        id: &str,
        objective: Objective,
    ) -> Result<Receipt, CommandError> {
        must_have_a_known_zone(&objective)?;
        self.on_slo(ctx, id, SloCommand::Revise { objective }).await
    }

    /// Tells an objective something that depends on nothing else.
    pub async fn on_slo(
        &self,
        ctx: &CommandContext,
        id: &str,
        command: SloCommand,
    ) -> Result<Receipt, CommandError> {
        self.door.execute::<Slo>(ctx, id, command).await
    }

    /// An objective as its own events tell it up to a place in the log: the same whenever it is asked.
    pub async fn up_to(
        &self,
        tenant: &Arc<str>,
        id: &str,
        until: Position,
    ) -> Result<Slo, CommandError> {
        let mut slo = Slo::default();
        let walked = self.door.walk::<Slo>(tenant, id, |event| {
            if event.position > until {
                return Ok(ControlFlow::Break(()));
            }
            let what = SloEvent::try_from(event.event);
            slo.apply(&what.map_err(|_| "not of an objective".to_owned())?);
            Ok(ControlFlow::Continue(()))
        });
        walked.await?;
        Ok(slo)
    }
}

/// Which zones there are is beyond the domain; one whose clocks nobody knows could never be measured by
/// them.
pub fn must_have_a_known_zone(objective: &Objective) -> Result<(), Refusal> {
    let (Window::CalendarWeek { zone } | Window::CalendarMonth { zone }) = &objective.window else {
        return Ok(());
    };
    match Tz::from_str(zone.trim()) {
        Ok(_) => Ok(()),
        Err(_) => {
            let message = "not a zone of the IANA database";
            Err(Refusal::new(Code::Validation, message).at(["window", "zone"]))
        }
    }
}
