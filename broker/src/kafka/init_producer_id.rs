//! InitProducerId (key 22), versions 0–5: an id for an idempotent producer.
//! v2 flexible · v3 the producer's own id and epoch (KIP-360) · v4 PRODUCER_FENCED · v5 as v4
//!
//! A transactional id is refused at once with an error that clients do not retry: transactions
//! are not there yet, and a retriable error would hang `initTransactions`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::{ApiKey, InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::broker::Broker;
use crate::kafka::{Api, ErrorCode, Session};

pub struct InitProducerId;

impl Api for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        _version: i16,
        request: InitProducerIdRequest,
    ) -> impl Future<Output = InitProducerIdResponse> + Send + 'static {
        let broker = broker.clone();
        async move {
            match next(&broker, &request).await {
                Ok(id) => InitProducerIdResponse::default()
                    .with_producer_id(ProducerId(id))
                    .with_producer_epoch(0),
                Err(error) => InitProducerIdResponse::default()
                    .with_error_code(error.code())
                    .with_producer_id(ProducerId(-1))
                    .with_producer_epoch(-1),
            }
        }
    }
}

async fn next(broker: &Broker, request: &InitProducerIdRequest) -> Result<i64, ErrorCode> {
    // A producer names both its id and its epoch, or neither (KIP-360).
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_ref().map(|id| id.is_empty()) {
        Some(true) => Err(ErrorCode::InvalidRequest),
        Some(false) => Err(ErrorCode::TransactionalIdAuthorizationFailed),
        None => broker
            .producer_ids
            .next(&broker.meta)
            .await
            .map_err(|_| ErrorCode::CoordinatorNotAvailable),
    }
}
