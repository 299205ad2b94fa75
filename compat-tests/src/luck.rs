//! Chance from a seed.

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub struct Luck(u64);

impl Luck {
    pub fn new(seed: u64) -> Luck {
        Luck(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the numbers below `count`.
    pub fn below(&mut self, count: u64) -> u64 {
        self.draw() % count
    }

    /// Yes in `percent` of all cases.
    pub fn says(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
