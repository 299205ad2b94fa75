//! A schema and its references, and what a `$ref` leads to among them.

use std::collections::HashMap;

use serde_json::Value;

/// Of a name's slashes, so many from its end are looked at.
const MAX_TAILS: usize = 32;

/// The schema, its references by name, and every part that has an `$id` or an anchor.
pub(super) struct Documents<'a> {
    schema: &'a Value,
    references: Names<'a>,
    ids: Names<'a>,
    anchors: HashMap<&'a str, &'a Value>,
}

/// Values by name. A name stands for another one too where either is what follows a slash in the other, as relative
/// names do; of several the one that came first counts. Nothing is searched through: a schema may have as many names as
/// it has `$ref`s, and both tens of thousands.
#[derive(Default)]
struct Names<'a> {
    /// Each with the number of names before it.
    whole: HashMap<&'a str, (usize, &'a Value)>,
    tails: HashMap<&'a str, (usize, &'a Value)>,
}

/// A position among the documents: `#/…` is looked up in `root`.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub root: &'a Value,
    documents: &'a Documents<'a>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(schema: &'a Value, references: &'a [(String, Value)]) -> Self {
        let mut documents = Documents {
            schema,
            references: Names::default(),
            ids: Names::default(),
            anchors: HashMap::new(),
        };
        let mut rest: Vec<&Value> = vec![schema];
        for (name, document) in references {
            documents.references.add(name, document);
            rest.push(document);
        }
        while let Some(value) = rest.pop() {
            if let Some(id) = value.get("$id").and_then(Value::as_str) {
                documents.ids.add(id.trim_end_matches('#'), value);
            }
            if let Some(anchor) = value.get("$anchor").and_then(Value::as_str) {
                documents.anchors.entry(anchor).or_insert(value);
            }
            match value {
                Value::Object(object) => rest.extend(object.values()),
                Value::Array(values) => rest.extend(values),
                _ => {}
            }
        }
        documents
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
            anchor => self.documents.anchors.get(anchor)?,
        };
        Some((Place { root, ..self }, found))
    }
}

impl<'a> Documents<'a> {
    /// By `$id`, or by the name of a reference.
    fn document(&self, name: &str) -> Option<&'a Value> {
        let exact = self.ids.whole.get(name).map(|(_, found)| *found);
        let found = exact.or_else(|| self.references.find(name));
        found.or_else(|| self.ids.find(name))
    }
}

impl<'a> Names<'a> {
    fn add(&mut self, name: &'a str, value: &'a Value) {
        let numbered = (self.whole.len(), value);
        self.whole.entry(name).or_insert(numbered);
        for tail in tails(name) {
            self.tails.entry(tail).or_insert(numbered);
        }
    }

    fn find(&self, name: &str) -> Option<&'a Value> {
        let same = self.whole.get(name);
        let longer = self.tails.get(name);
        let shorter = tails(name).filter_map(|tail| self.whole.get(tail));
        let all = same.into_iter().chain(longer).chain(shorter);
        all.min_by_key(|(number, _)| *number)
            .map(|(_, found)| *found)
    }
}

/// What follows each slash of a name.
fn tails(name: &str) -> impl Iterator<Item = &str> {
    let slashes = name.rmatch_indices('/').take(MAX_TAILS);
    slashes.map(|(at, _)| &name[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_found_whole_or_after_a_slash_and_the_first_counts() {
        let schema = json!({"$defs": {"a": {"$id": "https://x/y/part.json#", "$anchor": "here"}}});
        let references = ["first/common.json", "second/common.json", "other"];
        let references = references.map(|name| (name.to_owned(), json!({"title": name})));
        let documents = Documents::new(&schema, &references);
        let title = |target: &str| {
            let (_, found) = documents.top().follow(target)?;
            Some(
                found
                    .get("title")
                    .or(found.get("$id"))?
                    .as_str()?
                    .to_owned(),
            )
        };
        for (target, expected) in [
            ("common.json", "first/common.json"),
            ("second/common.json", "second/common.json"),
            ("https://z/second/common.json#", "second/common.json"),
            ("https://x/other", "other"),
            ("part.json", "https://x/y/part.json#"),
            ("#here", "https://x/y/part.json#"),
        ] {
            assert_eq!(title(target).as_deref(), Some(expected), "{target}");
        }
        assert_eq!(title("ommon.json"), None);
        assert_eq!(title("missing"), None);
    }
}
