use super::testing::{Shards, admin, admin_with, create};
use super::*;
use crate::meta::decide::configs::Op;

fn set(name: &str, value: &str) -> Alter {
    Alter {
        name: name.to_owned(),
        op: Op::Set,
        value: value.to_owned(),
    }
}

#[tokio::test]
async fn topics_of_one_request_see_each_other() {
    let admin = admin().await;
    let topics = ["a.b", "a_b", "c"]
        .map(|name| NewTopic::with_defaults(name, admin.new_topic_id(), 0))
        .to_vec();
    let results = admin.create_topics(topics, false, Duration::ZERO).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    assert!(matches!(
        results[1],
        Err(AdminError::Topic(TopicError::Collides { .. }))
    ));
    assert_eq!(admin.meta.read().topics().len(), 2);
}

#[tokio::test]
async fn a_request_for_too_many_partitions_makes_none() {
    let admin = admin().await;
    let mut topics = ["a", "b"]
        .map(|name| NewTopic::with_defaults(name, admin.new_topic_id(), 0))
        .to_vec();
    topics.iter_mut().for_each(|topic| topic.partitions = 6000);
    let results = admin.create_topics(topics, false, Duration::ZERO).await;
    assert!(
        results
            .iter()
            .all(|r| *r == Err(AdminError::Topic(TopicError::TooMany(12_000))))
    );
    assert!(admin.meta.read().topics().is_empty());
}

#[tokio::test]
async fn validating_makes_nothing() {
    let admin = admin().await;
    let topic = NewTopic::with_defaults("t", admin.new_topic_id(), 0);
    let revision = admin.meta.read().revision();
    assert!(admin.create_topics(vec![topic], true, Duration::ZERO).await[0].is_ok());
    assert_eq!(admin.meta.read().revision(), revision);
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_leaders_times_out_but_is_there() {
    let admin = admin_with(Shards { leader: None }, Configs::new()).await;
    assert_eq!(
        create(&admin, "t", 1, &[]).await,
        Err(AdminError::Attach(AttachError::TimedOut))
    );
    assert!(admin.meta.read().topics().get("t").is_some());
}

#[tokio::test]
async fn a_table_gets_its_definition_or_its_reason() {
    let admin = admin().await;
    create(&admin, "t", 3, &[("table.mode", "primary-key")])
        .await
        .unwrap();
    let table = admin.meta.read().topics().get("t").unwrap().table.clone();
    assert_eq!(table, Some(serde_json::json!({"of": "t"})));
    let refused = create(
        &admin,
        "u",
        3,
        &[("table.mode", "primary-key"), ("table.key.format", "int32")],
    )
    .await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "field `id`: int32 keys have no mapping"
    );
    // The name comes first.
    let refused = create(
        &admin,
        "t",
        3,
        &[("table.mode", "primary-key"), ("table.key.format", "int32")],
    )
    .await;
    assert_eq!(
        refused,
        Err(AdminError::Topic(TopicError::Exists("t".to_owned())))
    );
}

#[tokio::test]
async fn an_existing_topic_becomes_a_table() {
    let admin = admin().await;
    create(&admin, "t", 1, &[]).await.unwrap();
    admin
        .alter_topic("t", &[set("table.mode", "primary-key")], false, false)
        .await
        .unwrap();
    let topic = admin.meta.read().topics().get("t").unwrap().clone();
    assert!(topic.table.is_some());
    assert_eq!(
        topic.configs.get("cleanup.policy").map(String::as_str),
        Some("compact")
    );
}

#[tokio::test]
async fn bad_settings_come_before_an_unknown_topic() {
    let admin = admin().await;
    let bad = admin
        .alter_topic("none", &[set("retention.ms", "x")], false, false)
        .await;
    assert!(matches!(bad, Err(AdminError::Topic(TopicError::Config(_)))));
    let unknown = admin
        .alter_topic("none", &[set("retention.ms", "5")], false, false)
        .await;
    assert_eq!(
        unknown,
        Err(AdminError::Topic(TopicError::Unknown("none".to_owned())))
    );
}

#[tokio::test]
async fn a_recreated_topic_has_higher_leader_epochs() {
    let admin = admin().await;
    let epoch = |admin: &Admin| {
        let place = admin.meta.read().topics().get("t").unwrap().partitions[0];
        admin.partitions.shard(place.shard).leader_epoch(place)
    };
    let first = create(&admin, "t", 1, &[]).await.unwrap();
    let before = epoch(&admin);
    assert_eq!(admin.delete_topics(&[first.id]).await, [Ok(())]);
    create(&admin, "t", 1, &[]).await.unwrap();
    assert!(epoch(&admin) > before);
}

#[tokio::test]
async fn an_auto_created_topic_appears() {
    let admin = admin().await;
    let mut changed = admin.meta.changed();
    assert!(admin.auto_creates());
    admin.auto_create("t");
    admin.auto_create("t");
    admin.auto_create("__consumer_offsets");
    changed.changed().await.unwrap();
    assert!(admin.meta.read().topics().get("t").is_some());
    assert_eq!(admin.meta.read().topics().len(), 1);
}
