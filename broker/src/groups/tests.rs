//! The group APIs on a node of one broker, with its log on disk.

mod consumers;
mod offsets;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::Broker;
use crate::kafka::create_topics::CreateTopics;
use crate::kafka::describe_groups::DescribeGroups;
use crate::kafka::find_coordinator::FindCoordinator;
use crate::kafka::heartbeat::Heartbeat;
use crate::kafka::join_group::JoinGroup;
use crate::kafka::sync_group::SyncGroup;
use crate::kafka::{Api, Session, testing};
use crate::node::Node;
use crate::options::Options;

/// Longer than anything takes that is going to happen.
const SOON: Duration = Duration::from_secs(20);

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(id: &str) -> GroupId {
    GroupId(text(id))
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

/// A broker with a topic `t` of three partitions.
struct Rig {
    node: Node,
    session: Arc<Session>,
}

impl Rig {
    /// Without its coordinator having been asked for.
    async fn bare(dir: &Path) -> Rig {
        let settings = [
            ("group.initial.rebalance.delay.ms", "0"),
            ("group.min.session.timeout.ms", "100"),
            ("offsets.topic.num.partitions", "4"),
        ];
        let any = || "127.0.0.1:0".to_owned();
        let options = Options {
            data_dir: dir.to_owned(),
            kafka_listen: any(),
            registry_listen: any(),
            http_listen: any(),
            wal_file_bytes: 4 << 20,
            settings: settings
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect::<BTreeMap<_, _>>(),
            ..Options::default()
        };
        let node = Node::start(options, &tokio::runtime::Handle::current())
            .await
            .expect("the node starts");
        Rig {
            node,
            session: Arc::new(testing::session()),
        }
    }

    async fn start(dir: &Path) -> Rig {
        let rig = Rig::bare(dir).await;
        let t = CreatableTopic::default()
            .with_name(topic("t"))
            .with_num_partitions(3)
            .with_replication_factor(1);
        rig.ask::<CreateTopics>(
            7,
            CreateTopicsRequest::default()
                .with_topics(vec![t])
                .with_timeout_ms(20_000),
        )
        .await;
        assert_eq!(rig.find("g").await, 0);
        rig
    }

    fn broker(&self) -> &Arc<Broker> {
        &self.node.broker
    }

    async fn ask<A: Api>(&self, version: i16, request: A::Request) -> A::Response {
        let answer = A::handle(self.broker(), &self.session, version, request);
        tokio::time::timeout(SOON, answer)
            .await
            .expect("the request is answered")
    }

    async fn find(&self, id: &str) -> i16 {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(id)]);
        self.ask::<FindCoordinator>(4, request).await.coordinators[0].error_code
    }

    fn join(
        &self,
        id: &str,
        member: &str,
    ) -> impl Future<Output = JoinGroupResponse> + Send + 'static {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"));
        let request = JoinGroupRequest::default()
            .with_group_id(group(id))
            .with_member_id(text(member))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        // Version 3 needs no id to join with.
        JoinGroup::handle(self.broker(), &self.session, 3, request)
    }

    fn sync(
        &self,
        id: &str,
        member: &str,
        generation: i32,
        parts: &[&str],
    ) -> impl Future<Output = SyncGroupResponse> {
        let part = |member: &&str| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(Bytes::from(format!("for {member}")))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(group(id))
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_assignments(parts.iter().map(part).collect());
        SyncGroup::handle(self.broker(), &self.session, 3, request)
    }

    async fn heartbeat(&self, id: &str, member: &str, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group(id))
            .with_member_id(text(member))
            .with_generation_id(generation);
        self.ask::<Heartbeat>(3, request).await.error_code
    }

    async fn state(&self, id: &str) -> String {
        let request = DescribeGroupsRequest::default().with_groups(vec![group(id)]);
        self.ask::<DescribeGroups>(5, request).await.groups[0]
            .group_state
            .to_string()
    }

    /// A group with one member that is stable; its member id.
    async fn stable(&self, id: &str) -> String {
        let joined = self.join(id, "").await;
        assert_eq!((joined.error_code, joined.generation_id), (0, 1));
        let member = joined.member_id.to_string();
        assert_eq!(self.sync(id, &member, 1, &[&member]).await.error_code, 0);
        member
    }
}
