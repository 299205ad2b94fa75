//! Any answer as a tree of names and values.
//!
//! The codec's types have no serde, but each derives `Debug`, whose output names every field; so the output is parsed
//! back: structs become objects, `Some(x)` is `x`, bytes are `0x…` strings, ids without quotes (`Uuid`) strings.

use std::fmt::Debug;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// The tree of anything that derives `Debug`.
pub fn of(message: &impl Debug) -> Result<Value> {
    let text = format!("{message:?}");
    let mut parser = Parser {
        bytes: text.as_bytes(),
        at: 0,
    };
    let value = parser
        .value()
        .with_context(|| format!("at byte {} of {text}", parser.at))?;
    if parser.at != text.len() {
        bail!("{} bytes left over in {text}", text.len() - parser.at);
    }
    Ok(value)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self) -> Result<Value> {
        match self.peek()? {
            b'[' => self.list(b'[', b']').map(Value::Array),
            b'{' => self.object(),
            b'"' => Ok(Value::String(String::from_utf8(self.quoted()?)?)),
            b'b' if self.bytes.get(self.at + 1) == Some(&b'"') => {
                self.at += 1;
                Ok(Value::String(hex(&self.quoted()?)))
            }
            _ => self.word_value(),
        }
    }

    /// A number, a name, a bare id, or the name of a struct before its fields.
    fn word_value(&mut self) -> Result<Value> {
        let word = self.word()?;
        match (
            word.as_str(),
            self.bytes.get(self.at),
            self.bytes.get(self.at + 1),
        ) {
            (_, Some(b'('), _) => self.tuple(),
            (_, Some(b' '), Some(b'{')) => {
                self.at += 1;
                self.object()
            }
            ("None", ..) => Ok(Value::Null),
            ("true", ..) => Ok(Value::Bool(true)),
            ("false", ..) => Ok(Value::Bool(false)),
            (number, ..) if number.parse::<i64>().is_ok() => Ok(number.parse::<i64>()?.into()),
            (number, ..) if number.parse::<f64>().is_ok() => Ok(number.parse::<f64>()?.into()),
            (name, ..) => Ok(Value::String(name.to_string())),
        }
    }

    /// A tuple struct of one field is its field.
    fn tuple(&mut self) -> Result<Value> {
        let mut fields = self.list(b'(', b')')?;
        match fields.len() {
            1 => Ok(fields.remove(0)),
            _ => Ok(Value::Array(fields)),
        }
    }

    fn list(&mut self, open: u8, close: u8) -> Result<Vec<Value>> {
        self.expect(open)?;
        let mut values = Vec::new();
        while !self.ends(close)? {
            values.push(self.value()?);
        }
        Ok(values)
    }

    fn object(&mut self) -> Result<Value> {
        self.expect(b'{')?;
        let mut fields = Map::new();
        while !self.ends(b'}')? {
            let name = match self.peek()? {
                b'"' => String::from_utf8(self.quoted()?)?,
                _ => self.word()?,
            };
            self.expect(b':')?;
            self.spaces();
            let value = self.value()?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }

    /// Skips what separates members; true, and past it, at `close`.
    fn ends(&mut self, close: u8) -> Result<bool> {
        self.spaces();
        let ended = self.peek()? == close;
        self.at += usize::from(ended);
        Ok(ended)
    }

    fn spaces(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b',')) {
            self.at += 1;
        }
    }

    fn word(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"_-+.".contains(byte))
            .count();
        if length == 0 {
            bail!("a word was expected");
        }
        self.at += length;
        Ok(String::from_utf8(rest[..length].to_vec())?)
    }

    /// The bytes between two quotes, with Rust's escapes undone.
    fn quoted(&mut self) -> Result<Vec<u8>> {
        self.expect(b'"')?;
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Ok(out),
                b'\\' => self.escape(&mut out)?,
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self.next()? {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b'x' => {
                let digits = [self.next()?, self.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?);
            }
            b'u' => {
                self.expect(b'{')?;
                let digits = self.word()?;
                self.expect(b'}')?;
                let scalar = char::from_u32(u32::from_str_radix(&digits, 16)?)
                    .context("no such character")?;
                out.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(other),
        }
        Ok(())
    }

    fn expect(&mut self, wanted: u8) -> Result<()> {
        match self.next()? {
            found if found == wanted => Ok(()),
            found => bail!(
                "{:?} instead of {:?}",
                char::from(found),
                char::from(wanted)
            ),
        }
    }

    fn next(&mut self) -> Result<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Result<u8> {
        self.bytes.get(self.at).copied().context("ended early")
    }
}

/// Bytes as the tree writes them.
pub fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

/// The bytes of a `0x…` string.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
    use serde_json::json;

    use super::*;

    #[derive(Debug)]
    #[allow(dead_code, reason = "read through Debug")]
    struct Sample {
        name: Option<&'static str>,
        none: Option<i32>,
        list: Vec<(i32, bool)>,
        bytes: Bytes,
        map: BTreeMap<i32, f64>,
    }

    #[test]
    fn every_shape_that_debug_writes_is_read_back() {
        let sample = Sample {
            name: Some("a \"b\"\n{é\u{1}}"),
            none: None,
            list: vec![],
            bytes: Bytes::from_static(b"\x00\"\\\xff,}"),
            map: BTreeMap::from([(-1, 0.5)]),
        };
        let expected = json!({"name": "a \"b\"\n{é\u{1}}", "none": null, "list": [], "bytes": "0x00225cff2c7d", "map": {"-1": 0.5}});
        assert_eq!(of(&sample).unwrap(), expected);
    }

    #[test]
    fn a_message_of_the_codec_keeps_its_field_names() {
        let topic =
            MetadataResponseTopic::default().with_name(Some(TopicName("t".to_string().into())));
        let tree = of(&topic).unwrap();
        assert_eq!(tree["name"], "t");
        assert_eq!(tree["topic_id"], "00000000-0000-0000-0000-000000000000");
        assert_eq!(tree["partitions"], json!([]));
    }

    #[test]
    fn hex_is_undone() {
        assert_eq!(unhex(&hex(b"\x00\xfe")), Some(vec![0, 0xfe]));
        assert_eq!(unhex("plain"), None);
    }
}
