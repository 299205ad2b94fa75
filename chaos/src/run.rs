//! One run, from empty disks to the report.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use compat_tests::calls;
use serde::{Deserialize, Serialize};

use crate::disk::{self, Disk};
use crate::faults::injector::Injector;
use crate::faults::schedule::Schedule;
use crate::finale;
use crate::history::{History, Recorder};
use crate::load::{LOG, LOG_PARTITIONS, Load, Scene, TABLE, TABLE_PARTITIONS, http};
use crate::net::Network;
use crate::node::{self, Node};
use crate::report::Report;
use crate::time::{self, Stopwatch};

/// The plan of a run in its directory.
pub const PLAN: &str = "run.json";
/// What clients saw.
pub const HISTORY: &str = "history.jsonl";
const JOURNAL: &str = "faults.jsonl";
const REPORT: &str = "report.json";
const START_LIMIT: Duration = Duration::from_secs(60);

/// All that a run needs to be repeated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub weir: PathBuf,
    /// More options of every node.
    pub options: Vec<String>,
    pub schedule: Schedule,
}

impl Plan {
    pub fn load(dir: &Path) -> Result<Plan> {
        let path = dir.join(PLAN);
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("{} is no run", dir.display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Plays a plan in an empty directory, which keeps what was planned, done and seen. Inside the namespaces only.
pub fn run(plan: &Plan, dir: &Path) -> Result<Report> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join(PLAN), serde_json::to_string_pretty(plan)?)?;
    let clock = Stopwatch::new();
    let mut injector = prepare(plan, dir, clock)?;
    let nodes = plan.schedule.nodes;
    let log = File::create(dir.join("clients.log"))?;
    let scene = Scene::new(Recorder::new(clock), nodes, plan.schedule.seed, log);
    let scene = Arc::new(scene);
    injector.start()?;
    found(nodes).context("the cluster did not start")?;
    finale::converge(&mut injector, &scene, START_LIMIT).context("the cluster did not start")?;
    let begun = clock.micros() / 1000;
    injector.note(format!(
        "all is well; steps begin {begun} ms later than planned"
    ));
    let load = Load::start(&scene);
    let schedule = plan.schedule.later(begun);
    injector.play(&schedule)?;
    let converged = finale::converge(&mut injector, &scene, finale::CONVERGED);
    load.stop();
    let read = match &converged {
        Ok(_) => finale::read(&mut injector, &scene),
        Err(_) => Ok(()),
    };
    let history = scene.recorder.take();
    history.save(&dir.join(HISTORY))?;
    let mut report = Report::new(&schedule, &history, injector.counts());
    match converged {
        Ok(took) => report.converged_ms = Some(took.as_millis() as u64),
        Err(error) => report.failures.push(format!("{error:#}")),
    }
    if let Err(error) = read {
        report
            .failures
            .push(format!("the end could not be read: {error:#}"));
    }
    report.add_deaths(std::mem::take(&mut injector.deaths));
    panics(&injector, &mut report);
    save(&injector, &report, dir)?;
    if !report.is_good() {
        keep_data(&mut injector, dir)?;
    }
    Ok(report)
}

/// Checks the history of a run again.
pub fn check(dir: &Path) -> Result<Vec<crate::check::Anomaly>> {
    let history = History::load(&dir.join(HISTORY))?;
    Ok(crate::check::all(&history))
}

fn prepare(plan: &Plan, dir: &Path, clock: Stopwatch) -> Result<Injector> {
    let nodes = plan.schedule.nodes;
    let network = Arc::new(Network::new(nodes, plan.schedule.seed)?);
    let memory = dir.join("disks");
    disk::mount_memory(&memory)?;
    let node = |place: usize| {
        let name = format!("node-{}", place + 1);
        let disk = Disk::new(&memory, &name)?;
        let log = dir.join(format!("{name}.log"));
        let options = &plan.options;
        Ok(Node::new(place, nodes, &plan.weir, options, log, disk))
    };
    let nodes = (0..nodes).map(node).collect::<Result<Vec<Node>>>()?;
    Ok(Injector::new(network, nodes, clock))
}

/// Makes the topic and the table, once there is a cluster.
fn found(nodes: usize) -> Result<()> {
    let replicas = nodes.min(3) as i16;
    let made = time::wait_for(START_LIMIT, Duration::from_millis(200), || {
        let made = calls::create_topic(node::kafka(0), LOG, LOG_PARTITIONS, replicas);
        // Or made before, by a request whose answer did not come.
        matches!(made, Ok(0 | 36)).then_some(())
    });
    made.context("no topic could be made")?;
    let settings = format!(
        r#"{{"partitions":{TABLE_PARTITIONS},"settings":{{"table.value.format":"string"}}}}"#
    );
    let path = format!("/v1/tables/{TABLE}");
    let answer = http::ask(node::http(0), "PUT", &path, &settings);
    match answer {
        Ok((200..300, _)) => Ok(()),
        other => bail!("no table could be made: {other:?}"),
    }
}

/// No node may have panicked.
fn panics(injector: &Injector, report: &mut Report) {
    for (place, node) in injector.nodes.iter().enumerate() {
        let output = node.output();
        let panicked = output.lines().filter(|line| line.contains("panicked"));
        let told = panicked.map(|line| format!("node {}: {line}", place + 1));
        report.failures.extend(told.take(3));
    }
}

/// The disks go with the run, so what is on them is copied.
fn keep_data(injector: &mut Injector, dir: &Path) -> Result<()> {
    for (place, node) in injector.nodes.iter_mut().enumerate() {
        node.kill()?;
        let to = dir.join(format!("data-{}", place + 1));
        let from = node.disk.path().join("data");
        let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
        copied.context("cannot start cp")?;
    }
    Ok(())
}

fn save(injector: &Injector, report: &Report, dir: &Path) -> Result<()> {
    let journal = injector.journal.iter().map(serde_json::to_string);
    let journal = journal.collect::<Result<Vec<_>, _>>()?;
    std::fs::write(dir.join(JOURNAL), journal.join("\n"))?;
    std::fs::write(dir.join(REPORT), serde_json::to_string_pretty(report)?)?;
    Ok(())
}
