//! How fast a node does what can wait, as giving others what they lack: as fast as is sure to end, and no faster, so that
//! whom it serves meanwhile notices little.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Bytes per second in any case.
const LEAST_PER_SECOND: u64 = 48 << 20;
/// So many times what the node writes itself, else what can wait would become more and more.
const OF_WRITTEN: u64 = 2;
/// For how long what it writes is counted.
const SAMPLE: Duration = Duration::from_secs(1);

/// Turns for bytes that follow each other.
pub struct Pace {
    state: Mutex<State>,
}

struct State {
    /// When the next bytes may go.
    next: Instant,
    /// Up to where the node had written, and when that was.
    written: u64,
    counted: Instant,
    per_second: u64,
}

impl Pace {
    /// `written`: up to where the node has written, in bytes.
    pub fn new(written: u64) -> Pace {
        let now = Instant::now();
        Pace {
            state: Mutex::new(State {
                next: now,
                written,
                counted: now,
                per_second: LEAST_PER_SECOND,
            }),
        }
    }

    /// Takes the next turn, for so many bytes; how long it is until that. `written` as in [`Pace::new`].
    pub fn take(&self, bytes: u64, written: u64) -> Duration {
        self.state.lock().take(bytes, written)
    }
}

impl State {
    fn take(&mut self, bytes: u64, written: u64) -> Duration {
        let now = Instant::now();
        let since = now - self.counted;
        if since >= SAMPLE {
            let more = written.saturating_sub(self.written) as f64 / since.as_secs_f64();
            self.per_second = LEAST_PER_SECOND.max(OF_WRITTEN * more as u64);
            (self.written, self.counted) = (written, now);
        }
        let turn = self.next.max(now);
        self.next = turn + Duration::from_micros(bytes * 1_000_000 / self.per_second);
        turn - now
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long so many bytes take while the node writes so many a second.
    async fn takes(pace: &Pace, bytes: u64, written_per_second: u64) -> Duration {
        let began = Instant::now();
        let written = || began.elapsed().as_millis() as u64 * written_per_second / 1_000;
        for _ in 0..bytes >> 20 {
            sleep(pace.take(1 << 20, written())).await;
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_given_a_part_of_what_the_node_could() {
        let pace = Pace::new(0);
        let took = takes(&pace, 10 * LEAST_PER_SECOND, 1 << 20).await;
        assert!((9 * SECOND..=10 * SECOND).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_much_gives_more() {
        let pace = Pace::new(0);
        let written_per_second = 4 * LEAST_PER_SECOND;
        let took = takes(
            &pace,
            10 * OF_WRITTEN * written_per_second,
            written_per_second,
        )
        .await;
        assert!((10 * SECOND..=12 * SECOND).contains(&took), "{took:?}");
    }
}
