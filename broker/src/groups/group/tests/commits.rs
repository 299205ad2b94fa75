use super::super::commit::Retention;
use super::*;
use crate::groups::format::CommittedOffset;

#[test]
fn commits_of_the_generation_are_accepted_and_others_refused() {
    let mut rig = Rig::stable(&["a"]);
    assert_eq!(rig.commit("a", 1), Ok(()));
    assert_eq!(rig.commit("a", 0), Err(GroupError::IllegalGeneration));
    assert_eq!(rig.commit("ghost", 1), Err(GroupError::UnknownMember));
    assert_eq!(
        rig.commit("", -1),
        Err(GroupError::UnknownMember),
        "the group has members"
    );
    rig.join(fresh("b"));
    assert_eq!(rig.commit("a", 1), Ok(()), "until the rebalance completes");
    rig.join(known("a"));
    assert_eq!(rig.commit("a", 1), Err(GroupError::IllegalGeneration));
    assert_eq!(rig.commit("a", 2), Err(GroupError::RebalanceInProgress));
}

#[test]
fn an_empty_group_takes_commits_of_nobody() {
    let mut rig = Rig::new();
    assert_eq!(rig.commit("", -1), Ok(()));
    assert_eq!(rig.commit("a", 3), Err(GroupError::UnknownMember));
}

#[test]
fn a_commit_keeps_the_session() {
    let mut rig = Rig::stable(&["a"]);
    for _ in 0..4 {
        rig.pass(SESSION - 1);
        assert_eq!(rig.commit("a", 1), Ok(()));
    }
    assert_eq!(rig.state(), State::Stable);
}

fn offset(commit_ms: i64, expire_ms: Option<i64>) -> CommittedOffset {
    CommittedOffset {
        offset: 1,
        leader_epoch: -1,
        metadata: "".into(),
        commit_ms,
        expire_ms,
    }
}

#[test]
fn retention_counts_from_the_commit_or_from_when_the_group_became_empty() {
    let since_commit = Retention::SinceCommit;
    assert!(!since_commit.is_over(&offset(100, None), 199, 100));
    assert!(since_commit.is_over(&offset(100, None), 200, 100));
    let since_empty = Retention::Since(500);
    assert!(!since_empty.is_over(&offset(100, None), 599, 100));
    assert!(since_empty.is_over(&offset(100, None), 600, 100));
    assert!(
        since_empty.is_over(&offset(100, Some(550)), 550, 100),
        "an old client's own end"
    );
    assert!(!Retention::Kept.is_over(&offset(0, Some(1)), i64::MAX, 1));
}

#[test]
fn a_groups_state_says_from_when_retention_counts() {
    assert_eq!(
        Rig::new().group.retention(),
        Retention::SinceCommit,
        "nobody ever joined"
    );
    let mut rig = Rig::stable(&["a"]);
    assert_eq!(
        rig.group.retention(),
        Retention::Kept,
        "its members do not say what they read"
    );
    rig.leave("a", None).unwrap();
    assert_eq!(rig.group.retention(), Retention::Since(rig.now as i64));
}

const READS_T: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";

#[test]
fn offsets_of_topics_that_the_group_reads_are_not_deleted() {
    let mut rig = Rig::new();
    rig.join(fresh("a").protocols(vec![("range", READS_T)]));
    assert!(
        rig.group.is_subscribed("t") && rig.group.is_subscribed("u"),
        "not known before the first generation"
    );
    rig.pass(2 * DELAY);
    rig.settle(&["a"]);
    assert!(rig.group.is_subscribed("t") && !rig.group.is_subscribed("u"));
    assert_eq!(rig.group.retention(), Retention::SinceCommit);
    assert_eq!(rig.group.check_offset_delete(), Ok(()));
    assert_eq!(rig.group.check_delete(), Err(GroupError::NonEmpty));
    rig.leave("a", None).unwrap();
    assert!(!rig.group.is_subscribed("t"));
    assert_eq!(rig.group.check_delete(), Ok(()));
}
