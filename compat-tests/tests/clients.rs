//! Every stock client gets from the broker what the matrix in `compat-tests/README.md` says.

use std::path::Path;
use std::sync::Mutex;

use compat_tests::clients::{report, run};

#[test]
fn clients_get_what_the_readme_says() {
    agrees(1);
}

#[test]
fn clients_get_the_same_from_three_nodes() {
    agrees(3);
}

fn agrees(nodes: usize) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock();
    let own = Path::new(env!("CARGO_BIN_EXE_clients"));
    let options = run::Options {
        nodes,
        ..run::Options::default()
    };
    let matrix = run::run(own, &options).expect("the matrix is played");
    let failures = report::failures(&matrix);
    assert!(failures.is_empty(), "\n{failures}");
    let readme = report::Readme::with(&matrix).expect("the README");
    assert!(
        readme.agrees(),
        "the run differs from compat-tests/README.md; `cargo run -p compat-tests --bin clients -- --write` would write\n{}",
        readme.now
    );
}
