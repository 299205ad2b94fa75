use proptest::prelude::*;

use super::*;

#[test]
fn a_prefix_names_an_id() {
    let framed = split(Part::Value, &[0, 0, 0, 1, 2, 9, 9], None).unwrap();
    assert_eq!(framed.schema, SchemaRef::Id(258));
    assert_eq!(framed.payload(false).unwrap(), Payload::new(&[9, 9]));
    assert_eq!(
        with_prefix(258, Payload::new(&[9, 9]), false),
        [0, 0, 0, 1, 2, 9, 9]
    );
}

#[test]
fn bytes_without_a_prefix_are_refused() {
    let error = |bytes: &'static [u8]| split(Part::Key, bytes, None).unwrap_err();
    assert_eq!(
        error(&[]),
        FramingError::TooShort {
            part: Part::Key,
            length: 0
        }
    );
    assert_eq!(
        error(&[0, 0, 0, 1]),
        FramingError::TooShort {
            part: Part::Key,
            length: 4
        }
    );
    assert_eq!(
        error(b"{}"),
        FramingError::NoMagic {
            part: Part::Key,
            byte: b'{'
        }
    );
}

#[test]
fn a_header_names_a_guid_and_leaves_the_payload_alone() {
    let guid: Guid = std::array::from_fn(|i| i as u8);
    let header = header_value(&guid, Indexes::FIRST, false);
    let framed = split(Part::Value, &[0, 0, 0, 0, 7], Some(Some(&header))).unwrap();
    assert_eq!(framed.schema, SchemaRef::Guid(guid));
    assert_eq!(
        framed.schema.to_string(),
        "guid 00010203-0405-0607-0809-0a0b0c0d0e0f"
    );
    assert_eq!(framed.payload(false).unwrap().bytes, [0, 0, 0, 0, 7]);
}

#[test]
fn a_malformed_header_is_refused_without_fallback() {
    let prefixed = [0, 0, 0, 0, 7];
    let mut long = header_value(&[3; 16], Indexes::FIRST, false);
    for header in [None, Some(&b""[..]), Some(&[1; 16]), Some(&[0; 17])] {
        let error = split(Part::Value, &prefixed, Some(header)).unwrap_err();
        assert_eq!(error, FramingError::BadHeader { part: Part::Value });
    }
    long.push(4);
    let framed = split(Part::Value, &prefixed, Some(Some(&long))).unwrap();
    assert!(framed.payload(false).is_err() && framed.payload(true).is_err());
}

#[test]
fn indexes_in_both_forms_name_the_same_message() {
    let positions = |bytes: &'static [u8]| {
        let framed = split(Part::Value, bytes, None).unwrap();
        let payload = framed.payload(true).unwrap();
        (payload.indexes.iter().collect::<Vec<_>>(), payload.bytes)
    };
    assert_eq!(positions(&[0, 0, 0, 0, 1, 0, 8]), (vec![0], &[8][..]));
    assert_eq!(positions(&[0, 0, 0, 0, 1, 2, 0, 8]), (vec![0], &[8][..]));
    assert_eq!(
        positions(&[0, 0, 0, 0, 1, 4, 2, 0, 8]),
        (vec![1, 0], &[8][..])
    );
    let payload = Payload {
        indexes: Indexes(&[2, 0]),
        bytes: &[8],
    };
    assert_eq!(with_prefix(1, payload, true), [0, 0, 0, 0, 1, 0, 8]);
}

#[test]
fn indexes_that_are_not_there_are_refused() {
    for body in [
        &[][..],
        &[2],
        &[1],
        &[2, 1],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x80; 9],
    ] {
        assert_eq!(Indexes::parse(body), None, "{body:?}");
    }
}

proptest! {
    #[test]
    fn indexes_round_trip(positions in prop::collection::vec(0usize..1 << 30, 1..5), tail: Vec<u8>) {
        let mut bytes = Indexes::encode(&positions);
        let length = bytes.len();
        bytes.extend_from_slice(&tail);
        let (indexes, rest) = Indexes::parse(&bytes).unwrap();
        prop_assert_eq!(indexes.iter().collect::<Vec<_>>(), positions);
        prop_assert_eq!(rest.len(), bytes.len() - length);
    }

    #[test]
    fn any_bytes_split_or_fail(bytes: Vec<u8>, header: Option<Option<Vec<u8>>>, protobuf: bool) {
        let header = header.as_ref().map(|h| h.as_deref());
        if let Ok(framed) = split(Part::Key, &bytes, header)
            && let Ok(payload) = framed.payload(protobuf)
        {
            let _ = payload.indexes.iter().count();
        }
    }
}
