//! Steps: rows of the airports are corrected and deleted. The mistakes are the source's own.

use serde_json::{Value, json};

use super::lines::quoted;
use super::{Demo, DemoError};

/// Railway stations that the source has among its airports.
const STATIONS: [&str; 19] = [
    "CWT", "FBG", "UCA", "WIH", "XZK", "ZBP", "ZFV", "ZRA", "ZRD", "ZRP", "ZRT", "ZRZ", "ZSF",
    "ZTF", "ZTY", "ZVE", "ZWI", "ZWU", "ZYP",
];

/// Airports that the source puts into China, and beyond the polar circle: what is right.
fn corrections() -> [(&'static str, Value); 3] {
    [
        (
            "DVT",
            json!({"lat": 33.6883, "lon": -112.0826, "tz": -7, "dst": "N", "tzone": "America/Phoenix"}),
        ),
        (
            "EEN",
            json!({"lat": 42.898333, "lon": -72.270833, "tzone": "America/New_York"}),
        ),
        (
            "MYF",
            json!({"lat": 32.8157, "lon": -117.1396, "tz": -8, "tzone": "America/Los_Angeles"}),
        ),
    ]
}

impl Demo {
    pub(super) async fn correct_airports(&mut self) -> Result<(), DemoError> {
        self.lines
            .step("Correct rows: three airports are on the wrong side of the globe");
        let mut last = None;
        for (key, changes) in corrections() {
            let mut row = self.http.row("airports", key).await?;
            let before = format!("{}, {}", row["lat"], row["lon"]);
            merge(&mut row, &changes);
            let written = self.http.put_row("airports", key, &row).await?;
            self.lines.say(&format!(
                "{key} {}: from {before} to {}, {}; partition {}, offset {}",
                row["name"].as_str().unwrap_or_default(),
                row["lat"],
                row["lon"],
                written["partition"],
                written["offset"]
            ));
            // The key stands in the path.
            if let Some(columns) = row.as_object_mut() {
                columns.shift_remove("key");
            }
            last = Some((key, row));
        }
        if let Some((key, row)) = last {
            let row = quoted(&row.to_string());
            self.lines.weir(&format!("table put airports {key} {row}"));
            self.lines.curl(&format!(
                "-s -X PUT {{http}}/v1/tables/airports/rows/{key} -d {row}"
            ));
        }
        Ok(())
    }

    pub(super) async fn delete_stations(&mut self) -> Result<(), DemoError> {
        self.lines
            .step("Delete rows: railway stations are no airports");
        for key in STATIONS {
            self.http.delete_row("airports", key).await?;
        }
        let table = self.http.table("airports").await?;
        self.lines.say(&format!(
            "{} stations are gone; airports has {} rows, and a lookup of ZYP finds none",
            STATIONS.len(),
            table["row_count"]
        ));
        self.must_be_gone("ZYP").await?;
        self.lines.weir("table delete airports ZYP");
        self.lines
            .curl("-s -X DELETE {http}/v1/tables/airports/rows/ZYP");
        let kcat = "-P -t airports -K: -Z -X partitioner=murmur2_random";
        self.lines.kcat("echo 'ZYP:' | ", kcat);
        Ok(())
    }

    async fn must_be_gone(&self, key: &str) -> Result<(), DemoError> {
        match self.http.row("airports", key).await {
            Err(error) if error.code() == Some("no_such_row") => Ok(()),
            Err(error) => Err(error.into()),
            Ok(row) => Err(DemoError::Unexpected(format!(
                "{key} was deleted and is there: {row}"
            ))),
        }
    }
}

fn merge(row: &mut Value, changes: &Value) {
    let changes = changes.as_object().into_iter().flatten();
    for (name, value) in changes {
        row[name] = value.clone();
    }
}
