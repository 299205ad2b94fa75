//! Classic groups as their members drive them: what the cases of the group APIs are made of.

use std::time::Duration;

use anyhow::{Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    OffsetCommitRequest, SyncGroupRequest,
};

use crate::clock;
use crate::differential::build::{self, group, text};
use crate::differential::topics::Topic;
use crate::differential::trial::Trial;

pub const SESSION_MS: i32 = 30_000;
const MEMBER_ID_REQUIRED: i16 = 79;

/// A member of a group after it joined.
#[derive(Debug, Clone)]
pub struct Member {
    pub group: String,
    pub id: String,
    pub generation: i32,
    pub protocol: String,
}

impl Member {
    pub fn stranger(group: &str) -> Member {
        Member {
            group: group.into(),
            id: "judge-nobody".into(),
            generation: 1,
            protocol: "range".into(),
        }
    }

    pub fn heartbeat(&self) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(group(&self.group))
            .with_member_id(text(&self.id))
            .with_generation_id(self.generation)
    }

    /// Asks for the assignment; the leader brings those of `assigned`.
    pub fn sync(&self, v: i16, assigned: &[&Member]) -> SyncGroupRequest {
        let assignment = |member: &&Member| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(&member.id))
                .with_assignment(Bytes::from_static(b"assigned"))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(group(&self.group))
            .with_member_id(text(&self.id))
            .with_generation_id(self.generation)
            .with_assignments(assigned.iter().map(assignment).collect());
        match v {
            5.. => request
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text(&self.protocol))),
            _ => request,
        }
    }

    /// Joins again under the id that the group gave.
    pub fn join_again(&self, v: i16) -> JoinGroupRequest {
        join(v, &self.group, &self.id)
    }

    pub fn commit(&self, topic: &Topic, offset: i64) -> OffsetCommitRequest {
        commit(&self.group, &[(topic, 0, offset)])
            .with_member_id(text(&self.id))
            .with_generation_id_or_member_epoch(self.generation)
    }
}

/// A consumer's subscription to topics, version 0.
pub fn subscription(topics: &[&str]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(topics.len() as i32);
    for topic in topics {
        out.put_i16(topic.len() as i16);
        out.put_slice(topic.as_bytes());
    }
    out.put_i32(-1);
    out.freeze()
}

pub fn protocol(name: &str, metadata: Bytes) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol::default()
        .with_name(text(name))
        .with_metadata(metadata)
}

/// A request to join with the protocols `range` and `roundrobin`; a new member has the id "".
pub fn join(v: i16, group_id: &str, member_id: &str) -> JoinGroupRequest {
    let request = JoinGroupRequest::default()
        .with_group_id(group(group_id))
        .with_session_timeout_ms(SESSION_MS)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![
            protocol("range", subscription(&["topic"])),
            protocol("roundrobin", subscription(&["topic"])),
        ]);
    if v >= 1 {
        request.with_rebalance_timeout_ms(SESSION_MS)
    } else {
        request
    }
}

pub fn member_of(group: &str, answer: &JoinGroupResponse) -> Member {
    Member {
        group: group.into(),
        id: answer.member_id.to_string(),
        generation: answer.generation_id,
        protocol: answer
            .protocol_name
            .as_ref()
            .map(|name| name.to_string())
            .unwrap_or_default(),
    }
}

/// Joins as the only member, unrecorded; the group then awaits the leader's assignment.
pub fn joined(t: &mut Trial, group_id: &str) -> Result<Member> {
    joined_with(t, join(3, group_id, ""))
}

/// Joins with a request of version 5, unrecorded, with a second request if the group wants the id that it gives.
pub fn joined_with(t: &mut Trial, request: JoinGroupRequest) -> Result<Member> {
    let group_id = request.group_id.to_string();
    let mut answer = t.quietly(5, &request)?;
    if answer.error_code == MEMBER_ID_REQUIRED {
        answer = t.quietly(5, &request.with_member_id(answer.member_id))?;
    }
    if answer.error_code != 0 {
        bail!(
            "setting up: joining {group_id}: error {}",
            answer.error_code
        );
    }
    t.introduce(&answer.member_id);
    Ok(member_of(&group_id, &answer))
}

/// A stable group of one member.
pub fn stable(t: &mut Trial, group_id: &str) -> Result<Member> {
    let member = joined(t, group_id)?;
    synced(t, &member)?;
    Ok(member)
}

/// A stable group of one static member.
pub fn stable_static(t: &mut Trial, group_id: &str, instance: &str) -> Result<Member> {
    let member = joined_with(
        t,
        join(5, group_id, "").with_group_instance_id(Some(text(instance))),
    )?;
    synced(t, &member)?;
    Ok(member)
}

pub fn synced(t: &mut Trial, member: &Member) -> Result<()> {
    match t.quietly(3, &member.sync(3, &[member]))?.error_code {
        0 => Ok(()),
        error => bail!("setting up: syncing {}: error {error}", member.group),
    }
}

/// Waits until a group is in a state, so that a request that arrives later meets it.
pub fn await_state(t: &mut Trial, group_id: &str, state: &str) -> Result<()> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group(group_id)]);
    let found = clock::wait_for(Duration::from_secs(10), Duration::from_millis(5), || {
        let answer = t.quietly(3, &request);
        answer
            .map(|answer| (*answer.groups[0].group_state == *state).then_some(()))
            .transpose()
    });
    match found {
        Some(result) => result,
        None => bail!("setting up: group {group_id} is never {state}"),
    }
}

/// Commits of no member: topic, partition and offset each, those of one topic one after another.
pub fn commit(group_id: &str, offsets: &[(&Topic, i32, i64)]) -> OffsetCommitRequest {
    let partition = |(_, partition, offset): &(&Topic, i32, i64)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(text("note")))
    };
    let topic = |offsets: &[(&Topic, i32, i64)]| {
        OffsetCommitRequestTopic::default()
            .with_name(build::topic(&offsets[0].0.name))
            .with_partitions(offsets.iter().map(partition).collect())
    };
    let topics = offsets
        .chunk_by(|(left, ..), (right, ..)| left.name == right.name)
        .map(topic);
    OffsetCommitRequest::default()
        .with_group_id(group(group_id))
        .with_topics(topics.collect())
}

/// Commits as no member, unrecorded.
pub fn committed(t: &mut Trial, group_id: &str, offsets: &[(&Topic, i32, i64)]) -> Result<()> {
    let answer = t.quietly(6, &commit(group_id, offsets))?;
    match answer
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .find(|partition| partition.error_code != 0)
    {
        None => Ok(()),
        Some(failed) => bail!(
            "setting up: committing to {group_id}: error {}",
            failed.error_code
        ),
    }
}
