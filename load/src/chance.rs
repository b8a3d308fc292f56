//! Chance that comes out the same each time: xorshift64*.

/// A source of numbers that follow from its seed.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Of this seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x243f_6a88_85a3_08d3)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One of so many, counted from 0; 0 of none.
    pub fn below(&mut self, count: u64) -> u64 {
        // The high bits are the better ones, and no count here is near 2^32.
        (self.bits() >> 32) % count.max(1)
    }

    /// Uniform in a range.
    pub fn within(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_says_the_same_and_stays_in_its_bounds() {
        let (mut one, mut same, mut other) = (Chance::new(1), Chance::new(1), Chance::new(2));
        let mut differ = 0;
        for _ in 0..1_000 {
            let bits = one.bits();
            assert_eq!(bits, same.bits());
            differ += u32::from(bits != other.bits());
            let (below, same_below) = (one.below(10), same.below(10));
            assert!(below < 10 && below == same_below);
            let within = one.within(-1.0, 1.0);
            assert!((-1.0..1.0).contains(&within));
            same.within(-1.0, 1.0);
        }
        assert!(differ > 900);
        assert_eq!(one.below(0), 0);
    }
}
