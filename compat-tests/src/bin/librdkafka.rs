//! Plays librdkafka's own tests against three nodes; `scripts/librdkafka` builds them and starts this.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use compat_tests::librdkafka::run::{Options, run};

#[derive(Parser)]
#[command(about = "librdkafka's own tests against three nodes")]
struct Arguments {
    /// The folder of librdkafka's tests, with the runner that was built there.
    #[arg(long, value_name = "DIR")]
    tests: PathBuf,
    /// Only this test, by its number; may be given more than once.
    #[arg(long, value_name = "NUMBER")]
    only: Vec<String>,
    /// How many are played at once.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    at_once: usize,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let failed = run(&Options {
        tests: arguments.tests,
        only: arguments.only,
        at_once: arguments.at_once,
    })?;
    println!("{failed} failed");
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
