//! The parts of a node that others see, in the order of its start.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use weir_raft::{NodeId, Seat, TcpTransport};

use super::founding::Formation;
use super::guard::{ClusterTlsError, guard};
use super::promise::BelongingError;
use super::service::{Answering, Service};
use super::{Leaders, Peers, failover, members};
use crate::identity::Identity;
use crate::meta::Meta;
use crate::options::Options;
use crate::random::Random;
use crate::shard::host::ShardHost;
use crate::shard::hosted::HostedShards;

/// A node's side of its cluster; of a node that runs alone, nothing.
pub struct Side {
    pub peers: Peers,
    pub leaders: Arc<Leaders>,
    service: Option<Arc<Service>>,
}

/// The way to other nodes, for one that has seeds. Reads certificates; blocks for that.
pub fn connect(
    options: &Options,
    identity: &Identity,
    random: &Arc<dyn Random>,
    edge: &Handle,
) -> Result<Peers, ClusterTlsError> {
    if options.seeds.is_empty() {
        return Ok(Peers::default());
    }
    Ok(Peers::over(TcpTransport::new(
        Seat(identity.broker_id),
        NodeId(identity.incarnation),
        guard(options, edge)?,
        Arc::new(Jitter(random.clone())),
    )))
}

impl Side {
    /// Begins to answer other nodes, and to look for the seeds. Reads the directory; blocks for that.
    pub fn open(
        options: &Options,
        peers: Peers,
        raft: &weir_raft::Node,
        shards: &Arc<HostedShards>,
        listeners: Vec<TcpListener>,
    ) -> Result<Side, BelongingError> {
        let leaders = Arc::new(Leaders::default());
        let Some(transport) = peers.transport() else {
            let service = None;
            return Ok(Side {
                peers,
                leaders,
                service,
            });
        };
        let formation = Formation::open(
            options.data_dir.clone(),
            (options.broker_id, options.rack.clone()),
            raft.clone(),
            peers.clone(),
            options.seeds.clone(),
        )?;
        let service = Service::new(formation, peers.clone(), leaders.clone(), shards.clone());
        let service = Arc::new(service);
        for listener in listeners {
            let answering = Arc::new(Answering(service.clone()));
            transport.serve(listener, raft.clone(), answering);
        }
        for seed in &options.seeds {
            transport.connect(seed.clone());
        }
        Ok(Side {
            service: Some(service),
            peers,
            leaders,
        })
    }

    /// How others see this node, where there may be others.
    pub fn service(&self) -> Option<&Arc<Service>> {
        self.service.as_ref()
    }

    /// Starts what keeps this node's place among the others, until it stops.
    pub fn run(
        &self,
        meta: &Arc<Meta>,
        shards: &Arc<HostedShards>,
        random: &Arc<dyn Random>,
        stop: &CancellationToken,
    ) {
        if self.peers.possible() {
            keep_place((&self.peers, &self.leaders), meta, shards, random, stop);
        }
    }
}

/// Starts what tells others who leads here, what replaces leaders, and what makes members those that the metadata names.
pub fn keep_place(
    (peers, leaders): (&Peers, &Arc<Leaders>),
    meta: &Arc<Meta>,
    shards: &Arc<HostedShards>,
    random: &Arc<dyn Random>,
    stop: &CancellationToken,
) {
    let leaders = leaders.clone();
    tokio::spawn(leaders.run(shards.clone(), peers.clone(), stop.clone()));
    tokio::spawn(failover::run(
        shards.clone(),
        peers.clone(),
        random.clone(),
        stop.clone(),
    ));
    let (shards, meta, peers) = (shards.clone(), meta.clone(), peers.clone());
    tokio::spawn(async move {
        let watch = |shard: &Arc<ShardHost>| {
            tokio::spawn(members::run(shard.clone(), meta.clone(), peers.clone()));
        };
        shards.for_each(watch).await;
    });
}

/// So that not all nodes dial at the same moments.
struct Jitter(Arc<dyn Random>);

impl weir_raft::Random for Jitter {
    fn next(&self) -> u64 {
        self.0.next_u64()
    }
}
