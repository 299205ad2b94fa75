//! A member of a group that reads the records while they are written, and commits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::log::Stored;
use super::records::TOPIC;
use super::{PARTITIONS, Progress, Run};

const GROUP: &str = "committers";
/// Records read between two commits.
const COMMIT_EVERY: usize = 50;

/// What the member did, by partition.
#[derive(Default)]
pub struct Commits {
    /// The highest offset whose commit was acknowledged.
    acked: HashMap<i32, i64>,
    /// The highest offset whose commit was sent.
    sent: HashMap<i32, i64>,
    /// What it read where.
    seen: BTreeMap<(i32, i64), String>,
}

/// Reads and commits until the end of the run.
pub fn commit(run: &Run, progress: &Progress) -> Commits {
    let consumer: BaseConsumer = run
        .client()
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "300")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    let mut commits = Commits::default();
    let mut due: HashMap<i32, i64> = HashMap::new();
    let mut read = 0;
    while run.goes_on() {
        let Some(polled) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        // A broker that is away is an error, too; the consumer goes on by itself.
        let Ok(message) = polled else { continue };
        let place = (message.partition(), message.offset());
        let acked = commits.acked.get(&place.0).copied().unwrap_or(0);
        assert!(
            place.1 >= acked,
            "the group was sent back to {place:?} after it had committed {acked}"
        );
        let value = message.payload_view::<str>().expect("a payload");
        let value = value.expect("text").to_owned();
        let again = commits.seen.insert(place, value.clone());
        assert!(
            again.is_none_or(|before| before == value),
            "{place:?} changed between two reads"
        );
        due.insert(place.0, place.1 + 1);
        read += 1;
        if read % COMMIT_EVERY == 0 {
            commit_due(&consumer, &mut due, &mut commits, progress);
        }
    }
    commits
}

fn commit_due(
    consumer: &BaseConsumer,
    due: &mut HashMap<i32, i64>,
    commits: &mut Commits,
    progress: &Progress,
) {
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in due.iter() {
        offsets
            .add_partition_offset(TOPIC, *partition, Offset::Offset(*offset))
            .expect("a partition");
        raise(&mut commits.sent, *partition, *offset);
    }
    if consumer.commit(&offsets, CommitMode::Sync).is_ok() {
        for (partition, offset) in due.drain() {
            raise(&mut commits.acked, partition, offset);
        }
        progress.add();
    }
    // What is not acknowledged may or may not be committed, and goes along with the next commit only if it is still
    // ours: a rebalance starts over from what is committed.
    due.clear();
}

fn raise(offsets: &mut HashMap<i32, i64>, partition: i32, offset: i64) {
    let known = offsets.entry(partition).or_insert(offset);
    *known = offset.max(*known);
}

/// Offsets lie between what was acknowledged and what was sent, and what was read is still there.
pub async fn check(run: &Arc<Run>, commits: &Commits, stored: &Stored) {
    for (place, value) in &commits.seen {
        let record = stored.get(place);
        assert_eq!(
            record.and_then(|record| record.value.as_ref()),
            Some(value),
            "{place:?} was read by the group and is something else now"
        );
    }
    assert_eq!(
        commits.acked.len(),
        usize::try_from(PARTITIONS).expect("small"),
        "every partition was committed"
    );
    let run = run.clone();
    let committed = tokio::task::spawn_blocking(move || committed(&run))
        .await
        .expect("the asking client ends");
    for (partition, acked) in &commits.acked {
        let now = committed[partition];
        let sent = commits.sent[partition];
        assert!(
            (*acked..=sent).contains(&now),
            "{TOPIC}-{partition}: {now} is committed, {acked} was acknowledged, {sent} was sent"
        );
    }
}

fn committed(run: &Run) -> HashMap<i32, i64> {
    let consumer: BaseConsumer = run
        .client()
        .set("group.id", GROUP)
        .create()
        .expect("a consumer");
    let mut asked = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        asked.add_partition(TOPIC, partition);
    }
    let committed = consumer
        .committed_offsets(asked, Duration::from_secs(20))
        .expect("an answer");
    committed
        .elements()
        .iter()
        .map(|element| {
            let offset = element.offset().to_raw().expect("an offset");
            (element.partition(), offset)
        })
        .collect()
}
