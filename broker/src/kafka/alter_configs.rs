//! AlterConfigs (key 33), versions 0–2: replaces all settings of a topic or broker. Clients of today use
//! IncrementalAlterConfigs.
//! v2 flexible

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse, ApiKey};

use super::config_resource::{self, check_given, named_twice};
use super::dispatch::Api;
use super::error::{KafkaError, NO_ERROR};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::Admin;
use crate::meta::decide::configs::{Alter, Op};

pub struct AlterConfigs;

impl Api for AlterConfigs {
    type Request = AlterConfigsRequest;
    type Response = AlterConfigsResponse;
    const KEY: ApiKey = ApiKey::AlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: AlterConfigsRequest,
    ) -> impl Future<Output = AlterConfigsResponse> + Send + 'static {
        answer(Arc::clone(&broker.admin), request)
    }
}

async fn answer(admin: Arc<Admin>, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let same = |other: &&AlterConfigsResource| {
            other.resource_type == resource.resource_type
                && other.resource_name == resource.resource_name
        };
        let outcome = match request.resources.iter().filter(same).nth(1) {
            Some(_) => Err(named_twice()),
            None => replace(&admin, resource, request.validate_only).await,
        };
        responses.push(response(resource, outcome));
    }
    AlterConfigsResponse::default().with_responses(responses)
}

async fn replace(
    admin: &Admin,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), KafkaError> {
    check_given(
        resource
            .configs
            .iter()
            .map(|config| (config.name.as_str(), config.value.is_none())),
    )?;
    let given = resource.configs.iter().map(|config| Alter {
        name: config.name.to_string(),
        op: Op::Set,
        value: config
            .value
            .as_ref()
            .map(|value| value.to_string())
            .unwrap_or_default(),
    });
    let alters: Vec<Alter> = given.collect();
    config_resource::alter(
        admin,
        resource.resource_type,
        &resource.resource_name,
        &alters,
        true,
        validate_only,
    )
    .await
}

fn response(
    resource: &AlterConfigsResource,
    outcome: Result<(), KafkaError>,
) -> AlterConfigsResourceResponse {
    let (code, message) = match outcome {
        Ok(()) => (NO_ERROR, None),
        Err(error) => (error.code(), error.message()),
    };
    AlterConfigsResourceResponse::default()
        .with_error_code(code)
        .with_error_message(message)
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::{admin, create};
    use kafka_protocol::messages::alter_configs_request::AlterableConfig;
    use kafka_protocol::protocol::StrBytes;

    fn resource(
        kind: i8,
        name: &'static str,
        configs: &[(&'static str, Option<&'static str>)],
    ) -> AlterConfigsResource {
        let config = |(name, value): &(&'static str, Option<&'static str>)| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(value.map(StrBytes::from_static_str))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configs(configs.iter().map(config).collect())
    }

    #[tokio::test]
    async fn what_is_not_given_goes_back_to_its_default() {
        let admin = admin().await;
        create(&admin, "t", 1, &[("retention.ms", "5")])
            .await
            .unwrap();
        let resources = vec![resource(2, "t", &[("segment.ms", Some("7"))])];
        let response = answer(
            Arc::clone(&admin),
            AlterConfigsRequest::default().with_resources(resources),
        )
        .await;
        assert_eq!(response.responses[0].error_code, 0);
        let configs = admin.meta.read().topics().get("t").unwrap().configs.clone();
        assert_eq!(
            configs.into_iter().collect::<Vec<_>>(),
            [("segment.ms".to_owned(), "7".to_owned())]
        );
        encodes_in_every_version::<AlterConfigs>(|_| response.clone());
    }

    #[tokio::test]
    async fn resources_fail_each_for_itself() {
        let admin = admin().await;
        create(&admin, "t", 1, &[]).await.unwrap();
        let resources = vec![
            resource(2, "none", &[("retention.ms", Some("5"))]),
            resource(2, "t", &[("retention", Some("5"))]),
            resource(4, "1", &[("num.partitions", Some("5"))]),
            resource(4, "", &[("message.max.bytes", None)]),
            resource(4, "9", &[]),
            resource(2, "u", &[]),
            resource(2, "u", &[]),
        ];
        let response = answer(
            admin,
            AlterConfigsRequest::default().with_resources(resources),
        )
        .await;
        let codes: Vec<i16> = response.responses.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [3, 40, 42, 42, 42, 42, 42]);
    }

    #[tokio::test]
    async fn what_was_described_can_be_written_back() {
        let admin = admin().await;
        create(&admin, "t", 3, &[("table.mode", "primary-key")])
            .await
            .unwrap();
        let before = admin.meta.read().topics().get("t").unwrap().configs.clone();
        let described: Vec<(&'static str, Option<&'static str>)> = {
            let state = admin.meta.read();
            let all = admin.layers(&state).topic_all(&before);
            all.filter_map(|e| Some((e.setting.name, Some(&*e.value?.leak()))))
                .collect()
        };
        let resources = vec![resource(2, "t", &described)];
        let response = answer(
            admin,
            AlterConfigsRequest::default().with_resources(resources),
        )
        .await;
        assert_eq!(
            (
                response.responses[0].error_code,
                &response.responses[0].error_message
            ),
            (0, &None)
        );
    }
}
