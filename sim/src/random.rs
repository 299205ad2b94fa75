//! The run's own randomness (SplitMix64, Steele et al. 2014).

use std::ops::Range;
use std::time::Duration;

use parking_lot::Mutex;
use weir_raft::Random;

pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output of SplitMix64 for a state.
pub fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seeded source of randomness.
pub struct Rng(Mutex<u64>);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(Mutex::new(mix(seed.wrapping_add(STEP))))
    }

    /// A source of its own, which does not depend on how much is taken from this one later.
    pub fn fork(&self) -> Rng {
        Rng::new(self.next())
    }

    /// Less than `bound`, which is not 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn within(&self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// True so many times in a thousand.
    pub fn chance(&self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// In microseconds' steps.
    pub fn time(&self, range: Range<Duration>) -> Duration {
        let micros = |time: Duration| time.as_micros() as u64;
        Duration::from_micros(self.within(micros(range.start)..micros(range.end)))
    }

    /// One of `choices`, which are not none.
    pub fn pick<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

impl Random for Rng {
    fn next(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(STEP);
        mix(*state)
    }
}
