//! Rows: the types of a table's columns, and how one value of each is written in JSON.
//!
//! A row type is an Arrow schema. The codecs derive it from a registered schema (`Codec::columns`) and
//! write rows as JSON objects by these forms, in both directions:
//!
//! | type | Arrow | in JSON |
//! |---|---|---|
//! | BOOLEAN | Boolean | `true` |
//! | TINYINT, SMALLINT, INT | Int8, Int16, Int32 | a number |
//! | BIGINT | Int64 | a number, exact; also taken as a string, see [`int64_as_strings`] |
//! | FLOAT, DOUBLE | Float32, Float64 | a number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | STRING | Utf8 | a string |
//! | DECIMAL(p, s) | Decimal128 | a string with s digits after the point |
//! | DATE | Date32 | `"2013-01-01"` |
//! | TIME | Time32, Time64 | `"hh:mm:ss.ffffff"` |
//! | TIMESTAMP | Timestamp without zone | `"2013-01-01T00:00:00.000"` |
//! | TIMESTAMP_LTZ | Timestamp in UTC | `"2013-01-01T00:00:00.000Z"` |
//! | BINARY(n), BYTES | FixedSizeBinary, Binary | base64 |
//! | ARRAY | List | an array |
//! | MAP | Map | an object; with keys that are not strings, an array of `[key, value]` |
//! | ROW | Struct | an object |

mod count;
pub mod datetime;
pub mod decimal;
mod int64;
pub mod number;
mod scalar;

pub use count::has_too_many_values;
pub use int64::int64_as_strings;
pub use scalar::{
    Scalar, decimal_from_json, expected, key_scalars, scalar_from_json, scalar_to_json,
};

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Writes padding, reads with or without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes as they stand in JSON.
pub fn bytes_to_text(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Bytes from JSON; `None` where the text is not base64.
pub fn bytes_from_text(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}
