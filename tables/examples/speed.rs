//! How fast rows are folded and looked up on this machine: `cargo run --release -p weir-tables --example speed`.
//!
//! One million rows of 100 B under raw keys, folded twice (inserts, then updates) in fetches of 1 MiB, then
//! looked up by random keys in batches. Times are of one thread; what RocksDB does beside it is in the total.

#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;
use weir_log::{BatchBuilder, Codec, assign};
use weir_tables::{
    Budget, Candidates, KeyDef, KeyFormat, LookupKeys, NoSchemas, PartitionerSetting, RowOptions,
    RowWriter, Table, TableDef, TableId, Tables, ValueDef, ValueFormat,
};

const ROWS: u64 = 1_000_000;
const BATCH_RECORDS: u64 = 1_000;
const FOLD_BATCHES: usize = 8;
const LOOKUPS: usize = 300_000;

fn main() {
    let dir = std::env::args().nth(1).map_or_else(
        || std::env::temp_dir().join("weir-tables-speed"),
        Into::into,
    );
    let _ = std::fs::remove_dir_all(&dir);
    let tables = Tables::open(&dir, Budget::new(256 << 20, 64 << 20))
        .expect("a directory that can be written");
    let table = table();
    let mut offset = 0;
    for (what, step) in [
        ("insert in order", 1),
        ("update at random", 7_919),
        ("update at random again", 104_729),
    ] {
        offset = fold(&tables, &table, what, step, offset);
    }
    let start = Instant::now();
    tables.flush().expect("a disk that takes rows");
    println!("flush: {:?}", start.elapsed());
    for batch in [1, 10, 100, 1_000] {
        lookup(&tables, &table, batch);
    }
    lookup(&tables, &table, 1_000);
    let (blocks, buffers) = (
        tables.budget().used_bytes().0,
        tables.budget().used_bytes().1,
    );
    println!(
        "block cache {} MB, write buffers {} MB",
        blocks >> 20,
        buffers >> 20
    );
    drop(tables);
    let _ = std::fs::remove_dir_all(&dir);
}

fn table() -> Table {
    let def = TableDef {
        topic_id: Uuid::from_u128(1),
        table_id: TableId(1),
        topic: "speed".into(),
        partition_count: 1,
        key: KeyDef::raw(KeyFormat::String),
        value: ValueDef::raw(ValueFormat::Bytes),
        partitioner: PartitionerSetting::Murmur2,
    };
    Table::new(def, Arc::new(NoSchemas)).expect("a raw table")
}

fn key(i: u64) -> String {
    format!("key-{i:012}")
}

/// Folds every row once, `step` apart, and returns the next offset.
fn fold(tables: &Tables, table: &Table, what: &str, step: u64, mut offset: i64) -> i64 {
    let value = [b'v'; 100];
    let start = offset;
    let batches: Vec<Bytes> = (0..ROWS / BATCH_RECORDS)
        .map(|batch| {
            let mut builder = BatchBuilder::new(Codec::None);
            for i in batch * BATCH_RECORDS..(batch + 1) * BATCH_RECORDS {
                builder.append(1, Some(key(i * step % ROWS).as_bytes()), Some(&value), &[]);
            }
            let mut bytes = builder.build().expect("no codec");
            assign(&mut bytes, start + (batch * BATCH_RECORDS) as i64, 0);
            bytes.freeze()
        })
        .collect();
    let (began, cpu) = (Instant::now(), process_cpu_seconds());
    for batches in batches.chunks(FOLD_BATCHES) {
        offset = tables
            .fold(table, 0, offset, batches)
            .expect("whole batches")
            .applied;
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), process_cpu_seconds() - cpu);
    let state = tables.bucket_state(TableId(1), 0).expect("folded above");
    assert_eq!(state.row_count, ROWS);
    println!(
        "{what}: {:.0} rows/s, {:.2} us CPU of the process per row",
        ROWS as f64 / took,
        cpu * 1e6 / ROWS as f64
    );
    offset
}

/// Looks random keys up in batches, placed and shown as JSON as over HTTP.
fn lookup(tables: &Tables, table: &Table, batch: usize) {
    let candidates = Candidates::new(PartitionerSetting::Murmur2);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        key(random % ROWS)
    };
    let keys: Vec<Vec<serde_json::Value>> = (0..LOOKUPS).map(|_| vec![next().into()]).collect();
    let (began, cpu) = (Instant::now(), process_cpu_seconds());
    let mut bytes = 0;
    let mut store = 0.0;
    for keys in keys.chunks(batch) {
        let mut asked = LookupKeys::default();
        keys.iter()
            .for_each(|key| asked.push(table, candidates, key).expect("a text key"));
        let before = Instant::now();
        let found = asked.find(|_| tables).expect("a disk that can be read");
        store += before.elapsed().as_secs_f64();
        let mut out = Vec::with_capacity(batch * 200);
        let mut writer = RowWriter::new(table, RowOptions::default()).expect("all columns");
        for found in found {
            let found = found.expect("every row is there");
            writer
                .write(found.primary_key, found.row.row().expect("whole"), &mut out)
                .expect("raw");
        }
        bytes += out.len();
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), process_cpu_seconds() - cpu);
    println!(
        "lookup in batches of {batch}: {:.0} keys/s, {:.2} us CPU per key, {:.2} us of it in the store, {} B each",
        LOOKUPS as f64 / took,
        cpu * 1e6 / LOOKUPS as f64,
        store * 1e6 / LOOKUPS as f64,
        bytes / LOOKUPS
    );
}

/// User and system time of this process so far.
fn process_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
