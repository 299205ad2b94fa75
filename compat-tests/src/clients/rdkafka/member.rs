//! A consumer of a group on a thread of its own; commits after each record.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};

use super::client::{Client, Seen};

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    owned: Mutex<BTreeSet<i32>>,
    leaving: AtomicBool,
}

struct Watch(Arc<State>);

impl ClientContext for Watch {}

impl ConsumerContext for Watch {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut owned = self.0.owned.lock().expect("no reader panicked");
        *owned = match rebalance {
            Rebalance::Assign(partitions) => {
                let elements = partitions.elements();
                elements
                    .iter()
                    .map(|partition| partition.partition())
                    .collect()
            }
            Rebalance::Revoke(_) | Rebalance::Error(_) => BTreeSet::new(),
        };
    }
}

pub struct Member {
    state: Arc<State>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Member {
    pub fn join(client: &Client, topic: &str, group: &str) -> Result<Member> {
        let state = Arc::new(State::default());
        let consumer: BaseConsumer<Watch> = client
            .configured()
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "200")
            .create_with_context(Watch(state.clone()))?;
        consumer.subscribe(&[topic])?;
        let mine = state.clone();
        let thread = std::thread::spawn(move || read(&consumer, &mine));
        Ok(Member {
            state,
            thread: Some(thread),
        })
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no reader panicked").clone()
    }

    pub fn count(&self) -> usize {
        self.state.seen.lock().expect("no reader panicked").len()
    }

    pub fn assigned(&self) -> BTreeSet<i32> {
        self.state.owned.lock().expect("no reader panicked").clone()
    }

    /// Leaves the group; what it read stays.
    pub fn leave(&mut self) -> Result<()> {
        self.state.leaving.store(true, Ordering::Release);
        match self.thread.take() {
            Some(thread) => thread.join().expect("the reader does not panic"),
            None => Ok(()),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

fn read(consumer: &BaseConsumer<Watch>, state: &State) -> Result<()> {
    while !state.leaving.load(Ordering::Acquire) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let seen = Seen::of(&message);
        state.seen.lock().expect("no reader panicked").push(seen);
        consumer.commit_message(&message, CommitMode::Sync)?;
    }
    Ok(())
}
