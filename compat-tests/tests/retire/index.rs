//! Records move early when it takes too much memory to know where they lie in the write-ahead log.

use std::path::Path;

use compat_tests::http;
use compat_tests::weir::{Weir, find_binary};

use crate::{Place, VALUE_BYTES, files, read, wait, write};

const PARTITIONS: i32 = 3;
/// Files of 8 MiB, of which two would be kept.
const WAL_BUDGET_MB: &str = "64";
const KEPT_BYTES: u64 = 16 << 20;
/// Less than one file takes.
const RECORDS: u64 = (6 << 20) / VALUE_BYTES as u64;

fn start(dir: &Path) -> Weir {
    let config = dir.join("weir.toml");
    std::fs::write(&config, "").expect("written");
    let config = config.to_str().expect("text");
    let command = [
        "serve",
        "-c",
        config,
        "--wal-budget-mb",
        WAL_BUDGET_MB,
        "--wal-index-mb",
        "0",
        "--tail-mb",
        "1",
    ];
    Weir::start_with(&find_binary().expect("a binary"), &command).expect("weir starts")
}

/// A gauge or counter without labels.
fn metric(weir: &Weir, name: &str) -> f64 {
    let page = http::get(weir.http, "/metrics").expect("metrics").body;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = line.unwrap_or_else(|| panic!("no {name} in\n{page}"));
    value.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_move_although_their_files_would_be_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut weir = start(dir.path());
    let place = Place::of(&weir);
    place.create("early", PARTITIONS, &[]).await;
    let acked = write(&place, "early", PARTITIONS, |number| number < RECORDS).await;
    // A file ends once a quarter of it is filled, so not even a half of one is left.
    let bytes = RECORDS * VALUE_BYTES as u64;
    let early = || metric(&weir, "weir_retire_early_rounds_total");
    // A round is counted when it is over, a while after its files are there.
    wait(
        || files(&weir, "segments", "seg").1 >= bytes / 4 && early() >= 1.0,
        || {
            let files = files(&weir, "segments", "seg");
            format!("{files:?} in segments, {} early rounds", early())
        },
    )
    .await;
    assert!(metric(&weir, "weir_wal_bytes") < KEPT_BYTES as f64);
    assert_eq!(metric(&weir, "weir_wal_index_budget_bytes"), 0.0);

    weir.kill().expect("killed");
    weir.launch().expect("weir starts again");
    let reader = place.clone();
    let stored = tokio::task::spawn_blocking(move || read(&reader, "early", PARTITIONS));
    let stored = stored.await.expect("the reader ends");
    assert_eq!(stored.len(), acked.len());
    for (number, at) in &acked {
        assert_eq!(stored[at].0, *number);
    }
}
