//! One value of a key column, typed, for those who order or compare keys.

use arrow_schema::{DataType, Fields};
use serde_json::Value;

use super::{bytes_from_text, bytes_to_text, datetime, decimal, number};

/// A value of a type that may stand in a key (no ARRAY, MAP, ROW). The column's type says how to read it:
/// `Int` is every integer, DATE, TIME and TIMESTAMP; `Decimal` is unscaled.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Null,
    Boolean(bool),
    Int(i64),
    Float(f32),
    Double(f64),
    Decimal(i128),
    Text(String),
    Bytes(Vec<u8>),
}

/// The key of a row that is a JSON object: one scalar per key column, in the columns' order. A missing
/// column is null. The error names the column and says what its type takes.
pub fn key_scalars(columns: &Fields, row: &Value) -> Result<Vec<Scalar>, (String, String)> {
    let scalar = |column: &arrow_schema::Field| {
        let value = row.get(column.name()).unwrap_or(&Value::Null);
        scalar_from_json(column.data_type(), value).map_err(|e| (column.name().clone(), e))
    };
    columns.iter().map(|column| scalar(column)).collect()
}

/// Reads one JSON value as `data_type`; the error says what the type takes.
pub fn scalar_from_json(data_type: &DataType, value: &Value) -> Result<Scalar, String> {
    if value.is_null() {
        return Ok(Scalar::Null);
    }
    let text = || value.as_str();
    let scalar = match data_type {
        DataType::Boolean => value.as_bool().map(Scalar::Boolean),
        DataType::Int8 => ranged(value, i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => ranged(value, i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => ranged(value, i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => number::bigint_from_json(value).map(Scalar::Int),
        DataType::Float32 => number::float_from_json(value).map(Scalar::Float),
        DataType::Float64 => number::double_from_json(value).map(Scalar::Double),
        DataType::Utf8 => text().map(|t| Scalar::Text(t.to_owned())),
        DataType::Decimal128(precision, scale) => {
            return decimal_from_json(value, *precision, *scale as u8).map(Scalar::Decimal);
        }
        DataType::Date32 => text()
            .and_then(datetime::date_from_text)
            .map(|days| Scalar::Int(days.into())),
        DataType::Time32(unit) | DataType::Time64(unit) => text()
            .and_then(|t| datetime::time_from_text(t, *unit))
            .map(Scalar::Int),
        DataType::Timestamp(unit, zone) => text()
            .and_then(|t| datetime::timestamp_from_text(t, *unit, zone.is_some()))
            .map(Scalar::Int),
        DataType::Binary => text().and_then(bytes_from_text).map(Scalar::Bytes),
        DataType::FixedSizeBinary(size) => text()
            .and_then(bytes_from_text)
            .filter(|bytes| bytes.len() == *size as usize)
            .map(Scalar::Bytes),
        _ => return Err(format!("a key has no {data_type} columns")),
    };
    scalar.ok_or_else(|| format!("{value} is not {}", expected(data_type)))
}

/// The JSON form of a scalar of type `data_type`.
pub fn scalar_to_json(data_type: &DataType, scalar: &Scalar) -> Value {
    match (scalar, data_type) {
        (Scalar::Null, _) => Value::Null,
        (Scalar::Boolean(v), _) => (*v).into(),
        (Scalar::Int(v), DataType::Date32) => datetime::date_to_text(*v).into(),
        (Scalar::Int(v), DataType::Time32(unit) | DataType::Time64(unit)) => {
            datetime::time_to_text(*v, *unit).into()
        }
        (Scalar::Int(v), DataType::Timestamp(unit, zone)) => {
            datetime::timestamp_to_text(*v, *unit, zone.is_some()).into()
        }
        (Scalar::Int(v), _) => (*v).into(),
        (Scalar::Float(v), _) => number::float_to_json(*v),
        (Scalar::Double(v), _) => number::double_to_json(*v),
        (Scalar::Decimal(v), DataType::Decimal128(_, scale)) => {
            decimal::to_text(*v, *scale as u8).into()
        }
        (Scalar::Decimal(v), _) => v.to_string().into(),
        (Scalar::Text(v), _) => v.as_str().into(),
        (Scalar::Bytes(v), _) => bytes_to_text(v).into(),
    }
}

/// DECIMAL from JSON: a string, or an integer. A float is refused, since it is not exact.
pub fn decimal_from_json(value: &Value, precision: u8, scale: u8) -> Result<i128, String> {
    match value {
        Value::String(text) => decimal::from_text(text, precision, scale),
        Value::Number(number) if !number.is_f64() => {
            decimal::from_text(&number.to_string(), precision, scale)
        }
        _ => Err(format!("{value} is not exact: write a decimal as a string")),
    }
}

fn ranged(value: &Value, min: i64, max: i64) -> Option<Scalar> {
    let integer = number::integer_from_json(value)?;
    (min..=max)
        .contains(&integer)
        .then_some(Scalar::Int(integer))
}

/// What a JSON value of this type looks like, for messages.
pub fn expected(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "true or false".into(),
        DataType::Int8 => "an integer from -128 to 127".into(),
        DataType::Int16 => "an integer from -32768 to 32767".into(),
        DataType::Int32 => "an integer from -2147483648 to 2147483647".into(),
        DataType::Int64 => "a 64-bit integer".into(),
        DataType::Float32 => "a 32-bit float".into(),
        DataType::Float64 => "a number".into(),
        DataType::Utf8 => "a string".into(),
        DataType::Date32 => "a date like \"2013-01-01\"".into(),
        DataType::Time32(_) | DataType::Time64(_) => "a time like \"12:34:56.000000\"".into(),
        DataType::Timestamp(_, None) => "a timestamp like \"2013-01-01T00:00:00\"".into(),
        DataType::Timestamp(_, Some(_)) => "a timestamp like \"2013-01-01T00:00:00Z\"".into(),
        DataType::Binary => "base64".into(),
        DataType::FixedSizeBinary(size) => format!("base64 of {size} bytes"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::TimeUnit;
    use serde_json::json;

    #[test]
    fn scalars_round_trip_through_json() {
        let stamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let cases = [
            (DataType::Int64, json!(i64::MIN)),
            (DataType::Utf8, json!("a,b")),
            (DataType::Decimal128(10, 2), json!("-1.50")),
            (DataType::Date32, json!("2013-01-01")),
            (
                DataType::Time64(TimeUnit::Microsecond),
                json!("01:02:03.000004"),
            ),
            (stamp, json!("2013-01-01T00:00:00.001Z")),
            (DataType::FixedSizeBinary(3), json!("AQID")),
            (DataType::Float64, json!("NaN")),
            (DataType::Boolean, json!(true)),
            (DataType::Int8, json!(null)),
        ];
        for (data_type, value) in cases {
            let scalar = scalar_from_json(&data_type, &value).unwrap();
            assert_eq!(scalar_to_json(&data_type, &scalar), value, "{data_type}");
        }
    }

    #[test]
    fn a_value_of_another_type_names_what_is_taken() {
        let error = |data_type, value| scalar_from_json(&data_type, &value).unwrap_err();
        assert_eq!(
            error(DataType::Int8, json!(200)),
            "200 is not an integer from -128 to 127"
        );
        assert!(error(DataType::Decimal128(5, 2), json!(1.5)).contains("as a string"));
        assert!(error(DataType::FixedSizeBinary(4), json!("AQID")).contains("4 bytes"));
    }
}
