//! Step: airlines, airports and planes, as topics with a primary key.

use tokio::time::Instant;

use super::data::{AIRLINES, AIRPORTS, PLANES};
use super::{Demo, DemoError};

impl Demo {
    pub(super) async fn load_tables(&mut self) -> Result<(), DemoError> {
        self.lines
            .step("Load airlines, airports and planes as tables");
        for dataset in [AIRLINES, AIRPORTS, PLANES] {
            let settings = [
                ("table.mode", "primary-key"),
                ("table.key.format", "string"),
                ("table.value.format", "schema"),
            ];
            self.create(dataset.topic, &settings).await?;
            let started = Instant::now();
            let count = self.write(dataset.topic, &dataset.rows()?).await?;
            let took = started.elapsed().as_millis();
            self.lines.say(&format!(
                "{count} rows put into table {} in {took} ms",
                dataset.topic
            ));
        }
        let write = "echo '{\"name\":\"JetBlue Airways\"}' | ";
        self.lines.piped(write, "topic produce airlines --key B6");
        self.lines.weir("table list");
        self.lines.weir("table describe airports");
        self.lines.curl("-s {http}/v1/tables/airports");
        let kcat = r"-C -t airlines -e -q -f '%k in partition %p: %S bytes of Avro\n'";
        self.lines.kcat("", kcat);
        Ok(())
    }
}
