//! Readers that say in which rack they are get their records from the replicas there, and from the leaders when those
//! are gone: nothing is lost, doubled or out of order on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compat_tests::clock;
use compat_tests::cluster::{Cluster, PATIENCE};
use compat_tests::http;
use compat_tests::kafka::class_path;
use compat_tests::process;
use compat_tests::weir::Weir;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::failover::{Acks, PARTITIONS, TOPIC, await_in_sync, client, write};
use crate::kafka::{create, partitions};

const RACKS: [&str; 3] = ["a", "b", "c"];
/// The place of the node whose rack the readers are in.
const NEAR: usize = 1;
/// Records of each partition that are read before something happens, and after.
const COUNT: i64 = 150;

/// A record's partition, offset and number.
type Record = (i32, i64, i64);

/// A client that reads some partitions from their beginning, in the rack of [`NEAR`].
trait Records {
    /// The next one; ends the test when none comes in time.
    fn next(&mut self) -> Record;
}

/// What was read so far.
struct Reading {
    records: Box<dyn Records>,
    /// The next offset of each partition.
    next: BTreeMap<i32, i64>,
}

impl Reading {
    fn begin(partitions: impl IntoIterator<Item = i32>, records: Box<dyn Records>) -> Reading {
        let next = partitions.into_iter().map(|partition| (partition, 0));
        Reading {
            records,
            next: next.collect(),
        }
    }

    /// Reads one record, which must be the next one of its partition.
    fn step(&mut self) {
        let (partition, offset, number) = self.records.next();
        let next = self.next.get_mut(&partition).expect("assigned");
        assert_eq!(offset, *next, "of partition {partition}");
        // As the writer has it: numbers go round the partitions.
        let written = i64::from(partition) + offset * i64::from(PARTITIONS);
        assert_eq!(number, written, "at {offset} of partition {partition}");
        *next += 1;
    }

    /// Reads until something is so; the client may have fetched long before.
    fn until(&mut self, is_so: impl Fn() -> bool) {
        let began_at = clock::now_ms();
        while !is_so() {
            self.step();
            self.in_time(began_at);
        }
    }

    fn in_time(&self, began_at: i64) {
        let waited = clock::now_ms() - began_at;
        let is_in_time = waited < 2 * PATIENCE.as_millis() as i64;
        assert!(is_in_time, "not in time; read up to {:?}", self.next);
    }

    /// Reads so many records more of each partition.
    fn go_on(&mut self, count: i64) {
        let began_at = clock::now_ms();
        let until: Vec<i64> = self.next.values().map(|next| next + count).collect();
        while self
            .next
            .values()
            .zip(&until)
            .any(|(next, until)| next < until)
        {
            self.step();
            self.in_time(began_at);
        }
    }
}

/// Bytes of records that clients got of a node as a leader and as a follower.
fn fetched(node: &Weir) -> (u64, u64) {
    let scrape = http::get(node.http, "/metrics").expect("metrics").body;
    let of = |role: &str| {
        let series = format!("weir_fetched_bytes_total{{role=\"{role}\"}} ");
        let mut values = scrape.lines().filter_map(|line| line.strip_prefix(&series));
        values.next().expect("the series").parse().expect("bytes")
    };
    (of("leader"), of("follower"))
}

/// Three nodes in racks and records that are being written, which a client begins to read; the node in its rack is
/// killed, and comes back.
fn serve(begin: impl FnOnce(&Cluster) -> Reading) {
    let mut cluster = Cluster::start_in_racks(&RACKS).expect("three nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, PARTITIONS, 3), 0);
    for node in &cluster.nodes {
        await_in_sync(&cluster, node.kafka);
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (config, done) = (client(&cluster), done.clone());
        move || write(config, Acks::default(), &done)
    });
    let mut reading = begin(&cluster);

    reading.go_on(COUNT);
    let (as_leader, as_follower) = fetched(&cluster.nodes[NEAR]);
    assert!(as_follower > 0, "{}", cluster.outputs());
    println!("in its rack: {as_leader} bytes of the leader, {as_follower} of the follower");
    for far in [0, 2] {
        assert_eq!(fetched(&cluster.nodes[far]), (0, 0), "node {}", far + 1);
    }

    cluster.nodes[NEAR].kill().expect("killed");
    let serves = |far: &usize| fetched(&cluster.nodes[*far]).0 > 0;
    reading.until(|| [0, 2].iter().any(serves));
    reading.go_on(COUNT);

    cluster.nodes[NEAR].launch().expect("it comes back");
    reading.until(|| fetched(&cluster.nodes[NEAR]).1 > 0);

    done.store(true, Ordering::Release);
    let sent = writer.join().expect("the writer ends") as usize;
    let of_partition = |partition: &i32| {
        let numbers = *partition as usize..sent;
        numbers.step_by(PARTITIONS as usize).count() as i64
    };
    let all: i64 = reading.next.keys().map(of_partition).sum();
    while reading.next.values().sum::<i64>() < all {
        reading.step();
    }
}

struct Librdkafka(BaseConsumer);

impl Records for Librdkafka {
    fn next(&mut self) -> Record {
        let read = || {
            // An error tells of a node that is away.
            let message = self.0.poll(Duration::from_secs(1))?.ok()?;
            let number = message.payload_view::<str>()?.ok()?.parse().ok()?;
            Some((message.partition(), message.offset(), number))
        };
        clock::wait_for(PATIENCE, Duration::ZERO, read).expect("a record in time")
    }
}

#[test]
fn librdkafka_reads_in_its_rack_and_goes_on_when_the_node_there_is_killed() {
    serve(|cluster| {
        let consumer: BaseConsumer = client(cluster)
            .set("group.id", "near")
            .set("enable.auto.commit", "false")
            .set("client.rack", RACKS[NEAR])
            .set("fetch.error.backoff.ms", "100")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let added = assignment.add_partition_offset(TOPIC, partition, Offset::Beginning);
            added.expect("a partition");
        }
        consumer.assign(&assignment).expect("assigned");
        Reading::begin(0..PARTITIONS, Box::new(Librdkafka(consumer)))
    });
}

/// Kafka's own console consumer, of one partition: it reads only what was committed by transactions, too.
struct Console {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    partition: i32,
}

impl Console {
    fn begin(cluster: &Cluster, partition: i32) -> Console {
        let mut java = Command::new("java");
        java.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-cp")
            .arg(class_path().expect("Kafka's jars"))
            .arg("org.apache.kafka.tools.consumer.ConsoleConsumer")
            .args(["--bootstrap-server", &cluster.bootstrap()])
            .args(["--topic", TOPIC, "--partition", &partition.to_string()])
            .args(["--offset", "earliest", "--timeout-ms", "60000"])
            .args(["--isolation-level", "read_committed"])
            .args([
                "--command-property",
                &format!("client.rack={}", RACKS[NEAR]),
            ])
            .args(["--formatter-property", "print.offset=true"]);
        let said = File::create(cluster.nodes[0].dir().join("console.log")).expect("a file");
        let mut child = process::bound(&java)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .expect("java runs");
        let out = child.stdout.take().expect("piped");
        Console {
            child,
            lines: BufReader::new(out).lines(),
            partition,
        }
    }
}

impl Records for Console {
    fn next(&mut self) -> Record {
        let line = self.lines.next().expect("a record in time").expect("text");
        let parsed = line.split_once('\t').and_then(|(offset, number)| {
            let offset = offset.strip_prefix("Offset:")?.parse().ok()?;
            Some((self.partition, offset, number.parse().ok()?))
        });
        parsed.unwrap_or_else(|| panic!("unexpected: {line}"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn kafkas_consumer_reads_in_its_rack_and_goes_on_when_the_node_there_is_killed() {
    serve(|cluster| {
        let led = partitions(cluster.nodes[0].kafka, TOPIC).expect("leaders");
        let far = |one: &&MetadataResponsePartition| Cluster::place_of(one.leader_id.0) != NEAR;
        let partition = led.iter().find(far).expect("nodes take turns in leading");
        let partition = partition.partition_index;
        Reading::begin([partition], Box::new(Console::begin(cluster, partition)))
    });
}

/// The first shards are made as a cluster is founded, before its nodes have registered.
#[test]
fn replicas_are_in_different_racks_from_the_start() {
    let racks = ["a", "a", "b", "b", "c", "c"];
    let cluster = Cluster::start_in_racks(&racks).expect("six nodes start");
    assert_eq!(create(cluster.nodes[0].kafka, TOPIC, 12, 3), 0);
    let found = cluster.eventually("leaders", || partitions(cluster.nodes[5].kafka, TOPIC));
    let mut used = BTreeSet::new();
    for one in found {
        let places = one.replica_nodes.iter().map(|id| Cluster::place_of(id.0));
        let places: Vec<usize> = places.collect();
        let lies_in: BTreeSet<&str> = places.iter().map(|place| racks[*place]).collect();
        assert_eq!(lies_in.len(), 3, "{places:?}");
        used.extend(places);
    }
    assert_eq!(used.len(), racks.len(), "every node has some");
}
