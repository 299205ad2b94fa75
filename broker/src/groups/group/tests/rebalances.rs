use super::*;

#[test]
fn the_leaders_assignment_is_stored_before_anybody_gets_it() {
    let mut rig = Rig::new();
    rig.join(fresh("a"));
    rig.join(fresh("b"));
    rig.pass(2 * DELAY);
    let b = rig.sync("b", &[]);
    assert!(rig.waits(b));
    let a = rig.sync("a", &[("a", b"one"), ("b", b"two")]);
    assert!(rig.waits(a) && rig.waits(b), "the write has no outcome yet");
    let stored = rig.written(Ok(()));
    assert_eq!(&rig.synced(a).assignment[..], b"one");
    assert_eq!(&rig.synced(b).assignment[..], b"two");
    assert_eq!(rig.synced(b).protocol_type.as_deref(), Some("consumer"));
    let stored: Vec<_> = stored
        .members
        .iter()
        .map(|m| (&*m.id, &m.assignment[..]))
        .collect();
    assert_eq!(stored, [("a", &b"one"[..]), ("b", &b"two"[..])]);
    let late = rig.sync("b", &[]);
    assert_eq!(&rig.synced(late).assignment[..], b"two");
}

#[test]
fn members_that_the_leader_leaves_out_get_an_empty_assignment() {
    let mut rig = Rig::stable(&["a", "b"]);
    let b = rig.sync("b", &[]);
    assert_eq!(
        (rig.synced(b).error, rig.synced(b).assignment.len()),
        (None, 0)
    );
}

#[test]
fn an_assignment_that_cannot_be_stored_starts_the_rebalance_again() {
    let mut rig = Rig::new();
    rig.join(fresh("a"));
    rig.pass(2 * DELAY);
    let a = rig.sync("a", &[("a", b"one")]);
    rig.written(Err(GroupError::NotCoordinator));
    assert_eq!(rig.synced(a).error, Some(GroupError::NotCoordinator));
    assert_eq!(rig.state(), State::PreparingRebalance);
}

#[test]
fn an_assignment_of_a_generation_that_is_over_is_dropped() {
    let mut rig = Rig::new();
    rig.join(fresh("a"));
    rig.pass(2 * DELAY);
    let a = rig.sync("a", &[("a", b"one")]);
    let b = rig.join(fresh("b"));
    assert_eq!(rig.synced(a).error, Some(GroupError::RebalanceInProgress));
    rig.written(Ok(()));
    assert_eq!(rig.state(), State::PreparingRebalance);
    rig.join(known("a"));
    assert_eq!(rig.joined(b).generation, 2);
}

#[test]
fn a_sync_of_another_generation_protocol_or_member_is_refused() {
    let mut rig = Rig::stable(&["a"]);
    let mut sync = |member: &str, generation, protocol: &str| {
        let ticket = rig.ticket();
        let request = SyncRequest {
            member_id: member.into(),
            instance_id: None,
            generation,
            protocol_type: None,
            protocol: Some(protocol.into()),
            assignments: Vec::new(),
        };
        rig.turn(|group, turn| group.sync(turn, ticket, request));
        rig.synced(ticket).error
    };
    assert_eq!(sync("ghost", 1, "range"), Some(GroupError::UnknownMember));
    assert_eq!(sync("a", 0, "range"), Some(GroupError::IllegalGeneration));
    assert_eq!(
        sync("a", 1, "sticky"),
        Some(GroupError::InconsistentProtocol)
    );
    assert_eq!(sync("a", 1, "range"), None);
}

#[test]
fn a_leader_that_joins_again_rebalances_and_a_follower_does_not() {
    let mut rig = Rig::stable(&["a", "b"]);
    let b = rig.join(known("b"));
    assert_eq!((rig.joined(b).generation, rig.state()), (1, State::Stable));
    let a = rig.join(known("a"));
    assert!(rig.waits(a));
    let b = rig.join(known("b"));
    assert_eq!((rig.joined(a).generation, rig.joined(b).generation), (2, 2));
}

#[test]
fn a_member_without_heartbeats_is_removed_and_the_others_rebalance() {
    let mut rig = Rig::stable(&["a", "b"]);
    rig.pass(SESSION / 2);
    assert_eq!(rig.heartbeat("b"), Ok(()));
    rig.pass(SESSION / 2);
    assert_eq!(rig.heartbeat("b"), Err(GroupError::RebalanceInProgress));
    assert_eq!(rig.heartbeat("a"), Err(GroupError::UnknownMember));
    let b = rig.join(known("b"));
    assert_eq!((&*rig.joined(b).leader, rig.joined(b).generation), ("b", 2));
}

#[test]
fn a_member_that_waits_for_the_rebalance_does_not_expire() {
    let mut rig = Rig::stable(&["a", "b"]);
    let a = rig.join(known("a"));
    rig.pass(SESSION - 1);
    assert_eq!(rig.heartbeat("b"), Err(GroupError::RebalanceInProgress));
    rig.pass(SESSION - 1);
    assert!(rig.waits(a));
    rig.pass(2);
    assert_eq!(
        rig.joined(a).generation,
        2,
        "b expired, so everybody has joined"
    );
}

#[test]
fn members_that_miss_the_rebalance_timeout_are_left_out() {
    let mut rig = Rig::stable(&["a", "b"]);
    let a = rig.join(known("a"));
    for _ in 0..REBALANCE / 5_000 - 1 {
        rig.pass(5_000);
        assert_eq!(rig.heartbeat("b"), Err(GroupError::RebalanceInProgress));
    }
    rig.pass(5_000);
    assert_eq!(rig.joined(a).members.len(), 1);
    assert_eq!(rig.heartbeat("b"), Err(GroupError::UnknownMember));
}

#[test]
fn members_that_never_sync_are_removed_after_the_rebalance_timeout() {
    let mut rig = Rig::new();
    rig.join(fresh("a"));
    rig.join(fresh("b"));
    rig.pass(2 * DELAY);
    rig.sync("a", &[]);
    rig.written(Ok(()));
    for _ in 0..REBALANCE / 5_000 {
        assert_eq!(rig.heartbeat("a"), Ok(()));
        assert_eq!(rig.heartbeat("b"), Ok(()));
        rig.pass(5_000);
    }
    assert_eq!(rig.heartbeat("b"), Err(GroupError::UnknownMember));
    assert_eq!(rig.heartbeat("a"), Err(GroupError::RebalanceInProgress));
}

#[test]
fn the_last_member_that_leaves_empties_the_group_and_that_is_stored() {
    let mut rig = Rig::stable(&["a", "b"]);
    assert_eq!(rig.leave("a", None), Ok(()));
    assert_eq!(rig.state(), State::PreparingRebalance);
    assert_eq!(rig.leave("ghost", None), Err(GroupError::UnknownMember));
    assert_eq!(rig.leave("b", None), Ok(()));
    assert_eq!(rig.state(), State::Empty);
    let stored = rig.written(Ok(()));
    assert_eq!(
        (stored.generation, stored.members.len(), stored.leader),
        (2, 0, None)
    );
    assert_eq!(&*stored.protocol_type, "consumer");
    let again = rig.join(fresh("c"));
    rig.pass(2 * DELAY);
    assert_eq!(rig.joined(again).generation, 3);
}

#[test]
fn a_member_that_leaves_while_it_joins_is_told_so() {
    let mut rig = Rig::stable(&["a"]);
    let b = rig.join(fresh("b"));
    rig.join(known("a"));
    assert_eq!(rig.joined(b).error, None);
    let c = rig.join(fresh("c"));
    assert_eq!(rig.leave("c", None), Ok(()));
    assert_eq!(rig.joined(c).error, Some(GroupError::UnknownMember));
}

#[test]
fn heartbeats_of_other_generations_are_refused() {
    let mut rig = Rig::stable(&["a"]);
    let beat = |rig: &mut Rig, generation| {
        rig.turn(|group, turn| {
            group.heartbeat(
                turn,
                &Claim {
                    member_id: "a",
                    instance_id: None,
                    generation,
                },
            )
        })
    };
    assert_eq!(beat(&mut rig, 0), Err(GroupError::IllegalGeneration));
    assert_eq!(beat(&mut rig, 1), Ok(()));
}

#[test]
fn a_new_coordinator_goes_on_with_the_stored_members() {
    let mut before = Rig::new();
    before.join(fresh("a"));
    before.join(fresh("b"));
    before.pass(2 * DELAY);
    before.sync("a", &[("a", b"one"), ("b", b"two")]);
    let stored = before.written(Ok(()));

    let mut rig = Rig::new();
    let mut turn = Turn::new(&rig.settings, rig.now, 1_000);
    rig.group = Group::load("g".into(), &stored, &mut turn);
    assert_eq!(rig.state(), State::Stable);
    assert_eq!(rig.heartbeat("a"), Ok(()));
    let b = rig.sync("b", &[]);
    assert_eq!(&rig.synced(b).assignment[..], b"two");
    rig.pass(SESSION);
    assert_eq!(
        rig.state(),
        State::Empty,
        "sessions run from the fail-over on"
    );
    assert_eq!(rig.written(Ok(())).generation, 2);
}

#[test]
fn a_group_is_described_with_metadata_once_it_is_stable() {
    let mut rig = Rig::new();
    rig.join(fresh("a"));
    let preparing = rig.group.describe();
    assert_eq!(
        (
            preparing.state,
            &*preparing.protocol,
            preparing.members.len()
        ),
        ("PreparingRebalance", "", 1)
    );
    assert!(preparing.members[0].metadata.is_empty());
    let rig = Rig::stable(&["a"]);
    let stable = rig.group.describe();
    assert_eq!(
        (stable.state, &*stable.protocol, &*stable.protocol_type),
        ("Stable", "range", "consumer")
    );
    assert_eq!(
        (
            &stable.members[0].metadata[..],
            &stable.members[0].assignment[..]
        ),
        (&b"meta"[..], &b"first"[..])
    );
    assert_eq!(&*stable.members[0].client_host, "/127.0.0.1");
}
