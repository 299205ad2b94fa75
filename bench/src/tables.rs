//! A table of many rows: written by Kafka produce with librdkafka, read over HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::weir::Weir;
use compat_tests::{clock, http as once};
use rdkafka::producer::BaseRecord;

use crate::http::Connection;
use crate::load::Load;
use crate::machine::{percentile, pressure};
use crate::server::Server;

const TOPIC: &str = "rows";
/// The bytes of a row's value: the registry's framing, a long and a text of 86 bytes.
const NAME_LEN: usize = 86;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Keys of a batched lookup
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Connections that look up batches at once
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Seconds of each kind of lookup
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Single lookups in a second
    #[arg(long, default_value_t = 500)]
    rate: u64,
}

pub fn run(args: &Args) -> Result<()> {
    let weir = Weir::start()?;
    let server = Server::of(&weir)?;
    let schema = prepare(&weir)?;
    for pass in ["insert", "overwrite"] {
        upsert(&weir, server, args.rows, schema, pass)?;
    }
    look_up_batches(&weir, server, args)?;
    look_up_singly(&weir, args)?;
    let (now, most) = server.memory()?;
    println!("memory: {now:.0} MB resident, at most {most:.0} MB");
    println!("CPU pressure after: {}", pressure());
    Ok(())
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
    let body = r#"{"partitions":3,"settings":{"table.value.format":"schema"}}"#;
    let answer = once::ask(weir.http, "PUT", &format!("/v1/tables/{TOPIC}"), body)?;
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

fn upsert(weir: &Weir, server: Server, rows: u64, schema: u32, pass: &str) -> Result<()> {
    let load = Load::start(&weir.kafka.to_string(), 5)?;
    let (started, cpu) = (Instant::now(), server.cpu()?);
    for number in 0..rows {
        let (key, value) = (key(number), value(schema, number, pass));
        load.send(BaseRecord::to(TOPIC).key(&key).payload(&value))?;
    }
    load.finish()?;
    let acked = started.elapsed();
    let lag = clock::wait_for(Duration::from_secs(60), Duration::from_millis(2), || {
        is_folded(weir.http, rows - 1, pass).then(|| started.elapsed() - acked)
    });
    let lag = lag.context("the last row was not seen within 60 s")?;
    clock::pause(Duration::from_millis(300));
    let spent = server.cpu()?.saturating_sub(cpu);
    println!(
        "upserts ({pass}), 100 B rows, fsynced: {:.0}/s, last row seen {lag:?} after the last ack, {:.2} us CPU each",
        rows as f64 / acked.as_secs_f64(),
        spent.as_micros() as f64 / rows as f64
    );
    Ok(())
}

fn is_folded(http: SocketAddr, number: u64, pass: &str) -> bool {
    let path = format!("/v1/tables/{TOPIC}/rows/{}", key(number));
    once::get(http, &path).is_ok_and(|answer| answer.status == 200 && answer.body.contains(pass))
}

/// A row for each place, in no order.
fn scattered(place: u64, rows: u64) -> u64 {
    place.wrapping_mul(0x9e37_79b9_7f4a_7c15) % rows
}

fn look_up_batches(weir: &Weir, server: Server, args: &Args) -> Result<()> {
    let (started, cpu) = (Instant::now(), server.cpu()?);
    let limit = Duration::from_secs(args.seconds);
    let counts: Vec<Result<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.connections as u64)
            .map(|place| scope.spawn(move || batches(weir.http, args, place << 32, started, limit)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    });
    let keys = counts.into_iter().sum::<Result<u64>>()?;
    let (took, spent) = (started.elapsed(), server.cpu()?.saturating_sub(cpu));
    println!(
        "lookups over HTTP, {} keys a batch, {} connections: {:.0} keys/s, {:.2} us CPU each",
        args.batch,
        args.connections,
        keys as f64 / took.as_secs_f64(),
        spent.as_micros() as f64 / keys as f64
    );
    Ok(())
}

fn batches(
    http: SocketAddr,
    args: &Args,
    from: u64,
    started: Instant,
    limit: Duration,
) -> Result<u64> {
    let mut connection = Connection::open(http)?;
    let path = format!("/v1/tables/{TOPIC}/lookup");
    let (mut place, mut found) = (from, 0);
    while started.elapsed() < limit {
        let mut body = String::from(r#"{"keys":["#);
        for at in 0..args.batch {
            let comma = if at == 0 { "" } else { "," };
            place += 1;
            body.push_str(&format!("{comma}\"{}\"", key(scattered(place, args.rows))));
        }
        body.push_str("]}");
        let answer = connection.ask("POST", &path, &body)?;
        let rows = answer
            .windows(11)
            .filter(|bytes| bytes == b"\"overwrite ")
            .count();
        // A count costs the client little, and every key has a row.
        ensure!(rows == args.batch, "{rows} rows for {} keys", args.batch);
        found += args.batch as u64;
    }
    Ok(found)
}

fn look_up_singly(weir: &Weir, args: &Args) -> Result<()> {
    let mut connection = Connection::open(weir.http)?;
    let (started, gap) = (Instant::now(), Duration::from_secs(1) / args.rate as u32);
    let mut times = Vec::new();
    for place in 0..args.rate * args.seconds {
        let due = gap * place as u32;
        if let Some(rest) = due.checked_sub(started.elapsed()) {
            clock::pause(rest);
        }
        let path = format!(
            "/v1/tables/{TOPIC}/rows/{}",
            key(scattered(place, args.rows))
        );
        connection.ask("GET", &path, "")?;
        // From when it was due, so that a slow answer also counts for those that waited behind it.
        times.push(started.elapsed() - due);
    }
    times.sort_unstable();
    println!(
        "lookups over HTTP, one by one, {}/s: p50 {:?}, p99 {:?}, p99.9 {:?}, from when each was due",
        args.rate,
        percentile(&times, 0.5),
        percentile(&times, 0.99),
        percentile(&times, 0.999)
    );
    Ok(())
}
