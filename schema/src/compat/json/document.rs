//! A schema's document and those that it references, and what a `$ref` among them means.

use std::collections::BTreeMap;

use serde_json::Value;

/// A schema in one of the documents.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub document: usize,
    pub value: &'a Value,
}

/// The documents, the root's first, with their names.
pub struct Documents<'a> {
    documents: Vec<Document<'a>>,
}

struct Document<'a> {
    value: &'a Value,
    /// The reference's name and the root's `$id`.
    names: Vec<&'a str>,
    /// Embedded `$id`s, and anchors with a `#` before them.
    labels: BTreeMap<String, &'a Value>,
}

impl<'a> Place<'a> {
    pub fn at(self, value: &'a Value) -> Place<'a> {
        Place { value, ..self }
    }
}

impl<'a> Documents<'a> {
    pub fn new(root: &'a Value, references: &'a [(String, Value)]) -> Documents<'a> {
        let mut documents = vec![Document::new(None, root)];
        documents.extend(
            references
                .iter()
                .map(|(name, value)| Document::new(Some(name), value)),
        );
        Documents { documents }
    }

    pub fn root(&self) -> Place<'a> {
        Place {
            document: 0,
            value: self.documents[0].value,
        }
    }

    /// Whether `$ref` stands beside other keywords with effect, as it does since 2019-09.
    pub fn refs_have_siblings(&self, document: usize) -> bool {
        let draft = self.documents[document]
            .value
            .get("$schema")
            .and_then(Value::as_str);
        draft.is_some_and(|draft| draft.contains("2019-09") || draft.contains("2020-12"))
    }

    /// What a `$ref` found in a document means; nothing when no document answers to it.
    pub fn resolve(&self, from: usize, reference: &str) -> Option<Place<'a>> {
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let base = match name {
            "" => Place {
                document: from,
                value: self.documents[from].value,
            },
            name => self.find(from, name)?,
        };
        let fragment = decode_percent(fragment);
        let value = match fragment.as_str() {
            "" => base.value,
            pointer if pointer.starts_with('/') => base.value.pointer(pointer)?,
            anchor => *self.documents[base.document]
                .labels
                .get(&format!("#{anchor}"))?,
        };
        Some(base.at(value))
    }

    fn find(&self, from: usize, name: &str) -> Option<Place<'a>> {
        let base = self.documents[from]
            .names
            .iter()
            .rev()
            .find(|name| name.contains('/'));
        let joined = base.and_then(|base| base.rsplit_once('/'));
        let joined = joined.map(|(base, _)| format!("{base}/{}", name.trim_start_matches("./")));
        let candidates = [Some(name.to_owned()), joined];
        candidates.into_iter().flatten().find_map(|name| {
            let mut documents = self.documents.iter().enumerate();
            documents.find_map(|(document, candidate)| {
                if candidate.names.contains(&name.as_str()) {
                    return Some(Place {
                        document,
                        value: candidate.value,
                    });
                }
                candidate
                    .labels
                    .get(&name)
                    .map(|value| Place { document, value })
            })
        })
    }
}

impl<'a> Document<'a> {
    fn new(name: Option<&'a str>, value: &'a Value) -> Document<'a> {
        let mut names: Vec<&str> = name.into_iter().collect();
        names.extend(id(value).map(|id| id.trim_end_matches('#')));
        let mut labels = BTreeMap::new();
        label(value, true, &mut labels);
        Document {
            value,
            names,
            labels,
        }
    }
}

fn id(value: &Value) -> Option<&str> {
    value
        .get("$id")
        .or_else(|| value.get("id"))
        .and_then(Value::as_str)
}

/// Collects what embedded schemas call themselves. JSON's own limit bounds the depth.
fn label<'a>(value: &'a Value, is_root: bool, labels: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| label(item, false, labels)),
        Value::Object(object) => {
            for key in ["$anchor", "$dynamicAnchor"] {
                if let Some(anchor) = object.get(key).and_then(Value::as_str) {
                    labels.entry(format!("#{anchor}")).or_insert(value);
                }
            }
            if let Some(id) = id(value).filter(|_| !is_root) {
                labels.entry(id.to_owned()).or_insert(value);
            }
            object
                .values()
                .for_each(|value| label(value, false, labels));
        }
        _ => {}
    }
}

fn decode_percent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
