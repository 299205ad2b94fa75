//! Topic names: which are legal, which collide, which belong to the broker.

/// Longest legal topic name, in bytes (all legal characters are ASCII).
pub const MAX_NAME_LEN: usize = 249;

pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
pub const TRANSACTION_STATE: &str = "__transaction_state";
pub const SCHEMAS: &str = "_schemas";
/// Kafka keeps its own metadata under this name; nobody may create it.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Why a topic name is not legal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a topic name may not be empty")]
    Empty,
    #[error("`.` and `..` are no topic names")]
    Dots,
    #[error("topic name is {0} characters long, {MAX_NAME_LEN} are allowed")]
    TooLong(usize),
    #[error("topic name `{0}` has a character other than ASCII letters, digits, `.`, `_` and `-`")]
    Character(String),
}

pub fn validate(name: &str) -> Result<(), NameError> {
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    match name {
        "" => Err(NameError::Empty),
        "." | ".." => Err(NameError::Dots),
        _ if name.len() > MAX_NAME_LEN => Err(NameError::TooLong(name.chars().count())),
        _ if !name.bytes().all(legal) => Err(NameError::Character(
            name.chars().take(MAX_NAME_LEN).collect(),
        )),
        _ => Ok(()),
    }
}

/// The form in which two names collide as metric names do: `a.b` and `a_b` are one. `None` without such characters.
pub fn collision_form(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

/// Kafka's internal topics, flagged as such in Metadata; consumers leave them out of pattern subscriptions.
pub fn is_internal(name: &str) -> bool {
    name == CONSUMER_OFFSETS || name == TRANSACTION_STATE
}

/// Topics that only the broker writes to, deletes or grows.
pub fn is_protected(name: &str) -> bool {
    is_internal(name) || name == SCHEMAS
}

/// Topics that outside producers may not write to.
pub fn is_closed_to_producers(name: &str) -> bool {
    name.starts_with("__") || name == SCHEMAS
}

/// The table whose virtual topics (`t.changelog`, `t.debezium`) hold this name.
pub fn reserved_by_table(name: &str) -> Option<&str> {
    name.strip_suffix(".changelog")
        .or_else(|| name.strip_suffix(".debezium"))
        .filter(|table| !table.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rules() {
        assert_eq!(validate("a.b_c-9"), Ok(()));
        assert_eq!(validate(""), Err(NameError::Empty));
        assert_eq!(validate(".."), Err(NameError::Dots));
        assert_eq!(validate(&"a".repeat(249)), Ok(()));
        assert_eq!(validate(&"a".repeat(250)), Err(NameError::TooLong(250)));
        assert!(matches!(validate("a b"), Err(NameError::Character(_))));
        assert!(matches!(validate("zażółć"), Err(NameError::Character(_))));
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(collision_form("a.b"), collision_form("a_b"));
        assert_eq!(collision_form("ab"), None);
    }

    #[test]
    fn table_names_hold_their_virtual_topics() {
        assert_eq!(reserved_by_table("t.changelog"), Some("t"));
        assert_eq!(reserved_by_table("t.debezium"), Some("t"));
        assert_eq!(reserved_by_table(".changelog"), None);
        assert_eq!(reserved_by_table("changelog"), None);
    }
}
