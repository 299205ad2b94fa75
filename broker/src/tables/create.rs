//! Topics made tables by request.

use std::time::Duration;

use crate::broker::Broker;
use crate::http::tables::{CreateError, NewTable};
use crate::meta::MetaCommitError;
use crate::meta::admin::AdminError;
use crate::meta::decide::configs::{Alter, Op};
use crate::meta::decide::topics::NewTopic;

/// How long the partitions of a new table are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const MODE: (&str, &str) = ("table.mode", "primary-key");

/// Makes the topic a table; whether it was made for it.
pub async fn create(broker: &Broker, name: &str, wanted: NewTable) -> Result<bool, CreateError> {
    // Its schemas may just have been registered, and the topic made, on another node.
    let caught_up = broker.registry.caught_up(broker).await;
    caught_up.map_err(|_| CreateError::NoLeader)?;
    let found = broker
        .meta
        .read()
        .topics()
        .get(name)
        .map(|topic| topic.partition_count());
    let mut settings = wanted.settings;
    settings.insert(MODE.0.into(), MODE.1.into());
    let Some(found) = found else {
        let admin = &broker.admin;
        let configs = settings
            .into_iter()
            .map(|(name, value)| (name, Some(value)))
            .collect();
        let topic = NewTopic {
            partitions: wanted.partitions.unwrap_or(-1),
            configs,
            ..NewTopic::with_defaults(name, admin.new_topic_id(), broker.clock.now_ms())
        };
        let made = admin
            .create_topics(vec![topic], false, PATIENCE)
            .await
            .pop();
        return made
            .expect("one topic, one answer")
            .map(|_| true)
            .map_err(CreateError::from);
    };
    if wanted.partitions.is_some_and(|wanted| wanted != found) {
        return Err(CreateError::OtherPartitions {
            name: name.into(),
            found,
        });
    }
    let alter = |(name, value)| Alter {
        name,
        op: Op::Set,
        value,
    };
    let alters: Vec<Alter> = settings.into_iter().map(alter).collect();
    broker
        .admin
        .alter_topic(name, &alters, false, false)
        .await?;
    Ok(false)
}

impl From<AdminError> for CreateError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Topic(error) => CreateError::Refused(error.to_string()),
            AdminError::Commit(MetaCommitError::NotLeader) => CreateError::NoLeader,
            AdminError::Commit(error) => CreateError::Unknown(error.to_string()),
            AdminError::Attach(error) => CreateError::Unknown(error.to_string()),
        }
    }
}
