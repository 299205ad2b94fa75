//! Keys as text: the parts of a path or of a `prefix=`, already split and decoded.

use arrow_schema::{DataType, Field};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use weir_schema::row::{bytes_to_text, expected, scalar_from_json};

use crate::key::KeyError;

/// The JSON value that a part of a path stands for: bytes as base64url, all else as it would be printed.
pub fn value_of_text(column: &Field, text: &str) -> Result<Value, KeyError> {
    let value = match column.data_type() {
        DataType::Boolean => text.parse().ok().map(Value::Bool),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            text.parse::<i64>().ok().map(Value::from)
        }
        DataType::Float32 | DataType::Float64 => match text {
            "NaN" | "Infinity" | "-Infinity" => Some(Value::from(text)),
            _ => text
                .parse::<f64>()
                .ok()
                .filter(|x| x.is_finite())
                .map(Value::from),
        },
        DataType::Binary | DataType::FixedSizeBinary(_) => {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
            bytes.map(|bytes| Value::from(bytes_to_text(&bytes)))
        }
        _ => Some(Value::from(text)),
    };
    let refused = |reason: String| KeyError::Column {
        column: column.name().clone(),
        reason,
    };
    let value =
        value.ok_or_else(|| refused(format!("`{text}` is not {}", in_path(column.data_type()))))?;
    scalar_from_json(column.data_type(), &value).map_err(refused)?;
    Ok(value)
}

fn in_path(data_type: &DataType) -> String {
    match data_type {
        DataType::Binary | DataType::FixedSizeBinary(_) => "base64url".into(),
        other => expected(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(data_type: DataType, text: &str, value: Value) {
        assert_eq!(
            value_of_text(&Field::new("c", data_type, true), text),
            Ok(value)
        );
    }

    #[test]
    fn a_part_is_read_by_its_columns_type() {
        check(DataType::Utf8, "12", json!("12"));
        check(DataType::Int32, "-12", json!(-12));
        check(DataType::Boolean, "true", json!(true));
        check(DataType::Binary, "3q2-7w", json!("3q2+7w=="));
        check(DataType::Date32, "2013-01-01", json!("2013-01-01"));
        check(DataType::Float64, "-Infinity", json!("-Infinity"));
    }

    #[test]
    fn a_part_of_another_type_is_refused_by_column_and_text() {
        let refused =
            value_of_text(&Field::new("year", DataType::Int32, false), "twelve").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "key column year: `twelve` is not an integer from -2147483648 to 2147483647"
        );
        assert!(value_of_text(&Field::new("k", DataType::Binary, false), "!").is_err());
        assert!(value_of_text(&Field::new("k", DataType::Int32, false), "2147483648").is_err());
    }
}
