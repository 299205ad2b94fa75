//! Randomness that the seed decides, for code that asks the operating system for it: the standard library's
//! hashers, tokio's order of branches, openraft's election timeouts.
//!
//! All of them end in the C library's `getrandom`, so this crate defines a function of that name, which every
//! program that links it gets instead. Until `seed` is called it answers with the system's randomness. What
//! also counts process-wide is the same in each new process, which is why a run has one of its own.

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static SEEDED: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);

/// From now on this process's randomness follows from `seed`.
pub fn seed(seed: u64) {
    STATE.store(seed, Ordering::Relaxed);
    SEEDED.store(true, Ordering::Relaxed);
}

/// Replaces the C library's function; returns how many bytes were filled, or -1.
#[unsafe(no_mangle)]
#[allow(
    unsafe_code,
    reason = "the one way to decide what the standard library and openraft take for random"
)]
extern "C" fn getrandom(buffer: *mut u8, len: usize, _flags: u32) -> isize {
    if len == 0 {
        return 0;
    }
    // SAFETY: callers of the C function pass `len` bytes that may be written.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, len) };
    match SEEDED.load(Ordering::Relaxed) {
        true => {
            for chunk in bytes.chunks_mut(8) {
                let next = STATE.fetch_add(crate::random::STEP, Ordering::Relaxed);
                chunk.copy_from_slice(&crate::random::mix(next).to_le_bytes()[..chunk.len()]);
            }
        }
        false => {
            let source = std::fs::File::open("/dev/urandom");
            if source.and_then(|mut file| file.read_exact(bytes)).is_err() {
                return -1;
            }
        }
    }
    len as isize
}
