use super::*;
use crate::kafka::delete_groups::DeleteGroups;
use crate::kafka::leave_group::LeaveGroup;
use crate::kafka::list_groups::ListGroups;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{DeleteGroupsRequest, LeaveGroupRequest, ListGroupsRequest};

const NOT_COORDINATOR: i16 = 16;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_REQUEST: i16 = 42;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const NON_EMPTY_GROUP: i16 = 68;
const GROUP_ID_NOT_FOUND: i16 = 69;
const REBALANCE_IN_PROGRESS: i16 = 27;

#[tokio::test]
async fn a_coordinator_is_there_when_it_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::bare(dir.path()).await;
    assert_eq!(rig.join("g", "").await.error_code, NOT_COORDINATOR);
    // Everybody asks at once, and the topic is made once.
    let (a, b, c) = tokio::join!(rig.find("g"), rig.find("h"), rig.find(""));
    assert_eq!((a, b, c), (0, 0, 0));
    assert_eq!(rig.join("g", "").await.error_code, 0);
}

#[tokio::test]
async fn coordinators_of_what_is_not_there_are_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::bare(dir.path()).await;
    for (key_type, code) in [
        (1, TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        (2, INVALID_REQUEST),
        (9, INVALID_REQUEST),
    ] {
        let request = FindCoordinatorRequest::default().with_key_type(key_type);
        let single = rig
            .ask::<FindCoordinator>(3, request.clone().with_key(text("k")))
            .await;
        assert_eq!(
            (single.error_code, single.node_id.0, single.port),
            (code, -1, -1)
        );
        let several = rig
            .ask::<FindCoordinator>(6, request.with_coordinator_keys(vec![text("k")]))
            .await;
        assert_eq!(several.coordinators[0].error_code, code);
    }
}

#[tokio::test]
async fn members_join_sync_and_leave() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    let first = rig.stable("g").await;
    assert_eq!(rig.state("g").await, "Stable");
    let second = rig.join("g", "");
    assert_eq!(rig.heartbeat("g", &first, 1).await, REBALANCE_IN_PROGRESS);
    let (leader, second) = tokio::join!(rig.join("g", &first), second);
    assert_eq!(
        (
            leader.generation_id,
            second.generation_id,
            leader.members.len()
        ),
        (2, 2, 2)
    );
    let follower = second.member_id.to_string();
    let waiting = rig.sync("g", &follower, 2, &[]);
    let both = [first.as_str(), follower.as_str()];
    let leading = rig.sync("g", &first, 2, &both);
    let (leading, waiting) = tokio::join!(leading, waiting);
    assert_eq!(leading.assignment, format!("for {first}"));
    assert_eq!(waiting.assignment, format!("for {follower}"));

    let members =
        [&*first, &*follower, "ghost"].map(|id| MemberIdentity::default().with_member_id(text(id)));
    let request = LeaveGroupRequest::default()
        .with_group_id(group("g"))
        .with_members(members.to_vec());
    let left = rig.ask::<LeaveGroup>(5, request).await;
    let codes: Vec<i16> = left
        .members
        .iter()
        .map(|member| member.error_code)
        .collect();
    assert_eq!(codes, [0, 0, UNKNOWN_MEMBER_ID]);
    assert_eq!(rig.state("g").await, "Empty");
}

#[tokio::test]
async fn a_restarted_coordinator_goes_on_with_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    let member = rig.stable("g").await;
    let waiting = rig.join("other", "");
    drop(waiting);
    rig.node.shutdown().await;

    let rig = Rig::bare(dir.path()).await;
    assert_eq!(rig.heartbeat("g", &member, 1).await, 0);
    let synced = rig.sync("g", &member, 1, &[]).await;
    assert_eq!(
        (synced.error_code, synced.assignment),
        (0, Bytes::from(format!("for {member}")))
    );
    assert_eq!(rig.heartbeat("g", &member, 0).await, 22);
}

#[tokio::test]
async fn a_session_that_ends_removes_its_member() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    let request = |member: &str| {
        let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
        JoinGroupRequest::default()
            .with_group_id(group("g"))
            .with_member_id(text(member))
            .with_session_timeout_ms(150)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    };
    let told = rig.ask::<JoinGroup>(4, request("")).await;
    assert_eq!(told.error_code, 79);
    let joined = rig.ask::<JoinGroup>(4, request(&told.member_id)).await;
    assert_eq!(joined.error_code, 0);
    let gone = async {
        while rig.state("g").await != "Empty" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, gone)
        .await
        .expect("nobody sends a heartbeat");
}

#[tokio::test]
async fn groups_are_listed_and_deleted_once_they_are_empty() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::start(dir.path()).await;
    let member = rig.stable("full").await;
    // A group that nobody could join is there all the same.
    let refused = JoinGroupRequest::default()
        .with_group_id(group("empty"))
        .with_session_timeout_ms(10_000);
    assert_eq!(rig.ask::<JoinGroup>(4, refused).await.error_code, 23);

    let list = |states: &[&str]| {
        ListGroupsRequest::default().with_states_filter(states.iter().map(|s| text(s)).collect())
    };
    let listed = rig.ask::<ListGroups>(5, list(&[])).await;
    let ids: Vec<&str> = listed.groups.iter().map(|g| g.group_id.as_str()).collect();
    assert_eq!(ids, ["empty", "full"]);
    assert_eq!(
        (
            &*listed.groups[1].group_type,
            &*listed.groups[1].protocol_type
        ),
        ("classic", "consumer")
    );
    assert_eq!(
        rig.ask::<ListGroups>(4, list(&[" stable"]))
            .await
            .groups
            .len(),
        1
    );

    let delete = || {
        let groups = ["full", "empty", "none", "full"].map(group);
        rig.ask::<DeleteGroups>(
            2,
            DeleteGroupsRequest::default().with_groups_names(groups.to_vec()),
        )
    };
    let codes = |answer: kafka_protocol::messages::DeleteGroupsResponse| {
        answer
            .results
            .iter()
            .map(|result| result.error_code)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        codes(delete().await),
        [NON_EMPTY_GROUP, 0, GROUP_ID_NOT_FOUND]
    );
    let leave = LeaveGroupRequest::default()
        .with_group_id(group("full"))
        .with_member_id(text(&member));
    assert_eq!(rig.ask::<LeaveGroup>(2, leave).await.error_code, 0);
    assert_eq!(
        codes(delete().await),
        [0, GROUP_ID_NOT_FOUND, GROUP_ID_NOT_FOUND]
    );
    assert_eq!(rig.state("full").await, "Dead");
    assert!(rig.ask::<ListGroups>(5, list(&[])).await.groups.is_empty());
}
