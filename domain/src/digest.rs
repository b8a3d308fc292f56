//! Digests of content: equal for equal content, on every machine and in every release.

use serde_json::{Map, Value};

/// 64 bits of mixing per word (the finalizer of splitmix64). Tells honest contents apart; it is no
/// defence against crafted collisions, which could only hide what the crafter said.
#[derive(Clone, Copy)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    pub(crate) fn word(&mut self, word: u64) {
        let mut z = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ (z >> 31);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.word(2),
            Value::Bool(b) => self.word(3 + u64::from(*b)),
            Value::Number(number) => {
                let (kind, bits) = match (number.as_u64(), number.as_i64(), number.as_f64()) {
                    (Some(n), ..) => (5, n),
                    (_, Some(n), _) => (10, n as u64),
                    (.., n) => (11, n.unwrap_or(f64::NAN).to_bits()),
                };
                self.word(kind);
                self.word(bits);
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

    fn map(&mut self, map: &Map<String, Value>) {
        self.word(map.len() as u64);
        self.word(entries(map));
    }
}

/// The order of keys carries no meaning, so entries are summed.
pub(crate) fn entries(map: &Map<String, Value>) -> u64 {
    let entries = map.iter().map(|(key, value)| {
        let mut entry = Digest(9);
        entry.text(key);
        entry.json(value);
        entry.0
    });
    entries.fold(0, u64::wrapping_add)
}
