//! How long partitions are not written when the node that leads them is gone, and what becomes of their records.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::{calls, clock, cluster as weir};

use crate::cluster::{Cluster, NODES};
use crate::numbered::{Fate, Numbered, Place};
use crate::report::number;
use crate::results::{Aim, Better, Figure, percentile};
use crate::servers::Server;
use crate::turns::{Case, Plan, Setting, Size};

const TOPICS: usize = 10;
/// To each partition that is written.
const PER_SECOND: u32 = 4;
/// How long the partitions may take until all are written again.
const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);
/// A producer's records are bounded by what it may send in this time.
const LONGEST_RUN_SECONDS: usize = 240;

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// kill -9 of one that does not lead the metadata.
    Killed,
    /// kill -9 of the one that does.
    KilledController,
    /// SIGSTOP of one that does not, and SIGCONT later: its connections stay.
    Frozen,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Killed => "kill -9",
            Fault::KilledController => "kill -9, metadata too",
            Fault::Frozen => "SIGSTOP",
        }
    }

    /// For the p50 of partitions, their p99, and all of them, in seconds.
    fn aims(self) -> (&'static [Aim], &'static [Aim], &'static [Aim]) {
        match self {
            Fault::Killed | Fault::KilledController => {
                (&[Aim::AtMost(0.8)], &[Aim::AtMost(2.0)], &[])
            }
            Fault::Frozen => (&[], &[], &[Aim::AtMost(3.0)]),
        }
    }

    /// A request to a node that hangs is given up after this time only: by default after a minute.
    fn client_settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Fault::Killed | Fault::KilledController => &[],
            Fault::Frozen => &[("socket.timeout.ms", "1000")],
        }
    }
}

/// Kafka recovers each partition by itself, and has a file open for each replica.
fn partitions(size: Size, server: Server) -> usize {
    match server {
        Server::Weir => size.of(100, 1_000, 10_000),
        _ => size.of(100, 500, 1_000),
    }
}

/// How many partitions are written of those that the node leads, and of the others.
fn sample(size: Size) -> (usize, usize) {
    size.of((15, 10), (100, 50), (200, 100))
}

/// How long a node stands still.
fn frozen(size: Size) -> Duration {
    Duration::from_secs(size.of(4, 10, 10))
}

pub fn plan(size: Size) -> Plan {
    let case = |fault: Fault, servers: &[Server]| Case {
        name: fault.name().to_owned(),
        servers: servers.to_vec(),
        seconds: size.of(12, 25, 45),
        run: Box::new(move |setting, server| run(setting, server, fault)),
    };
    let (led, others) = sample(size);
    Plan {
        name: "failover",
        title: "A leader that is gone",
        notes: vec![
            format!(
                "Three nodes on this machine, {} partitions of Weir, {} of Kafka (fsync, min.insync.replicas=2), three \
                 replicas of each. An idempotent librdkafka producer with its defaults writes {PER_SECOND} records of 100 \
                 bytes a second to each of up to {led} partitions that the node leads, and of {others} that others lead. The \
                 times are from the signal until those of the node are acknowledged a record that was sent when it was gone; \
                 each is sent one right then.",
                number(partitions(size, Server::Weir) as f64),
                number(partitions(size, Server::KafkaFsync) as f64),
            ),
            format!(
                "\"Metadata too\": the node also leads the metadata, which it else does not. SIGSTOP: it stands still for {} s \
                 and keeps its connections; the producer has socket.timeout.ms=1000, since it would wait a minute for an \
                 answer. Given up: not acknowledged within a minute. Lost: acknowledged, and not there when all is read back. \
                 Doubled: stored more than once.",
                frozen(size).as_secs()
            ),
        ],
        cases: vec![
            case(Fault::Killed, &[Server::Weir, Server::KafkaFsync]),
            case(Fault::KilledController, &[Server::Weir]),
            case(Fault::Frozen, &[Server::Weir]),
        ],
    }
}

fn run(setting: &Setting, server: Server, fault: Fault) -> Result<Vec<Figure>> {
    Cluster::run(server, |cluster| {
        measure(setting.size, server, fault, cluster)
    })
}

fn measure(size: Size, server: Server, fault: Fault, cluster: &mut Cluster) -> Result<Vec<Figure>> {
    let names: Vec<String> = (0..TOPICS).map(|topic| format!("topic-{topic}")).collect();
    let of_topic = partitions(size, server) / TOPICS;
    cluster.create_topics(&names, of_topic as i32, &[])?;
    let controller = cluster.controller()?;
    let victim = match fault {
        Fault::KilledController => controller,
        Fault::Killed | Fault::Frozen => (controller + 1) % NODES,
    };
    let (places, led) = places(size, cluster, &names, victim)?;
    let per_second = places.len() * PER_SECOND as usize;
    let kafka = cluster.bootstrap();
    let limit = per_second * LONGEST_RUN_SECONDS;
    let records = Numbered::start(&kafka, places, limit, fault.client_settings())?;
    let stop = AtomicBool::new(false);
    let watched = thread::scope(|scope| {
        let pacing = scope.spawn(|| records.pace(per_second as u32, &stop));
        let watched = watch(size, fault, cluster, victim, led, &records);
        stop.store(true, Ordering::Relaxed);
        let paced = pacing.join().expect("no panic");
        watched.and_then(|watched| paced.map(|()| watched))
    });
    let (first, waited) = watched?;
    let fate = records.finish(&kafka)?;
    let others = records.slowest(first).split_off(led);
    Ok(figures(fault, &waited, &others, fate))
}

/// Where is written, and how many of these the node leads; they come first.
fn places(
    size: Size,
    cluster: &Cluster,
    names: &[String],
    victim: usize,
) -> Result<(Vec<Place>, usize)> {
    let (mut led, mut others) = (Vec::new(), Vec::new());
    for name in names {
        for one in calls::describe(cluster.address(victim), name)? {
            let is_led = weir::Cluster::place_of(one.leader) == victim;
            let of = if is_led { &mut led } else { &mut others };
            of.push((name.clone(), one.partition));
        }
    }
    ensure!(!led.is_empty(), "node {} leads nothing", victim + 1);
    let (led_count, other_count) = sample(size);
    let mut places = spread(&led, led_count);
    let led = places.len();
    places.extend(spread(&others, other_count));
    Ok((places, led))
}

/// So many of them, from everywhere; neighbours may have more in common than their leader.
fn spread(places: &[Place], count: usize) -> Vec<Place> {
    let prime = 7919;
    let some = 0..count.min(places.len());
    some.map(|at| places[at * prime % places.len()].clone())
        .collect()
}

/// Has the node suffer while records are written. Returns the number of the first record that was sent then, and the
/// sorted times until the partitions that it led were written again.
fn watch(
    size: Size,
    fault: Fault,
    cluster: &mut Cluster,
    victim: usize,
    led: usize,
    records: &Numbered,
) -> Result<(usize, Vec<Duration>)> {
    let first = records.send_to_all()?;
    await_acks(records, first, None).context("before anything happened")?;
    clock::pause(Duration::from_secs(size.of(1, 3, 5)));
    let began = Instant::now();
    match fault {
        Fault::Killed | Fault::KilledController => cluster.kill(victim)?,
        Fault::Frozen => cluster.freeze(victim)?,
    }
    let first = records.send_to_all()?;
    let acked = await_acks(records, first, Some(led))?;
    if fault == Fault::Frozen {
        let rest = frozen(size).checked_sub(began.elapsed());
        clock::pause(rest.unwrap_or_default());
        cluster.thaw(victim)?;
    }
    clock::pause(Duration::from_secs(size.of(1, 3, 3)));
    let waited = acked.iter().map(|at| at.saturating_duration_since(began));
    let mut waited: Vec<Duration> = waited.collect();
    waited.sort_unstable();
    Ok((first, waited))
}

/// When each of the first `count` places, or of all, was acknowledged a record from number `first` on.
fn await_acks(records: &Numbered, first: usize, count: Option<usize>) -> Result<Vec<Instant>> {
    let acks = || {
        let mut acks = records.first_acks(first);
        acks.truncate(count.unwrap_or(acks.len()));
        acks
    };
    let all = || acks().into_iter().collect::<Option<Vec<Instant>>>();
    clock::wait_for(LIMIT, STEP, all).with_context(|| {
        let acks = acks();
        let missing = acks.iter().filter(|at| at.is_none()).count();
        format!(
            "{missing} of {} partitions are not acknowledged within {LIMIT:?}",
            acks.len()
        )
    })
}

fn figures(fault: Fault, waited: &[Duration], others: &[Duration], fate: Fate) -> Vec<Figure> {
    let name = fault.name();
    println!("    {} partitions, {} records", waited.len(), fate.sent);
    let seconds = |what: &str, value: Duration| {
        let what = format!("{name}: {what}");
        Figure::new(what, "s", Better::Lower, value.as_secs_f64())
    };
    let longest = waited.last().copied().unwrap_or_default();
    let other = others.iter().max().copied().unwrap_or_default();
    let count = |what: &str, value: f64| {
        let what = format!("{name}: {what}");
        Figure::new(what, "records", Better::Lower, value).aiming(&[Aim::AtMost(0.0)])
    };
    let (half, nearly_all, all) = fault.aims();
    vec![
        seconds("p50 of partitions", percentile(waited, 0.5)).aiming(half),
        seconds("p99 of partitions", percentile(waited, 0.99)).aiming(nearly_all),
        seconds("all partitions", longest).aiming(all),
        seconds("others' slowest ack", other),
        count("given up", fate.failed as f64),
        count("lost", fate.lost as f64),
        count("doubled", fate.doubled as f64),
    ]
}
