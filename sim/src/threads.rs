//! Threads as turns of one task each. What blocks is done at once, and told of when its disk operations would
//! have ended. Work that takes long has a stack of its own, which it leaves where it pauses: one thread of the
//! operating system, which runs while the run's own one waits for it.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
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

/// Why long work gave the run its thread back.
enum Left {
    Paused(Duration),
    Ended(std::thread::Result<()>),
}

/// Long work's ends of the two channels by which it and the run take turns.
struct Aside {
    leave: Sender<Left>,
    resumed: Receiver<()>,
}

thread_local! {
    static ASIDE: RefCell<Option<Aside>> = const { RefCell::new(None) };
}

/// Starts a thread that does the work once it is resumed.
fn aside(work: Box<dyn FnOnce() + Send>) -> (Sender<()>, Receiver<Left>) {
    let (resume, resumed) = channel();
    let (leave, left) = channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("aside".into());
    let spawned = thread.spawn(move || {
        // So that it has the run's clock.
        let _entered = runtime.enter();
        if resumed.recv().is_err() {
            return;
        }
        let told = leave.clone();
        ASIDE.set(Some(Aside { leave, resumed }));
        let ended = catch_unwind(AssertUnwindSafe(work));
        // Nobody hears it at the end of a run.
        let _ = told.send(Left::Ended(ended));
    });
    spawned.expect("a thread");
    (resume, left)
}

impl Threads for SimThreads {
    fn run_long(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let disk = self.disk.clone();
        let (resume, left) = aside(work);
        let running = tokio::spawn(async move {
            loop {
                resume.send(()).expect("it waits");
                let left = left.recv().expect("it says why it leaves");
                let pause = match &left {
                    Left::Paused(pause) => *pause,
                    Left::Ended(_) => Duration::ZERO,
                };
                sleep_until(disk.busy_until().max(Instant::now() + pause)).await;
                match left {
                    Left::Paused(_) => {}
                    Left::Ended(Ok(())) => return,
                    Left::Ended(Err(panic)) => resume_unwind(panic),
                }
            }
        });
        Box::pin(ended(running))
    }

    fn pause(&self, time: Duration) {
        ASIDE.with_borrow(|aside| {
            let aside = aside.as_ref().expect("only long work pauses");
            let left = aside.leave.send(Left::Paused(time)).is_ok();
            // The run is over, and so is its process in a moment.
            if !left || aside.resumed.recv().is_err() {
                std::thread::park();
            }
        });
    }

    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let disk = self.disk.clone();
        let running = tokio::spawn(async move {
            work();
            sleep_until(disk.busy_until()).await;
        });
        Box::pin(ended(running))
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

async fn ended(running: JoinHandle<()>) {
    if let Err(error) = running.await
        && let Ok(panic) = error.try_into_panic()
    {
        resume_unwind(panic);
    }
}
