//! From the start of the process to the first acknowledged record.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use compat_tests::weir::{Weir, find_binary};
use compat_tests::{clock, ports};
use rdkafka::producer::BaseRecord;

use crate::load::Load;
use crate::machine::{percentile, pressure};
use crate::server::Server;

#[derive(clap::Args)]
pub struct Args {
    /// How often to start
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Seconds of rest before the memory is read
    #[arg(long, default_value_t = 10)]
    rest: u64,
}

pub fn run(args: &Args) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..args.rounds {
        times.push(first_ack()?);
    }
    times.sort_unstable();
    println!(
        "start to first acknowledged record, new directory, {} rounds: min {:?}, median {:?}, max {:?}",
        times.len(),
        times[0],
        percentile(&times, 0.5),
        times[times.len() - 1]
    );
    let weir = Weir::start()?;
    let server = Server::of(&weir)?;
    clock::pause(Duration::from_secs(args.rest));
    let before = server.cpu()?;
    clock::pause(Duration::from_secs(args.rest));
    let spent = server.cpu()?.saturating_sub(before);
    let (now, most) = server.memory()?;
    println!(
        "idle: {now:.1} MB resident (at most {most:.1}), {spent:?} CPU in {} s",
        args.rest
    );
    println!("CPU pressure after: {}", pressure());
    Ok(())
}

/// Starts the process, and has a record acknowledged as soon as the port answers.
fn first_ack() -> Result<Duration> {
    let [kafka, registry, http] = ports::free()?;
    let dir = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
    let address = |port: u16| format!("127.0.0.1:{port}");
    let started = Instant::now();
    let mut child = Command::new(find_binary()?)
        .args(["dev", "--data-dir"])
        .arg(&dir)
        .args(["--kafka-listen", &address(kafka)])
        .args(["--registry-listen", &address(registry)])
        .args(["--http-listen", &address(http)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting weir")?;
    let acked = wait_open(SocketAddr::from(([127, 0, 0, 1], kafka)))
        .and_then(|()| acknowledge(&address(kafka)))
        .map(|()| started.elapsed());
    child.kill()?;
    child.wait()?;
    std::fs::remove_dir_all(&dir)?;
    acked
}

/// An ApiVersions request of version 0 is answered.
fn wait_open(kafka: SocketAddr) -> Result<()> {
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let ask = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(kafka)?;
        stream.write_all(&request)?;
        stream.read_exact(&mut [0; 8])
    };
    clock::wait_for(Duration::from_secs(10), Duration::from_millis(2), || {
        ask().ok()
    })
    .context("no answer within 10 s")
}

fn acknowledge(kafka: &str) -> Result<()> {
    let load = Load::start(kafka, 0)?;
    let record: BaseRecord<'_, str, str> = BaseRecord::to("first").payload("record");
    load.send(record)?;
    load.finish()
}
