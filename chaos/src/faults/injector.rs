//! Has the faults of a schedule happen, step by step, and starts nodes again that ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use compat_tests::calls;
use serde::Serialize;

use super::schedule::{Schedule, Step};
use super::{Class, Fault, Target, links};
use crate::load::{LOG, TABLE};
use crate::net::Network;
use crate::net::link::{Counts, Links};
use crate::node::{self, Node};
use crate::time::{self, Micros, Stopwatch};

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);
/// A node that ended by itself is started again so much later, as a service manager does.
const BACK_AFTER_MS: u64 = 1_000;
/// A disk that stalls does so once in this time.
const STALL_PERIOD_MS: u64 = 1_000;

/// What happened, and when.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub at: Micros,
    pub what: String,
}

/// A node that ended though nobody had it end.
#[derive(Debug, Clone, Serialize)]
pub struct Death {
    pub at: Micros,
    pub node: usize,
    pub how: String,
    /// Its disk was full, or had just been.
    pub disk_full: bool,
}

pub struct Injector {
    pub network: Arc<Network>,
    pub nodes: Vec<Node>,
    clock: Stopwatch,
    counts: Counts,
    /// Partitions that were told to move.
    moved: Arc<AtomicU64>,
    pub journal: Vec<Entry>,
    pub deaths: Vec<Death>,
    /// What is to be done, in no order.
    due: Vec<(u64, Action)>,
    /// The node whose disk is full, or was in the last step.
    full: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Start(usize),
    Resume(usize),
    Freeze { node: usize, stalled_ms: u64 },
    Thaw(usize),
}

impl Injector {
    pub fn new(network: Arc<Network>, nodes: Vec<Node>, clock: Stopwatch) -> Injector {
        Injector {
            network,
            nodes,
            clock,
            counts: Counts::new(),
            moved: Arc::default(),
            journal: Vec::new(),
            deaths: Vec::new(),
            due: Vec::new(),
            full: None,
        }
    }

    /// Starts all nodes.
    pub fn start(&mut self) -> Result<()> {
        (0..self.nodes.len()).try_for_each(|node| self.spawn(node))
    }

    /// Plays a schedule to its end, and heals everything.
    pub fn play(&mut self, schedule: &Schedule) -> Result<()> {
        for step in &schedule.steps {
            self.play_step(step)?;
        }
        for fault in &schedule.again {
            let met = self.counts().get(&fault.class()).copied();
            if met.unwrap_or(0) == 0 {
                self.play_step(&Step::alone(self.now_ms(), fault))?;
            }
        }
        Ok(())
    }

    fn play_step(&mut self, step: &Step) -> Result<()> {
        self.tick_until(step.at_ms)?;
        self.begin(step)?;
        self.tick_until(step.at_ms + step.for_ms)?;
        self.heal()
    }

    /// Ends all faults, and has all nodes run.
    pub fn heal(&mut self) -> Result<()> {
        self.network.set(Links::new());
        self.due.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].disk.thaw()?;
            self.nodes[node].disk.free_up()?;
            self.nodes[node].resume()?;
            self.look_after(node)?;
        }
        // Nodes that are down, or on their way.
        self.due.clear();
        for node in 0..self.nodes.len() {
            if !self.nodes[node].is_started() {
                self.spawn(node)?;
            }
        }
        Ok(())
    }

    /// What the classes have touched: packets, processes, disks.
    pub fn counts(&self) -> Counts {
        let mut counts = self.network.counts();
        counts.extend(self.counts.iter());
        let moved = self.moved.load(Ordering::Relaxed);
        counts.extend((moved > 0).then_some((Class::Move, moved)));
        counts
    }

    /// Looks after the nodes until so long after the run's begin.
    pub fn tick_until(&mut self, ms: u64) -> Result<()> {
        while self.now_ms() < ms {
            self.tick()?;
            time::pause(TICK);
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        let now = self.now_ms();
        let (due, later) = self.due.iter().partition(|(at, _)| *at <= now);
        self.due = later;
        let due: Vec<(u64, Action)> = due;
        for (_, action) in due {
            self.act(action)?;
        }
        (0..self.nodes.len()).try_for_each(|node| self.look_after(node))
    }

    fn look_after(&mut self, node: usize) -> Result<()> {
        if let Some(status) = self.nodes[node].ended() {
            self.note(format!("node {} ended by itself: {status}", node + 1));
            self.deaths.push(Death {
                at: self.clock.micros(),
                node: node + 1,
                how: status.to_string(),
                disk_full: self.full == Some(node),
            });
            let at = self.now_ms() + BACK_AFTER_MS;
            self.due.push((at, Action::Start(node)));
        }
        Ok(())
    }

    fn begin(&mut self, step: &Step) -> Result<()> {
        let full = step.faults.iter().find_map(|fault| match fault {
            Fault::DiskFull { node, .. } => Some(*node),
            _ => None,
        });
        // One step longer: a start may only now notice.
        self.full = full.or(self.full.take().filter(|_| step.faults.is_empty()));
        self.network.set(links(&step.faults));
        for fault in &step.faults {
            self.note(format!("begin {}", serde_json::to_string(fault)?));
            self.begin_fault(fault)?;
        }
        if step.faults.is_empty() {
            self.note("quiet".to_owned());
        }
        Ok(())
    }

    fn begin_fault(&mut self, fault: &Fault) -> Result<()> {
        let now = self.now_ms();
        match *fault {
            Fault::Kill {
                node,
                back_after_ms,
            } => {
                self.kill(node, fault.class())?;
                self.due.push((now + back_after_ms, Action::Start(node)));
            }
            Fault::KillAll { back_after_ms } => {
                for node in 0..self.nodes.len() {
                    self.kill(node, fault.class())?;
                    self.due.push((now + back_after_ms, Action::Start(node)));
                }
            }
            Fault::Restart {
                node,
                back_after_ms,
            } => {
                self.count(fault.class(), u64::from(self.nodes[node].is_started()));
                self.nodes[node].begin_stop()?;
                if !self.nodes[node].await_end()? {
                    self.note(format!("node {} did not end when asked", node + 1));
                }
                self.due.push((now + back_after_ms, Action::Start(node)));
            }
            Fault::Pause { node, for_ms } => {
                self.count(fault.class(), u64::from(self.nodes[node].is_started()));
                self.nodes[node].pause()?;
                self.due.push((now + for_ms, Action::Resume(node)));
            }
            Fault::DiskFull { node, leave_kb } => {
                let taken = self.nodes[node].disk.fill(leave_kb)?;
                self.count(fault.class(), taken);
            }
            Fault::DiskStall { node, stalled_ms } => {
                self.due.push((now, Action::Freeze { node, stalled_ms }));
            }
            Fault::Move { ref to, ref rows } => {
                self.begin_to_move(LOG, to);
                self.begin_to_move(TABLE, rows);
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks the nodes, one after the other until one says yes, to move partitions. Nothing else waits for that.
    fn begin_to_move(&self, topic: &'static str, to: &[Target]) {
        if to.is_empty() {
            return;
        }
        let broker = |place: &usize| *place as i32 + 1;
        let to: BTreeMap<i32, Option<Vec<i32>>> = to
            .iter()
            .map(|(partition, places)| (*partition, Some(places.iter().map(broker).collect())))
            .collect();
        let (nodes, moved) = (self.nodes.len(), self.moved.clone());
        std::thread::spawn(move || {
            for place in 0..nodes {
                let codes = calls::reassign(node::kafka(place), topic, &to).unwrap_or_default();
                let begun = codes.iter().filter(|code| **code == 0).count();
                moved.fetch_add(begun as u64, Ordering::Relaxed);
                if begun > 0 {
                    return;
                }
            }
        });
    }

    fn act(&mut self, action: Action) -> Result<()> {
        let now = self.now_ms();
        match action {
            Action::Start(node) => {
                if !self.nodes[node].is_started() {
                    self.spawn(node)?;
                }
            }
            Action::Resume(node) => self.nodes[node].resume()?,
            Action::Freeze { node, stalled_ms } => {
                self.nodes[node].disk.freeze()?;
                self.count(Class::DiskStall, 1);
                self.due.push((now + stalled_ms, Action::Thaw(node)));
                let again = Action::Freeze { node, stalled_ms };
                self.due.push((now + STALL_PERIOD_MS, again));
            }
            Action::Thaw(node) => self.nodes[node].disk.thaw()?,
        }
        Ok(())
    }

    /// Kills a node, also one whose disk stands still or that is stopped.
    pub fn kill(&mut self, node: usize, class: Class) -> Result<()> {
        self.count(class, u64::from(self.nodes[node].is_started()));
        self.nodes[node].kill()
    }

    pub fn spawn(&mut self, node: usize) -> Result<()> {
        self.note(format!("start node {}", node + 1));
        let namespace = self.network.namespace(node);
        self.nodes[node].spawn(namespace)
    }

    fn count(&mut self, class: Class, more: u64) {
        *self.counts.entry(class).or_default() += more;
    }

    fn now_ms(&self) -> u64 {
        self.clock.micros() / 1000
    }

    pub fn note(&mut self, what: String) {
        let at = self.clock.micros();
        println!("{:7.1} s  {what}", at as f64 / 1e6);
        self.journal.push(Entry { at, what });
    }
}
