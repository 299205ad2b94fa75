//! Answers what other nodes ask.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::net::sockopt;
use tokio::io::{BufReader, ReadHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::frame::{Assembler, Kind, Message, READ_BUFFER_BYTES};
use super::outbox::Outbox;
use super::refusals::Refusals;
use super::{Caller, Service, Shared, Wire, hello};
use crate::node::Node;
use crate::transport::message;

/// How long a caller may take to introduce itself.
const HELLO_LIMIT: Duration = Duration::from_secs(3);
/// Callers that have not introduced themselves yet. More wait in the system's queue, so that what they cost is bounded.
const MAX_STRANGERS: usize = 1024;
/// Questions of one caller that are being answered; the next ones wait in its connection.
const MAX_AT_ONCE: usize = 1024;
/// A connection on which nothing arrives for so long is probed, and again so often.
const PROBE_AFTER: Duration = Duration::from_secs(10);
const PROBES: u32 = 6;
/// How long accepting pauses when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who answers: the replicas of a node, and the layer above.
pub struct Answerer {
    pub node: Node,
    pub service: Arc<dyn Service>,
}

/// Accepts until the task is dropped.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, answerer: Answerer) {
    let answerer = Arc::new(answerer);
    let refusals = Arc::new(Refusals::default());
    let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
    let mut connections = JoinSet::new();
    loop {
        let stranger = strangers.clone().acquire_owned().await;
        let stranger = stranger.expect("it is never closed");
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                let (shared, answerer) = (shared.clone(), answerer.clone());
                let refusals = refusals.clone();
                connections.spawn(async move {
                    let met = meet(stream, &shared).await;
                    drop(stranger);
                    match met {
                        Ok((stream, caller)) => {
                            refusals.forget(address.ip());
                            if let Err(error) = converse(stream, caller, answerer).await {
                                tracing::debug!(%address, %error, "a node's connection ended");
                            }
                        }
                        Err(error) => {
                            let reason = shared.guard.explain(&error);
                            refusals.report(address.ip(), &error, reason);
                        }
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a node's connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Secures a connection and hears who calls. An error refuses the caller.
async fn meet(stream: TcpStream, shared: &Shared) -> io::Result<(Box<dyn Wire>, Caller)> {
    stream.set_nodelay(true)?;
    notice_who_is_gone(&stream)?;
    let introduced = async {
        let mut stream = shared.guard.accept(stream).await?;
        let theirs = hello::hear(&mut stream).await?;
        // Said also to whom it cannot speak with, so that both sides can say why.
        hello::say(&mut stream, &shared.hello).await?;
        hello::agree(&shared.hello, &theirs)?;
        Ok::<_, io::Error>((stream, theirs))
    };
    let (stream, theirs) = tokio::time::timeout(HELLO_LIMIT, introduced).await??;
    let caller = Caller {
        seat: theirs.seat,
        node: theirs.node,
    };
    Ok((stream, caller))
}

/// A caller that lost its power says no goodbye, and that of one that gave up may be lost: it is probed.
fn notice_who_is_gone(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    Ok(sockopt::set_socket_keepalive(stream, true)?)
}

async fn converse(
    stream: Box<dyn Wire>,
    caller: Caller,
    answerer: Arc<Answerer>,
) -> io::Result<()> {
    let outbox = Arc::new(Outbox::default());
    let (reader, mut writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        read = answer_all(reader, caller, &outbox, answerer) => read,
        written = outbox.write_to(&mut writer, |_, _| true) => written,
    };
    outbox.close();
    ended
}

async fn answer_all(
    reader: ReadHalf<Box<dyn Wire>>,
    caller: Caller,
    outbox: &Arc<Outbox>,
    answerer: Arc<Answerer>,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    let mut assembler = Assembler::default();
    let room = Arc::new(Semaphore::new(MAX_AT_ONCE));
    // Dropped with the connection: nobody hears the answers then.
    let mut answering = JoinSet::new();
    while let Some(message) = assembler.next(&mut reader).await? {
        while answering.try_join_next().is_some() {}
        let permit = room.clone().acquire_owned().await;
        let permit = permit.expect("it is never closed");
        let (outbox, answerer) = (outbox.clone(), answerer.clone());
        let mut answered = Box::pin(async move {
            let stream = message.stream;
            let (kind, answer) = match answer(&answerer, caller, message).await {
                Ok(answer) => (Kind::Answer, answer),
                Err(reason) => (Kind::Failure, Bytes::from(reason)),
            };
            if let Err(refused) = outbox.push(stream, kind, vec![answer]) {
                tracing::debug!(node = %caller.seat, %refused, "an answer was dropped");
            }
            drop(permit);
        });
        // Begun here, so that what one replica asks another is begun in the order in which it was asked.
        if futures::poll!(&mut answered).is_pending() {
            answering.spawn(answered);
        }
    }
    Ok(())
}

async fn answer(answerer: &Answerer, caller: Caller, message: Message) -> Result<Bytes, String> {
    match message.kind {
        Kind::Replica => {
            let decoded = message::decode_request(message.bytes);
            let (shard, request) = decoded.map_err(|error| error.to_string())?;
            let reply = answerer.node.serve(shard, request).await;
            let reply = reply.map_err(|error| error.to_string())?;
            Ok(message::encode_reply(&reply))
        }
        Kind::Service => answerer.service.answer(caller, message.bytes).await,
        Kind::Answer | Kind::Failure => Err("an answer to no question".to_owned()),
    }
}
