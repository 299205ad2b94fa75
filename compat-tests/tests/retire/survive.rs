//! Nothing is lost, doubled or out of order while records move, whenever the broker is killed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{
    Acked, MAX_WAL_FILES, PATIENCE, Place, Stored, VALUE_BYTES, files, read, start, wait,
    wait_until_retired, write,
};

const TOPIC: &str = "moving";
const PARTITIONS: i32 = 12;
/// Many times what the write-ahead log keeps.
const LEAST_BYTES: u64 = 40 << 20;

/// How often the broker is killed: few in a normal run, `WEIR_KILL_CYCLES` for a long one.
fn cycles() -> u32 {
    let told = std::env::var("WEIR_KILL_CYCLES").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_move_are_there_once_and_in_order_whenever_the_broker_is_killed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut weir = start(dir.path());
    let place = Place::of(&weir);
    place.create(TOPIC, PARTITIONS, &[]).await;
    let done = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writer = {
        let (place, done, written) = (place.clone(), done.clone(), written.clone());
        tokio::spawn(async move {
            let goes_on = |number: u64| {
                written.store(number * VALUE_BYTES as u64, Ordering::Release);
                !done.load(Ordering::Acquire)
            };
            write(&place, TOPIC, PARTITIONS, goes_on).await
        })
    };
    for cycle in 0..cycles() {
        let goal = LEAST_BYTES / u64::from(cycles()) * u64::from(cycle + 1);
        wait(
            || written.load(Ordering::Acquire) >= goal,
            || "too little was written".into(),
        )
        .await;
        tokio::time::sleep(Duration::from_millis(u64::from(cycle * 137 % 300))).await;
        weir.kill().expect("killed");
        weir.launch().expect("weir starts again");
        // A reader from the start crosses segments, the write-ahead log and memory while they change.
        let reader = place.clone();
        let reading = tokio::task::spawn_blocking(move || read(&reader, TOPIC, PARTITIONS));
        check_order(&reading.await.expect("the reader ends"));
    }
    done.store(true, Ordering::Release);
    let acked = writer.await.expect("the writer ends");
    wait_until_retired(&weir).await;
    assert!(files(&weir, "segments", "seg").1 > LEAST_BYTES / 2);
    check(&place, &acked).await;

    // A restart finds all of it in segments and what the write-ahead log still has.
    weir.stop().expect("stopped");
    assert!(files(&weir, "raft/wal", "wal").0 <= MAX_WAL_FILES);
    weir.launch().expect("weir starts again");
    check(&place, &acked).await;
}

async fn check(place: &Place, acked: &Acked) {
    let reader = place.clone();
    let stored = tokio::task::spawn_blocking(move || read(&reader, TOPIC, PARTITIONS));
    let stored = stored.await.expect("the reader ends");
    check_order(&stored);
    for (number, at) in acked {
        let found = stored.get(at).map(|(number, _)| number);
        assert_eq!(found, Some(number), "{at:?} is what was acknowledged");
    }
    check_times(place, &stored);
}

fn check_order(stored: &Stored) {
    let mut last = HashMap::new();
    for ((partition, _), (number, _)) in stored {
        let before = last.insert(*partition, *number);
        assert!(
            before < Some(*number),
            "{number} is doubled or out of order"
        );
    }
}

/// Asks for offsets by times all over the log.
fn check_times(place: &Place, stored: &Stored) {
    let consumer = place.consumer();
    let partition = 3;
    let here = || stored.range((partition, 0)..(partition + 1, 0));
    let first = here().next().expect("a record").0.1;
    assert_eq!(first, 0, "nothing was trimmed");
    for (_, (_, time)) in here().step_by(97) {
        let mut asked = TopicPartitionList::new();
        let added = asked.add_partition_offset(TOPIC, partition, Offset::Offset(*time));
        added.expect("a partition");
        let found = consumer
            .offsets_for_times(asked, PATIENCE)
            .expect("an answer");
        let found = found.elements()[0].offset();
        let expected = here()
            .find(|(_, (_, other))| other >= time)
            .expect("itself");
        assert_eq!(found, Offset::Offset(expected.0.1), "by time {time}");
    }
}
