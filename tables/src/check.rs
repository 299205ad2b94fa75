//! What a table asks of a record before it is proposed, beyond what the topic's schemas ask.

use std::sync::Arc;

use serde_json::Value;
use weir_log::records::Headers;
use weir_schema::codec::Codec;
use weir_schema::enforce::{ReasonCode, Refusal};
use weir_schema::framing::{self, Framed, FramingError, Indexes, Part, SchemaRef};

use crate::def::ValueFormat;
use crate::key::{KeyError, schema_header};
use crate::table::{Table, VALUE_COLUMN};

/// Checks the records of one batch, in turn.
pub struct RecordCheck<'t> {
    table: &'t Table,
    /// The schema of the value before, which the next one mostly has too.
    value_schema: Option<ValueSchema>,
}

struct ValueSchema {
    schema: SchemaRef,
    codec: Arc<Codec>,
    /// Names of the columns that stand in key and value: position in the key, name.
    shared: Vec<(usize, String)>,
}

impl<'t> RecordCheck<'t> {
    pub fn new(table: &'t Table) -> Self {
        Self {
            table,
            value_schema: None,
        }
    }

    /// Whether a record may enter the table. Its value has passed the topic's schemas.
    pub fn check(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(), Box<Refusal>> {
        let key = key.ok_or_else(null_key)?;
        self.check_key(key, headers)?;
        match (value, self.table.def().value.format) {
            (None, _) | (Some(_), ValueFormat::Bytes) => Ok(()),
            (Some(value), ValueFormat::String) => match str::from_utf8(value) {
                Ok(_) => Ok(()),
                Err(_) => Err(not_text()),
            },
            (Some(value), ValueFormat::Schema) => self.check_shared(key, value, headers),
        }
    }

    /// As `check`, for a record that has passed no schema yet: its value is read to the last byte too.
    pub fn check_whole(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(), Box<Refusal>> {
        self.check(key, value, headers)?;
        let (Some(value), ValueFormat::Schema) = (value, self.table.def().value.format) else {
            return Ok(());
        };
        let framed = framed_value(value, headers)?;
        let known = self
            .value_schema
            .as_ref()
            .expect("`check` has found the value's schema");
        let payload = framed
            .payload(known.codec.is_protobuf())
            .map_err(misframed)?;
        known
            .codec
            .validate(payload)
            .map_err(|error| bad_value(error.field, error.reason))
    }

    fn check_key(&self, key: &[u8], headers: Headers<'_>) -> Result<(), Box<Refusal>> {
        let codec = self.table.key();
        let partitioned = self.table.def().partition_count > 1;
        if key.is_empty() && partitioned {
            return Err(empty_key());
        }
        let mut primary_key = Vec::new();
        codec
            .primary_key(key, headers, self.table.schemas(), &mut primary_key)
            .map_err(bad_key)?;
        if partitioned && !codec.is_canonical(key, headers).map_err(bad_key)? {
            return Err(not_canonical(&codec.canonical_form()));
        }
        Ok(())
    }

    /// Columns that stand in key and value must be equal.
    fn check_shared(
        &mut self,
        key: &[u8],
        value: &[u8],
        headers: Headers<'_>,
    ) -> Result<(), Box<Refusal>> {
        let framed = framed_value(value, headers)?;
        let table = self.table;
        if self
            .value_schema
            .as_ref()
            .is_none_or(|known| known.schema != framed.schema)
        {
            self.value_schema = Some(value_schema(table, framed.schema)?);
        }
        let known = self.value_schema.as_ref().expect("found above");
        if known.shared.is_empty() {
            return Ok(());
        }
        let payload = framed
            .payload(known.codec.is_protobuf())
            .map_err(misframed)?;
        let in_value = known
            .codec
            .to_json(payload)
            .map_err(|error| bad_value(error.field, error.reason))?;
        let in_key = table
            .key()
            .record_columns(key, headers, table.schemas())
            .map_err(bad_key)?;
        for (at, name) in &known.shared {
            let value = in_value.get(name).unwrap_or(&Value::Null);
            if *value != in_key[*at] {
                return Err(differs(name, &in_key[*at], value));
            }
        }
        Ok(())
    }
}

fn framed_value<'a>(value: &'a [u8], headers: Headers<'a>) -> Result<Framed<'a>, Box<Refusal>> {
    framing::split(Part::Value, value, schema_header(headers, Part::Value)).map_err(misframed)
}

fn misframed(error: FramingError) -> Box<Refusal> {
    bad_value(String::new(), error.to_string())
}

fn value_schema(table: &Table, schema: SchemaRef) -> Result<ValueSchema, Box<Refusal>> {
    let unknown = || {
        bad_value(
            String::new(),
            format!("the registry has no schema of {schema}"),
        )
    };
    let codec = table.schemas().codec(schema).ok_or_else(unknown)?;
    let columns = codec
        .columns(Indexes::FIRST, VALUE_COLUMN)
        .map_err(|error| bad_value(error.field, error.reason))?;
    let keys = table.key().columns().iter().enumerate();
    let shared = keys.filter(|(_, column)| columns.find(column.name()).is_some());
    let shared = shared
        .map(|(at, column)| (at, column.name().clone()))
        .collect();
    Ok(ValueSchema {
        schema,
        codec,
        shared,
    })
}

fn refusal(
    part: Part,
    code: ReasonCode,
    field: String,
    reason: String,
    fix: String,
) -> Box<Refusal> {
    Box::new(Refusal {
        part,
        subject: None,
        id: None,
        field,
        code,
        reason,
        fix,
    })
}

fn null_key() -> Box<Refusal> {
    let fix = "send every record of a table with a key".into();
    refusal(
        Part::Key,
        ReasonCode::NullKey,
        String::new(),
        "the key is null".into(),
        fix,
    )
}

fn empty_key() -> Box<Refusal> {
    let reason = "the key is empty, and clients place empty keys at random".into();
    let fix = "send a key, or use a table of one partition".into();
    refusal(Part::Key, ReasonCode::EmptyKey, String::new(), reason, fix)
}

fn bad_key(error: KeyError) -> Box<Refusal> {
    let (code, field, fix) = match &error {
        KeyError::Null => return null_key(),
        KeyError::UnknownSchema(_) => (
            ReasonCode::UnknownId,
            String::new(),
            "register the schema here, and use the id that this gives",
        ),
        KeyError::Framing(_) => (
            ReasonCode::Malformed,
            String::new(),
            "use a serializer that writes schema ids for the key",
        ),
        KeyError::Payload(error) => (
            ReasonCode::DoesNotFit,
            error.field.clone(),
            "send a key of the table's key schema",
        ),
        KeyError::Column { column, .. } => (
            ReasonCode::DoesNotFit,
            column.clone(),
            "send a key of the table's key schema",
        ),
        KeyError::NotUtf8 | KeyError::WrongLength { .. } => (
            ReasonCode::DoesNotFit,
            String::new(),
            "use the key serializer that the topic's `table.key.format` names",
        ),
    };
    let reason = match &error {
        KeyError::Payload(error) => error.reason.clone(),
        KeyError::Column { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    refusal(Part::Key, code, field, reason, fix.into())
}

fn not_canonical(form: &str) -> Box<Refusal> {
    let reason = "the key is not in the one form that this table's partitioning needs".into();
    let fix = format!("send keys as {form}, or use a table of one partition");
    refusal(
        Part::Key,
        ReasonCode::NotCanonical,
        String::new(),
        reason,
        fix,
    )
}

fn not_text() -> Box<Refusal> {
    let fix = "send UTF-8, or make the table with `table.value.format=bytes`".into();
    bad(
        Part::Value,
        String::new(),
        "the value is not UTF-8".into(),
        fix,
    )
}

fn bad_value(field: String, reason: String) -> Box<Refusal> {
    bad(
        Part::Value,
        field,
        reason,
        "send a value of a schema that is registered for the topic".into(),
    )
}

fn bad(part: Part, field: String, reason: String, fix: String) -> Box<Refusal> {
    refusal(part, ReasonCode::DoesNotFit, field, reason, fix)
}

fn differs(column: &str, in_key: &Value, in_value: &Value) -> Box<Refusal> {
    let reason = format!("is {in_value} in the value and {in_key} in the key");
    let fix = "send the same in both, or leave the column out of the value's schema".into();
    refusal(
        Part::Value,
        ReasonCode::KeyDiffers,
        column.into(),
        reason,
        fix,
    )
}

#[cfg(test)]
mod tests;
