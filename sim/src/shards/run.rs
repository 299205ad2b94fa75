//! One run: rounds of faults, each followed by peace in which everything must converge.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use weir_raft::ShardId;

use super::app::{Shards, ShardsSettings};
use super::chores::Chores;
use super::client::{Client, write};
use crate::cluster::{Cluster, Settings};
use crate::harness::Report;
use crate::nemesis::{Dose, Nemesis};
use crate::random::Rng;
use crate::trace::Trace;

/// What a seed decides before anything runs.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seats: u32,
    pub shards: ShardsSettings,
    pub clients: u64,
    pub pause: Duration,
    pub rounds: u32,
    pub round: Duration,
    pub dose: Dose,
}

/// By when a cluster must have converged.
const CONVERGENCE: Duration = Duration::from_secs(60);

impl Plan {
    pub fn of(rng: &Rng) -> Plan {
        let seats = *rng.pick(&[1, 3, 3, 3, 3, 5]);
        Plan {
            seats,
            shards: ShardsSettings {
                shards: *rng.pick(&[1, 1, 2, 3]),
                file_bytes: *rng.pick(&[16 << 10, 64 << 10, 256 << 10]),
                padding: *rng.pick(&[0, 5000]),
            },
            clients: *rng.pick(&[1, 3]),
            pause: *rng.pick(&[Duration::from_millis(200), Duration::from_secs(2)]),
            rounds: 3,
            round: Duration::from_secs(60),
            dose: Dose {
                pause_min: Duration::from_millis(100),
                pause_max: *rng.pick(&[Duration::from_secs(3), Duration::from_secs(10)]),
                damages: seats > 1 && rng.chance(500),
            },
        }
    }
}

/// Runs a seed to its end; ends the process at a broken invariant.
pub async fn run(seed: u64, trace: Arc<Trace>) -> Report {
    let rng = Rng::new(seed);
    let plan = Plan::of(&rng);
    let app = Shards {
        settings: plan.shards,
        trace: trace.clone(),
    };
    let settings = Settings {
        seats: plan.seats,
        founders: plan.seats,
    };
    let cluster = Cluster::new(app, settings, trace.clone(), &rng);
    let whole = Arc::new(AtomicBool::new(false));
    let chores = Chores {
        cluster: cluster.clone(),
        rng: Arc::new(rng.fork()),
        whole: whole.clone(),
    };
    for seat in cluster.seats() {
        cluster.start(seat);
    }
    converge(&cluster, &chores, &rng, 0).await;
    for round in 1..=plan.rounds {
        let end = Instant::now() + plan.round;
        for name in 0..plan.clients {
            let client = Client {
                name: u64::from(round) << 32 | name,
                cluster: cluster.clone(),
                rng: rng.fork(),
                pause: plan.pause / 10..plan.pause,
            };
            tokio::spawn(client.run(end));
        }
        let keeping = tokio::spawn(chores.clone().run(end));
        let nemesis = Nemesis::new(cluster.clone(), rng.fork(), plan.dose, whole.clone());
        nemesis.run(plan.round).await;
        // What was begun ends first: a node that was damaged is being replaced.
        sleep(Duration::from_secs(30)).await;
        keeping.await.expect("chores do not panic");
        converge(&cluster, &chores, &rng, round).await;
    }
    for seat in cluster.seats() {
        cluster.stop(seat).await;
    }
    Report::of(&trace, cluster.judge().acked_count())
}

/// Ends all faults and waits until all replicas have applied all, new entries among it.
async fn converge(cluster: &Cluster<Shards>, chores: &Chores, rng: &Rng, round: u32) {
    cluster.trace().event("heal", [u64::from(round)]);
    cluster.network().heal();
    let deadline = Instant::now() + CONVERGENCE;
    let shards: Vec<ShardId> = cluster.app().ids().collect();
    let mut written = vec![false; shards.len()];
    let mut tries = 0;
    while Instant::now() < deadline {
        for seat in cluster.seats() {
            cluster.disk(seat).heal();
            if cluster.is_refused(seat) {
                cluster.wipe(seat);
            }
            cluster.start(seat);
        }
        chores.replace_members().await;
        for (place, shard) in shards.iter().enumerate() {
            tries += 1;
            let name = [u64::MAX, u64::from(round), tries];
            let entry: Vec<u8> = name.iter().flat_map(|word| word.to_le_bytes()).collect();
            if !written[place] {
                written[place] = write(cluster, rng, *shard, Bytes::from(entry)).await;
            }
        }
        if written.iter().all(|written| *written) && is_converged(cluster, chores) {
            cluster.judge().compare_logs();
            cluster.trace().event("converged", [u64::from(round)]);
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
    let states = cluster.all_running().into_iter().map(|(seat, _, hosted)| {
        let shards = hosted.shards.iter().map(|(id, (shard, recorder))| {
            let leadership = *shard.leadership().borrow();
            format!(
                "shard {id}: {leadership:?} {:?} {:?}",
                recorder.state(),
                shard.members()
            )
        });
        format!("seat {seat}: {}", shards.collect::<Vec<_>>().join("; "))
    });
    let states = states.collect::<Vec<_>>().join("\n");
    cluster.judge().violated(&format!(
        "the cluster does not converge: written {written:?}\n{states}"
    ));
}

fn is_converged(cluster: &Cluster<Shards>, chores: &Chores) -> bool {
    let running = cluster.all_running();
    running.len() == cluster.seats().len()
        && chores.whole.load(std::sync::atomic::Ordering::Relaxed)
        && running.iter().all(|(_, _, hosted)| {
            let mut shards = hosted.shards.iter();
            shards.all(|(id, (_, recorder))| recorder.state() == cluster.judge().final_state(*id))
        })
}
