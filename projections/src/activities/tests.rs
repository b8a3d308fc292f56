//! The fold of activities: order is no matter.

use chrono::TimeDelta;
use domain::activity::{ActivityRef, ActivityRules, Measures};
use domain::activity_log::ActivitiesSynced;
use proptest::prelude::*;

use super::*;
use crate::testing::{at, check_order_is_no_matter, deal, recorded};

fn walk(id: u32, n: i64) -> RecordedActivity {
    RecordedActivity {
        activity: Activity {
            source: "watch".to_owned(),
            external_id: format!("w{id}"),
            device: None,
            kind: "walking".to_owned(),
            start: at(n),
            end: at(n) + TimeDelta::minutes(1),
            offset_minutes: None,
            manual: false,
            measures: Measures {
                steps: Some(n),
                ..Measures::default()
            },
        },
        revision: 1,
        flags: BTreeSet::new(),
    }
}

proptest! {
    #[test]
    fn order_is_no_matter(
        told in proptest::collection::vec((0..2_u32, 0..3_u32, 0..3_u32), 0..30),
        deal in deal(),
    ) {
        let events: Vec<_> = (1..)
            .zip(told)
            .map(|(n, (user, id, kind))| {
                let mut synced = ActivitiesSynced {
                    user: format!("user{user}"),
                    rules: ActivityRules::default(),
                    recorded: vec![],
                    amended: vec![],
                    removed: vec![],
                };
                match kind {
                    0 => synced.recorded.push(walk(id, n)),
                    1 => synced.amended.push(walk(id, n)),
                    _ => synced.removed.push(ActivityRef {
                        source: "watch".to_owned(),
                        external_id: format!("w{id}"),
                    }),
                }
                let stream = format!("user{user}/2016-01");
                recorded(n, &stream, ActivityLogEvent::ActivitiesSynced(synced))
            })
            .collect();
        check_order_is_no_matter::<Activities, _>(&events, &deal, |delta| delta);
    }
}
