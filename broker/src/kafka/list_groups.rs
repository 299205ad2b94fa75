//! ListGroups (key 16), versions 0–5: the groups that this broker coordinates.
//! v3 flexible · v4 state, filter by state · v5 type, filter by type

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ApiKey, GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::group_wire::{code, wire};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;
use crate::groups::coordinator::Listed;

/// The type of every group here.
const CLASSIC: &str = "classic";

pub struct ListGroups;

impl Api for ListGroups {
    type Request = ListGroupsRequest;
    type Response = ListGroupsResponse;
    const KEY: ApiKey = ApiKey::ListGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: ListGroupsRequest,
    ) -> impl Future<Output = ListGroupsResponse> + Send + 'static {
        let response = match find(broker, &request) {
            Ok(groups) => {
                ListGroupsResponse::default().with_groups(groups.into_iter().map(listed).collect())
            }
            Err(error) => ListGroupsResponse::default().with_error_code(code(error)),
        };
        std::future::ready(response)
    }
}

fn find(broker: &Broker, request: &ListGroupsRequest) -> Result<Vec<Listed>, GroupError> {
    if !any(&request.types_filter, CLASSIC) {
        return Ok(Vec::new());
    }
    let mut groups = Vec::new();
    for coordinator in broker.groups.all() {
        match coordinator.list() {
            Ok(listed) => groups.extend(listed),
            // Other brokers list theirs.
            Err(GroupError::NotCoordinator) => {}
            Err(error) => return Err(error),
        }
    }
    groups.retain(|group| any(&request.states_filter, group.state));
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(groups)
}

/// Whether a filter lets a value pass: one without words lets all, others do whatever the case of their letters.
fn any(filter: &[StrBytes], value: &str) -> bool {
    filter.is_empty()
        || filter
            .iter()
            .any(|word| word.trim().eq_ignore_ascii_case(value))
}

fn listed(group: Listed) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(GroupId(wire(&group.id)))
        .with_protocol_type(wire(&group.protocol_type))
        .with_group_state(wire(group.state))
        .with_group_type(wire(CLASSIC))
}
