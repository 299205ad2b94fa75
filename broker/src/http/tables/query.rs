//! Keys in paths and the parameters of a query, as they come and before anything is decoded.

use arrow_schema::Fields;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use weir_tables::path::value_of_text;

use super::ApiError;

/// The parts of a key in a path: split at each literal `,`, then decoded.
pub fn key_parts(raw: &str) -> Result<Vec<String>, ApiError> {
    let part = |part: &str| {
        let decoded = percent_decode_str(part).decode_utf8();
        decoded
            .map(String::from)
            .map_err(|_| ApiError::bad_key_text(format!("`{part}` is not UTF-8")))
    };
    raw.split(',').map(part).collect()
}

/// The key's columns that the parts stand for: all of them, or with `prefix` the first ones.
pub fn key_values(
    columns: &Fields,
    parts: &[String],
    prefix: bool,
) -> Result<Vec<Value>, ApiError> {
    if parts.len() > columns.len() || !prefix && parts.len() < columns.len() {
        let names: Vec<&str> = columns
            .iter()
            .map(|column| column.name().as_str())
            .collect();
        let found = format!(
            "the key has {} parts, and its columns are ({})",
            parts.len(),
            names.join(", ")
        );
        return Err(ApiError::bad_key_text(found));
    }
    let value = |(column, part): (&arrow_schema::FieldRef, &String)| {
        value_of_text(column, part).map_err(|error| ApiError::bad_key(&error))
    };
    columns.iter().zip(parts).map(value).collect()
}

/// The parameters of a query. Those of a call are taken one by one; what is left is an error.
pub struct Query<'q> {
    parameters: Vec<(&'q str, &'q str)>,
}

impl<'q> Query<'q> {
    pub fn new(raw: Option<&'q str>) -> Self {
        let pairs = raw
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        Self {
            parameters: pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .collect(),
        }
    }

    /// A parameter as it came.
    pub fn take_raw(&mut self, name: &str) -> Option<&'q str> {
        let at = self
            .parameters
            .iter()
            .position(|(given, _)| *given == name)?;
        Some(self.parameters.remove(at).1)
    }

    /// A parameter, decoded.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        self.take_raw(name).map(|raw| decode(name, raw)).transpose()
    }

    /// `columns=a,b`: a list of names, split before it is decoded.
    pub fn take_columns(&mut self) -> Result<Option<Vec<String>>, ApiError> {
        let Some(raw) = self.take_raw("columns") else {
            return Ok(None);
        };
        let names = raw.split(',').filter(|name| !name.is_empty());
        names
            .map(|name| decode("columns", name))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// `int64=string` or `int64=number`.
    pub fn take_int64_as_strings(&mut self) -> Result<bool, ApiError> {
        match self.take_raw("int64") {
            Some("string") => Ok(true),
            Some("number") | None => Ok(false),
            Some(other) => Err(ApiError::bad_query(
                format!("int64 is `{other}`"),
                "int64 takes `number` or `string`",
            )),
        }
    }

    /// Everything must have been taken; `known` are the call's parameters.
    pub fn finish(self, known: &[&str]) -> Result<(), ApiError> {
        match self.parameters.first() {
            None => Ok(()),
            Some((name, _)) => {
                let hint = match known {
                    [] => "this call has no parameters".to_owned(),
                    known => format!("the parameters are {}", known.join(", ")),
                };
                Err(ApiError::bad_query(
                    format!("there is no parameter `{name}`"),
                    hint,
                ))
            }
        }
    }
}

fn decode(name: &str, raw: &str) -> Result<String, ApiError> {
    let spaced = raw.replace('+', "%20");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(String::from);
    decoded.map_err(|_| ApiError::bad_query(format!("{name} is not UTF-8"), "percent-encode UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_split_at_its_literal_commas() {
        assert_eq!(
            key_parts("UA,15%2C45,a%2Fb").unwrap(),
            ["UA", "15,45", "a/b"]
        );
        assert_eq!(key_parts("Z%C3%BCrich").unwrap(), ["Zürich"]);
        assert_eq!(
            key_parts("a+b").unwrap(),
            ["a+b"],
            "a plus is a plus in a path"
        );
        assert_eq!(key_parts("%ff").unwrap_err().code, "bad_key");
    }

    #[test]
    fn parameters_that_nobody_took_are_refused() {
        let mut query = Query::new(Some("limit=3&prefx=a%20b+c"));
        assert_eq!(query.take("limit").unwrap().as_deref(), Some("3"));
        assert_eq!(query.take("prefix").unwrap(), None);
        let refused = query.finish(&["limit", "prefix"]).unwrap_err();
        assert_eq!(refused.message, "there is no parameter `prefx`");
        assert_eq!(refused.hint, "the parameters are limit, prefix");
    }

    #[test]
    fn columns_are_a_list() {
        let mut query = Query::new(Some("columns=a,b%2Cc&int64=string"));
        assert_eq!(query.take_columns().unwrap().unwrap(), ["a", "b,c"]);
        assert!(query.take_int64_as_strings().unwrap());
        assert!(Query::new(Some("int64=1")).take_int64_as_strings().is_err());
    }
}
