//! Whether an updated schema allows every document that the original allows, as far as the
//! structure shows it.
//!
//! The rules are Confluent's: adding a property to an object that allows others is a break, since
//! documents may carry anything under that name; `lenient` takes it for none.

mod array;
mod combined;
mod leaf;
mod object;

use std::collections::BTreeMap;

use jsonschema::Validator;

use super::JsonSchema;
use super::node::{Allowed, Node, NodeId, Nodes, Shape};
use crate::compat::budget::gather;
use crate::compat::pairs::{Met, Pairs};
use crate::compat::{Budget, Difference, Path};

/// Every difference that keeps `reader` from accepting what `writer` accepts.
pub fn differences(reader: &JsonSchema, writer: &JsonSchema, lenient: bool) -> Vec<Difference> {
    let mut check = Check {
        original: &writer.nodes,
        update: &reader.nodes,
        lenient,
        pairs: Pairs::new(),
        path: Path::root(),
        budget: Budget::new(),
        patterns: BTreeMap::new(),
    };
    let original = Ref {
        side: Side::Original,
        id: writer.nodes.root,
    };
    let update = Ref {
        side: Side::Update,
        id: reader.nodes.root,
    };
    let found = check.nodes(original, update);
    check.budget.report(found)
}

struct Check<'a> {
    original: &'a Nodes,
    update: &'a Nodes,
    lenient: bool,
    pairs: Pairs<Ref>,
    path: Path,
    budget: Budget,
    /// Patterns of property names that were compiled; `None` for those that do not compile.
    patterns: BTreeMap<String, Option<Validator>>,
}

/// Which of the two schemas a node belongs to. Below `not` they change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Side {
    Original,
    Update,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Ref {
    side: Side,
    id: NodeId,
}

/// A shape and whose it is, so that its parts can be referred to.
struct Of<'a, T: ?Sized> {
    side: Side,
    shape: &'a T,
}

impl<T: ?Sized> Clone for Of<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Of<'_, T> {}

impl<T: ?Sized> Of<'_, T> {
    fn part(&self, id: NodeId) -> Ref {
        Ref {
            side: self.side,
            id,
        }
    }
}

impl<'a> Check<'a> {
    fn get(&self, node: Ref) -> &'a Node {
        match node.side {
            Side::Original => self.original.get(node.id),
            Side::Update => self.update.get(node.id),
        }
    }

    fn nodes(&mut self, original: Ref, update: Ref) -> Vec<Difference> {
        if !self.budget.enter() {
            return Vec::new();
        }
        let found = match self.pairs.meet((original, update)) {
            Met::Known(found) => found,
            Met::New(position) => {
                let found = self.shapes(original, update);
                self.pairs.found((original, update), position, &found);
                found
            }
        };
        self.budget.leave();
        found
    }

    fn is_compatible(&mut self, original: Ref, update: Ref) -> bool {
        self.nodes(original, update).is_empty()
    }

    fn shapes(&mut self, original: Ref, update: Ref) -> Vec<Difference> {
        if self.is_covered_by_a_part(original, update) {
            return Vec::new();
        }
        let (old, new) = (self.get(original), self.get(update));
        let sides = (original.side, update.side);
        match (&old.shape, &new.shape) {
            (Shape::Never, _) | (_, Shape::Any) => Vec::new(),
            (Shape::Null, Shape::Null) | (Shape::Boolean, Shape::Boolean) => Vec::new(),
            (Shape::String(old), Shape::String(new)) => leaf::strings(&self.path, old, new),
            (Shape::Number(old), Shape::Number(new)) => leaf::numbers(&self.path, old, new),
            (Shape::Enum(old), Shape::Enum(new)) => leaf::enums(&self.path, old, new),
            (Shape::Const(old), Shape::Const(new)) if old == new => Vec::new(),
            (Shape::Const(_), Shape::Const(_)) => self.one("ENUM_ARRAY_CHANGED"),
            (Shape::Array(old), Shape::Array(new)) => self.arrays(
                Of {
                    side: sides.0,
                    shape: old,
                },
                Of {
                    side: sides.1,
                    shape: new,
                },
            ),
            (Shape::Object(old), Shape::Object(new)) => self.objects(
                Of {
                    side: sides.0,
                    shape: old,
                },
                Of {
                    side: sides.1,
                    shape: new,
                },
            ),
            (Shape::Not(old), Shape::Not(new)) => {
                let (old, new) = (
                    Ref {
                        side: sides.0,
                        id: *old,
                    },
                    Ref {
                        side: sides.1,
                        id: *new,
                    },
                );
                // What must not match may only shrink.
                if self.is_compatible(new, old) {
                    Vec::new()
                } else {
                    self.one("NOT_TYPE_EXTENDED")
                }
            }
            (Shape::Combined(before, old), Shape::Combined(now, new)) => self.combined(
                *before,
                Of {
                    side: sides.0,
                    shape: old.as_slice(),
                },
                *now,
                Of {
                    side: sides.1,
                    shape: new.as_slice(),
                },
            ),
            _ if old.is_connect_bytes && new.is_connect_bytes => Vec::new(),
            _ => self.one("TYPE_CHANGED"),
        }
    }

    /// Compares what may stand beside the properties or items that are named.
    fn rests(
        &mut self,
        keyword: &str,
        original: Of<'_, Allowed>,
        update: Of<'_, Allowed>,
        [removed, narrowed]: [&'static str; 2],
    ) -> Vec<Difference> {
        self.at(keyword, |check| match (*original.shape, *update.shape) {
            (Allowed::Nothing, Allowed::Nothing) => Vec::new(),
            (_, Allowed::Nothing) if check.lenient => Vec::new(),
            (_, Allowed::Nothing) => check.one(removed),
            (Allowed::Anything, Allowed::Only(_)) if check.lenient => Vec::new(),
            (Allowed::Anything, Allowed::Only(_)) => check.one(narrowed),
            (Allowed::Only(old), Allowed::Only(new)) => {
                check.nodes(original.part(old), update.part(new))
            }
            (Allowed::Nothing, _) | (_, Allowed::Anything) => Vec::new(),
        })
    }

    fn one(&self, kind: &'static str) -> Vec<Difference> {
        vec![Difference::at(kind, &self.path)]
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
