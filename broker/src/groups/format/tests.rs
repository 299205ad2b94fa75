use super::*;
use bytes::Bytes;

fn offset(expire_ms: Option<i64>) -> CommittedOffset {
    let leader_epoch = if expire_ms.is_some() { -1 } else { 3 };
    CommittedOffset {
        offset: 77,
        leader_epoch,
        metadata: "m".into(),
        commit_ms: 258,
        expire_ms,
    }
}

fn group() -> GroupMetadata {
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 2,
        protocol: Some("range".into()),
        leader: Some("a-1".into()),
        state_since_ms: Some(7),
        members: vec![StoredMember {
            id: "a-1".into(),
            instance_id: Some("i".into()),
            client_id: "a".into(),
            client_host: "/h".into(),
            rebalance_timeout_ms: 300,
            session_timeout_ms: 100,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::new(),
        }],
    }
}

#[test]
fn keys_are_golden() {
    let golden = b"\0\x01\0\x01g\0\x01t\0\0\0\x05";
    assert_eq!(offset_key("g", "t", 5), golden);
    let key = Key::Offset {
        group: "g".into(),
        topic: "t".into(),
        partition: 5,
    };
    assert_eq!(Key::decode(golden), Ok(key.clone()));
    assert_eq!(Key::decode(b"\0\0\0\x01g\0\x01t\0\0\0\x05"), Ok(key));

    assert_eq!(group_key("g"), b"\0\x02\0\x01g");
    assert_eq!(
        Key::decode(b"\0\x02\0\x01g"),
        Ok(Key::Group { group: "g".into() })
    );
    assert_eq!(Key::decode(b"\0\x03\0\x01g"), Ok(Key::Other { version: 3 }));
    assert_eq!(Key::decode(b"\xff\xff"), Err(FormatError::Version(-1)));
}

#[test]
fn offset_values_are_golden() {
    let golden = b"\0\x03\0\0\0\0\0\0\0\x4d\0\0\0\x03\0\x01m\0\0\0\0\0\0\x01\x02";
    assert_eq!(offset(None).encode(), golden);
    assert_eq!(CommittedOffset::decode(golden), Ok(offset(None)));
    let golden = b"\0\x01\0\0\0\0\0\0\0\x4d\0\x01m\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x09";
    assert_eq!(offset(Some(9)).encode(), golden);
    assert_eq!(CommittedOffset::decode(golden), Ok(offset(Some(9))));
}

#[test]
fn offset_values_of_other_versions_are_read() {
    let known = CommittedOffset {
        leader_epoch: -1,
        ..offset(None)
    };
    for version in [0, 2] {
        let mut bytes = vec![0, version];
        bytes.extend_from_slice(b"\0\0\0\0\0\0\0\x4d\0\x01m\0\0\0\0\0\0\x01\x02");
        assert_eq!(
            CommittedOffset::decode(&bytes),
            Ok(known.clone()),
            "version {version}"
        );
    }
    // Version 4 with one tagged field of two bytes.
    let flexible = b"\0\x04\0\0\0\0\0\0\0\x4d\0\0\0\x03\x02m\0\0\0\0\0\0\x01\x02\x01\0\x02ab";
    assert_eq!(CommittedOffset::decode(flexible), Ok(offset(None)));
    assert_eq!(
        CommittedOffset::decode(b"\0\x05"),
        Err(FormatError::Version(5))
    );
}

#[test]
fn group_values_are_golden() {
    let golden = b"\0\x03\0\x08consumer\0\0\0\x02\0\x05range\0\x03a-1\0\0\0\0\0\0\0\x07\0\0\0\x01\
        \0\x03a-1\0\x01i\0\x01a\0\x02/h\0\0\x01\x2c\0\0\0\x64\0\0\0\x01s\0\0\0\0";
    assert_eq!(group().encode(), golden);
    assert_eq!(GroupMetadata::decode(golden), Ok(group()));

    let empty = GroupMetadata {
        protocol_type: "".into(),
        generation: 0,
        protocol: None,
        leader: None,
        state_since_ms: None,
        members: Vec::new(),
    };
    let golden = b"\0\x03\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(empty.encode(), golden);
    assert_eq!(GroupMetadata::decode(golden), Ok(empty));
}

#[test]
fn group_values_of_other_versions_are_read() {
    let mut known = group();
    known.members[0].instance_id = None;
    let two = b"\0\x02\0\x08consumer\0\0\0\x02\0\x05range\0\x03a-1\0\0\0\0\0\0\0\x07\0\0\0\x01\
        \0\x03a-1\0\x01a\0\x02/h\0\0\x01\x2c\0\0\0\x64\0\0\0\x01s\0\0\0\0";
    assert_eq!(GroupMetadata::decode(two), Ok(known.clone()));

    known.state_since_ms = None;
    known.members[0].rebalance_timeout_ms = 100;
    let zero = b"\0\0\0\x08consumer\0\0\0\x02\0\x05range\0\x03a-1\0\0\0\x01\
        \0\x03a-1\0\x01a\0\x02/h\0\0\0\x64\0\0\0\x01s\0\0\0\0";
    assert_eq!(GroupMetadata::decode(zero), Ok(known));

    let four = b"\0\x04\x09consumer\0\0\0\x02\x06range\x04a-1\0\0\0\0\0\0\0\x07\x02\
        \x04a-1\x02i\x02a\x03/h\0\0\x01\x2c\0\0\0\x64\x02s\x01\0\0";
    assert_eq!(GroupMetadata::decode(four), Ok(group()));
}

#[test]
fn cut_records_are_errors() {
    let (offset, group) = (offset(None).encode(), group().encode());
    for length in 0..offset.len() {
        assert!(
            CommittedOffset::decode(&offset[..length]).is_err(),
            "offset cut to {length}"
        );
    }
    for length in 0..group.len() {
        assert!(
            GroupMetadata::decode(&group[..length]).is_err(),
            "group cut to {length}"
        );
    }
}

#[test]
fn a_count_without_bytes_is_an_error() {
    let huge =
        b"\0\x03\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff";
    assert_eq!(GroupMetadata::decode(huge), Err(FormatError::Short));
}
