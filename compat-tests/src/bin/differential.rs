//! Asks Kafka and Weir the same questions and prints where the answers differ.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use compat_tests::differential::cases;
use compat_tests::differential::differences::matches;
use compat_tests::differential::run::{Judge, Options, Subject, run};
use compat_tests::weir;

#[derive(Parser)]
#[command(about = "Compares a broker's answers with Kafka's, request by request")]
struct Arguments {
    /// The weir binary to start; by default WEIR_BIN or the one in cargo's target directory.
    #[arg(long)]
    weir: Option<PathBuf>,
    /// So many nodes that form a cluster, of which one is asked.
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// A running broker instead, alone or one of several.
    #[arg(long, conflicts_with_all = ["weir", "nodes"])]
    weir_address: Option<SocketAddr>,
    /// `none` only asks Kafka; `kafka` compares Kafka with a second Kafka, which proves the cases and the normalisation.
    #[arg(long, value_enum, default_value = "weir")]
    target: What,
    /// A Kafka that runs already, instead of a fresh one.
    #[arg(long)]
    kafka_address: Option<SocketAddr>,
    /// Whose answers are right: a Kafka that is started now, or the record in the repository.
    #[arg(long, value_enum, default_value = "live")]
    against: Against,
    /// Only cases whose name this describes, e.g. `Produce/*crc*/v9`; `*` stands for any characters.
    #[arg(long, default_value = "*")]
    only: String,
    /// Cases that are played at once against each broker.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Save Kafka's answers as the record.
    #[arg(long)]
    record: bool,
    /// Print Kafka's answers.
    #[arg(long)]
    show: bool,
    /// Print the names of the cases and end.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    Weir,
    Kafka,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Against {
    Live,
    Recorded,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        let names = cases::all().into_iter().map(|case| case.full_name());
        names
            .filter(|name| matches(&arguments.only, name))
            .for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    let subject = match (arguments.target, arguments.weir, arguments.weir_address) {
        (What::Kafka, ..) => Subject::Kafka,
        (What::None, ..) => Subject::Nobody,
        (What::Weir, _, Some(address)) => Subject::Address(address),
        (What::Weir, Some(path), None) => Subject::Binary(path, arguments.nodes),
        (What::Weir, None, None) => Subject::Binary(weir::find_binary()?, arguments.nodes),
    };
    let options = Options {
        subject,
        judge: match (arguments.against, arguments.kafka_address) {
            (Against::Live, None) => Judge::Live,
            (Against::Live, Some(address)) => Judge::Address(address),
            (Against::Recorded, _) => Judge::Recorded,
        },
        only: arguments.only,
        jobs: arguments.jobs,
        record: arguments.record,
        show: arguments.show,
    };
    let against_weir = arguments.target == What::Weir;
    let report = run(&options)?;
    report.print(against_weir);
    Ok(if report.passed(against_weir) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
