//! DeleteTopics (key 20), versions 1–6: by name, or by id.
//! v4 flexible · v5 error message · v6 ids

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{ApiKey, DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::dispatch::Api;
use super::error::{ErrorCode, KafkaError};
use super::session::Session;
use crate::broker::Broker;
use crate::meta::Admin;

pub struct DeleteTopics;

impl Api for DeleteTopics {
    type Request = DeleteTopicsRequest;
    type Response = DeleteTopicsResponse;
    const KEY: ApiKey = ApiKey::DeleteTopics;
    const VERSIONS: RangeInclusive<i16> = 1..=6;

    fn handle(
        broker: &Arc<Broker>,
        _session: &Arc<Session>,
        version: i16,
        request: DeleteTopicsRequest,
    ) -> impl Future<Output = DeleteTopicsResponse> + Send + 'static {
        answer(Arc::clone(&broker.admin), version, request)
    }
}

/// A topic as the request names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Name(TopicName),
    Id(Uuid),
    /// Neither name nor id, or both.
    Wrongly(Option<TopicName>, Uuid),
}

async fn answer(
    admin: Arc<Admin>,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let named = named(&request);
    if !admin
        .layers(&admin.meta.read())
        .broker_flag("delete.topic.enable")
    {
        let code = if version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        let error = KafkaError::new(code, "delete.topic.enable is false");
        let refused = named
            .into_keys()
            .map(|named| result(named, None, Err(error.clone())));
        return DeleteTopicsResponse::default().with_responses(refused.collect());
    }
    let (found, mut responses) = resolve(&admin, named);
    let ids: Vec<Uuid> = found.keys().copied().collect();
    let deleted = admin.delete_topics(&ids).await;
    responses.extend(found.into_iter().zip(deleted).map(|((id, name), deleted)| {
        result(
            Named::Name(name),
            Some(id),
            deleted.map_err(KafkaError::from),
        )
    }));
    DeleteTopicsResponse::default().with_responses(responses)
}

/// What the request names, and how often.
fn named(request: &DeleteTopicsRequest) -> BTreeMap<Named, usize> {
    let old = request.topic_names.iter().cloned().map(Named::Name);
    let new = request
        .topics
        .iter()
        .map(|topic| match (&topic.name, topic.topic_id) {
            (Some(name), id) if id.is_nil() => Named::Name(name.clone()),
            (None, id) if !id.is_nil() => Named::Id(id),
            (name, id) => Named::Wrongly(name.clone(), id),
        });
    let mut counted = BTreeMap::new();
    for named in old.chain(new) {
        *counted.entry(named).or_insert(0) += 1;
    }
    counted
}

/// The topics to delete, by id, and the answers for what cannot be.
fn resolve(
    admin: &Admin,
    named: BTreeMap<Named, usize>,
) -> (BTreeMap<Uuid, TopicName>, Vec<DeletableTopicResult>) {
    let state = admin.meta.read();
    let invalid = |text: &str| Err(KafkaError::new(ErrorCode::InvalidRequest, text));
    let (mut found, mut twice, mut refused) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for (named, count) in named {
        let topic = match &named {
            Named::Wrongly(None, _) => {
                refused.push(result(
                    named,
                    None,
                    invalid("a topic needs a name or an id"),
                ));
                continue;
            }
            Named::Wrongly(Some(_), _) => {
                refused.push(result(
                    named,
                    None,
                    invalid("a topic is named by its name or its id, not by both"),
                ));
                continue;
            }
            _ if count > 1 => {
                refused.push(result(
                    named,
                    None,
                    invalid("the request names this topic more than once"),
                ));
                continue;
            }
            Named::Name(name) => state
                .topics()
                .get(name)
                .ok_or(ErrorCode::UnknownTopicOrPartition),
            Named::Id(id) => state.topics().by_id(*id).ok_or(ErrorCode::UnknownTopicId),
        };
        match topic {
            Err(code) => refused.push(result(
                named,
                None,
                Err(KafkaError::new(code, "there is no such topic")),
            )),
            Ok(topic) => {
                let name = TopicName(StrBytes::from_string(topic.name.to_string()));
                if found.insert(topic.id, name).is_some() {
                    twice.insert(topic.id);
                }
            }
        }
    }
    for id in twice {
        if let Some(name) = found.remove(&id) {
            refused.push(result(
                Named::Name(name),
                Some(id),
                invalid("the request gives both name and id of this topic"),
            ));
        }
    }
    (found, refused)
}

fn result(
    named: Named,
    found_id: Option<Uuid>,
    outcome: Result<(), KafkaError>,
) -> DeletableTopicResult {
    let (name, id) = match named {
        Named::Name(name) => (Some(name), Uuid::nil()),
        Named::Id(id) => (None, id),
        Named::Wrongly(name, id) => (name, id),
    };
    let (code, message) = match outcome {
        Ok(()) => (0, None),
        Err(error) => (error.code(), error.message()),
    };
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(found_id.unwrap_or(id))
        .with_error_code(code)
        .with_error_message(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::testing::encodes_in_every_version;
    use crate::meta::admin::testing::{Shards, admin, admin_with, create};
    use kafka_protocol::messages::delete_topics_request::DeleteTopicState;

    fn by_name(name: &str) -> DeleteTopicState {
        DeleteTopicState::default()
            .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
    }

    fn by_id(id: Uuid) -> DeleteTopicState {
        DeleteTopicState::default()
            .with_name(None)
            .with_topic_id(id)
    }

    fn codes(response: &DeleteTopicsResponse) -> Vec<(Option<String>, i16)> {
        let mut codes: Vec<_> = response
            .responses
            .iter()
            .map(|r| (r.name.as_ref().map(|n| n.to_string()), r.error_code))
            .collect();
        codes.sort();
        codes
    }

    #[tokio::test]
    async fn topics_go_by_name_and_by_id() {
        let admin = admin().await;
        create(&admin, "a", 1, &[]).await.unwrap();
        let b = create(&admin, "b", 1, &[]).await.unwrap().id;
        let topics = vec![
            by_name("a"),
            by_id(b),
            by_name("none"),
            by_id(Uuid::from_u128(9)),
        ];
        let response = answer(
            Arc::clone(&admin),
            6,
            DeleteTopicsRequest::default().with_topics(topics),
        )
        .await;
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(
            codes(&response),
            [
                (None, 100),
                (name("a"), 0),
                (name("b"), 0),
                (name("none"), 3)
            ]
        );
        assert!(admin.meta.read().topics().is_empty());
    }

    #[tokio::test]
    async fn what_is_named_wrongly_is_not_deleted() {
        let admin = admin().await;
        let a = create(&admin, "a", 1, &[]).await.unwrap().id;
        create(&admin, "b", 1, &[]).await.unwrap();
        let topics = vec![
            by_name("a"),
            by_id(a),
            by_name("b"),
            by_name("b"),
            by_name("b").with_topic_id(a),
            by_id(Uuid::nil()),
        ];
        let response = answer(
            Arc::clone(&admin),
            6,
            DeleteTopicsRequest::default().with_topics(topics),
        )
        .await;
        assert_eq!(response.responses.len(), 4);
        assert!(
            response
                .responses
                .iter()
                .all(|result| result.error_code == ErrorCode::InvalidRequest.code())
        );
        assert_eq!(admin.meta.read().topics().len(), 2);
    }

    #[tokio::test]
    async fn old_versions_name_topics_in_a_list() {
        let admin = admin().await;
        create(&admin, "a", 1, &[]).await.unwrap();
        let names = vec![TopicName(StrBytes::from_static_str("a"))];
        let response = answer(
            admin,
            1,
            DeleteTopicsRequest::default().with_topic_names(names),
        )
        .await;
        assert_eq!(codes(&response), [(Some("a".to_owned()), 0)]);
        encodes_in_every_version::<DeleteTopics>(|_| response.clone());
    }

    #[tokio::test]
    async fn deletion_can_be_switched_off() {
        let off = [("delete.topic.enable".to_owned(), "false".to_owned())].into();
        let admin = admin_with(Shards { leader: Some(1) }, off).await;
        create(&admin, "a", 1, &[]).await.unwrap();
        for (version, code) in [(1, 42), (6, 73)] {
            let request = DeleteTopicsRequest::default().with_topics(vec![by_name("a")]);
            assert_eq!(
                answer(Arc::clone(&admin), version, request).await.responses[0].error_code,
                code
            );
        }
    }
}
