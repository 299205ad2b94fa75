//! DescribeConfigs (key 32), versions 1–4: the settings of topics and brokers, with where each value comes from.
//! v1 source and synonyms · v3 type and documentation · v4 flexible

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{ApiKey, DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::config_resource::{self, Resource, ResourceType};
use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::effective::{Effective, Source};
use crate::meta::{Admin, names};

pub struct DescribeConfigs;

impl Api for DescribeConfigs {
    type Request = DescribeConfigsRequest;
    type Response = DescribeConfigsResponse;
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    const VERSIONS: RangeInclusive<i16> = 1..=4;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: DescribeConfigsRequest,
    ) -> impl Future<Output = DescribeConfigsResponse> + Send + 'static {
        std::future::ready(answer(&broker.admin, &request))
    }
}

fn answer(admin: &Admin, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let described = find(admin, resource);
        result(
            resource,
            described,
            request.include_synonyms,
            request.include_documentation,
        )
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// The settings that a resource has. Those without a value are left out of a topic's: what tools read, they write back.
fn find(admin: &Admin, resource: &DescribeConfigsResource) -> Result<Vec<Described>, KafkaError> {
    let name = resource.resource_name.as_str();
    let state = admin.meta.read();
    let layers = admin.layers(&state);
    let wanted = |effective: &Effective| match resource.configuration_keys.as_deref() {
        None | Some([]) => true,
        Some(keys) => keys
            .iter()
            .any(|key| key.as_str() == effective.setting.name),
    };
    let described: Vec<Described> =
        match config_resource::find(resource.resource_type, name, admin.broker_id)? {
            Resource::Topic => {
                names::validate(name).map_err(|error| {
                    KafkaError::new(ErrorCode::InvalidTopicException, error.to_string())
                })?;
                let topic = state.topics().get(name);
                let topic =
                    topic.ok_or_else(|| KafkaError::new(ErrorCode::UnknownTopicOrPartition, ""))?;
                let all = layers
                    .topic_all(&topic.configs)
                    .filter(|effective| effective.value.is_some());
                all.filter(wanted)
                    .map(|effective| Described {
                        effective,
                        read_only: false,
                    })
                    .collect()
            }
            Resource::Cluster => layers.cluster_all().filter(wanted).map(of_broker).collect(),
            Resource::ThisBroker => layers.broker_all().filter(wanted).map(of_broker).collect(),
        };
    Ok(described)
}

struct Described {
    effective: Effective,
    read_only: bool,
}

fn of_broker(effective: Effective) -> Described {
    Described {
        read_only: !effective.setting.dynamic,
        effective,
    }
}

fn result(
    resource: &DescribeConfigsResource,
    described: Result<Vec<Described>, KafkaError>,
    synonyms: bool,
    documentation: bool,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone());
    match described {
        Ok(described) => result
            .with_error_message(Some(StrBytes::default()))
            .with_configs(
                described
                    .into_iter()
                    .map(|d| config(d, synonyms, documentation))
                    .collect(),
            ),
        Err(error) => result
            .with_error_code(error.code())
            .with_error_message(error.message()),
    }
}

fn config(
    described: Described,
    synonyms: bool,
    documentation: bool,
) -> DescribeConfigsResourceResult {
    let Described {
        effective,
        read_only,
    } = described;
    let setting = effective.setting;
    let shown = |value: Option<String>| {
        value
            .filter(|_| !setting.sensitive)
            .map(StrBytes::from_string)
    };
    let synonym = |name: &'static str, value: String, source: Source| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(shown(Some(value)))
            .with_source(source as i8)
    };
    let mut listed = Vec::new();
    if synonyms {
        listed.extend(
            effective
                .synonyms
                .into_iter()
                .map(|s| synonym(s.name, s.value, s.source)),
        );
    }
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(setting.name))
        .with_value(shown(effective.value))
        .with_read_only(read_only)
        .with_config_source(effective.source as i8)
        .with_is_sensitive(setting.sensitive)
        .with_synonyms(listed)
        .with_config_type(setting.kind as i8)
        .with_documentation(documentation.then(|| StrBytes::from_static_str(setting.documentation)))
}

/// Kept beside the reader so that both sides of a read-modify-write agree on what a resource is.
const _: () = assert!(ResourceType::Topic as i8 == 2 && ResourceType::Broker as i8 == 4);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::{admin, create};
    use crate::meta::topic_config::KAFKA_SETTING_COUNT;

    fn resource(kind: i8, name: &str) -> DescribeConfigsResource {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configuration_keys(None)
    }

    fn describe(admin: &Admin, resources: Vec<DescribeConfigsResource>) -> DescribeConfigsResponse {
        let request = DescribeConfigsRequest::default()
            .with_resources(resources)
            .with_include_synonyms(true);
        answer(admin, &request)
    }

    #[tokio::test]
    async fn a_topic_describes_kafkas_settings_first_and_none_without_a_value() {
        let admin = admin().await;
        create(&admin, "t", 1, &[("retention.ms", "5")])
            .await
            .unwrap();
        let response = describe(&admin, vec![resource(2, "t")]);
        let configs = &response.results[0].configs;
        assert!(configs.len() > KAFKA_SETTING_COUNT);
        assert_eq!(configs[0].name.as_str(), "compression.type");
        assert!(
            configs
                .iter()
                .all(|config| config.value.is_some() && !config.read_only)
        );
        let retention = configs
            .iter()
            .find(|config| config.name.as_str() == "retention.ms")
            .unwrap();
        assert_eq!(
            (retention.value.as_deref(), retention.config_source),
            (Some("5"), 1)
        );
        assert_eq!(retention.synonyms.len(), 1);
        encodes_in_every_version::<DescribeConfigs>(|_| response.clone());
    }

    #[tokio::test]
    async fn only_the_named_settings_are_described_and_an_empty_list_names_all() {
        let admin = admin().await;
        create(&admin, "t", 1, &[]).await.unwrap();
        let keys = |keys: &[&'static str]| {
            Some(
                keys.iter()
                    .map(|key| StrBytes::from_static_str(key))
                    .collect(),
            )
        };
        let one = resource(2, "t").with_configuration_keys(keys(&["segment.ms", "nothing"]));
        let all = resource(2, "t").with_configuration_keys(keys(&[]));
        let response = describe(&admin, vec![one, all]);
        assert_eq!(response.results[0].configs.len(), 1);
        assert!(response.results[1].configs.len() > KAFKA_SETTING_COUNT);
    }

    #[tokio::test]
    async fn a_broker_describes_itself_and_what_holds_for_all() {
        let admin = admin().await;
        let response = describe(&admin, vec![resource(4, "1"), resource(4, "")]);
        let own = &response.results[0].configs;
        let auto = own
            .iter()
            .find(|config| config.name.as_str() == "auto.create.topics.enable")
            .unwrap();
        assert_eq!(
            (auto.value.as_deref(), auto.read_only, auto.config_source),
            (Some("true"), true, 5)
        );
        assert_eq!(response.results[1].configs.len(), 0);
    }

    #[tokio::test]
    async fn each_resource_has_its_own_error() {
        let admin = admin().await;
        let resources = [
            (2, "none"),
            (2, ""),
            (2, "a b"),
            (4, "9"),
            (4, "x"),
            (99, "x"),
        ];
        let response = describe(
            &admin,
            resources.map(|(kind, name)| resource(kind, name)).to_vec(),
        );
        let codes: Vec<i16> = response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!(codes, [3, 17, 17, 42, 42, 42]);
    }
}
