//! A table's keys in their three forms: the bytes of a record, the columns of a row, and the primary key
//! under which the row is stored.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use serde_json::{Map, Value};
use weir_log::records::Headers;
use weir_schema::codec::{self, Codec, JsonStyle, NoMapping, PayloadError, SchemaError};
use weir_schema::framing::{self, FramingError, Guid, Indexes, Part, Payload, SchemaRef};
use weir_schema::row::{Scalar, key_scalars, scalar_from_json, scalar_to_json};

use crate::def::{Framing, JsonForm, KeyDef, KeyFormat, KeySchema};
use crate::keys::ordered;
use crate::schemas::Schemas;

/// The one column of a key without fields.
pub const KEY_COLUMN: &str = "key";

/// A record's key is no key of the table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key is null")]
    Null,
    #[error("the key is not UTF-8")]
    NotUtf8,
    #[error("the key has {found} bytes, and {format} takes {expected}")]
    WrongLength {
        format: KeyFormat,
        expected: usize,
        found: usize,
    },
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error("the key's schema {0} is not registered")]
    UnknownSchema(SchemaRef),
    #[error("the key is no value of its schema: {0}")]
    Payload(#[from] PayloadError),
    #[error("key column {column}: {reason}")]
    Column { column: String, reason: String },
}

/// A table's key schema is not usable as one.
#[derive(Debug, thiserror::Error)]
pub enum KeySchemaError {
    #[error("a key of format schema has a schema")]
    Missing,
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    NoMapping(#[from] NoMapping),
}

/// A key's bytes as a producer sends them, in the table's canonical form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordKey {
    pub bytes: Vec<u8>,
    /// The value of the record's `__key_schema_id` header, where the table's keys have one.
    pub schema_header: Option<Vec<u8>>,
}

/// How a table's keys are read and written.
pub struct KeyCodec {
    format: KeyFormat,
    columns: Fields,
    frozen: Option<Frozen>,
}

/// The encoding that a table with a key schema has frozen.
struct Frozen {
    codec: Arc<Codec>,
    id: i32,
    guid: Guid,
    /// Protobuf's way to the message, encoded.
    indexes: Vec<u8>,
    framing: Framing,
    style: JsonStyle,
    /// The schema is no record, and its value is the key's only column.
    bare: bool,
}

impl KeyCodec {
    pub fn new(def: &KeyDef) -> Result<Self, KeySchemaError> {
        let raw = |data_type| Fields::from(vec![Field::new(KEY_COLUMN, data_type, false)]);
        let (columns, frozen) = match def.format {
            KeyFormat::String => (raw(DataType::Utf8), None),
            KeyFormat::Int32 => (raw(DataType::Int32), None),
            KeyFormat::Int64 => (raw(DataType::Int64), None),
            KeyFormat::Bytes => (raw(DataType::Binary), None),
            KeyFormat::Schema => {
                let schema = def.schema.as_ref().ok_or(KeySchemaError::Missing)?;
                let frozen = Frozen::new(def, schema)?;
                (frozen.codec.key_columns(frozen.indexes())?, Some(frozen))
            }
        };
        Ok(Self {
            format: def.format,
            columns,
            frozen,
        })
    }

    pub fn format(&self) -> KeyFormat {
        self.format
    }

    pub fn columns(&self) -> &Fields {
        &self.columns
    }

    /// Appends the primary key of a record's key. On an error `out` may have grown. `schemas` is asked for
    /// keys that were written with another schema than the table's, which need a table of one partition.
    pub fn primary_key(
        &self,
        key: &[u8],
        headers: Headers<'_>,
        schemas: &dyn Schemas,
        out: &mut Vec<u8>,
    ) -> Result<(), KeyError> {
        match self.format {
            KeyFormat::Bytes => out.extend_from_slice(key),
            KeyFormat::String => {
                str::from_utf8(key).map_err(|_| KeyError::NotUtf8)?;
                out.extend_from_slice(key);
            }
            KeyFormat::Int32 => {
                out.extend_from_slice(&ordered::flip32(i32::from_be_bytes(self.exact(key)?)))
            }
            KeyFormat::Int64 => {
                out.extend_from_slice(&ordered::flip64(i64::from_be_bytes(self.exact(key)?)))
            }
            KeyFormat::Schema => {
                let json = self.frozen().decode(key, headers, schemas)?;
                self.scalars(&json)?
                    .iter()
                    .for_each(|scalar| ordered::encode(scalar, out));
            }
        }
        Ok(())
    }

    /// The key's columns, in key order, of a row that is stored under `primary_key`; `None` where the
    /// bytes are no key of this table.
    pub fn columns_of(&self, mut primary_key: &[u8]) -> Option<Vec<Value>> {
        Some(match self.format {
            KeyFormat::Bytes => vec![scalar_to_json(
                &DataType::Binary,
                &Scalar::Bytes(primary_key.to_vec()),
            )],
            KeyFormat::String => vec![Value::from(str::from_utf8(primary_key).ok()?)],
            KeyFormat::Int32 => vec![Value::from(ordered::unflip32(primary_key.try_into().ok()?))],
            KeyFormat::Int64 => vec![Value::from(ordered::unflip64(primary_key.try_into().ok()?))],
            KeyFormat::Schema => {
                let column = |column: &Arc<Field>| {
                    let scalar = ordered::decode(column.data_type(), &mut primary_key)?;
                    Some(scalar_to_json(column.data_type(), &scalar))
                };
                self.columns.iter().map(column).collect::<Option<_>>()?
            }
        })
    }

    /// The canonical record key and the primary key of a row whose key columns are `values`, in key order.
    pub fn key_of(&self, values: &[Value]) -> Result<(RecordKey, Vec<u8>), KeyError> {
        let mut scalars = Vec::with_capacity(values.len());
        for (column, value) in self.columns.iter().zip(values) {
            scalars.push(scalar(column, value)?);
        }
        let mut primary_key = Vec::new();
        let record = match (&self.frozen, scalars.as_slice()) {
            (Some(frozen), _) => {
                scalars
                    .iter()
                    .for_each(|scalar| ordered::encode(scalar, &mut primary_key));
                frozen.encode(&self.columns, values)?
            }
            (None, [scalar]) => {
                let bytes = self.raw(scalar, &mut primary_key).ok_or(KeyError::Null)?;
                RecordKey {
                    bytes,
                    schema_header: None,
                }
            }
            (None, _) => return Err(KeyError::Null),
        };
        Ok((record, primary_key))
    }

    /// What the primary keys start with of all rows whose first columns are `values`. Where every column is
    /// given, the last one may go on if it is text or bytes.
    pub fn prefix_of(&self, values: &[Value]) -> Result<Vec<u8>, KeyError> {
        let mut prefix = Vec::new();
        let last = self.columns.len() - 1;
        for (i, (column, value)) in self.columns.iter().zip(values).enumerate() {
            let scalar = scalar(column, value)?;
            match self.frozen {
                None => {
                    self.raw(&scalar, &mut prefix).ok_or(KeyError::Null)?;
                }
                Some(_) if i == last => ordered::encode_open(&scalar, &mut prefix),
                Some(_) => ordered::encode(&scalar, &mut prefix),
            }
        }
        Ok(prefix)
    }

    /// Whether a record's key has the one form that partitioners may hash. Its columns are not looked at.
    pub fn is_canonical(&self, key: &[u8], headers: Headers<'_>) -> Result<bool, KeyError> {
        match &self.frozen {
            Some(frozen) => frozen.is_canonical(key, headers),
            None => Ok(true),
        }
    }

    /// Says the canonical form, for whoever sent another.
    pub fn canonical_form(&self) -> String {
        match &self.frozen {
            Some(frozen) => frozen.form(),
            None => format!("{} without schema id", self.format),
        }
    }

    /// A record's key as the JSON of its key columns, in key order.
    pub fn record_columns(
        &self,
        key: &[u8],
        headers: Headers<'_>,
        schemas: &dyn Schemas,
    ) -> Result<Vec<Value>, KeyError> {
        let mut primary_key = Vec::new();
        self.primary_key(key, headers, schemas, &mut primary_key)?;
        Ok(self
            .columns_of(&primary_key)
            .expect("just encoded from these columns"))
    }

    fn frozen(&self) -> &Frozen {
        self.frozen
            .as_ref()
            .expect("a key of format schema has one")
    }

    fn exact<const N: usize>(&self, key: &[u8]) -> Result<[u8; N], KeyError> {
        key.try_into().map_err(|_| KeyError::WrongLength {
            format: self.format,
            expected: N,
            found: key.len(),
        })
    }

    fn scalars(&self, json: &Value) -> Result<Vec<Scalar>, KeyError> {
        if !json.is_object() {
            return Ok(vec![scalar(&self.columns[0], json)?]);
        }
        let scalars = key_scalars(&self.columns, json)
            .map_err(|(column, reason)| KeyError::Column { column, reason })?;
        // A key of another schema may lack what this one needs.
        let mut columns = self.columns.iter().zip(&scalars);
        match columns.find(|(column, scalar)| **scalar == Scalar::Null && !column.is_nullable()) {
            None => Ok(scalars),
            Some((column, _)) => Err(KeyError::Column {
                column: column.name().clone(),
                reason: "is null".into(),
            }),
        }
    }

    /// The record bytes of a raw key; its primary key is appended. `None` for null.
    fn raw(&self, scalar: &Scalar, primary_key: &mut Vec<u8>) -> Option<Vec<u8>> {
        let bytes = match scalar {
            Scalar::Text(text) => text.clone().into_bytes(),
            Scalar::Bytes(bytes) => bytes.clone(),
            Scalar::Int(n) if self.format == KeyFormat::Int32 => {
                let n = i32::try_from(*n).expect("read as an int32");
                primary_key.extend_from_slice(&ordered::flip32(n));
                return Some(n.to_be_bytes().to_vec());
            }
            Scalar::Int(n) => {
                primary_key.extend_from_slice(&ordered::flip64(*n));
                return Some(n.to_be_bytes().to_vec());
            }
            _ => return None,
        };
        primary_key.extend_from_slice(&bytes);
        Some(bytes)
    }
}

fn scalar(column: &Field, value: &Value) -> Result<Scalar, KeyError> {
    let refused = |reason: String| KeyError::Column {
        column: column.name().clone(),
        reason,
    };
    if value.is_null() && !column.is_nullable() {
        return Err(refused("is null".into()));
    }
    scalar_from_json(column.data_type(), value).map_err(refused)
}

impl Frozen {
    fn new(def: &KeyDef, schema: &KeySchema) -> Result<Self, KeySchemaError> {
        let references: Vec<(&str, &str)> = schema
            .references
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let codec = codec::compile(schema.schema_type, &schema.text, &references)?;
        let positions: Vec<usize> = schema.message_index.iter().map(|i| *i as usize).collect();
        let indexes = Indexes::encode(if positions.is_empty() {
            &[0]
        } else {
            &positions
        });
        let style = match def.json {
            JsonForm::Compact => JsonStyle::Compact,
            JsonForm::Spaced => JsonStyle::Spaced,
        };
        let mut frozen = Self {
            codec,
            id: schema.id,
            guid: *schema.guid.as_bytes(),
            indexes,
            framing: def.framing,
            style,
            bare: false,
        };
        // Only a schema that is no record takes its column's name from outside.
        let named = |bare| {
            frozen
                .codec
                .columns(frozen.indexes(), bare)
                .map(|columns| columns[0].name().clone())
        };
        frozen.bare = named(KEY_COLUMN)? != named("\0")?;
        Ok(frozen)
    }

    fn indexes(&self) -> Indexes<'_> {
        Indexes::parse(&self.indexes)
            .expect("encoded when the table was opened")
            .0
    }

    /// The key as JSON of the table's own key schema.
    fn decode(
        &self,
        key: &[u8],
        headers: Headers<'_>,
        schemas: &dyn Schemas,
    ) -> Result<Value, KeyError> {
        let framed = framing::split(Part::Key, key, schema_header(headers, Part::Key))?;
        if self.names(&framed.schema) {
            let payload = framed.payload(self.codec.is_protobuf())?;
            return Ok(self.codec.to_json(payload)?);
        }
        let writer = schemas
            .codec(framed.schema)
            .ok_or(KeyError::UnknownSchema(framed.schema))?;
        let payload = framed.payload(writer.is_protobuf())?;
        Ok(writer.to_json_as(&self.codec, payload)?)
    }

    fn names(&self, schema: &SchemaRef) -> bool {
        match schema {
            SchemaRef::Id(id) => *id == self.id,
            SchemaRef::Guid(guid) => *guid == self.guid,
        }
    }

    fn encode(&self, columns: &Fields, values: &[Value]) -> Result<RecordKey, KeyError> {
        let json = if self.bare {
            values[0].clone()
        } else {
            let named = columns.iter().map(|c| c.name().clone());
            Value::Object(named.zip(values.iter().cloned()).collect::<Map<_, _>>())
        };
        let payload = self.codec.from_json(self.indexes(), &json)?;
        let payload = Payload {
            indexes: self.indexes(),
            bytes: &payload,
        };
        let canonical = self.codec.canonical_key(payload, self.style)?;
        Ok(self.framed(&canonical))
    }

    fn framed(&self, canonical: &[u8]) -> RecordKey {
        let protobuf = self.codec.is_protobuf();
        let payload = Payload {
            indexes: self.indexes(),
            bytes: canonical,
        };
        match self.framing {
            Framing::IdPrefix => RecordKey {
                bytes: framing::with_prefix(self.id, payload, protobuf),
                schema_header: None,
            },
            Framing::Header => RecordKey {
                bytes: canonical.to_vec(),
                schema_header: Some(framing::header_value(&self.guid, self.indexes(), protobuf)),
            },
            Framing::Raw => RecordKey {
                bytes: canonical.to_vec(),
                schema_header: None,
            },
        }
    }

    fn is_canonical(&self, key: &[u8], headers: Headers<'_>) -> Result<bool, KeyError> {
        let header = schema_header(headers, Part::Key);
        let framed = framing::split(Part::Key, key, header)?;
        if !self.names(&framed.schema) || header.is_some() != (self.framing == Framing::Header) {
            return Ok(false);
        }
        let payload = framed.payload(self.codec.is_protobuf())?;
        let canonical = self.framed(&self.codec.canonical_key(payload, self.style)?);
        Ok(canonical.bytes == key && canonical.schema_header.as_deref() == header.flatten())
    }

    fn form(&self) -> String {
        let schema = match self.framing {
            Framing::Header => "its GUID in the header `__key_schema_id`",
            Framing::IdPrefix | Framing::Raw => "as its prefix",
        };
        let language = match (self.codec.schema_type(), self.style) {
            (weir_schema::SchemaType::Avro, _) => "Avro with shortest varints",
            (weir_schema::SchemaType::Json, JsonStyle::Compact) => {
                "JSON with the fields in the schema's order and no spaces (`table.key.json=compact`)"
            }
            (weir_schema::SchemaType::Json, JsonStyle::Spaced) => {
                "JSON with the fields in the schema's order and a space after `:` and `,` (`table.key.json=spaced`)"
            }
            (weir_schema::SchemaType::Protobuf, _) => {
                "Protobuf with the fields in order, defaults omitted and no unknown fields"
            }
        };
        format!("{language}, with schema id {} {schema}", self.id)
    }
}

/// The last header that names a part's schema.
pub fn schema_header<'a>(headers: Headers<'a>, part: Part) -> Option<Option<&'a [u8]>> {
    let name = part.header().as_bytes();
    headers
        .filter(|header| header.key == name)
        .last()
        .map(|header| header.value)
}

#[cfg(test)]
mod tests;
