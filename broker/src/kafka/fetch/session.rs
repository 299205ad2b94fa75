//! Fetch sessions (KIP-227): a reader names its partitions once and then sends changes only.

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::response::PartitionAnswer;
use crate::kafka::produce::request::TopicRef;

/// Sessions that a broker keeps; past it the one that was used least recently goes.
const SLOTS: usize = 1_000;
const FINAL_EPOCH: i32 = -1;
const INITIAL_EPOCH: i32 = 0;

/// A partition that a reader asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub topic: TopicRef,
    pub index: i32,
}

/// What a reader wants of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub fetch_offset: i64,
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
    pub max_bytes: i32,
}

impl Want {
    pub fn max_bytes(&self) -> usize {
        usize::try_from(self.max_bytes).unwrap_or(0)
    }
}

/// What the last answer of a session said of a partition; -1 makes the next answer repeat it.
#[derive(Clone, Debug)]
struct Cached {
    want: Want,
    high_watermark: i64,
    log_start_offset: i64,
}

impl Cached {
    fn new(want: Want) -> Cached {
        Cached {
            want,
            high_watermark: -1,
            log_start_offset: -1,
        }
    }

    /// Whether an incremental answer has to name the partition.
    fn changed(&mut self, answer: &PartitionAnswer) -> bool {
        let mut changed = !answer.records.is_empty() || answer.diverging_epoch.is_some();
        // The reader asks here again only where it has not taken the advice.
        changed |= answer.preferred_read_replica.is_some();
        changed |= self.high_watermark != answer.high_watermark;
        changed |= self.log_start_offset != answer.log_start_offset;
        self.high_watermark = answer.high_watermark;
        self.log_start_offset = answer.log_start_offset;
        if answer.error_code != 0 {
            // The recovery from the error is to be sent too.
            self.high_watermark = -1;
            return true;
        }
        changed
    }
}

struct Session {
    epoch: i32,
    used: u64,
    by_id: bool,
    partitions: IndexMap<Key, Cached>,
}

/// The request's view of a session.
pub enum Context {
    /// No session: every partition is answered.
    Sessionless(Vec<(Key, Want)>),
    /// A full request that wants a session: every partition is answered.
    Full(Vec<(Key, Want)>),
    /// What changed of a session is answered.
    Incremental {
        id: i32,
        partitions: Vec<(Key, Want)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    NotFound,
    Epoch,
    TopicId,
}

/// The part of a Fetch request that concerns its session.
pub struct SessionRequest {
    pub id: i32,
    pub epoch: i32,
    /// Whether topics are named by id (v13+).
    pub by_id: bool,
    pub partitions: Vec<(Key, Want)>,
    pub forgotten: Vec<Key>,
}

#[derive(Default)]
pub struct FetchSessions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sessions: IndexMap<i32, Session>,
    clock: u64,
}

impl FetchSessions {
    pub fn enter(&self, request: SessionRequest) -> Result<Context, SessionError> {
        let mut inner = self.inner.lock();
        if request.epoch == INITIAL_EPOCH || request.epoch == FINAL_EPOCH {
            inner.sessions.swap_remove(&request.id);
            return Ok(match request.epoch {
                FINAL_EPOCH => Context::Sessionless(request.partitions),
                _ => Context::Full(request.partitions),
            });
        }
        inner.clock += 1;
        let now = inner.clock;
        let session = inner
            .sessions
            .get_mut(&request.id)
            .ok_or(SessionError::NotFound)?;
        if session.epoch != request.epoch {
            return Err(SessionError::Epoch);
        }
        if session.by_id != request.by_id {
            return Err(SessionError::TopicId);
        }
        session.update(request.partitions, &request.forgotten);
        if session.partitions.is_empty() {
            inner.sessions.swap_remove(&request.id);
            return Ok(Context::Sessionless(Vec::new()));
        }
        session.used = now;
        session.epoch = next_epoch(session.epoch);
        let partitions = session
            .partitions
            .iter()
            .map(|(key, cached)| (key.clone(), cached.want.clone()));
        Ok(Context::Incremental {
            id: request.id,
            partitions: partitions.collect(),
        })
    }

    /// Opens a session for a full request's partitions and what was answered; its id, never 0.
    pub fn open(
        &self,
        by_id: bool,
        asked: &[(Key, Want)],
        answers: &[(Key, PartitionAnswer)],
        id: i32,
    ) -> i32 {
        let mut inner = self.inner.lock();
        let mut id = id.max(1);
        while inner.sessions.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(1);
        }
        if inner.sessions.len() >= SLOTS {
            let oldest = inner
                .sessions
                .iter()
                .min_by_key(|(_, session)| session.used)
                .map(|(id, _)| *id);
            oldest.and_then(|oldest| inner.sessions.swap_remove(&oldest));
        }
        inner.clock += 1;
        let mut partitions: IndexMap<Key, Cached> = asked
            .iter()
            .map(|(key, want)| (key.clone(), Cached::new(want.clone())))
            .collect();
        for (key, answer) in answers {
            if let Some(cached) = partitions.get_mut(key) {
                cached.changed(answer);
            }
        }
        let session = Session {
            epoch: 1,
            used: inner.clock,
            by_id,
            partitions,
        };
        inner.sessions.insert(id, session);
        id
    }

    /// Keeps of an incremental answer what the reader does not know yet. Partitions that sent
    /// records go to the end of the session, so that every partition gets its turn.
    pub fn changes(
        &self,
        id: i32,
        answers: Vec<(Key, PartitionAnswer)>,
    ) -> Vec<(Key, PartitionAnswer)> {
        let mut inner = self.inner.lock();
        let Some(session) = inner.sessions.get_mut(&id) else {
            return answers;
        };
        let mut kept = Vec::new();
        for (key, answer) in answers {
            let Some(cached) = session.partitions.get_mut(&key) else {
                continue;
            };
            if cached.changed(&answer) {
                kept.push((key, answer));
            }
        }
        for (key, answer) in &kept {
            if !answer.records.is_empty()
                && let Some(at) = session.partitions.get_index_of(key)
            {
                session
                    .partitions
                    .move_index(at, session.partitions.len() - 1);
            }
        }
        kept
    }
}

impl Session {
    fn update(&mut self, partitions: Vec<(Key, Want)>, forgotten: &[Key]) {
        for (key, want) in partitions {
            match self.partitions.get_mut(&key) {
                Some(cached) => cached.want = want,
                None => {
                    self.partitions.insert(key, Cached::new(want));
                }
            }
        }
        for key in forgotten {
            self.partitions.shift_remove(key);
        }
    }
}

/// Session epochs run from 1 to the greatest i32 and start again at 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: i32) -> Key {
        Key {
            topic: TopicRef::Name("t".into()),
            index,
        }
    }

    fn want() -> Want {
        Want {
            fetch_offset: 0,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            max_bytes: 1000,
        }
    }

    fn answer(high_watermark: i64, error_code: i16) -> PartitionAnswer {
        PartitionAnswer {
            high_watermark,
            error_code,
            ..PartitionAnswer::default()
        }
    }

    fn request(id: i32, epoch: i32) -> SessionRequest {
        SessionRequest {
            id,
            epoch,
            by_id: false,
            partitions: vec![],
            forgotten: vec![],
        }
    }

    fn opened(sessions: &FetchSessions) -> i32 {
        let asked = [(key(0), want()), (key(1), want())];
        let answers = [(key(0), answer(5, 0)), (key(1), answer(7, 0))];
        sessions.open(false, &asked, &answers, 42)
    }

    #[test]
    fn an_incremental_answer_names_only_what_changed() {
        let sessions = FetchSessions::default();
        let id = opened(&sessions);
        let Ok(Context::Incremental { partitions, .. }) = sessions.enter(request(id, 1)) else {
            panic!("the session is there");
        };
        assert_eq!(partitions.len(), 2);
        let kept = sessions.changes(id, vec![(key(0), answer(5, 0)), (key(1), answer(8, 0))]);
        assert_eq!(
            kept.iter().map(|(key, _)| key.index).collect::<Vec<_>>(),
            [1]
        );
    }

    #[test]
    fn an_error_is_repeated_until_the_recovery_was_sent() {
        let sessions = FetchSessions::default();
        let id = opened(&sessions);
        assert_eq!(sessions.changes(id, vec![(key(0), answer(-1, 6))]).len(), 1);
        assert_eq!(sessions.changes(id, vec![(key(0), answer(5, 0))]).len(), 1);
        assert_eq!(sessions.changes(id, vec![(key(0), answer(5, 0))]).len(), 0);
    }

    #[test]
    fn a_preferred_replica_is_named_each_time() {
        let sessions = FetchSessions::default();
        let id = opened(&sessions);
        let advised = PartitionAnswer {
            preferred_read_replica: Some(3),
            ..answer(5, 0)
        };
        for _ in 0..2 {
            let kept = sessions.changes(id, vec![(key(0), advised.clone())]);
            assert_eq!(kept[0].1.preferred_read_replica, Some(3));
        }
        assert_eq!(sessions.changes(id, vec![(key(0), answer(5, 0))]).len(), 0);
    }

    #[test]
    fn a_wrong_id_or_epoch_is_named() {
        let sessions = FetchSessions::default();
        let id = opened(&sessions);
        assert_eq!(
            sessions.enter(request(id + 1, 1)).err(),
            Some(SessionError::NotFound)
        );
        assert_eq!(
            sessions.enter(request(id, 9)).err(),
            Some(SessionError::Epoch)
        );
        assert!(sessions.enter(request(id, 1)).is_ok());
        assert_eq!(
            sessions.enter(request(id, 1)).err(),
            Some(SessionError::Epoch)
        );
    }

    #[test]
    fn the_final_epoch_closes_the_session() {
        let sessions = FetchSessions::default();
        let id = opened(&sessions);
        assert!(matches!(
            sessions.enter(request(id, FINAL_EPOCH)),
            Ok(Context::Sessionless(_))
        ));
        assert_eq!(
            sessions.enter(request(id, 1)).err(),
            Some(SessionError::NotFound)
        );
    }
}
