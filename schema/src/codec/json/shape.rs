//! The row type of a JSON Schema, and the way between a document and a row.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use serde_json::{Map, Number, Value};

use crate::codec::columns::map_of;
use crate::codec::error::{Fault, fault, in_field, in_item};
use crate::row::{decimal, expected, scalar_from_json, scalar_to_json};

/// A type and whether it takes null.
pub(super) struct Item {
    pub shape: Shape,
    pub nullable: bool,
}

pub(super) enum Shape {
    /// A value whose form in the document is its form in a row, but for details.
    Scalar(DataType),
    Decimal {
        precision: u8,
        scale: u8,
        as_number: bool,
    },
    Array(Box<Item>),
    Map(Box<Item>),
    Row(Vec<Column>),
}

pub(super) struct Column {
    pub name: String,
    pub item: Item,
    pub required: bool,
    pub default: Option<Value>,
}

impl Item {
    /// The columns of a row; of another type, one column named `bare`.
    pub(super) fn columns(&self, bare: &str) -> Fields {
        match &self.shape {
            Shape::Row(columns) => fields(columns),
            _ => Fields::from(vec![self.field(bare)]),
        }
    }

    fn field(&self, name: &str) -> Field {
        Field::new(name, self.shape.data_type(), self.nullable)
    }

    /// A document as a row.
    pub(super) fn read(&self, document: Value) -> Result<Value, Fault> {
        match (&self.shape, document) {
            (_, Value::Null) if self.nullable => Ok(Value::Null),
            (Shape::Scalar(data_type), value) => read_scalar(data_type, value),
            (
                Shape::Decimal {
                    precision, scale, ..
                },
                value,
            ) => {
                let text = match &value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let unscaled = decimal::from_text(&text, *precision, *scale).map_err(fault)?;
                Ok(decimal::to_text(unscaled, *scale).into())
            }
            (Shape::Array(item), Value::Array(values)) => {
                let read = |(i, v)| item.read(v).map_err(|e| in_item(e, i));
                values.into_iter().enumerate().map(read).collect()
            }
            (Shape::Map(item), Value::Object(values)) => {
                let read = |(k, v)| item.read(v).map_err(|e| in_item(e, &k)).map(|v| (k, v));
                Ok(Value::Object(
                    values.into_iter().map(read).collect::<Result<_, _>>()?,
                ))
            }
            (Shape::Row(columns), Value::Object(mut values)) => {
                let mut row = Map::with_capacity(columns.len());
                for column in columns {
                    let value = match values.swap_remove(&column.name) {
                        Some(value) => column
                            .item
                            .read(value)
                            .map_err(|e| in_field(e, &column.name))?,
                        None => column.default.clone().unwrap_or(Value::Null),
                    };
                    row.insert(column.name.clone(), value);
                }
                Ok(Value::Object(row))
            }
            (shape, value) => Err(mismatch(shape, &value)),
        }
    }

    /// A row as a document.
    pub(super) fn write(&self, row: &Value) -> Result<Value, Fault> {
        match (&self.shape, row) {
            (_, Value::Null) if self.nullable => Ok(Value::Null),
            (Shape::Scalar(data_type), value) => {
                if value.is_null() {
                    return Err(mismatch(&self.shape, value));
                }
                let scalar = scalar_from_json(data_type, value).map_err(fault)?;
                Ok(scalar_to_json(data_type, &scalar))
            }
            (
                Shape::Decimal {
                    precision,
                    scale,
                    as_number,
                },
                value,
            ) => {
                let unscaled =
                    crate::row::decimal_from_json(value, *precision, *scale).map_err(fault)?;
                let text = decimal::to_text(unscaled, *scale);
                let number = if *as_number {
                    text.parse().ok().and_then(Number::from_f64)
                } else {
                    None
                };
                Ok(number.map_or(Value::String(text), Value::Number))
            }
            (Shape::Array(item), Value::Array(values)) => {
                let write = |(i, v)| item.write(v).map_err(|e| in_item(e, i));
                values.iter().enumerate().map(write).collect()
            }
            (Shape::Map(item), Value::Object(values)) => {
                let write = |(k, v)| {
                    item.write(v)
                        .map_err(|e| in_item(e, k))
                        .map(|v| (String::clone(k), v))
                };
                Ok(Value::Object(
                    values.iter().map(write).collect::<Result<_, _>>()?,
                ))
            }
            (Shape::Row(columns), Value::Object(values)) => write_row(columns, values),
            (shape, value) => Err(mismatch(shape, value)),
        }
    }
}

fn write_row(columns: &[Column], values: &Map<String, Value>) -> Result<Value, Fault> {
    if let Some(name) = values
        .keys()
        .find(|name| !columns.iter().any(|c| c.name == **name))
    {
        return Err(in_field(fault("the schema has no such property"), name));
    }
    let mut document = Map::with_capacity(columns.len());
    for column in columns {
        // Null and absent are one in a row; the document says null only where it has to say something.
        match values.get(&column.name) {
            None | Some(Value::Null) if !column.required => {}
            None => match &column.default {
                Some(default) => {
                    document.insert(column.name.clone(), default.clone());
                }
                None => {
                    return Err(in_field(
                        fault("is missing and has no default"),
                        &column.name,
                    ));
                }
            },
            Some(value) => {
                let value = column
                    .item
                    .write(value)
                    .map_err(|e| in_field(e, &column.name))?;
                document.insert(column.name.clone(), value);
            }
        }
    }
    Ok(Value::Object(document))
}

impl Shape {
    fn data_type(&self) -> DataType {
        match self {
            Shape::Scalar(data_type) => data_type.clone(),
            Shape::Decimal {
                precision, scale, ..
            } => DataType::Decimal128(*precision, *scale as i8),
            Shape::Array(item) => DataType::List(Arc::new(item.field("item"))),
            Shape::Map(item) => map_of(DataType::Utf8, item.field("value")),
            Shape::Row(columns) => DataType::Struct(fields(columns)),
        }
    }
}

fn fields(columns: &[Column]) -> Fields {
    let field = |column: &Column| {
        let nullable = column.item.nullable || !column.required;
        column.item.field(&column.name).with_nullable(nullable)
    };
    columns.iter().map(field).collect()
}

fn read_scalar(data_type: &DataType, value: Value) -> Result<Value, Fault> {
    let value = match (data_type, value) {
        (DataType::Utf8, value @ Value::String(_))
        | (DataType::Boolean, value @ Value::Bool(_)) => {
            return Ok(value);
        }
        (DataType::Timestamp(..), Value::String(text)) => Value::String(microseconds(text)),
        (DataType::Utf8 | DataType::Boolean, value) | (_, value @ Value::Null) => {
            return Err(fault(format!("{value} is not {}", expected(data_type))));
        }
        // Only rows may write a BIGINT as a string.
        (DataType::Int64, value @ Value::String(_)) => {
            return Err(fault(format!("{value} is not {}", expected(data_type))));
        }
        (_, value) => value,
    };
    let scalar = scalar_from_json(data_type, &value).map_err(fault)?;
    Ok(scalar_to_json(data_type, &scalar))
}

/// Cuts a timestamp's fraction after six digits.
fn microseconds(mut text: String) -> String {
    if let Some(point) = text.find('.') {
        let digits = text[point + 1..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        if digits > 6 {
            text.replace_range(point + 7..point + 1 + digits, "");
        }
    }
    text
}

fn mismatch(shape: &Shape, value: &Value) -> Fault {
    let expected = match shape {
        Shape::Scalar(data_type) => expected(data_type),
        Shape::Decimal { .. } => "a decimal".into(),
        Shape::Array(_) => "an array".into(),
        Shape::Map(_) | Shape::Row(_) => "an object".into(),
    };
    let shown: String = value.to_string().chars().take(60).collect();
    fault(format!("{shown} is not {expected}"))
}
