//! What stands between two schemas, and where.

use std::fmt;

/// One reason why a reader's schema cannot read what a writer's schema wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    kind: &'static str,
    /// With `{reader}` and `{writer}` where the schemas are named.
    description: String,
    info: String,
}

impl Difference {
    pub(super) fn new(kind: &'static str, description: String, info: String) -> Difference {
        Difference {
            kind,
            description,
            info,
        }
    }

    /// The kind of difference, by the name that Confluent's registry gives it.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// A difference whose kind says it all.
    pub(super) fn at(kind: &'static str, path: &Path) -> Difference {
        let words = kind.to_lowercase().replace('_', " ");
        let description =
            format!("at path '#{path}' of {{reader}} schema, against {{writer}} schema: {words}");
        Difference::new(kind, description, String::new())
    }

    /// The message for users, with what the reader and the writer are called: new and old.
    pub fn message(&self, reader: &str, writer: &str) -> String {
        let description = self
            .description
            .replace("{reader}", &format!("the {reader}"))
            .replace("{writer}", &format!("the {writer}"));
        let kind = self.kind();
        if self.info.is_empty() {
            return format!("{{errorType:'{kind}', description:'{description}'}}");
        }
        let info = &self.info;
        format!("{{errorType:'{kind}', description:'{description}', additionalInfo:'{info}'}}")
    }
}

/// Where a comparison stands: `/fields/1/type`, the root being `/`.
#[derive(Clone, Debug)]
pub(super) struct Path {
    steps: Vec<String>,
}

impl Path {
    pub fn root() -> Path {
        Path { steps: Vec::new() }
    }

    pub fn push(&mut self, step: &str) {
        self.steps.push(step.to_owned());
    }

    pub fn pop(&mut self) {
        self.steps.pop();
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "/{step}"))
    }
}
