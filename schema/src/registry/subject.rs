//! Subject names: a name within a context.
//!
//! In text, `name` lies in the default context and `:.ctx:name` in the context `.ctx`. `:.ctx:` names
//! the context itself, to which settings can be attached. Settings of `:.__GLOBAL:` lie above every
//! context. `:*:` stands for every context in listings.

use std::fmt;
use std::sync::Arc;

/// The default context's name.
pub const DEFAULT_CONTEXT: &str = ".";
/// The context whose settings lie above every other context's.
pub const GLOBAL_CONTEXT: &str = ".__GLOBAL";

const CONTEXT_PREFIX: &str = ":.";
const CONTEXT_WILDCARD: &str = ":*:";

/// A subject, or with an empty name the context itself. Ordered by its text, as listings are.
// Invariant: `text` is normalised (the default context is not spelled out) and `name_at` is the byte
// at which the name begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    text: Arc<str>,
    name_at: usize,
}

impl Subject {
    /// Reads a qualified subject; any text is one.
    pub fn parse(text: &str) -> Subject {
        if let Some(rest) = text.strip_prefix(CONTEXT_PREFIX) {
            return match rest.find(':') {
                Some(end) => {
                    let context = &text[1..CONTEXT_PREFIX.len() + end];
                    Subject::new(context, &rest[end + 1..])
                }
                None => Subject::new(&text[1..], ""),
            };
        }
        if let Some(name) = text.strip_prefix(CONTEXT_WILDCARD) {
            return Subject::new("*", name);
        }
        Subject::new(DEFAULT_CONTEXT, text)
    }

    /// The subject `name` in `context`, which begins with a dot.
    pub fn new(context: &str, name: &str) -> Subject {
        if context == DEFAULT_CONTEXT {
            return Subject {
                text: name.into(),
                name_at: 0,
            };
        }
        let text = format!(":{context}:{name}");
        Subject {
            name_at: text.len() - name.len(),
            text: text.into(),
        }
    }

    /// The context as a subject with no name; empty for the default context.
    pub fn of_context(context: &str) -> Subject {
        Subject::new(context, "")
    }

    /// The normalised text, by which records and responses name the subject.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The context, beginning with a dot.
    pub fn context(&self) -> &str {
        if self.name_at == 0 {
            DEFAULT_CONTEXT
        } else {
            &self.text[1..self.name_at - 1]
        }
    }

    /// The name within the context; empty when this is the context itself.
    pub fn name(&self) -> &str {
        &self.text[self.name_at..]
    }

    /// Whether this names every context (`:*:`).
    pub fn is_wildcard(&self) -> bool {
        self.context() == "*"
    }

    /// Whether this is the whole default context, for which settings are the global ones.
    pub fn is_default_context(&self) -> bool {
        self.text.is_empty()
    }

    /// The subject that `other` means when it is named from here: its own context, else this one's.
    pub fn qualify(&self, other: &str) -> Subject {
        let other = Subject::parse(other);
        if other.context() == DEFAULT_CONTEXT && self.context() != DEFAULT_CONTEXT {
            return Subject::new(self.context(), other.name());
        }
        other
    }

    /// Whether settings or a listing for `self` cover `subject`: itself, its context, or everything.
    pub fn covers(&self, subject: &Subject) -> bool {
        self == subject
            || (self.name().is_empty()
                && (self.context() == subject.context() || self.context() == GLOBAL_CONTEXT))
    }

    /// Whether schemas may be registered under this subject.
    pub fn accepts_schemas(&self) -> bool {
        self.accepts_settings() && self.context() != GLOBAL_CONTEXT && !self.is_wildcard()
    }

    /// Whether a config or mode may be set for this subject or context.
    pub fn accepts_settings(&self) -> bool {
        !self.text.chars().any(char::is_control) && !matches!(self.name(), "__GLOBAL" | "__EMPTY")
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, context: &str, name: &str, normal: &str) {
        let subject = Subject::parse(text);
        assert_eq!(
            (subject.context(), subject.name(), subject.as_str()),
            (context, name, normal)
        );
        assert_eq!(Subject::parse(subject.as_str()), subject);
    }

    #[test]
    fn text_splits_into_context_and_name() {
        check("orders-value", ".", "orders-value", "orders-value");
        check(":.ctx:orders", ".ctx", "orders", ":.ctx:orders");
        check(":.ctx:", ".ctx", "", ":.ctx:");
        check(":.ctx", ".ctx", "", ":.ctx:");
        check(":.:orders", ".", "orders", "orders");
        check(":*:orders", "*", "orders", ":*:orders");
        check("a:b", ".", "a:b", "a:b");
        check("", ".", "", "");
    }

    #[test]
    fn an_unqualified_reference_means_the_referrers_context() {
        assert_eq!(Subject::parse(":.a:x").qualify("y").as_str(), ":.a:y");
        assert_eq!(Subject::parse(":.a:x").qualify(":.b:y").as_str(), ":.b:y");
        assert_eq!(Subject::parse("x").qualify("y").as_str(), "y");
    }

    #[test]
    fn reserved_names_and_control_characters_are_refused() {
        assert!(Subject::parse("orders").accepts_schemas());
        assert!(!Subject::parse("__GLOBAL").accepts_settings());
        assert!(!Subject::parse("a\nb").accepts_schemas());
        assert!(!Subject::parse(":.__GLOBAL:x").accepts_schemas());
        assert!(Subject::parse(":.__GLOBAL:").accepts_settings());
    }
}
