//! `int64=string`: for readers whose numbers are doubles, BIGINT as a string.

use arrow_schema::{DataType, Fields};
use serde_json::Value;

/// Turns every BIGINT of a row into a string, in nested values too.
pub fn int64_as_strings(columns: &Fields, row: &mut Value) {
    let Value::Object(row) = row else { return };
    for column in columns {
        if let Some(value) = row.get_mut(column.name()) {
            stringify(column.data_type(), value);
        }
    }
}

fn stringify(data_type: &DataType, value: &mut Value) {
    match (data_type, value) {
        (DataType::Int64, value @ Value::Number(_)) => *value = value.to_string().into(),
        (DataType::Struct(fields), value) => int64_as_strings(fields, value),
        (DataType::List(item), Value::Array(items)) => {
            items
                .iter_mut()
                .for_each(|v| stringify(item.data_type(), v));
        }
        (DataType::Map(entry, _), value) => {
            let DataType::Struct(fields) = entry.data_type() else {
                return;
            };
            let (key, item) = (fields[0].data_type(), fields[1].data_type());
            match value {
                Value::Object(map) => map.values_mut().for_each(|v| stringify(item, v)),
                Value::Array(pairs) => {
                    for pair in pairs.iter_mut().filter_map(Value::as_array_mut) {
                        pair.iter_mut()
                            .zip([key, item])
                            .for_each(|(v, t)| stringify(t, v));
                    }
                }
                _ => {}
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::Field;
    use serde_json::json;

    #[test]
    fn only_bigint_becomes_a_string() {
        let columns = Fields::from(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("n", DataType::Int32, false),
            Field::new_list("l", Field::new("item", DataType::Int64, true), true),
        ]);
        let mut row = json!({"id": 9007199254740993i64, "n": 1, "l": [1, null]});
        int64_as_strings(&columns, &mut row);
        assert_eq!(
            row,
            json!({"id": "9007199254740993", "n": 1, "l": ["1", null]})
        );
    }
}
