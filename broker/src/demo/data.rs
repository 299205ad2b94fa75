//! The packaged sample: CSV files, read as JSON rows of their Avro schemas.

use std::collections::HashMap;

use serde_json::{Map, Value};
use weir_log::Codec;
use weir_log::compression::decompress;

use super::DemoError;

/// More than any of the files unpacks to.
const MAX_BYTES: usize = 4 << 20;

/// One file of the sample, and the schema of its rows.
pub struct Dataset {
    /// The topic that it goes to.
    pub topic: &'static str,
    pub schema: &'static str,
    csv: &'static [u8],
    /// The column that is the record's key and stands in no value.
    key: &'static str,
}

pub const FLIGHTS: Dataset = Dataset {
    topic: "flights",
    schema: include_str!("../../../demo/schemas/flights.avsc"),
    csv: include_bytes!("../../../demo/flights.csv.gz"),
    key: "key",
};
pub const PLANES: Dataset = Dataset {
    topic: "planes",
    schema: include_str!("../../../demo/schemas/planes.avsc"),
    csv: include_bytes!("../../../demo/planes.csv.gz"),
    key: "tailnum",
};
pub const AIRPORTS: Dataset = Dataset {
    topic: "airports",
    schema: include_str!("../../../demo/schemas/airports.avsc"),
    csv: include_bytes!("../../../demo/airports.csv.gz"),
    key: "faa",
};
pub const AIRLINES: Dataset = Dataset {
    topic: "airlines",
    schema: include_str!("../../../demo/schemas/airlines.avsc"),
    csv: include_bytes!("../../../demo/airlines.csv.gz"),
    key: "carrier",
};
pub const ALL: [Dataset; 4] = [FLIGHTS, AIRLINES, AIRPORTS, PLANES];

impl Dataset {
    /// Key and value of each row, in the file's order.
    pub fn rows(&self) -> Result<Vec<(String, Value)>, DemoError> {
        let bad = |reason: String| DemoError::Data {
            file: self.topic,
            reason,
        };
        let text = decompress(Codec::Gzip, self.csv, MAX_BYTES);
        let text = text.map_err(|error| bad(error.to_string()))?;
        let text = String::from_utf8(text).map_err(|error| bad(error.to_string()))?;
        let schema: Value =
            serde_json::from_str(self.schema).map_err(|error| bad(error.to_string()))?;
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let mut rows = Vec::new();
        for line in lines {
            // No value in these files has a comma or a quote in it.
            let mut row: HashMap<&str, String> = names
                .iter()
                .copied()
                .zip(line.split(',').map(str::to_owned))
                .collect();
            if self.topic == FLIGHTS.topic {
                derive(&mut row).ok_or_else(|| bad(format!("{line} has no time")))?;
            }
            let key = row.get(self.key).cloned();
            let key = key.ok_or_else(|| bad(format!("{line} has no {}", self.key)))?;
            let value = typed(&schema, &row).ok_or_else(|| bad(format!("{line} does not fit")))?;
            rows.push((key, value));
        }
        Ok(rows)
    }
}

/// What a flight's row does not say directly: its key, when it was to leave, and whether it did.
fn derive(row: &mut HashMap<&str, String>) -> Option<()> {
    // The hour is in UTC; the minutes are those of the local time.
    let hour = row.get("time_hour")?.get(..13)?;
    let minute = row.get("sched_dep_time")?.parse::<u32>().ok()? % 100;
    let scheduled = format!("{hour}:{minute:02}:00Z");
    let cancelled = row.get("dep_time")?.is_empty().to_string();
    let key = format!("{}{}", row.get("carrier")?, row.get("flight")?);
    row.insert("scheduled", scheduled);
    row.insert("cancelled", cancelled);
    row.insert("key", key);
    Some(())
}

/// The row as the schema's fields and types have it.
fn typed(schema: &Value, row: &HashMap<&str, String>) -> Option<Value> {
    let mut typed = Map::new();
    for field in schema["fields"].as_array()? {
        let name = field["name"].as_str()?;
        let text = row.get(name)?;
        let (nullable, base) = match &field["type"] {
            Value::Array(branches) => (true, branches.get(1)?),
            base => (false, base),
        };
        let value = match base.as_str() {
            _ if text.is_empty() && nullable => Value::Null,
            Some("int") => text.parse::<i32>().ok()?.into(),
            Some("double") => text.parse::<f64>().ok()?.into(),
            Some("boolean") => text.parse::<bool>().ok()?.into(),
            // Text, and times, which JSON has as text.
            _ => text.as_str().into(),
        };
        typed.insert(name.to_owned(), value);
    }
    Some(Value::Object(typed))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use weir_schema::SchemaType;
    use weir_schema::codec::compile;
    use weir_schema::framing::{Indexes, Payload};

    #[test]
    fn every_row_of_the_sample_fits_its_schema() {
        for dataset in ALL {
            let codec = compile(SchemaType::Avro, dataset.schema, &[]).expect("a schema");
            let rows = dataset.rows().expect("rows");
            for (key, value) in &rows {
                let payload = codec.from_json(Indexes::FIRST, value);
                let payload = payload.unwrap_or_else(|error| panic!("{key}: {error}"));
                let back = codec
                    .to_json(Payload::new(&payload))
                    .expect("what was written");
                assert_eq!(back["name"], value["name"], "{key}");
            }
        }
    }

    #[test]
    fn keys_of_tables_are_unique_and_flights_are_as_many_as_documented() {
        for (dataset, count) in [(PLANES, 1_203), (AIRPORTS, 1_458), (AIRLINES, 16)] {
            let rows = dataset.rows().expect("rows");
            let keys: HashSet<&String> = rows.iter().map(|(key, _)| key).collect();
            assert_eq!(
                (rows.len(), keys.len()),
                (count, count),
                "{}",
                dataset.topic
            );
        }
        let flights = FLIGHTS.rows().expect("rows");
        let cancelled = flights
            .iter()
            .filter(|(_, row)| row["cancelled"] == true)
            .count();
        assert_eq!((flights.len(), cancelled), (3_375, 895));
        assert_eq!(flights[0].0, "US1117");
        assert_eq!(flights[0].1["scheduled"], "2013-02-07T10:00:00Z");
    }
}
