//! What a leaf says: one event as it is stored, every byte of it.

use sha2::{Digest as _, Sha256};

use super::tree::Hash;
use crate::store::StoredRow;

/// The hash of an event's leaf: SHA-256 over a zero byte and eleven fields, each behind its length in four bytes.
/// Numbers are eight bytes, the highest first; the id is sixteen.
pub fn leaf(tenant: &str, row: &StoredRow<'_>) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    for field in [
        tenant.as_bytes(),
        &row.position.to_be_bytes(),
        row.event_id,
        row.aggregate_type.as_bytes(),
        row.aggregate_id.as_bytes(),
        &row.sequence.to_be_bytes(),
        row.event_type.as_bytes(),
        row.event_version.as_bytes(),
        &row.recorded_us.to_be_bytes(),
        row.payload.as_bytes(),
        row.metadata.as_bytes(),
    ] {
        hash.update((field.len() as u32).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::hex;

    fn row() -> StoredRow<'static> {
        StoredRow {
            position: 7,
            aggregate_type: "fleet",
            aggregate_id: "f1",
            sequence: 1,
            event_type: "fleet.created",
            event_version: "1",
            event_id: &[7; 16],
            recorded_us: 1_766_000_000_000_001,
            payload: r#"{"name":"Buses"}"#,
            metadata: r#"{"actor":"user:ann"}"#,
        }
    }

    /// Computed by another program from the page's words.
    #[test]
    fn the_leaf_of_docs_seals() {
        let vector = "b7c279d6e165eb88856a4113a65faf32b157dbda6e1835210f352a010bcff8a6";
        assert_eq!(hex(&leaf("default", &row())), vector);
        let page = include_str!("../../docs/seals.md");
        assert!(page.contains(vector));
    }

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let changed = [
            StoredRow {
                position: 8,
                ..row()
            },
            StoredRow {
                aggregate_type: "fleetf",
                aggregate_id: "1",
                ..row()
            },
            StoredRow {
                aggregate_type: "fleets",
                ..row()
            },
            StoredRow {
                aggregate_id: "f2",
                ..row()
            },
            StoredRow {
                sequence: 2,
                ..row()
            },
            StoredRow {
                event_type: "fleet.renamed",
                ..row()
            },
            StoredRow {
                event_version: "2",
                ..row()
            },
            StoredRow {
                event_id: &[8; 16],
                ..row()
            },
            StoredRow {
                recorded_us: 1_766_000_000_000_000,
                ..row()
            },
            StoredRow {
                payload: r#"{"name":"buses"}"#,
                ..row()
            },
            StoredRow {
                metadata: r#"{"actor":"user:bob"}"#,
                ..row()
            },
        ];
        let mut seen: Vec<Hash> = changed.iter().map(|row| leaf("default", row)).collect();
        seen.push(leaf("default", &row()));
        seen.push(leaf("other", &row()));
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}
