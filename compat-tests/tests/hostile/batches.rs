//! Record batches that lie, and batches that explode.

use anyhow::{Result, ensure};
use bytes::Bytes;
use compat_tests::differential::batches::{Batch, Codec, Record, batch, one, record};
use compat_tests::differential::topics::Topic;
use compat_tests::differential::wire::Connection;

use crate::scene::Scene;
use crate::wire::{produce, produce_request, take_produced};

const MIB: usize = 1 << 20;
const CORRUPT_MESSAGE: i16 = 2;
const COMPRESSED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
/// Without optimisation one takes seconds.
const BOMBS_EACH: usize = if cfg!(debug_assertions) { 1 } else { 8 };
/// What a batch may grow to, twice over while it grows.
const PEAK_MIB: i64 = 200;

pub fn attacks(scene: &mut Scene) {
    let plain = scene.topic("plain", &[]).expect("a topic");
    let checked = [("schema.validation.value", "full")];
    let validated = scene.topic("validated", &checked).expect("a topic");
    scene.attack("a wrong CRC", 8, |scene| {
        let wrong = Batch {
            crc: Some(1),
            ..one()
        };
        let answers = flood(scene, &plain, &wrong.bytes(), 300)?;
        ensure!(
            answers.iter().all(|code| *code == CORRUPT_MESSAGE),
            "{answers:?}"
        );
        Ok(())
    });
    scene.attack("2^31-1 records in a few bytes", 8, |scene| {
        for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
            let lying = Batch {
                records_count: Some(i32::MAX),
                last_offset_delta: Some(i32::MAX - 1),
                ..one().codec(codec)
            };
            all_refused(scene, &plain, &lying.bytes(), 50)?;
        }
        Ok(())
    });
    scene.attack("payloads that their codec does not know", 8, |scene| {
        for codec in COMPRESSED {
            let lying = one().attributes(codec as i16);
            all_refused(scene, &plain, &lying.bytes(), 50)?;
        }
        Ok(())
    });
    scene.attack("a snappy block that claims 4 GiB", 8, |scene| {
        let claim = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        all_refused(scene, &plain, &sealed(Codec::Snappy, &claim), 50)
    });
    scene.attack(
        "large batches among small ones keep their order",
        96,
        |scene| keep_their_order(scene, &plain),
    );
    for codec in COMPRESSED {
        let bomb = bomb(codec).bytes();
        for topic in [("a plain", &plain), ("a validated", &validated)] {
            let name = format!("{codec:?} bombs into {} topic", topic.0);
            scene.attack(&name, PEAK_MIB, |scene| bombard(scene, topic.1, &bomb));
        }
    }
    scene.attack(
        "hundreds of thousands of records to be refused one by one",
        PEAK_MIB,
        |scene| {
            let empty = || Record {
                key: None,
                value: Some(Bytes::new()),
                ..record("", "")
            };
            let many = batch((0..300_000).map(|_| empty()).collect());
            all_refused(scene, &validated, &many.codec(Codec::Zstd).bytes(), 3)
        },
    );
}

/// A batch of one record that takes as much as its codec can hide in the largest batch.
fn bomb(codec: Codec) -> Batch {
    let size = match codec {
        // At most a factor of 21, in a batch of a megabyte.
        Codec::Snappy => 20 * MIB,
        _ if cfg!(debug_assertions) => 70 * MIB,
        _ => 200 * MIB,
    };
    let mut value = record("k", "");
    value.value = Some(Bytes::from(vec![0; size]));
    batch(vec![value]).codec(codec)
}

/// One producer's batches, sent without waiting: a large one takes longer to check than the small ones behind it.
fn keep_their_order(scene: &Scene, topic: &Topic) -> Result<()> {
    let mut large = record("k", "");
    large.value = Some(Bytes::from(vec![0; 8 * MIB]));
    let large = batch(vec![large]).codec(Codec::Zstd);
    let mut connection = Connection::open(scene.weir().kafka)?;
    let sent: Vec<i32> = (0..12)
        .map(|at| {
            let next = if at % 4 == 0 { large.clone() } else { one() };
            let records = next.producer(4_711, 0, at).bytes();
            connection.send(9, &produce_request(topic, records))
        })
        .collect::<Result<_>>()?;
    let mut offsets = Vec::new();
    for correlation in sent {
        let answer = take_produced(&mut connection, correlation)?;
        ensure!(
            answer.error_code == 0,
            "error {} {:?}",
            answer.error_code,
            answer.error_message
        );
        offsets.push(answer.base_offset);
    }
    let expected: Vec<i64> = (offsets[0]..).take(offsets.len()).collect();
    ensure!(offsets == expected, "{offsets:?}");
    Ok(())
}

/// Several clients send bombs at the same time.
fn bombard(scene: &Scene, topic: &Topic, bomb: &Bytes) -> Result<()> {
    ensure!(bomb.len() < MIB, "{} bytes are no bomb", bomb.len());
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| flood(scene, topic, bomb, BOMBS_EACH)))
            .collect();
        for client in clients {
            client.join().expect("a client")?;
        }
        Ok(())
    })
}

fn all_refused(scene: &Scene, topic: &Topic, records: &Bytes, times: usize) -> Result<()> {
    let answers = flood(scene, topic, records, times)?;
    ensure!(answers.iter().all(|code| *code != 0), "{answers:?}");
    Ok(())
}

/// Sends a record set many times on one connection; the error codes.
fn flood(scene: &Scene, topic: &Topic, records: &Bytes, times: usize) -> Result<Vec<i16>> {
    let mut connection = Connection::open(scene.weir().kafka)?;
    (0..times)
        .map(|_| Ok(produce(&mut connection, topic, records.clone())?.error_code))
        .collect()
}

/// A batch of one record whose payload is these bytes, with the CRC that they need.
fn sealed(codec: Codec, payload: &[u8]) -> Bytes {
    const HEADER: usize = 61;
    let mut bytes = one().attributes(codec as i16).bytes().to_vec();
    bytes.truncate(HEADER);
    bytes.extend_from_slice(payload);
    let length = i32::try_from(bytes.len() - 12).expect("a batch is small");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}
