//! The decoders of untrusted bytes that are private, by themselves, for the fuzz targets. Nothing else uses them.

use bytes::Bytes;

use crate::groups;
use crate::identity;
use crate::shard::snapshot;

/// The logs and the metadata in a shard's snapshot, each as it is stored.
pub fn shard_snapshot(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Bytes), String> {
    let restored = snapshot::decode(bytes)?;
    let stored = |partition: &snapshot::RestoredPartition| {
        let mut bytes = Vec::new();
        weir_log::format::encode(&partition.log, &mut bytes);
        bytes
    };
    let logs = restored.partitions.iter().map(stored).collect();
    Ok((logs, restored.metadata.into()))
}

/// Incarnation and broker id in an identity file.
pub fn identity(bytes: &[u8]) -> Result<(u64, i32), &'static str> {
    identity::parse(bytes)
}

/// The identity file of these.
pub fn identity_file(incarnation: u64, broker_id: i32) -> String {
    identity::render(incarnation, broker_id)
}

/// The topics in a consumer's protocol metadata.
pub fn subscription(bytes: &[u8]) -> Option<Vec<String>> {
    groups::subscription::topics(bytes)
}
