use super::*;
use crate::kafka::delete_groups::DeleteGroups;
use crate::kafka::delete_topics::DeleteTopics;
use crate::kafka::offset_commit::OffsetCommit;
use crate::kafka::offset_delete::OffsetDelete;
use crate::kafka::offset_fetch::OffsetFetch;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteTopicsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest,
};

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OFFSET_METADATA_TOO_LARGE: i16 = 12;
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const GROUP_ID_NOT_FOUND: i16 = 69;
const GROUP_SUBSCRIBED_TO_TOPIC: i16 = 86;

type Commits<'a> = &'a [(&'a str, i32, i64)];

impl Rig {
    async fn commit(
        &self,
        version: i16,
        id: &str,
        member: &str,
        generation: i32,
        offsets: Commits<'_>,
    ) -> Vec<i16> {
        let topics = offsets.iter().map(|(name, index, offset)| {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(*index)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(if version >= 6 { 4 } else { -1 })
                .with_committed_metadata(Some(text("note")));
            OffsetCommitRequestTopic::default()
                .with_name(topic(name))
                .with_partitions(vec![partition])
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(group(id))
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(generation)
            .with_topics(topics.collect());
        let answer = self.ask::<OffsetCommit>(version, request).await;
        answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code)
            .collect()
    }

    /// Offset, leader epoch and metadata of a partition of `t`.
    async fn fetch(&self, id: &str, index: i32) -> (i64, i32, String) {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![index]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(group(id))
            .with_topics(Some(vec![topic]));
        let answer = self
            .ask::<OffsetFetch>(8, OffsetFetchRequest::default().with_groups(vec![asked]))
            .await;
        assert_eq!(answer.groups[0].error_code, 0);
        let partition = &answer.groups[0].topics[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        let metadata = partition.metadata.as_ref().expect("never null").to_string();
        (
            partition.committed_offset,
            partition.committed_leader_epoch,
            metadata,
        )
    }
}

fn nothing() -> (i64, i32, String) {
    (-1, -1, String::new())
}

#[tokio::test]
async fn what_was_committed_is_fetched_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    assert_eq!(rig.fetch("g", 0).await, nothing());
    assert_eq!(
        rig.commit(8, "g", "", -1, &[("t", 0, 7), ("t", 1, 9)])
            .await,
        [0, 0]
    );
    assert_eq!(
        rig.commit(8, "g", "", -1, &[("t", 0, 5)]).await,
        [0],
        "backwards when somebody says so"
    );
    assert_eq!(rig.fetch("g", 0).await, (5, 4, "note".to_owned()));
    rig.node.shutdown().await;

    let rig = Rig::bare(dir.path()).await;
    assert_eq!(rig.fetch("g", 0).await, (5, 4, "note".to_owned()));
    assert_eq!(rig.fetch("g", 1).await, (9, 4, "note".to_owned()));
    assert_eq!(rig.fetch("g", 2).await, nothing());
    assert_eq!(rig.state("g").await, "Empty");
}

#[tokio::test]
async fn old_versions_fetch_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    assert_eq!(rig.commit(2, "g", "", -1, &[("t", 1, 9)]).await, [0]);
    for version in 1..=7 {
        let asked = OffsetFetchRequestTopic::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![1, 2]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group("g"))
            .with_topics(Some(vec![asked]));
        let answer = rig.ask::<OffsetFetch>(version, request.clone()).await;
        let offsets: Vec<i64> = answer.topics[0]
            .partitions
            .iter()
            .map(|p| p.committed_offset)
            .collect();
        assert_eq!(offsets, [9, -1], "version {version}");
        if version >= 2 {
            let all = rig
                .ask::<OffsetFetch>(version, request.with_topics(None))
                .await;
            assert_eq!((all.topics.len(), all.topics[0].partitions.len()), (1, 1));
        }
    }
}

#[tokio::test]
async fn commits_are_checked_against_group_topic_and_size() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    assert_eq!(
        rig.commit(8, "g", "m", 1, &[("t", 0, 1)]).await,
        [ILLEGAL_GENERATION]
    );
    assert_eq!(
        rig.commit(9, "g", "m", 1, &[("t", 0, 1)]).await,
        [GROUP_ID_NOT_FOUND]
    );
    let member = rig.stable("g").await;
    assert_eq!(rig.commit(9, "g", &member, 1, &[("t", 0, 1)]).await, [0]);
    assert_eq!(
        rig.commit(9, "g", &member, 0, &[("t", 0, 1)]).await,
        [ILLEGAL_GENERATION]
    );
    assert_eq!(
        rig.commit(9, "g", "", -1, &[("t", 0, 1)]).await,
        [UNKNOWN_MEMBER_ID]
    );
    let mixed = rig
        .commit(
            9,
            "g",
            &member,
            1,
            &[("t", 0, 2), ("t", 3, 1), ("none", 0, 1)],
        )
        .await;
    assert_eq!(
        mixed,
        [UNKNOWN_TOPIC_OR_PARTITION, 0, UNKNOWN_TOPIC_OR_PARTITION],
        "what is not there comes first"
    );

    let long = OffsetCommitRequestPartition::default()
        .with_committed_metadata(Some(text(&"x".repeat(4097))));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic("t"))
        .with_partitions(vec![long]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group("h"))
        .with_topics(vec![topic]);
    let answer = rig.ask::<OffsetCommit>(5, request).await;
    assert_eq!(
        answer.topics[0].partitions[0].error_code,
        OFFSET_METADATA_TOO_LARGE
    );
}

#[tokio::test]
async fn offsets_go_one_by_one_with_their_group_and_with_their_topic() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    let delete = |id: &str, index: i32| {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(index);
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(topic("t"))
            .with_partitions(vec![partition]);
        let request = OffsetDeleteRequest::default()
            .with_group_id(group(id))
            .with_topics(vec![topic]);
        rig.ask::<OffsetDelete>(0, request)
    };
    assert_eq!(delete("none", 0).await.error_code, GROUP_ID_NOT_FOUND);
    rig.stable("reads-t").await;
    let refused = delete("reads-t", 0).await;
    assert_eq!(
        refused.topics[0].partitions[0].error_code,
        GROUP_SUBSCRIBED_TO_TOPIC
    );
    assert_eq!(
        delete("reads-t", 9).await.topics[0].partitions[0].error_code,
        UNKNOWN_TOPIC_OR_PARTITION
    );

    rig.commit(8, "g", "", -1, &[("t", 0, 7), ("t", 1, 9)])
        .await;
    assert_eq!(delete("g", 0).await.topics[0].partitions[0].error_code, 0);
    assert_eq!(rig.fetch("g", 0).await, nothing());
    assert_eq!(rig.fetch("g", 1).await.0, 9);

    rig.commit(8, "h", "", -1, &[("t", 0, 7)]).await;
    let deleted = DeleteGroupsRequest::default().with_groups_names(vec![group("h")]);
    assert_eq!(
        rig.ask::<DeleteGroups>(2, deleted).await.results[0].error_code,
        0
    );
    assert_eq!(
        (rig.fetch("h", 0).await, &*rig.state("h").await),
        (nothing(), "Dead")
    );

    let gone = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic("t")])
        .with_timeout_ms(20_000);
    rig.ask::<DeleteTopics>(4, gone).await;
    let forgotten = async {
        while rig.fetch("g", 1).await != nothing() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, forgotten)
        .await
        .expect("the topic's offsets go with it");
}
