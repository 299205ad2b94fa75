//! A run: brokers are started, every case is played against both, answers are compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

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
use crate::cluster::{self, Cluster};
use crate::kafka::{JUDGE, Kafka};
use crate::weir::Weir;
use crate::{calls, clock};

/// Who is compared with the judge.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Nobody: Kafka's answers are only shown or recorded.
    Nobody,
    /// A second Kafka: any difference is a fault of the cases or of the normalisation.
    Kafka,
    /// So many nodes of a `weir` binary, each in a directory of its own. One of several is asked that does not lead the
    /// metadata: it has to learn what is decided elsewhere.
    Binary(PathBuf, usize),
    /// A broker that runs already, alone or one of several.
    Address(SocketAddr),
}

/// Whose answers are right.
#[derive(Debug, Clone)]
pub enum Judge {
    /// A Kafka that is started for the run.
    Live,
    /// A Kafka that runs already.
    Address(SocketAddr),
    /// A Kafka that an earlier run asked.
    Asked(Answers),
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
    /// Nodes, and the one that is asked.
    Cluster {
        nodes: Cluster,
        asked: usize,
    },
    Elsewhere(SocketAddr),
}

impl Held {
    fn address(&self) -> SocketAddr {
        match self {
            Held::Kafka(kafka) => kafka.address,
            Held::Weir(weir) => weir.kafka,
            Held::Cluster { nodes, asked } => nodes.nodes[*asked].kafka,
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
    /// Of a judge that is not there.
    known: Answers,
    jobs: usize,
}

/// Plays the cases and tells what differed; prints a line per API as it goes.
pub fn run(options: &Options) -> Result<Report> {
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| differences::matches(&options.only, &case.full_name()))
        .collect();
    let (judge, known) = match &options.judge {
        Judge::Live => (Some(Held::Kafka(Kafka::start(&JUDGE)?)), Answers::new()),
        Judge::Address(address) => (Some(Held::Elsewhere(*address)), Answers::new()),
        Judge::Asked(answers) => (None, answers.clone()),
        Judge::Recorded => (None, record::load()?),
    };
    let subject = start(&options.subject)?;
    let sides = Sides::meet(judge.as_ref(), subject.as_ref(), known, options.jobs)?;

    let of_several_nodes = sides
        .subject
        .as_ref()
        .is_some_and(Target::is_one_of_several);
    let mut report = Report::new(options.only == "*", of_several_nodes);
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
            report.answers.insert(name, right);
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
        record::save(&cases, &report.answers)?;
    }
    Ok(report)
}

impl Sides {
    fn meet(
        judge: Option<&Held>,
        subject: Option<&Held>,
        known: Answers,
        jobs: usize,
    ) -> Result<Sides> {
        let meet = |name, held: Option<&Held>| {
            held.map(|held| Target::meet(name, held.address()))
                .transpose()
        };
        Ok(Sides {
            judge: meet("Kafka", judge)?,
            subject: meet("Weir", subject)?,
            known,
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
                .known
                .get(case)
                .cloned()
                .with_context(|| format!("nobody knows what Kafka says to {case}")),
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
            report.answers.insert(name.clone(), right.clone());
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
        Subject::Binary(path, 1) => Some(Held::Weir(Box::new(Weir::start_with(path, &["dev"])?))),
        Subject::Binary(path, nodes) => Some(several(path, *nodes)?),
        Subject::Address(address) => Some(Held::Elsewhere(*address)),
    })
}

/// Several nodes, once one that does not lead the metadata knows the others.
fn several(binary: &Path, count: usize) -> Result<Held> {
    let nodes = Cluster::start_still_dev(binary, count)?;
    let asked = clock::wait_for(cluster::PATIENCE, Duration::from_millis(50), || {
        let leader = calls::controller(nodes.nodes[0].kafka).ok()??;
        let asked = (0..count).find(|place| *place != Cluster::place_of(leader))?;
        let known = calls::brokers(nodes.nodes[asked].kafka).ok()?;
        (known.len() == count).then_some(asked)
    });
    let asked = asked.context("no node knows all, and who leads the metadata")?;
    Ok(Held::Cluster { nodes, asked })
}

/// Counts the differences that the list explains; the others are returned.
fn compare(report: &mut Report, name: &str, right: &Value, steps: &[Step]) -> Option<Unexplained> {
    let mut by_step: BTreeMap<usize, Vec<Difference>> = BTreeMap::new();
    for difference in diff::differences(right, &value_of(steps)) {
        if report.explains(name, &difference) {
            continue;
        }
        let step = difference
            .path
            .split('/')
            .next()
            .and_then(|at| at.parse().ok())
            .unwrap_or(0);
        by_step.entry(step).or_default().push(difference);
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
