//! What goes wrong: the classes of faults, one fault with its numbers, the [`schedule`] that a seed gives, and the
//! [`injector`] that has it happen.

pub mod injector;
pub mod schedule;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::link::{Link, Links};

/// A kind of fault. A run must meet each one that it was to meet.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Packets take longer.
    Delay,
    /// Packets get lost.
    Loss,
    /// Packets overtake each other.
    Reorder,
    /// Packets come twice.
    Duplicate,
    /// Packets pass in one direction only.
    OneWay,
    /// Some nodes reach some others, and not the rest.
    Partition,
    /// Links come and go.
    Flap,
    /// Links carry few bytes a second.
    SlowLink,
    /// kill -9, and a start later.
    Kill,
    /// kill -9 of all nodes at once.
    KillAll,
    /// SIGTERM, and a start later.
    Restart,
    /// SIGSTOP, and SIGCONT later.
    Pause,
    /// The file system of a node has next to no bytes left.
    DiskFull,
    /// Writes and syncs of a node's file system stand still again and again.
    DiskStall,
    /// Partitions are moved to other nodes, or to others to lead.
    Move,
}

impl Class {
    pub const ALL: [Class; 15] = [
        Class::Delay,
        Class::Loss,
        Class::Reorder,
        Class::Duplicate,
        Class::OneWay,
        Class::Partition,
        Class::Flap,
        Class::SlowLink,
        Class::Kill,
        Class::KillAll,
        Class::Restart,
        Class::Pause,
        Class::DiskFull,
        Class::DiskStall,
        Class::Move,
    ];

    /// Whether it happens to a node and not to links: a node has one of these at a time.
    pub fn is_of_node(self) -> bool {
        use Class::*;
        matches!(
            self,
            Kill | KillAll | Restart | Pause | DiskFull | DiskStall
        )
    }
}

/// From one port to another.
pub type Way = (usize, usize);

/// One fault. It begins with its step; a network's and a disk's end with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "kebab-case")]
pub enum Fault {
    Delay {
        ways: Vec<Way>,
        ms: u64,
    },
    Loss {
        ways: Vec<Way>,
        percent: u64,
    },
    Reorder {
        ways: Vec<Way>,
        percent: u64,
        ms: u64,
    },
    Duplicate {
        ways: Vec<Way>,
        percent: u64,
    },
    OneWay {
        ways: Vec<Way>,
    },
    Partition {
        ways: Vec<Way>,
    },
    Flap {
        ways: Vec<Way>,
        period_ms: u64,
    },
    SlowLink {
        ways: Vec<Way>,
        bytes_per_second: u64,
    },
    Kill {
        node: usize,
        back_after_ms: u64,
    },
    KillAll {
        back_after_ms: u64,
    },
    Restart {
        node: usize,
        back_after_ms: u64,
    },
    Pause {
        node: usize,
        for_ms: u64,
    },
    DiskFull {
        node: usize,
        leave_kb: u64,
    },
    /// It stands still for so long in every period of a second.
    DiskStall {
        node: usize,
        stalled_ms: u64,
    },
    /// Partitions of the log and of the table, and the nodes that each is to lie on, in the order in which they are to
    /// lead.
    Move {
        to: Vec<Target>,
        #[serde(default)]
        rows: Vec<Target>,
    },
}

/// A partition, and where it goes.
pub type Target = (i32, Vec<usize>);

impl Fault {
    pub fn class(&self) -> Class {
        match self {
            Fault::Delay { .. } => Class::Delay,
            Fault::Loss { .. } => Class::Loss,
            Fault::Reorder { .. } => Class::Reorder,
            Fault::Duplicate { .. } => Class::Duplicate,
            Fault::OneWay { .. } => Class::OneWay,
            Fault::Partition { .. } => Class::Partition,
            Fault::Flap { .. } => Class::Flap,
            Fault::SlowLink { .. } => Class::SlowLink,
            Fault::Kill { .. } => Class::Kill,
            Fault::KillAll { .. } => Class::KillAll,
            Fault::Restart { .. } => Class::Restart,
            Fault::Pause { .. } => Class::Pause,
            Fault::DiskFull { .. } => Class::DiskFull,
            Fault::DiskStall { .. } => Class::DiskStall,
            Fault::Move { .. } => Class::Move,
        }
    }

    /// Changes the links that it is about.
    fn apply(&self, links: &mut Links) {
        let mut change = |ways: &[Way], change: &dyn Fn(&mut Link)| {
            for way in ways {
                change(links.entry(*way).or_default());
            }
        };
        match self {
            Fault::Delay { ways, ms } => {
                change(ways, &|link| link.delay = Duration::from_millis(*ms));
            }
            Fault::Loss { ways, percent } => change(ways, &|link| link.loss_percent = *percent),
            Fault::Reorder { ways, percent, ms } => change(ways, &|link| {
                link.reorder_percent = *percent;
                link.reorder_by = Duration::from_millis(*ms);
            }),
            Fault::Duplicate { ways, percent } => {
                change(ways, &|link| link.duplicate_percent = *percent);
            }
            Fault::OneWay { ways } | Fault::Partition { ways } => {
                change(ways, &|link| link.cut = Some(self.class()));
            }
            Fault::Flap { ways, period_ms } => change(ways, &|link| {
                link.flaps = Some(Duration::from_millis(*period_ms));
            }),
            Fault::SlowLink {
                ways,
                bytes_per_second,
            } => change(ways, &|link| {
                link.bytes_per_second = Some(*bytes_per_second)
            }),
            Fault::Kill { .. }
            | Fault::KillAll { .. }
            | Fault::Restart { .. }
            | Fault::Pause { .. }
            | Fault::DiskFull { .. }
            | Fault::DiskStall { .. }
            | Fault::Move { .. } => {}
        }
    }
}

/// What the faults of one step make of the links.
pub fn links(faults: &[Fault]) -> Links {
    let mut links = Links::new();
    for fault in faults {
        fault.apply(&mut links);
    }
    links
}
