//! A run: brokers are started, every case is played against both, answers are compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use super::cases::{self, Case};
use super::diff::{self, Difference};
use super::differences;
use super::play::{self, Played};
use super::record::{self, Answers};
use super::report::{self, Report, Unexplained};
use super::target::Target;
use super::trial::Step;
use crate::clock;
use crate::kafka::{JUDGE, Kafka};
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

/// How often a case that differs is asked again, alone, before it counts.
const REPEATS: usize = 2;

/// Who is asked, and who says what is right.
struct Sides {
    judge: Option<Target>,
    subject: Option<Target>,
    recorded: Answers,
    jobs: usize,
}

/// Plays the cases and tells what differed; prints a line per API as it goes.
pub fn run(options: &Options) -> Result<Report> {
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| differences::matches(&options.only, &case.full_name()))
        .collect();
    let judge = match options.judge {
        Judge::Live => Some(Held::Kafka(Kafka::start(&JUDGE)?)),
        Judge::Address(address) => Some(Held::Elsewhere(address)),
        Judge::Recorded => None,
    };
    let subject = start(&options.subject)?;
    let sides = Sides::meet(judge.as_ref(), subject.as_ref(), options.jobs)?;

    let mut report = Report::new(options.only == "*");
    let mut answers = Answers::new();
    let mut differing = Vec::new();
    for batch in cases.chunk_by(|left, right| left.api == right.api) {
        let started = clock::now_ms();
        let (judged, asked) = sides.play(batch);
        for (at, case) in batch.iter().enumerate() {
            let name = case.full_name();
            let right = sides.right(&name, judged.get(at))?;
            if options.show {
                report::show(&name, &right);
            }
            let found = asked
                .get(at)
                .and_then(|asked| compare(&mut report, &name, &right, &asked.steps));
            differing.extend(found.map(|found| (case, found)));
            report.case();
            answers.insert(name, right);
        }
        let slowest = play::slowest(batch, [&asked, &judged]);
        report.finish_api(
            batch[0].api,
            batch.len(),
            differing.len(),
            clock::now_ms() - started,
            slowest,
        );
    }
    for (case, found) in differing {
        sides.repeat(&mut report, case, found)?;
    }
    if options.record {
        record::save(&cases, &answers)?;
    }
    Ok(report)
}

impl Sides {
    fn meet(judge: Option<&Held>, subject: Option<&Held>, jobs: usize) -> Result<Sides> {
        let meet = |name, held: Option<&Held>| {
            held.map(|held| Target::meet(name, held.address()))
                .transpose()
        };
        let (judge, subject) = (meet("Kafka", judge)?, meet("Weir", subject)?);
        let recorded = match judge {
            Some(_) => Answers::new(),
            None => record::load()?,
        };
        Ok(Sides {
            judge,
            subject,
            recorded,
            jobs,
        })
    }

    /// Plays cases against the judge and the subject at once; nothing where there is none.
    fn play(&self, cases: &[Case]) -> (Vec<Played>, Vec<Played>) {
        let play = |target: &Option<Target>| {
            let target = target.as_ref();
            target.map_or(Vec::new(), |target| play::all(target, cases, self.jobs))
        };
        thread::scope(|scope| {
            let judged = scope.spawn(|| play(&self.judge));
            let asked = play(&self.subject);
            (judged.join().expect("playing does not panic"), asked)
        })
    }

    fn right(&self, case: &str, judged: Option<&Played>) -> Result<Value> {
        match judged {
            Some(judged) => Ok(value_of(&judged.steps)),
            None => self
                .recorded
                .get(case)
                .cloned()
                .with_context(|| format!("{case} is not in the record")),
        }
    }

    /// Asks a case that differed once more, alone: brokers publish some changes a moment after they answer, and what
    /// only a busy machine shows is told apart from what a broker says each time.
    fn repeat(&self, report: &mut Report, case: &Case, first: Unexplained) -> Result<()> {
        let mut last = first;
        for at in 0..REPEATS {
            let again = |target: &Target| Target {
                mark: format!("{}-again-{at}", target.mark),
                ..target.clone()
            };
            let one = |target: &Option<Target>| {
                target
                    .as_ref()
                    .map(|target| play::one(&again(target), case))
            };
            let (judged, asked) = (one(&self.judge), one(&self.subject));
            let name = case.full_name();
            let right = self.right(&name, judged.as_ref())?;
            let steps = asked.unwrap_or_default().steps;
            match compare(report, &name, &right, &steps) {
                Some(found) => last = found,
                None => {
                    report.unstable(last);
                    return Ok(());
                }
            }
        }
        report.unexplained(last);
        Ok(())
    }
}

fn start(subject: &Subject) -> Result<Option<Held>> {
    Ok(match subject {
        Subject::Nobody => None,
        Subject::Kafka => Some(Held::Kafka(Kafka::start(&JUDGE)?)),
        Subject::Binary(path) => Some(Held::Weir(Box::new(Weir::start_with(path, &["dev"])?))),
        Subject::Address(address) => Some(Held::Elsewhere(*address)),
    })
}

/// Counts the differences that the list explains; the others are returned.
fn compare(report: &mut Report, name: &str, right: &Value, steps: &[Step]) -> Option<Unexplained> {
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
    let request = |at: &usize| {
        steps
            .get(*at)
            .map_or(String::new(), |step| step.request.clone())
    };
    (!by_step.is_empty()).then(|| Unexplained {
        case: name.to_string(),
        steps: by_step
            .into_iter()
            .map(|(at, found)| (request(&at), found))
            .collect(),
    })
}

fn value_of(steps: &[Step]) -> Value {
    Value::Array(steps.iter().map(|step| step.answer.clone()).collect())
}
