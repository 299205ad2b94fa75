use proptest::prelude::*;

use super::*;

type Placed = (&'static [u8], [u32; 3], [u32; 3], [u32; 3], [u32; 3]);

/// Keys with the partition that real clients choose among 3, 7 and 12: kafka-python and librdkafka
/// (`murmur2`), librdkafka (`consistent`, `fnv1a`) and @platformatic/kafka (default).
#[rustfmt::skip]
const CLIENTS: &[Placed] = &[
    (b"a",                              [1, 5, 4], [0, 4, 3],  [0, 6, 0],  [0, 0, 0]),
    (b"ab",                             [2, 0, 2], [2, 5, 5],  [0, 2, 6],  [2, 0, 2]),
    (b"abc",                            [0, 4, 3], [0, 5, 6],  [2, 5, 11], [0, 4, 3]),
    (b"abcd",                           [2, 5, 8], [1, 4, 1],  [0, 1, 3],  [1, 0, 4]),
    (b"N14228",                         [2, 1, 8], [1, 2, 10], [0, 0, 0],  [1, 3, 4]),
    (b"kafka-partitioner",              [0, 1, 6], [0, 2, 3],  [2, 4, 5],  [2, 3, 2]),
    (&42i32.to_be_bytes(),              [0, 5, 0], [0, 0, 6],  [0, 5, 3],  [0, 5, 0]),
    (&1_234_567_890_123i64.to_be_bytes(), [0, 6, 0], [1, 3, 7], [2, 0, 8], [0, 6, 0]),
    ("Zürich".as_bytes(),               [1, 2, 1], [0, 5, 6],  [2, 5, 8],  [0, 4, 9]),
    (b"\xff\xfe\xfd",                   [2, 5, 8], [1, 4, 1],  [0, 1, 9],  [2, 5, 8]),
    (b"UA,1545,2013-01-01",             [1, 0, 4], [2, 3, 2],  [1, 1, 10], [1, 0, 4]),
];

#[test]
fn keys_go_where_real_clients_put_them() {
    for (key, murmur2, crc32, fnv1a, unsigned) in CLIENTS {
        for (i, count) in [3, 7, 12].into_iter().enumerate() {
            assert_eq!(
                Partitioner::Murmur2.partition(key, count),
                murmur2[i],
                "murmur2 {key:?} {count}"
            );
            assert_eq!(
                Partitioner::Crc32.partition(key, count),
                crc32[i],
                "crc32 {key:?} {count}"
            );
            assert_eq!(
                Partitioner::Fnv1a.partition(key, count),
                fnv1a[i],
                "fnv1a {key:?} {count}"
            );
            assert_eq!(
                Partitioner::Murmur2Unsigned.partition(key, count),
                unsigned[i],
                "unsigned {key:?} {count}"
            );
        }
    }
}

#[test]
fn candidates_narrow_to_the_client_that_writes() {
    for client in Partitioner::ALL {
        let mut set = Candidates::new(PartitionerSetting::Auto);
        for (key, ..) in CLIENTS {
            set = set
                .narrow(key, client.partition(key, 3), 3)
                .expect("the client itself always fits");
        }
        assert_eq!(
            set,
            Candidates::only(client),
            "eleven keys tell {client:?} from the others"
        );
        assert!(set.decided());
    }
}

#[test]
fn a_key_where_no_candidate_puts_it_is_refused() {
    let murmur2 = Candidates::new(PartitionerSetting::Murmur2);
    assert_eq!(murmur2.narrow(b"N14228", 2, 3), Some(murmur2));
    assert_eq!(murmur2.narrow(b"N14228", 1, 3), None);
}

#[test]
fn one_partition_tells_nothing() {
    let auto = Candidates::new(PartitionerSetting::Auto);
    assert_eq!(auto.narrow(b"", 0, 1), Some(auto));
    assert_eq!(auto.partitions(b"x", 1).as_slice(), [0]);
}

#[test]
fn a_server_side_write_prefers_murmur2() {
    assert_eq!(
        Candidates::new(PartitionerSetting::Auto).for_write(),
        Partitioner::Murmur2
    );
    assert_eq!(
        Candidates::new(PartitionerSetting::Crc32).for_write(),
        Partitioner::Crc32
    );
}

#[test]
fn an_empty_or_unknown_stored_set_is_refused() {
    assert!(Candidates::try_from(0).is_err());
    assert!(Candidates::try_from(0b1_0000).is_err());
    assert_eq!(serde_json::from_str::<Candidates>("5").unwrap().bits(), 5);
}

proptest! {
    #[test]
    fn every_candidate_left_places_every_accepted_key(keys in proptest::collection::vec(any::<Vec<u8>>(), 1..20), count in 2u32..9) {
        let mut set = Candidates::new(PartitionerSetting::Auto);
        let mut accepted: Vec<(&[u8], u32)> = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            let partition = (i as u32) % count;
            if let Some(narrowed) = set.narrow(key, partition, count) {
                set = narrowed;
                accepted.push((key, partition));
            }
        }
        for (key, partition) in accepted {
            prop_assert!(set.iter().all(|p| p.partition(key, count) == partition));
            prop_assert_eq!(set.partitions(key, count).to_vec(), vec![partition]);
        }
    }
}
