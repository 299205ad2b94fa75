//! One connection that speaks Kafka's frames, with the crate kafka-protocol as the codec.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

pub const CLIENT_ID: &str = "judge";

/// How long an answer may take before it counts as none.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What came back for a request.
#[derive(Debug)]
pub enum Reply {
    /// The frame after its length: response header and body.
    Frame(Bytes),
    /// The broker closed the connection.
    Closed,
    /// Nothing came within the limit.
    Silent,
}

/// A decoded answer and the bytes that were left behind it (none, if the broker encodes as the protocol says).
#[derive(Debug)]
pub struct Decoded<T> {
    pub body: T,
    pub trailing_bytes: usize,
}

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    next_correlation: i32,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            next_correlation: 1,
        })
    }

    /// Sends a request and returns its correlation id; the answer is taken with [`Connection::receive`].
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32> {
        Ok(self.send_request(version, request)?.0)
    }

    /// The same; returns the frame too.
    pub fn send_request<R: Request>(&mut self, version: i16, request: &R) -> Result<(i32, Bytes)> {
        let correlation = self.next_correlation;
        self.next_correlation += 1;
        let frame = encode(version, correlation, request)?;
        self.send_frame(&frame)?;
        Ok((correlation, frame))
    }

    /// Sends `frame` after its length. A broker that has hung up already is no error here: the answer tells.
    pub fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        let mut bytes = BytesMut::with_capacity(frame.len() + 4);
        bytes.put_u32(u32::try_from(frame.len())?);
        bytes.put_slice(frame);
        self.send_bytes(&bytes)
    }

    /// Sends bytes as they are, with no length before them.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        match self.stream.write_all(bytes) {
            Err(error) if hung_up(error.kind()) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Takes the next frame.
    pub fn receive(&mut self, limit: Duration) -> Result<Reply> {
        self.stream.set_read_timeout(Some(limit))?;
        let mut length = [0; 4];
        if let Some(reply) = self.fill(&mut length)? {
            return Ok(reply);
        }
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length))?];
        if let Some(reply) = self.fill(&mut frame)? {
            return Ok(reply);
        }
        Ok(Reply::Frame(frame.into()))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<Option<Reply>> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(Some(Reply::Silent))
            }
            Err(error) if hung_up(error.kind()) => Ok(Some(Reply::Closed)),
            Err(error) => Err(error.into()),
        }
    }
}

/// The frame of a request, without its length.
pub fn encode<R: Request>(version: i16, correlation: i32, request: &R) -> Result<Bytes> {
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    header.encode(&mut frame, R::header_version(version))?;
    request.encode(&mut frame, version)?;
    Ok(frame.freeze())
}

/// Decodes an answer whose correlation id must be `correlation`.
pub fn decode<R: Request>(
    version: i16,
    correlation: i32,
    mut frame: Bytes,
) -> Result<Decoded<R::Response>> {
    if frame.len() < 4 {
        bail!("an answer of {} bytes", frame.len());
    }
    let answered = frame.get_i32();
    if answered != correlation {
        bail!("the answer carries correlation id {answered}, not {correlation}");
    }
    if R::Response::header_version(version) > 0 {
        let tags = frame.get_u8();
        if tags != 0 {
            bail!("the response header carries {tags} tagged fields");
        }
    }
    let body = R::Response::decode(&mut frame, version)?;
    Ok(Decoded {
        body,
        trailing_bytes: frame.len(),
    })
}

fn hung_up(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}
