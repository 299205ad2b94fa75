//! ElectLeaders (key 43), versions 0–2: the first of a partition's replicas leads it again.
//! v1 unclean elections, top-level error · v2 flexible
//!
//! A partition's leader is its shard's, so an election moves the other partitions of the shard too. A leader that lacks
//! records which were acknowledged cannot be elected here, so there are no unclean elections.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ApiKey, ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError, NO_ERROR};
use super::patience::patience;
use super::session::Session;
use crate::broker::Broker;
use crate::cluster::transfer::transfer;
use crate::meta::{Admin, MetaState, PartitionPlace};

/// Elections are a matter of a second; what takes longer is not waited for, whatever the client's patience.
const MAX_WAIT: Duration = Duration::from_secs(30);

pub struct ElectLeaders;

impl Api for ElectLeaders {
    type Request = ElectLeadersRequest;
    type Response = ElectLeadersResponse;
    const KEY: ApiKey = ApiKey::ElectLeaders;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: ElectLeadersRequest,
    ) -> impl Future<Output = ElectLeadersResponse> + Send + 'static {
        let broker = broker.clone();
        async move { elect(&broker, version, request).await }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Election {
    Preferred,
    Unclean,
}

/// What is to be done for one partition.
#[derive(Debug, Clone, PartialEq)]
enum Judged {
    Refused(KafkaError),
    /// This broker is to lead this shard.
    Elect {
        shard: u64,
        preferred: i32,
    },
}

type Topics = Vec<(TopicName, Vec<(i32, Judged)>)>;

async fn elect(
    broker: &Broker,
    version: i16,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let election = match request.election_type {
        _ if version == 0 => Election::Preferred,
        0 => Election::Preferred,
        1 => Election::Unclean,
        other => {
            let reason = format!("Unknown election type {other}");
            let error = KafkaError::new(ErrorCode::InvalidRequest, reason);
            return refuse(request, &error);
        }
    };
    let named = request.topic_partitions.is_some();
    let topics = judge(&broker.admin, election, request.topic_partitions);
    let wait = patience(request.timeout_ms).min(MAX_WAIT);
    let shards: BTreeSet<(u64, i32)> = topics.iter().flat_map(|(_, all)| to_elect(all)).collect();
    let elections = shards.into_iter().map(|(shard, preferred)| async move {
        let elected = transfer(broker, shard, preferred, wait).await;
        (shard, elected.map_err(KafkaError::from))
    });
    let elected: BTreeMap<u64, Result<(), KafkaError>> =
        join_all(elections).await.into_iter().collect();
    answer(topics, &elected, named)
}

fn to_elect(partitions: &[(i32, Judged)]) -> impl Iterator<Item = (u64, i32)> + '_ {
    partitions.iter().filter_map(|(_, judged)| match judged {
        Judged::Elect { shard, preferred } => Some((*shard, *preferred)),
        Judged::Refused(_) => None,
    })
}

/// The partitions of the request, or all.
fn judge(admin: &Admin, election: Election, named: Option<Vec<TopicPartitions>>) -> Topics {
    let state = admin.meta.read();
    let Some(named) = named else {
        let topics = state.topics().iter().map(|topic| {
            let places = (0..).zip(topic.partitions.iter());
            let judged = |place: &PartitionPlace| judge_one(admin, &state, election, *place);
            let partitions = places.map(|(index, place)| (index, judged(place)));
            let name = TopicName(StrBytes::from_string(topic.name.to_string()));
            (name, partitions.collect())
        });
        return topics.collect();
    };
    let topics = named.into_iter().map(|asked| {
        let topic = state.topics().get(&asked.topic);
        let judged = |index: i32| {
            let Some(topic) = topic else {
                let reason = format!("there is no topic {}", asked.topic.as_str());
                return unknown(reason);
            };
            match topic.partition(index) {
                Some(place) => judge_one(admin, &state, election, place),
                None => unknown(format!("there is no partition {index}")),
            }
        };
        let partitions = asked.partitions.iter();
        let partitions = partitions.map(|index| (*index, judged(*index))).collect();
        (asked.topic.clone(), partitions)
    });
    topics.collect()
}

fn unknown(reason: String) -> Judged {
    Judged::Refused(KafkaError::new(ErrorCode::UnknownTopicOrPartition, reason))
}

fn judge_one(
    admin: &Admin,
    state: &MetaState,
    election: Election,
    place: PartitionPlace,
) -> Judged {
    let leader = admin.partitions.shard(place.shard).leader;
    let leader = leader.and_then(|node| state.broker_of(node));
    let replicas = admin.partitions.replicas(state, place.shard);
    let preferred = replicas.first().copied();
    match (election, leader, preferred) {
        (Election::Preferred, Some(leader), Some(preferred)) if leader == preferred => not_needed(),
        (Election::Preferred, _, Some(preferred)) => Judged::Elect {
            shard: place.shard,
            preferred,
        },
        (Election::Preferred, _, None) => {
            Judged::Refused(ErrorCode::PreferredLeaderNotAvailable.into())
        }
        (Election::Unclean, Some(_), _) => not_needed(),
        (Election::Unclean, None, _) => Judged::Refused(KafkaError::new(
            ErrorCode::EligibleLeadersNotAvailable,
            "a majority of the replicas has to be there: others may lack records that were acknowledged",
        )),
    }
}

fn not_needed() -> Judged {
    let reason = "the partition is led as the election would have it";
    Judged::Refused(KafkaError::new(ErrorCode::ElectionNotNeeded, reason))
}

/// As Kafka does, leaves out what needed no election where nobody has named it.
fn answer(
    topics: Topics,
    elected: &BTreeMap<u64, Result<(), KafkaError>>,
    named: bool,
) -> ElectLeadersResponse {
    let result = |(index, judged): (i32, Judged)| {
        let error = match judged {
            Judged::Refused(error) if !named && error.code == ErrorCode::ElectionNotNeeded => {
                return None;
            }
            Judged::Refused(error) => Some(error),
            Judged::Elect { shard, .. } => elected[&shard].clone().err(),
        };
        Some(partition_result(index, error.as_ref()))
    };
    let topics = topics.into_iter().map(|(name, partitions)| {
        ReplicaElectionResult::default()
            .with_topic(name)
            .with_partition_result(partitions.into_iter().filter_map(result).collect())
    });
    ElectLeadersResponse::default().with_replica_election_results(topics.collect())
}

fn partition_result(index: i32, error: Option<&KafkaError>) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(index)
        .with_error_code(error.map_or(NO_ERROR, KafkaError::code))
        .with_error_message(error.and_then(KafkaError::message))
}

fn refuse(request: ElectLeadersRequest, error: &KafkaError) -> ElectLeadersResponse {
    let topics = request.topic_partitions.unwrap_or_default();
    let topics = topics.into_iter().map(|asked| {
        let partitions = asked.partitions.iter();
        let partitions = partitions.map(|index| partition_result(*index, Some(error)));
        ReplicaElectionResult::default()
            .with_topic(asked.topic.clone())
            .with_partition_result(partitions.collect())
    });
    ElectLeadersResponse::default()
        .with_error_code(error.code())
        .with_replica_election_results(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;

    fn elect_one(shard: u64) -> Judged {
        Judged::Elect {
            shard,
            preferred: 1,
        }
    }

    #[test]
    fn partitions_of_a_shard_share_its_election_and_what_was_not_named_is_left_out() {
        let name = || TopicName(StrBytes::from_static_str("t"));
        let partitions = vec![(0, elect_one(3)), (1, elect_one(4)), (2, not_needed())];
        let topics: Topics = vec![(name(), partitions)];
        let late = KafkaError::new(ErrorCode::RequestTimedOut, "late");
        let elected = BTreeMap::from([(3, Ok(())), (4, Err(late))]);
        let codes = |answer: &ElectLeadersResponse| {
            let results = answer.replica_election_results[0].partition_result.iter();
            results
                .map(|one| (one.partition_id, one.error_code))
                .collect::<Vec<_>>()
        };
        let named = answer(topics.clone(), &elected, true);
        assert_eq!(codes(&named), [(0, 0), (1, 7), (2, 84)]);
        let all = answer(topics.clone(), &elected, false);
        assert_eq!(codes(&all), [(0, 0), (1, 7)]);
        encodes_in_every_version::<ElectLeaders>(|_| answer(topics.clone(), &elected, true));
    }

    #[test]
    fn a_refusal_names_every_partition() {
        let asked = TopicPartitions::default()
            .with_topic(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![0, 7]);
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![asked]));
        let error = KafkaError::new(ErrorCode::InvalidRequest, "no");
        let answer = refuse(request, &error);
        assert_eq!(answer.error_code, 42);
        let results = &answer.replica_election_results[0].partition_result;
        assert!(results.iter().all(|one| one.error_code == 42));
        assert_eq!(results.len(), 2);
    }
}
