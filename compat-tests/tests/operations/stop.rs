//! SIGTERM ends the broker within a second, whoever waits.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use compat_tests::clock;
use compat_tests::weir::Weir;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequest;
use kafka_protocol::messages::{
    BrokerId, FetchRequest, GroupId, JoinGroupRequest, JoinGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::{Client, text, topic_name};

const TOPIC: &str = "quiet";
const A_LONG_TIME_MS: i32 = 120_000;

fn fetch() -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(topic_name(TOPIC))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(A_LONG_TIME_MS)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

fn join(group: &str, member: &StrBytes) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_session_timeout_ms(A_LONG_TIME_MS)
        .with_rebalance_timeout_ms(A_LONG_TIME_MS)
        .with_member_id(member.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// Joins as the only member.
fn found(client: &mut Client, group: &str) -> JoinGroupResponse {
    client.find_coordinator(group);
    let answer = client.ask(3, &join(group, &text("")));
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer
}

#[test]
fn long_polls_and_rebalances_end_at_once_when_the_broker_is_told_to_stop() {
    let mut weir = Weir::start().expect("weir starts");
    let mut reader = Client::open(weir.kafka);
    reader.create_topic(TOPIC, 1, &[]);
    let fetching = reader.send(4, &fetch());

    // A second member waits for the first one, which does not come back.
    let mut first = Client::open(weir.kafka);
    found(&mut first, "joining");
    let mut second = Client::open(weir.kafka);
    let joining = second.send(3, &join("joining", &text("")));

    // A follower waits for an assignment that its leader does not send.
    let mut leader = Client::open(weir.kafka);
    let leading = found(&mut leader, "syncing");
    let mut follower = Client::open(weir.kafka);
    let following = follower.send(3, &join("syncing", &text("")));
    clock::pause(Duration::from_millis(200));
    leader.ask(3, &join("syncing", &leading.member_id));
    let followed = follower.receive::<JoinGroupRequest>(3, following);
    assert_eq!(followed.error_code, 0, "{followed:?}");
    let sync = SyncGroupRequest::default()
        .with_group_id(GroupId(text("syncing")))
        .with_generation_id(followed.generation_id)
        .with_member_id(followed.member_id);
    let syncing = follower.send(2, &sync);
    clock::pause(Duration::from_millis(200));

    let before = clock::now_ms();
    weir.stop().expect("a clean stop");
    let took = clock::now_ms() - before;
    assert!(took < 1_000, "the stop took {took} ms");
    let fetched = reader.receive::<FetchRequest>(4, fetching);
    assert_eq!(fetched.responses[0].partitions[0].error_code, 0);
    let elsewhere = ResponseError::NotCoordinator.code();
    let joined = second.receive::<JoinGroupRequest>(3, joining);
    assert_eq!(joined.error_code, elsewhere);
    let synced = follower.receive::<SyncGroupRequest>(2, syncing);
    assert_eq!(synced.error_code, elsewhere);
}

#[test]
fn clients_that_never_finish_their_request_do_not_keep_the_broker_from_stopping() {
    let mut weir = Weir::start().expect("weir starts");
    let half = |address, bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.write_all(bytes).expect("sent");
        stream
    };
    let _unfinished = [
        half(weir.kafka, &[0, 0, 1, 0, 0, 3]),
        half(weir.http, b"GET /metrics HT"),
        half(
            weir.registry,
            b"POST /subjects/s/versions HTTP/1.1\r\nHost: weir\r\nContent-Length: 9\r\n\r\n{",
        ),
    ];
    clock::pause(Duration::from_millis(100));
    let before = clock::now_ms();
    weir.stop().expect("a clean stop");
    let took = clock::now_ms() - before;
    assert!(took < 4_000, "the stop took {took} ms");
}
