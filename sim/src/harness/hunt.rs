//! Looks for seeds that catch bugs which were planted.

use std::fmt::Debug;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Arguments, Report, each_at_once, exit, run_here, run_process, variable};
use crate::trace::Trace;

/// A bug, and how it shows.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    pub bug: &'static str,
    /// One of the first so many seeds catches it.
    pub seeds: u64,
    /// What breaks is said with one of these. A seed that fails otherwise has not caught the bug.
    pub shows: &'static [&'static str],
}

impl Planted {
    pub const fn new(bug: &'static str, seeds: u64, shows: &'static [&'static str]) -> Planted {
        Planted { bug, seeds, shows }
    }

    /// What a seed's output says of it, where it is that.
    fn caught<'a>(&self, output: &'a str) -> Option<&'a str> {
        let said = violation(output);
        let shown = self.shows.iter().any(|shows| said.contains(shows));
        shown.then_some(said)
    }
}

/// The bug of that name.
pub fn named<B: Debug + Copy>(bugs: &[B], name: &str) -> Option<B> {
    bugs.iter().find(|bug| format!("{bug:?}") == name).copied()
}

/// Bugs that are planted in one kind of run.
pub struct Hunt<F> {
    pub package: &'static str,
    pub bugs: &'static [Planted],
    /// Plants one of them in this process; false where it is not known.
    pub plant: fn(&str) -> bool,
    pub run: F,
}

impl<F, Running> Hunt<F>
where
    F: Fn(u64, Arc<Trace>) -> Running,
    Running: Future<Output = Report>,
{
    /// The whole program of a target that is called `planted`. `WEIR_SIM_BUG` is the one bug that is looked for,
    /// `WEIR_SIM_BUG_SEEDS` the number of seeds.
    pub fn main(&self) -> ExitCode {
        let arguments = Arguments::given();
        if let Some(seed) = arguments.seed() {
            if let Some(bug) = arguments.value("--bug")
                && !(self.plant)(bug)
            {
                println!("there is no bug {bug}");
                return ExitCode::FAILURE;
            }
            println!("{}", run_here(seed, arguments.traces(), &self.run).render());
            return ExitCode::SUCCESS;
        }
        if arguments.are_about_others("planted") {
            return ExitCode::SUCCESS;
        }
        let only = std::env::var("WEIR_SIM_BUG").ok();
        let bugs = self.bugs.iter().copied();
        let bugs = bugs.filter(|planted| only.as_deref().is_none_or(|only| only == planted.bug));
        let bugs: Vec<Planted> = bugs.collect();
        let start = Instant::now();
        let caught = each_at_once(&bugs, catch);
        let count = caught.iter().filter(|caught| **caught).count();
        println!(
            "{}: {count} of {} planted bugs caught, in {:.0} s",
            self.package,
            bugs.len(),
            start.elapsed().as_secs_f64()
        );
        exit(count == bugs.len())
    }
}

/// Runs one seed after the other until one catches the bug; says whether one does.
fn catch(planted: &Planted) -> bool {
    let Planted { bug, seeds, .. } = *planted;
    let seeds = variable("WEIR_SIM_BUG_SEEDS").unwrap_or(seeds);
    for seed in 1..=seeds {
        let Err(output) = run_process(seed, &["--bug", bug]) else {
            continue;
        };
        match planted.caught(&output) {
            Some(what) => {
                println!("planted {bug}: caught by seed {seed}: {what}");
                return true;
            }
            None => println!("planted {bug}: seed {seed} shows {}", violation(&output)),
        }
    }
    println!("planted {bug}: not caught by {seeds} seeds");
    false
}

/// The line that says what was broken.
fn violation(output: &str) -> &str {
    let what = output.lines().find(|line| line.starts_with("at "));
    what.unwrap_or_else(|| output.lines().last().unwrap_or_default())
}
