//! LeaveGroup (key 13), versions 0–5: members leave, or an administrator removes them.
//! v3 several members, by member or instance id · v4 flexible · v5 reason

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{ApiKey, LeaveGroupRequest, LeaveGroupResponse};

use super::group_wire::{code, code_of, kept, kept_nullable};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::answer::Leaving;

pub struct LeaveGroup;

impl Api for LeaveGroup {
    type Request = LeaveGroupRequest;
    type Response = LeaveGroupResponse;
    const KEY: ApiKey = ApiKey::LeaveGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        mut request: LeaveGroupRequest,
    ) -> impl Future<Output = LeaveGroupResponse> + Send + 'static {
        if version < 3 {
            request.members = vec![
                MemberIdentity::default().with_member_id(std::mem::take(&mut request.member_id)),
            ];
        }
        let left = leave(broker, &request);
        std::future::ready(answer(version, request.members, left))
    }
}

fn leave(
    broker: &Broker,
    request: &LeaveGroupRequest,
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    if request.group_id.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let leaving: Vec<Leaving> = request
        .members
        .iter()
        .map(|member| Leaving {
            member_id: kept(&member.member_id),
            instance_id: kept_nullable(member.group_instance_id.as_ref()),
        })
        .collect();
    let group = kept(&request.group_id);
    broker.groups.coordinator(&group)?.leave(&group, &leaving)
}

fn answer(
    version: i16,
    members: Vec<MemberIdentity>,
    left: Result<Vec<Result<(), GroupError>>, GroupError>,
) -> LeaveGroupResponse {
    let results = match left {
        Ok(results) => results,
        Err(error) => return LeaveGroupResponse::default().with_error_code(code(error)),
    };
    if version < 3 {
        return LeaveGroupResponse::default().with_error_code(code_of(&results[0]));
    }
    let members = members.into_iter().zip(&results).map(|(member, result)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code_of(result))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
