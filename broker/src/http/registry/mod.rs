//! The schema registry's REST API, Confluent's by path, parameters, bodies and codes.
//!
//! One table of paths (`routes`) serves the plain API and the same below `/contexts/{context}`.
//! Whatever is not in it answers 404 in JSON: clients probe for newer paths and go on when they are
//! not there. Queries are read leniently, as the JVM's registry reads them.

mod backend;
mod call;
mod compatibility;
mod error;
mod query;
mod reply;
mod routes;
mod schemas;
mod server;
mod settings;
mod shapes;
mod subjects;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;

pub use self::backend::RegistryBackend;
use self::call::Call;
use self::error::Refusal;
use self::routes::Plan;

/// A schema may take a megabyte, and its escaped text in JSON a few times as much.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the API says of the server, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub cluster_id: String,
    /// `error_code` of an incompatible schema: Confluent's releases said 409 and now say 40901.
    pub incompatible_code: u32,
}

impl Options {
    pub fn new(cluster_id: impl Into<String>) -> Options {
        Options {
            cluster_id: cluster_id.into(),
            incompatible_code: 409,
        }
    }
}

/// The whole API over a registry.
pub fn router<B: RegistryBackend>(backend: Arc<B>, options: Options) -> Router {
    let edge = Arc::new(Edge { backend, options });
    Router::new()
        .fallback(serve::<B>)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(edge)
}

/// Looks something up in the registry.
type Look<T> = Box<dyn FnOnce(&weir_schema::registry::Registry) -> Result<T, Refusal> + Send>;

struct Edge<B> {
    backend: Arc<B>,
    options: Options,
}

async fn serve<B: RegistryBackend>(State(edge): State<Arc<Edge<B>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let media = reply::media_type(&parts.headers);
    let answered = match read_body(&parts, body).await {
        Ok(body) => edge.answer(&parts, body).await,
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(reply) => reply.into_response(media),
        Err(refusal) => refusal.reply(&edge.options).into_response(media),
    }
}

async fn read_body(parts: &Parts, body: Body) -> Result<Bytes, Refusal> {
    let request = Request::from_parts(parts.clone(), body);
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| Refusal::unreadable_body(&rejection))
}

impl<B: RegistryBackend> Edge<B> {
    async fn answer(&self, parts: &Parts, body: Bytes) -> Result<reply::Reply, Refusal> {
        let options = self.options.clone();
        let call = Call::new(parts, body, options).ok_or(Refusal::NoSuchPath)?;
        match routes::plan(call)? {
            Plan::Answer(reply) => Ok(reply),
            Plan::Read(read) => {
                self.backend.caught_up().await?;
                self.with_registry(read).await
            }
            Plan::Change(change) => {
                let command = self.with_registry(change.command).await?;
                let answer = self.backend.commit(command).await?;
                Ok((change.render)(answer))
            }
        }
    }

    /// Looks at the registry off the runtime's threads, since looking can mean parsing schemas.
    async fn with_registry<T: Send + 'static>(&self, look: Look<T>) -> Result<T, Refusal> {
        let backend = self.backend.clone();
        let looked = tokio::task::spawn_blocking(move || look(&backend.read()));
        looked
            .await
            .unwrap_or_else(|error| Err(Refusal::broken(&error)))
    }
}
