//! What the group APIs share on the wire: texts that outlive their request, codes, topics that exist.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::error::{ErrorCode, NO_ERROR};
use crate::broker::Broker;
use crate::groups::GroupError;

/// A text of a request as the broker keeps it; the request's frame is not kept for it.
pub fn kept(text: &StrBytes) -> Arc<str> {
    Arc::from(text.as_str())
}

pub fn kept_nullable(text: Option<&StrBytes>) -> Option<Arc<str>> {
    text.map(kept)
}

pub fn kept_bytes(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub fn wire(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn wire_nullable(text: Option<&Arc<str>>) -> Option<StrBytes> {
    text.map(|text| wire(text))
}

pub fn code(error: GroupError) -> i16 {
    ErrorCode::from(error).code()
}

/// The code on the wire of a result: 0, or the error's.
pub fn code_of<T>(result: &Result<T, GroupError>) -> i16 {
    result
        .as_ref()
        .map_or_else(|error| code(*error), |_| NO_ERROR)
}

/// An address as Java prints it: a slash, and IPv6 with all its parts.
pub fn java_address(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("/{ip}"),
        IpAddr::V6(ip) => {
            let parts: Vec<String> = ip
                .segments()
                .iter()
                .map(|part| format!("{part:x}"))
                .collect();
            format!("/{}", parts.join(":"))
        }
    }
}

/// How many partitions a topic has; 0 for one that is not there.
pub fn partition_count(broker: &Broker, topic: &TopicName) -> i32 {
    let state = broker.meta.read();
    state
        .topics()
        .get(topic.as_str())
        .map_or(0, |topic| topic.partition_count())
}

#[cfg(test)]
mod tests {
    use super::java_address;

    #[test]
    fn addresses_print_as_java_prints_them() {
        assert_eq!(java_address("127.0.0.1".parse().unwrap()), "/127.0.0.1");
        assert_eq!(java_address("::1".parse().unwrap()), "/0:0:0:0:0:0:0:1");
        assert_eq!(
            java_address("fe80::ab:0".parse().unwrap()),
            "/fe80:0:0:0:0:0:ab:0"
        );
    }
}
