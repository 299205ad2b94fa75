//! OffsetCommit (key 8), versions 2–9: a group's positions are stored.
//! v2–4 the client's own retention · v6 leader epoch · v7 static members · v8 flexible ·
//! v9 GROUP_ID_NOT_FOUND (KIP-848)

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{ApiKey, OffsetCommitRequest, OffsetCommitResponse, TopicName};

use super::error::{ErrorCode, NO_ERROR};
use super::group_wire::{code, kept, partition_count};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::answer::Claim;
use crate::groups::coordinator::{Commit, Waiting};
use crate::groups::format::CommittedOffset;

pub struct OffsetCommit;

impl Api for OffsetCommit {
    type Request = OffsetCommitRequest;
    type Response = OffsetCommitResponse;
    const KEY: ApiKey = ApiKey::OffsetCommit;
    const VERSIONS: RangeInclusive<i16> = 2..=9;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: OffsetCommitRequest,
    ) -> impl Future<Output = OffsetCommitResponse> + Send + 'static {
        let plan = Plan::new(broker, &request);
        let started = plan.start(broker, version, &request);
        async move {
            let result = match started {
                Ok(waiting) => waiting.await.unwrap_or(Err(GroupError::NotCoordinator)),
                Err(error) => Err(error),
            };
            plan.answer(result)
        }
    }
}

/// What becomes of each partition of the request, in the order in which the answer names them.
struct Plan {
    topics: Vec<(TopicName, Vec<(i32, Fate)>)>,
    commits: Vec<Commit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Refused whatever the group says.
    Unknown,
    /// Refused if the group would have taken it.
    MetadataTooLarge,
    Committed,
}

impl Plan {
    fn new(broker: &Broker, request: &OffsetCommitRequest) -> Plan {
        let mut plan = Plan {
            topics: Vec::new(),
            commits: Vec::new(),
        };
        let now_ms = broker.groups.clock().now_ms();
        let retention_ms = request.retention_time_ms;
        let expire_ms = (retention_ms != -1).then(|| now_ms.saturating_add(retention_ms));
        let longest = broker.groups.settings().offset_metadata_max;
        // As Kafka answers: what is not there comes first.
        for topic in &request.topics {
            let count = partition_count(broker, &topic.name);
            let missing = topic
                .partitions
                .iter()
                .filter(|p| !(0..count).contains(&p.partition_index));
            plan.push(
                &topic.name,
                missing
                    .map(|p| (p.partition_index, Fate::Unknown))
                    .collect(),
            );
        }
        for topic in &request.topics {
            let count = partition_count(broker, &topic.name);
            let name = kept(&topic.name);
            let mut fates = Vec::new();
            for partition in topic
                .partitions
                .iter()
                .filter(|p| (0..count).contains(&p.partition_index))
            {
                let metadata = partition.committed_metadata.as_deref().unwrap_or("");
                if metadata.encode_utf16().count() > longest {
                    fates.push((partition.partition_index, Fate::MetadataTooLarge));
                    continue;
                }
                fates.push((partition.partition_index, Fate::Committed));
                plan.commits
                    .push(commit(name.clone(), partition, now_ms, expire_ms));
            }
            plan.push(&topic.name, fates);
        }
        plan
    }

    fn push(&mut self, topic: &TopicName, fates: Vec<(i32, Fate)>) {
        if fates.is_empty() {
            return;
        }
        match self.topics.iter_mut().find(|(name, _)| name == topic) {
            Some((_, all)) => all.extend(fates),
            None => self.topics.push((topic.clone(), fates)),
        }
    }

    /// The ordered stage: what is to be committed is on its way to the log, or refused, when this returns.
    fn start(
        &self,
        broker: &Broker,
        version: i16,
        request: &OffsetCommitRequest,
    ) -> Result<Waiting<Result<(), GroupError>>, GroupError> {
        let mut fates = self.topics.iter().flat_map(|(_, fates)| fates);
        if fates.all(|(_, fate)| *fate == Fate::Unknown) {
            // There is nothing to ask the group about.
            let (reply, nothing) = tokio::sync::oneshot::channel();
            let _ = reply.send(Ok(()));
            return Ok(nothing);
        }
        let claim = Claim {
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
        };
        let group = kept(&request.group_id);
        let started = broker
            .groups
            .coordinator(&group)?
            .commit(&group, &claim, &self.commits);
        started.map_err(|error| match error {
            GroupError::GroupNotFound if version < 9 => GroupError::IllegalGeneration,
            error => error,
        })
    }

    fn answer(self, result: Result<(), GroupError>) -> OffsetCommitResponse {
        let code_for = |fate| match (fate, result) {
            (Fate::Unknown, _) => ErrorCode::UnknownTopicOrPartition.code(),
            (_, Err(error)) => code(error),
            (Fate::MetadataTooLarge, Ok(())) => code(GroupError::MetadataTooLarge),
            (Fate::Committed, Ok(())) => NO_ERROR,
        };
        let topics = self.topics.into_iter().map(|(name, fates)| {
            let partitions = fates.into_iter().map(|(index, fate)| {
                OffsetCommitResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code_for(fate))
            });
            OffsetCommitResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.collect())
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }
}

fn commit(
    topic: Arc<str>,
    partition: &OffsetCommitRequestPartition,
    commit_ms: i64,
    expire_ms: Option<i64>,
) -> Commit {
    let offset = CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch.max(-1),
        metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
        commit_ms,
        expire_ms,
    };
    Commit {
        topic,
        partition: partition.partition_index,
        offset,
    }
}
