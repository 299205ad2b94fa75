//! A state machine whose whole state is a chain of hashes over what it was fed.

use std::sync::Arc;

use parking_lot::Mutex;
use weir_raft::{Committed, Index, Outcome, ShardId, StateMachine};

use crate::judge::{Fed, Judge};
use crate::life::Life;
use crate::random::mix;

/// What a machine has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// The number of entries with a payload,
    pub count: u64,
    /// the index of the last one,
    pub last: Index,
    /// and the chain of their hashes.
    pub chain: u64,
}

/// Feeds the judge. Clones share the state.
#[derive(Clone)]
pub struct Recorder {
    life: Life,
    shard: ShardId,
    judge: Arc<Judge>,
    state: Arc<Mutex<State>>,
    /// Bytes that snapshots have besides.
    padding: usize,
}

impl Recorder {
    pub fn new(life: Life, shard: ShardId, judge: Arc<Judge>, padding: usize) -> Recorder {
        Recorder {
            life,
            shard,
            judge,
            state: Arc::default(),
            padding,
        }
    }

    pub fn state(&self) -> State {
        *self.state.lock()
    }
}

/// The hash of an entry's bytes.
pub fn hash(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words.fold(bytes.len() as u64, |hash, word| mix(hash ^ word))
}

impl StateMachine for Recorder {
    fn apply(&mut self, entry: &Committed) -> Outcome {
        let hash = hash(&entry.payload.slice(0..entry.payload.len()));
        let mut state = self.state.lock();
        let before = *state;
        *state = State {
            count: before.count + 1,
            last: entry.index,
            chain: mix(before.chain ^ mix(hash ^ entry.index)),
        };
        let fed = Fed {
            index: entry.index,
            term: entry.term,
            hash,
            pos: entry.pos,
            len: entry.payload.len(),
        };
        self.judge
            .applied(&self.life, self.shard, &before, &state, &fed);
        Outcome::Applied
    }

    fn snapshot(&self) -> Vec<u8> {
        let state = self.state.lock();
        let words = [state.count, state.last, state.chain];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(bytes.len() + self.padding, 0x5a);
        bytes
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
            bytes
                .map(u64::from_le_bytes)
                .ok_or("it is too short".to_owned())
        };
        let restored = State {
            count: word(0)?,
            last: word(8)?,
            chain: word(16)?,
        };
        self.judge
            .restored(&self.life, self.shard, &self.state(), &restored);
        *self.state.lock() = restored;
        Ok(())
    }
}
