//! RocksDB by its own `db_bench`, in one thread.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{BATCH, PASSES, Volume, lookups, upserts};
use crate::results::Figure;
use crate::tools::{self, Tools};

pub fn run(tools: &Tools, volume: Volume) -> Result<Vec<Figure>> {
    let program = tools.db_bench.as_ref();
    let program = program.context("no db_bench: it is in the package rocksdb-tools")?;
    let dir = tempfile::Builder::new().prefix("db-bench-").tempdir()?;
    let mut figures = Vec::new();
    for (pass, benchmark) in PASSES.into_iter().zip(["fillrandom", "overwrite"]) {
        let mut command = db_bench(program, dir.path(), benchmark, volume.rows);
        command.arg(format!("--use_existing_db={}", u8::from(pass != PASSES[0])));
        let (count, took, cpu) = measured(&command, benchmark)?;
        figures.extend(upserts(pass, count, took, cpu));
    }
    let benchmark = "multireadrandom";
    let mut command = db_bench(program, dir.path(), benchmark, volume.rows);
    command
        .args(["--use_existing_db=1", "--multiread_batched=1"])
        .arg(format!("--batch_size={BATCH}"))
        .arg(format!("--duration={}", volume.seconds));
    let (count, took, cpu) = measured(&command, benchmark)?;
    figures.extend(lookups(count, took, cpu));
    Ok(figures)
}

fn db_bench(program: &Path, dir: &Path, benchmark: &str, rows: u64) -> Command {
    let mut command = Command::new(program);
    command
        .arg(format!("--db={}", dir.display()))
        .arg(format!("--benchmarks={benchmark}"))
        .arg(format!("--num={rows}"))
        .args(["--key_size=13", "--value_size=100", "--threads=1"])
        .args(["--compression_type=lz4", "--disable_wal=1", "--seed=1"]);
    command
}

/// Operations, the time of the benchmark, and the processor time of the program.
fn measured(command: &Command, benchmark: &str) -> Result<(u64, Duration, Duration)> {
    let (output, cpu) = tools::run(command)?;
    let (count, took) =
        parse(&output, benchmark).with_context(|| format!("db_bench said:\n{output}"))?;
    Ok((count, took, cpu))
}

/// `NAME : M micros/op R ops/sec S seconds N operations; …`
fn parse(output: &str, benchmark: &str) -> Option<(u64, Duration)> {
    let line = output
        .lines()
        .rfind(|line| line.starts_with(benchmark) && line.contains("operations"))?;
    let before = |word: &str| line.split(word).next()?.split_whitespace().last();
    let seconds: f64 = before(" seconds")?.parse().ok()?;
    let count = before(" operations")?.parse().ok()?;
    Some((count, Duration::from_secs_f64(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_db_bench_is_read() {
        let output = "Keys: 13 bytes each\n------\n\
                      overwrite    :       2.500 micros/op 400000 ops/sec 0.250 seconds 100000 operations;   43.1 MB/s\n";
        assert_eq!(
            parse(output, "overwrite"),
            Some((100_000, Duration::from_millis(250)))
        );
        assert_eq!(parse(output, "fillrandom"), None);
    }
}
