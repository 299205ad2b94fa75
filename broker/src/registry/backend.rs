//! The registry of this broker behind the registry's REST API.

use std::ops::Deref;
use std::sync::Arc;

use weir_schema::registry::{Answer, Command, Registry, RegistryError};

use crate::broker::Broker;
use crate::http::registry::RegistryBackend;

pub struct BrokerRegistry(pub Arc<Broker>);

impl RegistryBackend for BrokerRegistry {
    fn read(&self) -> impl Deref<Target = Registry> {
        self.0.registry.fold().read()
    }

    async fn caught_up(&self) -> Result<(), RegistryError> {
        self.0.registry.caught_up(&self.0).await
    }

    async fn commit(&self, command: Command) -> Result<Answer, RegistryError> {
        self.0.registry.commit(&self.0, command).await
    }
}
