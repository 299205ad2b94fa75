//! Runs seeds, each in a process of its own, and says what they came to.
//!
//! A test target without libtest's harness calls `main`. Without arguments a `Simulation` runs `WEIR_SIM_SEEDS` seeds
//! from `WEIR_SIM_FIRST` on, and a `Hunt` looks for seeds that catch planted bugs, as many at once as there are
//! processors; with `--seed N` either is the process of one seed, which prints all events with `--trace`.

mod hunt;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::entropy;
use crate::trace::Trace;
pub use hunt::{Hunt, Planted, named};

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Over all events.
    pub hash: u64,
    pub events: u64,
    /// In simulated time.
    pub time: Duration,
    /// Entries that clients were told are applied.
    pub acked: u64,
    /// How often faults of each class were done.
    pub faults: BTreeMap<String, u64>,
}

/// A kind of run, and what all its seeds together must have met.
pub struct Simulation<F> {
    /// The test target's package and name.
    pub package: &'static str,
    pub target: &'static str,
    /// Seeds that are run when `WEIR_SIM_SEEDS` says nothing.
    pub seeds: u64,
    /// Classes of faults without which the runs would show little.
    pub classes: &'static [&'static str],
    pub run: F,
}

/// A process that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(300);
/// One of so many seeds is run twice.
const TWICE: u64 = 10;

impl Report {
    pub fn of(trace: &Trace, acked: u64) -> Report {
        let faults = trace.faults().into_iter();
        Report {
            hash: trace.hash(),
            events: trace.count(),
            time: trace.now(),
            acked,
            faults: faults
                .map(|(class, count)| (class.to_owned(), count))
                .collect(),
        }
    }

    fn render(&self) -> String {
        let mut lines = vec![
            format!("hash={:016x}", self.hash),
            format!("events={}", self.events),
            format!("time={}", self.time.as_nanos()),
            format!("acked={}", self.acked),
        ];
        let faults = self.faults.iter();
        lines.extend(faults.map(|(class, count)| format!("fault.{class}={count}")));
        lines.join("\n")
    }

    fn parse(text: &str) -> Option<Report> {
        let mut report = Report::default();
        let mut known = 0;
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match name {
                "hash" => report.hash = u64::from_str_radix(value, 16).ok()?,
                "events" => report.events = value.parse().ok()?,
                "time" => report.time = Duration::from_nanos(value.parse().ok()?),
                "acked" => report.acked = value.parse().ok()?,
                fault => {
                    let class = fault.strip_prefix("fault.")?;
                    report.faults.insert(class.to_owned(), value.parse().ok()?);
                    continue;
                }
            }
            known += 1;
        }
        (known == 4).then_some(report)
    }

    fn add(&mut self, other: &Report) {
        self.events += other.events;
        self.time += other.time;
        self.acked += other.acked;
        for (class, count) in &other.faults {
            *self.faults.entry(class.clone()).or_default() += count;
        }
    }
}

impl<F, Running> Simulation<F>
where
    F: Fn(u64, Arc<Trace>) -> Running,
    Running: Future<Output = Report>,
{
    /// The whole program.
    pub fn main(&self) -> ExitCode {
        let arguments = Arguments::given();
        if let Some(seed) = arguments.seed() {
            println!("{}", run_here(seed, arguments.traces(), &self.run).render());
            return ExitCode::SUCCESS;
        }
        if arguments.are_about_others(self.target) {
            return ExitCode::SUCCESS;
        }
        exit(self.run_all())
    }

    fn run_all(&self) -> bool {
        let first = variable("WEIR_SIM_FIRST").unwrap_or(1);
        let count = variable("WEIR_SIM_SEEDS").unwrap_or(self.seeds);
        let start = Instant::now();
        let twice = (first..first + count).step_by(TWICE as usize);
        let seeds: Vec<u64> = (first..first + count).chain(twice).collect();
        let results = each_at_once(&seeds, |seed| (*seed, run_process(*seed, &[])));
        let mut total = Report::default();
        let mut reports: BTreeMap<u64, Report> = BTreeMap::new();
        let mut good = true;
        for (seed, result) in results {
            match result {
                Ok(report) => match reports.get(&seed) {
                    Some(before) if *before != report => {
                        good = false;
                        println!("seed {seed} is not the same twice: {before:?} {report:?}");
                    }
                    Some(_) => {}
                    None => {
                        total.add(&report);
                        reports.insert(seed, report);
                    }
                },
                Err(output) => {
                    good = false;
                    println!("seed {seed} failed:\n{output}\n{}", self.replay(seed));
                }
            }
        }
        self.summarize(&total, reports.len(), start.elapsed());
        // Few seeds need not meet all.
        let missing = self.classes.iter().filter(|_| count >= self.seeds);
        let missing: Vec<_> = missing
            .filter(|class| !total.faults.contains_key(**class))
            .collect();
        if !missing.is_empty() {
            println!("no seed met these faults: {missing:?}");
        }
        good && missing.is_empty()
    }

    fn replay(&self, seed: u64) -> String {
        let (package, target) = (self.package, self.target);
        format!("again: cargo test --release -p {package} --test {target} -- --seed {seed}")
    }

    fn summarize(&self, total: &Report, seeds: usize, took: Duration) {
        println!(
            "{}: {seeds} seeds, {:.2} simulated cluster hours, {} events, {} acknowledged entries, in {:.0} s",
            self.target,
            total.time.as_secs_f64() / 3600.0,
            total.events,
            total.acked,
            took.as_secs_f64()
        );
        for (class, count) in &total.faults {
            println!("  {count:>8}  {class}");
        }
    }
}

/// The command line.
struct Arguments(Vec<String>);

impl Arguments {
    fn given() -> Arguments {
        Arguments(std::env::args().skip(1).collect())
    }

    fn value(&self, flag: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == flag)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn seed(&self) -> Option<u64> {
        self.value("--seed")?.parse().ok()
    }

    fn traces(&self) -> bool {
        self.0.iter().any(|argument| argument == "--trace")
    }

    /// Whether they name other tests, or ask for names only.
    fn are_about_others(&self, target: &str) -> bool {
        let mut filters = self.0.iter().filter(|argument| !argument.starts_with('-'));
        let elsewhere = |filter: &String| !target.contains(filter.as_str());
        self.0.iter().any(|argument| argument == "--list") || filters.next().is_some_and(elsewhere)
    }
}

fn exit(good: bool) -> ExitCode {
    match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs one seed in this process, which must not have run another one.
fn run_here<Running: Future<Output = Report>>(
    seed: u64,
    prints: bool,
    run: impl Fn(u64, Arc<Trace>) -> Running,
) -> Report {
    entropy::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let trace = Arc::new(Trace::new(prints));
        end_at_a_panic(seed, &trace);
        run(seed, trace).await
    })
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A broken invariant, or any other panic, ends the process and says what came before.
fn end_at_a_panic(seed: u64, trace: &Arc<Trace>) {
    let trace = trace.clone();
    let shown = variable("WEIR_SIM_EVENTS").unwrap_or(40) as usize;
    std::panic::set_hook(Box::new(move |panic| {
        let last = trace.last();
        let lines: Vec<&str> = last.lines().collect();
        let from = lines.len().saturating_sub(shown);
        println!("{}", lines[from..].join("\n"));
        println!("seed {seed}: {panic}");
        std::process::exit(1);
    }));
}

type Outcome = Result<Report, String>;

fn at_once() -> u64 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    variable("WEIR_SIM_JOBS").unwrap_or(processors)
}

/// Does this with each of them, with as many at once as there are processors; what it comes to, in their order.
fn each_at_once<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once() {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(place) else {
                        return;
                    };
                    let result = work(one);
                    results.lock().push((place, result));
                }
            });
        }
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

fn run_process(seed: u64, arguments: &[&str]) -> Outcome {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(["--seed", &seed.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut output = child.stdout.take().expect("it is piped");
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        let read = output.read_to_string(&mut text);
        read.map(|_| text)
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < LIMIT => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            _ => {
                let killed = child.kill().and_then(|()| child.wait());
                return Err(format!("it took longer than {LIMIT:?}: {killed:?}"));
            }
        }
    };
    let text = reading.join().map_err(|_| "reading panicked")?;
    let text = text.map_err(|error| error.to_string())?;
    match status.success() {
        true => Report::parse(&text).ok_or_else(|| format!("it reports nothing:\n{text}")),
        false => Err(text),
    }
}
