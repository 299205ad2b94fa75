//! Everything that happened, as one hash, and the last of it in words.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::random::mix;

/// How many of the last events are kept for a report.
const KEPT: usize = 400;

/// An event's kind and what tells it from others.
type Event = (Duration, &'static str, [u64; 5]);

pub struct Trace {
    start: Instant,
    /// Whether events are printed as they come.
    prints: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hash: u64,
    count: u64,
    last: VecDeque<Event>,
    faults: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub fn new(prints: bool) -> Trace {
        Trace {
            start: Instant::now(),
            prints,
            state: Mutex::default(),
        }
    }

    /// Since the run's start, by the run's clock.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn event<const N: usize>(&self, kind: &'static str, fields: [u64; N]) {
        const { assert!(N <= 5) };
        let now = self.now();
        let mut all = [0; 5];
        all[..N].copy_from_slice(&fields);
        let mut state = self.state.lock();
        let mut hash = mix(state.hash ^ now.as_nanos() as u64);
        for byte in kind.bytes() {
            hash = hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte);
        }
        for field in all {
            hash = mix(hash.wrapping_add(field));
        }
        state.hash = hash;
        state.count += 1;
        if state.last.len() == KEPT {
            state.last.pop_front();
        }
        state.last.push_back((now, kind, all));
        drop(state);
        if self.prints {
            println!("{}", line(&(now, kind, all)));
        }
    }

    /// A fault that was done to the cluster; counted by its class.
    pub fn fault<const N: usize>(&self, class: &'static str, fields: [u64; N]) {
        self.event(class, fields);
        *self.state.lock().faults.entry(class).or_default() += 1;
    }

    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().faults.clone()
    }

    pub fn hash(&self) -> u64 {
        self.state.lock().hash
    }

    pub fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// The last events, one a line.
    pub fn last(&self) -> String {
        let state = self.state.lock();
        let lines: Vec<String> = state.last.iter().map(line).collect();
        lines.join("\n")
    }
}

fn line((time, kind, fields): &Event) -> String {
    let mut fields = &fields[..];
    while let [before @ .., 0] = fields {
        fields = before;
    }
    format!("{:12.6} {kind} {fields:?}", time.as_secs_f64())
}
