//! The row type of a message.

use std::sync::Arc;

use arrow_schema::{DataType, Field as Column, Fields};

use super::schema::{Field, Kind, MessageId, ProtoSchema, Shape};
use super::value;
use crate::codec::columns::{Building, map_of};
use crate::codec::error::NoMapping;

impl ProtoSchema {
    /// The columns of a message; of one that stands for a value, one column named `bare`.
    pub(crate) fn columns(&self, id: MessageId, bare: &str) -> Result<Fields, NoMapping> {
        match self.message_type(id, "", &mut Building::default())? {
            DataType::Struct(columns) => Ok(columns),
            single => Ok(Fields::from(vec![Column::new(bare, single, false)])),
        }
    }

    fn message_type(
        &self,
        id: MessageId,
        at: &str,
        building: &mut Building,
    ) -> Result<DataType, NoMapping> {
        let message = &self.messages[id];
        if let Some(data_type) = value::meant_type(message) {
            return Ok(data_type);
        }
        if message.fields.is_empty() {
            return Err(NoMapping::new(
                at,
                format!("{} has no fields", message.full_name),
            ));
        }
        building.record(at, &message.full_name, |b| {
            let columns = message.fields.iter().map(|field| self.column(field, at, b));
            Ok(DataType::Struct(columns.collect::<Result<Fields, _>>()?))
        })
    }

    fn column(
        &self,
        field: &Field,
        at: &str,
        building: &mut Building,
    ) -> Result<Column, NoMapping> {
        let path = if at.is_empty() {
            field.name.clone()
        } else {
            format!("{at}.{}", field.name)
        };
        building.column(&path)?;
        if field.shape == Shape::Map {
            return self.map_column(field, &path, building);
        }
        let single = self.value_type(field.kind, &path, building)?;
        Ok(match field.shape {
            Shape::Repeated { .. } => {
                let item = Column::new("item", single, false);
                Column::new(&field.name, DataType::List(Arc::new(item)), false)
            }
            shape => Column::new(&field.name, single, shape == Shape::Optional),
        })
    }

    fn map_column(
        &self,
        field: &Field,
        at: &str,
        building: &mut Building,
    ) -> Result<Column, NoMapping> {
        let Kind::Message(id) = field.kind else {
            unreachable!("a map's entries are messages")
        };
        let (key, value) = (&self.messages[id].fields[0], &self.messages[id].fields[1]);
        let value = building.nested(at, |b| self.value_type(value.kind, at, b))?;
        let value = Column::new("value", value, false);
        Ok(Column::new(
            &field.name,
            map_of(value::data_type(key.kind), value),
            false,
        ))
    }

    fn value_type(
        &self,
        kind: Kind,
        at: &str,
        building: &mut Building,
    ) -> Result<DataType, NoMapping> {
        match kind {
            Kind::Message(id) | Kind::Group(id) => self.message_type(id, at, building),
            kind => Ok(value::data_type(kind)),
        }
    }
}
