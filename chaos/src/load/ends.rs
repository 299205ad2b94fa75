//! Asks every node where partitions end: who does not lead says so, and who does must not name an end that is too low.

use std::sync::Arc;

use compat_tests::calls;
use compat_tests::luck::Luck;

use super::{LOG, LOG_PARTITIONS, Scene, pace};
use crate::history::End;
use crate::node;

const PAUSE_MS: u64 = 25;

/// Asks until the end.
pub fn run(scene: &Arc<Scene>) {
    let mut luck = Luck::new(scene.seed ^ (1 << 40));
    while scene.goes_on() {
        let node = luck.below(scene.nodes as u64) as usize;
        let partition = luck.below(LOG_PARTITIONS as u64) as i32;
        let began = scene.recorder.clock.micros();
        if let Ok(Ok(offset)) = calls::end_offset(node::kafka(node), LOG, partition) {
            let end = End {
                node,
                partition,
                offset,
                began,
                ended: scene.recorder.clock.micros(),
            };
            scene.recorder.note(|history| history.ends.push(end));
        }
        pace(&mut luck, PAUSE_MS);
    }
}
