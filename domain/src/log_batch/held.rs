//! How much memory records take while they are handed in. Of many small values that is far more than
//! their text: `{"":0}` takes seven bytes on its way and hundreds here.

use super::LogReport;

/// The most that the objects of one record may take, in bytes: more than any record that is within its
/// source's bounds.
pub const HELD_BYTES_MAX: usize = 8 << 20;

/// What a record takes as it was said and as it is judged, without its texts and objects.
const REPORT_BYTES: usize = 512;

/// What is allocated for a text takes at least so much more than the text.
pub(crate) const TEXT_BYTES: usize = 16;

/// How often a text is there at once: as it was said, in what tells a retry from a reuse, and in the event.
pub(super) const COPIES: usize = 3;

/// A value in a list that grows.
pub(crate) const ITEM_BYTES: usize = 40;

/// The entries of an object lie in nodes, which are about half full where an object has many.
const NODE_BYTES: usize = 640;
const NODE_ENTRIES: usize = 6;

/// What the n-th entry of an object, counted from 0, adds to it.
pub(crate) fn entry_bytes(n: usize, key: &str) -> usize {
    let node = match n % NODE_ENTRIES {
        0 => NODE_BYTES,
        _ => 0,
    };
    node + TEXT_BYTES + key.len()
}

impl LogReport {
    /// How many bytes of memory it takes until it is in the log, roughly and rather too many.
    pub fn held_bytes(&self) -> usize {
        self.held_without_device() + self.device_info.held_bytes()
    }

    /// What it takes beside a device that others of its batch have too.
    pub(crate) fn held_without_device(&self) -> usize {
        REPORT_BYTES + COPIES * self.text_bytes() + self.properties.held_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn held(properties: Value) -> usize {
        let Value::Object(properties) = properties else {
            panic!("{properties} is no object")
        };
        let nothing = LogReport::default().held_bytes();
        let properties = properties.into();
        let said = LogReport {
            properties,
            ..LogReport::default()
        };
        said.held_bytes() - nothing
    }

    #[test]
    fn small_values_take_more_than_their_text() {
        assert_eq!(held(json!({})), 0);
        assert_eq!(held(json!({"ab": 1})), 640 + 16 + 3 * 2);
        assert_eq!(held(json!({"a": "bcd"})), 640 + 16 + 3 + 16 + 3 * 3);
        assert_eq!(held(json!({"": [1, "", {}]})), 640 + 16 + 3 * 40 + 16);
        let many: Value = (0..13).map(|n| (format!("{n:02}"), json!(n))).collect();
        assert_eq!(held(many), 3 * 640 + 13 * (16 + 3 * 2));
        let small = vec![json!({"": 0}); 1_000];
        let (text, held) = (json!(small).to_string().len(), held(json!({"a": small})));
        assert!(held > 80 * text, "{held} of {text}");
    }
}
