//! A run: brokers are started, every case is played against both, answers are compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cases::{self, Case};
use super::diff::{self, Difference};
use super::differences;
use super::kafka::Kafka;
use super::record::{self, Answers};
use super::report::{self, Report, Unexplained};
use super::target::Target;
use super::trial::{Step, Trial};
use crate::clock;
use crate::weir::Weir;

/// Who is compared with the judge.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Nobody: Kafka's answers are only shown or recorded.
    Nobody,
    /// A second Kafka: any difference is a fault of the cases or of the normalisation.
    Kafka,
    /// A `weir` binary, started in a directory of its own.
    Binary(PathBuf),
    /// A broker that runs already.
    Address(SocketAddr),
}

/// Whose answers are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// A Kafka that is started for the run.
    Live,
    /// A Kafka that runs already.
    Address(SocketAddr),
    Recorded,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub subject: Subject,
    pub judge: Judge,
    /// Cases whose full name this pattern describes; `*` for all.
    pub only: String,
    /// How many cases are played at once against one broker.
    pub jobs: usize,
    /// Save the judge's answers as the record.
    pub record: bool,
    /// Print the judge's answers.
    pub show: bool,
}

impl Default for Options {
    /// Every case, of nobody but a fresh Kafka.
    fn default() -> Options {
        Options {
            subject: Subject::Nobody,
            judge: Judge::Live,
            only: "*".into(),
            jobs: 4,
            record: false,
            show: false,
        }
    }
}

/// A case as one broker answered it.
#[derive(Debug, Clone, Default)]
struct Played {
    steps: Vec<Step>,
    took_ms: i64,
}

/// A started broker that lives as long as the run.
enum Held {
    Kafka(Kafka),
    Weir(Box<Weir>),
    Elsewhere(SocketAddr),
}

impl Held {
    fn address(&self) -> SocketAddr {
        match self {
            Held::Kafka(kafka) => kafka.address,
            Held::Weir(weir) => weir.kafka,
            Held::Elsewhere(address) => *address,
        }
    }
}

/// Plays the cases and tells what differed; prints a line per API as it goes.
pub fn run(options: &Options) -> Result<Report> {
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| differences::matches(&options.only, &case.full_name()))
        .collect();
    let judge = match options.judge {
        Judge::Live => Some(Held::Kafka(Kafka::start()?)),
        Judge::Address(address) => Some(Held::Elsewhere(address)),
        Judge::Recorded => None,
    };
    let subject = start(&options.subject)?;
    let meet = |name, held: &Option<Held>| {
        held.as_ref()
            .map(|held| Target::meet(name, held.address()))
            .transpose()
    };
    let (judge, subject) = (meet("Kafka", &judge)?, meet("Weir", &subject)?);
    let recorded = if judge.is_none() {
        record::load()?
    } else {
        Answers::new()
    };

    let mut report = Report::new(options.only == "*");
    let mut answers = Answers::new();
    for batch in by_api(&cases) {
        let started = clock::now_ms();
        let (judged, asked) = thread::scope(|scope| {
            let judged = judge
                .as_ref()
                .map(|target| scope.spawn(|| play_all(target, batch, options.jobs)));
            let asked = subject
                .as_ref()
                .map(|target| play_all(target, batch, options.jobs));
            (
                judged.map(|thread| thread.join().expect("playing does not panic")),
                asked,
            )
        });
        for (at, case) in batch.iter().enumerate() {
            let name = case.full_name();
            let right = match &judged {
                Some(judged) => value_of(&judged[at].steps),
                None => recorded
                    .get(&name)
                    .cloned()
                    .with_context(|| format!("{name} is not in the record"))?,
            };
            if options.show {
                report::show(&name, &right);
            }
            if let Some(asked) = &asked {
                compare(&mut report, &name, &right, &asked[at].steps);
            }
            report.case();
            answers.insert(name, right);
        }
        let timed = asked
            .iter()
            .chain(&judged)
            .flatten()
            .map(|played| played.took_ms);
        let slowest = timed
            .zip(batch.iter().cycle())
            .max_by_key(|(took, _)| *took);
        let slowest = slowest.map(|(took, case)| (took, case.full_name()));
        report.finish_api(
            batch[0].api,
            batch.len(),
            clock::now_ms() - started,
            slowest,
        );
    }
    if options.record {
        record::save(&cases, &answers)?;
    }
    Ok(report)
}

fn start(subject: &Subject) -> Result<Option<Held>> {
    Ok(match subject {
        Subject::Nobody => None,
        Subject::Kafka => Some(Held::Kafka(Kafka::start()?)),
        Subject::Binary(path) => Some(Held::Weir(Box::new(Weir::start_with(path, &["dev"])?))),
        Subject::Address(address) => Some(Held::Elsewhere(*address)),
    })
}

fn by_api(cases: &[Case]) -> impl Iterator<Item = &[Case]> {
    cases.chunk_by(|left, right| left.api == right.api)
}

fn compare(report: &mut Report, name: &str, right: &Value, steps: &[Step]) {
    let mut by_step: BTreeMap<usize, Vec<Difference>> = BTreeMap::new();
    for difference in diff::differences(right, &value_of(steps)) {
        match differences::explains(name, &difference) {
            Some(entry) => report.deliberate(entry),
            None => {
                let step = difference
                    .path
                    .split('/')
                    .next()
                    .and_then(|at| at.parse().ok())
                    .unwrap_or(0);
                by_step.entry(step).or_default().push(difference);
            }
        }
    }
    if !by_step.is_empty() {
        let request = |at: &usize| {
            steps
                .get(*at)
                .map_or(String::new(), |step| step.request.clone())
        };
        let steps = by_step
            .into_iter()
            .map(|(at, found)| (request(&at), found))
            .collect();
        report.unexplained(Unexplained {
            case: name.to_string(),
            steps,
        });
    }
}

fn value_of(steps: &[Step]) -> Value {
    Value::Array(steps.iter().map(|step| step.answer.clone()).collect())
}

/// Each case, in the order of the cases.
fn play_all(target: &Target, cases: &[Case], jobs: usize) -> Vec<Played> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(vec![Played::default(); cases.len()]);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((at, case)) = take(&next, cases) {
                    let one = play(target, case);
                    played.lock().expect("no player panics")[at] = one;
                }
            });
        }
    });
    played.into_inner().expect("no player panics")
}

fn take<'c>(next: &AtomicUsize, cases: &'c [Case]) -> Option<(usize, &'c Case)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    cases.get(at).map(|case| (at, case))
}

fn play(target: &Target, case: &Case) -> Played {
    let started = clock::now_ms();
    let mut trial = Trial::new(target, format!("{}-{}", target.mark, case.slug()));
    if let Err(error) = (case.play)(&mut trial, case.version) {
        trial.record("the case".into(), json!(format!("stopped: {error:#}")));
    }
    Played {
        steps: trial.steps(),
        took_ms: clock::now_ms() - started,
    }
}
