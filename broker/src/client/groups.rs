//! Consumer groups: which there are, who is in them, and how far they have read.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest,
    OffsetFetchRequest,
};

use super::{Client, ClientError, text};

#[derive(Debug, Clone)]
pub struct GroupListing {
    pub group: String,
    pub state: String,
    pub protocol_type: String,
}

#[derive(Debug, Clone)]
pub struct GroupDetails {
    pub group: String,
    pub state: String,
    /// The assignor that its members agreed on.
    pub protocol: String,
    pub members: Vec<GroupMember>,
    pub offsets: Vec<GroupOffset>,
}

#[derive(Debug, Clone)]
pub struct GroupMember {
    pub member_id: String,
    pub client_id: String,
    pub host: String,
}

#[derive(Debug, Clone)]
pub struct GroupOffset {
    pub topic: String,
    pub partition: i32,
    pub committed: i64,
    /// The partition's end, where it still is there.
    pub end: Option<i64>,
}

impl GroupOffset {
    /// Records that the group has yet to read.
    pub fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end - self.committed).max(0))
    }
}

impl Client {
    /// Every group of every broker, by name.
    pub async fn groups(&mut self) -> Result<Vec<GroupListing>, ClientError> {
        self.metadata(Some(&[])).await?;
        let brokers: Vec<i32> = self.brokers.keys().copied().collect();
        let mut groups = Vec::new();
        for broker in brokers {
            let response = self.broker(broker, 4, ListGroupsRequest::default()).await?;
            ClientError::check(response.error_code, None, || {
                format!("the groups of broker {broker}")
            })?;
            groups.extend(response.groups.iter().map(|listed| GroupListing {
                group: listed.group_id.to_string(),
                state: listed.group_state.to_string(),
                protocol_type: listed.protocol_type.to_string(),
            }));
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(groups)
    }

    pub async fn group(&mut self, group: &str) -> Result<GroupDetails, ClientError> {
        let coordinator = self.coordinator(group).await?;
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let response = self.address(&coordinator, 5, request).await?;
        let offsets = self.group_offsets(&coordinator, group).await?;
        let Some(described) = response.groups.first() else {
            return Err(ClientError::NoGroup(group.to_owned()));
        };
        ClientError::check(described.error_code, None, || format!("group {group}"))?;
        // Kafka describes a group that is not there as a dead one.
        if &*described.group_state == "Dead" && offsets.is_empty() {
            return Err(ClientError::NoGroup(group.to_owned()));
        }
        Ok(GroupDetails {
            group: group.to_owned(),
            state: described.group_state.to_string(),
            protocol: described.protocol_data.to_string(),
            members: described
                .members
                .iter()
                .map(|member| GroupMember {
                    member_id: member.member_id.to_string(),
                    client_id: member.client_id.to_string(),
                    host: member.client_host.to_string(),
                })
                .collect(),
            offsets,
        })
    }

    pub async fn delete_group(&mut self, group: &str) -> Result<(), ClientError> {
        let coordinator = self.coordinator(group).await?;
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
        let response = self.address(&coordinator, 2, request).await?;
        for answer in &response.results {
            let message = match ResponseError::try_from_code(answer.error_code) {
                Some(ResponseError::GroupIdNotFound) => {
                    return Err(ClientError::NoGroup(group.to_owned()));
                }
                Some(ResponseError::NonEmptyGroup) => Some("stop its consumers first"),
                _ => None,
            };
            ClientError::check(answer.error_code, message, || {
                format!("cannot delete group {group}")
            })?;
        }
        Ok(())
    }

    async fn coordinator(&mut self, group: &str) -> Result<String, ClientError> {
        let request = FindCoordinatorRequest::default()
            .with_key_type(0)
            .with_coordinator_keys(vec![text(group)]);
        let response = self.any(4, request).await?;
        let Some(found) = response.coordinators.first() else {
            return Err(ClientError::NoGroup(group.to_owned()));
        };
        ClientError::check(found.error_code, found.error_message.as_deref(), || {
            format!("the coordinator of group {group}")
        })?;
        Ok(format!("{}:{}", found.host, found.port))
    }

    async fn group_offsets(
        &mut self,
        coordinator: &str,
        group: &str,
    ) -> Result<Vec<GroupOffset>, ClientError> {
        let wanted = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group)))
            .with_member_epoch(-1)
            .with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![wanted]);
        let response = self.address(coordinator, 8, request).await?;
        let mut committed: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
        for answer in &response.groups {
            ClientError::check(answer.error_code, None, || {
                format!("offsets of group {group}")
            })?;
            for topic in &answer.topics {
                let partitions = topic.partitions.iter();
                let read = partitions.map(|p| (p.partition_index, p.committed_offset));
                committed
                    .entry(topic.name.to_string())
                    .or_default()
                    .extend(read);
            }
        }
        let mut offsets = Vec::new();
        for (topic, mut partitions) in committed {
            partitions.sort_unstable();
            // A topic may be gone while a group still remembers it.
            let ends = self
                .offsets(&topic, super::read::LATEST)
                .await
                .unwrap_or_default();
            offsets.extend(
                partitions
                    .into_iter()
                    .map(|(partition, committed)| GroupOffset {
                        topic: topic.clone(),
                        partition,
                        committed,
                        end: ends.get(&partition).copied(),
                    }),
            );
        }
        Ok(offsets)
    }
}
