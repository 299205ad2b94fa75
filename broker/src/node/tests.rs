//! A node over restarts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use serde_json::{Value, json};

use super::Node;
use crate::kafka::find_coordinator::FindCoordinator;
use crate::kafka::offset_commit::OffsetCommit;
use crate::kafka::offset_fetch::OffsetFetch;
use crate::kafka::{Api, Session, testing};
use crate::options::Options;

const SOON: Duration = Duration::from_secs(20);
const TABLE: &str = "rows";

struct Rig {
    node: Node,
    session: Arc<Session>,
    http: reqwest::Client,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn schema(number: i64) -> String {
    json!({"type": "fixed", "name": "F", "size": number + 1}).to_string()
}

impl Rig {
    async fn start(dir: &Path) -> Rig {
        let any = || "127.0.0.1:0".to_owned();
        let options = Options {
            data_dir: dir.to_owned(),
            kafka_listen: any(),
            registry_listen: any(),
            http_listen: any(),
            wal_file_bytes: 1 << 20,
            settings: [("offsets.topic.num.partitions".to_owned(), "4".to_owned())].into(),
            ..Options::default()
        };
        let node = Node::start(options, &tokio::runtime::Handle::current()).await;
        Rig {
            node: node.expect("the node starts"),
            session: Arc::new(testing::session()),
            http: reqwest::Client::new(),
        }
    }

    async fn ask<A: Api>(&self, version: i16, request: A::Request) -> A::Response {
        let answer = A::handle(&self.node.broker, &self.session, version, request);
        let answer = tokio::time::timeout(SOON, answer).await;
        answer.expect("the request is answered")
    }

    async fn find_coordinator(&self, group: &str) {
        let request = FindCoordinatorRequest::default().with_key(text(group));
        let finding = async {
            while self
                .ask::<FindCoordinator>(1, request.clone())
                .await
                .error_code
                != 0
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(SOON, finding).await;
        found.expect("there is a coordinator");
    }

    async fn commit(&self, group: &str, offset: i64) {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(TABLE)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(vec![topic]);
        let answer = self.ask::<OffsetCommit>(2, request).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }

    async fn committed(&self, group: &str) -> i64 {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(TopicName(text(TABLE)))
            .with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(Some(vec![topic]));
        let answer = self.ask::<OffsetFetch>(1, request).await;
        answer.topics[0].partitions[0].committed_offset
    }

    /// Asks the registry; the answer must be good.
    async fn registry(&self, post: Option<Value>, path: &str) -> Value {
        let url = format!("http://{}{path}", self.node.addresses.registry[0]);
        let request = match post {
            Some(body) => self.http.post(url).json(&body),
            None => self.http.get(url),
        };
        good(request).await
    }

    async fn tables(&self, put: Option<Value>, path: &str) -> Value {
        let url = format!("http://{}/v1/tables/{path}", self.node.addresses.http[0]);
        let request = match put {
            Some(body) => self.http.put(url).json(&body),
            None => self.http.get(url),
        };
        good(request).await
    }

    /// A commit, a schema and rows, all of this number.
    async fn write(&self, number: i64) {
        self.commit(&format!("group-{}", number % 5), number).await;
        let subject = format!("/subjects/subject-{number}/versions");
        let body = json!({"schema": schema(number)});
        self.registry(Some(body), &subject).await;
        let row = json!({"value": number.to_string()});
        self.tables(Some(row), &format!("{TABLE}/rows/key-{}", number % 7))
            .await;
    }

    /// What [`Rig::write`] left when `last` was the last number.
    async fn check(&self, last: i64) {
        for number in 0..=last {
            let subject = format!("/subjects/subject-{number}/versions/1");
            let found = self.registry(None, &subject).await;
            let found: Value =
                serde_json::from_str(found["schema"].as_str().expect("a schema")).expect("JSON");
            let sent: Value = serde_json::from_str(&schema(number)).expect("JSON");
            assert_eq!(found, sent);
        }
        for number in last - 4..=last {
            let group = format!("group-{}", number % 5);
            assert_eq!(self.committed(&group).await, number, "{group}");
        }
        for number in last - 6..=last {
            let path = format!("{TABLE}/rows/key-{}", number % 7);
            let row = self.tables(None, &path).await;
            assert_eq!(row["value"], json!(number.to_string()), "{path}");
        }
    }

    /// Snapshots every shard and forgets the entries that are in it.
    async fn purge(&self) {
        for shard in self.node.broker.shards.all().iter() {
            let upto = shard.raft().snapshot().await.expect("a snapshot");
            let upto = upto.expect("it is not empty");
            shard.raft().purge(upto).await.expect("purged");
        }
    }
}

async fn good(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let body = answer.text().await.expect("a body");
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_schemas_and_rows_are_there_after_a_restart_from_snapshots() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut next = 0;
    for round in 0..3 {
        let rig = Rig::start(dir.path()).await;
        if round == 0 {
            let settings = json!({"table.value.format": "string"});
            let table = json!({"partitions": 3, "settings": settings});
            rig.tables(Some(table), TABLE).await;
        } else {
            rig.check(next - 1).await;
        }
        rig.find_coordinator("group-0").await;
        for number in next..next + 30 {
            rig.write(number).await;
        }
        rig.purge().await;
        // Some of it is in the snapshots, some comes after them.
        for number in next + 30..next + 40 {
            rig.write(number).await;
        }
        next += 40;
        rig.node.shutdown().await;
    }
    let rig = Rig::start(dir.path()).await;
    rig.check(next - 1).await;
    rig.node.shutdown().await;
}
