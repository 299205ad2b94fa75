//! What a node is told at its start: addresses, directories, budgets. What all nodes must agree on is metadata.

use std::path::PathBuf;

use serde::Deserialize;

/// One node's own configuration, whatever source each value came from.
#[derive(Clone, Debug)]
pub struct Options {
    pub data_dir: PathBuf,
    /// Kafka's broker id.
    pub broker_id: i32,
    /// HOST:PORT; `localhost` is both loopback addresses; port 0 picks one.
    pub kafka_listen: String,
    /// HOST:PORT that clients are told; without it the listen address, for a wildcard the address they came to.
    pub kafka_advertise: Option<String>,
    pub registry_listen: String,
    pub http_listen: String,
    /// HOST:PORT where other nodes connect; listened on with seeds only.
    pub cluster_listen: String,
    /// HOST:PORT that other nodes are told; without it the listen address.
    pub cluster_advertise: Option<String>,
    /// HOST:PORT of the nodes that found the cluster together, this one perhaps among them. None: this node runs alone.
    pub seeds: Vec<String>,
    pub cluster_tls: ClusterTls,
    pub rack: Option<String>,
    /// Data shards of a new cluster, for each node and replication factor; `None` leaves it to [`Options::data_shards`].
    pub data_shards: Option<u64>,
    /// Bytes of recent records kept in memory for readers, over all shards.
    pub tail_bytes: usize,
    /// Memory for where records lie in the WAL; past it they move to segments early.
    pub wal_index_bytes: usize,
    pub wal_file_bytes: u32,
    /// Bytes that the WAL may take; near it producers are slowed down, at it records are refused.
    pub wal_budget_bytes: u64,
    /// Bytes of the data directory's file system that records leave free.
    pub disk_reserve_bytes: u64,
    /// Bytes of requests that all connections may hold at once.
    pub request_bytes: usize,
    /// Broker settings of this node, by Kafka's names.
    pub settings: std::collections::BTreeMap<String, String>,
}

/// TLS between nodes: none, or at least a certificate, its key and a CA, as files in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterTls {
    /// This node's certificate, and those that lead to its CA.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The CAs of which other nodes' certificates may be.
    pub ca: Option<PathBuf>,
    /// A DNS name for which the certificates of all nodes are; without it each is for its host.
    pub name: Option<String>,
    pub mode: Option<TlsMode>,
}

/// What becomes of nodes without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// They are refused.
    #[default]
    Require,
    /// They are let in and connected to, while a cluster is changed over.
    Prefer,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            data_dir: PathBuf::from("weir-data"),
            broker_id: 0,
            kafka_listen: "localhost:9092".into(),
            kafka_advertise: None,
            registry_listen: "localhost:8081".into(),
            http_listen: "localhost:8080".into(),
            cluster_listen: "localhost:9093".into(),
            cluster_advertise: None,
            seeds: Vec::new(),
            cluster_tls: ClusterTls::default(),
            rack: None,
            data_shards: None,
            tail_bytes: 16 << 20,
            wal_index_bytes: 16 << 20,
            wal_file_bytes: 256 << 20,
            wal_budget_bytes: 64 << 30,
            // As much as the log's next file takes.
            disk_reserve_bytes: 256 << 20,
            request_bytes: 256 << 20,
            settings: std::collections::BTreeMap::new(),
        }
    }
}

impl Options {
    /// Two let a node lead some partitions and follow in others. Of one that runs alone they only take turns in its one
    /// write-ahead log, and a record waits for the other's.
    pub fn data_shards(&self) -> u64 {
        let usual = if self.seeds.is_empty() { 1 } else { 2 };
        self.data_shards.unwrap_or(usual)
    }
}

/// The host of `HOST:PORT`.
pub fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or("", |(host, _)| host);
    host.trim_matches(['[', ']'])
}

impl Options {
    /// Adds to the broker settings what the node is: its id, its addresses, its directory. Tools read them as settings.
    ///
    /// `kafka_port`: the port that is listened on, which the options may have left open.
    pub fn describe_node(&mut self, kafka_port: u16) {
        let host = self
            .kafka_listen
            .rsplit_once(':')
            .map_or("", |(host, _)| host);
        let listener = format!("PLAINTEXT://{host}:{kafka_port}");
        let advertised = match &self.kafka_advertise {
            Some(address) => format!("PLAINTEXT://{address}"),
            None => listener.clone(),
        };
        let facts = [
            ("broker.id", Some(self.broker_id.to_string())),
            ("node.id", Some(self.broker_id.to_string())),
            ("process.roles", Some("broker,controller".to_owned())),
            ("broker.rack", self.rack.clone()),
            ("listeners", Some(listener)),
            ("advertised.listeners", Some(advertised)),
            ("log.dirs", Some(self.data_dir.display().to_string())),
        ];
        for (name, value) in facts {
            if let Some(value) = value {
                self.settings.insert(name.to_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_is_can_be_read_as_settings() {
        let mut options = Options {
            kafka_listen: "[::1]:0".into(),
            ..Options::default()
        };
        options.describe_node(4711);
        assert_eq!(options.settings["listeners"], "PLAINTEXT://[::1]:4711");
        assert_eq!(
            options.settings["advertised.listeners"],
            "PLAINTEXT://[::1]:4711"
        );
        assert_eq!(options.settings["node.id"], "0");
        crate::meta::broker_config::check_node(&options.settings).unwrap();
    }
}
