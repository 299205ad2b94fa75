//! Bugs of the product that are planted one at a time, each of which some seed has to catch.

use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// By when each bug is caught, unless [`LATE`] says more.
const SEEDS: u64 = 20;
/// Bugs that need more luck.
const LATE: &[(&str, u64)] = &[("SegmentNotSynced", 60), ("ChecksumNotChecked", 60)];
/// Names the bug of a process.
const VARIABLE: &str = "WEIR_SIM_BUG";

/// A bug's name, and what makes the process have it.
type Planted = (String, Box<dyn Fn() + Sync>);

fn all() -> Vec<Planted> {
    let log = weir_log::planted::Bug::ALL.iter();
    let log = log.map(|bug| -> Planted {
        (
            format!("{bug:?}"),
            Box::new(|| weir_log::planted::plant(*bug)),
        )
    });
    let broker = weir_broker::planted::Bug::ALL.iter();
    let broker = broker.map(|bug| -> Planted {
        (
            format!("{bug:?}"),
            Box::new(|| weir_broker::planted::plant(*bug)),
        )
    });
    let raft = [weir_raft::planted::Bug::TruncatedToCommitted].into_iter();
    let raft = raft.map(|bug| -> Planted {
        (
            format!("{bug:?}"),
            Box::new(move || weir_raft::planted::plant(bug)),
        )
    });
    log.chain(broker).chain(raft).collect()
}

/// Gives this process the bug that its environment names.
pub fn plant() {
    let Ok(name) = std::env::var(VARIABLE) else {
        return;
    };
    let found = all().into_iter().find(|(known, _)| *known == name);
    let (_, plant) = found.expect("a known bug");
    plant();
}

/// Looks for each bug, seed after seed, until one catches it.
pub fn hunt() -> ExitCode {
    let bugs = all();
    let only = std::env::var(VARIABLE).ok();
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while let Some((name, _)) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if only.as_ref().is_none_or(|only| only == name) && !is_caught(name) {
                        missed.lock().push(name.clone());
                    }
                }
            });
        }
    });
    let missed = missed.into_inner();
    println!("bugs that no seed caught: {missed:?}");
    match missed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn is_caught(name: &str) -> bool {
    let late = LATE.iter().find(|(late, _)| *late == name);
    let seeds = late.map_or(SEEDS, |(_, seeds)| *seeds);
    (1..=seeds).any(|seed| {
        let program = std::env::current_exe().expect("this program");
        let run = Command::new(program)
            .args(["--seed", &seed.to_string()])
            .env(VARIABLE, name)
            .stdin(Stdio::null())
            .output();
        let run = run.expect("a process of this program");
        if run.status.success() {
            return false;
        }
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        let from = text.rfind("seed ").unwrap_or(0);
        let what: String = text[from..].chars().take(400).collect();
        println!("{name} is caught by {}", what.trim());
        true
    })
}
