//! Nodes on loopback: shards over real connections, and what happens when connections break.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::disk::MemDisk;
use crate::env::{Clock, Env};
use crate::node::{NodeConfig, Shard};
use crate::observer::Unobserved;
use crate::payload::Payload;
use crate::state_machine::{Committed, Outcome, StateMachine};
use crate::threads::RealThreads;

const SHARD: ShardId = ShardId(3);
const PATIENCE: Duration = Duration::from_secs(30);

struct Counter(AtomicU64);

impl Random for Counter {
    fn next(&self) -> u64 {
        self.0.fetch_add(7, Ordering::Relaxed)
    }
}

struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Answers with who asked and what; `sleep` and `fail` say what else.
struct Echo;

impl Service for Echo {
    fn answer(&self, caller: Caller, question: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        Box::pin(async move {
            match &question[..] {
                b"sleep" => std::future::pending().await,
                b"fail" => Err("it was told to".to_owned()),
                _ => Ok([format!("{}:", caller.seat).as_bytes(), &question]
                    .concat()
                    .into()),
            }
        })
    }
}

/// Lets nobody in before it is opened, and then everybody.
#[derive(Default)]
struct Gate {
    opened: AtomicBool,
}

impl Guard for Gate {
    fn connect(
        &self,
        stream: TcpStream,
        to: &str,
    ) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        Open.connect(stream, to)
    }

    fn accept(&self, mut stream: TcpStream) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        if self.opened.load(Ordering::Relaxed) {
            return Open.accept(stream);
        }
        Box::pin(async move {
            stream.read_exact(&mut [0; 28]).await?;
            // An alert, as from who speaks TLS.
            stream.write_all(&[0x15, 3, 3, 0, 2, 2, 10]).await?;
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the gate is closed",
            ))
        })
    }

    fn explain(&self, error: &io::Error) -> String {
        format!("the gate says: {error}")
    }
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<usize>>>);

impl StateMachine for Recorder {
    fn apply(&mut self, entry: &Committed) -> Outcome {
        self.0.lock().push(entry.payload.len());
        Outcome::Applied
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

struct Member {
    transport: TcpTransport,
    node: Node,
    recorder: Recorder,
    shard: Option<Shard>,
}

impl Member {
    async fn start(seat: i32, node: u64) -> Member {
        Member::start_behind(Arc::new(Open), seat, node).await
    }

    async fn start_behind(guard: Arc<dyn Guard>, seat: i32, node: u64) -> Member {
        let (seat, id) = (Seat(seat), NodeId(node));
        let random = Arc::new(Counter(AtomicU64::new(node)));
        let transport = TcpTransport::new(seat, id, guard, random.clone());
        let env = Env {
            clock: Arc::new(TestClock(tokio::time::Instant::now())),
            random,
            threads: Arc::new(RealThreads),
            disk: Arc::new(MemDisk::new()),
            transport: Arc::new(transport.clone()),
            fatal: Arc::new(|message| panic!("{message}")),
        };
        let config = NodeConfig::new("/node", id);
        let node = Node::open(config, env, Arc::new(Unobserved)).await;
        Member {
            transport,
            node: node.expect("the node opens"),
            recorder: Recorder::default(),
            shard: None,
        }
    }

    async fn listen(&self, address: &str) -> String {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let node = self.node.clone();
        self.transport.serve(listener, node, Arc::new(Echo));
        address
    }

    async fn start_shard(&mut self) {
        let machine = Box::new(self.recorder.clone());
        let started = self.node.join_shard(SHARD, machine).await;
        self.shard = Some(started.expect("the shard starts"));
    }

    fn shard(&self) -> &Shard {
        self.shard.as_ref().expect("it was started")
    }

    async fn until_met(&self, count: usize) {
        let mut peers = self.transport.peers();
        let all =
            tokio::time::timeout(PATIENCE, peers.wait_for(|peers| peers.len() >= count)).await;
        drop(all.expect("in time").expect("the transport is there"));
    }

    async fn stop(self) {
        self.node.shutdown().await;
        self.transport.stop().await;
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}

async fn introduce(members: &[&Member]) {
    let mut addresses = Vec::new();
    for member in members {
        addresses.push(member.listen("127.0.0.1:0").await);
    }
    for member in members {
        for address in &addresses {
            member.transport.connect(address.clone());
        }
    }
    for member in members {
        member.until_met(members.len() - 1).await;
    }
}

async fn append(shard: &Shard, len: usize) {
    let term = shard.leadership().borrow().term;
    let payload = Payload::new(vec![
        Bytes::from(vec![1; len / 2]),
        Bytes::from(vec![2; len - len / 2]),
    ]);
    let proposal = shard.propose(term, payload).await.expect("proposed");
    let outcome = tokio::time::timeout(PATIENCE, proposal).await;
    assert_eq!(
        outcome.expect("in time").expect("applied").1,
        Outcome::Applied
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_replicates_over_connections_and_elects_another_leader() {
    let mut members = Vec::new();
    for seat in 0..3 {
        members.push(Member::start(seat, 100 + seat as u64).await);
    }
    introduce(&members.iter().collect::<Vec<_>>()).await;
    for member in &mut members {
        member.start_shard().await;
        assert!(!member.shard().has_history());
    }
    let leader = members[0].shard();
    let voters: BTreeSet<NodeId> = [100, 101, 102].map(NodeId).into();
    leader.found(&voters).await.expect("founded");
    leader.found(&voters).await.expect("it is founded once");
    let mut leadership = leader.leadership();
    let open = leadership.wait_for(|now| now.open).await;
    drop(open.expect("it runs"));
    let lens = [10, 3 << 20, 0, 100_000];
    for len in lens {
        append(leader, len).await;
    }
    for member in &members {
        let applied = async || *member.recorder.0.lock() == lens;
        eventually("all entries everywhere", applied).await;
    }
    let all_in_sync = async || leader.followers().is_some_and(|now| now.in_sync == voters);
    eventually("followers in sync", all_in_sync).await;
    assert_eq!(members[1].shard().followers(), None, "it does not lead");
    members.remove(0).stop().await;
    let open = async || {
        members
            .iter()
            .any(|one| one.shard().leadership().borrow().open)
    };
    eventually("another leader", open).await;
    let is_open = |one: &&Member| one.shard().leadership().borrow().open;
    append(members.iter().find(is_open).expect("just seen").shard(), 7).await;
    for member in members {
        let applied = async || member.recorder.0.lock().last() == Some(&7);
        eventually("the last entry everywhere", applied).await;
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layer_above_asks_and_is_answered() {
    let (a, b) = (Member::start(1, 11).await, Member::start(2, 12).await);
    introduce(&[&a, &b]).await;
    let ask = |text: &'static str| {
        a.transport
            .ask(NodeId(12), Bytes::from_static(text.as_bytes()))
    };
    assert_eq!(ask("hello").await.expect("answered"), "1:hello");
    assert_eq!(
        ask("fail").await.expect_err("refused").reason,
        "it was told to"
    );
    let long = Bytes::from(vec![9; 5 << 20]);
    let answer = a.transport.ask(NodeId(12), long.clone()).await;
    assert_eq!(answer.expect("answered")[2..], long);
    let nobody = a.transport.ask(NodeId(77), Bytes::new()).await;
    assert_eq!(nobody.expect_err("nobody").node, NodeId(77));
    a.stop().await;
    b.stop().await;
}

/// Who waits when a connection breaks is told; the connection comes back by itself, but not to the
/// incarnation that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_dialled_again() {
    let (a, b) = (Member::start(1, 11).await, Member::start(2, 12).await);
    let address = b.listen("127.0.0.1:0").await;
    a.transport.connect(address.clone());
    a.until_met(1).await;
    let waiting = tokio::spawn({
        let transport = a.transport.clone();
        async move {
            transport
                .ask(NodeId(12), Bytes::from_static(b"sleep"))
                .await
        }
    });
    eventually("a question on its way", async || {
        a.transport.peers().borrow().contains_key(&NodeId(12))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    b.stop().await;
    let broken = tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("told in time");
    broken.expect("no panic").expect_err("it broke");
    let again = Member::start(2, 13).await;
    again.listen(&address).await;
    let asked = async || {
        let answer = a.transport.ask(NodeId(13), Bytes::from_static(b"x")).await;
        answer.is_ok_and(|answer| answer == "1:x")
    };
    eventually("the next incarnation", asked).await;
    let old = a.transport.ask(NodeId(12), Bytes::from_static(b"x")).await;
    assert!(old.is_err(), "the incarnation is gone");
    a.stop().await;
    again.stop().await;
}

/// A peer that takes no bytes for a while, as behind a cut, and finds the connection given up.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_before_a_connection_was_given_up_never_arrives() {
    const QUESTION_BYTES: usize = 32 << 20;
    let a = Member::start(1, 11).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    a.transport.connect(address);
    let (mut stream, _) = listener.accept().await.expect("it dials");
    let own = hello::Hello {
        versions: hello::VERSIONS,
        seat: Seat(2),
        node: NodeId(12),
    };
    hello::hear(&mut stream).await.expect("introduced");
    hello::say(&mut stream, &own).await.expect("heard");
    a.until_met(1).await;
    let question = Bytes::from(vec![9; QUESTION_BYTES]);
    let asked = a.transport.ask(NodeId(12), question);
    let asked = tokio::time::timeout(Duration::from_millis(300), asked).await;
    asked.expect_err("nobody answers");
    a.stop().await;
    let mut arrived = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut arrived)).await;
    let error = read.expect("in time").expect_err("it was given up");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(arrived.len() < QUESTION_BYTES, "all of it arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_finds_itself_in_a_list_of_addresses_and_who_else_is_there() {
    let (a, b) = (Member::start(1, 11).await, Member::start(2, 12).await);
    let (own, other) = (a.listen("127.0.0.1:0").await, b.listen("127.0.0.1:0").await);
    a.transport.connect(own.clone());
    a.transport.connect(other.clone());
    eventually("it knows itself", async || a.transport.is_own(&own)).await;
    a.until_met(1).await;
    let peer = Caller {
        seat: Seat(2),
        node: NodeId(12),
    };
    assert_eq!(a.transport.peer_at(&other), Ok(peer));
    assert!(!a.transport.is_own(&other));
    assert!(a.transport.peer_at(&own).is_err());
    assert_eq!(
        *a.transport.peers().borrow(),
        [(NodeId(12), Seat(2))].into()
    );
    b.stop().await;
    let gone = async || a.transport.peers().borrow().is_empty();
    eventually("the other one is gone", gone).await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_told_why_and_is_let_in_once_it_may() {
    let gate = Arc::new(Gate::default());
    let outside = Member::start(1, 11).await;
    let inside = Member::start_behind(gate.clone(), 2, 12).await;
    let address = inside.listen("127.0.0.1:0").await;
    outside.transport.connect(address.clone());
    let told = async || {
        let reason = outside.transport.peer_at(&address);
        reason.is_err_and(|reason| reason.contains(&address) && reason.contains("speaks TLS"))
    };
    eventually("it is told", told).await;
    // What went wrong is in the words of the guard.
    let nobody = "127.0.0.1:1";
    inside.transport.connect(nobody.to_owned());
    let explained = async || {
        let reason = inside.transport.peer_at(nobody);
        reason.is_err_and(|reason| reason.contains("the gate says: "))
    };
    eventually("it is explained", explained).await;
    gate.opened.store(true, Ordering::Relaxed);
    outside.until_met(1).await;
    outside.stop().await;
    inside.stop().await;
}
