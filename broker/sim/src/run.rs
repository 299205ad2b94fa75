//! One run: rounds of faults while clients are at work, each followed by peace in which all must agree.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_raft::WalConfig;
use weir_sim::harness::Report;
use weir_sim::{Cluster, Dose, Nemesis, Rng, Settings, Trace};

use crate::app::{Brokers, WallClock};
use crate::clients::{
    Clients, TopicHere, administrator, emptier, idempotent_producer, mover, operator,
    plain_producer, trimmer,
};
use crate::model::Policy;
use crate::watch::Watch;

/// What a seed decides before anything runs.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seats: u32,
    /// Whether the members of the cluster and of its shards change: three of the nodes found it.
    members: bool,
    file_bytes: u32,
    rounds: u32,
    round: Duration,
    dose: Dose,
    /// Whether bits of segment files flip.
    rots: bool,
    /// Whether partitions move between shards. What is damaged cannot.
    moves: bool,
}

/// The nodes of more seats join the cluster.
const FOUNDERS: u32 = 3;
const SECOND: Duration = Duration::from_secs(1);
/// By when all must agree, once the disks have done what was asked of them: many small files take minutes on a slow one.
const CONVERGENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(150);
/// Between two complete reads.
const SCAN: Duration = Duration::from_millis(1900);

impl Plan {
    fn of(rng: &Rng) -> Plan {
        let seats = *rng.pick(&[1, 1, 3, 4]);
        let members = seats > FOUNDERS;
        // What is damaged cannot be brought to another node either.
        let rots = seats == 1 && rng.chance(400);
        Plan {
            seats,
            members,
            file_bytes: *rng.pick(&[8 << 10, 16 << 10, 32 << 10]),
            rounds: 2,
            round: if members { 40 * SECOND } else { 20 * SECOND },
            dose: Dose {
                pause_min: SECOND / 10,
                pause_max: *rng.pick(&[2 * SECOND, 6 * SECOND]),
                damages: false,
            },
            rots,
            moves: !rots && rng.chance(600),
        }
    }
}

/// Runs a seed to its end; ends the process at a broken invariant.
pub async fn run(seed: u64, trace: Arc<Trace>) -> Report {
    let rng = Rng::new(seed);
    let plan = Plan::of(&rng);
    let app = Brokers {
        clock: WallClock::start(),
        wal: WalConfig {
            file_bytes: plan.file_bytes,
            budget_bytes: u64::from(plan.file_bytes) * 8,
            ..WalConfig::default()
        },
        trace: trace.clone(),
    };
    let settings = Settings {
        seats: plan.seats,
        founders: plan.seats.min(FOUNDERS),
    };
    let cluster = Cluster::new(app, settings, trace.clone(), &rng);
    for seat in cluster.seats() {
        cluster.start(seat);
    }
    let watch = Watch::new(cluster.clone());
    tokio::spawn(look(watch.clone()));
    if plan.rots {
        tokio::spawn(rot(watch.clone(), rng.fork()));
    }
    let clients = Clients::new(&watch, rng.fork());
    let topics = create_topics(&clients).await;
    for round in 0..plan.rounds {
        clients.go_on();
        start_clients(&clients, &topics, round);
        let (kept, emptied) = topics.clone();
        let all: Vec<TopicHere> = kept.into_iter().chain([emptied]).collect();
        if plan.moves {
            clients.spawn(mover(clients.clone(), all.clone()));
        }
        if plan.members {
            clients.spawn(operator(clients.clone(), all));
        }
        let nemesis = Nemesis::new(
            cluster.clone(),
            rng.fork(),
            plan.dose,
            Arc::new(AtomicBool::new(false)),
        );
        nemesis.run(plan.round).await;
        clients.finish();
        sleep(15 * SECOND).await;
        converge(&watch, &clients).await;
        trace.event("converged", [u64::from(round), watch.acked()]);
    }
    for seat in cluster.seats() {
        cluster.stop(seat).await;
    }
    Report::of(&trace, watch.acked())
}

/// One topic for each way to keep records, and one of which all is deleted again and again.
async fn create_topics(clients: &Clients) -> (Vec<TopicHere>, TopicHere) {
    let delete = |retention_ms, retention_bytes| Policy::Delete {
        retention_ms,
        retention_bytes,
    };
    let compact = |delete_retention_ms| Policy::Compact {
        delete_retention_ms,
    };
    let policies = [
        ("kept", delete(None, None)),
        ("timed", delete(Some(4000), None)),
        ("sized", delete(None, Some(6000))),
        ("keyed", compact(3000)),
        ("keyed-for-long", compact(3_600_000)),
    ];
    let mut topics = Vec::new();
    clients.wait_for_shards().await;
    for (name, policy) in policies {
        let created = clients.create_topic(name, policy, 2).await;
        topics.push(created.expect("there is a leader before long"));
    }
    let emptied = clients.create_topic("emptied", delete(None, None), 1).await;
    (topics, emptied.expect("there is a leader before long"))
}

fn start_clients(
    clients: &Arc<Clients>,
    (topics, emptied): &(Vec<TopicHere>, TopicHere),
    round: u32,
) {
    clients.spawn(emptier(clients.clone(), emptied.clone()));
    for topic in topics {
        clients.spawn(plain_producer(clients.clone(), topic.clone()));
        for partition in 0..topic.partitions.len() {
            let producer = idempotent_producer(clients.clone(), topic.clone(), partition);
            clients.spawn(producer);
        }
    }
    let deleted = topics.iter();
    let deleted = deleted.filter(|topic| matches!(topic.policy, Policy::Delete { .. }));
    clients.spawn(trimmer(clients.clone(), deleted.cloned().collect()));
    clients.spawn(administrator(clients.clone(), round));
}

async fn look(watch: Watch) {
    let mut scanned = Instant::now();
    loop {
        sleep(LOOK).await;
        watch.look();
        if scanned.elapsed() >= SCAN {
            watch.scan(false);
            scanned = Instant::now();
        }
    }
}

/// Flips bits of segment files: a read of them may fail, and must not succeed.
async fn rot(watch: Watch, rng: Rng) {
    let cluster = &watch.cluster;
    loop {
        sleep(rng.time(SECOND..4 * SECOND)).await;
        let seat = *rng.pick(&cluster.seats());
        let disk = cluster.disk(seat);
        let files = disk.files("seg");
        let (offset, bit) = (rng.below(2048), rng.below(8));
        if files.is_empty() {
            continue;
        }
        let path = rng.pick(&files);
        if disk.rot(path, offset as usize, bit as u8) {
            watch.is_rotten(seat);
            cluster
                .trace()
                .fault("flipped bit", [seat.0 as u64, offset]);
        }
    }
}

/// Ends all faults and waits until all replicas are alike and all clients are done.
async fn converge(watch: &Watch, clients: &Clients) {
    let cluster = &watch.cluster;
    cluster.network().heal();
    let disks = cluster.seats().into_iter().map(|seat| cluster.disk(seat));
    let busy_until = disks.map(|disk| disk.busy_until()).max();
    let deadline = busy_until.max(Some(Instant::now())).expect("there is now") + CONVERGENCE;
    let mut why = String::new();
    while Instant::now() < deadline {
        for seat in cluster.seats() {
            cluster.disk(seat).heal();
            cluster.start(seat);
        }
        sleep(SECOND / 5).await;
        let (running, seats) = (watch.nodes().len(), cluster.seats().len());
        if running < seats {
            why = format!("{running} of {seats} brokers run");
            continue;
        }
        if clients.busy() > 0 {
            why = format!("{} clients are at it", clients.busy());
            continue;
        }
        if let Some(difference) = watch.differences() {
            why = difference;
            continue;
        }
        watch.look();
        watch.scan(true);
        watch.check_order();
        cluster.judge().compare_logs();
        return;
    }
    let judge = cluster.judge();
    judge.violated(&format!("the brokers do not come to an agreement: {why}"));
}
