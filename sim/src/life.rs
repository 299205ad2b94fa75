//! One run of a node's process: from its start to a crash or a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use weir_raft::NodeId;

use crate::cluster::Crash;

/// Clones are of the same life.
#[derive(Clone)]
pub struct Life {
    inner: Arc<Inner>,
}

struct Inner {
    node: NodeId,
    over: AtomicBool,
    /// It is being stopped as an operator does.
    stopping: AtomicBool,
    /// How and when it is to end.
    doom: Mutex<Option<(Crash, Instant)>>,
    doomed: Notify,
}

impl Life {
    pub fn new(node: NodeId) -> Life {
        Life {
            inner: Arc::new(Inner {
                node,
                over: AtomicBool::new(false),
                stopping: AtomicBool::new(false),
                doom: Mutex::new(None),
                doomed: Notify::new(),
            }),
        }
    }

    pub fn node(&self) -> NodeId {
        self.inner.node
    }

    /// Whether both are the same run of the same process.
    pub fn is(&self, other: &Life) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether what this process does has no effect any more.
    pub fn is_over(&self) -> bool {
        self.inner.over.load(Ordering::Relaxed)
    }

    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.inner.over.store(true, Ordering::Relaxed);
    }

    /// Ends the process from within: it has no effect from now on, and its disk keeps what it had at `at`.
    pub fn doom(&self, crash: Crash, at: Instant) {
        if self.is_over() {
            return;
        }
        self.end();
        *self.inner.doom.lock() = Some((crash, at));
        self.inner.doomed.notify_one();
    }

    /// Returns when the process was ended from within.
    pub async fn doomed(&self) -> (Crash, Instant) {
        loop {
            if let Some(doom) = *self.inner.doom.lock() {
                return doom;
            }
            self.inner.doomed.notified().await;
        }
    }
}
