//! UnregisterBroker (key 64), version 0: a broker without replicas is no member any more. Source: KIP-631.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::{ApiKey, UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::dispatch::Api;
use super::error::{KafkaError, NO_ERROR};
use super::session::Session;
use crate::broker::Broker;
use crate::cluster::drain;

pub struct UnregisterBroker;

impl Api for UnregisterBroker {
    type Request = UnregisterBrokerRequest;
    type Response = UnregisterBrokerResponse;
    const KEY: ApiKey = ApiKey::UnregisterBroker;
    const VERSIONS: RangeInclusive<i16> = 0..=0;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: UnregisterBrokerRequest,
    ) -> impl Future<Output = UnregisterBrokerResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            let removed = drain::remove(&broker, request.broker_id.0).await;
            let response = UnregisterBrokerResponse::default();
            match removed.map_err(KafkaError::from) {
                Ok(()) => response.with_error_code(NO_ERROR).with_error_message(None),
                Err(error) => response
                    .with_error_code(error.code())
                    .with_error_message(error.message()),
            }
        }
    }
}
