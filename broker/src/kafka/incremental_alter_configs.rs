//! IncrementalAlterConfigs (key 44), versions 0–1: sets, removes, appends to and subtracts from single settings.
//! v1 flexible

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{
    ApiKey, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::config_resource::{self, check_given, named_twice};
use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError, NO_ERROR};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::Admin;
use crate::meta::decide::configs::{Alter, Op};

pub struct IncrementalAlterConfigs;

impl Api for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    type Response = IncrementalAlterConfigsResponse;
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    const VERSIONS: RangeInclusive<i16> = 0..=1;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: IncrementalAlterConfigsRequest,
    ) -> impl Future<Output = IncrementalAlterConfigsResponse> + Send + 'static {
        answer(Arc::clone(&broker.admin), request)
    }
}

async fn answer(
    admin: Arc<Admin>,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let same = |other: &&AlterConfigsResource| {
            other.resource_type == resource.resource_type
                && other.resource_name == resource.resource_name
        };
        let outcome = match request.resources.iter().filter(same).nth(1) {
            Some(_) => Err(named_twice()),
            None => alter(&admin, resource, request.validate_only).await,
        };
        responses.push(response(resource, outcome));
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

async fn alter(
    admin: &Admin,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), KafkaError> {
    let mut alters = Vec::with_capacity(resource.configs.len());
    for config in &resource.configs {
        alters.push(Alter {
            name: config.name.to_string(),
            op: op(config.config_operation)?,
            value: config
                .value
                .as_ref()
                .map(|value| value.to_string())
                .unwrap_or_default(),
        });
    }
    let null = |at: usize| resource.configs[at].value.is_none() && alters[at].op != Op::Delete;
    check_given(
        alters
            .iter()
            .enumerate()
            .map(|(at, alter)| (alter.name.as_str(), null(at))),
    )?;
    config_resource::alter(
        admin,
        resource.resource_type,
        &resource.resource_name,
        &alters,
        false,
        validate_only,
    )
    .await
}

fn op(code: i8) -> Result<Op, KafkaError> {
    match code {
        0 => Ok(Op::Set),
        1 => Ok(Op::Delete),
        2 => Ok(Op::Append),
        3 => Ok(Op::Subtract),
        other => Err(KafkaError::new(
            ErrorCode::InvalidRequest,
            format!("there is no operation {other}"),
        )),
    }
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
    use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
    use kafka_protocol::protocol::StrBytes;

    type Change = (&'static str, i8, Option<&'static str>);

    fn resource(kind: i8, name: &'static str, configs: &[Change]) -> AlterConfigsResource {
        let config = |(name, op, value): &Change| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_config_operation(*op)
                .with_value(value.map(StrBytes::from_static_str))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configs(configs.iter().map(config).collect())
    }

    async fn codes(admin: &Arc<Admin>, resources: Vec<AlterConfigsResource>) -> Vec<i16> {
        let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
        let response = answer(Arc::clone(admin), request).await;
        encodes_in_every_version::<IncrementalAlterConfigs>(|_| response.clone());
        response.responses.iter().map(|r| r.error_code).collect()
    }

    #[tokio::test]
    async fn lists_are_appended_to_and_settings_removed() {
        let admin = admin().await;
        create(&admin, "t", 1, &[("retention.ms", "5")])
            .await
            .unwrap();
        let changes = [
            ("cleanup.policy", 2, Some("compact")),
            ("retention.ms", 1, None),
        ];
        assert_eq!(codes(&admin, vec![resource(2, "t", &changes)]).await, [0]);
        let configs = admin.meta.read().topics().get("t").unwrap().configs.clone();
        assert_eq!(
            configs.into_iter().collect::<Vec<_>>(),
            [("cleanup.policy".to_owned(), "delete,compact".to_owned())]
        );
    }

    #[tokio::test]
    async fn a_resource_changes_whole_or_not_at_all() {
        let admin = admin().await;
        create(&admin, "t", 1, &[]).await.unwrap();
        let changes = [("retention.ms", 0, Some("5")), ("segment.ms", 2, Some("5"))];
        assert_eq!(codes(&admin, vec![resource(2, "t", &changes)]).await, [40]);
        assert!(
            admin
                .meta
                .read()
                .topics()
                .get("t")
                .unwrap()
                .configs
                .is_empty()
        );
    }

    #[tokio::test]
    async fn resources_fail_each_for_itself() {
        let admin = admin().await;
        create(&admin, "t", 1, &[]).await.unwrap();
        let resources = vec![
            resource(2, "t", &[("retention.ms", 0, Some("6"))]),
            resource(2, "none", &[("retention.ms", 0, Some("6"))]),
            resource(2, "", &[("retention.ms", 0, Some("6"))]),
            resource(2, "a", &[("retention.ms", 0, None)]),
            resource(2, "b", &[("retention.ms", 7, Some("6"))]),
            resource(
                2,
                "c",
                &[("retention.ms", 0, Some("6")), ("retention.ms", 1, None)],
            ),
            resource(16, "d", &[]),
        ];
        assert_eq!(codes(&admin, resources).await, [0, 3, 42, 42, 42, 42, 42]);
    }
}
