//! What a table is: settings that are frozen when the topic becomes one, and travel in the entries of its
//! shard, so that folding needs nothing from elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_schema::SchemaType;

use crate::partitioner::PartitionerSetting;

/// Identifies a table's rows for ever: never reused, so what a dropped table left behind is never read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TableId(pub u64);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TableId {
    /// The id of the table that a topic is: a topic becomes one at most once, and its id is never reused.
    pub fn of_topic(topic_id: Uuid) -> Self {
        let (high, low) = topic_id.as_u64_pair();
        Self(high ^ low)
    }
}

/// What is frozen when a topic becomes a table. Stored with the topic, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableDesign {
    pub key: KeyDef,
    pub value: ValueDef,
    pub partitioner: PartitionerSetting,
}

/// A table whole: its design and the topic that it belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableDef {
    pub topic_id: Uuid,
    pub table_id: TableId,
    pub topic: String,
    /// Fixed too: a table's topic takes no further partitions.
    pub partition_count: u32,
    pub key: KeyDef,
    pub value: ValueDef,
    pub partitioner: PartitionerSetting,
}

impl TableDef {
    pub fn new(
        topic_id: Uuid,
        topic: impl Into<String>,
        partition_count: u32,
        design: TableDesign,
    ) -> Self {
        let TableDesign {
            key,
            value,
            partitioner,
        } = design;
        let table_id = TableId::of_topic(topic_id);
        Self {
            topic_id,
            table_id,
            topic: topic.into(),
            partition_count,
            key,
            value,
            partitioner,
        }
    }
}

/// How a key's columns become the bytes that partitioners hash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyDef {
    pub format: KeyFormat,
    pub framing: Framing,
    /// Set when `format` is `Schema`, and frozen from then on.
    pub schema: Option<KeySchema>,
    pub json: JsonForm,
}

impl KeyDef {
    /// A key without a schema.
    pub fn raw(format: KeyFormat) -> Self {
        Self {
            format,
            framing: Framing::Raw,
            schema: None,
            json: JsonForm::Compact,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ValueDef {
    pub format: ValueFormat,
    /// The subject whose latest version rows are read in; set when `format` is `Schema`.
    pub subject: Option<String>,
}

impl ValueDef {
    /// A value without a schema.
    pub fn raw(format: ValueFormat) -> Self {
        Self {
            format,
            subject: None,
        }
    }
}

/// The schema that a table's keys are written with, whole: the table is read even where the registry has
/// dropped it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeySchema {
    pub id: i32,
    pub guid: Uuid,
    pub schema_type: SchemaType,
    pub text: String,
    /// Name and text of every schema that it uses, each after those that it uses itself.
    #[serde(default)]
    pub references: Vec<(String, String)>,
    /// The way to the message in a Protobuf file; empty for the first, and for Avro and JSON.
    #[serde(default)]
    pub message_index: Vec<u32>,
}

/// Declares an enum that stands in topic settings under a fixed word for each variant.
macro_rules! setting {
    ($(#[$meta:meta])* $name:ident, $setting:literal { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The topic setting that holds it.
            pub const SETTING: &'static str = $setting;
            /// Every word that the setting takes.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { setting: $setting, word: word.to_owned(), allowed: Self::WORDS }),
                }
            }
        }
    };
}
pub(crate) use setting;

/// A topic setting has a value that it does not take.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{setting} is `{word}`, and takes one of: {}", allowed.join(", "))]
pub struct UnknownWord {
    pub setting: &'static str,
    pub word: String,
    pub allowed: &'static [&'static str],
}

setting! {
    /// What the bytes of a key are.
    KeyFormat, "table.key.format" {
        #[default]
        String = "string",
        /// Four bytes, big-endian, as Java's serializer writes them.
        Int32 = "int32",
        /// Eight bytes, big-endian.
        Int64 = "int64",
        Bytes = "bytes",
        Schema = "schema",
    }
}

setting! {
    /// What the bytes of a value are.
    ValueFormat, "table.value.format" {
        #[default]
        Bytes = "bytes",
        String = "string",
        Schema = "schema",
    }
}

setting! {
    /// Where a payload's schema is named.
    Framing, "table.key.framing" {
        /// Nowhere.
        #[default]
        Raw = "raw",
        /// A zero byte and the schema's id before the payload.
        IdPrefix = "id-prefix",
        /// The schema's GUID in a record header.
        Header = "header",
    }
}

setting! {
    /// How the canonical form of a JSON key is spaced.
    JsonForm, "table.key.json" {
        #[default]
        Compact = "compact",
        /// A space after `:` and `,`, as Python's `json.dumps` writes.
        Spaced = "spaced",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_setting_parses_to_itself() {
        for word in KeyFormat::WORDS {
            assert_eq!(word.parse::<KeyFormat>().unwrap().word(), *word);
        }
        let error = "int16".parse::<KeyFormat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "table.key.format is `int16`, and takes one of: string, int32, int64, bytes, schema"
        );
    }

    #[test]
    fn definition_survives_its_stored_form() {
        let design = TableDesign {
            key: KeyDef::raw(KeyFormat::Int64),
            value: ValueDef::raw(ValueFormat::Bytes),
            partitioner: PartitionerSetting::Auto,
        };
        let def = TableDef::new(Uuid::from_u128(7), "planes", 3, design);
        let stored = serde_json::to_string(&def).unwrap();
        assert_eq!(serde_json::from_str::<TableDef>(&stored).unwrap(), def);
    }
}
