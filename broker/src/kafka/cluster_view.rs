//! Brokers and partitions as clients are told of them, for every API that tells.

use std::collections::BTreeMap;

use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;

use super::error::ErrorCode;
use super::session::Session;
use crate::meta::{Admin, Endpoint, MetaState, PartitionPlace, ShardView};

/// The listener that clients use.
pub const CLIENT_LISTENER: &str = "PLAINTEXT";
/// No broker.
pub const NOBODY: BrokerId = BrokerId(-1);

/// A broker and the address at which this client reaches it.
pub struct BrokerAddress {
    pub id: BrokerId,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

/// The brokers that this client can reach, by id.
pub fn brokers(admin: &Admin, state: &MetaState, session: &Session) -> Vec<BrokerAddress> {
    let reachable = state.nodes().iter().filter_map(|(id, node)| {
        let endpoint = node.listeners.get(CLIENT_LISTENER)?;
        Some(BrokerAddress {
            id: BrokerId(*id),
            host: host_for(endpoint, *id == admin.broker_id, session)?,
            port: i32::from(endpoint.port),
            rack: node.rack.clone().map(StrBytes::from_string),
        })
    });
    reachable.collect()
}

/// A wildcard is never advertised: the client is told the address on which it came, which only this broker knows.
fn host_for(endpoint: &Endpoint, is_this_broker: bool, session: &Session) -> Option<StrBytes> {
    match endpoint.host.as_str() {
        "" if is_this_broker => Some(StrBytes::from_string(session.local().ip().to_string())),
        "" => None,
        host => Some(StrBytes::from_string(host.to_owned())),
    }
}

/// The broker to which administrative requests go: the leader of the metadata.
pub fn controller(admin: &Admin, state: &MetaState) -> BrokerId {
    let leader = admin.partitions.shard(0).leader;
    leader
        .and_then(|node| state.broker_of(node))
        .map_or(NOBODY, BrokerId)
}

/// A partition's leader and replicas.
pub struct PartitionFacts {
    pub error: Option<ErrorCode>,
    pub leader: BrokerId,
    pub leader_epoch: i32,
    pub replicas: Vec<BrokerId>,
    pub in_sync: Vec<BrokerId>,
}

/// The shards as one answer sees them: each is looked at once.
pub struct Shards<'a> {
    admin: &'a Admin,
    state: &'a MetaState,
    seen: BTreeMap<u64, Seen>,
}

struct Seen {
    view: ShardView,
    error: Option<ErrorCode>,
    leader: BrokerId,
    replicas: Vec<BrokerId>,
    in_sync: Vec<BrokerId>,
}

impl<'a> Shards<'a> {
    pub fn new(admin: &'a Admin, state: &'a MetaState) -> Self {
        Shards {
            admin,
            state,
            seen: BTreeMap::new(),
        }
    }

    pub fn partition(&mut self, place: PartitionPlace) -> PartitionFacts {
        let Shards { admin, state, seen } = self;
        let seen = seen
            .entry(place.shard)
            .or_insert_with(|| look(admin, state, place.shard));
        PartitionFacts {
            error: seen.error,
            leader: seen.leader,
            leader_epoch: seen.view.leader_epoch(place),
            replicas: seen.replicas.clone(),
            in_sync: seen.in_sync.clone(),
        }
    }
}

fn look(admin: &Admin, state: &MetaState, shard: u64) -> Seen {
    let view = admin.partitions.shard(shard);
    let replicas = admin.partitions.replicas(state, shard);
    let reachable = |broker: &i32| {
        state.nodes()[broker]
            .listeners
            .contains_key(CLIENT_LISTENER)
    };
    let leading = view.leader.and_then(|node| state.broker_of(node));
    let (leader, error) = match leading {
        None => (NOBODY, Some(ErrorCode::LeaderNotAvailable)),
        Some(leader) if !reachable(&leader) => (NOBODY, Some(ErrorCode::ListenerNotFound)),
        Some(leader) => (BrokerId(leader), None),
    };
    let mut in_sync: Vec<i32> = view
        .in_sync
        .iter()
        .filter_map(|node| state.broker_of(*node))
        .collect();
    if in_sync.is_empty() {
        // Tools read an empty list as no replica at all; a leader is in sync with itself.
        in_sync.extend(leading);
    }
    Seen {
        view,
        error,
        leader,
        replicas: replicas.into_iter().map(BrokerId).collect(),
        in_sync: in_sync.into_iter().map(BrokerId).collect(),
    }
}
