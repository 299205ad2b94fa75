//! The demo: real flights, as a client of the broker that it runs in would load and read them.
//!
//! Everything goes over TCP through the same edges as any client. Each step prints what happened, then lines that
//! repeat it.

mod airports;
mod data;
mod flights;
mod lines;
mod lookups;
mod metrics;
mod refusal;
mod schemas;
mod tables;

use std::sync::Arc;

pub use lines::Lines;

use crate::client::{
    Client, ClientError, HttpClient, HttpError, NewRecord, RegistryClient, SchemaCache,
};
use crate::clock::Clock;

/// Where the broker is that the demo is shown on.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// HOST:PORT
    pub kafka: String,
    /// URLs
    pub registry: String,
    pub http: String,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the packaged {file} is not what was packaged: {reason}")]
    Data { file: &'static str, reason: String },
    #[error("{0}")]
    Unexpected(String),
}

/// What every step works with.
struct Demo {
    client: Client,
    http: HttpClient,
    schemas: SchemaCache,
    clock: Arc<dyn Clock>,
    lines: Lines,
    /// The Kafka address, for tools that are run beside.
    kafka: String,
}

/// Records that one produce call carries.
const BATCH_RECORDS: usize = 500;

/// Runs all steps. A second run on the same data finds what the first has left and shows it again.
pub async fn run(endpoints: &Endpoints, clock: Arc<dyn Clock>) -> Result<(), DemoError> {
    let mut demo = Demo {
        client: Client::connect(&endpoints.kafka).await?,
        http: HttpClient::new(&endpoints.http)?,
        schemas: SchemaCache::new(RegistryClient::new(&endpoints.registry)?),
        clock,
        lines: Lines::new(endpoints),
        kafka: endpoints.kafka.clone(),
    };
    println!();
    println!("Flights that left New York from 7 to 10 February 2013, the days around a blizzard.");
    println!("Each step prints the lines that repeat it; run them in another terminal.");
    demo.register_schemas().await?;
    demo.stream_flights().await?;
    demo.load_tables().await?;
    demo.correct_airports().await?;
    demo.delete_stations().await?;
    demo.look_up().await?;
    demo.show_refusal().await?;
    demo.show_metrics().await?;
    println!();
    println!("That was the demo.");
    Ok(())
}

impl Demo {
    /// Writes records of `(key, value as JSON)` under the subject's schema; returns how many.
    async fn write(
        &mut self,
        topic: &str,
        rows: &[(String, serde_json::Value)],
    ) -> Result<usize, DemoError> {
        let subject = format!("{topic}-value");
        let encoder = self.schemas.encoder(&subject).await?;
        let encoder = encoder
            .ok_or_else(|| DemoError::Unexpected(format!("{subject} has no schema any more")))?;
        let mut records = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let value = encoder.encode(value).map_err(DemoError::Unexpected)?;
            records.push(NewRecord {
                key: Some(key.clone().into_bytes()),
                value: Some(value),
                partition: None,
            });
        }
        let topic = self.client.topic(topic).await?;
        for batch in records.chunks(BATCH_RECORDS) {
            let now_ms = self.clock.now_ms();
            self.client.produce(&topic, batch, now_ms).await?;
        }
        Ok(records.len())
    }

    /// Creates a topic where there is none of that name; tells whether it did.
    async fn create(&mut self, name: &str, settings: &[(&str, &str)]) -> Result<bool, DemoError> {
        let owned: Vec<(String, String)> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        match self.client.topic(name).await {
            Ok(_) => return Ok(false),
            Err(ClientError::NoTopic(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // Not a power of two: those hide that clients disagree on where a key belongs.
        let topic = crate::client::NewTopic {
            name,
            partitions: Some(3),
            replication_factor: None,
            settings: &owned,
        };
        self.client.create_topic(&topic).await?;
        Ok(true)
    }
}
