//! A Produce request, decoded by ourselves: each batch becomes its own writable piece of the
//! frame, so that base offset and leader epoch are patched in place and the bytes are never copied.

use std::ops::Range;

use bytes::{Buf, BytesMut};
use uuid::Uuid;

use crate::kafka::Body;
use crate::kafka::codec::{Reader, WireError};
use crate::kafka::sums::Sums;

/// How a request names a topic: by name up to v12, by id from v13 (KIP-516).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    Name(String),
    Id(Uuid),
}

#[derive(Debug)]
pub struct ProduceRequest {
    pub transactional_id: Option<String>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topics: Vec<TopicData>,
    /// Bytes of the frame, which lives in memory as long as any batch of it.
    pub frame_bytes: usize,
    /// Of that frame's parts.
    pub sums: Sums,
}

#[derive(Debug)]
pub struct TopicData {
    pub topic: TopicRef,
    pub partitions: Vec<PartitionData>,
}

#[derive(Debug)]
pub struct PartitionData {
    pub index: i32,
    /// `None` is a null: the client sent no records.
    pub records: Option<BytesMut>,
    /// Where they lay in the frame.
    pub at: usize,
}

impl ProduceRequest {
    /// Decodes a body of versions 3 to 13, which came in a frame of `frame_bytes`.
    pub fn decode(
        body: Body,
        version: i16,
        frame_bytes: usize,
    ) -> Result<ProduceRequest, WireError> {
        let Body {
            bytes: mut body,
            sums,
        } = body;
        let (head, topics) = read_request(&mut Reader::new(&body, version >= 9), version)?;
        let body_at = frame_bytes - body.len();
        let mut taken = 0;
        let mut piece = |range: Range<usize>| {
            body.advance(range.start - taken);
            taken = range.end;
            body.split_to(range.len())
        };
        let topics = topics
            .into_iter()
            .map(|(topic, partitions)| TopicData {
                topic,
                partitions: partitions
                    .into_iter()
                    .map(|(index, range)| PartitionData {
                        index,
                        at: body_at + range.as_ref().map_or(0, |range| range.start),
                        records: range.map(&mut piece),
                    })
                    .collect(),
            })
            .collect();
        let Head {
            transactional_id,
            acks,
            timeout_ms,
        } = head;
        Ok(ProduceRequest {
            transactional_id,
            acks,
            timeout_ms,
            topics,
            frame_bytes,
            sums,
        })
    }
}

struct Head {
    transactional_id: Option<String>,
    acks: i16,
    timeout_ms: i32,
}

type Ranges = Vec<(TopicRef, Vec<(i32, Option<Range<usize>>)>)>;

fn read_request(reader: &mut Reader<'_>, version: i16) -> Result<(Head, Ranges), WireError> {
    let transactional_id = reader.nullable_string()?.map(str::to_owned);
    let acks = reader.i16()?;
    let timeout_ms = reader.i32()?;
    let mut topics = Vec::new();
    for _ in 0..reader.array_len()?.unwrap_or_default() {
        let topic = match version {
            13.. => TopicRef::Id(reader.uuid()?),
            _ => TopicRef::Name(reader.string()?.to_owned()),
        };
        let mut partitions = Vec::new();
        for _ in 0..reader.array_len()?.unwrap_or_default() {
            partitions.push((reader.i32()?, reader.nullable_bytes()?));
            reader.skip_tagged_fields()?;
        }
        reader.skip_tagged_fields()?;
        topics.push((topic, partitions));
    }
    reader.skip_tagged_fields()?;
    Ok((
        Head {
            transactional_id,
            acks,
            timeout_ms,
        },
        topics,
    ))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::{ProduceRequest as Wire, TopicName, produce_request as wire};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    fn encoded(version: i16) -> BytesMut {
        let partition = |index: i32, records: Option<&'static [u8]>| {
            wire::PartitionProduceData::default()
                .with_index(index)
                .with_records(records.map(Bytes::from_static))
        };
        let mut topic = wire::TopicProduceData::default().with_partition_data(vec![
            partition(0, Some(b"first")),
            partition(7, None),
            partition(2, Some(b"second")),
        ]);
        if version >= 13 {
            topic.topic_id = Uuid::from_u128(9);
        } else {
            topic.name = TopicName(StrBytes::from_static_str("flights"));
        }
        let request = Wire::default()
            .with_acks(-1)
            .with_timeout_ms(1500)
            .with_topic_data(vec![topic]);
        let mut out = BytesMut::new();
        request.encode(&mut out, version).expect("encodes");
        out
    }

    /// From a frame of which nothing but the body is left to decode.
    fn decode(bytes: BytesMut, version: i16) -> Result<ProduceRequest, WireError> {
        let frame_bytes = bytes.len() + 30;
        let sums = Sums::default();
        ProduceRequest::decode(Body { bytes, sums }, version, frame_bytes)
    }

    #[test]
    fn every_version_decodes_into_pieces_of_the_frame() {
        for version in 3..=13 {
            let request = decode(encoded(version), version).expect("decodes");
            assert_eq!(
                (request.acks, request.timeout_ms, request.transactional_id),
                (-1, 1500, None)
            );
            let topic = &request.topics[0];
            let sent = encoded(version);
            for partition in &topic.partitions {
                let records = partition.records.as_deref().unwrap_or_default();
                assert!(sent[partition.at - 30..].starts_with(records));
            }
            let name = TopicRef::Name("flights".into());
            assert_eq!(
                topic.topic,
                if version >= 13 {
                    TopicRef::Id(Uuid::from_u128(9))
                } else {
                    name
                }
            );
            let records: Vec<_> = topic
                .partitions
                .iter()
                .map(|p| (p.index, p.records.as_deref()))
                .collect();
            assert_eq!(
                records,
                [
                    (0, Some(&b"first"[..])),
                    (7, None),
                    (2, Some(&b"second"[..]))
                ]
            );
        }
    }

    #[test]
    fn every_truncation_is_malformed() {
        for version in [3, 9, 13] {
            let whole = encoded(version);
            for len in 0..whole.len() {
                let cut = BytesMut::from(&whole[..len]);
                assert!(decode(cut, version).is_err(), "v{version} cut to {len}");
            }
        }
    }
}
