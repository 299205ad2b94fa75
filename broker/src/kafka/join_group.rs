//! JoinGroup (key 11), versions 0–9: a member joins its group and waits for the next generation.
//! v1 rebalance timeout · v4 members are told their id first (KIP-394) · v5 static members · v6 flexible ·
//! v7 protocol type · v8 reason · v9 a leader may be told to skip the assignment (KIP-814)

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{ApiKey, JoinGroupRequest, JoinGroupResponse};

use super::group_wire::{code, java_address, kept, kept_bytes, kept_nullable, wire, wire_nullable};
use super::patience::unless_stopping;
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::answer::{JoinAnswer, JoinRequest};
use crate::groups::coordinator::Waiting;
use crate::groups::member::Protocol;

pub struct JoinGroup;

impl Api for JoinGroup {
    type Request = JoinGroupRequest;
    type Response = JoinGroupResponse;
    const KEY: ApiKey = ApiKey::JoinGroup;
    const VERSIONS: RangeInclusive<i16> = 0..=9;

    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        version: i16,
        request: JoinGroupRequest,
    ) -> impl Future<Output = JoinGroupResponse> + Send + 'static {
        let started = start(broker, session, version, &request);
        let stopping = broker.stopping.clone();
        async move {
            let answered = match started {
                Ok(waiting) => unless_stopping(&stopping, waiting).await,
                Err(refused) => Some(refused),
            };
            let gone = || JoinAnswer::refused(GroupError::NotCoordinator, "");
            answer(version, answered.unwrap_or_else(gone))
        }
    }
}

/// The ordered stage: the member is in its group, or refused, when this returns.
fn start(
    broker: &Broker,
    session: &Session,
    version: i16,
    request: &JoinGroupRequest,
) -> Result<Waiting<JoinAnswer>, JoinAnswer> {
    let groups = &broker.groups;
    let settings = groups.settings();
    let own = |error| JoinAnswer::refused(error, &request.member_id);
    let timeouts = settings.min_session_timeout_ms..=settings.max_session_timeout_ms;
    if request.group_id.is_empty() {
        return Err(own(GroupError::InvalidGroupId));
    }
    if !timeouts.contains(&request.session_timeout_ms) {
        return Err(own(GroupError::InvalidSessionTimeout));
    }
    let group = kept(&request.group_id);
    let asked = join_request(broker, session, version, request);
    let joined = groups
        .coordinator(&group)
        .and_then(|coordinator| coordinator.join(&group, asked));
    joined.map_err(|error| match error {
        GroupError::UnknownMember => own(error),
        error => JoinAnswer::refused(error, ""),
    })
}

fn join_request(
    broker: &Broker,
    session: &Session,
    version: i16,
    request: &JoinGroupRequest,
) -> JoinRequest {
    let client_id = session.client_id();
    let instance_id = kept_nullable(request.group_instance_id.as_ref());
    JoinRequest {
        member_id: kept(&request.member_id),
        fresh_id: broker
            .groups
            .member_id(instance_id.as_deref().unwrap_or(&client_id)),
        instance_id,
        client_id,
        client_host: java_address(session.peer().ip()).into(),
        session_timeout_ms: request.session_timeout_ms,
        // Before there was a rebalance timeout, the session timeout stood for it.
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: kept(&request.protocol_type),
        protocols: protocols(&request.protocols),
        needs_known_id: version >= 4,
        may_skip_assignment: version >= 9,
    }
}

/// The first of each name.
fn protocols(given: &[JoinGroupRequestProtocol]) -> Vec<Protocol> {
    let mut seen = HashSet::new();
    let first = given.iter().filter(|protocol| seen.insert(&protocol.name));
    first
        .map(|p| Protocol {
            name: kept(&p.name),
            metadata: kept_bytes(&p.metadata),
        })
        .collect()
}

fn answer(version: i16, answer: JoinAnswer) -> JoinGroupResponse {
    let protocol = answer.protocol.filter(|protocol| !protocol.is_empty());
    let members = answer.members.iter().map(|member| {
        JoinGroupResponseMember::default()
            .with_member_id(wire(&member.id))
            .with_group_instance_id(wire_nullable(member.instance_id.as_ref()))
            .with_metadata(member.metadata.clone())
    });
    JoinGroupResponse::default()
        .with_error_code(answer.error.map_or(0, code))
        .with_generation_id(answer.generation)
        .with_protocol_type(wire_nullable(answer.protocol_type.as_ref()))
        // Null where the version has it, empty where not.
        .with_protocol_name(match (protocol, version) {
            (None, 7..) => None,
            (None, _) => Some(wire("")),
            (Some(protocol), _) => Some(wire(&protocol)),
        })
        .with_leader(wire(&answer.leader))
        .with_skip_assignment(answer.skip_assignment)
        .with_member_id(wire(&answer.member_id))
        .with_members(members.collect())
}
