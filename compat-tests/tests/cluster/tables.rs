//! Partitions of a table move, under rows that are put over HTTP and produced over Kafka, and lookups and scans through
//! every node, whether it has them or not: no acknowledged row is lost, none is ever older than what was acknowledged
//! before it was asked for, and in the end every node's rows are the fold of the log.
//! Invariants: L1, P1, P3, P7.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use compat_tests::clock;
use compat_tests::cluster::Cluster;
use compat_tests::http::{ask, get};
use compat_tests::luck::Luck;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, ClientContext};
use serde_json::Value;

use crate::failover::client;
use crate::kafka::partitions;
use crate::moves::{all_to, await_moved, reassign, replicas};
use crate::operators::weir;

const TABLE: &str = "moved-rows";
const PARTITIONS: i32 = 3;
const WRITERS: u64 = 3;
const READERS: u64 = 3;
/// Keys of each writer.
const KEYS: u64 = 20;
/// So many of a hundred lookups may be refused, with an error that says to ask again: leaders change.
const REFUSED_PERCENT: u64 = 40;
/// Lookups without which a test shows little, and how long they may take on a machine that is busy.
const ENOUGH: u64 = 100;
const ENOUGH_WITHIN: Duration = Duration::from_secs(60);

/// Of each key the number that was last acknowledged, and the last that was sent.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<BTreeMap<String, (u64, u64)>>>);

impl Known {
    fn sends(&self, key: &str, number: u64) {
        let mut known = self.0.lock().expect("no panic");
        known.entry(key.to_owned()).or_default().1 = number;
    }

    fn acked(&self, key: &str, number: u64) {
        let mut known = self.0.lock().expect("no panic");
        let acked = &mut known.entry(key.to_owned()).or_default().0;
        *acked = number.max(*acked);
    }

    fn now(&self) -> BTreeMap<String, (u64, u64)> {
        self.0.lock().expect("no panic").clone()
    }

    /// Whether a key may have this number now, where that was acknowledged before; 0 is no row.
    #[track_caller]
    fn check(&self, key: &str, acked: u64, found: u64, by: &str) {
        let sent = self.now().get(key).map_or(0, |known| known.1);
        assert!(
            (acked..=sent).contains(&found),
            "{key} is {found} by {by}; acknowledged was {acked}, sent {sent}"
        );
    }
}

impl ClientContext for Known {}

impl ProducerContext for Known {
    type DeliveryOpaque = Box<(String, u64)>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, sent: Box<(String, u64)>) {
        if delivered.is_ok() {
            self.acked(&sent.0, sent.1);
        }
    }
}

/// Clients that go on until they are ended.
struct Load {
    known: Known,
    done: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(cluster: &Cluster) -> Load {
        let mut load = Load {
            known: Known::default(),
            done: Arc::default(),
            asked: Arc::default(),
            refused: Arc::default(),
            clients: Vec::new(),
        };
        let nodes: Vec<SocketAddr> = cluster.nodes.iter().map(|node| node.http).collect();
        for writer in 0..WRITERS {
            let (known, nodes) = (load.known.clone(), nodes.clone());
            load.spawn(move |done| put(writer, &known, &nodes, done));
        }
        let (known, config) = (load.known.clone(), client(cluster));
        load.spawn(move |done| produce(&known, config, done));
        for reader in 0..READERS {
            let (known, nodes) = (load.known.clone(), nodes.clone());
            let (asked, refused) = (load.asked.clone(), load.refused.clone());
            load.spawn(move |done| look_up(reader, &known, &nodes, done, &asked, &refused));
        }
        let known = load.known.clone();
        load.spawn(move |done| scan(&known, &nodes, done));
        load
    }

    fn spawn(&mut self, client: impl FnOnce(&AtomicBool) + Send + 'static) {
        let done = self.done.clone();
        self.clients.push(std::thread::spawn(move || client(&done)));
    }

    /// Ends all clients, once they have asked often enough to say something; none has seen anything wrong.
    fn end(self) -> BTreeMap<String, (u64, u64)> {
        let enough = || (self.asked.load(Ordering::Relaxed) > ENOUGH).then_some(());
        let was_enough =
            clock::wait_for(ENOUGH_WITHIN, Duration::from_millis(50), enough).is_some();
        self.done.store(true, Ordering::Release);
        for client in self.clients {
            client.join().expect("nothing was wrong");
        }
        let (asked, refused) = (
            self.asked.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        );
        println!("{asked} lookups, {refused} refused");
        assert!(was_enough && refused * 100 < asked * REFUSED_PERCENT);
        self.known.now()
    }
}

/// One row after the other, each with the next number of its key. A put that is not confirmed may yet happen, and its key
/// is left for another one.
fn put(writer: u64, known: &Known, nodes: &[SocketAddr], done: &AtomicBool) {
    let mut luck = Luck::new(writer);
    let (mut number, mut left) = (0, [0; KEYS as usize]);
    while !done.load(Ordering::Acquire) {
        number += 1;
        let slot = luck.below(KEYS) as usize;
        let key = format!("w{writer}-{slot}-{}", left[slot]);
        let node = nodes[luck.below(nodes.len() as u64) as usize];
        known.sends(&key, number);
        let row = format!(r#"{{"value":"{number}"}}"#);
        let path = format!("/v1/tables/{TABLE}/rows/{key}");
        match ask(node, "PUT", &path, &row) {
            Ok(answer) if answer.status == 200 => known.acked(&key, number),
            Ok(answer) if answer.status != 503 => panic!("{}", answer.body),
            _ => {
                left[slot] += 1;
                clock::pause(Duration::from_millis(50));
            }
        }
        clock::pause(Duration::from_millis(3));
    }
}

fn produce(known: &Known, mut config: ClientConfig, done: &AtomicBool) {
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "2")
        .set("retry.backoff.ms", "50")
        .set("message.timeout.ms", "60000");
    let producer: ThreadedProducer<Known> = config
        .create_with_context(known.clone())
        .expect("a producer");
    let mut number = 0;
    while !done.load(Ordering::Acquire) {
        number += 1;
        let (key, payload) = (format!("k-{}", number % KEYS), number.to_string());
        known.sends(&key, number);
        let opaque = Box::new((key.clone(), number));
        let record = BaseRecord::with_opaque_to(TABLE, opaque)
            .key(&key)
            .payload(&payload);
        if producer.send(record).is_err() {
            break;
        }
        clock::pause(Duration::from_millis(3));
    }
    let flushed = producer.flush(Duration::from_secs(60));
    flushed.expect("all acknowledged");
}

fn look_up(
    reader: u64,
    known: &Known,
    nodes: &[SocketAddr],
    done: &AtomicBool,
    asked: &AtomicU64,
    refused: &AtomicU64,
) {
    let mut luck = Luck::new(100 + reader);
    while !done.load(Ordering::Acquire) {
        clock::pause(Duration::from_millis(2));
        let before = known.now();
        let place = luck.below(before.len().max(1) as u64) as usize;
        let Some((key, (acked, _))) = before.iter().nth(place) else {
            continue;
        };
        let node = luck.below(nodes.len() as u64) as usize;
        let path = format!("/v1/tables/{TABLE}/rows/{key}");
        let Ok(answer) = get(nodes[node], &path) else {
            continue;
        };
        asked.fetch_add(1, Ordering::Relaxed);
        match answer.status {
            503 => {
                println!("node {} refused: {}", node + 1, answer.body);
                refused.fetch_add(1, Ordering::Relaxed);
            }
            404 => known.check(key, *acked, 0, &format!("node {}", node + 1)),
            _ => {
                let row: Value = serde_json::from_str(&answer.body).expect("JSON");
                let found = number(&row["value"]);
                known.check(key, *acked, found, &format!("node {}", node + 1));
            }
        }
    }
}

fn scan(known: &Known, nodes: &[SocketAddr], done: &AtomicBool) {
    let mut luck = Luck::new(9);
    while !done.load(Ordering::Acquire) {
        clock::pause(Duration::from_millis(50));
        let before = known.now();
        let node = luck.below(nodes.len() as u64) as usize;
        let Some(rows) = all_rows(nodes[node]) else {
            continue;
        };
        for (key, (acked, _)) in &before {
            let found = rows.get(key).copied().unwrap_or(0);
            known.check(key, *acked, found, &format!("a scan of node {}", node + 1));
        }
    }
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().expect("a value");
    text.parse().expect("a number")
}

/// All rows as one node has them or gathers them, if it can now.
fn all_rows(node: SocketAddr) -> Option<BTreeMap<String, u64>> {
    let answer = get(node, &format!("/v1/tables/{TABLE}/rows?limit=10000")).ok()?;
    if answer.status != 200 {
        assert_eq!(answer.status, 503, "{}", answer.body);
        return None;
    }
    let page: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert!(page["cursor"].is_null(), "there are few rows");
    let rows = page["rows"].as_array().expect("rows").iter();
    let row = |row: &Value| {
        (
            row["key"].as_str().expect("a key").to_owned(),
            number(&row["value"]),
        )
    };
    Some(rows.map(row).collect())
}

/// The fold of the log, whose offsets ascend, by a client that knows of no table.
fn folded(cluster: &Cluster) -> BTreeMap<String, u64> {
    let mut config = client(cluster);
    config
        .set("group.id", "folds")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut fold = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let asked = || {
            consumer
                .fetch_watermarks(TABLE, partition, Duration::from_secs(5))
                .ok()
        };
        let (_, end) = cluster.eventually("watermarks", asked);
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(TABLE, partition, Offset::Beginning);
        added.expect("a partition");
        consumer.assign(&list).expect("assigned");
        let mut last = -1;
        while last + 1 < end {
            let polled = || consumer.poll(Duration::from_secs(1))?.ok();
            let message = cluster.eventually("a record", polled);
            assert!(message.offset() > last, "offsets ascend");
            last = message.offset();
            let key = message.key_view::<str>().expect("a key").expect("text");
            let value = message
                .payload_view::<str>()
                .expect("a value")
                .expect("text");
            fold.insert(key.to_owned(), value.parse().expect("a number"));
        }
    }
    fold
}

fn make_table(cluster: &Cluster) {
    let settings = format!(
        r#"{{"partitions":{PARTITIONS},"settings":{{"table.value.format":"string","table.partitioner":"murmur2"}}}}"#
    );
    let made = ask(
        cluster.nodes[0].http,
        "PUT",
        &format!("/v1/tables/{TABLE}"),
        &settings,
    );
    let made = made.expect("an answer");
    assert!((200..300).contains(&made.status), "{}", made.body);
    let leaders = || partitions(cluster.nodes[0].kafka, TABLE);
    cluster.eventually("leaders", leaders);
}

fn move_to(cluster: &Cluster, asked: usize, sets: [&[i32]; PARTITIONS as usize]) {
    let node = cluster.nodes[asked].kafka;
    let wanted = all_to(PARTITIONS, |index| sets[index as usize].to_vec());
    assert_eq!(reassign(node, TABLE, &wanted), [0; PARTITIONS as usize]);
}

/// Every node answers with the fold of the log, which holds what was acknowledged.
fn check(cluster: &Cluster, known: &BTreeMap<String, (u64, u64)>) {
    let fold = folded(cluster);
    for (key, (acked, sent)) in known {
        let found = fold.get(key).copied().unwrap_or(0);
        assert!(
            (*acked..=*sent).contains(&found),
            "{key}: {found} of {acked} to {sent}"
        );
    }
    for node in &cluster.nodes {
        let rows = cluster.eventually("all rows", || all_rows(node.http));
        assert_eq!(rows, fold, "{}", node.http);
        let described = get(node.http, &format!("/v1/tables/{TABLE}")).expect("an answer");
        let described: Value = serde_json::from_str(&described.body).expect("JSON");
        assert_eq!(described["row_count"], fold.len(), "{described}");
    }
}

#[test]
fn rows_that_move_are_never_lost_and_never_old() {
    let mut cluster = Cluster::start(4).expect("four nodes start");
    make_table(&cluster);
    let load = Load::begin(&cluster);
    // Other nodes; one set for each; back again, led by others; then by one alone, where it began.
    let rounds: [[&[i32]; 3]; 5] = [
        [&[2, 3, 4], &[2, 3, 4], &[2, 3, 4]],
        [&[1, 2, 3], &[3, 4, 2], &[4, 1]],
        [&[3, 2, 1], &[1, 3, 2], &[2, 1, 3]],
        [&[4], &[4], &[4, 3, 2]],
        [&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]],
    ];
    for (round, sets) in rounds.into_iter().enumerate() {
        clock::pause(Duration::from_secs(1));
        move_to(&cluster, round % 4, sets);
        if round % 2 == 1 {
            clock::pause(Duration::from_millis(40 * round as u64));
            let node = &mut cluster.nodes[round % 4];
            node.kill().expect("killed");
            clock::pause(Duration::from_millis(700));
            node.launch().expect("it comes back");
        }
        await_moved(&cluster, (round + 1) % 4, TABLE, &sets.map(<[i32]>::to_vec));
    }
    clock::pause(Duration::from_secs(1));
    let known = load.end();
    check(&cluster, &known);
    // What is folded again from the files is the same.
    for node in &mut cluster.nodes {
        node.kill().expect("killed");
    }
    cluster.spawn_all().expect("started");
    cluster.await_all().expect("ready");
    check(&cluster, &known);
}

#[test]
fn a_node_that_has_rows_is_drained_and_leaves() {
    let mut cluster = Cluster::start(4).expect("four nodes start");
    make_table(&cluster);
    move_to(&cluster, 0, [&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]]);
    let lies: [&[i32]; 3] = [&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]];
    await_moved(&cluster, 0, TABLE, &lies.map(<[i32]>::to_vec));
    let load = Load::begin(&cluster);
    clock::pause(Duration::from_secs(1));
    let drained = weir(cluster.nodes[1].http, &["drain", "1"]);
    assert!(drained.ok, "{}{}", drained.stderr, cluster.outputs());
    assert!(
        drained.stdout.ends_with("partitions there: 0\n"),
        "{}",
        drained.stdout
    );
    let lies = replicas(cluster.nodes[2].kafka, TABLE).expect("the table");
    let set = |ids: &Vec<i32>| {
        let mut set = ids.clone();
        set.sort_unstable();
        set
    };
    assert!(lies.iter().all(|ids| set(ids) == [2, 3, 4]), "{lies:?}");
    clock::pause(Duration::from_secs(1));
    let known = load.end();
    // Also the node that has none of them answers.
    check(&cluster, &known);
    let gone = weir(cluster.nodes[1].http, &["decommission", "1"]);
    assert!(gone.ok, "{}", gone.stderr);
    drop(cluster.nodes.remove(0));
    check(&cluster, &known);
}
