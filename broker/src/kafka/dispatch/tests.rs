use bytes::Bytes;

use super::*;

#[test]
fn the_registration_is_sorted_and_flexible_where_the_codec_is() {
    assert!(APIS.is_sorted_by(|a, b| (a.key as i16) < (b.key as i16)));
    for entry in APIS {
        for version in entry.first..=entry.last {
            let flexible = entry.request.is_flexible(version);
            let response_header = if flexible && entry.key != ApiKey::ApiVersions {
                1
            } else {
                0
            };
            assert_eq!(
                entry.key.response_header_version(version),
                response_header,
                "{}",
                entry.name
            );
        }
    }
}

#[test]
fn a_response_is_prefixed_with_its_length_and_header() {
    let head = |flexible| RequestHead {
        version: 0,
        correlation_id: 0x01020304,
        flexible,
        frame_bytes: 0,
    };
    let body = || vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
    assert_eq!(
        framed(head(false), body()).concat(),
        b"\0\0\0\x07\x01\x02\x03\x04abc"
    );
    assert_eq!(
        framed(head(true), body()).concat(),
        b"\0\0\0\x08\x01\x02\x03\x04\0abc"
    );
}
