//! Runs weir under faults, from the command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use chaos::faults::Class;
use chaos::faults::schedule::Schedule;
use chaos::inside;
use chaos::run::{self, Plan};
use compat_tests::{clock, weir};

/// So many seeds are tried for one with which all classes come.
const MOST_SEEDS: u64 = 1_000;

/// Several weir processes under faults of network, processes and disks; what clients saw is checked.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    new: New,
}

#[derive(Subcommand)]
enum Command {
    /// Has the faults of an earlier run come again.
    Replay {
        /// The directory of that run.
        from: PathBuf,
        /// Another binary than then.
        #[arg(long)]
        weir: Option<PathBuf>,
        /// Where the new run is kept; must not exist.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Checks the history of an earlier run again.
    Check {
        /// The directory of that run.
        from: PathBuf,
    },
}

#[derive(Args)]
struct New {
    /// Decides which faults come when; by default another one each time.
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=9))]
    nodes: u8,
    /// The classes of faults that are to come; by default all.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Class>,
    /// The binary; by default WEIR_BIN, or the newest in cargo's target directory.
    #[arg(long)]
    weir: Option<PathBuf>,
    /// One more word for the command line of every node; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    option: Vec<String>,
    /// Where the run is kept; must not exist. By default a new directory where temporary files are.
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    match act(Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn act(options: Options) -> Result<ExitCode> {
    if let Some(Command::Check { from }) = &options.command {
        let anomalies = run::check(from)?;
        for anomaly in &anomalies {
            println!("{}: {}", anomaly.kind, anomaly.what);
        }
        println!("{} anomalies", anomalies.len());
        return Ok(ExitCode::from(u8::from(!anomalies.is_empty())));
    }
    if !inside::is_inside() {
        let code = inside::enter()?;
        return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
    }
    let (plan, dir) = match options.command {
        Some(Command::Replay { from, weir, dir }) => {
            let mut plan = Plan::load(&from)?;
            plan.weir = weir.unwrap_or(plan.weir);
            (plan, dir)
        }
        _ => (options.new.plan()?, options.new.dir),
    };
    let dir = match dir {
        Some(dir) if dir.exists() => bail!("{} is there already", dir.display()),
        Some(dir) => dir,
        None => std::env::temp_dir().join(format!(
            "weir-chaos-{}-{}",
            plan.schedule.seed,
            clock::now_ms()
        )),
    };
    println!("seed {}, kept in {}", plan.schedule.seed, dir.display());
    let report = run::run(&plan, &dir)?;
    print!("{report}");
    println!("again: {}", again(&dir));
    Ok(ExitCode::from(u8::from(!report.is_good())))
}

fn again(dir: &Path) -> String {
    format!("chaos/run replay {}", dir.display())
}

impl New {
    fn plan(&self) -> Result<Plan> {
        let classes = match &self.faults[..] {
            [] => Class::ALL.to_vec(),
            named => named.to_vec(),
        };
        let weir = match &self.weir {
            Some(weir) => weir.clone(),
            None => weir::find_binary()?,
        };
        let weir = weir.canonicalize();
        Ok(Plan {
            weir: weir.context("no weir binary")?,
            options: self.option.clone(),
            schedule: self.schedule(&classes),
        })
    }

    /// That of the seed; without one, of the first from now on with which all classes come, if the time is enough.
    fn schedule(&self, classes: &[Class]) -> Schedule {
        let draw = |seed| Schedule::draw(seed, usize::from(self.nodes), self.minutes, classes);
        if let Some(seed) = self.seed {
            return draw(seed);
        }
        let first = clock::now_ms() as u64;
        let mut drawn = (first..first + MOST_SEEDS).map(draw);
        let comes = |schedule: &Schedule| classes.iter().all(|class| schedule.comes(*class));
        drawn.find(comes).unwrap_or_else(|| draw(first))
    }
}
