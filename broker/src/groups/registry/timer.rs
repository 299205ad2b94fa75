//! The task that keeps the time of all groups on a node.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::expiry::Expiry;
use super::{Groups, until};

/// Runs as long as the node.
pub async fn run(groups: Arc<Groups>) {
    let env = groups.env.clone();
    let mut metadata = groups.meta.changed();
    let mut attached = groups.partitions.watch();
    let mut expiry = Expiry::new(&groups);
    loop {
        // Whatever is set from here on rings the alarm, as it may come too late for this pass.
        env.wakes_at.store(u64::MAX, Ordering::Release);
        let alarms = groups
            .all()
            .into_iter()
            .filter_map(|coordinator| coordinator.pass());
        let next = alarms
            .min()
            .map_or(expiry.next(), |at| at.min(expiry.next()));
        env.wakes_at.store(next, Ordering::Release);
        tokio::select! {
            () = env.alarm.notified() => {}
            () = tokio::time::sleep(until(&env, next)) => {}
            changed = metadata.changed() => {
                if changed.is_err() {
                    return;
                }
                metadata.borrow_and_update();
                expiry.topics_changed(&groups);
            }
            changed = attached.changed() => {
                if changed.is_err() {
                    return;
                }
                attached.borrow_and_update();
            }
        }
        expiry.run_if_due(&groups);
    }
}
