//! What a run came to: what was asked, what went wrong, what was found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::check::Anomaly;
use crate::faults::injector::Death;
use crate::faults::schedule::Schedule;
use crate::history::{History, Outcome};
use crate::net::link::Counts;
use crate::time::Micros;

/// Fewer acknowledged records a minute than this are no test.
const LEAST_ACKED: f64 = 1_000.0;
/// So many anomalies are printed; all are in the file.
const MOST_PRINTED: usize = 30;

#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    /// Everything that makes the run a bad one; none: it is good.
    pub failures: Vec<String>,
    pub anomalies: Vec<Anomaly>,
    pub deaths: Vec<Death>,
    /// What each class of faults has touched: packets, processes, or the disk.
    pub touched: Counts,
    /// By kind: done, refused, unknown.
    pub asked: BTreeMap<&'static str, [usize; 3]>,
    pub polls: usize,
    /// The longest time without an acknowledged record in steps without faults, their first seconds left out; in ms.
    pub longest_quiet_pause_ms: u64,
    pub converged_ms: Option<u64>,
}

impl Report {
    pub fn new(schedule: &Schedule, history: &History, touched: Counts) -> Report {
        let count = |outcomes: &mut dyn Iterator<Item = usize>| {
            let mut counts = [0; 3];
            outcomes.for_each(|which| counts[which] += 1);
            counts
        };
        let sends = history.sends.iter().map(|send| which(&send.outcome));
        let rows = history.rows.iter().map(|row| which(&row.outcome));
        let commits = history.commits.iter().map(|one| which(&one.outcome));
        let asked = BTreeMap::from([
            ("records", count(&mut { sends })),
            ("rows", count(&mut { rows })),
            ("offsets", count(&mut { commits })),
        ]);
        let mut report = Report {
            seed: schedule.seed,
            failures: Vec::new(),
            anomalies: crate::check::all(history),
            deaths: Vec::new(),
            touched,
            asked,
            polls: history.polls.len(),
            longest_quiet_pause_ms: longest_quiet_pause(schedule, history) / 1000,
            converged_ms: None,
        };
        report.judge(schedule);
        report
    }

    fn judge(&mut self, schedule: &Schedule) {
        if !self.anomalies.is_empty() {
            let count = self.anomalies.len();
            self.failures.push(format!("{count} anomalies"));
        }
        for class in &schedule.classes {
            if self.touched.get(class).is_none_or(|count| *count == 0) {
                let class =
                    format!("{class:?} was to come and met nothing: run longer, or name --faults");
                self.failures.push(class);
            }
        }
        let end = schedule
            .steps
            .last()
            .map_or(0, |step| step.at_ms + step.for_ms);
        let least = LEAST_ACKED * end as f64 / 60_000.0;
        if (self.asked["records"][0] as f64) < least {
            self.failures
                .push(format!("fewer than {least:.0} records were acknowledged"));
        }
    }

    /// Notes deaths; one that no full disk explains is a failure.
    pub fn add_deaths(&mut self, deaths: Vec<Death>) {
        for death in deaths.iter().filter(|death| !death.disk_full) {
            self.failures.push(format!(
                "node {} ended by itself: {}",
                death.node, death.how
            ));
        }
        self.deaths = deaths;
    }

    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }
}

fn which<T>(outcome: &Outcome<T>) -> usize {
    match outcome {
        Outcome::Done(_) => 0,
        Outcome::Refused(_) => 1,
        Outcome::Unknown(_) => 2,
    }
}

fn longest_quiet_pause(schedule: &Schedule, history: &History) -> Micros {
    /// What a client may need to notice that all is well, in microseconds.
    const SETTLE: Micros = 3_000_000;
    let acked = history
        .sends
        .iter()
        .filter(|send| send.outcome.done().is_some());
    let mut acked: Vec<Micros> = acked.map(|send| send.ended).collect();
    acked.sort();
    let quiet = schedule.steps.iter().filter(|step| step.faults.is_empty());
    let pauses = quiet.map(|step| {
        let (from, to) = (
            step.at_ms * 1000 + SETTLE,
            (step.at_ms + step.for_ms) * 1000,
        );
        let within = acked.iter().copied().filter(|at| (from..to).contains(at));
        let times: Vec<Micros> = [from]
            .into_iter()
            .chain(within)
            .chain([to.max(from)])
            .collect();
        times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0)
    });
    pauses.max().unwrap_or(0)
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "seed {}", self.seed)?;
        for (kind, [done, refused, unknown]) in &self.asked {
            writeln!(
                out,
                "{kind}: {done} done, {refused} refused, {unknown} unknown"
            )?;
        }
        writeln!(out, "records polled: {}", self.polls)?;
        writeln!(
            out,
            "longest pause without faults: {} ms",
            self.longest_quiet_pause_ms
        )?;
        if let Some(ms) = self.converged_ms {
            writeln!(out, "well again after the last fault: {ms} ms")?;
        }
        for (class, count) in &self.touched {
            writeln!(out, "{class:?}: {count}")?;
        }
        for death in &self.deaths {
            writeln!(out, "{death:?}")?;
        }
        for anomaly in self.anomalies.iter().take(MOST_PRINTED) {
            writeln!(out, "{}: {}", anomaly.kind, anomaly.what)?;
        }
        match self.is_good() {
            true => writeln!(out, "good"),
            false => writeln!(out, "FAILED: {}", self.failures.join("; ")),
        }
    }
}
