//! What a run found, for a person to read.

use serde_json::Value;

use super::diff::Difference;
use super::differences::{DELIBERATE, shown};

const REQUEST_CHARS: usize = 1500;

/// A case that differs for no listed reason: each step's request and where the answers part.
#[derive(Debug)]
pub struct Unexplained {
    pub case: String,
    pub steps: Vec<(String, Vec<Difference>)>,
}

#[derive(Debug)]
pub struct Report {
    /// Whether every case was played, so that an entry of the list without a match is stale.
    full: bool,
    pub cases: usize,
    matched: Vec<usize>,
    pub unexplained: Vec<Unexplained>,
    counted: (usize, usize),
}

impl Report {
    pub fn new(full: bool) -> Report {
        Report {
            full,
            cases: 0,
            matched: vec![0; DELIBERATE.len()],
            unexplained: Vec::new(),
            counted: (0, 0),
        }
    }

    pub fn case(&mut self) {
        self.cases += 1;
    }

    pub fn deliberate(&mut self, entry: usize) {
        self.matched[entry] += 1;
    }

    pub fn unexplained(&mut self, case: Unexplained) {
        self.unexplained.push(case);
    }

    pub fn deliberate_count(&self) -> usize {
        self.matched.iter().sum()
    }

    /// Entries of the list that a full run did not need.
    pub fn stale(&self) -> impl Iterator<Item = &'static str> {
        let unmatched = DELIBERATE
            .iter()
            .zip(&self.matched)
            .filter(|(_, count)| **count == 0);
        unmatched
            .filter(|_| self.full)
            .map(|(entry, _)| entry.reason)
    }

    /// Prints the progress line of an API, with its slowest case.
    pub fn finish_api(
        &mut self,
        api: &str,
        cases: usize,
        took_ms: i64,
        slowest: Option<(i64, String)>,
    ) {
        let (deliberate, unexplained) = (self.deliberate_count(), self.unexplained.len());
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let slowest = slowest.map_or(String::new(), |(took, name)| {
            format!("{:.1} s in {name}", seconds(took))
        });
        println!(
            "{api:<24} {cases:>4} cases {:>5} deliberate {:>4} unexplained {:>6.1} s, {slowest}",
            deliberate - self.counted.0,
            unexplained - self.counted.1,
            seconds(took_ms),
        );
        self.counted = (deliberate, unexplained);
    }

    /// Whether nothing is unexplained; entries of the list count only where differences can be meant.
    pub fn passed(&self, against_weir: bool) -> bool {
        self.unexplained.is_empty() && (!against_weir || self.stale().next().is_none())
    }

    pub fn print(&self, against_weir: bool) {
        for case in &self.unexplained {
            println!("\n== {}", case.case);
            for (request, found) in &case.steps {
                println!(
                    "   {}",
                    request.chars().take(REQUEST_CHARS).collect::<String>()
                );
                for difference in found {
                    println!("   {}", difference.path);
                    println!("     Kafka  {}", shown(&difference.judge));
                    println!("     Weir   {}", shown(&difference.subject));
                }
            }
        }
        if against_weir {
            println!("\ndeliberate differences:");
            for (entry, count) in DELIBERATE.iter().zip(&self.matched) {
                println!(
                    "  {count:>5} × {} at {}: {}",
                    entry.case, entry.path, entry.reason
                );
            }
            self.stale()
                .for_each(|reason| println!("matches nothing any more, remove it: {reason}"));
        }
        let (deliberate, unexplained) = (self.deliberate_count(), self.unexplained.len());
        println!(
            "\n{} cases, {deliberate} deliberate, {unexplained} unexplained",
            self.cases
        );
    }
}

/// Prints the answers of a case, a step a line.
pub fn show(case: &str, answers: &Value) {
    println!("{case}");
    for answer in answers.as_array().into_iter().flatten() {
        println!("    {answer}");
    }
}
