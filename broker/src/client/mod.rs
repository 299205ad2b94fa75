//! A small Kafka client for the command line and the demo.
//!
//! It speaks one version of each API, the same as Kafka 4 speaks, over one connection to each broker that it needs.
//! One request is under way at a time: what it is for is one person's command, not throughput.

mod configs;
mod connection;
mod error;
mod groups;
mod http;
mod produce;
mod read;
mod registry;
mod schemas;
mod topics;

pub use error::{ClientError, HttpError};
pub use groups::{GroupDetails, GroupListing, GroupMember, GroupOffset};
pub use http::{HttpClient, Rejects, key_path};
pub use produce::{NewRecord, RecordRefusal};
pub use read::{EARLIEST, LATEST, ReadRecord, Start};
pub use registry::{Compatibility, Reference, RegisteredSchema, RegistryClient, SchemaText};
pub use schemas::{Decoded, RecordDecoder, SchemaCache, SubjectEncoder};
pub use topics::{NewTopic, PartitionInfo, TopicInfo};

use std::collections::HashMap;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};

use connection::Connection;

/// How long a broker may take over one request of this client.
const TIMEOUT_MS: i32 = 30_000;

/// A client of one cluster.
pub struct Client {
    bootstrap: String,
    first: Connection,
    /// Connections to brokers by `host:port`, made when they are needed.
    others: HashMap<String, Connection>,
    /// Addresses of the brokers by id, as the last metadata told.
    brokers: HashMap<i32, String>,
}

impl Client {
    /// Connects to one broker of the cluster, `HOST:PORT`; of a list the first that answers.
    pub async fn connect(bootstrap: &str) -> Result<Client, ClientError> {
        let mut failure = ClientError::NoAddress(bootstrap.to_owned());
        for address in bootstrap.split(',').map(str::trim) {
            let port = address.rsplit_once(':').map(|(_, port)| port.parse());
            let Some(Ok::<u16, _>(_)) = port else {
                return Err(ClientError::NoAddress(address.to_owned()));
            };
            match Connection::open(address).await {
                Ok(first) => {
                    return Ok(Client {
                        bootstrap: address.to_owned(),
                        first,
                        others: HashMap::new(),
                        brokers: HashMap::new(),
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Asks any broker.
    async fn any<R: Request>(
        &mut self,
        version: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        self.first.call(version, request).await
    }

    /// Asks the broker of this id.
    async fn broker<R: Request>(
        &mut self,
        id: i32,
        version: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let address = self.brokers.get(&id).cloned();
        let address = address.ok_or(ClientError::UnknownBroker(id))?;
        self.address(&address, version, request).await
    }

    /// Asks the broker at this address.
    async fn address<R: Request>(
        &mut self,
        address: &str,
        version: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        if address == self.bootstrap {
            return self.first.call(version, request).await;
        }
        if !self.others.contains_key(address) {
            let connection = Connection::open(address).await?;
            self.others.insert(address.to_owned(), connection);
        }
        let connection = self.others.get_mut(address).expect("just made");
        connection.call(version, request).await
    }

    /// Metadata of these topics, or of all.
    async fn metadata(&mut self, topics: Option<&[&str]>) -> Result<MetadataResponse, ClientError> {
        let topics = topics.map(|names| {
            let named =
                |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            names.iter().map(named).collect()
        });
        let request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(false);
        let response = self.any(12, request).await?;
        self.brokers = response
            .brokers
            .iter()
            .map(|b| (b.node_id.0, format!("{}:{}", b.host, b.port)))
            .collect();
        Ok(response)
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
