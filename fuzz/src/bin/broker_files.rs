//! What the broker itself stores: entries of shards, their snapshots, metadata, records of groups, the identity.
//!
//! Input: what it is (u8), then the bytes.
#![no_main]

use weir_broker::groups::format::{CommittedOffset, GroupMetadata, Key, group_key, offset_key};
use weir_broker::meta::{MetaFold, MetaState, format as meta};
use weir_broker::readers;
use weir_broker::shard::entry::{AppendItem, AttachItem, Body, Entry, PartitionId, Role, TrimItem};
use weir_fuzz::{Bounds, Input};
use weir_log::PartitionLog;

weir_fuzz::target!(Bounds::new(64 << 10, 256, 500), seeds, run);

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let decode = *input.pick(&[
        entry as fn(&[u8]),
        snapshot,
        metadata_entry,
        metadata_snapshot,
        group_record_key,
        offset_value,
        group_value,
        identity,
        subscription,
    ]);
    decode(input.rest());
}

fn entry(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        let head = entry.encode_head();
        assert_eq!(head.len(), entry.head_len());
        assert!(head.len() <= bytes.len());
        assert_eq!(Entry::decode(&head), Ok(entry));
    }
}

/// The logs in a shard's snapshot carry their own checksums, which are made right in `partition_state`.
fn snapshot(bytes: &[u8]) {
    if let Ok((logs, metadata)) = readers::shard_snapshot(bytes) {
        let length: usize = logs.iter().map(Vec::len).sum();
        assert!(length + metadata.len() < bytes.len());
        assert!(bytes.ends_with(&metadata));
    }
}

fn metadata_entry(bytes: &[u8]) {
    let fold = MetaFold::default();
    let before = fold.snapshot();
    if fold.apply(bytes).is_err() {
        assert_eq!(
            fold.snapshot(),
            before,
            "an entry is applied whole or not at all"
        );
        return;
    }
    let entry = meta::decode_entry(bytes).expect("it was applied");
    let again = meta::decode_entry(&meta::encode_entry(&entry)).expect("our own");
    assert_eq!(again, entry);
    restored(&fold.snapshot());
}

fn metadata_snapshot(bytes: &[u8]) {
    if meta::decode_snapshot(bytes).is_ok() {
        restored(bytes);
    }
}

fn restored(snapshot: &[u8]) {
    let state: MetaState = meta::decode_snapshot(snapshot).expect("our own is read");
    let stored = meta::encode_snapshot(&state);
    let again = meta::decode_snapshot(&stored).expect("our own is read");
    assert_eq!(
        meta::encode_snapshot(&again),
        stored,
        "a state has one form"
    );
}

fn group_record_key(bytes: &[u8]) {
    match Key::decode(bytes) {
        Ok(key @ Key::Offset { .. }) => {
            let Key::Offset {
                group,
                topic,
                partition,
            } = &key
            else {
                return;
            };
            assert_eq!(
                Key::decode(&offset_key(group, topic, *partition)),
                Ok(key.clone())
            );
        }
        Ok(key @ Key::Group { .. }) => {
            let Key::Group { group } = &key else { return };
            assert_eq!(Key::decode(&group_key(group)), Ok(key.clone()));
        }
        Ok(Key::Other { .. }) | Err(_) => {}
    }
}

fn offset_value(bytes: &[u8]) {
    if let Ok(mut offset) = CommittedOffset::decode(bytes) {
        if offset.metadata.len() > i16::MAX as usize {
            return;
        }
        if offset.expire_ms.is_some() {
            // That version has no epoch.
            offset.leader_epoch = -1;
        }
        assert_eq!(CommittedOffset::decode(&offset.encode()), Ok(offset));
    }
}

fn group_value(bytes: &[u8]) {
    if let Ok(group) = GroupMetadata::decode(bytes) {
        if bytes.len() <= i16::MAX as usize {
            assert_eq!(GroupMetadata::decode(&group.encode()), Ok(group));
        }
    }
}

fn identity(bytes: &[u8]) {
    let text = [
        bytes,
        format!("crc32c {:08x}\n", crc32c::crc32c(bytes)).as_bytes(),
    ]
    .concat();
    for bytes in [bytes, &text] {
        if let Ok((incarnation, broker_id)) = readers::identity(bytes) {
            let file = readers::identity_file(incarnation, broker_id);
            assert_eq!(
                readers::identity(file.as_bytes()),
                Ok((incarnation, broker_id))
            );
        }
    }
}

fn subscription(bytes: &[u8]) {
    let topics = readers::subscription(bytes).unwrap_or_default();
    let length: usize = topics.iter().map(String::len).sum();
    assert!(length <= bytes.len());
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |what: u8, bytes: &[u8]| [&[what], bytes].concat();
    let mut seeds = entries().map(|entry| seed(0, &entry)).to_vec();
    seeds.extend(snapshots().map(|snapshot| seed(1, &snapshot)));
    seeds.extend(METADATA.map(|entry| seed(2, entry.as_bytes())));
    let fold = MetaFold::default();
    fold.apply(METADATA[0].as_bytes()).expect("legal");
    seeds.push(seed(3, &fold.snapshot()));
    seeds.push(seed(3, SNAPSHOT.as_bytes()));
    seeds.push(seed(4, &offset_key("group", "topic", 3)));
    seeds.push(seed(4, &group_key("group")));
    for expire_ms in [None, Some(9)] {
        let offset = CommittedOffset {
            offset: 5,
            leader_epoch: 2,
            metadata: "why".into(),
            commit_ms: 7,
            expire_ms,
        };
        seeds.push(seed(5, &offset.encode()));
    }
    seeds.push(seed(6, b"\0\x03\0\x08consumer\0\0\0\x01\0\x05range\0\x01m\0\0\0\0\0\0\0\x09\0\0\0\x01\0\x01m\xff\xff\0\x01c\0\x02/h\0\0\0\x05\0\0\0\x06\0\0\0\x01s\0\0\0\x01a"));
    seeds.push(seed(6, b"\0\x04\x09consumer\0\0\0\x01\x06range\x02m\0\0\0\0\0\0\0\x09\x02\x02m\0\x02c\x03/h\0\0\0\x05\0\0\0\x06\x02s\x02a\0\0"));
    seeds.push(seed(7, readers::identity_file(77, 3).as_bytes()));
    seeds.push(seed(7, b"weir-node 1\nincarnation 5\nbroker.id 0\n"));
    seeds.push(seed(8, b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff"));
    seeds
}

const METADATA: [&str; 6] = [
    "\u{1}{\"revision\":0,\"commands\":[{\"init_cluster\":{\"cluster_id\":\"c\",\"shards\":{\"1\":{\"replicas\":[0]}}}}]}",
    "\u{1}{\"revision\":0,\"commands\":[{\"take_producer_ids\":{\"first\":0,\"count\":1000}}]}",
    "\u{1}{\"revision\":0,\"commands\":[{\"alter_broker\":{\"broker_id\":null,\"changes\":{\"a\":\"b\"}}}]}",
    "\u{1}{\"revision\":0,\"commands\":[{\"create_topic\":{\"name\":\"t\",\"id\":\"00000000-0000-0000-0000-000000000001\",\"partitions\":[{\"shard\":1,\"epoch_base\":0}],\"configs\":{},\"created_at_ms\":5}},{\"alter_topic\":{\"id\":\"00000000-0000-0000-0000-000000000001\",\"changes\":{\"a\":\"b\"}}}]}",
    "\u{1}{\"revision\":0,\"commands\":[{\"add_partitions\":{\"id\":\"00000000-0000-0000-0000-000000000001\",\"from\":1,\"partitions\":[]}}]}",
    "\u{1}{\"revision\":0,\"commands\":[{\"delete_topic\":{\"id\":\"00000000-0000-0000-0000-000000000001\",\"highest_epoch\":3}}]}",
];
const SNAPSHOT: &str = "\u{1}{\"revision\":1,\"cluster_id\":\"c\",\"nodes\":{},\"shards\":{},\"topics\":[],\"cluster_configs\":{},\"broker_configs\":{},\"next_producer_id\":0,\"epochs\":{\"floor\":0,\"marks\":{\"t\":5},\"order\":[\"t\"]}}";

fn partition(index: i32) -> PartitionId {
    PartitionId {
        topic: uuid::Uuid::from_u128(0x0102),
        index,
    }
}

fn entries() -> [Vec<u8>; 5] {
    let append = AppendItem {
        partition: partition(3),
        base_offset: 77,
        leader_epoch: 5,
        len: 100,
    };
    let attach = AttachItem {
        partition: partition(1),
        epoch_base: 9,
        role: Role::Offsets,
    };
    let trim = TrimItem {
        partition: partition(0),
        start: 12,
    };
    let bodies = [
        Body::Append(vec![append.clone(), append]),
        Body::Attach(vec![attach]),
        Body::Detach(vec![partition(2)]),
        Body::Trim(vec![trim]),
        Body::Metadata,
    ];
    bodies.map(|body| Entry { time_ms: 5, body }.encode_head().to_vec())
}

fn snapshots() -> [Vec<u8>; 2] {
    let mut partition = vec![7; 16];
    partition.extend(3i32.to_le_bytes());
    partition.extend(9i32.to_le_bytes());
    partition.push(Role::Data as u8);
    weir_log::format::encode(&PartitionLog::starting_at(4), &mut partition);
    let head = |count: u32| [&[1][..], &5i64.to_le_bytes(), &count.to_le_bytes()].concat();
    [
        head(0),
        [&head(2)[..], &partition, &partition, b"metadata"].concat(),
    ]
}
