//! DescribeGroups (key 15), versions 0–6: state and members of groups.
//! v3 authorized operations · v4 static members · v5 flexible · v6 GROUP_ID_NOT_FOUND with a message (KIP-1043)

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{ApiKey, DescribeGroupsRequest, DescribeGroupsResponse, GroupId};

use super::authorized::{GROUP_OPERATIONS, NOT_ASKED};
use super::group_wire::{code, wire, wire_nullable};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::answer::{DescribedMember, Description};

/// The state of a group that is not there.
const DEAD: &str = "Dead";

pub struct DescribeGroups;

impl Api for DescribeGroups {
    type Request = DescribeGroupsRequest;
    type Response = DescribeGroupsResponse;
    const KEY: ApiKey = ApiKey::DescribeGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=6;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: DescribeGroupsRequest,
    ) -> impl Future<Output = DescribeGroupsResponse> + Send + 'static {
        let asked = version >= 3 && request.include_authorized_operations;
        let operations = if asked { GROUP_OPERATIONS } else { NOT_ASKED };
        let groups = request.groups.into_iter().map(|group| {
            let found = broker
                .groups
                .coordinator(&group)
                .and_then(|coordinator| coordinator.describe(&group));
            let described = answer(version, &group, found);
            let allowed = if described.error_code == 0 {
                operations
            } else {
                NOT_ASKED
            };
            described
                .with_group_id(group)
                .with_authorized_operations(allowed)
        });
        std::future::ready(DescribeGroupsResponse::default().with_groups(groups.collect()))
    }
}

fn answer(version: i16, group: &GroupId, found: Result<Description, GroupError>) -> DescribedGroup {
    let answer = DescribedGroup::default();
    match found {
        Ok(found) => answer
            .with_group_state(wire(found.state))
            .with_protocol_type(wire(&found.protocol_type))
            .with_protocol_data(wire(&found.protocol))
            .with_members(found.members.iter().map(member).collect()),
        Err(GroupError::GroupNotFound) if version < 6 => answer.with_group_state(wire(DEAD)),
        Err(error @ GroupError::GroupNotFound) => answer
            .with_group_state(wire(DEAD))
            .with_error_code(code(error))
            .with_error_message(Some(wire(&format!("Group {} not found.", group.as_str())))),
        Err(error) => answer.with_error_code(code(error)),
    }
}

fn member(member: &DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(wire(&member.id))
        .with_group_instance_id(wire_nullable(member.instance_id.as_ref()))
        .with_client_id(wire(&member.client_id))
        .with_client_host(wire(&member.client_host))
        .with_member_metadata(member.metadata.clone())
        .with_member_assignment(member.assignment.clone())
}
