//! Fixtures of the tests of Kafka APIs.

use kafka_protocol::protocol::Encodable;

use super::dispatch::Api;
use super::session::Session;

pub fn session() -> Session {
    let address = "127.0.0.1:9092".parse().unwrap();
    Session::new(address, address)
}

/// The codec refuses a field that a version does not have; so an answer is tried in each.
pub fn encodes_in_every_version<A: Api>(mut answer: impl FnMut(i16) -> A::Response) {
    for version in A::VERSIONS {
        let mut bytes = bytes::BytesMut::new();
        if let Err(error) = answer(version).encode(&mut bytes, version) {
            panic!("{:?} version {version} does not encode: {error}", A::KEY);
        }
    }
}
