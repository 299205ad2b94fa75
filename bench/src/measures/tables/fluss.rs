//! Rows written to Fluss and read from it by `bench/fluss/Rows.java`, a small program over its client.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{BUCKETS, NAME_LEN, PASSES, Volume, alone, lookups, memory, upserts};
use crate::fluss::{Fluss, class_path};
use crate::processes::Processes;
use crate::results::Figure;
use crate::tools::{self, Tools};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fluss/Rows.java");

/// What the program reports of work that it did.
#[derive(Debug, Deserialize)]
struct Done {
    count: u64,
    seconds: f64,
}

#[derive(Debug, Deserialize)]
struct Waited {
    p50_ms: f64,
    p99_ms: f64,
}

pub fn run(tools: &Tools, volume: Volume) -> Result<Vec<Figure>> {
    let jars = tools.fluss_jars.as_ref();
    let jars = jars.context("no jars of Fluss: start this by bench/run, which fetches them")?;
    let fluss = Fluss::start(jars)?;
    let processes = fluss.processes()?;
    let (rows, seconds) = (volume.rows.to_string(), volume.seconds.to_string());
    let ask = |words: &[&str]| ask(jars, &fluss.address(), words);
    ask(&["create", &BUCKETS.to_string()])?;
    let mut figures = Vec::new();
    for pass in PASSES {
        let words = ["upsert", &rows, pass, &NAME_LEN.to_string()];
        let (done, cpu) = spent(&processes, || read(&ask(&words)?))?;
        figures.extend(upserts(pass, done.count, took(&done), cpu));
    }
    // What the server's JVM compiles for lookups, it compiles now.
    ask(&["batches", &rows, &volume.seconds.div_ceil(2).to_string()])?;
    let (done, cpu) = spent(&processes, || read(&ask(&["batches", &rows, &seconds])?))?;
    figures.extend(lookups(done.count, took(&done), cpu));
    let waited: Waited = read(&ask(&["alone", &rows, &seconds])?)?;
    figures.extend(alone(waited.p50_ms, waited.p99_ms));
    figures.push(memory(processes.resident_mb()?));
    Ok(figures)
}

fn took(done: &Done) -> Duration {
    Duration::from_secs_f64(done.seconds)
}

/// Runs the program, which Java compiles as it starts; returns what it printed last.
fn ask(jars: &Path, address: &str, words: &[&str]) -> Result<String> {
    let mut java = Command::new("java");
    java.args(["-Xmx1g", "--add-opens=java.base/java.nio=ALL-UNNAMED"])
        .args(["-cp", &class_path(jars, &["fluss-client"])?])
        .arg(PROGRAM)
        .arg(address)
        .args(words);
    let output = tools::run(&java)?.0;
    Ok(output.lines().last().unwrap_or_default().to_owned())
}

fn read<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T> {
    serde_json::from_str(line).with_context(|| format!("the program on Fluss said: {line}"))
}

/// What `work` returned, and what the server took for it, with what it goes on to do.
fn spent(processes: &Processes, work: impl FnOnce() -> Result<Done>) -> Result<(Done, Duration)> {
    let before = processes.cpu()?;
    let done = work()?;
    processes.settle(Duration::from_secs(20))?;
    Ok((done, processes.cpu()?.saturating_sub(before)))
}
