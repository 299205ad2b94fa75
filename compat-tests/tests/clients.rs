//! Every stock client gets from the broker what the matrix in `compat-tests/README.md` says.

use std::path::Path;

use compat_tests::clients::{report, run};

#[test]
fn clients_get_what_the_readme_says() {
    let own = Path::new(env!("CARGO_BIN_EXE_clients"));
    let matrix = run::run(own, &run::Options::default()).expect("the matrix is played");
    let failures = report::failures(&matrix);
    assert!(failures.is_empty(), "\n{failures}");
    let readme = report::Readme::with(&matrix).expect("the README");
    assert!(
        readme.agrees(),
        "the run differs from compat-tests/README.md; `cargo run -p compat-tests --bin clients -- --write` would write\n{}",
        readme.now
    );
}
