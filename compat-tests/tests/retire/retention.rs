//! What expired, or was deleted, gives its disk back and never comes back.

use rdkafka::admin::AdminOptions;

use crate::{
    MAX_WAL_FILES, Place, VALUE_BYTES, files, read, start, wait, wait_until_retired, write,
};

const MIB: u64 = 1 << 20;
const RECORDS: u64 = 24 * MIB / VALUE_BYTES as u64;
const PARTITIONS: i32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_is_freed_by_size_by_time_and_by_deleting() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut weir = start(dir.path());
    let place = Place::of(&weir);
    let bounded = [("retention.bytes", "2097152")];
    place.create("bounded", PARTITIONS, &bounded).await;
    place.create("kept", PARTITIONS, &[]).await;
    let acked = write(&place, "kept", PARTITIONS, |number| number < RECORDS).await;
    write(&place, "bounded", PARTITIONS, |number| number < RECORDS).await;
    wait_until_retired(&weir).await;

    // By size: about 2 MiB of each partition are left, beside all of the other topic.
    let segments = || files(&weir, "segments", "seg").1;
    let kept = RECORDS * VALUE_BYTES as u64;
    let most = kept + (PARTITIONS as u64 * 2 + 6) * MIB;
    wait(
        || segments() <= most,
        || format!("{} bytes in segments, {most} expected", segments()),
    )
    .await;
    let starts: Vec<i64> = (0..PARTITIONS)
        .map(|partition| place.watermarks("bounded", partition).0)
        .collect();
    for (partition, start) in (0..).zip(&starts) {
        let (_, end) = place.watermarks("bounded", partition);
        let left = (end - start) as u64 * VALUE_BYTES as u64;
        assert!(
            (2 * MIB - 64 * 1024..5 * MIB).contains(&left),
            "{left} bytes"
        );
    }

    // Log starts do not fall back, and what is kept is all there, after a crash.
    weir.kill().expect("killed");
    weir.launch().expect("weir starts again");
    for (partition, start) in (0..).zip(&starts) {
        assert!(place.watermarks("bounded", partition).0 >= *start);
    }
    let reader = place.clone();
    let stored = tokio::task::spawn_blocking(move || read(&reader, "kept", PARTITIONS));
    let stored = stored.await.expect("the reader ends");
    assert_eq!(stored.len(), acked.len());
    for (number, at) in &acked {
        assert_eq!(stored[at].0, *number);
    }

    // Deleting the topics leaves no segment at all.
    // The answer comes to the client, which has to live until then.
    let admin = place.admin();
    let deleted = admin.delete_topics(&["kept", "bounded"], &AdminOptions::new());
    for deleted in deleted.await.expect("an answer") {
        deleted.expect("deleted");
    }
    let segments = || files(&weir, "segments", "seg");
    wait(
        || segments().0 == 0,
        || format!("{:?} are left", segments()),
    )
    .await;
    assert!(files(&weir, "raft/wal", "wal").0 <= MAX_WAL_FILES);

    // By time: everything is older than a moment, so log start reaches the end.
    place.create("brief", 1, &[("retention.ms", "1000")]).await;
    write(&place, "brief", 1, |number| number < RECORDS / 4).await;
    wait(
        || place.watermarks("brief", 0).0 == (RECORDS / 4) as i64,
        || format!("log start and end are {:?}", place.watermarks("brief", 0)),
    )
    .await;
    wait(
        || segments().0 == 0,
        || format!("{:?} are left", segments()),
    )
    .await;
    weir.kill().expect("killed");
    weir.launch().expect("weir starts again");
    let end = (RECORDS / 4) as i64;
    assert_eq!(place.watermarks("brief", 0), (end, end));
}
