//! Whether a reader's schema reads what a writer's schema wrote, by Java's `SchemaCompatibility`:
//! promotions, unions, defaults, aliases of the reader's fields and types.

use std::collections::BTreeMap;

use super::schema::{AvroSchema, Field, Kind, Named, Node, Primitive, TypeId};
use crate::compat::budget::gather;
use crate::compat::pairs::{Met, Pairs};
use crate::compat::{Budget, Difference, Path};

/// Every difference that keeps `reader` from reading what `writer` wrote.
pub fn differences(reader: &AvroSchema, writer: &AvroSchema) -> Vec<Difference> {
    let mut check = Check {
        reader,
        writer,
        pairs: Pairs::new(),
        path: Path::root(),
        budget: Budget::new(),
    };
    let found = check.nodes(&reader.root, &writer.root);
    check.budget.report(found)
}

struct Check<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// Named types.
    pairs: Pairs<TypeId>,
    path: Path,
    budget: Budget,
}

impl<'a> Check<'a> {
    fn nodes(&mut self, reader: &'a Node, writer: &'a Node) -> Vec<Difference> {
        if !self.budget.enter() {
            return Vec::new();
        }
        let found = match (reader, writer) {
            (Node::Union(branches), Node::Union(written)) => self.unions(branches, written),
            (_, Node::Union(written)) => {
                let mut found = Vec::new();
                written
                    .iter()
                    .for_each(|branch| gather(&mut found, self.nodes(reader, branch)));
                found
            }
            (Node::Union(branches), _) => self.branch_for(branches, writer),
            (Node::Primitive(reader, _), Node::Primitive(writer, _)) => {
                if promotes(*reader, *writer) {
                    Vec::new()
                } else {
                    self.mismatch(reader, writer)
                }
            }
            (Node::Array(reader, _), Node::Array(writer, _)) => {
                self.at("items", |check| check.nodes(reader, writer))
            }
            (Node::Map(reader, _), Node::Map(writer, _)) => {
                self.at("values", |check| check.nodes(reader, writer))
            }
            (Node::Named(reader), Node::Named(writer)) => self.named(*reader, *writer),
            _ => {
                let names = (
                    type_name(self.reader, reader),
                    type_name(self.writer, writer),
                );
                self.type_mismatch(names.0, names.1)
            }
        };
        self.budget.leave();
        found
    }

    fn unions(&mut self, branches: &'a [Node], written: &'a [Node]) -> Vec<Difference> {
        let mut found = Vec::new();
        for (index, branch) in written.iter().enumerate() {
            let lacking = self.at(&index.to_string(), |check| {
                check.branch_for(branches, branch)
            });
            gather(&mut found, lacking);
        }
        found
    }

    /// Some branch must read it; which of the others cannot is no news.
    fn branch_for(&mut self, branches: &'a [Node], writer: &'a Node) -> Vec<Difference> {
        for branch in branches {
            if !self.budget.spend(1) {
                return Vec::new();
            }
            if self.may_match(branch, writer) && self.nodes(branch, writer).is_empty() {
                return Vec::new();
            }
        }
        let lacking = type_name(self.writer, writer).to_uppercase();
        vec![Difference::new(
            "MISSING_UNION_BRANCH",
            format!(
                "{{reader}} schema's union at path '{}' has no branch for a type of {{writer}} schema",
                self.path
            ),
            format!("reader union lacking writer type: {lacking}"),
        )]
    }

    /// Whether a branch is worth a comparison: named types with other names never match.
    fn may_match(&self, branch: &Node, writer: &Node) -> bool {
        match (branch, writer) {
            (Node::Named(reader), Node::Named(writer)) => {
                is_same_name(self.reader.named(*reader), self.writer.named(*writer))
            }
            _ => true,
        }
    }

    fn named(&mut self, reader: TypeId, writer: TypeId) -> Vec<Difference> {
        let position = match self.pairs.meet((reader, writer)) {
            Met::Known(found) => return found,
            Met::New(position) => position,
        };
        let found = self.definitions(self.reader.named(reader), self.writer.named(writer));
        self.pairs.found((reader, writer), position, &found);
        found
    }

    fn definitions(&mut self, reader: &'a Named, writer: &'a Named) -> Vec<Difference> {
        match (&reader.kind, &writer.kind) {
            (
                Kind::Record { fields, .. },
                Kind::Record {
                    fields: written, ..
                },
            ) => {
                let mut found = self.names(reader, writer);
                found.extend(self.at("fields", |check| check.fields(fields, written)));
                found
            }
            (
                Kind::Enum { symbols, default },
                Kind::Enum {
                    symbols: written, ..
                },
            ) => {
                let mut found = self.names(reader, writer);
                let missing: Vec<&str> = written
                    .iter()
                    .filter(|s| !symbols.contains(s))
                    .map(String::as_str)
                    .collect();
                if default.is_none() && !missing.is_empty() {
                    found.push(self.missing_symbols(&missing));
                }
                found
            }
            (Kind::Fixed { size }, Kind::Fixed { size: written }) => {
                let mut found = self.names(reader, writer);
                if size != written {
                    found.push(Difference::new(
                        "FIXED_SIZE_MISMATCH",
                        format!(
                            "the fixed type at path '{}/size' has another size in {{reader}} schema than in {{writer}} schema",
                            self.path
                        ),
                        format!("expected: {written}, found: {size}"),
                    ));
                }
                found
            }
            _ => self.type_mismatch(kind_name(&reader.kind), kind_name(&writer.kind)),
        }
    }

    fn missing_symbols(&self, missing: &[&str]) -> Difference {
        Difference::new(
            "MISSING_ENUM_SYMBOLS",
            format!(
                "{{reader}} schema lacks symbols of {{writer}} schema's enum at path '{}/symbols', and has no default",
                self.path
            ),
            format!("[{}]", missing.join(", ")),
        )
    }

    fn names(&self, reader: &Named, writer: &Named) -> Vec<Difference> {
        if is_same_name(reader, writer) {
            return Vec::new();
        }
        vec![Difference::new(
            "NAME_MISMATCH",
            format!(
                "the name of the type at path '{}/name' has changed",
                self.path
            ),
            format!("expected: {}", writer.name),
        )]
    }

    fn fields(&mut self, fields: &'a [Field], written: &'a [Field]) -> Vec<Difference> {
        let by_name: BTreeMap<&str, &Field> = written
            .iter()
            .map(|field| (field.name.as_str(), field))
            .collect();
        let mut found = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let mut names = std::iter::once(&field.name).chain(&field.aliases);
            let source = names.find_map(|name| by_name.get(name.as_str()));
            let differences = self.at(&index.to_string(), |check| match source {
                Some(source) => check.at("type", |check| check.nodes(&field.node, &source.node)),
                None if field.default.is_some() => Vec::new(),
                None => vec![Difference::new(
                    "READER_FIELD_MISSING_DEFAULT_VALUE",
                    format!(
                        "the field '{}' at path '{}' of {{reader}} schema has no default value and is missing in {{writer}} schema",
                        field.name, check.path
                    ),
                    field.name.clone(),
                )],
            });
            gather(&mut found, differences);
        }
        found
    }

    fn mismatch(&self, reader: &Primitive, writer: &Primitive) -> Vec<Difference> {
        self.type_mismatch(reader.as_str(), writer.as_str())
    }

    fn type_mismatch(&self, reader: &str, writer: &str) -> Vec<Difference> {
        vec![Difference::new(
            "TYPE_MISMATCH",
            format!(
                "the type at path '{}' of {{reader}} schema does not read that of {{writer}} schema",
                self.path
            ),
            format!(
                "reader type: {} not compatible with writer type: {}",
                reader.to_uppercase(),
                writer.to_uppercase()
            ),
        )]
    }

    fn at(
        &mut self,
        step: &str,
        check: impl FnOnce(&mut Self) -> Vec<Difference>,
    ) -> Vec<Difference> {
        self.path.push(step);
        let found = check(self);
        self.path.pop();
        found
    }
}

/// Unqualified names decide, or an alias of the reader's that is the writer's full name.
fn is_same_name(reader: &Named, writer: &Named) -> bool {
    reader.name.simple == writer.name.simple || reader.aliases.contains(&writer.name)
}

fn promotes(reader: Primitive, writer: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    reader == writer
        || matches!(
            (reader, writer),
            (Long, Int)
                | (Float, Int | Long)
                | (Double, Int | Long | Float)
                | (Bytes, String)
                | (String, Bytes)
        )
}

fn type_name(schema: &AvroSchema, node: &Node) -> &'static str {
    match node {
        Node::Primitive(primitive, _) => primitive.as_str(),
        Node::Array(..) => "array",
        Node::Map(..) => "map",
        Node::Union(_) => "union",
        Node::Named(id) => kind_name(&schema.named(*id).kind),
    }
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Record { .. } | Kind::Opening => "record",
        Kind::Enum { .. } => "enum",
        Kind::Fixed { .. } => "fixed",
    }
}
