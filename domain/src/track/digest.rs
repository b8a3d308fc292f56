//! Digests of fixes: equal for equal content, on every machine and in every release.

use serde_json::{Map, Value};

use super::Fix;

/// 64 bits of mixing per word (the finalizer of splitmix64). Tells honest contents apart; it is no
/// defence against crafted collisions, which could only hide the crafter's own fixes.
#[derive(Clone, Copy)]
struct Digest(u64);

impl Digest {
    fn word(&mut self, word: u64) {
        let mut z = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ (z >> 31);
    }

    fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn optional(&mut self, bits: Option<u64>) {
        match bits {
            None => self.word(0),
            Some(bits) => {
                self.word(1);
                self.word(bits);
            }
        }
    }

    fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.word(2),
            Value::Bool(b) => self.word(3 + u64::from(*b)),
            Value::Number(n) => {
                self.word(5);
                self.text(&n.to_string());
            }
            Value::String(text) => {
                self.word(6);
                self.text(text);
            }
            Value::Array(items) => {
                self.word(7);
                self.word(items.len() as u64);
                items.iter().for_each(|item| self.json(item));
            }
            Value::Object(map) => {
                self.word(8);
                self.map(map);
            }
        }
    }

    /// The order of keys carries no meaning, so entries are summed.
    fn map(&mut self, map: &Map<String, Value>) {
        let entries = map.iter().map(|(key, value)| {
            let mut entry = Digest(9);
            entry.text(key);
            entry.json(value);
            entry.0
        });
        let sum = entries.fold(0, u64::wrapping_add);
        self.word(map.len() as u64);
        self.word(sum);
    }
}

/// Of everything a fix says but its `fixId`.
pub(super) fn content(fix: &Fix) -> u64 {
    let mut digest = Digest(1);
    digest.word(fix.fix_time.timestamp_micros() as u64);
    digest.word(fix.lat.to_bits());
    digest.word(fix.lon.to_bits());
    digest.optional(fix.device_time.map(|t| t.timestamp_micros() as u64));
    for number in [
        fix.altitude_m,
        fix.speed_mps,
        fix.course_deg,
        fix.accuracy_m,
        fix.hdop,
    ] {
        digest.optional(number.map(f64::to_bits));
    }
    digest.optional(fix.satellites.map(u64::from));
    digest.map(&fix.attributes);
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
