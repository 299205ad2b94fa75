//! Threads as turns of one task each. What blocks is done at once, and told of when its disk operations would
//! have ended.

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout};
use weir_raft::{Threads, Turn, Worker};

use crate::disk::SimDisk;

/// The threads of one node's process.
pub struct SimThreads {
    disk: SimDisk,
}

impl SimThreads {
    pub fn new(disk: SimDisk) -> SimThreads {
        SimThreads { disk }
    }
}

impl Threads for SimThreads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let disk = self.disk.clone();
        let running = tokio::spawn(async move {
            work();
            sleep_until(disk.busy_until()).await;
        });
        Box::pin(async move {
            if let Err(error) = running.await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        })
    }

    fn start(&self, _name: &'static str, mut worker: Box<dyn Worker>) -> io::Result<()> {
        let disk = self.disk.clone();
        let woken = Arc::new(Notify::new());
        let wake = woken.clone();
        worker.wake_by(Arc::new(move || wake.notify_one()));
        tokio::spawn(async move {
            let mut waited = false;
            loop {
                match worker.turn(waited) {
                    Turn::Worked => {
                        sleep_until(disk.busy_until()).await;
                        worker.finish();
                        waited = false;
                    }
                    Turn::Wait(None) => {
                        woken.notified().await;
                        waited = false;
                    }
                    Turn::Wait(Some(limit)) => {
                        // What a turn did before it began to wait takes its time too.
                        sleep_until(disk.busy_until()).await;
                        waited = timeout(limit, woken.notified()).await.is_err();
                    }
                    Turn::Ended => return,
                }
            }
        });
        Ok(())
    }
}
