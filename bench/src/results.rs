//! What was measured: tables of rows, with one column of samples for each server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One figure of one run.
#[derive(Debug, Clone)]
pub struct Figure {
    pub what: String,
    pub unit: &'static str,
    pub value: f64,
    pub better: Better,
    pub aims: Vec<Aim>,
}

impl Figure {
    pub fn new(what: impl Into<String>, unit: &'static str, better: Better, value: f64) -> Figure {
        Figure {
            what: what.into(),
            unit,
            value,
            better,
            aims: Vec::new(),
        }
    }

    pub fn aiming(mut self, aims: &[Aim]) -> Figure {
        self.aims.extend_from_slice(aims);
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Better {
    Higher,
    Lower,
}

/// What Weir wants to reach in a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// At least this many times what the first peer has.
    TimesPeer(f64),
    /// At most this part of what the first peer has.
    PartOfPeer(f64),
    /// At least this part of what Weir has in the table's first row of the unit.
    PartOfFirst(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Samples of one pair were taken after each other and are compared.
    pub pair: u32,
    pub value: f64,
    /// Other programs kept the machine busy meanwhile.
    pub busy: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub unit: String,
    pub better: Better,
    pub aims: Vec<Aim>,
    pub columns: IndexMap<String, Vec<Sample>>,
}

/// When, of what, and on what a table was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    pub date: String,
    pub commit: String,
    pub command: String,
    pub machine: String,
}

/// Rows in the order in which they came; the first column is Weir's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub title: String,
    pub notes: Vec<String>,
    /// Runs that gave no figure, and why.
    pub failed: Vec<String>,
    pub taken: Taken,
    pub servers: Vec<String>,
    pub rows: Vec<Row>,
}

impl Table {
    pub fn add(&mut self, server: &str, pair: u32, busy: bool, figure: Figure) {
        let known = |row: &Row| row.what == figure.what && row.unit == figure.unit;
        let at = self.rows.iter().position(known).unwrap_or_else(|| {
            self.rows.push(Row {
                what: figure.what.clone(),
                unit: figure.unit.to_owned(),
                better: figure.better,
                aims: figure.aims.clone(),
                columns: IndexMap::new(),
            });
            self.rows.len() - 1
        });
        let samples = self.rows[at].columns.entry(server.to_owned()).or_default();
        samples.push(Sample {
            pair,
            value: figure.value,
            busy,
        });
    }

    /// The table's first row of a unit.
    pub fn first_of(&self, unit: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.unit == unit)
    }

    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = path(dir, &self.name);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// The table that was saved in `dir` last, if there is one.
    pub fn load(dir: &Path, name: &str) -> Result<Option<Table>> {
        let path = path(dir, name);
        if !path.exists() {
            return Ok(None);
        }
        let table = serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| format!("{} is not a table", path.display()))?;
        Ok(Some(table))
    }
}

fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join("results").join(format!("{name}.json"))
}

/// The median of some values, and how far they spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            (values[middle - 1] + values[middle]) / 2.0
        } else {
            values[middle]
        };
        Some(Spread { min, median, max })
    }
}

impl Row {
    pub fn spread(&self, server: &str) -> Option<Spread> {
        Spread::of(self.columns.get(server)?.iter().map(|sample| sample.value))
    }

    /// How many of a server's runs had company.
    pub fn busy(&self, server: &str) -> usize {
        let samples = self.columns.get(server).into_iter().flatten();
        samples.filter(|sample| sample.busy).count()
    }

    /// What `server` has over what `peer` has, pair by pair.
    pub fn ratio(&self, server: &str, peer: &str) -> Option<Spread> {
        let (ours, theirs) = (self.columns.get(server)?, self.columns.get(peer)?);
        let pairs = ours.iter().filter_map(|sample| {
            let other = theirs.iter().find(|other| other.pair == sample.pair)?;
            (other.value != 0.0).then(|| sample.value / other.value)
        });
        Spread::of(pairs)
    }
}

/// A value of a sorted list; `share` in 0..1.
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> T {
    let place = (sorted.len() as f64 * share) as usize;
    sorted[place.min(sorted.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &[(u32, f64)])]) -> Row {
        let samples = |values: &[(u32, f64)]| {
            let sample = |&(pair, value)| Sample {
                pair,
                value,
                busy: pair == 2,
            };
            values.iter().map(sample).collect()
        };
        Row {
            what: "what".to_owned(),
            unit: "MB/s".to_owned(),
            better: Better::Higher,
            aims: Vec::new(),
            columns: columns
                .iter()
                .map(|(name, values)| (name.to_string(), samples(values)))
                .collect(),
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).expect("values");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 4.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_compare_what_was_taken_in_one_pair() {
        let row = row(&[
            ("A", &[(1, 10.0), (2, 40.0), (3, 90.0)]),
            ("B", &[(1, 10.0), (3, 30.0)]),
        ]);
        let ratio = row.ratio("A", "B").expect("two pairs");
        assert_eq!((ratio.min, ratio.max), (1.0, 3.0));
        assert_eq!(row.busy("A"), 1);
        assert_eq!(row.ratio("A", "C"), None);
    }
}
