//! Hashing: a fast map for small integer keys, and the stable hash that stands for a vehicle.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are made of integers. Not for texts a caller may choose.
pub(crate) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<IntegerHasher>>;

/// Multiplies each word to 128 bits and folds the halves, so that keys which differ only in their
/// high bits (H3 cells of one resolution do) still spread over the low ones.
#[derive(Default)]
pub(crate) struct IntegerHasher(u64);

/// The fractional digits of pi: an odd number without pattern.
const MULTIPLIER: u64 = 0x243f_6a88_85a3_08d3;

impl Hasher for IntegerHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ MULTIPLIER) * u128::from(MULTIPLIER);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn write_i64(&mut self, word: i64) {
        self.write_u64(word.cast_unsigned());
    }

    fn write_i32(&mut self, word: i32) {
        self.write_u64(u64::from(word.cast_unsigned()));
    }
}

/// Stands for a vehicle in stored sets: FNV-1a of its id's bytes, finished by SplitMix64.
///
/// Stored, so it never changes. Two of a million vehicles share a hash with a chance of about one in
/// forty million; they would then count as one.
pub(crate) fn vehicle_hash(id: &str) -> i64 {
    let fnv = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn a_vehicles_hash_never_changes() {
        let check = |id: &str, expect: i64| assert_eq!(vehicle_hash(id), expect, "{id}");
        check("", -780_787_492_076_525_413);
        check("2417", -3_653_157_496_569_656_044);
        check("bus-\u{e9}", -8_400_052_489_341_938_603);
    }

    #[test]
    fn cells_of_one_resolution_spread_over_the_low_bits() {
        let hasher = BuildHasherDefault::<IntegerHasher>::default();
        let mut slots = std::collections::HashSet::new();
        for cell in 0..1024_u64 {
            let index = 0x0894_89e3_0000_0000 | (cell << 18) | 0x3_ffff;
            slots.insert(hasher.hash_one(index) & 0x3ff);
        }
        assert!(slots.len() > 512, "{} of 1024 slots used", slots.len());
    }
}
