//! Settings of topics: what they are, and changes to them.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::{Client, ClientError, text};

/// Kafka's number for "topic" where configs are meant.
const TOPIC: i8 = 2;
/// Kafka's number for a value that the topic itself sets.
const SET_BY_TOPIC: i8 = 1;
const SET: i8 = 0;
const DELETE: i8 = 1;

impl Client {
    /// What the topic itself sets; with `all`, what applies to it from any source.
    pub async fn topic_settings(
        &mut self,
        topic: &str,
        all: bool,
    ) -> Result<Vec<(String, String)>, ClientError> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let response = self.any(4, request).await?;
        let mut settings = Vec::new();
        for result in &response.results {
            ClientError::check(result.error_code, result.error_message.as_deref(), || {
                format!("the settings of topic {topic}")
            })?;
            for config in &result.configs {
                if all || config.config_source == SET_BY_TOPIC {
                    let value = config.value.as_deref().unwrap_or_default();
                    settings.push((config.name.to_string(), value.to_owned()));
                }
            }
        }
        settings.sort();
        Ok(settings)
    }

    /// Sets what has a value and returns what has none to its default.
    pub async fn alter_topic(
        &mut self,
        topic: &str,
        changes: &[(String, Option<String>)],
    ) -> Result<(), ClientError> {
        let change = |(name, value): &(String, Option<String>)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(text))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(changes.iter().map(change).collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let response = self.any(1, request).await?;
        for answer in &response.responses {
            ClientError::check(answer.error_code, answer.error_message.as_deref(), || {
                format!("cannot alter topic {topic}")
            })?;
        }
        Ok(())
    }
}
