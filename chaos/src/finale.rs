//! After the last fault: everything must be well again within a bound, and then all that is stored is read, from each
//! node that can be made to lead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use compat_tests::calls::{self, Described};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::faults::injector::Injector;
use crate::history::{RowRecord, Value, Whole};
use crate::load::{LOG, LOG_PARTITIONS, Scene, TABLE, TABLE_PARTITIONS, http, producers, rows};
use crate::node;

/// Within so long all replicas are in sync, on every node's word.
pub const CONVERGED: Duration = Duration::from_secs(60);
const READ_LIMIT: Duration = Duration::from_secs(60);
const LEADER_LIMIT: Duration = Duration::from_secs(20);
const STEP_MS: u64 = 200;
const PAGE: usize = 500;

/// Which node led a partition, and gave its records.
type Read = BTreeSet<(&'static str, i32, usize)>;

/// Waits until all nodes are ready, and all replicas in sync; answers how long it took.
pub fn converge(injector: &mut Injector, scene: &Scene, limit: Duration) -> Result<Duration> {
    let clock = scene.recorder.clock;
    let began = clock.elapsed();
    loop {
        let missing = match missing(scene.nodes) {
            None => return Ok(clock.elapsed() - began),
            Some(missing) => missing,
        };
        if clock.elapsed() - began > limit {
            bail!("not well again after {limit:?}: {missing}");
        }
        injector.tick_until(clock.micros() / 1000 + STEP_MS)?;
    }
}

/// What is not well yet.
fn missing(nodes: usize) -> Option<String> {
    for place in 0..nodes {
        let name = format!("node {}", place + 1);
        match http::ask(node::http(place), "GET", "/readyz", "") {
            Ok((200, _)) => {}
            Ok((status, answer)) => return Some(format!("{name} is not ready: {status} {answer}")),
            Err(error) => return Some(format!("{name} is not ready: {error:?}")),
        }
        for (topic, count) in [(LOG, LOG_PARTITIONS), (TABLE, TABLE_PARTITIONS)] {
            let found = match calls::describe(node::kafka(place), topic) {
                Ok(found) => found,
                Err(error) => return Some(format!("{name}, {topic}: {error:#}")),
            };
            let well = |one: &&Described| one.leader > 0 && one.in_sync == nodes.min(3);
            if found.iter().filter(well).count() != count as usize {
                return Some(format!("{name}, {topic}: {found:?}"));
            }
        }
    }
    None
}

/// Reads everything, while one node after the other is down, so that others lead; notes it in the history.
pub fn read(injector: &mut Injector, scene: &Arc<Scene>) -> Result<()> {
    let mut read = Read::new();
    read_round(scene, &mut read, None)?;
    for place in 0..scene.nodes {
        injector.nodes[place].kill()?;
        led_by_others(injector, scene, place)?;
        read_round(scene, &mut read, Some(place))?;
        injector.spawn(place)?;
        converge(injector, scene, CONVERGED)?;
    }
    for place in 0..scene.nodes {
        let rows = scan(place).with_context(|| format!("the rows of node {}", place + 1))?;
        scene
            .recorder
            .note(|history| drop(history.scans.insert(place, rows)));
    }
    let replicas = (LOG_PARTITIONS + TABLE_PARTITIONS) as usize * scene.nodes.min(3);
    injector.note(format!("read {} of {replicas} replicas", read.len()));
    Ok(())
}

fn led_by_others(injector: &mut Injector, scene: &Scene, dead: usize) -> Result<()> {
    let asked = node::kafka((dead + 1) % scene.nodes);
    let end = scene.recorder.clock.elapsed() + CONVERGED;
    loop {
        let led = [LOG, TABLE].iter().all(|topic| {
            let found = calls::describe(asked, topic).unwrap_or_default();
            let led = |one: &Described| one.leader > 0 && one.leader != dead as i32 + 1;
            !found.is_empty() && found.iter().all(led)
        });
        if led {
            return Ok(());
        }
        if scene.recorder.clock.elapsed() > end {
            bail!(
                "partitions without a leader while node {} is down",
                dead + 1
            );
        }
        // Not the dead one's end, which was asked for.
        crate::time::pause(Duration::from_millis(STEP_MS));
        injector.note(format!("waiting for leaders without node {}", dead + 1));
    }
}

fn read_round(scene: &Arc<Scene>, read: &mut Read, dead: Option<usize>) -> Result<()> {
    let asked = node::kafka(dead.map_or(0, |dead| (dead + 1) % scene.nodes));
    let value = |message: &BorrowedMessage<'_>| -> Result<Value> {
        let payload = message.payload().unwrap_or_default();
        producers::value(payload).context("a record that is no value")
    };
    let logs = read_topic(scene, LOG, &calls::describe(asked, LOG)?, value)?;
    let row = |message: &BorrowedMessage<'_>| -> Result<RowRecord> {
        let key = rows::text(message.key()).context("a row without a key")?;
        Ok((key, rows::text(message.payload())))
    };
    let table_logs = read_topic(scene, TABLE, &calls::describe(asked, TABLE)?, row)?;
    read.extend(logs.iter().map(|log| (LOG, log.partition, log.node)));
    let tables = table_logs.iter();
    read.extend(tables.map(|log| (TABLE, log.partition, log.node)));
    scene.recorder.note(|history| {
        history.logs.extend(logs);
        history.table_logs.extend(table_logs);
    });
    Ok(())
}

/// Who leads a partition, and where it says that it ends. Leadership may move while it is asked for.
fn leader_and_end(nodes: usize, topic: &str, one: &Described) -> Result<(usize, i64)> {
    let end_by = |leader: i32| {
        let place = usize::try_from(leader - 1).ok()?;
        let end = calls::end_offset(node::kafka(place), topic, one.partition);
        Some((place, end.ok()?.ok()?))
    };
    let asked = || {
        let named_by = |place| {
            let found = calls::describe(node::kafka(place), topic).ok()?;
            end_by(found.get(usize::try_from(one.partition).ok()?)?.leader)
        };
        end_by(one.leader).or_else(|| (0..nodes).find_map(named_by))
    };
    let found = crate::time::wait_for(LEADER_LIMIT, Duration::from_millis(STEP_MS), asked);
    found.with_context(|| format!("{topic}: nobody says where {one:?} ends"))
}

/// All partitions from their beginning to where they end now.
fn read_topic<T>(
    scene: &Scene,
    topic: &str,
    partitions: &[Described],
    record: impl Fn(&BorrowedMessage<'_>) -> Result<T>,
) -> Result<Vec<Whole<T>>> {
    let mut config = scene.client();
    config
        .set("group.id", "finale")
        .set("enable.auto.commit", "false");
    config
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut assignment = TopicPartitionList::new();
    let mut left = BTreeMap::new();
    let mut found = BTreeMap::new();
    for one in partitions {
        let (place, end) = leader_and_end(scene.nodes, topic, one)?;
        left.insert(one.partition, end);
        found.insert(
            one.partition,
            Whole {
                node: place,
                partition: one.partition,
                end,
                records: Vec::new(),
            },
        );
        assignment.add_partition_offset(topic, one.partition, Offset::Beginning)?;
    }
    left.retain(|_, end| *end > 0);
    consumer.assign(&assignment)?;
    let began = scene.recorder.clock.elapsed();
    while !left.is_empty() {
        if scene.recorder.clock.elapsed() - began > READ_LIMIT {
            bail!("{topic} was not read to its end in {READ_LIMIT:?}: {left:?} left");
        }
        let message = match consumer.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => message,
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                // The end of what is there, though compaction may have taken the last records.
                left.remove(&partition);
                continue;
            }
            _ => continue,
        };
        let partition = message.partition();
        let whole = found.get_mut(&partition).context("it was assigned")?;
        whole.records.push((message.offset(), record(&message)?));
        if left
            .get(&partition)
            .is_some_and(|end| message.offset() + 1 >= *end)
        {
            left.remove(&partition);
        }
    }
    Ok(found.into_values().collect())
}

/// All rows, as a node gives them.
fn scan(place: usize) -> Result<BTreeMap<String, String>> {
    let mut rows = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/tables/{TABLE}/rows?limit={PAGE}&cursor={cursor}");
        let (status, page) = http::ask(node::http(place), "GET", &path, "")
            .map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        let found = page["rows"].as_array();
        let found = found.with_context(|| format!("{status}: {page}"))?;
        for row in found {
            let (key, value) = rows::row(row).with_context(|| format!("no row: {row}"))?;
            if rows.insert(key.clone(), value).is_some() {
                bail!("the scan gave {key} twice");
            }
        }
        match page["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return Ok(rows),
        }
    }
}
