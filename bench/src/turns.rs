//! Runs what is measured in turns, and keeps what comes out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::machine::Watch;
use crate::report;
use crate::results::{Figure, Table, Taken};
use crate::servers::Server;
use crate::tools::Tools;

/// How much is written, how long it takes, how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Size {
    /// Only shows that the measurement works
    Tiny,
    /// A first impression, in minutes
    Small,
    /// What counts; takes hours and 30 GB of disk
    Full,
}

impl Size {
    /// The value for this size.
    pub fn of<T>(self, tiny: T, small: T, full: T) -> T {
        match self {
            Size::Tiny => tiny,
            Size::Small => small,
            Size::Full => full,
        }
    }
}

/// What a run needs to know.
#[derive(Debug, Clone)]
pub struct Setting {
    pub size: Size,
    pub tools: Tools,
}

/// One thing that servers do in turns.
pub struct Case {
    pub name: String,
    pub servers: Vec<Server>,
    /// About how long a run takes.
    pub seconds: u64,
    pub run: Run,
}

pub type Run = Box<dyn Fn(&Setting, Server) -> Result<Vec<Figure>>>;

/// Cases whose figures are one table.
pub struct Plan {
    pub name: &'static str,
    pub title: &'static str,
    pub notes: Vec<String>,
    pub cases: Vec<Case>,
}

/// How often each server has its turn, and where the tables go.
pub struct Turns {
    pub setting: Setting,
    pub pairs: u32,
    pub out: PathBuf,
    pub taken: Taken,
}

impl Turns {
    /// Runs all plans. Returns what failed; the rest is measured all the same.
    pub fn run(&self, plans: &[Plan]) -> Result<Vec<String>> {
        let mut progress = Progress::over(plans, self.pairs);
        let mut failed = Vec::new();
        for plan in plans {
            let mut table = self.empty(plan);
            for case in &plan.cases {
                self.take(plan, case, &mut table, &mut progress)?;
            }
            failed.append(&mut table.failed.clone());
            table.save(&self.out)?;
            report::write(&self.out)?;
        }
        Ok(failed)
    }

    /// One case: A, B, A, B and so on.
    fn take(
        &self,
        plan: &Plan,
        case: &Case,
        table: &mut Table,
        progress: &mut Progress,
    ) -> Result<()> {
        for pair in 1..=self.pairs {
            for &server in &case.servers {
                let place = format!("{} · {} · {}", plan.name, case.name, server.name());
                progress.begin(&format!("{place} · pair {pair} of {}", self.pairs));
                let watch = Watch::start()?;
                let result = (case.run)(&self.setting, server);
                let company = watch.finish()?;
                progress.end(case.seconds);
                match result {
                    Ok(figures) => {
                        for figure in figures {
                            println!("    {}: {:.4} {}", figure.what, figure.value, figure.unit);
                            table.add(server.name(), pair, company.is_busy(), figure);
                        }
                    }
                    Err(error) => {
                        println!("    failed: {error:#}");
                        let reason = format!("{error:#}");
                        let first = reason.lines().next().unwrap_or_default();
                        table
                            .failed
                            .push(format!("{}, {}: {first}", case.name, server.name()));
                    }
                }
                if company.is_busy() {
                    println!("    marked: the machine was busy, {company:?}");
                }
            }
        }
        Ok(())
    }

    fn empty(&self, plan: &Plan) -> Table {
        let mut servers: Vec<String> = Vec::new();
        for server in plan.cases.iter().flat_map(|case| &case.servers) {
            if !servers.iter().any(|name| name == server.name()) {
                servers.push(server.name().to_owned());
            }
        }
        Table {
            name: plan.name.to_owned(),
            title: plan.title.to_owned(),
            notes: plan.notes.clone(),
            failed: Vec::new(),
            taken: self.taken.clone(),
            servers,
            rows: Vec::new(),
        }
    }
}

/// What runs, and how long the rest will take, by the cases' estimates and how right they were so far.
struct Progress {
    runs: usize,
    begun: usize,
    started: Instant,
    estimated_done: u64,
    estimated_all: u64,
}

impl Progress {
    fn over(plans: &[Plan], pairs: u32) -> Progress {
        let cases = || plans.iter().flat_map(|plan| &plan.cases);
        let all: u64 = cases()
            .map(|case| case.seconds * case.servers.len() as u64)
            .sum();
        let turns: usize = cases().map(|case| case.servers.len()).sum();
        Progress {
            runs: turns * pairs as usize,
            begun: 0,
            started: Instant::now(),
            estimated_done: 0,
            estimated_all: all * u64::from(pairs),
        }
    }

    fn begin(&mut self, what: &str) {
        self.begun += 1;
        let minutes = self.left().as_secs().div_ceil(60);
        println!(
            "[{} of {}, about {minutes} min left] {what}",
            self.begun, self.runs
        );
    }

    fn end(&mut self, estimated: u64) {
        self.estimated_done += estimated;
    }

    fn left(&self) -> Duration {
        let estimate = Duration::from_secs(self.estimated_all.saturating_sub(self.estimated_done));
        if self.estimated_done == 0 {
            return estimate;
        }
        let pace = self.started.elapsed().as_secs_f64() / self.estimated_done as f64;
        estimate.mul_f64(pace.max(0.1))
    }
}
