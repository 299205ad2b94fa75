//! Which cluster a command talks to, and how it prints.

use super::CliError;
use super::output::Format;
use crate::client::{Client, HttpClient, RegistryClient};

pub const BOOTSTRAP: &str = "localhost:9092";
pub const REGISTRY: &str = "http://localhost:8081";
pub const HTTP: &str = "http://localhost:8080";

/// The addresses of a cluster. The defaults are those of `weir dev`.
#[derive(clap::Args, Debug, Clone)]
#[command(next_help_heading = "Cluster and output")]
pub struct Target {
    /// The Kafka address; of several, the first that answers
    #[arg(
        long,
        global = true,
        env = "WEIR_BOOTSTRAP",
        value_name = "HOST:PORT",
        default_value = BOOTSTRAP
    )]
    bootstrap: String,
    /// The schema registry
    #[arg(
        long,
        global = true,
        env = "WEIR_REGISTRY",
        value_name = "URL",
        default_value = REGISTRY
    )]
    registry: String,
    /// The HTTP port, where tables, refusals and metrics are
    #[arg(
        long,
        global = true,
        env = "WEIR_HTTP",
        value_name = "URL",
        default_value = HTTP
    )]
    http: String,
    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

impl Target {
    pub async fn client(&self) -> Result<Client, CliError> {
        Ok(Client::connect(&self.bootstrap).await?)
    }

    pub fn registry(&self) -> Result<RegistryClient, CliError> {
        Ok(RegistryClient::new(&self.registry)?)
    }

    pub fn http(&self) -> Result<HttpClient, CliError> {
        Ok(HttpClient::new(&self.http)?)
    }
}
