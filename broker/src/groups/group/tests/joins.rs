use super::*;

#[test]
fn the_first_rebalance_waits_for_more_members_as_long_as_they_come() {
    let mut rig = Rig::new();
    let a = rig.join(fresh("a"));
    rig.pass(DELAY - 1);
    let b = rig.join(fresh("b"));
    assert_eq!(rig.state(), State::PreparingRebalance);
    rig.pass(1);
    assert!(
        rig.waits(a),
        "b came during the delay, so the delay is extended"
    );
    rig.pass(DELAY);
    let (a, b) = (rig.joined(a), rig.joined(b));
    assert_eq!(
        (a.error, a.generation, &*a.leader, &*a.member_id),
        (None, 1, "a", "a")
    );
    assert_eq!(a.protocol.as_deref(), Some("range"));
    assert_eq!(
        a.members.iter().map(|m| &*m.id).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!((b.generation, &*b.leader, b.members.len()), (1, "a", 0));
}

#[test]
fn the_initial_delay_never_exceeds_the_rebalance_timeout() {
    let mut rig = Rig::new();
    let first = rig.join(fresh("m0"));
    for i in 1..40 {
        rig.pass(1_000);
        if !rig.waits(first) {
            break;
        }
        rig.join(fresh(&format!("m{i}")));
    }
    assert!(!rig.waits(first));
    assert!(
        rig.now - 1_000 <= REBALANCE + DELAY,
        "took until {}",
        rig.now
    );
}

#[test]
fn without_a_delay_the_first_member_is_answered_at_once() {
    let mut rig = Rig::with(GroupSettings {
        initial_rebalance_delay_ms: 0,
        ..GroupSettings::default()
    });
    let a = rig.join(fresh("a"));
    assert_eq!(rig.joined(a).generation, 1);
    let b = rig.join(fresh("b"));
    assert!(rig.waits(b), "a has to join again first");
    assert_eq!(rig.heartbeat("a"), Err(GroupError::RebalanceInProgress));
    let a = rig.join(known("a"));
    assert_eq!(rig.joined(a).generation, 2);
    assert_eq!(rig.joined(b).generation, 2);
}

#[test]
fn a_member_without_an_id_is_told_one_and_joins_with_it() {
    let mut rig = Rig::new();
    let first = rig.join(Joining {
        needs_known_id: true,
        ..fresh("a")
    });
    assert_eq!(rig.joined(first).error, Some(GroupError::MemberIdRequired));
    assert_eq!(&*rig.joined(first).member_id, "a");
    assert_eq!(rig.state(), State::Empty);
    let second = rig.join(known("a"));
    rig.pass(DELAY);
    assert_eq!(rig.joined(second).error, None);
}

#[test]
fn an_id_that_is_not_used_in_a_session_is_forgotten() {
    let mut rig = Rig::new();
    rig.join(Joining {
        needs_known_id: true,
        ..fresh("a")
    });
    rig.pass(SESSION);
    let late = rig.join(known("a"));
    assert_eq!(rig.joined(late).error, Some(GroupError::UnknownMember));
}

#[test]
fn an_id_that_was_given_out_holds_the_rebalance_open_until_it_expires() {
    let mut rig = Rig::stable(&["a"]);
    rig.join(Joining {
        needs_known_id: true,
        ..fresh("b")
    });
    assert_eq!(rig.state(), State::Stable, "an id alone does not rebalance");
    let a = rig.join(known("a"));
    assert!(rig.waits(a));
    rig.heartbeat("a").unwrap_err();
    rig.pass(SESSION);
    assert_eq!(rig.joined(a).error, None);
}

#[test]
fn unknown_members_and_other_protocols_are_refused() {
    let mut rig = Rig::stable(&["a"]);
    let ghost = rig.join(known("ghost"));
    assert_eq!(rig.joined(ghost).error, Some(GroupError::UnknownMember));
    assert_eq!(&*rig.joined(ghost).member_id, "ghost");
    let other = rig.join(fresh("b").protocols(vec![("sticky", b"")]));
    assert_eq!(
        rig.joined(other).error,
        Some(GroupError::InconsistentProtocol)
    );
    let none = Rig::new().join_once(fresh("c").protocols(vec![]));
    assert_eq!(none, Some(GroupError::InconsistentProtocol));
    assert_eq!(rig.state(), State::Stable);
}

impl Rig {
    fn join_once(mut self, joining: Joining) -> Option<GroupError> {
        let ticket = self.join(joining);
        self.joined(ticket).error
    }
}

#[test]
fn the_protocol_is_the_one_that_most_prefer_among_the_common() {
    let mut rig = Rig::new();
    rig.join(fresh("a").protocols(vec![("only-a", b""), ("range", b""), ("sticky", b"")]));
    rig.join(fresh("b").protocols(vec![("sticky", b""), ("range", b"")]));
    let c = rig.join(fresh("c").protocols(vec![("sticky", b"s"), ("range", b"")]));
    rig.pass(3 * DELAY);
    assert_eq!(rig.joined(c).protocol.as_deref(), Some("sticky"));
}

#[test]
fn a_full_group_turns_new_members_away() {
    let mut rig = Rig::with(GroupSettings {
        max_size: 2,
        initial_rebalance_delay_ms: DELAY,
        ..Default::default()
    });
    rig.join(fresh("a"));
    rig.join(fresh("b"));
    let c = rig.join(fresh("c"));
    assert_eq!(rig.joined(c).error, Some(GroupError::MaxSizeReached));
    assert_eq!(&*rig.joined(c).member_id, "");
    rig.pass(3 * DELAY);
    rig.settle(&["a", "b"]);
    let d = rig.join(fresh("d"));
    assert_eq!(rig.joined(d).error, Some(GroupError::MaxSizeReached));
    assert_eq!(rig.state(), State::Stable);
}

#[test]
fn a_join_that_is_repeated_in_its_generation_gets_the_same_answer() {
    let mut rig = Rig::new();
    let first = rig.join(fresh("a"));
    rig.join(fresh("b"));
    rig.pass(2 * DELAY);
    let again = rig.join(known("a"));
    assert_eq!(rig.joined(again), rig.joined(first));
    let follower = rig.join(known("b"));
    assert_eq!(
        (
            rig.joined(follower).generation,
            rig.joined(follower).members.len()
        ),
        (1, 0)
    );
    let changed = rig.join(known("b").protocols(vec![("range", b"other topics")]));
    assert!(
        rig.waits(changed),
        "other metadata is a reason to rebalance"
    );
    assert_eq!(rig.state(), State::PreparingRebalance);
}

#[test]
fn a_new_member_that_never_hears_back_expires_while_it_joins() {
    let mut rig = Rig::stable(&["a", "b"]);
    let dead = rig.join(fresh("dead"));
    // a and b never come back, so after the rebalance timeout only the dead one is left.
    rig.pass(REBALANCE);
    assert_eq!(rig.joined(dead).generation, 2);
    rig.pass(SESSION);
    assert_eq!(
        rig.state(),
        State::Empty,
        "its session ended as it never sent a heartbeat"
    );
}

#[test]
fn joins_of_new_members_time_out_when_the_rebalance_takes_longer() {
    let settings = GroupSettings {
        initial_rebalance_delay_ms: 0,
        new_member_join_timeout_ms: 5_000,
        ..Default::default()
    };
    let mut rig = Rig::with(settings);
    rig.join(fresh("a"));
    let b = rig.join(fresh("b"));
    for _ in 0..3 {
        rig.pass(2_000);
        assert_eq!(rig.heartbeat("a"), Err(GroupError::RebalanceInProgress));
    }
    assert_eq!(rig.joined(b).error, Some(GroupError::UnknownMember));
}
