//! DeleteGroups (key 42), versions 0–2: groups without members go, with their offsets.
//! v2 flexible

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{ApiKey, DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use super::group_wire::{code_of, kept};
use super::{Api, Session};
use crate::broker::Broker;
use crate::groups::GroupError;

pub struct DeleteGroups;

impl Api for DeleteGroups {
    type Request = DeleteGroupsRequest;
    type Response = DeleteGroupsResponse;
    const KEY: ApiKey = ApiKey::DeleteGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: DeleteGroupsRequest,
    ) -> impl Future<Output = DeleteGroupsResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            let mut seen = HashSet::new();
            let groups: Vec<GroupId> = request
                .groups_names
                .into_iter()
                .filter(|group| seen.insert(group.clone()))
                .collect();
            let results = delete(&broker, &groups).await;
            let results = groups.into_iter().zip(results).map(|(group, result)| {
                DeletableGroupResult::default()
                    .with_group_id(group)
                    .with_error_code(code_of(&result))
            });
            DeleteGroupsResponse::default().with_results(results.collect())
        }
    }
}

/// Deletes coordinator by coordinator; one result each, in the order of the groups.
async fn delete(broker: &Broker, groups: &[GroupId]) -> Vec<Result<(), GroupError>> {
    let mut results = vec![Err(GroupError::NotCoordinator); groups.len()];
    let mut by_partition: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        if let Some(partition) = broker.groups.partition_of(group) {
            by_partition.entry(partition.index).or_default().push(at);
        }
    }
    for places in by_partition.into_values() {
        let ids: Vec<Arc<str>> = places.iter().map(|at| kept(&groups[*at])).collect();
        for (at, result) in places.into_iter().zip(delete_some(broker, &ids).await) {
            results[at] = result;
        }
    }
    results
}

/// Deletes groups of one coordinator.
async fn delete_some(broker: &Broker, ids: &[Arc<str>]) -> Vec<Result<(), GroupError>> {
    let decided = broker
        .groups
        .coordinator(&ids[0])
        .and_then(|coordinator| coordinator.delete(ids));
    let deletion = match decided {
        Ok(deletion) => deletion,
        Err(error) => return vec![Err(error); ids.len()],
    };
    let decided = deletion.results.clone();
    match deletion.done().await {
        Ok(results) => results,
        Err(error) => decided
            .into_iter()
            .map(|result| result.and(Err(error)))
            .collect(),
    }
}
