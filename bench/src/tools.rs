//! The load generators that are not ours: librdkafka's `rdkafka_performance` and Kafka's Java tools.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::{clock, kafka, process};

use crate::processes::{USER_HZ, own_ticks};

/// A generator that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Where the generators are that `bench/run` builds.
#[derive(Debug, Clone, clap::Args)]
pub struct Tools {
    /// librdkafka's `rdkafka_performance`, which `bench/run` builds
    #[arg(long, env = "RDKAFKA_PERFORMANCE", value_name = "PATH")]
    rdkafka_performance: Option<PathBuf>,
    /// Java of the client and the server of Fluss, which `bench/run` fetches
    #[arg(long, env = "FLUSS_JARS", value_name = "DIR")]
    pub fluss_jars: Option<PathBuf>,
    /// RocksDB's `db_bench`
    #[arg(long, env = "DB_BENCH", value_name = "PATH")]
    pub db_bench: Option<PathBuf>,
}

/// Records that a generator writes as fast as it can.
#[derive(Debug, Clone, Copy)]
pub struct Burst<'a> {
    pub kafka: &'a str,
    pub topic: &'a str,
    pub record_bytes: u64,
    pub records: u64,
}

impl Burst<'_> {
    pub fn bytes(&self) -> u64 {
        self.record_bytes * self.records
    }
}

impl Tools {
    fn rdkafka(&self) -> Result<Command> {
        let path = self.rdkafka_performance.as_ref();
        let path =
            path.context("no rdkafka_performance: start this by bench/run, which builds it")?;
        Ok(Command::new(path))
    }

    /// Returns when all are acknowledged, with the time from the first record to the last ack.
    ///
    /// What the tool reports counts, not how it ends: it compares two counts of its own, of which the one of produced
    /// records is at times one short.
    pub fn rdkafka_produce(&self, burst: Burst<'_>) -> Result<Duration> {
        let mut command = self.rdkafka()?;
        command
            .args(["-P", "-t", burst.topic, "-b", burst.kafka])
            .args(["-s", &burst.record_bytes.to_string()])
            .args(["-c", &burst.records.to_string()])
            .args(["-a", "-1", "-q", "-X", "linger.ms=5"])
            .args(["-X", "queue.buffering.max.messages=500000"])
            .args(["-X", "queue.buffering.max.kbytes=524288"]);
        let output = run_to_end(&command)?.said;
        let (delivered, took) = parse_rdkafka_produce(&output)
            .with_context(|| format!("rdkafka_performance said:\n{output}"))?;
        ensure!(
            delivered == burst.records,
            "{delivered} of {} records were acknowledged:\n{output}",
            burst.records
        );
        Ok(took)
    }

    /// One member of a new group reads `records` from the start, in the time from its first record to its last.
    pub fn rdkafka_consume(
        &self,
        kafka: &str,
        topic: &str,
        group: &str,
        records: u64,
    ) -> Result<Duration> {
        let mut command = self.rdkafka()?;
        command
            .args(["-G", group, "-t", topic, "-b", kafka])
            .args(["-c", &records.to_string(), "-q"])
            .args(["-X", "auto.offset.reset=earliest"]);
        let output = run(&command)?.0;
        let (consumed, took) = parse_rdkafka_consume(&output)
            .with_context(|| format!("rdkafka_performance said:\n{output}"))?;
        ensure!(
            consumed >= records,
            "{consumed} of {records} records were read:\n{output}"
        );
        Ok(took)
    }
}

/// What Kafka's `ProducerPerformance` reports. Its latencies begin when a record is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JavaReport {
    pub records_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
}

/// Kafka's producer tool; `per_second` bounds its rate, `linger_ms` is its producer's.
pub fn java_produce(
    burst: Burst<'_>,
    per_second: Option<u64>,
    linger_ms: u32,
) -> Result<JavaReport> {
    let throughput = per_second.map_or_else(|| "-1".to_owned(), |rate| rate.to_string());
    let mut command = java("ProducerPerformance")?;
    command
        .args(["--bootstrap-server", burst.kafka, "--topic", burst.topic])
        .args(["--num-records", &burst.records.to_string()])
        .args(["--record-size", &burst.record_bytes.to_string()])
        .args([
            "--throughput",
            &throughput,
            "--command-property",
            "acks=all",
        ])
        .arg(format!("linger.ms={linger_ms}"));
    let output = run(&command)?.0;
    parse_java_produce(&output, burst.records)
        .with_context(|| format!("ProducerPerformance said:\n{output}"))
}

/// Kafka's consumer tool: MB/s from its first fetch, its group's start not counted.
pub fn java_consume(kafka: &str, topic: &str, group: &str, records: u64) -> Result<f64> {
    let mut command = java("ConsumerPerformance")?;
    command
        .args(["--bootstrap-server", kafka, "--topic", topic])
        .args(["--group", group, "--hide-header"])
        .args(["--num-records", &records.to_string()]);
    let output = run(&command)?.0;
    parse_java_consume(&output, records)
        .with_context(|| format!("ConsumerPerformance said:\n{output}"))
}

fn java(tool: &str) -> Result<Command> {
    let mut command = Command::new("java");
    command
        .args(["-Xmx512m", "-cp", &kafka::class_path()?])
        .arg(format!("org.apache.kafka.tools.{tool}"));
    Ok(command)
}

/// What a program printed, and the processor time that it took.
pub fn run(program: &Command) -> Result<(String, Duration)> {
    let ended = run_to_end(program)?;
    if !ended.status.success() {
        let name = program_name(program);
        let Ended {
            status,
            said,
            errors,
            ..
        } = ended;
        bail!("{name} ended with {status}:\n{said}{errors}");
    }
    Ok((ended.said, ended.cpu))
}

/// As results name it, which speak of no machine's folders.
fn program_name(program: &Command) -> String {
    let program = Path::new(program.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    name.display().to_string()
}

/// How a program ended.
struct Ended {
    status: ExitStatus,
    said: String,
    errors: String,
    cpu: Duration,
}

fn run_to_end(program: &Command) -> Result<Ended> {
    let (output, errors) = (
        tempfile::NamedTempFile::new()?,
        tempfile::NamedTempFile::new()?,
    );
    let name = program_name(program);
    let mut child = process::bound(program)
        .stdin(Stdio::null())
        .stdout(output.reopen()?)
        .stderr(errors.reopen()?)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let cpu = await_end(child.id());
    if cpu.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    Ok(Ended {
        status,
        said: std::fs::read_to_string(output.path())?,
        errors: std::fs::read_to_string(errors.path())?,
        cpu: cpu.context(name)?,
    })
}

/// Waits until a child of this process has ended, and reads its times before the system forgets them.
fn await_end(pid: u32) -> Result<Duration> {
    let started = Instant::now();
    while started.elapsed() < LONGEST {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let state = stat.rsplit(')').next().map(str::trim_start);
        if state.is_some_and(|state| state.starts_with('Z')) {
            let ticks = own_ticks(&stat).context("no times")?;
            return Ok(Duration::from_millis(ticks * 1000 / USER_HZ));
        }
        clock::pause(Duration::from_millis(20));
    }
    bail!("still at it after {LONGEST:?}")
}

/// `% N messages produced (…), N delivered (…) in Nms: …`
fn parse_rdkafka_produce(output: &str) -> Option<(u64, Duration)> {
    let line = output.lines().find(|line| line.contains("produced"))?;
    let delivered = word_before(line, "delivered")?.parse().ok()?;
    Some((delivered, milliseconds(line)?))
}

/// `% N messages (…) consumed in Nms: …`
fn parse_rdkafka_consume(output: &str) -> Option<(u64, Duration)> {
    let line = output.lines().find(|line| line.contains("consumed in"))?;
    let consumed = word_before(line, "messages")?.parse().ok()?;
    Some((consumed, milliseconds(line)?))
}

fn word_before<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.split(word).next()?.split_whitespace().last()
}

fn milliseconds(line: &str) -> Option<Duration> {
    let number = line.split("ms:").next()?.split_whitespace().last()?;
    Some(Duration::from_millis(number.parse().ok()?))
}

/// `N records sent, R records/sec (…), A ms avg latency, M ms max latency, P ms 50th, P ms 95th, …`; the last such line
/// is the whole run's.
fn parse_java_produce(output: &str, records: u64) -> Option<JavaReport> {
    let line = output.lines().rfind(|line| line.contains("99.9th"))?;
    let sent: u64 = word_before(line, "records sent")?.parse().ok()?;
    let ms = |word: &str| word_before(line, word)?.parse().ok();
    (sent == records).then_some(JavaReport {
        records_per_second: word_before(line, "records/sec")?.parse().ok()?,
        p50_ms: ms("ms 50th")?,
        p99_ms: ms("ms 99th")?,
        p999_ms: ms("ms 99.9th")?,
    })
}

/// `start, end, MiB, MiB/s, records, records/s, rebalance ms, fetch ms, fetch MiB/s, fetch records/s`
fn parse_java_consume(output: &str, records: u64) -> Option<f64> {
    let fields: Vec<&str> = output.lines().last()?.split(',').map(str::trim).collect();
    let consumed: u64 = fields.get(4)?.parse().ok()?;
    let mib_per_second: f64 = fields.get(8)?.parse().ok()?;
    (consumed >= records).then_some(mib_per_second * 1.048_576)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_rdkafka_performance_is_read() {
        let output = "% Using 2 brokers\n% 200 messages produced (204800 bytes), 199 delivered (offset 0, 1 failed) \
                      in 3801ms: 526183 msgs/s and 538.81 MB/s, 0 produce failures, 0 in queue, no compression\n";
        assert_eq!(
            parse_rdkafka_produce(output),
            Some((199, Duration::from_millis(3801)))
        );
        let output =
            "% 1000 messages (1024000 bytes) consumed in 12ms: 83333 msgs/s (85.33 MB/s)\n";
        assert_eq!(
            parse_rdkafka_consume(output),
            Some((1000, Duration::from_millis(12)))
        );
        assert_eq!(parse_rdkafka_consume("% ERROR"), None);
    }

    #[test]
    fn the_last_lines_of_the_java_tools_are_read() {
        let output = "500 records sent, 99.9 records/sec (0.01 MB/sec), 1.0 ms avg latency, 3.0 ms max latency.\n\
                      1000 records sent, 9998.9 records/sec (0.95 MB/sec), 1.25 ms avg latency, 30.00 ms max latency, \
                      1 ms 50th, 2 ms 95th, 7 ms 99th, 20 ms 99.9th.\n";
        let report = parse_java_produce(output, 1000).expect("a report");
        assert_eq!(
            (
                report.records_per_second,
                report.p50_ms,
                report.p99_ms,
                report.p999_ms
            ),
            (9998.9, 1.0, 7.0, 20.0)
        );
        assert_eq!(parse_java_produce(output, 1001), None);
        let output = "2026-01-01 00:00:00:000, 2026-01-01 00:00:01:000, 100.0, 90.0, 1000, 900.0, 300, 700, 1000.0, 1.0\n";
        assert_eq!(parse_java_consume(output, 1000), Some(1048.576));
    }

    #[test]
    fn a_program_is_timed_until_it_ends() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo done",
        ]);
        let (output, cpu) = run(&command).expect("it ends well");
        assert_eq!(output, "done\n");
        assert!(cpu > Duration::ZERO);
        assert!(run(Command::new("sh").args(["-c", "exit 3"])).is_err());
    }
}
