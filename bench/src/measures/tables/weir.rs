//! Rows written by Kafka produce with librdkafka, and read over HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::weir::Weir;
use compat_tests::{clock, http as once};
use rdkafka::producer::BaseRecord;

use super::{BATCH, BUCKETS, NAME_LEN, PASSES, Volume, alone, lookups, memory, upserts};
use crate::http::Connection;
use crate::load::{Load, UNTIMED};
use crate::processes::Processes;
use crate::results::{Figure, percentile};

const TOPIC: &str = "rows";
const CONNECTIONS: u64 = 2;

pub fn run(volume: Volume) -> Result<Vec<Figure>> {
    let weir = Weir::start()?;
    let processes = Processes::of(&[weir.pid()])?;
    let schema = prepare(&weir)?;
    let mut figures = Vec::new();
    for pass in PASSES {
        figures.extend(upsert(&weir, &processes, volume.rows, schema, pass)?);
    }
    figures.extend(look_up_batches(weir.http, &processes, volume)?);
    figures.extend(look_up_alone(weir.http, volume)?);
    figures.push(memory(processes.resident_mb()?));
    Ok(figures)
}

/// Registers the schema and creates the table; returns the schema's id.
fn prepare(weir: &Weir) -> Result<u32> {
    let schema = r#"{"type":"record","name":"row","fields":[{"name":"number","type":"long"},{"name":"name","type":"string"}]}"#;
    let body = serde_json::json!({ "schema": schema }).to_string();
    let path = format!("/subjects/{TOPIC}-value/versions");
    let answer = once::ask(weir.registry, "POST", &path, &body)?;
    ensure!(answer.status == 200, "registering the schema: {answer:?}");
    let id = serde_json::from_str::<serde_json::Value>(&answer.body)?["id"]
        .as_u64()
        .context("no id")?;
    let body = serde_json::json!({
        "partitions": BUCKETS,
        "settings": { "table.value.format": "schema" },
    });
    let path = format!("/v1/tables/{TOPIC}");
    let answer = once::ask(weir.http, "PUT", &path, &body.to_string())?;
    ensure!(answer.status < 300, "creating the table: {answer:?}");
    Ok(id as u32)
}

fn key(number: u64) -> String {
    format!("key-{number:09}")
}

fn value(schema: u32, number: u64, pass: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(schema.to_be_bytes());
    write_long(&mut bytes, number as i64);
    write_long(&mut bytes, NAME_LEN as i64);
    bytes.extend(format!("{pass} {number:>width$}", width = NAME_LEN - pass.len() - 1).bytes());
    bytes
}

/// Avro's zigzag and base-128.
fn write_long(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn upsert(
    weir: &Weir,
    processes: &Processes,
    rows: u64,
    schema: u32,
    pass: &str,
) -> Result<[Figure; 2]> {
    let load = Load::start(&weir.kafka.to_string(), 5)?;
    let (started, cpu) = (Instant::now(), processes.cpu()?);
    for number in 0..rows {
        let (key, value) = (key(number), value(schema, number, pass));
        let record = BaseRecord::with_opaque_to(TOPIC, UNTIMED);
        load.send(record.key(&key).payload(&value))?;
    }
    load.finish()?;
    let took = started.elapsed();
    let seen = clock::wait_for(Duration::from_secs(60), Duration::from_millis(2), || {
        is_folded(weir.http, rows - 1, pass).then_some(())
    });
    seen.context("the last row was not seen within 60 s")?;
    processes.settle(Duration::from_secs(20))?;
    let spent = processes.cpu()?.saturating_sub(cpu);
    Ok(upserts(pass, rows, took, spent))
}

fn is_folded(http: SocketAddr, number: u64, pass: &str) -> bool {
    let path = format!("/v1/tables/{TOPIC}/rows/{}", key(number));
    once::get(http, &path).is_ok_and(|answer| answer.status == 200 && answer.body.contains(pass))
}

/// A row for each place, in no order.
fn scattered(place: u64, rows: u64) -> u64 {
    place.wrapping_mul(0x9e37_79b9_7f4a_7c15) % rows
}

fn look_up_batches(http: SocketAddr, processes: &Processes, volume: Volume) -> Result<[Figure; 2]> {
    let (started, cpu) = (Instant::now(), processes.cpu()?);
    let counts: Vec<Result<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|place| scope.spawn(move || batches(http, volume, place << 32, started)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    });
    let keys = counts.into_iter().sum::<Result<u64>>()?;
    let (took, spent) = (started.elapsed(), processes.cpu()?.saturating_sub(cpu));
    Ok(lookups(keys, took, spent))
}

/// Looks up batches until the time is over; returns how many keys.
fn batches(http: SocketAddr, volume: Volume, from: u64, started: Instant) -> Result<u64> {
    let mut connection = Connection::open(http)?;
    let path = format!("/v1/tables/{TOPIC}/lookup");
    let limit = Duration::from_secs(volume.seconds);
    let (mut place, mut found) = (from, 0);
    while started.elapsed() < limit {
        let mut body = String::from(r#"{"keys":["#);
        for at in 0..BATCH {
            let comma = if at == 0 { "" } else { "," };
            place += 1;
            body.push_str(&format!(
                "{comma}\"{}\"",
                key(scattered(place, volume.rows))
            ));
        }
        body.push_str("]}");
        let answer = connection.ask("POST", &path, &body)?;
        let rows = answer
            .windows(11)
            .filter(|bytes| bytes == b"\"overwrite ")
            .count();
        // A count costs the client little, and every key has a row.
        ensure!(rows == BATCH, "{rows} rows for {BATCH} keys");
        found += BATCH as u64;
    }
    Ok(found)
}

fn look_up_alone(http: SocketAddr, volume: Volume) -> Result<[Figure; 2]> {
    let mut connection = Connection::open(http)?;
    let (started, limit) = (Instant::now(), Duration::from_secs(volume.seconds));
    let (mut times, mut place) = (Vec::new(), 0);
    while started.elapsed() < limit {
        place += 1;
        let row = key(scattered(place, volume.rows));
        let asked = Instant::now();
        connection.ask("GET", &format!("/v1/tables/{TOPIC}/rows/{row}"), "")?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(alone(percentile(&times, 0.5), percentile(&times, 0.99)))
}
