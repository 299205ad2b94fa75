//! DescribeCluster (key 60), versions 0–2: the brokers, the controller and the cluster id.
//! v1 endpoint type · v2 fenced brokers

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{ApiKey, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::authorized::{CLUSTER_OPERATIONS, NOT_ASKED};
use super::cluster_view::{self, BrokerAddress, NOBODY};
use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::Admin;

/// Kafka's endpoint types; metadata has no endpoint of its own here.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub struct DescribeCluster;

impl Api for DescribeCluster {
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;
    const KEY: ApiKey = ApiKey::DescribeCluster;
    const VERSIONS: RangeInclusive<i16> = 0..=2;

    fn handle(
        broker: &Arc<Broker>,
        session: &Arc<Session>,
        version: i16,
        request: DescribeClusterRequest,
    ) -> impl Future<Output = DescribeClusterResponse> + Send + 'static {
        std::future::ready(answer(&broker.admin, session, version, &request))
    }
}

fn answer(
    admin: &Admin,
    session: &Session,
    version: i16,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default();
    if let (Err(error), 1..) = (check(request.endpoint_type), version) {
        let refused = response
            .with_error_code(error.code())
            .with_error_message(error.message());
        return refused
            .with_controller_id(NOBODY)
            .with_cluster_authorized_operations(NOT_ASKED);
    }
    let operations = if request.include_cluster_authorized_operations {
        CLUSTER_OPERATIONS
    } else {
        NOT_ASKED
    };
    let state = admin.meta.read();
    response
        .with_endpoint_type(BROKERS)
        .with_cluster_id(StrBytes::from_string(
            state.cluster_id().unwrap_or_default().to_owned(),
        ))
        .with_controller_id(cluster_view::controller(admin, &state))
        .with_brokers(
            cluster_view::brokers(admin, &state, session)
                .into_iter()
                .map(broker)
                .collect(),
        )
        .with_cluster_authorized_operations(operations)
}

fn check(endpoint_type: i8) -> Result<(), KafkaError> {
    match endpoint_type {
        BROKERS => Ok(()),
        CONTROLLERS => Err(KafkaError::new(
            ErrorCode::MismatchedEndpointType,
            "this endpoint is a broker's",
        )),
        other => Err(KafkaError::new(
            ErrorCode::UnsupportedEndpointType,
            format!("there is no endpoint type {other}"),
        )),
    }
}

fn broker(broker: BrokerAddress) -> DescribeClusterBroker {
    DescribeClusterBroker::default()
        .with_broker_id(broker.id)
        .with_host(broker.host)
        .with_port(broker.port)
        .with_rack(broker.rack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::{encodes_in_every_version, session};
    use crate::meta::admin::testing::admin;

    #[tokio::test]
    async fn the_cluster_has_an_id_brokers_and_a_controller() {
        let admin = admin().await;
        let request =
            DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        let response = answer(&admin, &session(), 2, &request);
        assert_eq!(response.error_code, 0);
        assert_eq!(response.cluster_id.len(), 22);
        assert_eq!(
            (
                *response.controller_id,
                response.cluster_authorized_operations
            ),
            (1, 8096)
        );
        assert_eq!(response.brokers[0].rack.as_deref(), Some("r1"));
        encodes_in_every_version::<DescribeCluster>(|version| {
            answer(&admin, &session(), version, &request)
        });
    }

    #[tokio::test]
    async fn controllers_have_no_endpoint() {
        let admin = admin().await;
        for (endpoint_type, code) in [(2, 114), (9, 115)] {
            let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
            let response = answer(&admin, &session(), 1, &request);
            assert_eq!((response.error_code, response.brokers.len()), (code, 0));
        }
    }
}
