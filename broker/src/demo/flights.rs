//! Step: the flights, as a topic that takes nothing but flights.

use tokio::time::Instant;

use super::data::FLIGHTS;
use super::lines::quoted;
use super::{Demo, DemoError};
use crate::client::LATEST;

impl Demo {
    pub(super) async fn stream_flights(&mut self) -> Result<(), DemoError> {
        self.lines.step("Stream the flights");
        self.create("flights", &[("schema.validation.value", "full")])
            .await?;
        let flights = FLIGHTS.rows()?;
        let there: i64 = self.client.offsets("flights", LATEST).await?.values().sum();
        if usize::try_from(there).is_ok_and(|there| there >= flights.len()) {
            self.lines.say(&format!(
                "topic flights has {there} records from an earlier run"
            ));
        } else {
            let started = Instant::now();
            let count = self.write("flights", &flights).await?;
            self.lines.say(&format!(
                "{count} flights are in topic flights, fsynced, in {} ms; the broker checks each against its schema",
                started.elapsed().as_millis()
            ));
        }
        let cancelled = flights
            .iter()
            .filter(|(_, row)| row["cancelled"] == true)
            .count();
        self.lines.say(&format!(
            "{cancelled} of them were cancelled; record time is now, event time is the column `scheduled`"
        ));
        self.lines.weir("topic describe flights");
        self.lines.weir("topic consume flights -n 3");
        if let Some((key, flight)) = flights.first() {
            let write = format!("echo {} | ", quoted(&flight.to_string()));
            let produce = format!("topic produce flights --key {key}");
            self.lines.piped(&write, &produce);
        }
        self.lines.kcat(
            "",
            r"-C -t flights -c 3 -f '%t/%p at %o, key %k: %S bytes of Avro\n'",
        );
        Ok(())
    }
}
