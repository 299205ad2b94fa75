//! Randomness, taken as an argument, so that a seed repeats a run.

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use uuid::Uuid;

/// Source of random bits.
pub trait Random: Send + Sync + 'static {
    fn next_u64(&self) -> u64;

    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        let bits = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// A generator seeded by the operating system, or by a test.
pub struct Generator(Mutex<StdRng>);

impl Generator {
    pub fn from_os() -> Generator {
        Generator(Mutex::new(StdRng::from_os_rng()))
    }

    pub fn seeded(seed: u64) -> Generator {
        Generator(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Random for Generator {
    fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }
}
