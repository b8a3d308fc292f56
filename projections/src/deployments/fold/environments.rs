//! What each event says about an environment.

use domain::environment::EnvironmentEvent;
use domain::{Event, Recorded};

use super::said;
use crate::Poison;
use crate::deployments::{Defined, Delta};
use crate::latest::{Latest, keep_last, keep_last_of};

pub(in crate::deployments) fn environment(
    delta: &mut Delta,
    event: &Recorded<Event>,
    what: &EnvironmentEvent,
) -> Result<(), Poison> {
    let (id, position) = (event.aggregate_id.as_ref(), event.position.0);
    let change = delta.environments.entry(id.to_owned()).or_default();
    change.seen.see(event);
    let (freeze_id, value) = match what {
        EnvironmentEvent::EnvironmentDefined(e) => {
            let defined = Defined {
                project: e.project.clone(),
                name: e.name.clone(),
                tier: e.tier.as_str(),
            };
            keep_last(&mut change.defined, said(event, defined));
            return Ok(());
        }
        EnvironmentEvent::ApprovalPolicySet(e) => {
            let policy = serde_json::to_value(&e.policy);
            let policy = policy.map_err(|error| Poison(error.to_string()))?;
            keep_last(&mut change.policy, said(event, policy));
            return Ok(());
        }
        EnvironmentEvent::EnvironmentFrozen(e) => (&e.freeze.id, Some(e.freeze.clone())),
        EnvironmentEvent::EnvironmentUnfrozen(e) => (&e.freeze_id, None),
    };
    let key = (id.to_owned(), freeze_id.clone());
    keep_last_of(&mut delta.freezes, key, Latest { position, value });
    Ok(())
}
