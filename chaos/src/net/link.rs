//! One direction between two ports, and what becomes of a packet on it.

use std::collections::BTreeMap;
use std::time::Duration;

use compat_tests::luck::Luck;

use crate::faults::Class;

/// A packet that would wait longer for a slow link is dropped, as a full queue does.
const LONGEST_QUEUE: Duration = Duration::from_millis(1_500);

/// Packets that each class of faults has touched.
pub type Counts = BTreeMap<Class, u64>;

/// How a direction behaves; by default as a wire does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Link {
    /// Nothing passes; the class that says so.
    pub cut: Option<Class>,
    /// Nothing passes in every other of these periods.
    pub flaps: Option<Duration>,
    pub delay: Duration,
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    pub reorder_percent: u64,
    /// How much later a packet comes that is overtaken.
    pub reorder_by: Duration,
    pub bytes_per_second: Option<u64>,
}

/// All directions, by (from, to).
pub type Links = BTreeMap<(usize, usize), Link>;

/// What becomes of one packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One copy arrives after each of these; none when the packet is dropped.
    pub arrivals: Vec<Duration>,
    /// The classes that had a part in it.
    pub touched: Vec<Class>,
}

impl Verdict {
    fn dropped(class: Class) -> Verdict {
        Verdict {
            arrivals: Vec::new(),
            touched: vec![class],
        }
    }
}

impl Link {
    /// `now` is since the switch began; `busy_until` is when the link has sent what it was given.
    pub fn decide(
        &self,
        luck: &mut Luck,
        now: Duration,
        bytes: usize,
        busy_until: &mut Duration,
    ) -> Verdict {
        if let Some(class) = self.cut {
            return Verdict::dropped(class);
        }
        if let Some(period) = self.flaps
            && (now.as_millis() / period.as_millis().max(1)).is_multiple_of(2)
        {
            return Verdict::dropped(Class::Flap);
        }
        if luck.says(self.loss_percent) {
            return Verdict::dropped(Class::Loss);
        }
        let mut touched = Vec::new();
        let mut after = self.delay;
        if !self.delay.is_zero() {
            touched.push(Class::Delay);
        }
        if let Some(rate) = self.bytes_per_second {
            let start = now.max(*busy_until);
            if start - now > LONGEST_QUEUE {
                return Verdict::dropped(Class::SlowLink);
            }
            *busy_until = start + Duration::from_micros(bytes as u64 * 1_000_000 / rate.max(1));
            after += *busy_until - now;
            touched.push(Class::SlowLink);
        }
        if luck.says(self.reorder_percent) {
            after += self.reorder_by;
            touched.push(Class::Reorder);
        }
        let mut arrivals = vec![after];
        if luck.says(self.duplicate_percent) {
            arrivals.push(after + Duration::from_millis(luck.below(20)));
            touched.push(Class::Duplicate);
        }
        Verdict { arrivals, touched }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts on a thousand packets, one each millisecond.
    fn verdicts(link: Link) -> Vec<Verdict> {
        let (mut luck, mut busy) = (Luck::new(1), Duration::ZERO);
        let packet = |ms| link.decide(&mut luck, Duration::from_millis(ms), 1000, &mut busy);
        (0..1000).map(packet).collect()
    }

    fn arrived(link: Link) -> usize {
        let arrived = verdicts(link);
        arrived.iter().map(|verdict| verdict.arrivals.len()).sum()
    }

    #[test]
    fn a_wire_passes_everything_at_once() {
        let at_once = Verdict {
            arrivals: vec![Duration::ZERO],
            touched: Vec::new(),
        };
        assert!(verdicts(Link::default()).iter().all(|one| *one == at_once));
    }

    #[test]
    fn a_cut_link_passes_nothing_and_a_flapping_one_half() {
        let cut = Link {
            cut: Some(Class::OneWay),
            ..Link::default()
        };
        assert_eq!(arrived(cut), 0);
        let flapping = Link {
            flaps: Some(Duration::from_millis(100)),
            ..Link::default()
        };
        assert_eq!(arrived(flapping), 500);
    }

    #[test]
    fn so_many_packets_are_lost_and_doubled() {
        let lossy = Link {
            loss_percent: 20,
            ..Link::default()
        };
        assert!((700..900).contains(&arrived(lossy)));
        let doubling = Link {
            duplicate_percent: 20,
            ..Link::default()
        };
        assert!((1100..1300).contains(&arrived(doubling)));
    }

    #[test]
    fn a_slow_link_queues_and_then_drops() {
        let slow = Link {
            bytes_per_second: Some(100_000),
            ..Link::default()
        };
        let verdicts = verdicts(slow);
        assert_eq!(verdicts[0].arrivals, [Duration::from_millis(10)]);
        assert_eq!(verdicts[10].arrivals, [Duration::from_millis(100)]);
        assert!(verdicts[999].arrivals.is_empty());
    }

    #[test]
    fn what_is_overtaken_comes_later() {
        let link = Link {
            delay: Duration::from_millis(5),
            reorder_percent: 50,
            reorder_by: Duration::from_millis(30),
            ..Link::default()
        };
        let verdicts = verdicts(link);
        let late = |one: &&Verdict| one.arrivals == [Duration::from_millis(35)];
        let late = verdicts.iter().filter(late).count();
        assert!((400..600).contains(&late));
    }
}
