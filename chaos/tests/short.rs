//! A short run with every class of faults, and that a run can fail.
//!
//! It needs root and namespaces, and says so where they are missing. `WEIR_CHAOS_MINUTES` makes it longer, and
//! `WEIR_CHAOS_SEED` has the faults of an earlier one come again.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chaos::check;
use chaos::faults::Class;
use chaos::history::{Action, Effect, History, Operation, Outcome};
use chaos::run::{HISTORY, PLAN, Plan};

/// Three nodes are load enough.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory for runs, and what is in it.
fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::Builder::new().prefix("weir-chaos-").tempdir();
    let dir = dir.expect("a directory");
    let run = dir.path().join("run");
    (dir, run)
}

fn chaos(words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(words)
        .output();
    let output = output.expect("it starts");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn nothing_that_was_promised_is_broken_by_any_class_of_faults() {
    let _alone = alone();
    let (_kept, dir) = dir();
    let minutes = std::env::var("WEIR_CHAOS_MINUTES").unwrap_or("3".to_owned());
    let mut words = vec!["--dir", text(&dir), "--minutes", &minutes];
    let seed = std::env::var("WEIR_CHAOS_SEED").unwrap_or_default();
    if !seed.is_empty() {
        words.extend(["--seed", &seed]);
    }
    let output = chaos(&words);
    if !output.status.success() {
        print_nodes(&dir);
    }
    assert!(output.status.success(), "the run failed, see above");
    let history = History::load(&dir.join(HISTORY)).expect("a history");
    assert_eq!(check::all(&history), []);
    a_tampered_history_is_noticed(&history);
}

fn print_nodes(dir: &Path) {
    for place in 1..=3 {
        let log = std::fs::read_to_string(dir.join(format!("node-{place}.log")));
        println!("node {place}:\n{}", log.unwrap_or_default());
    }
}

/// What really happened, changed in one place.
fn a_tampered_history_is_noticed(history: &History) {
    let found = |change: &dyn Fn(&mut History)| {
        let mut tampered = history.clone();
        change(&mut tampered);
        let found = check::all(&tampered);
        found.iter().map(|one| one.kind).collect::<Vec<_>>()
    };
    let lost = found(&|history| {
        history
            .logs
            .iter_mut()
            .for_each(|log| log.records.truncate(log.records.len() - 1));
    });
    assert!(lost.contains(&"lost-write"), "{lost:?}");
    let doubled = found(&|history| {
        for log in &mut history.logs {
            let (last, value) = *log.records.last().expect("records");
            log.records.push((last + 1, value));
        }
    });
    assert!(doubled.contains(&"duplicate"), "{doubled:?}");
    let differ = found(&|history| {
        history.logs[0].records.pop();
    });
    assert!(differ.contains(&"replicas-differ"), "{differ:?}");
    let stale = found(&|history| history.ends.last_mut().expect("ends").offset = 0);
    assert!(stale.contains(&"stale-end"), "{stale:?}");
    let old = found(&|history| {
        let rows = history.scans.values_mut().next().expect("a scan");
        rows.pop_last();
    });
    assert!(
        old.contains(&"table-not-fold") && old.contains(&"rows-differ"),
        "{old:?}"
    );
    let row = found(&|history| forget_writes(&mut history.rows));
    assert!(row.contains(&"not-linearizable"), "{row:?}");
    let offset = found(&|history| forget_writes(&mut history.commits));
    assert!(offset.contains(&"not-linearizable"), "{offset:?}");
}

/// Has the last read of a register that was written give nothing.
fn forget_writes(operations: &mut [Operation]) {
    let is_written = |one: &Operation| {
        let written = matches!(one.action, Action::Write(Some(_)));
        written && one.outcome.done().is_some()
    };
    let written = operations.iter().find(|one| is_written(one));
    let written = written.expect("a write").clone();
    operations.iter_mut().for_each(|one| {
        let reads = matches!(one.outcome, Outcome::Done(Effect::Read(Some(_))));
        if one.register == written.register && reads && one.began > written.ended {
            one.outcome = Outcome::Done(Effect::Read(Some(u64::MAX)));
        }
    });
}

#[test]
fn a_run_that_misses_a_class_fails_and_is_replayed() {
    let _alone = alone();
    let (kept, dir) = dir();
    let faults = "kill,disk-full,pause,delay";
    let words = [
        "--dir",
        text(&dir),
        "--minutes",
        "0.15",
        "--seed",
        "1",
        "--faults",
        faults,
    ];
    chaos(&words);
    let mut plan = Plan::load(&dir).expect("a plan");
    assert!(!plan.schedule.comes(Class::Loss));
    plan.schedule.classes.push(Class::Loss);
    let text_of_plan = serde_json::to_string(&plan).expect("JSON");
    std::fs::write(dir.join(PLAN), text_of_plan).expect("written");
    let again = kept.path().join("again");
    let output = chaos(&["replay", text(&dir), "--dir", text(&again)]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Loss was to come and met nothing"), "{said}");
    assert!(
        said.contains("0 anomalies") || !said.contains("anomalies"),
        "{said}"
    );
    let [first, second] = [&dir, &again].map(|dir| Plan::load(dir).expect("a plan"));
    assert_eq!(first.schedule, second.schedule);
}
