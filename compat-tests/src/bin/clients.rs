//! Plays the client matrix and compares it with the one in `compat-tests/README.md`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use compat_tests::clients::{rdkafka, report, run};

#[derive(Parser)]
#[command(about = "Stock clients against the running binary")]
struct Arguments {
    /// Write the matrix into compat-tests/README.md instead of comparing with it.
    #[arg(long, conflicts_with_all = ["only", "scenario"])]
    write: bool,
    /// Only this client; may be given more than once. Nothing is compared then.
    #[arg(long)]
    only: Vec<String>,
    /// Only this scenario. Nothing is compared then.
    #[arg(long)]
    scenario: Option<String>,
    /// Against so many nodes instead of one.
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The part of Rust's client, which the matrix starts.
    #[command(hide = true)]
    PlayRdkafka,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Part::PlayRdkafka) = arguments.part {
        rdkafka::play()?;
        return Ok(ExitCode::SUCCESS);
    }
    let partial = !arguments.only.is_empty() || arguments.scenario.is_some();
    let options = run::Options {
        clients: arguments.only,
        scenario: arguments.scenario,
        nodes: arguments.nodes,
    };
    let matrix = run::run(&std::env::current_exe()?, &options)?;
    let failures = report::failures(&matrix);
    print!("{failures}");
    if partial {
        return Ok(ended(failures.is_empty()));
    }
    let readme = report::Readme::with(&matrix)?;
    if arguments.write {
        readme.write()?;
        return Ok(ended(failures.is_empty()));
    }
    if !readme.agrees() {
        println!(
            "this run differs from compat-tests/README.md; --write puts it there:\n{}",
            readme.now
        );
    }
    Ok(ended(failures.is_empty() && readme.agrees()))
}

fn ended(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
