//! A schema and its references, and what a `$ref` leads to among them.

use std::collections::HashMap;

use serde_json::Value;

/// The schema, its references by name, and every part that has an `$id` or an anchor.
pub(super) struct Documents<'a> {
    schema: &'a Value,
    references: &'a [(String, Value)],
    named: HashMap<String, &'a Value>,
}

/// A position among the documents: `#/…` is looked up in `root`.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub root: &'a Value,
    documents: &'a Documents<'a>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(schema: &'a Value, references: &'a [(String, Value)]) -> Self {
        let mut named = HashMap::new();
        let mut rest: Vec<&Value> = vec![schema];
        rest.extend(references.iter().map(|(_, document)| document));
        while let Some(value) = rest.pop() {
            if let Some(id) = value.get("$id").and_then(Value::as_str) {
                named
                    .entry(id.trim_end_matches('#').to_owned())
                    .or_insert(value);
            }
            if let Some(anchor) = value.get("$anchor").and_then(Value::as_str) {
                named.entry(format!("#{anchor}")).or_insert(value);
            }
            match value {
                Value::Object(object) => rest.extend(object.values()),
                Value::Array(values) => rest.extend(values),
                _ => {}
            }
        }
        Documents {
            schema,
            references,
            named,
        }
    }

    pub(super) fn top(&'a self) -> Place<'a> {
        Place {
            root: self.schema,
            documents: self,
        }
    }
}

impl<'a> Place<'a> {
    /// What `$ref` leads to; `None` where that is none of the documents.
    pub(super) fn follow(self, target: &str) -> Option<(Place<'a>, &'a Value)> {
        let (document, fragment) = target.split_once('#').unwrap_or((target, ""));
        let root = match document {
            "" => self.root,
            name => self.documents.document(name)?,
        };
        let found = match fragment {
            "" => root,
            pointer if pointer.starts_with('/') => root.pointer(pointer)?,
            anchor => self.documents.named.get(&format!("#{anchor}"))?,
        };
        Some((Place { root, ..self }, found))
    }
}

impl<'a> Documents<'a> {
    /// By `$id`, or by the name of a reference; either may end the other, as relative names do.
    fn document(&self, name: &str) -> Option<&'a Value> {
        if let Some(found) = self.named.get(name) {
            return Some(found);
        }
        let ends = |known: &str| {
            known == name
                || name.ends_with(&format!("/{known}"))
                || known.ends_with(&format!("/{name}"))
        };
        let reference = self
            .references
            .iter()
            .find(|(known, _)| ends(known))
            .map(|(_, document)| document);
        reference.or_else(|| {
            self.named
                .iter()
                .find(|(known, _)| ends(known))
                .map(|(_, found)| *found)
        })
    }
}
