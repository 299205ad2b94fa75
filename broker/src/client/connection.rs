//! One connection to a broker: a request goes out, its response comes back.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ClientError, text};

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Above the longest that a broker waits on this client's behalf.
const ANSWER_PATIENCE: Duration = Duration::from_secs(40);
/// Larger answers than this client asks for.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// What brokers note about this client, in their logs and in refusals.
const CLIENT_ID: &str = "weir-cli";

pub struct Connection {
    address: String,
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    pub async fn open(address: &str) -> Result<Connection, ClientError> {
        let cannot = |source| ClientError::Connect {
            address: address.to_owned(),
            source,
        };
        let stream = timeout(CONNECT_PATIENCE, dial(address))
            .await
            .map_err(|_| cannot(std::io::ErrorKind::TimedOut.into()))?
            .map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        Ok(Connection {
            address: address.to_owned(),
            stream,
            correlation_id: 0,
        })
    }

    pub async fn call<R: Request>(
        &mut self,
        version: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let frame = encode(version, self.correlation_id, &request)
            .map_err(|error| ClientError::Encode(error.to_string()))?;
        let answer = timeout(ANSWER_PATIENCE, self.exchange(&frame)).await;
        let answer = answer.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let malformed = |reason| ClientError::Malformed {
            address: self.address.clone(),
            reason,
        };
        let mut answer = answer.map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidData => malformed(source.to_string()),
            _ => ClientError::Lost {
                address: self.address.clone(),
                source,
            },
        })?;
        decode::<R>(version, self.correlation_id, &mut answer).map_err(malformed)
    }

    async fn exchange(&mut self, frame: &[u8]) -> std::io::Result<Bytes> {
        self.stream.write_all(frame).await?;
        let length = self.stream.read_i32().await?;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= MAX_ANSWER_BYTES)
            .ok_or_else(|| {
                let reason = format!("it claims to be {length} bytes long");
                std::io::Error::new(std::io::ErrorKind::InvalidData, reason)
            })?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer.into())
    }
}

async fn dial(address: &str) -> std::io::Result<TcpStream> {
    match address.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => TcpStream::connect(&localhost(port)[..]).await,
        _ => TcpStream::connect(address).await,
    }
}

/// What `localhost` is where the system has no file of hosts to say so, as in a bare container.
pub(super) fn localhost(port: u16) -> [SocketAddr; 2] {
    [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ]
}

fn encode<R: Request>(version: i16, correlation_id: i32, request: &R) -> anyhow::Result<BytesMut> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(text(CLIENT_ID)));
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.encode(&mut frame, R::header_version(version))?;
    request.encode(&mut frame, version)?;
    let length = i32::try_from(frame.len() - 4)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

fn decode<R: Request>(
    version: i16,
    correlation_id: i32,
    answer: &mut Bytes,
) -> Result<R::Response, String> {
    let header = ResponseHeader::decode(answer, R::Response::header_version(version))
        .map_err(|error| error.to_string())?;
    if header.correlation_id != correlation_id {
        return Err(format!(
            "an answer to request {} came for request {correlation_id}",
            header.correlation_id
        ));
    }
    let response = R::Response::decode(answer, version).map_err(|error| error.to_string())?;
    match answer.remaining() {
        0 => Ok(response),
        rest => Err(format!("{rest} bytes are left after the answer")),
    }
}
