//! Which data shard carries a new partition.

/// Spreads partitions round robin over the shards, from a start that the topic's name picks: the partitions of one topic
/// lie on different shards, and topics of one partition spread too.
///
/// Panics when `shards` is empty; a cluster is initialised with at least one.
pub fn shard_for(topic: &str, partition: usize, shards: &[u64]) -> u64 {
    assert!(!shards.is_empty());
    let start = (fnv1a(topic.as_bytes()) % shards.len() as u64) as usize;
    shards[(start + partition) % shards.len()]
}

/// Stable over releases and machines: the decision is written into the log, but operators reason about it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_use_every_shard() {
        let used: std::collections::BTreeSet<u64> =
            (0..3).map(|p| shard_for("t", p, &[1, 2, 3])).collect();
        assert_eq!(used.len(), 3);
    }

    #[test]
    fn small_topics_spread() {
        let on_first = (0..1000)
            .filter(|n| shard_for(&format!("topic-{n}"), 0, &[1, 2]) == 1)
            .count();
        assert!(
            (400..600).contains(&on_first),
            "{on_first} of 1000 on the first of two shards"
        );
    }

    #[test]
    fn growth_goes_on_where_creation_stopped() {
        assert_eq!(shard_for("t", 5, &[1, 2, 3]), shard_for("t", 2, &[1, 2, 3]));
    }
}
