//! openraft's own tests of a log store and state machine.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tokio::sync::watch;

use super::types::TypeConfig;
use super::{Applier, Group, LogState, SnapshotStore, Store};
use crate::disk::MemDisk;
use crate::env::Env;
use crate::ids::{NodeId, ShardId};
use crate::observer::Unobserved;
use crate::state_machine::{Committed, Outcome, StateMachine};
use crate::transport::NoPeers;
use crate::wal::{Wal, WalConfig};

struct Nothing;

impl StateMachine for Nothing {
    fn apply(&mut self, _entry: &Committed) -> Outcome {
        Outcome::Applied
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

pub struct Builder;

/// Stops the WAL's writer at the end of a test.
pub struct Guard(Arc<Wal>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl StoreBuilder<TypeConfig, Store, Applier, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, Store, Applier), StorageError<TypeConfig>> {
        let disk = Arc::new(MemDisk::new());
        let env = Env {
            disk: disk.clone(),
            ..Env::real(Arc::new(NoPeers))
        };
        let config = WalConfig {
            file_bytes: 64 << 10,
            ..WalConfig::default()
        };
        let wal = Wal::open(
            "/wal".into(),
            NodeId(1),
            config,
            &env,
            Arc::new(Unobserved),
            &mut |_| Ok(()),
        );
        let wal = Arc::new(wal.expect("an empty directory opens"));
        let group = Group::new(ShardId(1), NodeId(1), wal.clone(), LogState::default());
        let group = Arc::new(group);
        let snapshots = SnapshotStore::new("/snapshots".into(), ShardId(1), disk);
        let (term, _) = watch::channel(0);
        let applier = Applier::new(group.clone(), Box::new(Nothing), snapshots, term);
        Ok((Guard(wal), Store(group), applier))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_storage_suite_passes() {
    let result = Suite::test_all(Builder).await;
    result.expect("the suite passes");
}
