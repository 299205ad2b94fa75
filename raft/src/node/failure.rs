//! A replica that stops without being asked to: it votes, stores and applies nothing any more, and its process looks
//! well. So the process ends, as where the WAL fails, and what a restart finds is told at the start.
//!
//! A state machine that panics stops its own replica only. Every other one stops at that entry as well, and so does this
//! one after a restart, so nothing is won by ending what the node's other shards do.

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;

use super::shard::Raft;
use crate::group::Group;

/// Called when a replica has stopped.
pub async fn tell(raft: &Raft, group: &Group) {
    // One that ended says why. One that panicked could not, and openraft, when asked, logs an error that it is gone.
    let ended = raft.metrics().borrow_watched().running_state.clone();
    let why = match ended {
        Err(why) => Err(why),
        Ok(()) => raft.is_initialized().await,
    };
    let why = match why {
        Ok(_) | Err(Fatal::Stopped) => return,
        Err(why) => why,
    };
    let shard = group.shard;
    if let Some(entry) = group.panicked_at() {
        tracing::error!(
            %shard,
            entry,
            "the replica of a shard here has stopped, for its state machine panicked: this is a bug of weir; report it \
             with the lines before this one"
        );
        return;
    }
    group.die(&format!(
        "the replica of shard {shard} here has stopped: {why}"
    ));
}
