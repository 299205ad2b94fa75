//! Requests of producers and of readers of partitions.

use kafka_protocol::messages::{
    ApiKey, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
    ProduceRequest, fetch_request, list_offsets_request, offset_for_leader_epoch_request,
    produce_request,
};

use super::layout::*;

pub const PRODUCE: Request = Request {
    key: ApiKey::Produce,
    name: "Produce",
    first: 3,
    last: 13,
    flexible: 9,
    body: Layout::of::<ProduceRequest>(&[
        field("transactional_id", STRING),
        field("acks", INT16),
        field("timeout_ms", INT32),
        field("topics", structs(&PRODUCE_TOPIC)),
    ]),
};

const PRODUCE_TOPIC: Layout = Layout::of::<produce_request::TopicProduceData>(&[
    field("topic", STRING).until(12),
    field("topic_id", UUID).since(13),
    field(
        "partitions",
        structs(&Layout::of::<produce_request::PartitionProduceData>(&[
            field("partition", INT32),
            field("records", BYTES),
        ])),
    ),
]);

pub const FETCH: Request = Request {
    key: ApiKey::Fetch,
    name: "Fetch",
    first: 4,
    last: 17,
    flexible: 12,
    body: Layout::of::<FetchRequest>(&[
        field("replica_id", INT32).until(14),
        field("max_wait_ms", INT32),
        field("min_bytes", INT32),
        field("max_bytes", INT32),
        field("isolation_level", INT8),
        field("session_id", INT32).since(7),
        field("session_epoch", INT32).since(7),
        field("topics", structs(&FETCH_TOPIC)),
        field("forgotten_topics", structs(&FORGOTTEN_TOPIC)).since(7),
        field("rack_id", STRING).since(11),
    ])
    .tagged(&[
        tagged(0, field("cluster_id", STRING).since(12)),
        tagged(
            1,
            field("replica_state", Shape::Struct(&REPLICA_STATE)).since(15),
        ),
    ]),
};

const FETCH_TOPIC: Layout = Layout::of::<fetch_request::FetchTopic>(&[
    field("topic", STRING).until(12),
    field("topic_id", UUID).since(13),
    field("partitions", structs(&FETCH_PARTITION)),
]);

const FETCH_PARTITION: Layout = Layout::of::<fetch_request::FetchPartition>(&[
    field("partition", INT32),
    field("current_leader_epoch", INT32).since(9),
    field("fetch_offset", INT64),
    field("last_fetched_epoch", INT32).since(12),
    field("log_start_offset", INT64).since(5),
    field("partition_max_bytes", INT32),
])
.tagged(&[tagged(0, field("replica_directory_id", UUID).since(17))]);

const FORGOTTEN_TOPIC: Layout = Layout::of::<fetch_request::ForgottenTopic>(&[
    field("topic", STRING).until(12),
    field("topic_id", UUID).since(13),
    field("partitions", INT32S),
]);

const REPLICA_STATE: Layout = Layout::of::<fetch_request::ReplicaState>(&[
    field("replica_id", INT32),
    field("replica_epoch", INT64),
]);

pub const LIST_OFFSETS: Request = Request {
    key: ApiKey::ListOffsets,
    name: "ListOffsets",
    first: 1,
    last: 10,
    flexible: 6,
    body: Layout::of::<ListOffsetsRequest>(&[
        field("replica_id", INT32),
        field("isolation_level", INT8).since(2),
        field("topics", structs(&LIST_OFFSETS_TOPIC)),
        field("timeout_ms", INT32).since(10),
    ]),
};

const LIST_OFFSETS_TOPIC: Layout = Layout::of::<list_offsets_request::ListOffsetsTopic>(&[
    field("topic", STRING),
    field(
        "partitions",
        structs(&Layout::of::<list_offsets_request::ListOffsetsPartition>(
            &[
                field("partition", INT32),
                field("current_leader_epoch", INT32).since(4),
                field("timestamp", INT64),
            ],
        )),
    ),
]);

pub const INIT_PRODUCER_ID: Request = Request {
    key: ApiKey::InitProducerId,
    name: "InitProducerId",
    first: 0,
    last: 5,
    flexible: 2,
    body: Layout::of::<InitProducerIdRequest>(&[
        field("transactional_id", STRING),
        field("transaction_timeout_ms", INT32),
        field("producer_id", INT64).since(3),
        field("producer_epoch", INT16).since(3),
    ]),
};

pub const OFFSET_FOR_LEADER_EPOCH: Request = Request {
    key: ApiKey::OffsetForLeaderEpoch,
    name: "OffsetForLeaderEpoch",
    first: 2,
    last: 4,
    flexible: 4,
    body: Layout::of::<OffsetForLeaderEpochRequest>(&[
        field("replica_id", INT32).since(3),
        field("topics", structs(&LEADER_EPOCH_TOPIC)),
    ]),
};

const LEADER_EPOCH_TOPIC: Layout =
    Layout::of::<offset_for_leader_epoch_request::OffsetForLeaderTopic>(&[
        field("topic", STRING),
        field(
            "partitions",
            structs(&Layout::of::<
                offset_for_leader_epoch_request::OffsetForLeaderPartition,
            >(&[
                field("partition", INT32),
                field("current_leader_epoch", INT32),
                field("leader_epoch", INT32),
            ])),
        ),
    ]);
