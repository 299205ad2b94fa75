//! Which faults come when, from a seed. The same words give the same schedule.

use compat_tests::luck::Luck;
use serde::{Deserialize, Serialize};

use super::{Class, Fault, Target, Way};
use crate::load::{LOG_PARTITIONS, TABLE_PARTITIONS};

/// A step takes so long, in ms.
const STEP_MS: std::ops::Range<u64> = 5_000..15_000;
/// So many percent of the steps have no fault.
const QUIET_PERCENT: u64 = 25;
/// So long is left without faults at the beginning, in ms.
const LEAD_MS: u64 = 3_000;
const MOST_FAULTS: u64 = 3;
/// A class that met nothing in the steps comes so often more, by itself, for so long.
const AGAIN: usize = 3;
const AGAIN_MS: u64 = 8_000;
/// So many percent of the partitions move at a time.
const MOVED_PERCENT: u64 = 60;
/// Replicas of a partition.
const REPLICAS: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub seed: u64,
    pub nodes: usize,
    pub classes: Vec<Class>,
    pub steps: Vec<Step>,
    /// One of each class, several times over: what comes after the steps, alone, if its class met nothing so far. One
    /// may hide another: no packet comes twice where none passes.
    pub again: Vec<Fault>,
}

/// Faults that come together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Since the run began.
    pub at_ms: u64,
    pub for_ms: u64,
    /// None: everything is well.
    pub faults: Vec<Fault>,
}

impl Schedule {
    /// Steps over so many minutes, of these classes, each of which comes before one comes again.
    pub fn draw(seed: u64, nodes: usize, minutes: f64, classes: &[Class]) -> Schedule {
        let mut draw = Draw {
            luck: Luck::new(seed),
            nodes,
            classes,
            deck: Vec::new(),
        };
        let end = (minutes * 60_000.0) as u64;
        let (mut at_ms, mut steps) = (LEAD_MS, Vec::new());
        while at_ms < end {
            let for_ms = draw.between(STEP_MS).min(end - at_ms);
            let faults = draw.faults(for_ms);
            steps.push(Step {
                at_ms,
                for_ms,
                faults,
            });
            at_ms += for_ms;
        }
        let each = std::iter::repeat_n(classes, AGAIN).flatten();
        let again = each.map(|class| draw.fault(*class, AGAIN_MS)).collect();
        Schedule {
            seed,
            nodes,
            classes: classes.to_vec(),
            steps,
            again,
        }
    }

    /// The same, so much later.
    pub fn later(&self, ms: u64) -> Schedule {
        let mut later = self.clone();
        for step in &mut later.steps {
            step.at_ms += ms;
        }
        later
    }

    /// Whether a class comes at all.
    pub fn comes(&self, class: Class) -> bool {
        let mut faults = self.steps.iter().flat_map(|step| &step.faults);
        faults.any(|fault| fault.class() == class)
    }
}

impl Step {
    /// A fault by itself, from then on.
    pub fn alone(at_ms: u64, fault: &Fault) -> Step {
        Step {
            at_ms,
            for_ms: AGAIN_MS,
            faults: vec![fault.clone()],
        }
    }
}

struct Draw<'a> {
    luck: Luck,
    nodes: usize,
    classes: &'a [Class],
    /// What is left of the shuffled classes.
    deck: Vec<Class>,
}

impl Draw<'_> {
    fn between(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.luck.below(range.end - range.start)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.luck.below(choices.len() as u64) as usize]
    }

    fn node(&mut self) -> usize {
        self.luck.below(self.nodes as u64) as usize
    }

    fn deal(&mut self) -> Option<Class> {
        if self.deck.is_empty() {
            let mut left = self.classes.to_vec();
            while !left.is_empty() {
                let at = self.luck.below(left.len() as u64) as usize;
                self.deck.push(left.swap_remove(at));
            }
        }
        self.deck.pop()
    }

    fn faults(&mut self, for_ms: u64) -> Vec<Fault> {
        if self.luck.says(QUIET_PERCENT) {
            return Vec::new();
        }
        let count = 1 + self.luck.below(MOST_FAULTS);
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..count {
            let Some(class) = self.deal() else { break };
            let has = |other: &dyn Fn(Class) -> bool| faults.iter().any(|one| other(one.class()));
            // One at a time of what happens to nodes; and a fault once.
            if (class.is_of_node() && has(&Class::is_of_node)) || has(&|other| other == class) {
                self.deck.push(class);
                break;
            }
            faults.push(self.fault(class, for_ms));
        }
        faults
    }

    fn fault(&mut self, class: Class, for_ms: u64) -> Fault {
        match class {
            Class::Delay => Fault::Delay {
                ways: self.ways(),
                ms: self.one_of(&[5, 20, 60, 150, 400]),
            },
            Class::Loss => Fault::Loss {
                ways: self.ways(),
                percent: self.one_of(&[1, 5, 20, 50]),
            },
            Class::Reorder => Fault::Reorder {
                ways: self.ways(),
                percent: self.one_of(&[5, 25, 50]),
                ms: self.one_of(&[2, 10, 60]),
            },
            Class::Duplicate => Fault::Duplicate {
                ways: self.ways(),
                percent: self.one_of(&[5, 25, 100]),
            },
            Class::OneWay => Fault::OneWay {
                ways: self.one_way(),
            },
            Class::Partition => Fault::Partition {
                ways: self.partition(),
            },
            Class::Flap => Fault::Flap {
                ways: self.ways(),
                period_ms: self.one_of(&[150, 400, 1000, 2500]),
            },
            Class::SlowLink => Fault::SlowLink {
                ways: self.ways(),
                bytes_per_second: self.one_of(&[20_000, 100_000, 400_000]),
            },
            Class::Kill => Fault::Kill {
                node: self.node(),
                back_after_ms: self.luck.below(for_ms),
            },
            Class::KillAll => Fault::KillAll {
                back_after_ms: self.luck.below(2_000),
            },
            Class::Restart => Fault::Restart {
                node: self.node(),
                back_after_ms: self.luck.below(for_ms),
            },
            Class::Pause => Fault::Pause {
                node: self.node(),
                for_ms: self.one_of(&[500, 1_500, 4_000, for_ms]).min(for_ms),
            },
            Class::DiskFull => Fault::DiskFull {
                node: self.node(),
                leave_kb: self.one_of(&[0, 0, 256, 4_096]),
            },
            Class::DiskStall => Fault::DiskStall {
                node: self.node(),
                stalled_ms: self.one_of(&[100, 400, 800, 950]),
            },
            Class::Move => Fault::Move {
                to: self.places(LOG_PARTITIONS),
                rows: self.places(TABLE_PARTITIONS),
            },
        }
    }

    /// Both ways of some links: all, those of one node with all others, or one.
    fn ways(&mut self) -> Vec<Way> {
        let (one, clients) = (self.node(), self.nodes);
        let other = self.other(one);
        let with = self.one_of(&[clients, other]);
        let all: Vec<Way> = self.all(self.nodes + 1);
        match self.luck.below(4) {
            0 => all,
            1 => self.all(self.nodes),
            2 => all.into_iter().filter(|way| touches(*way, one)).collect(),
            _ => vec![(one, with), (with, one)],
        }
    }

    /// From one node to others, or the other way round.
    fn one_way(&mut self) -> Vec<Way> {
        let one = self.node();
        let other = self.other(one);
        // Clients too, now and then.
        let ports = self.nodes + usize::from(self.luck.says(30));
        let nodes = self.all(ports).into_iter();
        match self.luck.below(3) {
            0 => nodes.filter(|(from, _)| *from == one).collect(),
            1 => nodes.filter(|(_, to)| *to == one).collect(),
            _ => vec![(one, other)],
        }
    }

    /// One node alone, all alone, or two that see each other only through a third (a bridge).
    fn partition(&mut self) -> Vec<Way> {
        let one = self.node();
        let other = self.other(one);
        let with_clients = self.luck.says(30);
        let ports = self.nodes + usize::from(with_clients);
        match self.luck.below(4) {
            0 => self.all(self.nodes),
            1 => vec![(one, other), (other, one)],
            _ => {
                let all = self.all(ports).into_iter();
                all.filter(|way| touches(*way, one)).collect()
            }
        }
    }

    /// Where some of so many partitions go.
    fn places(&mut self, partitions: i32) -> Vec<Target> {
        let mut places = Vec::new();
        for partition in 0..partitions {
            if self.luck.says(MOVED_PERCENT) {
                let mut left: Vec<usize> = (0..self.nodes).collect();
                let mut take = || left.swap_remove(self.luck.below(left.len() as u64) as usize);
                let count = REPLICAS.min(self.nodes);
                places.push((partition, (0..count).map(|_| take()).collect()));
            }
        }
        places
    }

    fn other(&mut self, one: usize) -> usize {
        let step = 1 + self.luck.below(self.nodes as u64 - 1) as usize;
        (one + step) % self.nodes
    }

    /// All ways between the first ports.
    fn all(&self, ports: usize) -> Vec<Way> {
        let ways = (0..ports).flat_map(|from| (0..ports).map(move |to| (from, to)));
        ways.filter(|(from, to)| from != to).collect()
    }
}

fn touches((from, to): Way, port: usize) -> bool {
    from == port || to == port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        let draw = |seed| Schedule::draw(seed, 3, 10.0, &Class::ALL);
        assert_eq!(draw(4), draw(4));
        assert_ne!(draw(4), draw(5));
    }

    #[test]
    fn a_schedule_survives_being_written_down() {
        let schedule = Schedule::draw(7, 5, 5.0, &Class::ALL);
        let text = serde_json::to_string(&schedule).expect("JSON");
        let read: Schedule = serde_json::from_str(&text).expect("a schedule");
        assert_eq!(read, schedule);
    }

    #[test]
    fn every_class_comes_within_four_minutes_and_a_quarter_is_quiet() {
        for seed in 0..50 {
            let schedule = Schedule::draw(seed, 3, 4.0, &Class::ALL);
            let missing = Class::ALL.iter().find(|class| !schedule.comes(**class));
            assert_eq!(missing, None, "seed {seed}");
        }
        let long = Schedule::draw(1, 3, 600.0, &Class::ALL);
        let quiet = long.steps.iter().filter(|step| step.faults.is_empty());
        let percent = quiet.count() * 100 / long.steps.len();
        assert!((20..31).contains(&percent), "{percent} %");
    }

    #[test]
    fn steps_follow_each_other_without_a_gap_and_a_node_suffers_one_thing_at_a_time() {
        let schedule = Schedule::draw(3, 3, 60.0, &Class::ALL);
        for pair in schedule.steps.windows(2) {
            assert_eq!(pair[0].at_ms + pair[0].for_ms, pair[1].at_ms);
        }
        for step in &schedule.steps {
            let of_nodes = step.faults.iter().filter(|one| one.class().is_of_node());
            assert!(of_nodes.count() <= 1, "{step:?}");
        }
    }
}
