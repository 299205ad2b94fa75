//! Step: one flight, and what the tables say about it.

use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::data::FLIGHTS;
use super::{Demo, DemoError};

impl Demo {
    pub(super) async fn look_up(&mut self) -> Result<(), DemoError> {
        self.lines
            .step("Look rows up: who and what was the latest of all?");
        let flights = FLIGHTS.rows()?;
        let latest = flights
            .iter()
            .filter(|(_, row)| row["tailnum"].is_string())
            .max_by_key(|(_, row)| row["dep_delay"].as_i64())
            .ok_or_else(|| DemoError::Unexpected("no flight left late".to_owned()))?;
        let (name, flight) = latest;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (carrier, plane) = (text(&flight["carrier"]), text(&flight["tailnum"]));
        let (from, to) = (text(&flight["origin"]), text(&flight["dest"]));
        self.lines.say(&format!(
            "{name} from {from} to {to}, scheduled {}, left {} minutes late",
            text(&flight["scheduled"]),
            flight["dep_delay"]
        ));
        let mut took = Duration::ZERO;
        let wanted = [
            ("airlines", carrier.as_str()),
            ("airports", from.as_str()),
            ("airports", to.as_str()),
            ("planes", plane.as_str()),
        ];
        for (table, key) in wanted {
            let started = Instant::now();
            let row = self.http.row(table, key).await;
            took += started.elapsed();
            match row {
                Ok(row) => self.lines.say(&format!("{table} {row}")),
                // The source does not know every plane.
                Err(error) if error.code() == Some("no_such_row") => {
                    self.lines.say(&format!("{table} has no {key}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.lines.say(&format!(
            "four lookups over HTTP took {} µs together",
            took.as_micros()
        ));
        self.lines.weir(&format!("table get airports {from} {to}"));
        self.lines
            .curl(&format!("-s {{http}}/v1/tables/planes/rows/{plane}"));
        let keys = format!(r#"{{"keys":["{from}","{to}"],"columns":["name","lat","lon"]}}"#);
        self.lines.curl(&format!(
            "-s {{http}}/v1/tables/airports/lookup -d {}",
            super::lines::quoted(&keys)
        ));
        Ok(())
    }
}
