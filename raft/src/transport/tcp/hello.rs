//! What two nodes say to each other first. All integers are little-endian.
//!
//! ```text
//! offset  size  field    encoding
//! 0       8     magic    "WEIRNET\n"
//! 8       2     oldest   u16, the oldest version of the protocol that the node speaks
//! 10      2     newest   u16, the newest one
//! 12      4     seat     i32, the node's place in the cluster's list
//! 16      8     node     u64, its incarnation
//! 24      4     crc      u32, CRC32C of everything before
//! ```
//!
//! Both sides say it, the dialling one first, and speak the newest version that both know. A release speaks
//! the version before its own too, so that a cluster is upgraded node by node.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::ids::{NodeId, Seat};

const MAGIC: [u8; 8] = *b"WEIRNET\n";
const LEN: usize = 28;
/// The first byte of what one who speaks TLS says: an alert, a handshake.
const TLS: [u8; 2] = [0x15, 0x16];

/// Versions of the protocol, from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    pub oldest: u16,
    pub newest: u16,
}

/// What this release speaks.
pub const VERSIONS: Versions = Versions {
    oldest: 1,
    newest: 1,
};

impl Versions {
    /// The version that both speak.
    pub fn common(self, other: Versions) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

/// A node introduces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    pub versions: Versions,
    pub seat: Seat,
    pub node: NodeId,
}

fn encode(hello: &Hello) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&hello.versions.oldest.to_le_bytes());
    bytes[10..12].copy_from_slice(&hello.versions.newest.to_le_bytes());
    bytes[12..16].copy_from_slice(&hello.seat.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&hello.node.0.to_le_bytes());
    let crc = weir_crc::crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; LEN]) -> Result<Hello, &'static str> {
    let crc = u32::from_le_bytes(bytes[24..].try_into().expect("4 bytes"));
    if bytes[..8] != MAGIC {
        return Err("this is no node of Weir");
    }
    if crc != weir_crc::crc32c(&bytes[..24]) {
        return Err("the introduction arrived damaged");
    }
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    Ok(Hello {
        versions: Versions {
            oldest: u16_at(8),
            newest: u16_at(10),
        },
        seat: Seat(i32::from_le_bytes(
            bytes[12..16].try_into().expect("4 bytes"),
        )),
        node: NodeId(u64::from_le_bytes(
            bytes[16..24].try_into().expect("8 bytes"),
        )),
    })
}

pub async fn say<W: AsyncWrite + Unpin>(stream: &mut W, hello: &Hello) -> io::Result<()> {
    stream.write_all(&encode(hello)).await?;
    stream.flush().await
}

pub async fn hear<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Hello> {
    let mut bytes = [0; LEN];
    // By itself: an alert is shorter than an introduction.
    stream.read_exact(&mut bytes[..1]).await?;
    if TLS.contains(&bytes[0]) {
        return Err(malformed(
            "it speaks TLS and this node does not: give this node TLS between nodes too",
        ));
    }
    stream.read_exact(&mut bytes[1..]).await?;
    decode(&bytes).map_err(malformed)
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The version to speak with a node.
pub fn agree(ours: &Hello, theirs: &Hello) -> io::Result<u16> {
    let common = ours.versions.common(theirs.versions);
    common.ok_or_else(|| {
        let what = format!(
            "node {} speaks versions {} to {} of the protocol, this one {} to {}: upgrade release by release",
            theirs.seat,
            theirs.versions.oldest,
            theirs.versions.newest,
            ours.versions.oldest,
            ours.versions.newest
        );
        io::Error::new(io::ErrorKind::Unsupported, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of these bytes and the end of the connection.
    async fn heard(mut bytes: &[u8]) -> io::Result<Hello> {
        hear(&mut bytes).await
    }

    #[tokio::test]
    async fn one_who_speaks_tls_is_named_however_little_it_says() {
        for bytes in [&[0x16, 3, 1][..], &[0x15, 3, 3, 0, 2, 2, 80]] {
            let error = heard(bytes).await.expect_err("no introduction");
            assert!(error.to_string().contains("speaks TLS"), "{error}");
        }
        let error = heard(b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n").await;
        let error = error.expect_err("no introduction").to_string();
        assert!(error.contains("no node of Weir"), "{error}");
        let error = heard(b"WEIR").await.expect_err("cut off");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    fn versions(oldest: u16, newest: u16) -> Versions {
        Versions { oldest, newest }
    }

    #[test]
    fn the_newest_version_that_both_speak_is_spoken() {
        assert_eq!(versions(1, 1).common(versions(1, 2)), Some(1));
        assert_eq!(versions(2, 3).common(versions(1, 2)), Some(2));
        assert_eq!(versions(1, 3).common(versions(2, 3)), Some(3));
        assert_eq!(versions(3, 4).common(versions(1, 2)), None);
    }

    #[test]
    fn an_introduction_round_trips_and_damage_is_noticed() {
        let hello = Hello {
            versions: versions(2, 3),
            seat: Seat(-7),
            node: NodeId(0x0102_0304_0506_0708),
        };
        let bytes = encode(&hello);
        assert_eq!(decode(&bytes), Ok(hello));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex[..48],
            *"574549524e45540a02000300f9ffffff0807060504030201"
        );
        for at in 0..LEN {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            assert!(decode(&flipped).is_err(), "flipped byte {at}");
        }
    }
}
