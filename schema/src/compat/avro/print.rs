//! The texts of a schema: canonical (what is stored and hashed), resolved (references spelled out)
//! and normal (independent of how attributes were ordered).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::number::java_double;
use super::schema::{AvroSchema, Field, Kind, Name, Named, Node, Order, Properties, TypeId};

impl AvroSchema {
    /// The text that Java's `Schema.toString` gives: attributes in its order, a type spelled out
    /// where it first appears, types of references only named.
    pub fn canonical(&self) -> String {
        Printer::new(self, (0..self.referenced_types).map(TypeId).collect()).print_canonical()
    }

    /// The canonical text with the types of references spelled out.
    pub fn resolved(&self) -> String {
        Printer::new(self, BTreeSet::new()).print_canonical()
    }

    /// A text that is equal for schemas which differ only in the order of attributes, in short or
    /// full names, and in defaults that were spelled out.
    pub fn normalized(&self) -> String {
        let known = (0..self.referenced_types).map(TypeId).collect();
        let mut printer = Printer::new(self, known);
        printer.normal_node(&self.root);
        printer.out
    }
}

struct Printer<'a> {
    schema: &'a AvroSchema,
    /// Types that were spelled out, or need not be.
    known: BTreeSet<TypeId>,
    out: String,
}

impl<'a> Printer<'a> {
    fn new(schema: &'a AvroSchema, known: BTreeSet<TypeId>) -> Printer<'a> {
        Printer {
            schema,
            known,
            out: String::new(),
        }
    }

    fn print_canonical(mut self) -> String {
        // A schema that is itself one of the referenced types is spelled out all the same.
        if let Node::Named(id) = &self.schema.root {
            self.known.remove(id);
        }
        self.node(&self.schema.root, "");
        self.out
    }

    fn node(&mut self, node: &Node, namespace: &str) {
        match node {
            Node::Primitive(primitive, properties) if properties.is_empty() => {
                self.text(primitive.as_str());
            }
            Node::Primitive(primitive, properties) => {
                self.open("type");
                self.text(primitive.as_str());
                self.properties(properties);
                self.out.push('}');
            }
            Node::Array(items, properties) => {
                self.container("array", "items", items, properties, namespace)
            }
            Node::Map(values, properties) => {
                self.container("map", "values", values, properties, namespace)
            }
            Node::Union(branches) => {
                self.list(branches, |printer, branch| printer.node(branch, namespace));
            }
            Node::Named(id) => {
                let named = self.schema.named(*id);
                if self.known.insert(*id) {
                    self.definition(named, namespace);
                } else {
                    self.text(&named.name.within(namespace));
                }
            }
        }
    }

    fn container(
        &mut self,
        kind: &str,
        attribute: &str,
        inner: &Node,
        properties: &Properties,
        namespace: &str,
    ) {
        self.open("type");
        self.text(kind);
        self.key(attribute);
        self.node(inner, namespace);
        self.properties(properties);
        self.out.push('}');
    }

    fn definition(&mut self, named: &Named, namespace: &str) {
        self.open("type");
        self.text(kind_name(&named.kind));
        self.key("name");
        self.text(&named.name.simple);
        if named.name.namespace != namespace {
            self.key("namespace");
            self.text(&named.name.namespace);
        }
        self.optional("doc", named.doc.as_deref());
        match &named.kind {
            Kind::Record { fields, .. } => {
                self.key("fields");
                self.list(fields, |printer, field| printer.field(field, &named.name));
            }
            Kind::Enum { symbols, default } => {
                self.key("symbols");
                self.list(symbols, |printer, symbol| printer.text(symbol));
                self.optional("default", default.as_deref());
            }
            Kind::Fixed { size } => {
                self.key("size");
                self.out.push_str(&size.to_string());
            }
            Kind::Opening => {}
        }
        self.properties(&named.properties);
        if !named.aliases.is_empty() {
            self.key("aliases");
            let space = &named.name.namespace;
            self.list(&named.aliases, |printer, alias| {
                printer.text(&alias.within(space))
            });
        }
        self.out.push('}');
    }

    fn field(&mut self, field: &Field, record: &Name) {
        self.open("name");
        self.text(&field.name);
        self.key("type");
        self.node(&field.node, &record.namespace);
        self.optional("doc", field.doc.as_deref());
        if let Some(default) = &field.default {
            self.key("default");
            self.value(default, false);
        }
        if field.order != Order::Ascending {
            self.key("order");
            self.text(field.order.as_str());
        }
        if !field.aliases.is_empty() {
            self.key("aliases");
            self.list(&field.aliases, |printer, alias| printer.text(alias));
        }
        self.properties(&field.properties);
        self.out.push('}');
    }

    fn normal_node(&mut self, node: &Node) {
        match node {
            Node::Primitive(primitive, properties) if properties.is_empty() => {
                self.text(primitive.as_str());
            }
            Node::Primitive(primitive, properties) => {
                self.open("type");
                self.text(primitive.as_str());
                self.normal_properties(properties);
                self.out.push('}');
            }
            Node::Array(inner, properties) => self.normal_container("array", inner, properties),
            Node::Map(inner, properties) => self.normal_container("map", inner, properties),
            Node::Union(branches) => self.list(branches, Printer::normal_node),
            Node::Named(id) => {
                let named = self.schema.named(*id);
                if self.known.insert(*id) {
                    self.normal_definition(named);
                } else {
                    self.text(&named.name.to_string());
                }
            }
        }
    }

    fn normal_container(&mut self, kind: &str, inner: &Node, properties: &Properties) {
        self.open("type");
        self.text(kind);
        self.key(if kind == "array" { "items" } else { "values" });
        self.normal_node(inner);
        self.normal_properties(properties);
        self.out.push('}');
    }

    fn normal_definition(&mut self, named: &Named) {
        self.open("name");
        self.text(&named.name.to_string());
        self.key("type");
        self.text(kind_name(&named.kind));
        let mut enum_default = None;
        match &named.kind {
            Kind::Record { fields, .. } => {
                self.key("fields");
                self.list(fields, Printer::normal_field);
            }
            Kind::Enum { symbols, default } => {
                self.key("symbols");
                self.list(symbols, |printer, symbol| printer.text(symbol));
                enum_default = default.as_deref();
            }
            Kind::Fixed { size } => {
                self.key("size");
                self.out.push_str(&size.to_string());
            }
            Kind::Opening => {}
        }
        self.logical_type(&named.properties);
        self.optional("doc", named.doc.as_deref().filter(|doc| !doc.is_empty()));
        self.sorted("aliases", named.aliases.iter().map(Name::to_string));
        self.optional("default", enum_default);
        self.other_properties(&named.properties);
        self.out.push('}');
    }

    fn normal_field(&mut self, field: &Field) {
        self.open("name");
        self.text(&field.name);
        self.key("type");
        self.normal_node(&field.node);
        self.key("order");
        self.text(field.order.as_str());
        self.optional("doc", field.doc.as_deref());
        self.sorted("aliases", field.aliases.iter().cloned());
        if let Some(default) = &field.default {
            self.key("default");
            self.value(default, true);
        }
        self.other_properties(&field.properties);
        self.out.push('}');
    }

    fn normal_properties(&mut self, properties: &Properties) {
        self.logical_type(properties);
        self.other_properties(properties);
    }

    fn logical_type(&mut self, properties: &Properties) {
        let Some(name) = properties.get("logicalType").and_then(Value::as_str) else {
            return;
        };
        self.key("logicalType");
        self.text(name);
        if name == "decimal" {
            for attribute in ["precision", "scale"] {
                let value = properties
                    .get(attribute)
                    .filter(|value| value.as_u64() != Some(0));
                if let Some(value) = value {
                    self.key(attribute);
                    self.value(value, true);
                }
            }
        }
    }

    /// Properties in the order of their names, without those that `logical_type` wrote.
    fn other_properties(&mut self, properties: &Properties) {
        let logical = properties.get("logicalType").and_then(Value::as_str);
        let written: &[&str] = match logical {
            Some("decimal") => &["logicalType", "precision", "scale"],
            Some(_) => &["logicalType"],
            None => &[],
        };
        let mut rest: Vec<_> = properties
            .iter()
            .filter(|(name, _)| !written.contains(&name.as_str()))
            .collect();
        rest.sort_by_key(|(name, _)| *name);
        for (name, value) in rest {
            self.key(name);
            self.value(value, true);
        }
    }

    fn properties(&mut self, properties: &Properties) {
        for (name, value) in properties {
            self.key(name);
            self.value(value, false);
        }
    }

    fn sorted(&mut self, key: &str, texts: impl Iterator<Item = String>) {
        let texts: BTreeSet<String> = texts.collect();
        if !texts.is_empty() {
            self.key(key);
            let texts: Vec<String> = texts.into_iter().collect();
            self.list(&texts, |printer, text| printer.text(text));
        }
    }

    fn optional(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key);
            self.text(text);
        }
    }

    fn list<T>(&mut self, items: &[T], mut print: impl FnMut(&mut Self, &T)) {
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            print(self, item);
        }
        self.out.push(']');
    }

    fn value(&mut self, value: &Value, sort: bool) {
        match value {
            Value::Array(items) => self.list(items, |printer, item| printer.value(item, sort)),
            Value::Object(object) => self.object(object, sort),
            Value::String(text) => self.text(text),
            Value::Number(number) if number.is_f64() => {
                self.out
                    .push_str(&java_double(number.as_f64().unwrap_or_default()));
            }
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, sort: bool) {
        let mut members: Vec<_> = object.iter().collect();
        if sort {
            members.sort_by_key(|(name, _)| *name);
        }
        self.out.push('{');
        for (index, (name, value)) in members.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.text(name);
            self.out.push(':');
            self.value(value, sort);
        }
        self.out.push('}');
    }

    fn open(&mut self, key: &str) {
        self.out.push('{');
        self.text(key);
        self.out.push(':');
    }

    fn key(&mut self, key: &str) {
        self.out.push(',');
        self.text(key);
        self.out.push(':');
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(&Value::from(text).to_string());
    }
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Record { is_error: true, .. } => "error",
        Kind::Record { .. } | Kind::Opening => "record",
        Kind::Enum { .. } => "enum",
        Kind::Fixed { .. } => "fixed",
    }
}
