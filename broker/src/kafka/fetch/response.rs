//! A Fetch response, encoded by ourselves: record batches stay the pieces that they are in memory
//! and are written with the fields around them by one vectored write.

use bytes::Bytes;

use crate::kafka::codec::Writer;
use crate::kafka::produce::request::TopicRef;

/// On the wire, in the place of a replica.
const NO_REPLICA: i32 = -1;

/// A broker's id, host, port and rack.
pub type Endpoint = (i32, String, i32, Option<String>);

/// One partition's part of the answer.
#[derive(Clone, Debug, Default)]
pub struct PartitionAnswer {
    pub index: i32,
    pub error_code: i16,
    /// -1 where unknown, as with the next two.
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// Whether the aborted transactions are an (empty) list: for who asked for committed records
    /// only, and where no log was asked; else null.
    pub lists_aborted: bool,
    /// The partition is not here.
    pub missing: bool,
    /// v11+: the replica that is to be asked instead (KIP-392); then there are no records.
    pub preferred_read_replica: Option<i32>,
    /// The partition was read here, and this node does not lead it.
    pub by_follower: bool,
    /// v12+: the largest epoch and its end offset, when the reader's last epoch diverges (KIP-595).
    pub diverging_epoch: Option<(i32, i64)>,
    /// v12+: leader's id and epoch, sent with an error that a new leader explains (KIP-951).
    pub current_leader: Option<(i32, i32)>,
    pub records: Vec<Bytes>,
}

impl PartitionAnswer {
    pub fn records_bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

#[derive(Debug, Default)]
pub struct FetchAnswer {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub session_id: i32,
    pub topics: Vec<(TopicRef, Vec<PartitionAnswer>)>,
    /// v16+: where the leaders named above are: id, host, port, rack.
    pub endpoints: Vec<Endpoint>,
}

impl FetchAnswer {
    /// The body of a response of versions 4 to 17, in pieces.
    pub fn encode(self, version: i16) -> Vec<Bytes> {
        let mut out = Writer::new(version >= 12);
        out.i32(self.throttle_time_ms);
        if version >= 7 {
            out.i16(self.error_code);
            out.i32(self.session_id);
        }
        out.array_len(Some(self.topics.len()));
        for (topic, partitions) in &self.topics {
            match topic {
                TopicRef::Name(name) => out.string(name),
                TopicRef::Id(id) => out.uuid(*id),
            }
            out.array_len(Some(partitions.len()));
            for partition in partitions {
                write_partition(&mut out, partition, version);
            }
            out.no_tagged_fields();
        }
        if version >= 16 && !self.endpoints.is_empty() {
            out.tagged_fields(&[(0, endpoints(&self.endpoints))]);
        } else {
            out.no_tagged_fields();
        }
        out.finish()
    }
}

fn write_partition(out: &mut Writer, partition: &PartitionAnswer, version: i16) {
    out.i32(partition.index);
    out.i16(partition.error_code);
    out.i64(partition.high_watermark);
    out.i64(partition.last_stable_offset);
    if version >= 5 {
        out.i64(partition.log_start_offset);
    }
    // Aborted transactions: none, or null for who did not ask.
    out.array_len(partition.lists_aborted.then_some(0));
    if version >= 11 {
        out.i32(partition.preferred_read_replica.unwrap_or(NO_REPLICA));
    }
    out.bytes(&partition.records);
    let mut tags = Vec::new();
    if let Some((epoch, end_offset)) = partition.diverging_epoch {
        tags.push((
            0,
            tag(|tag| {
                tag.i32(epoch);
                tag.i64(end_offset);
                tag.no_tagged_fields();
            }),
        ));
    }
    if let Some((id, epoch)) = partition.current_leader {
        tags.push((
            1,
            tag(|tag| {
                tag.i32(id);
                tag.i32(epoch);
                tag.no_tagged_fields();
            }),
        ));
    }
    out.tagged_fields(&tags);
}

fn endpoints(endpoints: &[Endpoint]) -> Bytes {
    tag(|tag| {
        tag.array_len(Some(endpoints.len()));
        for (id, host, port, rack) in endpoints {
            tag.i32(*id);
            tag.string(host);
            tag.i32(*port);
            tag.nullable_string(rack.as_deref());
            tag.no_tagged_fields();
        }
    })
}

/// A tagged field's bytes.
fn tag(write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut tag = Writer::new(true);
    write(&mut tag);
    tag.finish().into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::FetchResponse;
    use kafka_protocol::protocol::Decodable;
    use uuid::Uuid;

    use super::*;

    fn answer(version: i16) -> FetchAnswer {
        let topic = if version >= 13 {
            TopicRef::Id(Uuid::from_u128(5))
        } else {
            TopicRef::Name("flights".into())
        };
        let full = PartitionAnswer {
            index: 3,
            high_watermark: 10,
            last_stable_offset: 9,
            log_start_offset: 1,
            lists_aborted: true,
            preferred_read_replica: (version >= 11).then_some(6),
            records: vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")],
            ..PartitionAnswer::default()
        };
        let failed = PartitionAnswer {
            index: 4,
            error_code: 6,
            current_leader: (version >= 12).then_some((2, 7)),
            diverging_epoch: (version >= 12).then_some((3, 44)),
            ..PartitionAnswer::default()
        };
        FetchAnswer {
            session_id: 77,
            topics: vec![(topic, vec![full, failed])],
            endpoints: vec![(2, "host".into(), 9092, None)],
            ..FetchAnswer::default()
        }
    }

    #[test]
    fn every_version_decodes_as_kafka_protocol_expects() {
        for version in 4..=17 {
            let mut bytes: BytesMut = answer(version)
                .encode(version)
                .into_iter()
                .flatten()
                .collect();
            let response = FetchResponse::decode(&mut bytes, version).expect("decodes");
            assert!(bytes.is_empty(), "v{version} leaves bytes");
            let partitions = &response.responses[0].partitions;
            assert_eq!(partitions[0].records.as_deref(), Some(&b"abcde"[..]));
            assert_eq!(partitions[0].aborted_transactions.as_deref(), Some(&[][..]));
            assert_eq!(partitions[1].aborted_transactions, None);
            assert_eq!(partitions[1].error_code, 6);
            let preferred = partitions.iter().map(|one| one.preferred_read_replica.0);
            let expected = if version >= 11 { [6, -1] } else { [-1, -1] };
            assert!(preferred.eq(expected), "v{version}");
            if version >= 12 {
                assert_eq!(partitions[1].current_leader.leader_epoch, 7);
                assert_eq!(partitions[1].diverging_epoch.end_offset, 44);
            }
            if version >= 16 {
                assert_eq!(response.node_endpoints[0].port, 9092);
            }
        }
    }
}
