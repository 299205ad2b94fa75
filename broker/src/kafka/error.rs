//! Kafka's error codes, and how failures of the broker become them.
//!
//! Every mapping from a broker's error to a Kafka code lives in this file, as an exhaustive `match`; below
//! `broker/src/kafka` nothing knows a Kafka code.

/// Kafka's error codes; `code()` is the number on the wire.
pub use kafka_protocol::ResponseError as ErrorCode;

use kafka_protocol::protocol::StrBytes;

/// The code on the wire for success.
pub const NO_ERROR: i16 = 0;

/// A refusal as a response carries it: a code, and a text where the response has a place for one.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaError {
    pub code: ErrorCode,
    pub message: Option<String>,
}

impl KafkaError {
    /// A refusal that says what was wrong, with which value, and what to do.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        KafkaError {
            code,
            message: Some(message.into()),
        }
    }

    /// The number on the wire.
    pub fn code(&self) -> i16 {
        self.code.code()
    }

    /// The text as a response's nullable string.
    pub fn message(&self) -> Option<StrBytes> {
        self.message.clone().map(StrBytes::from_string)
    }
}

impl From<ErrorCode> for KafkaError {
    fn from(code: ErrorCode) -> Self {
        KafkaError {
            code,
            message: None,
        }
    }
}

/// The code on the wire of a result: 0, or the error's.
pub fn code_of<T>(result: &Result<T, KafkaError>) -> i16 {
    match result {
        Ok(_) => NO_ERROR,
        Err(error) => error.code(),
    }
}
