//! kill -9 under an idempotent producer, writers of a table's rows, a committing group and registrations: nothing
//! that was acknowledged is lost, nothing is doubled, offsets are dense, and the rows are the fold of the log.
//! Invariants: C1, C4, D1, L1, L4, L5, L6, L7, P1, P3, S1, S3, S4.

use std::time::Duration;

use compat_tests::weir::Weir;
use compat_tests::writers::{Run, Writers};

/// At least so much of each kind is acknowledged, in the order of `writers::KINDS`, in a run of any length.
const LEAST: [u64; 5] = [500, 500, 200, 30, 30];

/// How often the broker is killed: few in a normal run, `WEIR_KILL_CYCLES` for a long one.
fn cycles() -> u32 {
    let told = std::env::var("WEIR_KILL_CYCLES").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(15)
}

/// How long the values are: `WEIR_KILL_VALUE_BYTES` for a run in which records move out of the write-ahead log.
fn value_bytes() -> usize {
    let told = std::env::var("WEIR_KILL_VALUE_BYTES").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let mut weir = Weir::start().expect("weir starts");
    let run = Run::of(&weir, value_bytes());
    let writers = Writers::start(&run).await;
    for cycle in 0..cycles() {
        let before = writers.acknowledged();
        tokio::time::sleep(Duration::from_millis(200 + u64::from(cycle * 37 % 300))).await;
        writers.pass(before).await;
        weir.kill().expect("killed");
        weir.launch().expect("weir starts again");
    }
    let written = writers.finish().await;
    for (count, least) in written.acknowledged.into_iter().zip(LEAST) {
        let least = least.max(2 * u64::from(cycles()));
        assert!(
            count > least,
            "{count} acknowledged, too few to say anything"
        );
    }
    written.check().await;
}
