//! What the broker's settings say about groups.

use crate::meta::effective::Layers;

/// All durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    /// The most members of a group.
    pub max_size: usize,
    /// How long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// How long a new member may wait for its first join to be answered. It has no id yet, so it cannot send
    /// heartbeats, and a client that went away cannot be noticed otherwise.
    pub new_member_join_timeout_ms: u64,
    /// The longest metadata text of an offset, in UTF-16 units.
    pub offset_metadata_max: usize,
    pub offsets_retention_ms: i64,
    pub retention_check_interval_ms: u64,
}

impl GroupSettings {
    /// What the node's and the cluster's settings say at the start; none of these changes while a broker runs.
    pub fn resolve(layers: Layers<'_>) -> GroupSettings {
        let int = |name| i32::try_from(layers.broker_int(name)).unwrap_or(i32::MAX);
        let duration = |name| u64::try_from(layers.broker_int(name)).unwrap_or(0);
        GroupSettings {
            min_session_timeout_ms: int("group.min.session.timeout.ms"),
            max_session_timeout_ms: int("group.max.session.timeout.ms"),
            max_size: usize::try_from(layers.broker_int("group.max.size")).unwrap_or(0),
            initial_rebalance_delay_ms: duration("group.initial.rebalance.delay.ms"),
            offset_metadata_max: usize::try_from(layers.broker_int("offset.metadata.max.bytes"))
                .unwrap_or(0),
            offsets_retention_ms: layers
                .broker_int("offsets.retention.minutes")
                .saturating_mul(60_000),
            retention_check_interval_ms: duration("offsets.retention.check.interval.ms"),
            ..GroupSettings::default()
        }
    }
}

impl Default for GroupSettings {
    fn default() -> Self {
        GroupSettings {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            max_size: i32::MAX as usize,
            initial_rebalance_delay_ms: 3_000,
            new_member_join_timeout_ms: 300_000,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            retention_check_interval_ms: 600_000,
        }
    }
}
