//! A shard's snapshot file, as a start or an install finds it.
//!
//! Input: a switch (u8) that makes checksum and lengths right, then the file without its checksum.
#![no_main]

use bytes::Bytes;
use weir_fuzz::{Bounds, Input};
use weir_raft::readers;

weir_fuzz::target!(Bounds::new(64 << 10, 64, 500), seeds, run);

const SHARD: u64 = 7;
const HEADER_LEN: usize = 64;

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let right = input.u8() & 1 != 0;
    let mut file = input.rest().to_vec();
    if right && file.len() >= HEADER_LEN {
        let members = u32::from_le_bytes(file[12..16].try_into().expect("four bytes")) as usize;
        let state = (file.len() - HEADER_LEN).saturating_sub(members);
        file[16..24].copy_from_slice(&SHARD.to_le_bytes());
        file[56..64].copy_from_slice(&(state as u64).to_le_bytes());
        let crc = crc32c::crc32c(&file);
        file.extend(crc.to_le_bytes());
    }
    let file = Bytes::from(file);
    if let Some(state) = readers::snapshot(SHARD, file.clone()) {
        let content = file.slice(..file.len() - 4);
        assert!(
            content.ends_with(&state),
            "the state is what the file ends with"
        );
        assert_eq!(
            readers::snapshot(SHARD + 1, file),
            None,
            "it is no other shard's"
        );
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let head = |applied: u8, changed: u8, members: &[u8]| {
        let mut head = b"\x01WEIRSNP\n\x01\0".to_vec();
        head.extend([applied, changed]);
        head.extend((members.len() as u32).to_le_bytes());
        for number in [SHARD, 2, 9, 1, 3, 0] {
            head.extend(number.to_le_bytes());
        }
        head.extend(members);
        head
    };
    let one = b"\x01\x01\0\0\x01\0\x05\0\0\0\0\0\0\0";
    let joint = b"\x01\x02\x01\0\x01\0\x01\0\0\0\0\0\0\0\x02\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0";
    vec![
        [&head(2, 1, one)[..], b"state"].concat(),
        head(1, 1, one),
        [&head(2, 2, joint)[..], b"more state"].concat(),
    ]
}
