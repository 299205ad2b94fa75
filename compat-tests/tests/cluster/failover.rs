//! One of three nodes is killed, hangs, or is restarted under an idempotent producer and a group: writes go on soon,
//! nothing that was acknowledged is lost or doubled, and the node catches up.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compat_tests::clock;
use compat_tests::cluster::{Cluster, PATIENCE};
use compat_tests::weir::Weir;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, util::Timeout};
use rustix::process::{Pid, Signal, kill_process};

use crate::kafka::{create, partitions};
use crate::operators::metric;

pub const TOPIC: &str = "survivors";
pub const PARTITIONS: i32 = 6;
/// How often a leader is killed: few in a normal run, `WEIR_KILL_CYCLES` for a long one.
const CYCLES: u32 = 3;
/// A pause of the acknowledgements of all partitions together; the aim for most is under a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

fn cycles() -> u32 {
    let given = std::env::var("WEIR_KILL_CYCLES").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(CYCLES)
}

/// Partition and offset of a record, and when it was acknowledged.
pub type Ack = ((i32, i64), i64);

/// Acknowledged records by number.
#[derive(Clone, Default)]
pub struct Acks(Arc<Mutex<BTreeMap<u64, Ack>>>, Bumps);

/// Epochs that librdkafka gave up: it was told of a gap, and may send again what is stored.
type Bumps = Arc<Mutex<Vec<String>>>;

impl Acks {
    /// A record was acknowledged at this partition and offset.
    pub fn note(&self, number: u64, place: (i32, i64)) {
        let mut acks = self.0.lock().expect("no panic");
        acks.insert(number, (place, clock::now_ms()));
    }
}

impl ClientContext for Acks {
    fn log(&self, _: RDKafkaLogLevel, _: &str, message: &str) {
        if message.contains("-> DrainBump") {
            let mut bumps = self.1.lock().expect("no panic");
            bumps.push(message.to_owned());
        }
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, number: Box<u64>) {
        let message = delivered
            .as_ref()
            .expect("idempotent sends succeed in time");
        self.note(*number, (message.partition(), message.offset()));
    }
}

pub fn client(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap())
        .set("reconnect.backoff.max.ms", "500");
    config
}

/// Numbered records, the number's rest says the partition, until the end.
pub fn write(config: ClientConfig, acks: Acks, done: &AtomicBool) -> u64 {
    let producer: ThreadedProducer<Acks> = {
        let mut config = config;
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("retry.backoff.ms", "50")
            // A request to a node that hangs is given up then.
            .set("socket.timeout.ms", "1000")
            .set("message.timeout.ms", "60000")
            .set("debug", "eos")
            .set_log_level(RDKafkaLogLevel::Debug);
        config.create_with_context(acks).expect("a producer")
    };
    let mut number = 0;
    while !done.load(Ordering::Acquire) {
        let payload = number.to_string();
        let partition = i32::try_from(number % PARTITIONS as u64).expect("small");
        let record = BaseRecord::<str, str, Box<u64>>::with_opaque_to(TOPIC, Box::new(number))
            .payload(&payload)
            .partition(partition);
        if producer.send(record).is_ok() {
            number += 1;
        }
        clock::pause(Duration::from_millis(2));
    }
    producer
        .flush(Timeout::After(Duration::from_secs(60)))
        .expect("all acked");
    number
}

/// Where a partition begins and ends. Each time a client of its own asks: librdkafka asks the node that led when it last
/// knew, and does not look for another while that does not answer.
fn watermarks(config: &ClientConfig, partition: i32) -> (i64, i64) {
    let asked = || {
        let consumer: BaseConsumer = config
            .clone()
            .set("group.id", "reader")
            .create()
            .expect("a consumer");
        let found = consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(5));
        found
            .inspect_err(|error| eprintln!("watermarks of partition {partition}: {error}"))
            .ok()
    };
    let found = clock::wait_for(PATIENCE, Duration::from_millis(100), asked);
    found.expect("watermarks")
}

/// Every stored record by partition and offset; offsets are dense.
fn read(config: &mut ClientConfig) -> BTreeMap<(i32, i64), u64> {
    config
        .set("group.id", "reader")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let patience = Duration::from_secs(20);
    let mut assignment = TopicPartitionList::new();
    let mut left: HashMap<i32, i64> = HashMap::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(TOPIC, partition, Offset::Beginning)
            .expect("a partition");
        let (low, high) = watermarks(config, partition);
        assert_eq!(low, 0);
        left.insert(partition, high);
    }
    consumer.assign(&assignment).expect("assigned");
    let mut stored = BTreeMap::new();
    while left.values().any(|records| *records > 0) {
        // An error tells of a node that is away.
        let polled = || consumer.poll(Duration::from_secs(1))?.ok();
        let message = clock::wait_for(patience, Duration::ZERO, polled).expect("in time");
        let number = message.payload_view::<str>().expect("a payload");
        let number = number.expect("text").parse().expect("a number");
        let place = (message.partition(), message.offset());
        assert!(stored.insert(place, number).is_none(), "{place:?} twice");
        *left.get_mut(&message.partition()).expect("assigned") -= 1;
    }
    let mut next = HashMap::new();
    for (partition, offset) in stored.keys() {
        let next = next.entry(*partition).or_insert(0);
        assert_eq!(offset, next, "offsets are dense");
        *next += 1;
    }
    stored
}

/// The longest time within the span in which a partition got no acknowledgement, for each partition.
fn pauses(acks: &Acks, from_ms: i64, to_ms: i64) -> Vec<i64> {
    let mut last: HashMap<i32, i64> = (0..PARTITIONS).map(|index| (index, from_ms)).collect();
    let mut longest: HashMap<i32, i64> = HashMap::new();
    let acks = acks.0.lock().expect("no panic");
    let mut times: Vec<(i64, i32)> = acks
        .values()
        .filter(|(_, at)| (from_ms..to_ms).contains(at))
        .map(|((partition, _), at)| (*at, *partition))
        .collect();
    times.sort();
    for (at, partition) in times {
        let pause = at - last[&partition];
        let longest = longest.entry(partition).or_default();
        *longest = pause.max(*longest);
        last.insert(partition, at);
    }
    let mut pauses: Vec<i64> = longest.into_values().collect();
    pauses.sort();
    pauses
}

/// What happens to a node, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// kill -9.
    Killed,
    /// SIGSTOP, then SIGCONT: its connections stay.
    Stopped,
    /// A clean stop.
    Restarted,
}

impl Fault {
    fn begin(self, cluster: &mut Cluster, victim: usize) {
        let node = &mut cluster.nodes[victim];
        match self {
            Fault::Killed => node.kill().expect("killed"),
            Fault::Stopped => send(node, Signal::STOP),
            Fault::Restarted => {
                node.stop().expect("stopped");
                let output = node.output();
                assert!(!output.contains("ERROR"), "a clean stop: {output}");
            }
        }
    }

    fn end(self, cluster: &mut Cluster, victim: usize) {
        let node = &mut cluster.nodes[victim];
        match self {
            Fault::Killed | Fault::Restarted => node.launch().expect("it comes back"),
            Fault::Stopped => send(node, Signal::CONT),
        }
    }
}

pub fn send(node: &Weir, signal: Signal) {
    let pid = node.pid().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, signal).expect("signalled");
}

/// Has one node after the other suffer while an idempotent producer writes: nothing is lost, doubled or out of order.
/// Answers the longest pause of any partition, in ms, for each time.
fn suffer(fault: Fault) -> Vec<i64> {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let config = client(&cluster);
    let (acks, done) = (Acks::default(), Arc::new(AtomicBool::new(false)));
    let writer = std::thread::spawn({
        let (config, acks, done) = (config.clone(), acks.clone(), done.clone());
        move || write(config, acks, &done)
    });
    let mut longest = Vec::new();
    for cycle in 0..cycles() {
        let victim = cycle as usize % 3;
        let asked = cluster.nodes[(victim + 1) % 3].kafka;
        await_in_sync(&cluster, asked);
        clock::pause(Duration::from_secs(1));
        let began_at = clock::now_ms();
        fault.begin(&mut cluster, victim);
        clock::pause(Duration::from_secs(4));
        let of_partitions = pauses(&acks, began_at, clock::now_ms());
        assert_eq!(
            of_partitions.len(),
            PARTITIONS as usize,
            "every partition goes on without node {}: {of_partitions:?}\n{}",
            victim + 1,
            cluster.outputs()
        );
        longest.push(*of_partitions.last().expect("some"));
        fault.end(&mut cluster, victim);
    }
    done.store(true, Ordering::Release);
    let sent = writer.join().expect("the writer ends");
    longest.sort();
    println!("{fault:?}: longest pauses of a partition in ms: {longest:?}");
    check(&config, &acks, sent);
    longest
}

/// What is stored is what was acknowledged, once each, and in order; and the producer was told of no gap.
pub fn check(config: &ClientConfig, acks: &Acks, sent: u64) {
    let stored = read(&mut config.clone());
    let bumps = acks.1.lock().expect("no panic");
    let acks = acks.0.lock().expect("no panic");
    assert_eq!(acks.len() as u64, sent);
    let mut places: HashMap<u64, Vec<(i32, i64)>> = HashMap::new();
    for (place, number) in &stored {
        places.entry(*number).or_default().push(*place);
    }
    for (number, ((partition, offset), _)) in acks.iter() {
        let found = places.get(number).map_or(&[][..], Vec::as_slice);
        let [(at, lies)] = found else {
            panic!("{number} lies at {found:?}, not once; epochs that were given up: {bumps:#?}");
        };
        // librdkafka has no offset of a batch whose answer was lost, and that it takes for stored since the next one is.
        let is_there = at == partition && (*offset < 0 || lies == offset);
        assert!(
            is_there,
            "{number} was acked at {partition}, {offset}, and lies at {at}, {lies}"
        );
    }
    assert_eq!(stored.len(), acks.len(), "nothing is made up");
    let mut last = HashMap::new();
    for ((partition, _), number) in &stored {
        let before = last.insert(partition, number);
        assert!(
            before.is_none_or(|before| before < number),
            "order of {number}"
        );
    }
    assert!(
        bumps.is_empty(),
        "the producer was told of a gap: {bumps:#?}"
    );
}

fn assert_short(longest: &[i64]) {
    let most = *longest.last().expect("some");
    assert!(most < LONGEST_PAUSE.as_millis() as i64, "{longest:?}");
}

#[test]
fn killing_a_node_loses_and_doubles_nothing_and_writes_go_on() {
    assert_short(&suffer(Fault::Killed));
}

#[test]
fn a_node_that_hangs_loses_and_doubles_nothing_and_writes_go_on() {
    assert_short(&suffer(Fault::Stopped));
}

/// A node that is stopped cleanly hands over first, so that no election is waited for.
#[test]
fn a_rolling_restart_is_hardly_noticed() {
    assert_short(&suffer(Fault::Restarted));
}

/// C1: what a group has committed is there on whichever node coordinates it next.
#[test]
fn a_group_goes_on_from_its_offsets_when_its_coordinator_is_killed() {
    let mut cluster = Cluster::start(3).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    let consumer: BaseConsumer = client(&cluster)
        .set("group.id", "survivors")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    for round in 1..=3 {
        let mut offsets = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            offsets
                .add_partition_offset(TOPIC, partition, Offset::Offset(round * 10))
                .expect("a partition");
        }
        cluster.eventually("a commit", || {
            consumer.commit(&offsets, CommitMode::Sync).ok()
        });
        let victim = round as usize % 3;
        cluster.nodes[victim].kill().expect("killed");
        let mut asked = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            asked.add_partition(TOPIC, partition);
        }
        let found = cluster.eventually("the offsets", || {
            let found = consumer.committed_offsets(asked.clone(), Duration::from_secs(5));
            found.ok()
        });
        for partition in found.elements() {
            assert_eq!(partition.offset(), Offset::Offset(round * 10));
        }
        cluster.nodes[victim].launch().expect("it comes back");
    }
}

/// Writes so many records of 100,000 bytes.
fn write_large(cluster: &Cluster, count: u64) {
    let acks = Acks::default();
    let producer: ThreadedProducer<Acks> = client(cluster)
        .set("enable.idempotence", "true")
        .create_with_context(acks.clone())
        .expect("a producer");
    let payload = "x".repeat(100_000);
    for number in 0..count {
        let key = number.to_string();
        let partition = number as i32 % PARTITIONS;
        let mut record = BaseRecord::<str, str, Box<u64>>::with_opaque_to(TOPIC, Box::new(number))
            .key(&key)
            .payload(&payload)
            .partition(partition);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            clock::pause(Duration::from_millis(20));
        }
    }
    let flushed = producer.flush(Timeout::After(Duration::from_secs(60)));
    flushed.expect("all acked");
}

/// Waits until all replicas are in sync, as a node says.
pub fn await_in_sync(cluster: &Cluster, asked: SocketAddr) {
    cluster.eventually("all replicas in sync", || {
        let found = partitions(asked, TOPIC)?;
        found
            .iter()
            .all(|one| one.isr_nodes.len() == 3)
            .then_some(())
    });
}

/// What the log does not hold any more comes from the leader's segments, also into an empty directory; and a node that
/// has it that way can lead.
#[test]
fn a_node_that_the_log_no_longer_reaches_is_brought_the_records() {
    let mut cluster = Cluster::prepare_with(3, &["--wal-budget-mb", "32"]).expect("prepared");
    cluster.spawn_all().expect("started");
    cluster.await_all().expect("ready");
    let asked = cluster.nodes[1].kafka;
    assert_eq!(create(asked, TOPIC, PARTITIONS, 3), 0);
    write_large(&cluster, 60);
    for wiped in [false, true] {
        await_in_sync(&cluster, asked);
        cluster.nodes[2].kill().expect("killed");
        if wiped {
            std::fs::remove_dir_all(cluster.nodes[2].data_dir()).expect("removed");
        }
        write_large(&cluster, 600);
        // 60 MB were written, so none of the two that are left can hold them all.
        cluster.eventually("a log that was made shorter", || {
            let held = metric(&cluster, "weir_wal_bytes ");
            (held < 48_000_000).then_some(())
        });
        let before = cluster.nodes[2].output().len();
        cluster.nodes[2].launch().expect("it comes back");
        await_in_sync(&cluster, asked);
        let said = cluster.nodes[2].output().split_off(before);
        assert!(said.contains("records were brought"), "{said}");
    }
    cluster.nodes[0].kill().expect("killed");
    cluster.eventually("leaders among the others", || {
        let found = partitions(asked, TOPIC)?;
        found.iter().all(|one| one.leader_id.0 != 1).then_some(())
    });
    cluster.nodes[1].kill().expect("killed");
    cluster.nodes[1].launch().expect("it comes back");
    // Whoever leads now, some of the partitions' leaders are the node that was brought its records.
    let count = records(client(&cluster).set("group.id", "reader"));
    assert_eq!(count, 60 + 600 + 600);
}

/// Reads all partitions from their beginning to where they end now; answers how many records there were.
fn records(config: &ClientConfig) -> i64 {
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(TOPIC, partition, Offset::Beginning)
            .expect("a partition");
        left += watermarks(config, partition).1;
    }
    consumer.assign(&assignment).expect("assigned");
    let mut count = 0;
    while count < left {
        // An error tells of a node that is away.
        let polled = || consumer.poll(Duration::from_secs(1))?.ok();
        let polled = clock::wait_for(Duration::from_secs(20), Duration::ZERO, polled);
        polled.expect("in time");
        count += 1;
    }
    count
}

/// What a follower lacks stays in the log while it is away, though its records have moved to segments.
#[test]
fn a_node_that_was_away_catches_up_from_the_log_that_is_kept_for_it() {
    // Without a follower that is away, 16 MB of it would be kept.
    let mut cluster = Cluster::prepare_with(3, &["--wal-budget-mb", "64"]).expect("prepared");
    cluster.spawn_all().expect("started");
    cluster.await_all().expect("ready");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    cluster.nodes[2].kill().expect("killed");
    write_large(&cluster, 240);
    // Long enough for several looks at what can be moved.
    clock::pause(Duration::from_secs(4));
    cluster.nodes[2].launch().expect("it comes back");
    let asked = cluster.nodes[1].kafka;
    await_in_sync(&cluster, asked);
    cluster.nodes[0].kill().expect("killed");
    cluster.eventually("leaders among the others", || {
        let found = partitions(asked, TOPIC)?;
        found.iter().all(|one| one.leader_id.0 != 1).then_some(())
    });
    let config = client(&cluster);
    let ends = (0..PARTITIONS).map(|partition| watermarks(&config, partition).1);
    assert_eq!(ends.sum::<i64>(), 240);
}
