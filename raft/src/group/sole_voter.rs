//! Whether nobody but this node can lead a shard.

use crate::ids::Index;

/// What the log says of it, from the moment at which a membership is appended, thus before any
/// other node can have heard of it.
///
/// Invariant: while `holds`, no membership entry follows the applied one, and that one names this
/// node as the only voter. Every set of voters that can elect a leader then needs this node's vote,
/// and whoever lacks the applied membership does not get it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SoleVoter {
    holds: bool,
    /// No membership entry lies above this.
    last: Option<Index>,
}

impl SoleVoter {
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// A membership was appended, or found in the log.
    pub fn appended(&mut self, at: Index) {
        self.holds = false;
        self.last = Some(at);
    }

    /// The entries from `from` on are gone.
    pub fn truncated(&mut self, from: Index) {
        self.last = self.last.min(from.checked_sub(1));
    }

    /// A membership was applied, or came with a snapshot that ends at `at`.
    pub fn applied(&mut self, at: Index, alone: bool) {
        self.holds = alone && self.last.is_none_or(|last| last <= at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_once_the_last_membership_is_applied_and_names_nobody_else() {
        let mut sole = SoleVoter::default();
        assert!(!sole.holds(), "nothing is known yet");
        sole.appended(0);
        assert!(!sole.holds(), "it is not applied");
        sole.applied(0, true);
        assert!(sole.holds());
        sole.appended(7);
        assert!(!sole.holds(), "others may vote from the append on");
        sole.applied(7, false);
        assert!(!sole.holds());
        sole.appended(9);
        sole.applied(9, true);
        assert!(sole.holds());
    }

    #[test]
    fn an_older_membership_says_nothing_while_a_newer_one_is_in_the_log() {
        let mut sole = SoleVoter::default();
        sole.appended(0);
        sole.appended(5);
        sole.applied(0, true);
        assert!(!sole.holds());
        sole.truncated(5);
        sole.applied(4, true);
        assert!(sole.holds(), "the newer one was cut off");
    }

    #[test]
    fn a_snapshot_stands_for_the_memberships_below_its_end() {
        let mut sole = SoleVoter::default();
        sole.appended(3);
        sole.applied(8, true);
        assert!(sole.holds());
        sole.appended(9);
        sole.applied(8, true);
        assert!(!sole.holds());
    }
}
