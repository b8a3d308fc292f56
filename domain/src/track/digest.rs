//! Digests of fixes: equal for equal content, on every machine and in every release.

use super::Fix;
use crate::digest::{Digest, entries};

/// Of everything a fix says but its `fixId`.
pub(super) fn content(fix: &Fix) -> u64 {
    let mut digest = Digest(1);
    digest.word(fix.fix_time.timestamp_micros() as u64);
    digest.word(fix.lat.to_bits());
    digest.word(fix.lon.to_bits());
    let optional = [
        fix.device_time.map(|t| t.timestamp_micros() as u64),
        fix.altitude_m.map(f64::to_bits),
        fix.speed_mps.map(f64::to_bits),
        fix.course_deg.map(f64::to_bits),
        fix.accuracy_m.map(f64::to_bits),
        fix.satellites.map(u64::from),
        fix.hdop.map(f64::to_bits),
    ];
    let mut present = 0;
    for (field, bits) in optional.into_iter().enumerate() {
        if let Some(bits) = bits {
            present |= 1 << field;
            digest.word(bits);
        }
    }
    digest.word(present);
    if let Some(entries) = fix.attributes.digest_once(entries) {
        digest.word(fix.attributes.len() as u64);
        digest.word(entries);
    }
    digest.0
}

/// Of a declared id: 128 bits, so that two ids of one track do not meet by accident.
pub(super) fn declared_id(fix_id: &str) -> [u64; 2] {
    [2, 3].map(|seed| {
        let mut digest = Digest(seed);
        digest.text(fix_id);
        digest.0
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::{Value, json};

    use super::super::tests::fix;
    use super::*;

    /// A change of the digest would call retries of older fixes different: it is nailed down.
    #[test]
    fn digests_are_the_same_in_every_release() {
        let mut said = fix(0);
        assert_eq!(format!("{:016x}", content(&said)), "49c7a71982b9f9fd");
        said.speed_mps = Some(12.5);
        said.attributes = attributes(json!({"b": [1, -1, 0.5, null, true], "a": "x"}));
        assert_eq!(format!("{:016x}", content(&said)), "d70cff700cee03f1");
        let [a, b] = declared_id("a-1");
        assert_eq!(
            format!("{a:016x}{b:016x}"),
            "97ca75740b5ed4278d01873345cb9d65"
        );
    }

    #[test]
    fn every_field_but_the_fix_id_counts() {
        let change: [fn(&mut Fix); 12] = [
            |_| (),
            |f| f.fix_time += chrono::TimeDelta::microseconds(1),
            |f| f.lat = f.lat.next_up(),
            |f| f.lon = f.lon.next_up(),
            |f| f.device_time = Some(f.fix_time),
            |f| f.altitude_m = Some(1.0),
            |f| f.speed_mps = Some(1.0),
            |f| f.course_deg = Some(1.0),
            |f| f.accuracy_m = Some(1.0),
            |f| f.satellites = Some(1),
            |f| f.hdop = Some(1.0),
            |f| f.attributes = attributes(json!({"a": 1})),
        ];
        let digests = change.map(|change| {
            let mut changed = fix(0);
            change(&mut changed);
            content(&changed)
        });
        assert_eq!(HashSet::from(digests).len(), change.len());

        let named = Fix {
            fix_id: Some("a".to_owned()),
            ..fix(0)
        };
        assert_eq!(content(&named), content(&fix(0)));
    }

    #[test]
    fn json_is_told_apart_by_value_not_by_key_order() {
        let of = |value: Value| {
            content(&Fix {
                attributes: attributes(value),
                ..fix(0)
            })
        };
        let distinct = [
            json!({"a": 1}),
            json!({"a": -1}),
            json!({"a": 1.0}),
            json!({"a": "1"}),
            json!({"a": true}),
            json!({"a": false}),
            json!({"a": null}),
            json!({"a": [1]}),
            json!({"a": [[1]]}),
            json!({"a": {"b": 1}}),
            json!({"b": {"a": 1}}),
            json!({"a": 1, "b": 2}),
            json!({"a": 2, "b": 1}),
            json!({"ab": 1}),
            json!({"a": u64::MAX}),
        ];
        let count = distinct.len();
        let digests: HashSet<_> = distinct.into_iter().map(of).collect();
        assert_eq!(digests.len(), count);
        assert_eq!(of(json!({"a": 1, "b": 2})), of(json!({"b": 2, "a": 1})));
    }

    fn attributes(value: Value) -> crate::Attributes {
        serde_json::from_value(value).expect("an object")
    }
}
