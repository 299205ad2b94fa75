//! What the API needs of the registry behind it.

use std::future::Future;
use std::ops::Deref;

use weir_schema::registry::{Answer, Command, Registry, RegistryError};

/// A registry that can be read here and changed through its log.
pub trait RegistryBackend: Send + Sync + 'static {
    /// The state as applied here. Held only while a request looks at it, never across an `await`.
    fn read(&self) -> impl Deref<Target = Registry>;

    /// Returns once all that was acknowledged anywhere before the call is applied here.
    fn caught_up(&self) -> impl Future<Output = Result<(), RegistryError>> + Send;

    /// Decides the command on the latest state, appends what was decided, and answers when it is
    /// applied here. Commands are decided one after another.
    fn commit(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Answer, RegistryError>> + Send;
}
