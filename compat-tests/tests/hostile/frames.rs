//! Frames that are not what they say: each costs its connection, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::BufMut;
use compat_tests::clock;

use crate::scene::Scene;
use crate::wire::{Outcome, connect, first_answer, framed, header, send};

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
/// The largest frame that the broker takes.
const FRAME_LIMIT: u32 = 100 << 20;

pub fn attacks(scene: &mut Scene) {
    scene.attack("an array of 2^31-1 topics in 8 bytes", 8, |scene| {
        let mut bomb = header(METADATA, 0);
        bomb.put_i32(i32::MAX);
        refused(scene.weir().kafka, &framed(&bomb), 300)
    });
    scene.attack("a frame of two bytes", 8, |scene| {
        refused(scene.weir().kafka, &framed(&[0, 3]), 300)
    });
    scene.attack("a frame of no bytes", 8, |scene| {
        refused(scene.weir().kafka, &framed(&[]), 300)
    });
    scene.attack("a negative length", 8, |scene| {
        refused(scene.weir().kafka, &(-1i32).to_be_bytes(), 100)?;
        refused(scene.weir().kafka, &i32::MIN.to_be_bytes(), 100)
    });
    scene.attack("a frame over the limit", 8, |scene| {
        refused(scene.weir().kafka, &(FRAME_LIMIT + 1).to_be_bytes(), 100)?;
        refused(scene.weir().kafka, &i32::MAX.to_be_bytes(), 100)
    });
    scene.attack("other protocols", 8, |scene| {
        let kafka = scene.weir().kafka;
        refused(kafka, b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n", 50)?;
        // The first bytes of a TLS hello.
        refused(kafka, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 50)
    });
    scene.attack("garbage behind a length", 16, garbage);
    scene.attack("APIs and versions that there are not", 8, unknown);
    scene.attack("lengths that nothing stands behind", 16, empty_promises);
    scene.attack("half a frame that hangs", 80, half_a_frame);
    scene.attack("long lists of nothing", 400, long_lists);
}

/// Each of `times` connections is closed without an answer.
fn refused(address: SocketAddr, bytes: &[u8], times: usize) -> Result<()> {
    for _ in 0..times {
        let outcome = send(address, bytes)?;
        ensure!(
            outcome == Outcome::Closed,
            "{bytes:02x?} is answered: {outcome:02x?}"
        );
    }
    Ok(())
}

fn garbage(scene: &Scene) -> Result<()> {
    let mut noise = crate::mutations::Noise::new(7);
    for _ in 0..200 {
        let mut bytes = vec![0; 32 * 1024];
        noise.fill(&mut bytes);
        // No API has a number this large.
        bytes[0] |= 0x10;
        refused(scene.weir().kafka, &framed(&bytes), 1)?;
    }
    Ok(())
}

fn unknown(scene: &Scene) -> Result<()> {
    let kafka = scene.weir().kafka;
    for key in [-1, 4, 52, 999, i16::MAX, i16::MIN] {
        refused(kafka, &framed(&header(key, 0)), 20)?;
    }
    for version in [-1, 99, i16::MAX, i16::MIN] {
        refused(kafka, &framed(&header(METADATA, version)), 20)?;
    }
    // Of this one every client must be able to learn what is served.
    let outcome = send(kafka, &framed(&header(API_VERSIONS, 99)))?;
    let Outcome::Answered(answer) = outcome else {
        anyhow::bail!("an unknown version of ApiVersions is not answered");
    };
    ensure!(
        answer[8..10] == 35i16.to_be_bytes(),
        "the error is not UNSUPPORTED_VERSION"
    );
    Ok(())
}

/// Frames of the largest size are announced; not a byte of them comes.
fn empty_promises(scene: &Scene) -> Result<()> {
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut stream = connect(scene.weir().kafka)?;
        std::io::Write::write_all(&mut stream, &FRAME_LIMIT.to_be_bytes())?;
        std::io::Write::write_all(&mut stream, &header(METADATA, 1))?;
        held.push(stream);
    }
    clock::pause(Duration::from_millis(500));
    Ok(())
}

fn half_a_frame(scene: &Scene) -> Result<()> {
    let mut held = Vec::new();
    let half = vec![0; 512 * 1024];
    for _ in 0..100 {
        let mut stream = connect(scene.weir().kafka)?;
        std::io::Write::write_all(&mut stream, &(1u32 << 20).to_be_bytes())?;
        std::io::Write::write_all(&mut stream, &half)?;
        held.push(stream);
    }
    clock::pause(Duration::from_millis(500));
    // One that hangs up, and one that says goodbye, in the middle.
    drop(held.pop());
    let mut last = held.pop().expect("a connection");
    last.shutdown(std::net::Shutdown::Write)?;
    ensure!(
        first_answer(&mut last)? == Outcome::Closed,
        "half a frame is answered"
    );
    Ok(())
}

/// Two bytes of a request make a hundred in memory and in the answer: millions of empty names.
fn long_lists(scene: &Scene) -> Result<()> {
    const ENTRIES: i32 = 500_000;
    // Metadata, DescribeGroups, DeleteGroups and DescribeConfigs, each a list of empty strings.
    for (key, version, behind) in [(METADATA, 1, 0), (15, 0, 0), (42, 0, 0)] {
        let mut frame = header(key, version);
        frame.put_i32(ENTRIES);
        frame.resize(frame.len() + 2 * ENTRIES as usize + behind, 0);
        // An answer or a closed connection: both are right.
        send(scene.weir().kafka, &framed(&frame))?;
    }
    Ok(())
}
