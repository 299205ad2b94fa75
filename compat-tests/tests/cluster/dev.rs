//! `weir dev -n 3`: three processes from one command, and what becomes of them.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use compat_tests::weir::find_binary;
use compat_tests::{clock, ports, process};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const PATIENCE: Duration = Duration::from_secs(60);

fn wait_for<T>(what: &str, log: &Path, done: impl FnMut() -> Option<T>) -> T {
    let found = clock::wait_for(PATIENCE, Duration::from_millis(50), done);
    found.unwrap_or_else(|| panic!("not in time: {what}\n{}", read(log)))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn pid_of(dir: &Path, number: u32) -> Option<Pid> {
    let text = read(&dir.join(format!("data/node-{number}/pid")));
    Pid::from_raw(text.trim().parse().ok()?)
}

fn lives(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

#[test]
fn dev_starts_three_nodes_reports_one_that_dies_and_stops_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("weir.log");
    let mut command = Command::new(find_binary().expect("a binary"));
    command
        .args(["dev", "-n", "3", "--data-dir"])
        .arg(dir.path().join("data"));
    for flag in ["--kafka-listen", "--registry-listen", "--http-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let port = ports::row(3).expect("free ports");
    command.args(["--cluster-listen", &format!("127.0.0.1:{port}")]);
    let output = File::create(&log).expect("a file");
    let mut parent: Child = process::spawn_bound(&command, output).expect("started");
    let up = || read(&log).contains("3 nodes are up").then_some(());
    wait_for("three nodes", &log, up);
    let text = read(&log);
    for part in ["node 1", "node 2", "node 3", "  kafka     127.0.0.1:"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let pids = [1, 2, 3].map(|number| pid_of(dir.path(), number).expect("a process id"));
    assert!(pids.iter().all(|pid| lives(*pid)));

    kill_process(pids[1], Signal::KILL).expect("killed");
    let reported = || read(&log).contains("node 2, process").then_some(());
    wait_for("the report", &log, || {
        read(&log).contains("has ended").then(reported).flatten()
    });
    assert_eq!(pid_of(dir.path(), 2), None, "its process id names nobody");
    clock::pause(Duration::from_secs(1));
    assert!(lives(pids[0]) && lives(pids[2]), "the others go on");

    kill_process(Pid::from_child(&parent), Signal::TERM).expect("asked to end");
    let status = wait_for("the end", &log, || parent.try_wait().transpose());
    assert!(status.expect("waited for").success(), "{}", read(&log));
    assert!(!lives(pids[0]) && !lives(pids[2]), "all are gone");
}
