//! SyncGroup (key 14), versions 0–5: the leader brings the assignment, every member gets its part.
//! v3 static members · v4 flexible · v5 protocol type and name, so that a member notices a mix-up (KIP-559)

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::{ApiKey, SyncGroupRequest, SyncGroupResponse};

use super::group_wire::{code, kept, kept_bytes, kept_nullable, wire_nullable};
use super::patience::unless_stopping;
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::answer::{SyncAnswer, SyncRequest};
use crate::groups::coordinator::Waiting;

pub struct SyncGroup;

impl Api for SyncGroup {
    type Request = SyncGroupRequest;
    type Response = SyncGroupResponse;
    const KEY: ApiKey = ApiKey::SyncGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: SyncGroupRequest,
    ) -> impl Future<Output = SyncGroupResponse> + Send + 'static {
        let started = start(broker, version, &request);
        let stopping = broker.stopping.clone();
        async move {
            let answered = match started {
                Ok(waiting) => unless_stopping(&stopping, waiting)
                    .await
                    .ok_or(GroupError::NotCoordinator),
                Err(error) => Err(error),
            };
            answer(answered.unwrap_or_else(SyncAnswer::refused))
        }
    }
}

fn start(
    broker: &Broker,
    version: i16,
    request: &SyncGroupRequest,
) -> Result<Waiting<SyncAnswer>, GroupError> {
    if version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Err(GroupError::InconsistentProtocol);
    }
    if request.group_id.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let assignments = request
        .assignments
        .iter()
        .map(|one| (kept(&one.member_id), kept_bytes(&one.assignment)));
    let asked = SyncRequest {
        member_id: kept(&request.member_id),
        instance_id: kept_nullable(request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: kept_nullable(request.protocol_type.as_ref()),
        protocol: kept_nullable(request.protocol_name.as_ref()),
        assignments: assignments.collect(),
    };
    let group = kept(&request.group_id);
    broker.groups.coordinator(&group)?.sync(&group, asked)
}

fn answer(answer: SyncAnswer) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_error_code(answer.error.map_or(0, code))
        .with_protocol_type(wire_nullable(answer.protocol_type.as_ref()))
        .with_protocol_name(wire_nullable(answer.protocol.as_ref()))
        .with_assignment(answer.assignment)
}
