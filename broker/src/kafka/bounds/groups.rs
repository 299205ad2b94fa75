//! Requests about groups and their members.

use kafka_protocol::messages::{
    ApiKey, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, SyncGroupRequest, join_group_request,
    leave_group_request, sync_group_request,
};

use super::layout::*;

pub const FIND_COORDINATOR: Request = Request {
    key: ApiKey::FindCoordinator,
    name: "FindCoordinator",
    first: 0,
    last: 6,
    flexible: 3,
    body: Layout::of::<FindCoordinatorRequest>(&[
        field("key", STRING).until(3),
        field("key_type", INT8).since(1),
        field("coordinator_keys", STRINGS).since(4),
    ]),
};

pub const JOIN_GROUP: Request = Request {
    key: ApiKey::JoinGroup,
    name: "JoinGroup",
    first: 0,
    last: 9,
    flexible: 6,
    body: Layout::of::<JoinGroupRequest>(&[
        field("group_id", STRING),
        field("session_timeout_ms", INT32),
        field("rebalance_timeout_ms", INT32).since(1),
        field("member_id", STRING),
        field("group_instance_id", STRING).since(5),
        field("protocol_type", STRING),
        field(
            "protocols",
            structs(&Layout::of::<join_group_request::JoinGroupRequestProtocol>(
                &[field("name", STRING), field("metadata", BYTES)],
            )),
        ),
        field("reason", STRING).since(8),
    ]),
};

pub const HEARTBEAT: Request = Request {
    key: ApiKey::Heartbeat,
    name: "Heartbeat",
    first: 0,
    last: 4,
    flexible: 4,
    body: Layout::of::<HeartbeatRequest>(&[
        field("group_id", STRING),
        field("generation_id", INT32),
        field("member_id", STRING),
        field("group_instance_id", STRING).since(3),
    ]),
};

pub const LEAVE_GROUP: Request = Request {
    key: ApiKey::LeaveGroup,
    name: "LeaveGroup",
    first: 0,
    last: 5,
    flexible: 4,
    body: Layout::of::<LeaveGroupRequest>(&[
        field("group_id", STRING),
        field("member_id", STRING).until(2),
        field(
            "members",
            structs(&Layout::of::<leave_group_request::MemberIdentity>(&[
                field("member_id", STRING),
                field("group_instance_id", STRING),
                field("reason", STRING).since(5),
            ])),
        )
        .since(3),
    ]),
};

pub const SYNC_GROUP: Request = Request {
    key: ApiKey::SyncGroup,
    name: "SyncGroup",
    first: 0,
    last: 5,
    flexible: 4,
    body: Layout::of::<SyncGroupRequest>(&[
        field("group_id", STRING),
        field("generation_id", INT32),
        field("member_id", STRING),
        field("group_instance_id", STRING).since(3),
        field("protocol_type", STRING).since(5),
        field("protocol_name", STRING).since(5),
        field(
            "assignments",
            structs(
                &Layout::of::<sync_group_request::SyncGroupRequestAssignment>(&[
                    field("member_id", STRING),
                    field("assignment", BYTES),
                ]),
            ),
        ),
    ]),
};

pub const DESCRIBE_GROUPS: Request = Request {
    key: ApiKey::DescribeGroups,
    name: "DescribeGroups",
    first: 0,
    last: 6,
    flexible: 5,
    body: Layout::of::<DescribeGroupsRequest>(&[
        field("groups", STRINGS),
        field("include_authorized_operations", BOOL).since(3),
    ]),
};

pub const LIST_GROUPS: Request = Request {
    key: ApiKey::ListGroups,
    name: "ListGroups",
    first: 0,
    last: 5,
    flexible: 3,
    body: Layout::of::<ListGroupsRequest>(&[
        field("states_filter", STRINGS).since(4),
        field("types_filter", STRINGS).since(5),
    ]),
};

pub const DELETE_GROUPS: Request = Request {
    key: ApiKey::DeleteGroups,
    name: "DeleteGroups",
    first: 0,
    last: 2,
    flexible: 2,
    body: Layout::of::<DeleteGroupsRequest>(&[field("groups_names", STRINGS)]),
};
