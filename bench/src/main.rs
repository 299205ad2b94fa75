//! Measures a `weir` that it starts itself, over TCP. Every figure is printed with what it was taken from; the
//! binary is `WEIR_BIN`, or the newest one in cargo's target directory.

#![allow(
    clippy::disallowed_methods,
    reason = "it measures real time, and no simulator runs it"
)]

mod http;
mod load;
mod machine;
mod produce;
mod server;
mod start;
mod tables;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, version)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Produces records with librdkafka
    Produce(produce::Args),
    /// Upserts rows by Kafka produce and looks them up over HTTP, in batches and one by one
    Tables(tables::Args),
    /// Starts the broker again and again: time to the first acknowledged record, memory when idle
    Start(start::Args),
}

fn main() -> anyhow::Result<()> {
    machine::describe();
    match Args::parse().what {
        What::Produce(args) => produce::run(&args),
        What::Tables(args) => tables::run(&args),
        What::Start(args) => start::run(&args),
    }
}
