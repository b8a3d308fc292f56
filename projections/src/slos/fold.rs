//! What each event says about an objective.

use domain::slo::{BurnRates, BurnRule, Objective, SloEvent};
use domain::{Event, Recorded};

use super::{Alert, Delta, Exclusion, Fact, Retired, Revision, SloChange};
use crate::latest::{Latest, keep_last};

pub(super) fn slo(delta: &mut Delta, event: &Recorded<Event>, what: &SloEvent) {
    let key = (event.aggregate_id.to_string(), event.position.0);
    let change = delta.slos.entry(key.0.clone()).or_default();
    change.version = change.version.max(event.sequence);
    change.position = change.position.max(event.position.0);
    match what {
        SloEvent::SloDefined(e) => {
            keep_last(&mut change.defined_at, said(event, event.recorded_at));
            let revision = says(change, event, 1, &e.objective);
            delta.revisions.insert(key, revision);
        }
        SloEvent::SloRevised(e) => {
            let revision = says(change, event, e.revision, &e.objective);
            delta.revisions.insert(key, revision);
        }
        SloEvent::SloRetired(e) => {
            let retired = Retired {
                at: event.recorded_at,
                reason: e.reason.clone(),
            };
            keep_last(&mut change.retired, said(event, retired));
        }
        SloEvent::PeriodExcluded(e) => {
            let told = Exclusion {
                from: e.from,
                to: e.to,
                reason: e.reason.clone(),
            };
            delta.exclusions.insert(key, fact(event, told));
        }
        SloEvent::BurnAlertRaised(e) => {
            let told = alert(true, e.revision, e.rule, e.rates);
            delta.alerts.insert(key, fact(event, told));
        }
        SloEvent::BurnAlertCleared(e) => {
            let told = alert(false, e.revision, e.rule, e.rates);
            delta.alerts.insert(key, fact(event, told));
        }
    }
}

/// Takes note of what it says from now on.
fn says(
    change: &mut SloChange,
    event: &Recorded<Event>,
    number: u32,
    objective: &Objective,
) -> Fact<Revision> {
    keep_last(&mut change.objective, said(event, objective.clone()));
    let objective = objective.clone();
    fact(event, Revision { number, objective })
}

fn alert(raised: bool, revision: u32, rule: BurnRule, rates: BurnRates) -> Alert {
    Alert {
        raised,
        revision,
        rule,
        rates,
    }
}

fn fact<T>(event: &Recorded<Event>, told: T) -> Fact<T> {
    Fact {
        version: event.sequence,
        at: event.recorded_at,
        told,
    }
}

fn said<T>(event: &Recorded<Event>, value: T) -> Option<Latest<T>> {
    Some(Latest {
        position: event.position.0,
        value,
    })
}
