use super::*;

fn stable_with_static() -> Rig {
    let mut rig = Rig::new();
    rig.join(fresh_static("s", "s-1"));
    rig.join(fresh("b"));
    rig.pass(2 * DELAY);
    rig.settle(&["s-1", "b"]);
    rig
}

#[test]
fn a_static_member_that_comes_back_keeps_its_assignment_without_a_rebalance() {
    let mut rig = stable_with_static();
    let back = rig.join(fresh_static("s", "s-2"));
    assert!(rig.waits(back), "its new id is stored first");
    let stored = rig.written(Ok(()));
    assert_eq!(&*stored.members[0].id, "s-2");
    assert_eq!(&stored.members[0].assignment[..], b"first");
    let answer = rig.joined(back);
    assert_eq!(
        (
            answer.error,
            answer.generation,
            &*answer.member_id,
            &*answer.leader
        ),
        (None, 1, "s-2", "s-2")
    );
    assert!(
        answer.skip_assignment,
        "a leader that comes back does not assign again"
    );
    assert_eq!(answer.members.len(), 2);
    assert_eq!(rig.state(), State::Stable);
    let sync = rig.sync("s-2", &[]);
    assert_eq!(&rig.synced(sync).assignment[..], b"first");
    assert_eq!(rig.heartbeat("b"), Ok(()));
}

#[test]
fn an_old_client_that_comes_back_as_leader_is_told_of_the_old_leader() {
    let mut rig = stable_with_static();
    let back = rig.join(Joining {
        may_skip_assignment: false,
        ..fresh_static("s", "s-2")
    });
    rig.written(Ok(()));
    let answer = rig.joined(back);
    assert_eq!(
        (
            &*answer.leader,
            answer.skip_assignment,
            answer.members.len()
        ),
        ("s-1", false, 0)
    );
}

#[test]
fn the_older_self_of_a_static_member_is_fenced() {
    let mut rig = stable_with_static();
    rig.join(fresh_static("s", "s-2"));
    rig.written(Ok(()));
    let beat = |rig: &mut Rig, member_id| {
        let claim = Claim {
            member_id,
            instance_id: Some("s"),
            generation: 1,
        };
        rig.turn(|group, turn| group.heartbeat(turn, &claim))
    };
    assert_eq!(beat(&mut rig, "s-1"), Err(GroupError::FencedInstance));
    assert_eq!(beat(&mut rig, "s-2"), Ok(()));
    let late = rig.join(Joining {
        instance_id: Some("s".to_owned()),
        ..known("s-1")
    });
    assert_eq!(rig.joined(late).error, Some(GroupError::FencedInstance));
}

#[test]
fn the_join_of_an_older_self_is_refused_when_the_newer_one_joins() {
    let mut rig = Rig::new();
    let old = rig.join(fresh_static("s", "s-1"));
    let new = rig.join(fresh_static("s", "s-2"));
    assert_eq!(rig.joined(old).error, Some(GroupError::FencedInstance));
    assert_eq!(&*rig.joined(old).member_id, "s-1");
    rig.pass(2 * DELAY);
    assert_eq!(rig.joined(new).members.len(), 1);
}

#[test]
fn other_protocols_of_a_static_member_that_comes_back_rebalance() {
    let mut rig = Rig::new();
    rig.join(fresh_static("s", "s-1").protocols(vec![("range", b""), ("sticky", b"")]));
    rig.join(fresh("b").protocols(vec![("range", b""), ("sticky", b"")]));
    rig.pass(2 * DELAY);
    rig.settle(&["s-1", "b"]);
    let back = rig.join(fresh_static("s", "s-2").protocols(vec![("sticky", b"")]));
    assert!(rig.waits(back) && rig.writes.is_empty());
    assert_eq!(rig.state(), State::PreparingRebalance);
}

#[test]
fn a_static_member_that_comes_back_before_the_assignment_rebalances() {
    let mut rig = Rig::new();
    rig.join(fresh_static("s", "s-1"));
    rig.join(fresh("b"));
    rig.pass(2 * DELAY);
    let sync = rig.sync("b", &[]);
    let back = rig.join(fresh_static("s", "s-2"));
    assert_eq!(
        rig.synced(sync).error,
        Some(GroupError::RebalanceInProgress)
    );
    rig.join(known("b"));
    assert_eq!(rig.joined(back).generation, 2);
}

#[test]
fn a_new_id_that_cannot_be_stored_leaves_the_old_one_in_place() {
    let mut rig = stable_with_static();
    let back = rig.join(fresh_static("s", "s-2"));
    rig.written(Err(GroupError::NotAvailable));
    let answer = rig.joined(back);
    assert_eq!(
        (answer.error, &*answer.member_id, &*answer.leader),
        (Some(GroupError::NotAvailable), "", "s-1")
    );
    assert_eq!(rig.heartbeat("s-1"), Ok(()));
    assert_eq!(rig.heartbeat("s-2"), Err(GroupError::UnknownMember));
}

#[test]
fn a_static_member_that_misses_a_rebalance_keeps_its_place_until_its_session_ends() {
    let mut rig = stable_with_static();
    let b = rig.join(known("b").protocols(vec![("range", b"other")]));
    rig.pass(SESSION - 1);
    assert!(rig.waits(b));
    rig.pass(1);
    assert_eq!(rig.joined(b).members.len(), 1);
}

#[test]
fn absent_static_members_postpone_the_rebalance_instead_of_ending_the_group() {
    let mut rig = Rig::new();
    rig.join(fresh_static("s", "s-1"));
    rig.join(fresh_static("t", "t-1"));
    rig.pass(2 * DELAY);
    rig.settle(&["s-1", "t-1"]);
    assert_eq!(rig.leave("", Some("s")), Ok(()));
    for _ in 0..8 {
        rig.pass(SESSION / 2);
        assert_eq!(rig.heartbeat("t-1"), Err(GroupError::RebalanceInProgress));
    }
    assert_eq!(rig.state(), State::PreparingRebalance);
    rig.pass(SESSION);
    assert_eq!(rig.state(), State::Empty);
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let mut rig = stable_with_static();
    assert_eq!(
        rig.leave("", Some("nobody")),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(rig.leave("s-9", Some("s")), Err(GroupError::FencedInstance));
    assert_eq!(rig.leave("", Some("s")), Ok(()));
    assert_eq!(rig.heartbeat("b"), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_session_that_ends_while_the_new_id_is_stored_begins_again() {
    let mut rig = stable_with_static();
    rig.leave("b", None).expect("it is a member");
    rig.join(known("s-1"));
    rig.settle(&["s-1"]);
    let back = rig.join(fresh_static("s", "s-2"));
    rig.pass(SESSION);
    rig.written(Ok(()));
    assert_eq!(rig.joined(back).error, None);
    rig.pass(SESSION - 1);
    assert_eq!(rig.state(), State::Stable);
    rig.pass(REBALANCE + SESSION);
    assert_eq!(rig.state(), State::Empty);
}
