//! The runtime as openraft sees it: tokio, but that timers may fire together.
//!
//! Each shard ticks two dozen times a second, and openraft spreads the shards' ticks. What an idle node costs is
//! waking up for them, so there they are gathered: a timer fires at the next of some regular moments.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use openraft::rt::AsyncRuntime;
use openraft_rt_tokio::{TokioInstant, TokioRuntime};
use tokio::time::{Instant, Sleep, sleep_until};

thread_local! {
    static MOMENTS: Cell<Option<Moments>> = const { Cell::new(None) };
}

/// When timers fire.
#[derive(Clone, Copy)]
struct Moments {
    first: Instant,
    apart: Duration,
}

impl Moments {
    /// The first one that is not before `time`.
    fn at_or_after(self, time: Instant) -> Instant {
        let since = time.saturating_duration_since(self.first).as_micros() as u64;
        let apart = self.apart.as_micros() as u64;
        self.first + Duration::from_micros(since.next_multiple_of(apart))
    }
}

/// From now on has the timers of shards that run on this thread fire together, each up to `apart` late.
pub fn gather_timers(apart: Duration) {
    assert!(apart >= Duration::from_millis(1), "moments are apart");
    let first = Instant::now();
    MOMENTS.set(Some(Moments { first, apart }));
}

#[derive(Debug)]
pub struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: Send + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = TokioInstant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + Send> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: Send + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        TokioRuntime::sleep(duration)
    }

    /// What ticks wait by.
    fn sleep_until(deadline: TokioInstant) -> Sleep {
        let Some(moments) = MOMENTS.get() else {
            return TokioRuntime::sleep_until(deadline);
        };
        let now = <TokioInstant as openraft::rt::Instant>::now();
        let at = Instant::now() + (deadline - now);
        sleep_until(moments.at_or_after(at))
    }

    fn timeout<R, F: Future<Output = R> + Send>(limit: Duration, future: F) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(limit, future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(
        deadline: TokioInstant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn new(threads: usize) -> Runtime {
        Runtime(TokioRuntime::new(threads))
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APART: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn timers_fire_together_once_they_are_gathered() {
        let after = |ms| {
            let now = <TokioInstant as openraft::rt::Instant>::now();
            Runtime::sleep_until(now + Duration::from_millis(ms))
        };
        let began = Instant::now();
        after(7).await;
        assert_eq!(began.elapsed(), Duration::from_millis(7));
        gather_timers(APART);
        let began = Instant::now();
        for (ms, fires) in [(1, 50), (40, 100), (50, 150), (51, 250), (0, 250)] {
            after(ms).await;
            assert_eq!(began.elapsed(), Duration::from_millis(fires), "{ms}");
        }
        MOMENTS.set(None);
    }
}
