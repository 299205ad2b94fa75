//! Requests that create, grow, trim and delete topics.

use kafka_protocol::messages::{
    ApiKey, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, create_partitions_request, create_topics_request, delete_records_request,
    delete_topics_request,
};

use super::layout::*;

pub const CREATE_TOPICS: Request = Request {
    key: ApiKey::CreateTopics,
    name: "CreateTopics",
    first: 2,
    last: 7,
    flexible: 5,
    body: Layout::of::<CreateTopicsRequest>(&[
        field("topics", structs(&CREATABLE_TOPIC)),
        field("timeout_ms", INT32),
        field("validate_only", BOOL),
    ]),
};

const CREATABLE_TOPIC: Layout = Layout::of::<create_topics_request::CreatableTopic>(&[
    field("name", STRING),
    field("num_partitions", INT32),
    field("replication_factor", INT16),
    field(
        "assignments",
        structs(&Layout::of::<
            create_topics_request::CreatableReplicaAssignment,
        >(&[
            field("partition", INT32),
            field("broker_ids", INT32S),
        ])),
    ),
    field(
        "configs",
        structs(&Layout::of::<create_topics_request::CreatableTopicConfig>(
            &[field("name", STRING), field("value", STRING)],
        )),
    ),
]);

pub const DELETE_TOPICS: Request = Request {
    key: ApiKey::DeleteTopics,
    name: "DeleteTopics",
    first: 1,
    last: 6,
    flexible: 4,
    body: Layout::of::<DeleteTopicsRequest>(&[
        field(
            "topics",
            structs(&Layout::of::<delete_topics_request::DeleteTopicState>(&[
                field("name", STRING),
                field("topic_id", UUID),
            ])),
        )
        .since(6),
        field("topic_names", STRINGS).until(5),
        field("timeout_ms", INT32),
    ]),
};

pub const DELETE_RECORDS: Request = Request {
    key: ApiKey::DeleteRecords,
    name: "DeleteRecords",
    first: 0,
    last: 2,
    flexible: 2,
    body: Layout::of::<DeleteRecordsRequest>(&[
        field("topics", structs(&DELETE_RECORDS_TOPIC)),
        field("timeout_ms", INT32),
    ]),
};

const DELETE_RECORDS_TOPIC: Layout = Layout::of::<delete_records_request::DeleteRecordsTopic>(&[
    field("topic", STRING),
    field(
        "partitions",
        structs(
            &Layout::of::<delete_records_request::DeleteRecordsPartition>(&[
                field("partition", INT32),
                field("offset", INT64),
            ]),
        ),
    ),
]);

pub const CREATE_PARTITIONS: Request = Request {
    key: ApiKey::CreatePartitions,
    name: "CreatePartitions",
    first: 0,
    last: 3,
    flexible: 2,
    body: Layout::of::<CreatePartitionsRequest>(&[
        field("topics", structs(&GROWN_TOPIC)),
        field("timeout_ms", INT32),
        field("validate_only", BOOL),
    ]),
};

const GROWN_TOPIC: Layout = Layout::of::<create_partitions_request::CreatePartitionsTopic>(&[
    field("name", STRING),
    field("count", INT32),
    field(
        "assignments",
        structs(&Layout::of::<
            create_partitions_request::CreatePartitionsAssignment,
        >(&[field("broker_ids", INT32S)])),
    ),
]);
