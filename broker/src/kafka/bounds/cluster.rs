//! Requests about the cluster, its configuration and what it holds.

use kafka_protocol::messages::{
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, ApiKey, ApiVersionsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeLogDirsRequest, DescribeQuorumRequest,
    DescribeTopicPartitionsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, UnregisterBrokerRequest,
    alter_configs_request, alter_partition_reassignments_request, describe_configs_request,
    describe_log_dirs_request, describe_quorum_request, describe_topic_partitions_request,
    elect_leaders_request, incremental_alter_configs_request, list_partition_reassignments_request,
    metadata_request,
};

use super::layout::*;

pub const METADATA: Request = Request {
    key: ApiKey::Metadata,
    name: "Metadata",
    first: 0,
    last: 13,
    flexible: 9,
    body: Layout::of::<MetadataRequest>(&[
        field(
            "topics",
            structs(&Layout::of::<metadata_request::MetadataRequestTopic>(&[
                field("topic_id", UUID).since(10),
                field("name", STRING),
            ])),
        ),
        field("allow_auto_topic_creation", BOOL).since(4),
        field("include_cluster_authorized_operations", BOOL)
            .since(8)
            .until(10),
        field("include_topic_authorized_operations", BOOL).since(8),
    ]),
};

pub const API_VERSIONS: Request = Request {
    key: ApiKey::ApiVersions,
    name: "ApiVersions",
    first: 0,
    last: 4,
    flexible: 3,
    body: Layout::of::<ApiVersionsRequest>(&[
        field("client_software_name", STRING).since(3),
        field("client_software_version", STRING).since(3),
    ]),
};

pub const DESCRIBE_CONFIGS: Request = Request {
    key: ApiKey::DescribeConfigs,
    name: "DescribeConfigs",
    first: 1,
    last: 4,
    flexible: 4,
    body: Layout::of::<DescribeConfigsRequest>(&[
        field(
            "resources",
            structs(&Layout::of::<
                describe_configs_request::DescribeConfigsResource,
            >(&[
                field("resource_type", INT8),
                field("resource_name", STRING),
                field("configuration_keys", STRINGS),
            ])),
        ),
        field("include_synonyms", BOOL),
        field("include_documentation", BOOL).since(3),
    ]),
};

pub const ALTER_CONFIGS: Request = Request {
    key: ApiKey::AlterConfigs,
    name: "AlterConfigs",
    first: 0,
    last: 2,
    flexible: 2,
    body: Layout::of::<AlterConfigsRequest>(&[
        field("resources", structs(&ALTER_RESOURCE)),
        field("validate_only", BOOL),
    ]),
};

const ALTER_RESOURCE: Layout = Layout::of::<alter_configs_request::AlterConfigsResource>(&[
    field("resource_type", INT8),
    field("resource_name", STRING),
    field(
        "configs",
        structs(&Layout::of::<alter_configs_request::AlterableConfig>(&[
            field("name", STRING),
            field("value", STRING),
        ])),
    ),
]);

pub const INCREMENTAL_ALTER_CONFIGS: Request = Request {
    key: ApiKey::IncrementalAlterConfigs,
    name: "IncrementalAlterConfigs",
    first: 0,
    last: 1,
    flexible: 1,
    body: Layout::of::<IncrementalAlterConfigsRequest>(&[
        field("resources", structs(&INCREMENTAL_RESOURCE)),
        field("validate_only", BOOL),
    ]),
};

const INCREMENTAL_RESOURCE: Layout =
    Layout::of::<incremental_alter_configs_request::AlterConfigsResource>(&[
        field("resource_type", INT8),
        field("resource_name", STRING),
        field(
            "configs",
            structs(&Layout::of::<
                incremental_alter_configs_request::AlterableConfig,
            >(&[
                field("name", STRING),
                field("config_operation", INT8),
                field("value", STRING),
            ])),
        ),
    ]);

pub const DESCRIBE_LOG_DIRS: Request = Request {
    key: ApiKey::DescribeLogDirs,
    name: "DescribeLogDirs",
    first: 1,
    last: 4,
    flexible: 2,
    body: Layout::of::<DescribeLogDirsRequest>(&[field(
        "topics",
        structs(&Layout::of::<
            describe_log_dirs_request::DescribableLogDirTopic,
        >(&[
            field("topic", STRING),
            field("partitions", INT32S),
        ])),
    )]),
};

pub const ELECT_LEADERS: Request = Request {
    key: ApiKey::ElectLeaders,
    name: "ElectLeaders",
    first: 0,
    last: 2,
    flexible: 2,
    body: Layout::of::<ElectLeadersRequest>(&[
        field("election_type", INT8).since(1),
        field(
            "topic_partitions",
            structs(&Layout::of::<elect_leaders_request::TopicPartitions>(&[
                field("topic", STRING),
                field("partitions", INT32S),
            ])),
        ),
        field("timeout_ms", INT32),
    ]),
};

pub const DESCRIBE_QUORUM: Request = Request {
    key: ApiKey::DescribeQuorum,
    name: "DescribeQuorum",
    first: 0,
    last: 2,
    flexible: 0,
    body: Layout::of::<DescribeQuorumRequest>(&[field(
        "topics",
        structs(&Layout::of::<describe_quorum_request::TopicData>(&[
            field("topic_name", STRING),
            field(
                "partitions",
                structs(&Layout::of::<describe_quorum_request::PartitionData>(&[
                    field("partition_index", INT32),
                ])),
            ),
        ])),
    )]),
};

pub const ALTER_PARTITION_REASSIGNMENTS: Request = Request {
    key: ApiKey::AlterPartitionReassignments,
    name: "AlterPartitionReassignments",
    first: 0,
    last: 1,
    flexible: 0,
    body: Layout::of::<AlterPartitionReassignmentsRequest>(&[
        field("timeout_ms", INT32),
        field("allow_replication_factor_change", BOOL).since(1),
        field(
            "topics",
            structs(&Layout::of::<
                alter_partition_reassignments_request::ReassignableTopic,
            >(&[
                field("name", STRING),
                field("partitions", structs(&REASSIGNABLE_PARTITION)),
            ])),
        ),
    ]),
};

const REASSIGNABLE_PARTITION: Layout =
    Layout::of::<alter_partition_reassignments_request::ReassignablePartition>(&[
        field("partition_index", INT32),
        field("replicas", INT32S),
    ]);

pub const LIST_PARTITION_REASSIGNMENTS: Request = Request {
    key: ApiKey::ListPartitionReassignments,
    name: "ListPartitionReassignments",
    first: 0,
    last: 0,
    flexible: 0,
    body: Layout::of::<ListPartitionReassignmentsRequest>(&[
        field("timeout_ms", INT32),
        field(
            "topics",
            structs(&Layout::of::<
                list_partition_reassignments_request::ListPartitionReassignmentsTopics,
            >(&[
                field("name", STRING),
                field("partition_indexes", INT32S),
            ])),
        ),
    ]),
};

pub const UNREGISTER_BROKER: Request = Request {
    key: ApiKey::UnregisterBroker,
    name: "UnregisterBroker",
    first: 0,
    last: 0,
    flexible: 0,
    body: Layout::of::<UnregisterBrokerRequest>(&[field("broker_id", INT32)]),
};

pub const DESCRIBE_CLUSTER: Request = Request {
    key: ApiKey::DescribeCluster,
    name: "DescribeCluster",
    first: 0,
    last: 2,
    flexible: 0,
    body: Layout::of::<DescribeClusterRequest>(&[
        field("include_cluster_authorized_operations", BOOL),
        field("endpoint_type", INT8).since(1),
        field("include_fenced_brokers", BOOL).since(2),
    ]),
};

pub const DESCRIBE_TOPIC_PARTITIONS: Request = Request {
    key: ApiKey::DescribeTopicPartitions,
    name: "DescribeTopicPartitions",
    first: 0,
    last: 0,
    flexible: 0,
    body: Layout::of::<DescribeTopicPartitionsRequest>(&[
        field(
            "topics",
            structs(
                &Layout::of::<describe_topic_partitions_request::TopicRequest>(&[field(
                    "name", STRING,
                )]),
            ),
        ),
        field("response_partition_limit", INT32),
        field("cursor", Shape::NullableStruct(&CURSOR)),
    ]),
};

const CURSOR: Layout = Layout::of::<describe_topic_partitions_request::Cursor>(&[
    field("topic", STRING),
    field("partition", INT32),
]);
