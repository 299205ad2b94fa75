//! The same on the operating system's files.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use weir_raft::{Env, NoPeers, Node, NodeConfig, NodeId, OpenError, Payload, Shard};

use crate::fixture::{Recorder, SHARD, Watcher, eventually, open_term, put};

struct Directory {
    dir: tempfile::TempDir,
    watcher: Arc<Watcher>,
}

impl Directory {
    fn new() -> Directory {
        Directory {
            dir: tempfile::tempdir().expect("a directory"),
            watcher: Arc::default(),
        }
    }

    async fn open(&self) -> Result<Node, OpenError> {
        let mut config = NodeConfig::new(self.dir.path(), NodeId(1));
        config.wal.file_bytes = 1 << 20;
        let env = Env::real(Arc::new(NoPeers));
        Node::open(config, env, self.watcher.clone()).await
    }

    async fn start(&self) -> (Node, Shard, Recorder) {
        let node = self.open().await.expect("the node opens");
        let recorder = Recorder::default();
        let shard = node.start_shard(SHARD, Box::new(recorder.clone())).await;
        let shard = shard.expect("the shard starts");
        open_term(&shard).await;
        (node, shard, recorder)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_over_many_files_survive_restarts_and_retirement() {
    let directory = Directory::new();
    let mut expected: Vec<Vec<u8>> = Vec::new();
    for round in 0..3u8 {
        let (node, shard, recorder) = directory.start().await;
        let applied: Vec<_> = recorder
            .applied
            .lock()
            .iter()
            .map(|(_, bytes, _)| bytes.clone())
            .collect();
        assert!(applied == expected, "round {round}");
        let term = open_term(&shard).await;
        for n in 0..30 {
            let pieces = vec![
                Bytes::from(vec![round + 1; 50_000]),
                Bytes::from(vec![n + 100; 70_000]),
            ];
            let payload = Payload::new(pieces);
            expected.push(payload.slice(0..payload.len()).to_vec());
            let proposal = shard.propose(term, payload).await.expect("proposed");
            proposal.await.expect("applied");
        }
        let files = node.wal_usage().files;
        assert!(files > 3, "{files} files");
        node.shutdown().await;
    }
    let (node, shard, _) = directory.start().await;
    let upto = shard.snapshot().await.expect("stored").expect("not empty");
    shard.purge(upto).await.expect("purged");
    put(&shard, "last").await;
    let mut left = node.wal_usage().files;
    for _ in 0..100 {
        node.retire_wal(u64::MAX).await.expect("retired");
        left = node.wal_usage().files;
        if left == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(left, 1);
    node.shutdown().await;
    let (node, _, recorder) = directory.start().await;
    assert_eq!(recorder.payloads().last().map(String::as_str), Some("last"));
    assert!(directory.watcher.damage.lock().is_empty());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_opened_once_at_a_time() {
    let directory = Directory::new();
    let (node, ..) = directory.start().await;
    assert!(matches!(
        directory.open().await.err(),
        Some(OpenError::Locked { .. })
    ));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_proposals_in_flight_share_syncs() {
    let directory = Directory::new();
    let (node, shard, recorder) = directory.start().await;
    let term = open_term(&shard).await;
    let mut proposals = Vec::new();
    for n in 0..2000u32 {
        let payload = Payload::new(vec![Bytes::from(n.to_be_bytes().to_vec())]);
        proposals.push(shard.propose(term, payload).await.expect("proposed"));
    }
    for proposal in proposals {
        proposal.await.expect("applied");
    }
    eventually("all applied", || recorder.applied.lock().len() == 2000).await;
    let groups = directory.watcher.groups.load(Ordering::Relaxed);
    assert!(groups < 1000, "2000 entries took {groups} groups");
    node.shutdown().await;
}
