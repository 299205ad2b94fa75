//! Work that blocks, and where it runs: on threads of its own. A simulator has none, and gives such work its
//! turns on the one thread that it has.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// Where work runs that would hold up its caller.
pub trait Threads: Send + Sync + 'static {
    /// Begins work that may block. The future ends with it, and need not be waited for.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// The same for work that takes long, and calls `pause` now and then.
    fn run_long(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// Leaves the machine to others for about so long. Only for work that `run_long` began.
    fn pause(&self, time: Duration);

    /// Gives a worker a thread until it ends.
    fn start(&self, name: &'static str, worker: Box<dyn Worker>) -> io::Result<()>;
}

/// Wakes a worker that waits.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Work that goes on: it does what there is to do, and waits for more.
pub trait Worker: Send + 'static {
    /// Does what there is to do, and waits for nothing but the disk. `waited` says that it was not woken for
    /// as long as the last turn said.
    fn turn(&mut self, waited: bool) -> Turn;

    /// Tells of what a turn did.
    fn finish(&mut self) {}

    /// Waits for what a turn waits for, on a thread. Returns whether the time has passed.
    fn wait(&mut self, limit: Option<Duration>) -> bool;

    /// Has `wake` called whenever `wait` would end early.
    fn wake_by(&mut self, wake: Wake);
}

/// What a worker's turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was done, and `finish` tells of it.
    Worked,
    /// There is nothing to do until the worker is woken, or this much time has passed.
    Wait(Option<Duration>),
    Ended,
}

/// Does the work on a thread of its own and returns what it comes to; an error if it panics.
pub async fn blocking<T: Send + 'static>(
    threads: &dyn Threads,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (work, done) = told(work);
    threads.run(work).await;
    done.await.map_err(given_up)
}

/// The same for work that takes long.
pub async fn blocking_long<T: Send + 'static>(
    threads: &dyn Threads,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (work, done) = told(work);
    threads.run_long(work).await;
    done.await.map_err(given_up)
}

/// The work, and what it comes to.
fn told<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Box<dyn FnOnce() + Send>, oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    let work = Box::new(move || drop(sender.send(work())));
    (work, receiver)
}

fn given_up(_: oneshot::error::RecvError) -> io::Error {
    io::Error::other("the work was given up")
}

/// The operating system's threads.
pub struct RealThreads;

impl Threads for RealThreads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let running = tokio::task::spawn_blocking(work);
        Box::pin(async move {
            if let Err(error) = running.await {
                tracing::error!(%error, "work beside the runtime ended early");
            }
        })
    }

    fn run_long(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.run(work)
    }

    fn pause(&self, time: Duration) {
        tokio::runtime::Handle::current().block_on(tokio::time::sleep(time));
    }

    fn start(&self, name: &'static str, mut worker: Box<dyn Worker>) -> io::Result<()> {
        let thread = std::thread::Builder::new().name(name.into());
        let spawned = thread.spawn(move || {
            let mut waited = false;
            loop {
                match worker.turn(waited) {
                    Turn::Worked => {
                        worker.finish();
                        waited = false;
                    }
                    Turn::Wait(limit) => waited = worker.wait(limit),
                    Turn::Ended => return,
                }
            }
        });
        spawned.map(drop)
    }
}
