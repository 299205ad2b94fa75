//! What `deploy/` says of the binary is so: metrics of alerts and board, options, the health check, the unit.

mod monitoring;
mod options;
mod promql;

use std::path::PathBuf;

/// A file of `deploy/`.
fn path(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
    PathBuf::from(folder).join(name)
}

fn read(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
