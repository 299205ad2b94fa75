//! How fast a node does what can wait, as giving others what they lack, or moving records out of the log: so fast that
//! those whom it serves meanwhile hardly notice, and as fast as is sure to end.
//!
//! Whoever waits for an ack waits for a sync of the log. So every few seconds nothing of the kind is done for a moment, to
//! see how long a sync takes then. Between, it goes faster while syncs take little longer, and slower when they take much
//! longer, whether the disk or the processors are at their limit. BBR finds the delay of an idle network like that
//! (Cardwell et al. 2016, ProbeRTT).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Bytes per second at first,
const FIRST_PER_SECOND: u64 = 48 << 20;
/// and at least, and at most.
const LEAST_PER_SECOND: u64 = 16 << 20;
const MOST_PER_SECOND: u64 = 256 << 20;
/// In any case so many times what the node writes itself, else what can wait would become more and more.
const OF_WRITTEN: u64 = 2;
/// How often is looked at what came of it.
const SAMPLE: Duration = Duration::from_millis(250);
/// How often it rests, if there is something to do at all.
const REST_EVERY: Duration = Duration::from_secs(10);
/// What was begun before has ended after so much of a rest,
const DRAIN: Duration = Duration::from_millis(100);
/// and for so long what syncs take is counted.
const REST: Duration = Duration::from_millis(200);
/// With fewer syncs in that time there is nobody who would notice.
const SOME_SYNCS: u64 = 16;

/// Turns for bytes that follow each other.
pub struct Pace {
    state: Mutex<State>,
}

struct State {
    /// When the next bytes may go.
    next: Instant,
    per_second: u64,
    /// What a sync takes while nothing that can wait is done, in microseconds; `None` while there is nobody who would
    /// notice.
    usual: Option<u64>,
    /// The last one, or the one that is to come.
    rest: Option<Rest>,
    /// What has come since it was looked at last, and since when that is.
    since: Instant,
    syncs: Syncs,
    taken: u64,
    /// Up to where the node had written then.
    written: u64,
}

/// A while in which no turn comes.
struct Rest {
    from: Instant,
    until: Instant,
    syncs: Syncs,
    /// Whether it has told what is usual.
    is_over: bool,
}

#[derive(Default)]
struct Syncs {
    count: u64,
    micros: u64,
}

impl Syncs {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.micros += took.as_micros() as u64;
    }

    /// The mean, if they are enough to say something.
    fn mean(&self) -> Option<u64> {
        (self.count >= SOME_SYNCS).then(|| self.micros / self.count)
    }
}

impl Pace {
    /// `written`: up to where the node has written, in bytes.
    pub fn new(written: u64) -> Pace {
        let now = Instant::now();
        Pace {
            state: Mutex::new(State {
                next: now,
                per_second: FIRST_PER_SECOND,
                usual: None,
                rest: None,
                since: now,
                syncs: Syncs::default(),
                taken: 0,
                written,
            }),
        }
    }

    /// Notes how long a sync of the log took.
    pub fn synced(&self, took: Duration) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Some(rest) = &mut state.rest
            && (rest.from..rest.until).contains(&now)
        {
            rest.syncs.add(took);
        }
        state.syncs.add(took);
    }

    /// Takes the next turn, for so many bytes; how long it is until that. `written` as in [`Pace::new`].
    pub fn take(&self, bytes: u64, written: u64) -> Duration {
        self.state.lock().take(bytes, written, Instant::now())
    }
}

impl State {
    fn take(&mut self, bytes: u64, written: u64, now: Instant) -> Duration {
        let rests = self.rest.as_mut().filter(|rest| !rest.is_over);
        if let Some(rest) = rests {
            if now >= rest.until {
                self.usual = rest.syncs.mean();
                rest.is_over = true;
                self.begin_sample(written, now);
            }
        } else if now - self.since >= SAMPLE {
            match self.is_due_to_rest(now) {
                true => self.begin_rest(now),
                false => self.look(written, now),
            }
            self.begin_sample(written, now);
        }
        self.taken += bytes;
        let turn = self.next.max(now);
        self.next = turn + Duration::from_micros(bytes * 1_000_000 / self.per_second);
        turn - now
    }

    fn is_due_to_rest(&self, now: Instant) -> bool {
        let last = self.rest.as_ref().map(|rest| rest.until);
        let rested = last.is_some_and(|until| now - until < REST_EVERY);
        !rested && self.taken_per_second(now) >= LEAST_PER_SECOND / 2
    }

    fn begin_rest(&mut self, now: Instant) {
        let from = self.next.max(now) + DRAIN;
        let until = from + REST;
        self.next = until;
        self.rest = Some(Rest {
            from,
            until,
            syncs: Syncs::default(),
            is_over: false,
        });
    }

    fn taken_per_second(&self, now: Instant) -> u64 {
        per_second(self.taken, now - self.since)
    }

    fn begin_sample(&mut self, written: u64, now: Instant) {
        self.since = now;
        self.syncs = Syncs::default();
        (self.taken, self.written) = (0, written);
    }

    /// Finds the pace for what has come since it was looked at last.
    fn look(&mut self, written: u64, now: Instant) {
        let is_noticed = match (self.syncs.mean(), self.usual) {
            (Some(took), Some(usual)) => 2 * took > 3 * usual,
            _ => false,
        };
        let is_used = self.taken_per_second(now) >= self.per_second / 2;
        let pace = match (is_noticed, is_used) {
            (true, _) => self.per_second / 4 * 3,
            (false, true) => self.per_second / 8 * 9,
            (false, false) => self.per_second,
        };
        let written = per_second(written.saturating_sub(self.written), now - self.since);
        self.per_second = pace
            .clamp(LEAST_PER_SECOND, MOST_PER_SECOND)
            .max(OF_WRITTEN * written);
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64()) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MIB: u64 = 1 << 20;

    /// A node on whose disk others wait the longer, the more is done beside them.
    struct Node {
        pace: Pace,
        began: Instant,
        written_per_second: u64,
        /// When a MiB was done.
        done: Mutex<VecDeque<Instant>>,
    }

    impl Node {
        fn new(written_per_second: u64) -> Node {
            Node {
                pace: Pace::new(0),
                began: Instant::now(),
                written_per_second,
                done: Mutex::default(),
            }
        }

        fn written(&self) -> u64 {
            self.began.elapsed().as_millis() as u64 * self.written_per_second / 1_000
        }

        /// What a second's work would be after the last tenth of one.
        fn per_second(&self) -> u64 {
            let mut done = self.done.lock();
            while done.front().is_some_and(|at| at.elapsed() > SECOND / 10) {
                done.pop_front();
            }
            10 * MIB * done.len() as u64
        }

        /// Syncs all the time; `micros` says how long it takes beside so much work a second.
        async fn sync(&self, micros: impl Fn(u64) -> u64) -> u64 {
            loop {
                sleep(SECOND / 1_000).await;
                let took = Duration::from_micros(micros(self.per_second()));
                self.pace.synced(took);
            }
        }

        /// Does what can wait for so long; returns how much of it each second.
        async fn work(&self, time: Duration) -> u64 {
            let (began, mut bytes) = (Instant::now(), 0);
            while began.elapsed() < time {
                sleep(self.pace.take(MIB, self.written())).await;
                self.done.lock().push_back(Instant::now());
                bytes += MIB;
            }
            per_second(bytes, began.elapsed())
        }

        async fn goes(&self, time: Duration, micros: impl Fn(u64) -> u64) -> u64 {
            tokio::select! {
                pace = self.work(time) => pace,
                pace = self.sync(micros) => pace,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_as_fast_as_others_hardly_notice() {
        let node = Node::new(0);
        // Half as long again beside 80 MiB a second.
        let micros = |per_second| 100 + per_second * 50 / (80 * MIB);
        node.goes(10 * SECOND, micros).await;
        let pace = node.goes(60 * SECOND, micros).await / MIB;
        assert!((60..=90).contains(&pace), "{pace} MiB a second");
        // When others do more themselves, a sync takes longer with or without what is done here.
        let busier = |per_second| 3 * micros(per_second);
        node.goes(10 * SECOND, busier).await;
        let pace = node.goes(60 * SECOND, busier).await / MIB;
        assert!((60..=90).contains(&pace), "{pace} MiB a second");
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_of_it_is_noticed_it_goes_on_slowly() {
        let micros = |per_second| if per_second == 0 { 100 } else { 1_000 };
        let node = Node::new(0);
        node.goes(10 * SECOND, micros).await;
        let pace = node.goes(10 * SECOND, micros).await / MIB;
        assert!((15..=16).contains(&pace), "{pace} MiB a second");
        let node = Node::new(100 * MIB);
        let pace = node.goes(20 * SECOND, micros).await / MIB;
        assert!((180..=200).contains(&pace), "twice what is written: {pace}");
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_waits_it_goes_fast() {
        let node = Node::new(0);
        node.work(10 * SECOND).await;
        let per_second = node.pace.state.lock().per_second;
        assert_eq!(per_second, MOST_PER_SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_faster_for_having_had_little_to_do() {
        let node = Node::new(0);
        for _ in 0..100 {
            node.pace.take(MIB, 0);
            sleep(SECOND / 4).await;
        }
        let per_second = node.pace.state.lock().per_second;
        assert_eq!(per_second, FIRST_PER_SECOND);
    }
}
