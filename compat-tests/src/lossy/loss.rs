//! What a power loss takes.

use crate::luck::Luck;

/// How many percent of what was not synced survive. All and nothing are the cases that most bugs need.
const ODDS: [u64; 5] = [0, 25, 50, 85, 100];

/// The choices of one power loss, from a seed.
pub struct Loss {
    luck: Luck,
    /// What the drive writes at once or not at all.
    sector: u64,
    bytes_percent: u64,
    names_percent: u64,
    /// All directories share one journal, so that what came after a lost change is lost too.
    one_journal: bool,
    pub report: Report,
}

/// What a power loss found that was not synced, and what it took of that.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    pub sectors: u64,
    pub sectors_lost: u64,
    /// Changes of a file's length.
    pub lengths: u64,
    pub lengths_lost: u64,
    /// Names that were made, moved or removed.
    pub names: u64,
    pub names_lost: u64,
}

impl Report {
    pub fn add(&mut self, other: Report) {
        self.sectors += other.sectors;
        self.sectors_lost += other.sectors_lost;
        self.lengths += other.lengths;
        self.lengths_lost += other.lengths_lost;
        self.names += other.names;
        self.names_lost += other.names_lost;
    }
}

impl Loss {
    /// A seeded subset survives.
    pub fn random(seed: u64) -> Loss {
        let mut luck = Luck::new(seed);
        let mut odds = || ODDS[luck.below(ODDS.len() as u64) as usize];
        let (bytes_percent, names_percent) = (odds(), odds());
        Loss {
            sector: if luck.says(50) { 512 } else { 4096 },
            bytes_percent,
            names_percent,
            one_journal: luck.says(50),
            luck,
            report: Report::default(),
        }
    }

    /// Nothing survives that was not synced.
    pub fn total() -> Loss {
        Loss {
            luck: Luck::new(0),
            sector: 512,
            bytes_percent: 0,
            names_percent: 0,
            one_journal: false,
            report: Report::default(),
        }
    }

    /// The parts of these bytes that the drive writes each at once, relative to their start.
    pub fn sectors(
        &self,
        at: u64,
        len: usize,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let sector = self.sector;
        let end = at + len as u64;
        let first = at / sector;
        let behind = if len == 0 {
            first
        } else {
            end.div_ceil(sector)
        };
        (first..behind).map(move |number| {
            let from = (number * sector).max(at) - at;
            let to = ((number + 1) * sector).min(end) - at;
            from as usize..to as usize
        })
    }

    pub fn keeps_sector(&mut self) -> bool {
        let kept = self.luck.says(self.bytes_percent);
        self.report.sectors += 1;
        self.report.sectors_lost += u64::from(!kept);
        kept
    }

    pub fn keeps_length(&mut self) -> bool {
        let kept = self.luck.says(self.bytes_percent);
        self.report.lengths += 1;
        self.report.lengths_lost += u64::from(!kept);
        kept
    }

    /// `reachable` is false for a change behind one that is lost.
    pub fn keeps_name(&mut self, reachable: bool) -> bool {
        let kept = self.luck.says(self.names_percent) && reachable;
        self.report.names += 1;
        self.report.names_lost += u64::from(!kept);
        kept
    }

    pub fn has_one_journal(&self) -> bool {
        self.one_journal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_cover_the_bytes_and_start_at_multiples() {
        let loss = Loss::total();
        let parts: Vec<_> = loss.sectors(500, 1100).collect();
        assert_eq!(parts, [0..12, 12..524, 524..1036, 1036..1100]);
        assert_eq!(loss.sectors(512, 512).collect::<Vec<_>>(), vec![0..512]);
        assert_eq!(loss.sectors(7, 0).count(), 0);
    }

    #[test]
    fn a_seed_repeats_its_choices() {
        let choices = |seed| {
            let mut loss = Loss::random(seed);
            (0..100).map(|_| loss.keeps_sector()).collect::<Vec<_>>()
        };
        assert_eq!(choices(3), choices(3));
        assert!((0..20).any(|seed| choices(seed) != choices(0)));
    }
}
