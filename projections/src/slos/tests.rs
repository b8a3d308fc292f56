//! The fold of objectives: order is no matter.

use domain::Position;
use domain::slo::{
    BurnAlertCleared, BurnAlertRaised, Method, PeriodExcluded, Sli, SloDefined, SloEvent,
    SloRetired, SloRevised, SloScope, Window,
};
use proptest::prelude::*;

use super::*;
use crate::testing::{at, check_order_is_no_matter, check_rows_are_of_one_stream, deal, recorded};

fn objective(n: i64) -> Objective {
    Objective {
        name: format!("objective {n}"),
        sli: Sli::ApprovalWait,
        scope: SloScope {
            project: Some(format!("project{}", n % 2)),
            ..SloScope::default()
        },
        objective_ppm: 990_000,
        window: Window::Rolling { days: 30 },
        method: Method::Occurrences {},
        threshold_seconds: 600,
        percentile_ppm: None,
        min_events: 0,
    }
}

fn event(kind: u32, n: i64) -> SloEvent {
    let revision = u32::try_from(n % 3 + 1).unwrap();
    let rule = BurnRule {
        long_minutes: 60,
        short_minutes: 5,
        factor_milli: 14_400,
    };
    let rates = BurnRates {
        long_milli: 15_000,
        short_milli: 16_000,
        position: Position(n),
    };
    match kind {
        0 => SloEvent::SloDefined(SloDefined {
            objective: objective(n),
        }),
        1 => SloEvent::SloRevised(SloRevised {
            revision,
            objective: objective(n),
        }),
        2 => SloEvent::SloRetired(SloRetired {
            reason: Some(format!("reason {n}")),
        }),
        3 => SloEvent::PeriodExcluded(PeriodExcluded {
            from: at(n),
            to: at(n + 60),
            reason: format!("reason {n}"),
        }),
        4 => SloEvent::BurnAlertRaised(BurnAlertRaised {
            revision,
            rule,
            rates,
        }),
        _ => SloEvent::BurnAlertCleared(BurnAlertCleared {
            revision,
            rule,
            rates,
        }),
    }
}

proptest! {
    #[test]
    fn order_is_no_matter(
        told in proptest::collection::vec((0..3_u32, 0..6_u32), 0..30),
        deal in deal(),
    ) {
        let events: Vec<_> = (1..)
            .zip(told)
            .map(|(n, (id, kind))| recorded(n, &format!("slo{id}"), event(kind, n)))
            .collect();
        check_order_is_no_matter::<Slos, _>(&events, &deal, |delta| delta);
    }

    #[test]
    fn no_two_streams_touch_one_row(told in proptest::collection::vec((0..3_u32, 0..6_u32), 0..30)) {
        let events: Vec<_> = (1..)
            .zip(told)
            .map(|(n, (id, kind))| recorded(n, &format!("slo{id}"), event(kind, n)))
            .collect();
        check_rows_are_of_one_stream::<Slos>(&events, |delta| {
            let slos = delta.slos.iter().map(|(k, v)| (k.clone(), format!("{v:?}")));
            let told = |kind, key, what| (format!("{kind} {key:?}"), what);
            let revisions = delta.revisions.iter().map(|(k, v)| told("r", k, format!("{v:?}")));
            let exclusions = delta.exclusions.iter().map(|(k, v)| told("e", k, format!("{v:?}")));
            let alerts = delta.alerts.iter().map(|(k, v)| told("a", k, format!("{v:?}")));
            slos.chain(revisions).chain(exclusions).chain(alerts).collect()
        });
    }
}
