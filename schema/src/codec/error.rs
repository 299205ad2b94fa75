//! What a codec answers when a schema, a payload or a mapping is not right.

use std::fmt;

/// A text that is not a schema of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is not JSON: {0}")]
    NotJson(String),
    /// `at` is a path into the schema, or the name of the type or file at fault.
    #[error("{at}: {reason}")]
    Invalid { at: String, reason: String },
    #[error("the reference {name:?} is not valid: {reason}")]
    Reference { name: String, reason: String },
}

impl SchemaError {
    pub(crate) fn invalid(at: impl Into<String>, reason: impl Into<String>) -> Self {
        SchemaError::Invalid {
            at: at.into(),
            reason: reason.into(),
        }
    }
}

/// A payload, or a JSON value, that does not fit its schema.
///
/// `field` is a path such as `order.lines[3].price`, empty where the whole is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadError {
    pub field: String,
    pub reason: String,
}

impl std::error::Error for PayloadError {}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "field {}: {}", self.field, self.reason)
        }
    }
}

impl PayloadError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        PayloadError {
            field: String::new(),
            reason: reason.into(),
        }
    }
}

/// A schema, or a part of one, that has no column type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", if field.is_empty() { "the schema" } else { field })]
pub struct NoMapping {
    pub field: String,
    pub reason: String,
}

impl NoMapping {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        NoMapping {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// A failure on its way out of nested values; one word wide, so that the good path stays cheap.
pub(crate) type Fault = Box<PayloadError>;

#[cold]
pub(crate) fn fault(reason: impl Into<String>) -> Fault {
    Box::new(PayloadError::new(reason))
}

/// Adds the enclosing field's name to a failure's path.
#[cold]
pub(crate) fn in_field(mut fault: Fault, name: &str) -> Fault {
    let joint = if fault.field.is_empty() || fault.field.starts_with('[') {
        ""
    } else {
        "."
    };
    fault.field = format!("{name}{joint}{}", fault.field);
    fault
}

/// Adds the position in an array, or the key in a map, to a failure's path.
#[cold]
pub(crate) fn in_item(mut fault: Fault, index: impl fmt::Display) -> Fault {
    let joint = if fault.field.is_empty() || fault.field.starts_with('[') {
        ""
    } else {
        "."
    };
    fault.field = format!("[{index}]{joint}{}", fault.field);
    fault
}
