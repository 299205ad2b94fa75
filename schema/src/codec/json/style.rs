//! The two ways in which serializers space a JSON document.

use std::io;

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

use crate::codec::JsonStyle;

pub(super) fn write(document: &Value, style: JsonStyle) -> Vec<u8> {
    let mut out = Vec::new();
    let written = match style {
        JsonStyle::Compact => document.serialize(&mut Serializer::new(&mut out)),
        JsonStyle::Spaced => document.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
    };
    written.expect("a value with text keys is written to memory");
    out
}

/// As Python's `json.dumps`: a space after `,` and `:`, and everything outside ASCII escaped.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        for c in text.chars() {
            if matches!(c, ' '..='~') {
                out.write_all(&[c as u8])?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}
