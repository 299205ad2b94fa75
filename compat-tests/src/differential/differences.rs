//! The deliberate differences from Kafka, each with its reason.
//!
//! An entry that matches nothing in a full run fails it, so that the list cannot rot.

use serde_json::Value;

use super::diff::Difference;

/// Which side says something that the other does not, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Both answer, differently.
    Both,
    /// Only Kafka has the field or entry.
    OnlyKafka,
    /// Only Weir has it.
    OnlyWeir,
    /// Kafka gives no message where Weir gives one.
    OnlyWeirSaysWhy,
    /// Any of these.
    Any,
}

impl Side {
    fn of(difference: &Difference) -> Side {
        match (&difference.judge, &difference.subject) {
            (Some(_), None) => Side::OnlyKafka,
            (None, Some(_)) => Side::OnlyWeir,
            (Some(Value::Null), Some(text)) if text == "<text>" => Side::OnlyWeirSaysWhy,
            _ => Side::Both,
        }
    }
}

#[derive(Debug)]
pub struct Deliberate {
    /// The case's full name; `*` stands for any characters.
    pub case: &'static str,
    /// The difference's path; `*` stands for any characters.
    pub path: &'static str,
    pub side: Side,
    pub reason: &'static str,
}

const fn deliberate(
    case: &'static str,
    path: &'static str,
    side: Side,
    reason: &'static str,
) -> Deliberate {
    Deliberate {
        case,
        path,
        side,
        reason,
    }
}

const NO_TRANSACTIONS: &str = "transactional ids are refused at once until transactions exist";
const NOT_SERVED: &str = "an API that is not served is not advertised";
const OWN_SETTINGS: &str =
    "settings of tables, schemas, write caching and balance come after Kafka's";
const SAFE: &str = "where there are three nodes a topic that says nothing else has three replicas";
const INTERNAL: &str = "Kafka fails inside; a bad request gets an error that says so";

const DELIBERATE: &[Deliberate] = &[
    deliberate(
        "ApiVersions/*",
        "*/api_keys/*/max_version",
        Side::Both,
        "versions past Kafka 4.1's stable ones",
    ),
    deliberate("ApiVersions/*", "*/api_keys/*", Side::OnlyKafka, NOT_SERVED),
    deliberate(
        "ApiVersions/*",
        "*/finalized_features",
        Side::Both,
        "no feature that has levels is there to be finalised",
    ),
    deliberate(
        "ApiVersions/*",
        "*/supported_features",
        Side::Both,
        "no feature that has levels is there to be supported",
    ),
    deliberate(
        "*",
        "*error_message",
        Side::OnlyWeirSaysWhy,
        "a refusal says why where Kafka leaves the message out",
    ),
    deliberate(
        "AlterPartitionReassignments/no topics/*",
        "*/error_message",
        Side::Any,
        "where there is no error there is no message, and no empty one",
    ),
    deliberate(
        "DescribeQuorum/*",
        "*/leader_id",
        Side::Any,
        "a partition that is refused has no leader, and not the broker 0",
    ),
    deliberate(
        "FindCoordinator/transactional id/*",
        "*",
        Side::Any,
        NO_TRANSACTIONS,
    ),
    deliberate(
        "InitProducerId/a transactional id/*",
        "*",
        Side::Any,
        NO_TRANSACTIONS,
    ),
    deliberate("Produce/transactional *", "*", Side::Any, NO_TRANSACTIONS),
    deliberate(
        "CreateTopics/*",
        "*/configs/table.*",
        Side::OnlyWeir,
        OWN_SETTINGS,
    ),
    deliberate(
        "CreateTopics/*",
        "*/configs/schema.*",
        Side::OnlyWeir,
        OWN_SETTINGS,
    ),
    deliberate(
        "CreateTopics/*",
        "*/configs/write.caching",
        Side::OnlyWeir,
        OWN_SETTINGS,
    ),
    deliberate(
        "DescribeConfigs/*",
        "*/configs/table.*",
        Side::OnlyWeir,
        OWN_SETTINGS,
    ),
    deliberate(
        "DescribeConfigs/*",
        "*/configs/schema.*",
        Side::OnlyWeir,
        OWN_SETTINGS,
    ),
    deliberate(
        "DescribeConfigs/*",
        "*/configs/write.caching",
        Side::OnlyWeir,
        OWN_SETTINGS,
    ),
    deliberate(
        "DescribeConfigs/*broker*",
        "*/configs/auto.partition.rebalance.enable",
        Side::OnlyWeir,
        OWN_SETTINGS,
    ),
    deliberate(
        "DescribeConfigs/*broker*",
        "*/configs/*",
        Side::OnlyKafka,
        "settings of the node that have no meaning here",
    ),
    deliberate(
        "DescribeConfigs/resource of type *",
        "*",
        Side::Any,
        "client metrics and new-style groups are not served",
    ),
    deliberate(
        "Produce/null records/*",
        "*",
        Side::Any,
        "Kafka never answers null records; they are refused",
    ),
    deliberate("Produce/codec *", "*/error_code", Side::Both, INTERNAL),
    deliberate(
        "Produce/batch length 2147483647/*",
        "*/error_code",
        Side::Both,
        INTERNAL,
    ),
    deliberate(
        "AlterConfigs/a topic twice/*",
        "*",
        Side::Any,
        "Kafka never answers a resource that comes twice; it is refused",
    ),
    deliberate(
        "IncrementalAlterConfigs/operation *",
        "*/error_code",
        Side::Both,
        INTERNAL,
    ),
    deliberate(
        "DescribeTopicPartitions/invalid name, empty name/*",
        "*",
        Side::Both,
        INTERNAL,
    ),
    deliberate(
        "Fetch/max bytes *",
        "*/records/*",
        Side::OnlyKafka,
        "a batch is never cut, though a client would drop its half",
    ),
    deliberate(
        "Fetch/max bytes -1*",
        "*",
        Side::Any,
        "Kafka fails inside at a negative size; it is read as 0",
    ),
    deliberate(
        "CreateTopics/timeout *",
        "*/error_code",
        Side::Both,
        "a topic that is refused at once does not time out",
    ),
    deliberate(
        "Produce/a partition twice/*",
        "*",
        Side::Any,
        "Kafka drops the first batch in silence; here both are appended and answered",
    ),
    deliberate(
        "Produce/not compressed as its codec*",
        "*/error_code",
        Side::Both,
        INTERNAL,
    ),
    deliberate(
        "Produce/offset deltas*, Gzip/*",
        "*/error_code",
        Side::Both,
        INTERNAL,
    ),
    deliberate(
        "Produce/offset deltas*, None/*",
        "*",
        Side::Any,
        "records that would take no or another's offset are refused; Kafka stores them",
    ),
    deliberate(
        "Fetch/a request behind a waiting one waits/*",
        "*",
        Side::Any,
        "a connection's requests start at once and are answered in order",
    ),
    deliberate(
        "Fetch/session: its topic is deleted/*",
        "*/error_code",
        Side::Both,
        "an id that is no topic's any more is unknown also within a session",
    ),
    deliberate(
        "Fetch/waits while its topic is deleted/*",
        "*",
        Side::Any,
        "a topic that goes during the wait is answered as one that was never there",
    ),
    deliberate(
        "FindCoordinator/share partition*",
        "*/error_message",
        Side::Both,
        "the refusal says that share groups are not there",
    ),
    deliberate(
        "FindCoordinator/share partition, key of the right form/*",
        "*",
        Side::Both,
        "share groups are not there; Kafka looks for their coordinator",
    ),
    deliberate(
        "Frames/a client id of negative length/*",
        "*",
        Side::Any,
        "a length that is neither null's nor a count is malformed",
    ),
    deliberate(
        "Frames/a name that is not UTF-8/*",
        "*",
        Side::Any,
        "a string that is not UTF-8 is malformed",
    ),
    deliberate(
        "Frames/a null array where none is allowed/*",
        "*",
        Side::Any,
        "old clients send null for none",
    ),
    deliberate(
        "Frames/an array of length -2/*",
        "*",
        Side::Any,
        "a length that is neither null's nor a count is malformed",
    ),
    deliberate(
        "Metadata/an id and a name of two topics/*",
        "*",
        Side::Any,
        "both topics that a request names are answered",
    ),
    deliberate("Metadata/null name/*", "*", Side::Any, INTERNAL),
    deliberate(
        "CreateTopics/two names that collide/*",
        "*",
        Side::Any,
        "names whose metrics would be one are refused also within a request",
    ),
    deliberate(
        "DescribeConfigs/all of the broker/*",
        "*/configs/*/value",
        Side::Both,
        "each broker's own id, addresses and directories",
    ),
    deliberate(
        "DescribeConfigs/all of the broker/*",
        "*/configs/listeners/read_only",
        Side::Both,
        "a listener is opened at the start and stays as it is",
    ),
];

/// What differs where Weir is several nodes: Kafka is one.
const OF_SEVERAL_NODES: &[Deliberate] = &[
    deliberate(
        "CreateTopics/default partitions and replicas/*",
        "*/replication_factor",
        Side::Both,
        SAFE,
    ),
    deliberate(
        "DescribeConfigs/all of the broker/*",
        "*/configs/default.replication.factor/*",
        Side::Any,
        SAFE,
    ),
];

/// The differences that are meant from one node, or from one of several.
pub fn of(is_one_of_several: bool) -> Vec<&'static Deliberate> {
    let more = match is_one_of_several {
        true => OF_SEVERAL_NODES,
        false => &[],
    };
    DELIBERATE.iter().chain(more).collect()
}

impl Deliberate {
    pub fn covers(&self, case: &str, difference: &Difference) -> bool {
        (self.side == Side::Any || self.side == Side::of(difference))
            && matches(self.case, case)
            && matches(self.path, &difference.path)
    }
}

/// Whether `pattern`, in which `*` stands for any characters, describes the whole text.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
        }),
    }
}

/// A value in one line, for a report.
pub fn shown(value: &Option<Value>) -> String {
    value
        .as_ref()
        .map_or("(nothing)".to_string(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("a*/b", "a/x/b"));
        assert!(matches("*", ""));
        assert!(!matches("a*/b", "a/b/c"));
    }
}
