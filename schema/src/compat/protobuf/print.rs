//! `.proto` text in the layout of Confluent's registry, from a file as it is written. Comments and
//! spacing are not kept; messages stand in their order, which message indexes count by.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::uninterpreted_option::NamePart;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto, UninterpretedOption,
};

use super::text::is_map_entry;

/// One past the highest field number, as ranges end.
const NUMBERS_END: i32 = 1 << 29;

pub fn print(file: &FileDescriptorProto) -> String {
    let mut printer = Printer {
        out: String::new(),
        indent: 0,
        syntax: file.syntax(),
    };
    printer.file(file);
    printer.out
}

struct Printer<'a> {
    out: String,
    indent: usize,
    syntax: &'a str,
}

impl Printer<'_> {
    fn file(&mut self, file: &FileDescriptorProto) {
        if let Some(syntax) = &file.syntax {
            self.line(&format!("syntax = \"{syntax}\";"));
        }
        if let Some(package) = &file.package {
            self.line(&format!("package {package};"));
        }
        self.gap(!file.dependency.is_empty());
        for (index, import) in file.dependency.iter().enumerate() {
            let is = |list: &[i32]| list.iter().any(|i| usize::try_from(*i) == Ok(index));
            let kind = match () {
                () if is(&file.public_dependency) => "public ",
                () if is(&file.weak_dependency) => "weak ",
                () => "",
            };
            self.line(&format!("import {kind}\"{import}\";"));
        }
        let options = file
            .options
            .as_ref()
            .map_or(&[][..], |o| &o.uninterpreted_option);
        self.gap(!options.is_empty());
        self.options(options);
        self.gap(!file.message_type.is_empty() || !file.enum_type.is_empty());
        file.message_type
            .iter()
            .for_each(|message| self.message(message));
        file.enum_type
            .iter()
            .for_each(|found| self.enumeration(found));
        self.gap(!file.extension.is_empty());
        self.extensions(&file.extension, &[]);
        self.gap(!file.service.is_empty());
        file.service
            .iter()
            .for_each(|service| self.service(service));
    }

    fn message(&mut self, message: &DescriptorProto) {
        self.open("message", message.name());
        let mut body = Body::default();
        let ranges = message
            .reserved_range
            .iter()
            .map(|r| (r.start(), r.end() - 1));
        body.reserved(ranges.collect(), &message.reserved_name, NUMBERS_END - 1);
        self.body(&body);
        let options = message
            .options
            .as_ref()
            .map_or(&[][..], |o| &o.uninterpreted_option);
        self.section(!options.is_empty(), |p| p.options(options));
        let is_member = |field: &&FieldDescriptorProto| oneof_of(message, field).is_some();
        let plain: Vec<_> = message
            .field
            .iter()
            .filter(|field| !is_member(field))
            .collect();
        self.section(!plain.is_empty(), |p| {
            plain
                .iter()
                .for_each(|field| p.field(field, &message.nested_type, true));
        });
        let oneofs = message
            .oneof_decl
            .iter()
            .enumerate()
            .filter_map(|(index, oneof)| {
                let members: Vec<_> = message
                    .field
                    .iter()
                    .filter(|field| oneof_of(message, field) == Some(index))
                    .collect();
                (!members.is_empty()).then_some((oneof, members))
            });
        let oneofs: Vec<_> = oneofs.collect();
        self.section(!oneofs.is_empty(), |p| {
            for (oneof, members) in &oneofs {
                p.open("oneof", oneof.name());
                let options = oneof
                    .options
                    .as_ref()
                    .map_or(&[][..], |o| &o.uninterpreted_option);
                p.section(!options.is_empty(), |p| p.options(options));
                p.section(true, |p| {
                    members
                        .iter()
                        .for_each(|field| p.field(field, &message.nested_type, false));
                });
                p.close();
            }
        });
        self.section(!message.extension_range.is_empty(), |p| {
            for range in &message.extension_range {
                let options = range
                    .options
                    .as_ref()
                    .map_or(&[][..], |o| &o.uninterpreted_option);
                let numbers = print_range(range.start(), range.end() - 1, NUMBERS_END - 1);
                let line = format!("extensions {numbers}{};", p.inline(options, &[]));
                p.line(&line);
            }
        });
        self.section(!message.extension.is_empty(), |p| {
            p.extensions(&message.extension, &message.nested_type);
        });
        let nested: Vec<_> = message
            .nested_type
            .iter()
            .filter(|m| is_printed(m, message))
            .collect();
        self.section(!nested.is_empty() || !message.enum_type.is_empty(), |p| {
            nested.iter().for_each(|nested| p.message(nested));
            message
                .enum_type
                .iter()
                .for_each(|found| p.enumeration(found));
        });
        self.close();
    }

    fn field(
        &mut self,
        field: &FieldDescriptorProto,
        nested: &[DescriptorProto],
        with_label: bool,
    ) {
        let entry = map_entry(field, nested);
        let label = match field.label() {
            _ if entry.is_some() || !with_label => "",
            Label::Repeated => "repeated ",
            Label::Required => "required ",
            Label::Optional if self.syntax != "proto3" || field.proto3_optional() => "optional ",
            Label::Optional => "",
        };
        let kind = match entry.map(|entry| entry.field.as_slice()) {
            Some([key, value]) => format!("map<{}, {}>", type_name(key), type_name(value)),
            _ => type_name(field),
        };
        let mut extras = Vec::new();
        if let Some(default) = &field.default_value {
            let quoted =
                matches!(field.r#type(), Type::String | Type::Bytes) && field.r#type.is_some();
            let text = match (quoted, field.r#type()) {
                (true, Type::String) => quote(default.as_bytes()),
                // The default of bytes is kept escaped.
                (true, _) => format!("\"{default}\""),
                _ => default.clone(),
            };
            extras.push(format!("default = {text}"));
        }
        if let Some(json) = field
            .json_name
            .as_deref()
            .filter(|json| *json != camel(field.name()))
        {
            extras.push(format!("json_name = {}", quote(json.as_bytes())));
        }
        let options = field
            .options
            .as_ref()
            .map_or(&[][..], |o| &o.uninterpreted_option);
        let options = self.inline(options, &extras);
        self.line(&format!(
            "{label}{kind} {} = {}{options};",
            field.name(),
            field.number()
        ));
    }

    fn enumeration(&mut self, found: &EnumDescriptorProto) {
        self.open("enum", found.name());
        let mut body = Body::default();
        let ranges = found.reserved_range.iter().map(|r| (r.start(), r.end()));
        body.reserved(ranges.collect(), &found.reserved_name, i32::MAX);
        self.body(&body);
        let options = found
            .options
            .as_ref()
            .map_or(&[][..], |o| &o.uninterpreted_option);
        let is_first = body.lines.is_empty();
        if is_first {
            self.gap_line();
        }
        self.indent += 1;
        self.options(options);
        found.value.iter().for_each(|value| self.enum_value(value));
        self.indent -= 1;
        self.close();
    }

    fn enum_value(&mut self, value: &EnumValueDescriptorProto) {
        let options = value
            .options
            .as_ref()
            .map_or(&[][..], |o| &o.uninterpreted_option);
        let options = self.inline(options, &[]);
        self.line(&format!("{} = {}{options};", value.name(), value.number()));
    }

    fn extensions(&mut self, fields: &[FieldDescriptorProto], nested: &[DescriptorProto]) {
        for group in fields.chunk_by(|a, b| a.extendee == b.extendee) {
            self.open("extend", group[0].extendee());
            self.section(true, |p| {
                group.iter().for_each(|field| p.field(field, nested, true))
            });
            self.close();
        }
    }

    fn service(&mut self, service: &ServiceDescriptorProto) {
        self.open("service", service.name());
        let options = service
            .options
            .as_ref()
            .map_or(&[][..], |o| &o.uninterpreted_option);
        self.section(!options.is_empty(), |p| p.options(options));
        self.section(!service.method.is_empty(), |p| {
            service.method.iter().for_each(|method| p.method(method));
        });
        self.close();
    }

    fn method(&mut self, method: &MethodDescriptorProto) {
        let stream = |yes: bool| if yes { "stream " } else { "" };
        let head = format!(
            "rpc {} ({}{}) returns ({}{})",
            method.name(),
            stream(method.client_streaming()),
            method.input_type(),
            stream(method.server_streaming()),
            method.output_type()
        );
        match &method.options {
            None => self.line(&format!("{head};")),
            Some(options) => {
                self.line(&format!("{head} {{"));
                self.indent += 1;
                self.options(&options.uninterpreted_option);
                self.indent -= 1;
                self.line("};");
            }
        }
    }

    fn options(&mut self, options: &[UninterpretedOption]) {
        for option in options {
            self.line(&format!("option {};", print_option(option)));
        }
    }

    /// Options in brackets after a field or value; one a line when there are several.
    fn inline(&self, options: &[UninterpretedOption], extras: &[String]) -> String {
        let mut all: Vec<String> = options.iter().map(print_option).collect();
        all.extend_from_slice(extras);
        let indent = "  ".repeat(self.indent);
        match all.as_slice() {
            [] => String::new(),
            [one] => format!(" [{one}]"),
            many => {
                let lines = many.join(&format!(",\n{indent}  "));
                format!(" [\n{indent}  {lines}\n{indent}]")
            }
        }
    }

    fn body(&mut self, body: &Body) {
        self.section(!body.lines.is_empty(), |p| {
            body.lines.iter().for_each(|line| p.line(line))
        });
    }

    /// A group of lines inside braces, set off from what stands before it.
    fn section(&mut self, present: bool, print: impl FnOnce(&mut Self)) {
        if present {
            self.gap_line();
            self.indent += 1;
            print(self);
            self.indent -= 1;
        }
    }

    /// The empty line before a section, or the end of the line that opened the braces.
    fn gap_line(&mut self) {
        self.out.push('\n');
    }

    fn gap(&mut self, present: bool) {
        if present && !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn open(&mut self, keyword: &str, name: &str) {
        let indent = "  ".repeat(self.indent);
        self.out.push_str(&format!("{indent}{keyword} {name} {{"));
    }

    fn close(&mut self) {
        // Braces with nothing between them close on their own line.
        let indent = if self.out.ends_with('{') {
            String::new()
        } else {
            "  ".repeat(self.indent)
        };
        self.out.push_str(&indent);
        self.out.push_str("}\n");
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(&"  ".repeat(self.indent));
        self.out.push_str(line);
        self.out.push('\n');
    }
}

#[derive(Default)]
struct Body {
    lines: Vec<String>,
}

impl Body {
    fn reserved(&mut self, ranges: Vec<(i32, i32)>, names: &[String], max: i32) {
        if !ranges.is_empty() {
            let ranges: Vec<String> = ranges
                .into_iter()
                .map(|(start, last)| print_range(start, last, max))
                .collect();
            self.lines.push(format!("reserved {};", ranges.join(", ")));
        }
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| quote(name.as_bytes())).collect();
            self.lines.push(format!("reserved {};", names.join(", ")));
        }
    }
}

/// A range by its first and last number.
fn print_range(start: i32, last: i32, max: i32) -> String {
    match last {
        last if last == start => start.to_string(),
        last if last == max => format!("{start} to max"),
        last => format!("{start} to {last}"),
    }
}

/// The oneof that a field is written in; a proto3 optional's own is not written.
pub(super) fn oneof_of(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<usize> {
    let index = field.oneof_index.filter(|_| !field.proto3_optional())?;
    usize::try_from(index)
        .ok()
        .filter(|index| *index < message.oneof_decl.len())
}

/// The message that stands for the entries of a map field.
fn map_entry<'a>(
    field: &FieldDescriptorProto,
    nested: &'a [DescriptorProto],
) -> Option<&'a DescriptorProto> {
    let name = field.type_name().rsplit('.').next().unwrap_or_default();
    nested
        .iter()
        .find(|message| is_map_entry(message) && message.name() == name)
}

fn is_printed(nested: &DescriptorProto, message: &DescriptorProto) -> bool {
    !is_map_entry(nested)
        || !message
            .field
            .iter()
            .any(|field| map_entry(field, std::slice::from_ref(nested)).is_some())
}

fn type_name(field: &FieldDescriptorProto) -> String {
    if let Some(name) = &field.type_name {
        return name.clone();
    }
    match field.r#type() {
        Type::Double => "double",
        Type::Float => "float",
        Type::Int64 => "int64",
        Type::Uint64 => "uint64",
        Type::Int32 => "int32",
        Type::Fixed64 => "fixed64",
        Type::Fixed32 => "fixed32",
        Type::Bool => "bool",
        Type::String => "string",
        Type::Group => "group",
        Type::Message => "message",
        Type::Bytes => "bytes",
        Type::Uint32 => "uint32",
        Type::Enum => "enum",
        Type::Sfixed32 => "sfixed32",
        Type::Sfixed64 => "sfixed64",
        Type::Sint32 => "sint32",
        Type::Sint64 => "sint64",
    }
    .to_owned()
}

fn print_option(option: &UninterpretedOption) -> String {
    let part = |part: &NamePart| match part.is_extension {
        true => format!("({})", part.name_part),
        false => part.name_part.clone(),
    };
    let name: Vec<String> = option.name.iter().map(part).collect();
    let value = if let Some(text) = &option.string_value {
        quote(text)
    } else if let Some(text) = &option.identifier_value {
        text.clone()
    } else if let Some(number) = option.positive_int_value {
        number.to_string()
    } else if let Some(number) = option.negative_int_value {
        number.to_string()
    } else if let Some(number) = option.double_value {
        print_double(number)
    } else {
        format!("{{ {} }}", option.aggregate_value().trim())
    };
    format!("{} = {value}", name.join("."))
}

fn print_double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number.is_nan() {
        "nan".to_owned()
    } else {
        format!("{number:?}")
    }
}

/// A string literal; bytes that are no printable ASCII or UTF-8 text are written in octal.
fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c if c.is_ascii_control() => quoted.push_str(&format!("\\{:03o}", c as u32)),
                c => quoted.push(c),
            }
        }
        for byte in chunk.invalid() {
            quoted.push_str(&format!("\\{byte:03o}"));
        }
    }
    quoted.push('"');
    quoted
}

/// The JSON name that a field has when it states none.
fn camel(name: &str) -> String {
    let mut upper = false;
    let mut camel = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}
