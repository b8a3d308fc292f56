//! Latest positions and history.

use std::time::Duration;

use domain::Attributes;
use domain::track::Fix;
use projections::Near;
use projections::positions::{
    AsOf, HistoryOrder, HistoryQuery, LatestFilter, LatestRow, history, latest,
};
use serde_json::json;

use super::scene::{after, at, fix, moving, reported, snapshot};

fn ids(rows: &[LatestRow]) -> Vec<&str> {
    rows.iter().map(|row| row.fix.vehicle_id.as_str()).collect()
}

#[tokio::test]
async fn a_late_fix_never_takes_a_vehicle_back() {
    // The second report is late; the third ties with the first and comes later in the log.
    let db = after(
        vec![
            reported("bus", vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)]),
            reported("bus", vec![fix("2016-05-01T09:00:00Z", 2.0, 2.0)]),
            reported(
                "bus",
                vec![
                    fix("2016-05-01T10:00:00Z", 3.0, 3.0),
                    fix("2016-05-01T10:00:00Z", 4.0, 4.0),
                ],
            ),
            reported("bus", vec![fix("2016-05-01T09:59:59.999999Z", 5.0, 5.0)]),
        ],
        1,
    )
    .await;
    let mut snap = snapshot(&db).await;
    let page = latest(&mut snap, &LatestFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(page.items.len(), 1);
    let newest = &page.items[0].fix;
    assert_eq!((newest.lat, newest.position.0, newest.index), (4.0, 3, 1));
    assert_eq!(page.as_of.0, 4);

    let all = HistoryQuery {
        vehicle_id: "bus".to_owned(),
        from: at("2016-05-01T09:00:00Z"),
        to: at("2016-05-01T10:00:00.000001Z"),
        order: HistoryOrder::OldestFirst,
    };
    let oldest_first = [2.0, 5.0, 1.0, 3.0, 4.0];
    for order in [HistoryOrder::OldestFirst, HistoryOrder::NewestFirst] {
        let query = HistoryQuery {
            order,
            ..all.clone()
        };
        let (mut lats, mut cursor) = (Vec::new(), None);
        loop {
            let page = history(&mut snap, &query, cursor.as_ref(), 2)
                .await
                .unwrap();
            lats.extend(page.items.iter().map(|fix| fix.lat));
            cursor = page.items.last().map(|fix| fix.key());
            if !page.has_next {
                break;
            }
        }
        if order == HistoryOrder::NewestFirst {
            lats.reverse();
        }
        assert_eq!(lats, oldest_first, "{order:?}");
    }
    let to = at("2016-05-01T10:00:00Z");
    let half_open = history(&mut snap, &HistoryQuery { to, ..all }, None, 10)
        .await
        .unwrap();
    assert_eq!(half_open.items.len(), 2, "the end is not included");
}

#[tokio::test]
async fn every_field_of_a_fix_comes_back() {
    let attributes = json!({"route": "10", "doors": [true, null], "quote": "\"\\ \u{1F68C}"});
    let told = Fix {
        fix_id: Some("f-1".to_owned()),
        device_time: Some(at("2016-05-01T10:00:01.000002Z")),
        altitude_m: Some(-3.5),
        course_deg: Some(359.9),
        accuracy_m: Some(0.1),
        satellites: Some(u16::MAX),
        hdop: Some(1.25),
        attributes: Attributes::from(attributes.as_object().unwrap().clone()),
        ..moving(
            "2016-05-01T10:00:00.123456Z",
            -33.8688,
            151.2093,
            12.345_678_9,
        )
    };
    let db = after(vec![reported("bus", vec![told.clone()])], 1).await;
    let mut snap = snapshot(&db).await;
    let query = HistoryQuery {
        vehicle_id: "bus".to_owned(),
        from: at("2016-05-01T00:00:00Z"),
        to: at("2016-05-02T00:00:00Z"),
        order: HistoryOrder::OldestFirst,
    };
    let stored = history(&mut snap, &query, None, 1)
        .await
        .unwrap()
        .items
        .remove(0);
    let newest = latest(&mut snap, &LatestFilter::default(), None, 1)
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(newest.fix, stored);
    assert_eq!(
        Fix {
            fix_time: stored.fix_time,
            lat: stored.lat,
            lon: stored.lon,
            fix_id: stored.fix_id,
            device_time: stored.device_time,
            altitude_m: stored.altitude_m,
            speed_mps: stored.speed_mps,
            course_deg: stored.course_deg,
            accuracy_m: stored.accuracy_m,
            satellites: stored.satellites,
            hdop: stored.hdop,
            attributes: stored.attributes.into(),
        },
        told
    );
}

#[tokio::test]
async fn the_nearest_come_first_and_pages_fit_together() {
    // A row of vehicles going east along the equator, 111.195 m apart, in an order of ids that is not theirs.
    let names = ["c", "a", "e", "b", "d"];
    let places = names.iter().zip([0.0, 0.001, -0.001, 0.002, 0.003]);
    let events = places.map(|(id, lon)| reported(id, vec![fix("2016-05-01T10:00:00Z", 0.0, lon)]));
    let db = after(events.collect(), 2).await;
    let mut snap = snapshot(&db).await;
    let filter = LatestFilter {
        near: Near::new(0.0, 0.0, 223.0),
        ..LatestFilter::default()
    };
    let (mut got, mut cursor) = (Vec::new(), None);
    loop {
        let page = latest(&mut snap, &filter, cursor.as_ref(), 1)
            .await
            .unwrap();
        cursor = page.items.last().map(LatestRow::cursor);
        got.extend(page.items);
        if !page.has_next {
            break;
        }
    }
    // "a" and "e" are equally far: the id decides. "d" is outside.
    assert_eq!(ids(&got), ["c", "a", "e", "b"]);
    let metres: Vec<f64> = got.iter().map(|row| row.distance_m.unwrap()).collect();
    for (metres, expect) in metres.iter().zip([0.0, 111.195, 111.195, 222.390]) {
        assert!(
            (metres - expect).abs() < 0.001,
            "{metres} instead of {expect}"
        );
    }
    let page = latest(&mut snap, &LatestFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(ids(&page.items), ["a", "b", "c", "d", "e"]);
    assert!(page.items.iter().all(|row| row.distance_m.is_none()));
}

#[tokio::test]
async fn whereabouts_can_be_asked_as_of_a_time() {
    let db = after(
        vec![
            reported(
                "early",
                vec![
                    fix("2016-05-01T10:00:00Z", 1.0, 1.0),
                    fix("2016-05-01T10:20:00Z", 2.0, 2.0),
                ],
            ),
            reported("edge", vec![fix("2016-05-01T10:00:00Z", 1.0, 1.0)]),
            reported("later", vec![fix("2016-05-01T10:10:00.000001Z", 1.0, 1.0)]),
        ],
        3,
    )
    .await;
    let mut snap = snapshot(&db).await;
    let window = |seconds| {
        let window = Duration::from_secs(seconds);
        let as_of = Some(AsOf {
            at: at("2016-05-01T10:10:00Z"),
            window,
        });
        LatestFilter {
            as_of,
            ..LatestFilter::default()
        }
    };
    let page = latest(&mut snap, &window(601), None, 10).await.unwrap();
    assert_eq!(ids(&page.items), ["early", "edge"]);
    assert_eq!(
        page.items[0].fix.lat, 1.0,
        "not the fix of ten minutes later"
    );
    // The window's far end is excluded, the moment itself included.
    let page = latest(&mut snap, &window(600), None, 10).await.unwrap();
    assert_eq!(ids(&page.items), [""; 0]);
    let since = LatestFilter {
        since: Some(at("2016-05-01T10:10:00Z")),
        ..LatestFilter::default()
    };
    let page = latest(&mut snap, &since, None, 10).await.unwrap();
    assert_eq!(ids(&page.items), ["early", "later"]);
    let ids_asked = Some(vec!["edge".to_owned(), "nobody".to_owned()]);
    let some = LatestFilter {
        vehicle_ids: ids_asked,
        ..LatestFilter::default()
    };
    let page = latest(&mut snap, &some, None, 10).await.unwrap();
    assert_eq!(ids(&page.items), ["edge"]);
}
