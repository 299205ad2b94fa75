//! Loads one shard on this machine's disk and prints throughput, latency and CPU time.
//!
//!     cargo run --release -p weir-raft --example load -- DIR [PAYLOAD_BYTES] [IN_FLIGHT] [SECONDS]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weir_raft::{
    Committed, Env, Index, NoPeers, Node, NodeConfig, NodeId, Outcome, Payload, Proposal, ShardId,
    StateMachine, Unobserved,
};

struct Nothing;

impl StateMachine for Nothing {
    fn apply(&mut self, _entry: &Committed) -> Outcome {
        Outcome::Applied
    }

    fn applied(&mut self, _last: Index) {}

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("the first argument is a directory")?;
    let mut number = |default: usize| match args.next() {
        Some(text) => text.parse(),
        None => Ok(default),
    };
    let (len, in_flight, seconds) = (number(1 << 20)?, number(4)?, number(5)?);

    let start = Instant::now();
    let config = NodeConfig::new(dir, NodeId(1));
    let node = Node::open(config, Env::real(Arc::new(NoPeers)), Arc::new(Unobserved)).await?;
    let shard = node.start_shard(ShardId(1), Box::new(Nothing)).await?;
    let mut leadership = shard.leadership();
    let term = leadership.wait_for(|now| now.open).await?.term;
    println!("open after {:?}", start.elapsed());

    let payload = Payload::new(vec![Bytes::from(vec![7; len])]);
    let mut flying: VecDeque<(Instant, Proposal)> = VecDeque::new();
    let mut latencies = Vec::new();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    while start.elapsed() < Duration::from_secs(seconds as u64) {
        while flying.len() < in_flight {
            flying.push_back((Instant::now(), shard.propose(term, payload.clone()).await?));
        }
        if let Some((proposed, proposal)) = flying.pop_front() {
            proposal.await?;
            latencies.push(proposed.elapsed());
        }
    }
    let (took, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    latencies.sort();
    let count = latencies.len();
    let bytes = (count * len) as f64;
    println!(
        "{:.0} entries/s, {:.0} MB/s",
        count as f64 / took,
        bytes / took / 1e6
    );
    println!(
        "p50 {:?}, p99 {:?}",
        latencies[count / 2],
        latencies[count * 99 / 100]
    );
    println!(
        "CPU {:.2} of a core, {:.2} s/GB",
        cpu / took,
        cpu / bytes * 1e9
    );
    node.shutdown().await;
    Ok(())
}

/// User and system time of this process so far, at 100 ticks per second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = after_name
        .split_whitespace()
        .map(|text| text.parse().unwrap_or(0.0))
        .collect();
    fields
        .get(11..13)
        .map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}
