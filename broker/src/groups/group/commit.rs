//! What a group's state says about its offsets: who may commit, delete and expire them.

use super::{CONSUMER, Group, State};
use crate::groups::answer::Claim;
use crate::groups::error::GroupError;
use crate::groups::format::CommittedOffset;
use crate::groups::turn::Turn;

/// From when on the retention of an offset counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Offsets of the group do not expire now.
    Kept,
    /// Since each offset's commit.
    SinceCommit,
    /// Since this wall-clock time, when the group became empty.
    Since(i64),
}

impl Retention {
    /// Whether an offset has outlived its retention (KIP-211). Old clients set the end themselves.
    pub fn is_over(self, offset: &CommittedOffset, wall_ms: i64, retention_ms: i64) -> bool {
        let base = match self {
            Retention::Kept => return false,
            Retention::SinceCommit => offset.commit_ms,
            Retention::Since(since) => since,
        };
        match offset.expire_ms {
            Some(expire) => wall_ms >= expire,
            None => wall_ms.saturating_sub(base) >= retention_ms,
        }
    }
}

impl Group {
    /// Whether a commit is of this generation; an accepted one is as good as a heartbeat.
    pub fn accept_commit(&mut self, turn: &Turn<'_>, claim: &Claim<'_>) -> Result<(), GroupError> {
        self.check_commit(claim)?;
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.restart_session(claim.member_id, turn.now_ms);
        }
        Ok(())
    }

    fn check_commit(&self, claim: &Claim<'_>) -> Result<(), GroupError> {
        let nobody =
            claim.generation < 0 && claim.member_id.is_empty() && claim.instance_id.is_none();
        if claim.generation < 0 && self.state == State::Empty {
            return Ok(()); // Administrators, and consumers that do not join.
        }
        if nobody {
            return Err(GroupError::UnknownMember);
        }
        self.check_member(claim.member_id, claim.instance_id)?;
        if claim.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            State::CompletingRebalance => Err(GroupError::RebalanceInProgress),
            State::Empty | State::PreparingRebalance | State::Stable => Ok(()),
        }
    }

    /// Whether single offsets may be deleted: of consumers' groups always, topic by topic.
    pub fn check_offset_delete(&self) -> Result<(), GroupError> {
        match self.state {
            State::Empty => Ok(()),
            _ if self.protocol_type() == CONSUMER => Ok(()),
            _ => Err(GroupError::NonEmpty),
        }
    }

    pub fn check_delete(&self) -> Result<(), GroupError> {
        if self.state == State::Empty {
            Ok(())
        } else {
            Err(GroupError::NonEmpty)
        }
    }

    /// Whether the group reads a topic; consumers that do not say which they read may read any.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.protocol_type() == CONSUMER,
        }
    }

    pub fn retention(&self) -> Retention {
        match (&self.protocol_type, self.state) {
            (None, _) => Retention::SinceCommit,
            (Some(_), State::Empty) => self
                .state_since_ms
                .map_or(Retention::SinceCommit, Retention::Since),
            (Some(kind), State::Stable) if &**kind == CONSUMER && self.subscribed.is_some() => {
                Retention::SinceCommit
            }
            (Some(_), _) => Retention::Kept,
        }
    }
}
