//! The check that every request body passes before it is decoded: each length on the wire is backed by bytes that
//! are there, and what decoding would allocate is bounded.
//!
//! The decoder that follows reserves whatever an array's length claims, so this walk comes first. It reads the same
//! fields in the same order, from a description of each request ([`REQUESTS`]); tests hold the two together, byte
//! for byte. Bytes after the last field are ignored, as Kafka does.

mod cluster;
mod groups;
mod layout;
mod offsets;
mod records;
mod topics;
mod walk;

#[cfg(test)]
mod tests;

use kafka_protocol::messages::ApiKey;

pub use layout::{Field, Layout, Request, Shape, Tagged};
pub use walk::{BoundsError, MAX_DECODED_BYTES, Walked};

use super::codec::Reader;

/// Every request that may be served, sorted by key.
pub const REQUESTS: &[Request] = &[
    records::PRODUCE,
    records::FETCH,
    records::LIST_OFFSETS,
    cluster::METADATA,
    offsets::OFFSET_COMMIT,
    offsets::OFFSET_FETCH,
    groups::FIND_COORDINATOR,
    groups::JOIN_GROUP,
    groups::HEARTBEAT,
    groups::LEAVE_GROUP,
    groups::SYNC_GROUP,
    groups::DESCRIBE_GROUPS,
    groups::LIST_GROUPS,
    cluster::API_VERSIONS,
    topics::CREATE_TOPICS,
    topics::DELETE_TOPICS,
    topics::DELETE_RECORDS,
    records::INIT_PRODUCER_ID,
    records::OFFSET_FOR_LEADER_EPOCH,
    cluster::DESCRIBE_CONFIGS,
    cluster::ALTER_CONFIGS,
    cluster::DESCRIBE_LOG_DIRS,
    topics::CREATE_PARTITIONS,
    groups::DELETE_GROUPS,
    cluster::ELECT_LEADERS,
    cluster::INCREMENTAL_ALTER_CONFIGS,
    cluster::ALTER_PARTITION_REASSIGNMENTS,
    cluster::LIST_PARTITION_REASSIGNMENTS,
    offsets::OFFSET_DELETE,
    cluster::DESCRIBE_QUORUM,
    cluster::DESCRIBE_CLUSTER,
    cluster::UNREGISTER_BROKER,
    cluster::DESCRIBE_TOPIC_PARTITIONS,
];

/// The description of `key`'s request. Ends the build when it is missing: what is served is described.
pub const fn request(key: ApiKey) -> &'static Request {
    let mut i = 0;
    while i < REQUESTS.len() {
        if REQUESTS[i].key as i16 == key as i16 {
            return &REQUESTS[i];
        }
        i += 1;
    }
    panic!("an API is registered whose request has no bounds description");
}

/// Walks `body` as `request` at `version`.
pub fn check(request: &Request, version: i16, body: &[u8]) -> Result<Walked, BoundsError> {
    let mut reader = Reader::new(body, request.is_flexible(version));
    walk::body(&request.body, version, &mut reader)
}
