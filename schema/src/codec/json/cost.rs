//! How often a document's parts are looked at, worked out before a schema is taken.
//!
//! Schemas of a few lines can ask for 2^60 looks: definitions that each name the next twice. The
//! validator remembers what it found for a `$ref` that leads back to itself, and for no other. So a
//! `$ref` within a cycle counts once here, all else counts as often as it is reached on the way from
//! the top down to one value; past a limit the schema is refused.

use std::collections::HashMap;

use serde_json::Value;

use super::documents::{Documents, Place};
use crate::codec::error::SchemaError;

/// Looks on the way to one value that a schema may ask for.
const MAX_LOOKS: u64 = 50_000;

/// Whether the place of a failure can be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    Bounded,
    /// A cycle is entered twice on one way, so that the search would double at every level.
    Branching,
}

/// Keywords whose schemas look at the same value.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
const IN_PLACE_BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords whose schema, or all of whose schemas, look at the same part of a value.
const CHILD: [&str; 7] = [
    "additionalProperties",
    "additionalItems",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const EACH_PATTERN: &str = "patternProperties";
/// Keywords of which one schema looks at one part.
const ONE_OF_CHILDREN: [&str; 3] = ["properties", "items", "prefixItems"];

pub(super) fn estimate(documents: &Documents) -> Result<Cost, SchemaError> {
    let graph = Graph::new(documents.top());
    let component = graph.components();
    let (mut looks, mut returns) = (vec![0u64; graph.nodes.len()], vec![0u64; graph.nodes.len()]);
    for id in graph.inside_out(&component) {
        let count = |edge: &Edge, of: &[u64], cut: u64| match edge.is_reference
            && component[edge.to] == component[id]
        {
            true => cut,
            false => of[edge.to],
        };
        let node = &graph.nodes[id];
        let add = |of: &[u64], cut: u64| {
            let all = node.all.iter().map(|edge| count(edge, of, cut));
            let one = node.one.iter().map(|class| {
                class
                    .iter()
                    .map(|edge| count(edge, of, cut))
                    .max()
                    .unwrap_or(0)
            });
            all.chain(one).fold(0u64, u64::saturating_add)
        };
        looks[id] = add(&looks, 1).saturating_add(1);
        returns[id] = add(&returns, 1);
    }
    if looks[0] > MAX_LOOKS {
        return Err(SchemaError::invalid(
            "the schema",
            "looks at the same value too many times",
        ));
    }
    Ok(if returns.iter().any(|r| *r > 1) {
        Cost::Branching
    } else {
        Cost::Bounded
    })
}

/// From a schema to one that it asks about the same value or a part of it.
struct Edge {
    to: usize,
    is_reference: bool,
}

#[derive(Default)]
struct Node {
    /// All of these look at one value.
    all: Vec<Edge>,
    /// Of each of these, one does.
    one: Vec<Vec<Edge>>,
}

/// The schemas that the top reaches; the top is 0.
struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    fn new(top: Place) -> Self {
        let mut building = Building {
            ids: HashMap::new(),
            found: Vec::new(),
        };
        building.id(top, top.root);
        let mut nodes = Vec::new();
        while let Some((place, schema)) = building.found.get(nodes.len()).copied() {
            nodes.push(building.node(place, schema));
        }
        Graph { nodes }
    }

    fn edges(&self, id: usize) -> impl Iterator<Item = &Edge> {
        let node = &self.nodes[id];
        node.all.iter().chain(node.one.iter().flatten())
    }

    /// For each node the number of its strongly connected component, without recursion: nodes by the
    /// order in which a walk leaves them, then walks against the edges from the last.
    fn components(&self) -> Vec<usize> {
        let mut left = Vec::with_capacity(self.nodes.len());
        let forward = |id: usize| self.edges(id).map(|e| e.to).collect::<Vec<_>>();
        let mut seen = vec![false; self.nodes.len()];
        for id in 0..self.nodes.len() {
            walk(id, &forward, &mut seen, &mut left);
        }
        let mut against = vec![Vec::new(); self.nodes.len()];
        for id in 0..self.nodes.len() {
            self.edges(id).for_each(|edge| against[edge.to].push(id));
        }
        let mut component = vec![0; self.nodes.len()];
        let mut seen = vec![false; self.nodes.len()];
        for (number, id) in left.into_iter().rev().enumerate() {
            let mut members = Vec::new();
            walk(id, &|id| against[id].clone(), &mut seen, &mut members);
            members.into_iter().for_each(|id| component[id] = number);
        }
        component
    }

    /// Every node after those that its edges lead to, `$ref`s within a component left out: without them
    /// there are no cycles, since a schema does not stand inside itself.
    fn inside_out(&self, component: &[usize]) -> Vec<usize> {
        let kept = |id: usize| {
            let kept = |e: &&Edge| !e.is_reference || component[e.to] != component[id];
            self.edges(id)
                .filter(kept)
                .map(|e| e.to)
                .collect::<Vec<_>>()
        };
        let (mut seen, mut order) = (vec![false; self.nodes.len()], Vec::new());
        for id in 0..self.nodes.len() {
            walk(id, &kept, &mut seen, &mut order);
        }
        order
    }
}

/// Walks from `start` to all that was not seen, and notes nodes as it leaves them.
fn walk(
    start: usize,
    next: &impl Fn(usize) -> Vec<usize>,
    seen: &mut [bool],
    left: &mut Vec<usize>,
) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut stack = vec![(start, next(start))];
    while let Some((id, rest)) = stack.last_mut() {
        match rest.pop() {
            Some(to) => {
                if !std::mem::replace(&mut seen[to], true) {
                    stack.push((to, next(to)));
                }
            }
            None => {
                left.push(*id);
                stack.pop();
            }
        }
    }
}

struct Building<'a> {
    ids: HashMap<*const Value, usize>,
    found: Vec<(Place<'a>, &'a Value)>,
}

impl<'a> Building<'a> {
    fn id(&mut self, place: Place<'a>, schema: &'a Value) -> usize {
        let next = self.found.len();
        let id = *self.ids.entry(std::ptr::from_ref(schema)).or_insert(next);
        if id == next {
            self.found.push((place, schema));
        }
        id
    }

    fn node(&mut self, place: Place<'a>, schema: &'a Value) -> Node {
        let mut node = Node::default();
        let Value::Object(object) = schema else {
            return node;
        };
        for (keyword, value) in object {
            let keyword = keyword.as_str();
            if matches!(keyword, "$ref" | "$dynamicRef" | "$recursiveRef") {
                if let Some((place, schema)) =
                    value.as_str().and_then(|target| place.follow(target))
                {
                    node.all.push(Edge {
                        to: self.id(place, schema),
                        is_reference: true,
                    });
                }
                continue;
            }
            let mut inner = |values: Vec<&'a Value>| {
                let edge = |value| Edge {
                    to: self.id(place, value),
                    is_reference: false,
                };
                values.into_iter().map(edge).collect::<Vec<_>>()
            };
            let parts = match value {
                Value::Array(values) => values.iter().collect(),
                Value::Object(map) if by_name(keyword) => map.values().collect(),
                value => vec![value],
            };
            if ONE_OF_CHILDREN.contains(&keyword) {
                node.one.push(inner(parts));
            } else if IN_PLACE.contains(&keyword) || CHILD.contains(&keyword) || by_name(keyword) {
                node.all.extend(inner(parts));
            }
        }
        node
    }
}

/// Keywords whose value maps names to schemas.
fn by_name(keyword: &str) -> bool {
    keyword == "properties" || keyword == EACH_PATTERN || IN_PLACE_BY_NAME.contains(&keyword)
}
