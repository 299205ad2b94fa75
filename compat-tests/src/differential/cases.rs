//! The cases: one file per API, each case at every version that it names.

use std::sync::Arc;

use anyhow::Result;

use super::trial::Trial;

mod api_versions;
mod common;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_topics;
mod describe_cluster;
mod describe_groups;
mod fetch;
mod find_coordinator;
mod frames;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leader_epoch;
mod leave_group;
mod list_offsets;
mod members;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod produce;
mod quorum;
mod reassign;
mod sync_group;

/// What a case does with a broker at one version.
pub type Play = Arc<dyn Fn(&mut Trial, i16) -> Result<()> + Send + Sync>;

/// One question at one version of an API.
#[derive(Clone)]
pub struct Case {
    pub api: &'static str,
    pub name: String,
    pub version: i16,
    pub play: Play,
}

impl Case {
    /// The name in the record, in differences and on the command line.
    pub fn full_name(&self) -> String {
        format!("{}/{}/v{}", self.api, self.name, self.version)
    }

    /// What follows the run's own mark in the topics and groups that the case makes: legal in a topic name.
    pub fn slug(&self) -> String {
        let legal = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        self.full_name().chars().map(legal).collect()
    }
}

/// The cases of one API while they are listed.
pub struct Cases {
    api: &'static str,
    list: Vec<Case>,
}

impl Cases {
    /// Adds a case at each of the versions.
    pub fn each(
        &mut self,
        name: impl Into<String>,
        versions: impl IntoIterator<Item = i16>,
        play: impl Fn(&mut Trial, i16) -> Result<()> + Send + Sync + 'static,
    ) {
        let (name, play): (String, Play) = (name.into(), Arc::new(play));
        for version in versions {
            self.list.push(Case {
                api: self.api,
                name: name.clone(),
                version,
                play: play.clone(),
            });
        }
    }
}

/// Lists the cases of one API.
type Lister = fn(&mut Cases);

/// The APIs and who lists their cases.
const APIS: &[(&str, Lister)] = &[
    ("ApiVersions", api_versions::cases),
    ("Frames", frames::cases),
    ("Metadata", metadata::cases),
    ("Produce", produce::cases),
    ("Fetch", fetch::cases),
    ("ListOffsets", list_offsets::cases),
    ("OffsetForLeaderEpoch", leader_epoch::cases),
    ("InitProducerId", init_producer_id::cases),
    ("FindCoordinator", find_coordinator::cases),
    ("JoinGroup", join_group::cases),
    ("SyncGroup", sync_group::cases),
    ("Heartbeat", heartbeat::cases),
    ("LeaveGroup", leave_group::cases),
    ("OffsetCommit", offset_commit::cases),
    ("OffsetFetch", offset_fetch::cases),
    ("OffsetDelete", delete_groups::offset_cases),
    ("DescribeGroups", describe_groups::cases),
    ("ListGroups", describe_groups::list_cases),
    ("DeleteGroups", delete_groups::cases),
    ("CreateTopics", create_topics::cases),
    ("DeleteTopics", delete_topics::cases),
    ("DeleteRecords", delete_topics::record_cases),
    ("CreatePartitions", create_partitions::cases),
    ("DescribeCluster", describe_cluster::cases),
    ("DescribeTopicPartitions", describe_cluster::partition_cases),
    ("DescribeLogDirs", describe_cluster::log_dir_cases),
    ("DescribeQuorum", quorum::cases),
    ("ElectLeaders", quorum::election_cases),
    ("AlterPartitionReassignments", reassign::cases),
    ("ListPartitionReassignments", reassign::list_cases),
    ("UnregisterBroker", reassign::unregister_cases),
    ("DescribeConfigs", configs::describe_cases),
    ("AlterConfigs", configs::alter_cases),
    ("IncrementalAlterConfigs", configs::incremental_cases),
];

/// Every case, API by API.
pub fn all() -> Vec<Case> {
    let listed = APIS.iter().flat_map(|(api, list)| {
        let mut cases = Cases {
            api,
            list: Vec::new(),
        };
        list(&mut cases);
        cases.list
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_and_a_prefix_of_its_own() {
        let cases = all();
        let names: HashSet<String> = cases.iter().map(Case::full_name).collect();
        let slugs: HashSet<String> = cases.iter().map(Case::slug).collect();
        assert_eq!((names.len(), slugs.len()), (cases.len(), cases.len()));
        assert!(
            slugs.iter().all(|slug| slug.len() < 200),
            "a topic name has 249 characters"
        );
    }
}
