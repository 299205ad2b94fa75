//! A node's options: one set of names in the TOML file, in `WEIR_…` variables and as flags.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::options::{ClusterTls, Options, TlsMode};

/// What a node can be told; a flag wins over its variable, that over the file, that over the default.
#[derive(clap::Args, Deserialize, Default, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NodeArgs {
    /// Where everything is stored [default: ./weir-data]
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Kafka's broker id of this node [default: 0]
    #[arg(long, env = "WEIR_BROKER_ID", value_name = "ID")]
    broker_id: Option<i32>,
    /// Where Kafka clients connect; port 0 picks a free one [default: localhost:9092]
    #[arg(long, env = "WEIR_KAFKA_LISTEN", value_name = "HOST:PORT")]
    kafka_listen: Option<String>,
    /// The address that Kafka clients are told [default: the listen address]
    #[arg(long, env = "WEIR_KAFKA_ADVERTISE", value_name = "HOST:PORT")]
    kafka_advertise: Option<String>,
    /// Where the schema registry listens [default: localhost:8081]
    #[arg(long, env = "WEIR_REGISTRY_LISTEN", value_name = "HOST:PORT")]
    registry_listen: Option<String>,
    /// Where health, metrics and tables are served [default: localhost:8080]
    #[arg(long, env = "WEIR_HTTP_LISTEN", value_name = "HOST:PORT")]
    http_listen: Option<String>,
    /// Where other nodes connect, with --seeds [default: localhost:9093]
    #[arg(long, env = "WEIR_CLUSTER_LISTEN", value_name = "HOST:PORT")]
    cluster_listen: Option<String>,
    /// The address that other nodes are told [default: the listen address]
    #[arg(long, env = "WEIR_CLUSTER_ADVERTISE", value_name = "HOST:PORT")]
    cluster_advertise: Option<String>,
    /// The nodes that found a cluster together, the same list on each; a node with none of them runs alone
    #[arg(
        long,
        env = "WEIR_SEEDS",
        value_name = "HOST:PORT,…",
        value_delimiter = ','
    )]
    seeds: Option<Vec<String>>,
    /// The certificate that this node shows other nodes, with those that lead to its CA, PEM. With it, --cluster-tls-key and
    /// --cluster-tls-ca, nodes speak TLS with each other and take only nodes with a certificate of the CA. Files that are
    /// renewed are used by new connections
    #[arg(long, env = "WEIR_CLUSTER_TLS_CERT", value_name = "FILE")]
    cluster_tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM
    #[arg(long, env = "WEIR_CLUSTER_TLS_KEY", value_name = "FILE")]
    cluster_tls_key: Option<PathBuf>,
    /// The CAs of which certificates of nodes may be, PEM. Whoever has one of them is a node
    #[arg(long, env = "WEIR_CLUSTER_TLS_CA", value_name = "FILE")]
    cluster_tls_ca: Option<PathBuf>,
    /// A DNS name for which the certificates of all nodes must be, where the CA has others too, or nodes' addresses change
    /// [default: each for the host at which others dial it]
    #[arg(long, env = "WEIR_CLUSTER_TLS_NAME", value_name = "NAME")]
    cluster_tls_name: Option<String>,
    /// Whether nodes without TLS are refused, or let in and connected to while a cluster is changed over [default: require]
    #[arg(long, env = "WEIR_CLUSTER_TLS_MODE", value_name = "MODE")]
    cluster_tls_mode: Option<TlsMode>,
    /// The rack of this node
    #[arg(long, env = "WEIR_RACK")]
    rack: Option<String>,
    /// Data shards of a new cluster, for each node and replication factor [default: 2, and 1 without --seeds]
    #[arg(long, env = "WEIR_DATA_SHARDS", value_name = "COUNT")]
    data_shards: Option<u64>,
    /// Megabytes of recent records kept in memory for readers [default: 16]
    #[arg(long, env = "WEIR_TAIL_MB", value_name = "MB")]
    tail_mb: Option<usize>,
    /// Megabytes of memory for where records lie in the write-ahead log; past it they move to segment files early
    /// [default: 16]
    #[arg(long, env = "WEIR_WAL_INDEX_MB", value_name = "MB")]
    wal_index_mb: Option<usize>,
    /// Megabytes that the write-ahead log may take; producers are slowed down near it, and refused at it [default: 65536]
    #[arg(long, env = "WEIR_WAL_BUDGET_MB", value_name = "MB")]
    wal_budget_mb: Option<NonZeroU64>,
    /// Megabytes of the data directory's file system that records leave free [default: 256]
    #[arg(long, env = "WEIR_DISK_RESERVE_MB", value_name = "MB")]
    disk_reserve_mb: Option<u64>,
    /// Kafka broker settings of this node, as a table in the file
    #[arg(skip)]
    settings: BTreeMap<String, toml::Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {message}")]
    Parse { path: PathBuf, message: String },
}

impl NodeArgs {
    /// Reads a file of options.
    pub fn read(path: &Path) -> Result<NodeArgs, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    /// These options over `base`.
    pub fn over(self, base: Options) -> Options {
        let mut options = Options {
            data_dir: self.data_dir.unwrap_or(base.data_dir),
            broker_id: self.broker_id.unwrap_or(base.broker_id),
            kafka_listen: self.kafka_listen.unwrap_or(base.kafka_listen),
            kafka_advertise: self.kafka_advertise.or(base.kafka_advertise),
            registry_listen: self.registry_listen.unwrap_or(base.registry_listen),
            http_listen: self.http_listen.unwrap_or(base.http_listen),
            cluster_listen: self.cluster_listen.unwrap_or(base.cluster_listen),
            cluster_advertise: self.cluster_advertise.or(base.cluster_advertise),
            seeds: self.seeds.unwrap_or(base.seeds),
            cluster_tls: ClusterTls {
                cert: self.cluster_tls_cert.or(base.cluster_tls.cert),
                key: self.cluster_tls_key.or(base.cluster_tls.key),
                ca: self.cluster_tls_ca.or(base.cluster_tls.ca),
                name: self.cluster_tls_name.or(base.cluster_tls.name),
                mode: self.cluster_tls_mode.or(base.cluster_tls.mode),
            },
            rack: self.rack.or(base.rack),
            data_shards: self.data_shards.or(base.data_shards),
            tail_bytes: self.tail_mb.map_or(base.tail_bytes, |mb| mb << 20),
            wal_index_bytes: self
                .wal_index_mb
                .map_or(base.wal_index_bytes, |mb| mb << 20),
            wal_budget_bytes: megabytes(
                self.wal_budget_mb.map(NonZeroU64::get),
                base.wal_budget_bytes,
            ),
            disk_reserve_bytes: megabytes(self.disk_reserve_mb, base.disk_reserve_bytes),
            ..base
        };
        options.settings.extend(
            self.settings
                .into_iter()
                .map(|(name, value)| (name, printed(value))),
        );
        options
    }
}

fn megabytes(given: Option<u64>, base_bytes: u64) -> u64 {
    given.map_or(base_bytes, |mb| mb.saturating_mul(1 << 20))
}

/// A TOML value as Kafka's settings are written.
fn printed(value: toml::Value) -> String {
    match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NodeArgs, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file =
            parse("kafka-listen = '127.0.0.1:1'\nbroker-id = 7\n[settings]\n'num.partitions' = 3")
                .expect("legal");
        let flags = NodeArgs {
            kafka_listen: Some("127.0.0.1:2".into()),
            ..NodeArgs::default()
        };
        let options = flags.over(file.over(Options::default()));
        assert_eq!(options.kafka_listen, "127.0.0.1:2");
        assert_eq!(options.broker_id, 7);
        assert_eq!(options.settings["num.partitions"], "3");
        assert_eq!(options.http_listen, Options::default().http_listen);
    }

    #[test]
    fn an_unknown_name_in_the_file_is_an_error_that_lists_the_known_ones() {
        let error = parse("kafka-listn = 'x:1'")
            .expect_err("not a name")
            .to_string();
        assert!(
            error.contains("kafka-listn") && error.contains("kafka-listen"),
            "{error}"
        );
    }

    /// What every node of the example has as a default, and what the example says is one.
    #[test]
    fn the_example_file_says_the_defaults() {
        let example = include_str!("../../../deploy/weir.toml");
        parse(example).expect("legal as it is");
        let is_option = |line: &&str| {
            let name = line.split(" = ").next().unwrap_or_default();
            !name.contains(' ') && line.contains(" = ")
        };
        let commented: Vec<&str> = example
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(is_option)
            .collect();
        let (settings, options): (Vec<&str>, Vec<&str>) = commented
            .into_iter()
            .partition(|line| line.starts_with('"'));
        let text = format!(
            "{}\n[settings]\n{}",
            options.join("\n"),
            settings.join("\n")
        );
        let options = parse(&text)
            .expect("legal uncommented")
            .over(Options::default());
        crate::meta::broker_config::check_node(&options.settings).expect("legal settings");
        let with_seeds = Options {
            data_shards: None,
            ..options.clone()
        };
        let defaults = Options {
            // That of a node with seeds.
            data_shards: Some(with_seeds.data_shards()),
            // These have no default; the example shows their form.
            kafka_advertise: options.kafka_advertise.clone(),
            cluster_advertise: options.cluster_advertise.clone(),
            seeds: options.seeds.clone(),
            cluster_tls: options.cluster_tls.clone(),
            rack: options.rack.clone(),
            settings: options.settings.clone(),
            ..Options::default()
        };
        assert_eq!(format!("{options:?}"), format!("{defaults:?}"));
        assert!(options.kafka_advertise.is_some() && options.settings.len() == 3);
        assert!(options.cluster_advertise.is_some() && options.seeds.len() == 3);
        let ClusterTls { cert, key, ca, .. } = &options.cluster_tls;
        assert!(cert.is_some() && key.is_some() && ca.is_some());
    }
}
