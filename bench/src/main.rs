//! Measures Weir and its peers in turns, over TCP, and writes RESULTS.md. `bench/run` brings what it needs and starts
//! it; the binary of Weir is `WEIR_BIN`, or the newest one in cargo's target directory.

#![allow(
    clippy::disallowed_methods,
    reason = "it measures real time, and no simulator runs it"
)]

mod cluster;
mod fluss;
mod http;
mod load;
mod machine;
mod measures;
mod numbered;
mod picture;
mod processes;
mod report;
mod results;
mod servers;
mod tools;
mod turns;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use measures::Measure;
use results::Taken;
use servers::Server;
use tools::Tools;
use turns::{Plan, Setting, Size, Turns};

#[derive(Parser)]
#[command(about, version)]
struct Args {
    /// What to measure, all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Whom to measure, all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Server>,
    #[arg(long, value_enum, default_value = "full")]
    size: Size,
    /// How often each server has its turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Where RESULTS.md and results/ go; tables that are there and not measured now stay
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    tools: Tools,
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(args.out.join("results"))
        .with_context(|| format!("creating {}", args.out.display()))?;
    if args.size != Size::Tiny {
        machine::check_disk()?;
    }
    let taken = Taken {
        date: chrono::Utc::now()
            .format("%-d %B %Y, %H:%M UTC")
            .to_string(),
        commit: commit(),
        command: command(),
        machine: machine::describe(),
    };
    println!("{}, commit {}", taken.machine, taken.commit);
    let plans = plans(&args);
    let turns = Turns {
        setting: Setting {
            size: args.size,
            tools: args.tools,
        },
        pairs: args.pairs,
        out: args.out,
        taken,
    };
    let failed = turns.run(&plans)?;
    println!("written: {}", turns.out.join("RESULTS.md").display());
    if !failed.is_empty() {
        bail!("these runs gave no figure:\n{}", failed.join("\n"));
    }
    Ok(())
}

/// What was asked for, in the order in which it is shown.
fn plans(args: &Args) -> Vec<Plan> {
    let is_wanted = |measure: &&Measure| args.only.is_empty() || args.only.contains(measure);
    let measures = Measure::value_variants().iter().filter(is_wanted);
    let mut plans: Vec<Plan> = measures
        .flat_map(|measure| measure.plans(args.size))
        .collect();
    if !args.servers.is_empty() {
        for case in plans.iter_mut().flat_map(|plan| &mut plan.cases) {
            case.servers.retain(|server| args.servers.contains(server));
        }
        plans.retain(|plan| plan.cases.iter().any(|case| !case.servers.is_empty()));
    }
    plans
}

/// The checkout's commit, as far as git knows.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let changed = if changed.is_some_and(|changed| !changed.is_empty()) {
        " with changes"
    } else {
        ""
    };
    let binary = if std::env::var_os("WEIR_BIN").is_some() {
        ", binary by WEIR_BIN"
    } else {
        ""
    };
    format!("{commit}{changed}{binary}")
}

/// How `bench/run` was called.
fn command() -> String {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut shown = vec!["bench/run".to_owned()];
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        // Where the tables go does not change what is in them.
        if arg == "--out" {
            args.next();
        } else if !arg.starts_with("--out=") {
            shown.push(arg);
        }
    }
    shown.join(" ")
}
