//! How a table's producers write keys, which only the HTTP port knows: where they go, and what they look like.

use serde_json::Value;
use weir_tables::Partitioner;

use crate::cli::CliError;
use crate::cli::target::Target;

/// What a topic's keys are, where no schema says so.
#[derive(Clone, Copy)]
pub struct Keys {
    pub partitioner: Partitioner,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    Text,
    Int32,
    Int64,
}

impl Keys {
    /// Text, placed as Java's clients place it.
    pub const PLAIN: Keys = Keys {
        partitioner: Partitioner::Murmur2,
        form: Form::Text,
    };

    /// Those of a topic, which may be a table. Where the HTTP port is out of reach they are plain.
    pub async fn of(target: &Target, topic: &str) -> Result<Keys, CliError> {
        let table = target.http()?.table(topic).await.unwrap_or_default();
        let candidates = table["partitioner"]["candidates"].as_array();
        let fits = |partitioner: &Partitioner| {
            candidates.is_none_or(|words| words.iter().any(|word| word == partitioner.word()))
        };
        let mut all = Partitioner::ALL.into_iter();
        Ok(Keys {
            partitioner: all.find(fits).unwrap_or(Partitioner::Murmur2),
            form: match table["key"]["format"].as_str() {
                Some("int32") => Form::Int32,
                Some("int64") => Form::Int64,
                _ => Form::Text,
            },
        })
    }

    /// Placed as they are, and written as text.
    pub fn raw(self) -> Keys {
        Keys {
            form: Form::Text,
            ..self
        }
    }

    /// A key that was typed, as it is written.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, String> {
        let not = |kind: &str| format!("the key {text:?} is not a {kind}, as the table's keys are");
        match self.form {
            Form::Text => Ok(text.as_bytes().to_vec()),
            Form::Int32 => match text.parse::<i32>() {
                Ok(number) => Ok(number.to_be_bytes().to_vec()),
                Err(_) => Err(not("32-bit integer")),
            },
            Form::Int64 => match text.parse::<i64>() {
                Ok(number) => Ok(number.to_be_bytes().to_vec()),
                Err(_) => Err(not("64-bit integer")),
            },
        }
    }

    /// The number that a key of the table is; `None` where it is none.
    pub fn number(self, bytes: &[u8]) -> Option<Value> {
        match self.form {
            Form::Text => None,
            Form::Int32 => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
            Form::Int64 => Some(i64::from_be_bytes(bytes.try_into().ok()?).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_number_is_written_as_javas_serializers_write_it() {
        let keys = Keys {
            form: Form::Int64,
            ..Keys::PLAIN
        };
        let bytes = keys.encode("-2").expect("a number");
        assert_eq!(bytes, [255, 255, 255, 255, 255, 255, 255, 254]);
        assert_eq!(keys.number(&bytes), Some((-2).into()));
        assert_eq!(keys.number(b"two"), None);
        assert!(
            keys.encode("two")
                .is_err_and(|e| e.contains("\"two\" is not a 64-bit integer"))
        );
        assert_eq!(Keys::PLAIN.encode("two").expect("text"), b"two");
    }
}
