//! What a leader's snapshot lacks where state lies in files beside it.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::ids::{NodeId, ShardId};

/// Brings what lies beside a leader's snapshot here, before the snapshot takes the place of a replica's state.
pub trait Bring: Send + Sync + 'static {
    /// `state` is what the leader's state machine gave; the answer is what the one here restores. From then on the
    /// leader counts every entry before it as held here, so all that it names is durable by then.
    ///
    /// An error is told to the leader, which sends its snapshot again; what was brought by then is not lost.
    fn bring(
        &self,
        shard: ShardId,
        leader: NodeId,
        state: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, String>>;
}
