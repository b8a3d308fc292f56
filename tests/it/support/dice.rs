//! Chance that can be repeated.

use std::time::Duration;

use uuid::Uuid;

/// Numbers from a seed, so that a run can be repeated.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From `DAYBOOK_SEED`, or else another one each time; told on standard error.
    pub fn from_env(what: &str) -> Dice {
        let seed = std::env::var("DAYBOOK_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| Uuid::now_v7().as_u128() as u64 >> 1);
        eprintln!("{what}: DAYBOOK_SEED={seed}");
        Dice(seed)
    }

    pub fn from_seed(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn pause(&mut self, ms_max: u64) -> Duration {
        Duration::from_micros(self.below(ms_max * 1_000))
    }
}
