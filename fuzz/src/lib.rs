//! What the fuzz targets share: bounds on memory and time, seeds, and ways to take an input apart.
//!
//! A target is a file in `targets/` that calls [`target!`] with its bounds, its seeds and a function of the input.

use std::alloc::System;
use std::path::PathBuf;
use std::time::Duration;

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};

pub use libfuzzer_sys;

/// Refuses what is above the limit of [`within`], which ends the process and so shows the input.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What one input may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Memory at any moment, beside that of the input: so much, and so much more for each of its bytes.
    pub base_bytes: usize,
    pub per_byte: usize,
    /// Time of the processor, in an optimised build with coverage.
    pub cpu: Duration,
}

impl Bounds {
    pub const fn new(base_bytes: usize, per_byte: usize, cpu_ms: u64) -> Bounds {
        Bounds {
            base_bytes,
            per_byte,
            cpu: Duration::from_millis(cpu_ms),
        }
    }
}

/// Makes a file a fuzz target: `target!(BOUNDS, seeds, run)`, where `seeds` gives the inputs to start from and `run`
/// panics where something is wrong.
#[macro_export]
macro_rules! target {
    ($bounds:expr, $seeds:path, $run:path) => {
        $crate::libfuzzer_sys::fuzz_target!(init: $crate::prepare($seeds, $run), |bytes: &[u8]| {
            $crate::bounded($bounds, bytes, $run)
        });
    };
}

/// Writes the seeds into the folder that `WEIR_FUZZ_SEEDS` names, and ends; without it, runs them once, so that what
/// is made once and kept is not counted as an input's.
pub fn prepare(seeds: fn() -> Vec<Vec<u8>>, run: fn(&[u8])) {
    // What a panic says takes memory too.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = ALLOCATOR.set_limit(usize::MAX);
        hook(panic);
    }));
    let seeds = seeds();
    let Some(folder) = std::env::var_os("WEIR_FUZZ_SEEDS").map(PathBuf::from) else {
        seeds.iter().for_each(|seed| run(seed));
        return;
    };
    for (number, seed) in seeds.iter().enumerate() {
        let path = folder.join(format!("seed-{number:03}"));
        std::fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    std::process::exit(0);
}

/// Runs one input within the bounds.
pub fn bounded(bounds: Bounds, bytes: &[u8], run: fn(&[u8])) {
    let started = cpu_time();
    within(bounds.base_bytes + bounds.per_byte * bytes.len(), || {
        run(bytes)
    });
    let took = cpu_time() - started;
    assert!(took <= bounds.cpu, "{} bytes took {took:?}", bytes.len());
}

/// Ends the process where `run` holds more than `bytes` at any moment. May be nested: the inner limit counts as long
/// as it lasts.
pub fn within<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    let outer = ALLOCATOR.limit();
    let limit = ALLOCATOR.allocated().saturating_add(bytes).min(outer);
    ALLOCATOR
        .set_limit(limit)
        .expect("no less than what is allocated");
    let result = run();
    ALLOCATOR.set_limit(outer).expect("a higher limit");
    result
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Takes an input apart from its front; what is not there is zero or empty.
#[derive(Debug, Clone)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut value = [0; N];
        let there = self.take(N);
        value[..there.len()].copy_from_slice(there);
        value
    }

    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }

    /// The next bytes, at most so many.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next bytes, as many as the two before them say.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = self.u16();
        self.take(length.into())
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of a list.
    pub fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[usize::from(self.u8()) % list.len()]
    }
}

/// Bytes that [`Input::piece`] takes as one.
pub fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a piece is below 64 KiB");
    [&length.to_le_bytes(), bytes].concat()
}
