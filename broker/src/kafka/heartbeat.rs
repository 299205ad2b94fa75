//! Heartbeat (key 12), versions 0–4: a member keeps its session, and hears of a rebalance.
//! v3 static members · v4 flexible

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::{ApiKey, HeartbeatRequest, HeartbeatResponse};

use super::group_wire::{code_of, kept};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::answer::Claim;

pub struct Heartbeat;

impl Api for Heartbeat {
    type Request = HeartbeatRequest;
    type Response = HeartbeatResponse;
    const KEY: ApiKey = ApiKey::Heartbeat;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: HeartbeatRequest,
    ) -> impl Future<Output = HeartbeatResponse> + Send + 'static {
        let result = match beat(broker, &request) {
            // A coordinator that has just taken over does not know better than the member; it is asked again soon.
            Err(GroupError::Loading) => Ok(()),
            result => result,
        };
        std::future::ready(HeartbeatResponse::default().with_error_code(code_of(&result)))
    }
}

fn beat(broker: &Broker, request: &HeartbeatRequest) -> Result<(), GroupError> {
    if request.group_id.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let group = kept(&request.group_id);
    let claim = Claim {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    broker.groups.coordinator(&group)?.heartbeat(&group, &claim)
}
