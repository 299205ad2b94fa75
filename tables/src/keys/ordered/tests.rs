use arrow_schema::TimeUnit;
use proptest::prelude::*;

use super::*;

fn encoded(columns: &[Scalar]) -> Vec<u8> {
    let mut out = Vec::new();
    columns.iter().for_each(|scalar| encode(scalar, &mut out));
    out
}

#[track_caller]
fn check_golden(data_type: DataType, scalar: Scalar, bytes: &[u8]) {
    assert_eq!(encoded(std::slice::from_ref(&scalar)), bytes, "{scalar:?}");
    let mut input = bytes;
    assert_eq!(decode(&data_type, &mut input), Some(scalar));
    assert_eq!(input, b"");
}

#[test]
fn golden_bytes() {
    check_golden(DataType::Utf8, Scalar::Null, b"\x01");
    check_golden(DataType::Boolean, Scalar::Boolean(true), b"\x02\x01");
    check_golden(DataType::Int64, Scalar::Int(1), b"\x02\x80\0\0\0\0\0\0\x01");
    check_golden(
        DataType::Int32,
        Scalar::Int(-1),
        b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff",
    );
    check_golden(
        DataType::Date32,
        Scalar::Int(2),
        b"\x02\x80\0\0\0\0\0\0\x02",
    );
    check_golden(
        DataType::Float64,
        Scalar::Double(1.0),
        b"\x02\xbf\xf0\0\0\0\0\0\0",
    );
    check_golden(
        DataType::Float32,
        Scalar::Float(-1.0),
        b"\x02\x40\x7f\xff\xff",
    );
    check_golden(
        DataType::Decimal128(9, 1),
        Scalar::Decimal(2),
        b"\x02\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02",
    );
    check_golden(
        DataType::Utf8,
        Scalar::Text("a\0b".into()),
        b"\x02a\0\xffb\0",
    );
    check_golden(
        DataType::Binary,
        Scalar::Bytes(vec![0, 1]),
        b"\x02\0\xff\x01\0",
    );
}

#[test]
fn an_open_text_is_a_prefix_of_everything_that_starts_with_it() {
    let mut open = Vec::new();
    encode_open(&Scalar::Text("UA".into()), &mut open);
    assert!(encoded(&[Scalar::Text("UAL".into())]).starts_with(&open));
    assert!(encoded(&[Scalar::Text("UA".into()), Scalar::Int(1)]).starts_with(&open));
    assert!(!encoded(&[Scalar::Text("U".into())]).starts_with(&open));
}

#[test]
fn cut_or_foreign_bytes_are_no_key() {
    for bytes in [&b""[..], b"\x03", b"\x02\x80\0", b"\x02abc"] {
        assert_eq!(decode(&DataType::Int64, &mut &bytes[..]), None);
    }
    assert_eq!(decode(&DataType::Utf8, &mut &b"\x02abc"[..]), None);
    assert_eq!(
        decode(&DataType::Utf8, &mut &b"\x02\xff\0"[..]),
        None,
        "text is UTF-8"
    );
}

/// Few distinct bytes, so that prefixes, zeros and equal keys come up.
fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(
        proptest::collection::vec(0u8..3, 0..4).prop_map(|v| String::from_utf8(v).unwrap()),
    )
}

proptest! {
    #[test]
    fn row_key_order_matches_primary_key_order(
        a in (text(), any::<Option<i64>>(), any::<i128>()),
        b in (text(), any::<Option<i64>>(), any::<i128>()),
    ) {
        let key = |k: &(Option<String>, Option<i64>, i128)| encoded(&[
            k.0.clone().map_or(Scalar::Null, Scalar::Text),
            k.1.map_or(Scalar::Null, Scalar::Int),
            Scalar::Decimal(k.2),
        ]);
        prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
    }

    #[test]
    fn float_order_matches(a: f64, b: f64, c: f32, d: f32) {
        prop_assert_eq!(order_f64(a).cmp(&order_f64(b)), a.total_cmp(&b));
        prop_assert_eq!(order_f32(c).cmp(&order_f32(d)), c.total_cmp(&d));
        prop_assert_eq!(unorder_f64(order_f64(a)).to_bits(), a.to_bits());
        prop_assert_eq!(unorder_f32(order_f32(c)).to_bits(), c.to_bits());
    }

    #[test]
    fn raw_integer_order_matches(a: i64, b: i64, c: i32, d: i32) {
        prop_assert_eq!(flip64(a).cmp(&flip64(b)), a.cmp(&b));
        prop_assert_eq!(flip32(c).cmp(&flip32(d)), c.cmp(&d));
        prop_assert_eq!(unflip64(flip64(a)), a);
        prop_assert_eq!(unflip32(flip32(c)), c);
    }

    #[test]
    fn text_round_trips(text: String) {
        let bytes = encoded(&[Scalar::Text(text.clone())]);
        prop_assert_eq!(decode(&DataType::Utf8, &mut &bytes[..]), Some(Scalar::Text(text)));
    }

    #[test]
    fn decoding_never_panics(bytes: Vec<u8>) {
        for data_type in [DataType::Boolean, DataType::Int64, DataType::Float32, DataType::Float64, DataType::Utf8,
            DataType::Binary, DataType::Decimal128(38, 0), DataType::Timestamp(TimeUnit::Millisecond, None)] {
            let _ = decode(&data_type, &mut &bytes[..]);
        }
    }
}

/// What is shown of a stored key must be what its columns can hold.
#[test]
fn numbers_outside_of_a_columns_type_are_no_key() {
    let millis = TimeUnit::Millisecond;
    for (data_type, greatest) in [
        (DataType::Int8, i64::from(i8::MAX)),
        (DataType::Date32, i32::MAX.into()),
        (DataType::Time32(millis), 86_400_000 - 1),
        (DataType::Timestamp(millis, None), i64::MAX),
    ] {
        let decoded = |number| {
            let bytes = encoded(&[Scalar::Int(number)]);
            decode(&data_type, &mut &bytes[..])
        };
        assert_eq!(decoded(greatest), Some(Scalar::Int(greatest)));
        if greatest < i64::MAX {
            assert_eq!(decoded(greatest + 1), None, "{data_type}");
            assert_eq!(decoded(i64::MIN), None, "{data_type}");
        }
    }
    assert_eq!(decode(&DataType::Boolean, &mut &b"\x02\x02"[..]), None);
}
