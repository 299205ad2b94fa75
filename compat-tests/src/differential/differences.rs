//! The deliberate differences from Kafka, each with its reason.
//!
//! An entry that matches nothing in a full run fails it, so that the list cannot rot.

use serde_json::Value;

use super::diff::Difference;

/// Which side says something that the other does not, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Both answer, differently.
    Both,
    /// Only Kafka has the field or entry.
    OnlyKafka,
    /// Only Weir has it.
    OnlyWeir,
    /// Any of these.
    Any,
}

#[derive(Debug)]
pub struct Deliberate {
    /// The case's full name; `*` stands for any characters.
    pub case: &'static str,
    /// The difference's path; `*` stands for any characters.
    pub path: &'static str,
    pub side: Side,
    pub reason: &'static str,
}

const fn deliberate(
    case: &'static str,
    path: &'static str,
    side: Side,
    reason: &'static str,
) -> Deliberate {
    Deliberate {
        case,
        path,
        side,
        reason,
    }
}

pub const DELIBERATE: &[Deliberate] = &[deliberate(
    "ApiVersions/*",
    "*api_keys/*",
    Side::OnlyKafka,
    "an API that is not served is not advertised",
)];

impl Deliberate {
    pub fn covers(&self, case: &str, difference: &Difference) -> bool {
        let side = match (&difference.judge, &difference.subject) {
            (Some(_), None) => Side::OnlyKafka,
            (None, Some(_)) => Side::OnlyWeir,
            _ => Side::Both,
        };
        (self.side == Side::Any || self.side == side)
            && matches(self.case, case)
            && matches(self.path, &difference.path)
    }
}

/// Where the list explains a difference, the entry's place in it.
pub fn explains(case: &str, difference: &Difference) -> Option<usize> {
    DELIBERATE
        .iter()
        .position(|entry| entry.covers(case, difference))
}

/// Whether `pattern`, in which `*` stands for any characters, describes the whole text.
pub fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
        }),
    }
}

/// A value in one line, for a report.
pub fn shown(value: &Option<Value>) -> String {
    value
        .as_ref()
        .map_or("(nothing)".to_string(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(matches("a*/b", "a/x/b"));
        assert!(matches("*", ""));
        assert!(!matches("a*/b", "a/b/c"));
    }
}
