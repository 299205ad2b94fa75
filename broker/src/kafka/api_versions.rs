//! ApiVersions (key 18), versions 0–4: which APIs this broker serves, at which versions.
//! v1 throttle time · v3 flexible, the client names its software (KIP-511) · v4 as v3, features may start at 0
//!
//! A version that is not served gets UNSUPPORTED_VERSION in version 0's encoding with this API's own range, so that
//! any client finds a version to ask again with. No feature is finalised: transactions (KIP-890), group, share and
//! streams protocols are not there, and clients would begin to use them.

use std::future::{Future, ready};
use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use super::dispatch::{APIS, Api, Entry};
use super::error::ErrorCode;
use super::session::{ClientSoftware, Session};
use crate::broker::Broker;

/// The epoch of the (empty) set of finalised features; a negative one would mean that it is unknown.
const FEATURES_EPOCH: i64 = 0;

pub struct ApiVersions;

impl Api for ApiVersions {
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: RangeInclusive<i16> = 0..=4;

    fn handle(
        _broker: &Arc<Broker>,
        session: &Arc<Session>,
        version: i16,
        request: ApiVersionsRequest,
    ) -> impl Future<Output = ApiVersionsResponse> + Send + 'static {
        ready(answer(APIS, session, version, &request))
    }
}

/// The answer to a served version, for a table of APIs.
pub(super) fn answer<B>(
    apis: &[Entry<B>],
    session: &Session,
    version: i16,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    if version >= 3 {
        let (name, software_version) = (
            &request.client_software_name,
            &request.client_software_version,
        );
        if !is_software_word(name) || !is_software_word(software_version) {
            return ApiVersionsResponse::default()
                .with_error_code(ErrorCode::InvalidRequest.code());
        }
        session.set_software(ClientSoftware {
            name: name.to_string(),
            version: software_version.to_string(),
        });
    }
    let rows = apis
        .iter()
        .map(|entry| row(entry.key, entry.advertised_first..=entry.last));
    ApiVersionsResponse::default()
        .with_api_keys(rows.collect())
        .with_finalized_features_epoch(FEATURES_EPOCH)
}

/// The answer to a version that is not served, to be encoded as version 0.
pub(super) fn unsupported(versions: RangeInclusive<i16>) -> ApiVersionsResponse {
    ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(vec![row(ApiKey::ApiVersions, versions)])
}

fn row(key: ApiKey, versions: RangeInclusive<i16>) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(key as i16)
        .with_min_version(*versions.start())
        .with_max_version(*versions.end())
}

/// Letters, digits, `-` and `.`, with a letter or digit at both ends.
fn is_software_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && bytes.iter().all(inside)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn ask(
        version: i16,
        name: &'static str,
        software_version: &'static str,
    ) -> (ApiVersionsResponse, Session) {
        let address = "127.0.0.1:9092".parse().unwrap();
        let session = Session::new(address, address);
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str(software_version));
        (answer(APIS, &session, version, &request), session)
    }

    #[test]
    fn every_registered_api_is_advertised_once_and_no_feature_is_finalised() {
        let (response, session) = ask(4, "librdkafka", "2.3.0");
        assert_eq!(response.error_code, 0);
        let keys: Vec<i16> = response.api_keys.iter().map(|row| row.api_key).collect();
        let registered: Vec<i16> = APIS.iter().map(|entry| entry.key as i16).collect();
        assert_eq!(keys, registered);
        assert!(response.finalized_features.is_empty());
        assert!(response.finalized_features_epoch >= 0);
        assert_eq!(session.software().unwrap().name, "librdkafka");
    }

    #[test]
    fn software_names_are_words_from_version_3_on() {
        for (version, name, valid) in [
            (3, "apache-kafka-java", true),
            (3, "a", true),
            (3, "", false),
            (3, "-a", false),
            (3, "a.", false),
            (4, "a b", false),
            (2, "", true),
        ] {
            let expected = if valid {
                0
            } else {
                ErrorCode::InvalidRequest.code()
            };
            assert_eq!(
                ask(version, name, "1.0").0.error_code,
                expected,
                "{name:?} v{version}"
            );
        }
        assert_eq!(
            ask(3, "kgo", "unknown version").0.error_code,
            ErrorCode::InvalidRequest.code()
        );
    }
}
