//! Requests about a group's committed offsets.

use kafka_protocol::messages::{
    ApiKey, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, offset_commit_request,
    offset_delete_request, offset_fetch_request,
};

use super::layout::*;

pub const OFFSET_COMMIT: Request = Request {
    key: ApiKey::OffsetCommit,
    name: "OffsetCommit",
    first: 2,
    last: 9,
    flexible: 8,
    body: Layout::of::<OffsetCommitRequest>(&[
        field("group_id", STRING),
        field("generation_id", INT32),
        field("member_id", STRING),
        field("group_instance_id", STRING).since(7),
        field("retention_time_ms", INT64).until(4),
        field("topics", structs(&COMMIT_TOPIC)),
    ]),
};

const COMMIT_TOPIC: Layout = Layout::of::<offset_commit_request::OffsetCommitRequestTopic>(&[
    field("topic", STRING),
    field(
        "partitions",
        structs(&Layout::of::<
            offset_commit_request::OffsetCommitRequestPartition,
        >(&[
            field("partition", INT32),
            field("committed_offset", INT64),
            field("committed_leader_epoch", INT32).since(6),
            field("committed_metadata", STRING),
        ])),
    ),
]);

pub const OFFSET_FETCH: Request = Request {
    key: ApiKey::OffsetFetch,
    name: "OffsetFetch",
    first: 1,
    last: 9,
    flexible: 6,
    body: Layout::of::<OffsetFetchRequest>(&[
        field("group_id", STRING).until(7),
        field("topics", structs(&FETCH_TOPIC)).until(7),
        field("groups", structs(&FETCH_GROUP)).since(8),
        field("require_stable", BOOL).since(7),
    ]),
};

const FETCH_TOPIC: Layout = Layout::of::<offset_fetch_request::OffsetFetchRequestTopic>(&[
    field("topic", STRING),
    field("partitions", INT32S),
]);

const FETCH_GROUP: Layout = Layout::of::<offset_fetch_request::OffsetFetchRequestGroup>(&[
    field("group_id", STRING),
    field("member_id", STRING).since(9),
    field("member_epoch", INT32).since(9),
    field(
        "topics",
        structs(
            &Layout::of::<offset_fetch_request::OffsetFetchRequestTopics>(&[
                field("topic", STRING),
                field("partitions", INT32S),
            ]),
        ),
    ),
]);

pub const OFFSET_DELETE: Request = Request {
    key: ApiKey::OffsetDelete,
    name: "OffsetDelete",
    first: 0,
    last: 0,
    flexible: i16::MAX,
    body: Layout::of::<OffsetDeleteRequest>(&[
        field("group_id", STRING),
        field("topics", structs(&DELETE_TOPIC)),
    ]),
};

const DELETE_TOPIC: Layout = Layout::of::<offset_delete_request::OffsetDeleteRequestTopic>(&[
    field("topic", STRING),
    field(
        "partitions",
        structs(&Layout::of::<
            offset_delete_request::OffsetDeleteRequestPartition,
        >(&[field("partition", INT32)])),
    ),
]);
