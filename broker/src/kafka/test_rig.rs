//! A server over real TCP whose APIs are stand-ins, and a client that speaks frames.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::Decodable;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api_versions;
use super::connection::Limits;
use super::dispatch::{Body, Dispatch, Entry, Reply, ReplyFuture, RequestHead, encode, framed};
use super::listener::{Server, bind};
use super::session::Session;
use crate::connections::Connections;

/// Longer than anything takes that is going to happen.
pub const SOON: Duration = Duration::from_secs(10);

/// What the stand-ins share: which requests have started, and the gate that slow ones wait at.
pub struct Stage {
    pub started: Mutex<Vec<i32>>,
    pub gate: Semaphore,
}

/// Echoes at once.
pub const ECHO: ApiKey = ApiKey::Metadata;
/// Echoes when the gate lets it.
pub const SLOW: ApiKey = ApiKey::Heartbeat;
/// Answers [`BIG_PIECES`] pieces of [`BIG_PIECE_BYTES`].
pub const BIG: ApiKey = ApiKey::Fetch;
/// Answers nothing.
pub const SILENT: ApiKey = ApiKey::Produce;
/// Echoes at once, and has its client held back for [`HOLD`].
pub const HOLDS: ApiKey = ApiKey::InitProducerId;
pub const HOLD: Duration = Duration::from_millis(300);
/// Panics in its ordered stage.
pub const PANICS: ApiKey = ApiKey::DescribeCluster;
/// Panics in its response stage.
pub const PANICS_LATER: ApiKey = ApiKey::ListGroups;

pub const BIG_PIECES: usize = 3000;
pub const BIG_PIECE_BYTES: usize = 4096;

pub static STAND_INS: &[Entry<Stage>] = &[
    Entry::custom(SILENT, 3..=13, |stage: &Arc<Stage>, _, head, _| {
        stage.started.lock().push(head.correlation_id);
        Ok(Box::pin(async { Reply::None }))
    })
    .advertised_from(0),
    Entry::custom(BIG, 4..=17, |_, _, head, _| {
        let piece = Bytes::from(vec![7; BIG_PIECE_BYTES]);
        let body = vec![piece; BIG_PIECES];
        Ok(Box::pin(async move { Reply::Segments(framed(head, body)) }))
    }),
    Entry::custom(ECHO, 0..=13, |stage, _, head, body| {
        stage.started.lock().push(head.correlation_id);
        Ok(echo(head, body))
    }),
    Entry::custom(SLOW, 0..=4, |stage, _, head, body| {
        stage.started.lock().push(head.correlation_id);
        let stage = stage.clone();
        Ok(Box::pin(async move {
            stage.gate.acquire().await.unwrap().forget();
            echo(head, body).await
        }))
    }),
    Entry::custom(PANICS_LATER, 0..=5, |_, _, _, _| {
        Ok(Box::pin(async {
            panic!("the response stage fails, as it should")
        }))
    }),
    Entry::custom(ApiKey::ApiVersions, 0..=4, start_api_versions),
    Entry::custom(HOLDS, 0..=1, |stage, session, head, body| {
        stage.started.lock().push(head.correlation_id);
        session.hold_back(HOLD);
        Ok(echo(head, body))
    }),
    Entry::custom(PANICS, 0..=2, |_, _, _, _| {
        panic!("the ordered stage fails, as it should")
    }),
];

fn echo(head: RequestHead, body: Body) -> ReplyFuture {
    let framed = framed(head, vec![body.bytes.freeze()]);
    Box::pin(async move { Reply::Segments(framed) })
}

fn start_api_versions(
    _: &Arc<Stage>,
    session: &Arc<Session>,
    head: RequestHead,
    body: Body,
) -> Result<ReplyFuture, String> {
    let request = ApiVersionsRequest::decode(&mut body.bytes.freeze(), head.version).unwrap();
    let response = api_versions::answer(STAND_INS, session, head.version, &request);
    Ok(Box::pin(async move {
        encode(ApiKey::ApiVersions, head, &response)
    }))
}

/// A running server.
pub struct Rig {
    pub address: SocketAddr,
    pub stage: Arc<Stage>,
    pub server: Arc<Server<Stage>>,
    pub shutdown: CancellationToken,
    pub serving: JoinHandle<()>,
}

impl Rig {
    pub async fn start() -> Rig {
        Rig::with(Limits::default(), 64 << 20).await
    }

    pub async fn with(limits: Limits, max_request_bytes: usize) -> Rig {
        let stage = Arc::new(Stage {
            started: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let server = Server::new(
            Dispatch::over(stage.clone(), STAND_INS),
            limits,
            max_request_bytes,
            Connections::new(1000, Box::new(|| 1000)),
        );
        let listeners = bind("127.0.0.1:0", "--kafka-listen").await.unwrap();
        let address = listeners[0].local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.clone().serve(listeners, shutdown.clone()));
        Rig {
            address,
            stage,
            server,
            shutdown,
            serving,
        }
    }

    pub async fn client(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
        }
    }

    /// Waits until requests with these correlation ids, and no others, have started, in this order.
    pub async fn wait_started(&self, expected: &[i32]) {
        wait_until(
            || *self.stage.started.lock() == expected,
            "requests to start",
        )
        .await;
    }

    /// Opens the gate for `count` slow requests.
    pub fn let_through(&self, count: usize) {
        self.stage.gate.add_permits(count);
    }

    /// A new client is served: nothing that another did has hurt the server.
    pub async fn check_unharmed(&self) {
        let mut client = self.client().await;
        client.send(ECHO, 0, 4242, &empty_array()).await;
        assert_eq!(client.receive().await.correlation_id, 4242);
        drop(client);
        wait_until(
            || self.server.request_bytes() == 0,
            "the byte budget to be whole",
        )
        .await;
    }
}

pub async fn wait_until(mut condition: impl FnMut() -> bool, what: &str) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

/// A body that every stand-in of version 0 takes: an array without elements.
pub fn empty_array() -> Vec<u8> {
    vec![0; 4]
}

/// Heartbeat's body at version 0: no group, generation 0, no member.
pub fn heartbeat() -> Vec<u8> {
    vec![0; 8]
}

/// A connection's other end.
pub struct Client {
    pub stream: TcpStream,
}

pub struct Response {
    pub correlation_id: i32,
    pub body: Bytes,
}

pub fn request(
    key: i16,
    version: i16,
    correlation_id: i32,
    flexible: bool,
    body: &[u8],
) -> Vec<u8> {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    frame.put_i16(4);
    frame.put_slice(b"test");
    if flexible {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    let length = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.to_vec()
}

impl Client {
    pub async fn send(&mut self, key: ApiKey, version: i16, correlation_id: i32, body: &[u8]) {
        let flexible = key.request_header_version(version) == 2;
        self.send_bytes(&request(
            key as i16,
            version,
            correlation_id,
            flexible,
            body,
        ))
        .await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next response, its header of version 0.
    pub async fn receive(&mut self) -> Response {
        let reading = async {
            let length = self.stream.read_u32().await.unwrap() as usize;
            let mut frame = vec![0; length];
            self.stream.read_exact(&mut frame).await.unwrap();
            let mut body = Bytes::from(frame);
            Response {
                correlation_id: body.get_i32(),
                body,
            }
        };
        tokio::time::timeout(SOON, reading)
            .await
            .expect("a response comes")
    }

    /// The server ends the connection without a further byte.
    pub async fn expect_closed(&mut self) {
        let mut byte = [0; 1];
        let read = tokio::time::timeout(SOON, self.stream.read(&mut byte))
            .await
            .expect("the connection ends");
        assert!(matches!(read, Ok(0) | Err(_)), "a byte came: {byte:?}");
    }
}
