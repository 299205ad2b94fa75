//! What DescribeConfigs, AlterConfigs and IncrementalAlterConfigs are about: topics and brokers.

use super::error::{ErrorCode, KafkaError};
use crate::meta::config::ConfigError;
use crate::meta::decide::configs::Alter;
use crate::meta::decide::topics::TopicError;
use crate::meta::{Admin, AdminError};

/// The resource types that have settings here, with Kafka's numbers. It has more: loggers, client metrics, groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ResourceType {
    Topic = 2,
    Broker = 4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Topic,
    ThisBroker,
    /// All brokers.
    Cluster,
}

/// Which resource a request means. Only a broker itself knows its own settings; clients ask it directly.
pub fn find(resource_type: i8, name: &str, broker_id: i32) -> Result<Resource, KafkaError> {
    let invalid = |text: String| KafkaError::new(ErrorCode::InvalidRequest, text);
    match resource_type {
        kind if kind == ResourceType::Topic as i8 => Ok(Resource::Topic),
        kind if kind == ResourceType::Broker as i8 => match name.parse::<i32>() {
            Ok(id) if id == broker_id => Ok(Resource::ThisBroker),
            Ok(id) => Err(invalid(format!("this is broker {broker_id}, not {id}"))),
            Err(_) if name.is_empty() => Ok(Resource::Cluster),
            Err(_) => Err(invalid(format!("`{name}` is no broker id"))),
        },
        other => Err(invalid(format!(
            "resources of type {other} have no settings here"
        ))),
    }
}

/// Changes one resource's settings: all of them, or none.
pub async fn alter(
    admin: &Admin,
    resource_type: i8,
    name: &str,
    alters: &[Alter],
    replace: bool,
    validate_only: bool,
) -> Result<(), KafkaError> {
    let broker = match find(resource_type, name, admin.broker_id)? {
        Resource::Topic => return alter_topic(admin, name, alters, replace, validate_only).await,
        Resource::ThisBroker => Some(admin.broker_id),
        Resource::Cluster => None,
    };
    let changed = admin
        .alter_broker(broker, alters, replace, validate_only)
        .await;
    changed.map_err(|error| match error {
        AdminError::Topic(TopicError::Config(ConfigError::NotAList { .. })) => error.into(),
        // Kafka's brokers call their own bad settings a bad request.
        AdminError::Topic(error) => KafkaError::new(ErrorCode::InvalidRequest, error.to_string()),
        error => error.into(),
    })
}

async fn alter_topic(
    admin: &Admin,
    name: &str,
    alters: &[Alter],
    replace: bool,
    validate_only: bool,
) -> Result<(), KafkaError> {
    if name.is_empty() {
        return Err(KafkaError::new(
            ErrorCode::InvalidRequest,
            "topics have no settings in common; name one",
        ));
    }
    crate::meta::names::validate(name)
        .map_err(|error| KafkaError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    Ok(admin
        .alter_topic(name, alters, replace, validate_only)
        .await?)
}

/// Settings of one resource as a request gives them, with what makes the request invalid.
pub fn check_given<'a>(given: impl Iterator<Item = (&'a str, bool)>) -> Result<(), KafkaError> {
    let mut seen = std::collections::BTreeSet::new();
    let mut nulls = Vec::new();
    for (name, is_null) in given {
        if !seen.insert(name) {
            let text = format!("`{name}` is given more than once");
            return Err(KafkaError::new(ErrorCode::InvalidRequest, text));
        }
        if is_null {
            nulls.push(name);
        }
    }
    match nulls.is_empty() {
        true => Ok(()),
        false => Err(KafkaError::new(
            ErrorCode::InvalidRequest,
            format!("null for {}", nulls.join(", ")),
        )),
    }
}

/// The error for a resource that a request has more than once.
pub fn named_twice() -> KafkaError {
    KafkaError::new(
        ErrorCode::InvalidRequest,
        "the request has this resource more than once",
    )
}
