//! What a run found, for a person to read.
//!
//! It is written to the process's own output, not by `println!`, which a test swallows when it passes.

use std::fmt::Display;
use std::io::Write;

use serde_json::Value;

use super::diff::Difference;
use super::differences::{self, Deliberate, shown};
use super::record::Answers;

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
    /// Kafka's.
    pub answers: Answers,
    /// The differences that are meant, and how many were found of each.
    meant: Vec<(&'static Deliberate, usize)>,
    pub unexplained: Vec<Unexplained>,
    /// Differed, and did not when the case was played again, alone.
    pub unstable: Vec<Unexplained>,
    counted: (usize, usize),
}

impl Report {
    pub fn new(full: bool, of_several_nodes: bool) -> Report {
        let meant = differences::of(of_several_nodes).into_iter();
        Report {
            full,
            cases: 0,
            answers: Answers::new(),
            meant: meant.map(|entry| (entry, 0)).collect(),
            unexplained: Vec::new(),
            unstable: Vec::new(),
            counted: (0, 0),
        }
    }

    pub fn case(&mut self) {
        self.cases += 1;
    }

    /// Whether a difference is meant; it is counted.
    pub fn explains(&mut self, case: &str, difference: &Difference) -> bool {
        let mut meant = self.meant.iter_mut();
        let found = meant.find(|(entry, _)| entry.covers(case, difference));
        found.map(|(_, count)| *count += 1).is_some()
    }

    pub fn unexplained(&mut self, case: Unexplained) {
        self.unexplained.push(case);
    }

    pub fn unstable(&mut self, case: Unexplained) {
        self.unstable.push(case);
    }

    pub fn deliberate_count(&self) -> usize {
        self.meant.iter().map(|(_, count)| count).sum()
    }

    /// Entries of the list that a full run did not need.
    pub fn stale(&self) -> impl Iterator<Item = &'static str> {
        let unmatched = self.meant.iter().filter(|(_, count)| *count == 0);
        unmatched
            .filter(|_| self.full)
            .map(|(entry, _)| entry.reason)
    }

    /// Prints the progress line of an API, with its slowest case.
    pub fn finish_api(
        &mut self,
        api: &str,
        cases: usize,
        differing: usize,
        took_ms: i64,
        slowest: Option<(i64, String)>,
    ) {
        let deliberate = self.deliberate_count();
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let slowest = slowest.map_or(String::new(), |(took, name)| {
            format!("{:.1} s in {name}", seconds(took))
        });
        say(format_args!(
            "{api:<24} {cases:>4} cases {:>5} deliberate {:>4} to be asked again {:>6.1} s, {slowest}",
            deliberate - self.counted.0,
            differing - self.counted.1,
            seconds(took_ms),
        ));
        self.counted = (deliberate, differing);
    }

    /// Whether nothing is unexplained; entries of the list count only where differences can be meant.
    pub fn passed(&self, against_weir: bool) -> bool {
        self.unexplained.is_empty() && (!against_weir || self.stale().next().is_none())
    }

    pub fn print(&self, against_weir: bool) {
        for case in &self.unstable {
            print_case("unstable, did not differ when asked again, alone", case);
        }
        for case in &self.unexplained {
            print_case("unexplained", case);
        }
        if against_weir {
            say("\ndeliberate differences:");
            for (entry, count) in &self.meant {
                say(format_args!(
                    "  {count:>5} × {} at {}: {}",
                    entry.case, entry.path, entry.reason
                ));
            }
            self.stale().for_each(|reason| {
                say(format_args!(
                    "matches nothing any more, remove it: {reason}"
                ))
            });
        }
        say(format_args!(
            "\n{} cases, {} deliberate, {} unstable, {} unexplained",
            self.cases,
            self.deliberate_count(),
            self.unstable.len(),
            self.unexplained.len(),
        ));
    }
}

fn print_case(what: &str, case: &Unexplained) {
    say(format_args!("\n== {}: {what}", case.case));
    for (request, found) in &case.steps {
        let request: String = request.chars().take(REQUEST_CHARS).collect();
        say(format_args!("   {request}"));
        for difference in found {
            say(format_args!("   {}", difference.path));
            say(format_args!("     Kafka  {}", shown(&difference.judge)));
            say(format_args!("     Weir   {}", shown(&difference.subject)));
        }
    }
}

/// Prints the answers of a case, a step a line.
pub fn show(case: &str, answers: &Value) {
    say(case);
    for answer in answers.as_array().into_iter().flatten() {
        say(format_args!("    {answer}"));
    }
}

/// A line; that nobody reads it is no reason to stop.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
