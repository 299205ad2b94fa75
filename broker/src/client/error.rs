//! What can go wrong between this client and a cluster, with what to do about it.

use std::io;

use kafka_protocol::ResponseError;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0:?} is not HOST:PORT; for example --bootstrap localhost:9092")]
    NoAddress(String),
    #[error(
        "cannot connect to {address}: {source}; start a broker with `weir dev`, or name another with \
         --bootstrap HOST:PORT or WEIR_BOOTSTRAP"
    )]
    Connect { address: String, source: io::Error },
    #[error("the connection to {address} ended: {source}; the broker's log may say why")]
    Lost { address: String, source: io::Error },
    #[error("the answer of {address} is not Kafka's: {reason}; is that the Kafka port?")]
    Malformed { address: String, reason: String },
    #[error("the request cannot be written: {0}")]
    Encode(String),
    #[error("no address is known for broker {0}; is the cluster being changed?")]
    UnknownBroker(i32),
    #[error(
        "topic {0} does not exist; make it with `weir topic create {0}`, or see `weir topic list`"
    )]
    NoTopic(String),
    #[error("topic {topic} has no partition {partition}; it has {count}, from 0")]
    NoPartition {
        topic: String,
        partition: i32,
        count: usize,
    },
    #[error("partition {partition} of {topic} has no leader now; try again")]
    NoLeader { topic: String, partition: i32 },
    #[error("group {0} does not exist; `weir group list` shows what does")]
    NoGroup(String),
    #[error("{what}: {}{}", kafka_name(*code), message.as_deref().map(|m| format!(", {m}")).unwrap_or_default())]
    Refused {
        /// What was asked, such as `topic t`.
        what: String,
        code: ResponseError,
        /// The broker's own words, where it has any.
        message: Option<String>,
    },
    #[error("refused {} of {total} records; the first: {}", refusals.len(), refusals[0])]
    Records {
        total: usize,
        /// In batches of other partitions, which entered.
        written: usize,
        refusals: Vec<super::RecordRefusal>,
    },
    #[error("a batch in partition {partition} cannot be read: {reason}")]
    Batch { partition: i32, reason: String },
    #[error("offset {offset} of partition {partition} is not there: it holds {start} to {end}")]
    OutOfRange {
        partition: i32,
        offset: i64,
        start: i64,
        end: i64,
    },
}

/// An error as Kafka's documentation spells it, such as `INVALID_RECORD`.
pub(super) fn kafka_name(code: ResponseError) -> String {
    let mut name = String::new();
    for letter in code.to_string().chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

impl ClientError {
    /// The failure that a response's code and message stand for.
    pub(super) fn check(
        code: i16,
        message: Option<&str>,
        what: impl FnOnce() -> String,
    ) -> Result<(), ClientError> {
        match ResponseError::try_from_code(code) {
            None => Ok(()),
            Some(code) => Err(ClientError::Refused {
                what: what(),
                code,
                message: message.map(str::to_owned),
            }),
        }
    }
}

/// A failure of the registry or of the HTTP port.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(
        "cannot reach the {what} at {url}: {reason}; start a broker with `weir dev`, or set {flag}"
    )]
    Reach {
        what: &'static str,
        url: String,
        reason: String,
        flag: &'static str,
    },
    /// The server's own words.
    #[error("{}{message}{}", field.as_deref().map(|f| format!("field {f}: ")).unwrap_or_default(), hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default())]
    Refused {
        status: u16,
        code: String,
        message: String,
        /// The column that is wrong, where one is and the message may not name it.
        field: Option<String>,
        hint: Option<String>,
    },
    #[error("the answer of {url} is not what was asked for: {reason}")]
    Malformed { url: String, reason: String },
    #[error("the schema of {name} cannot be used here: {reason}")]
    Schema { name: String, reason: String },
    #[error("{0} is not a URL; for example http://localhost:8081")]
    Url(String),
}

impl HttpError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, HttpError::Refused { status: 404, .. })
    }

    /// The server's own name for the failure.
    pub fn code(&self) -> Option<&str> {
        match self {
            HttpError::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}
