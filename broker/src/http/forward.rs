//! Requests that another node has to answer: a write of a row whose partition it leads, a change of the registry.
//!
//! The node that was asked sends the whole request over its connection to the other one and passes the answer on, so
//! that a client need not know who leads. A request is passed on once. A node that runs alone has none of this.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;
use weir_raft::NodeId;

use crate::broker::Broker;
use crate::cluster::Peers;
use crate::cluster::message::{Answer, HttpRequest, HttpResponse, Question, Surface};
use crate::meta::Meta;

/// The largest body of any request, with some to spare: which requests take less, their handlers know.
const MAX_BODY_BYTES: usize = 17 << 20;
/// How long the other node may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A handler's word, in its response's extensions, that another node has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere(pub NodeId);

/// In the extensions of a request that another node has passed on.
#[derive(Debug, Clone, Copy)]
struct PassedOn;

/// Who has to answer, as far as the method tells.
type ByMethod = Box<dyn Fn(&Method) -> Option<NodeId> + Send + Sync>;

struct Forward {
    surface: Surface,
    peers: Peers,
    meta: Arc<Meta>,
    by_method: ByMethod,
}

/// The router, with requests passed on that are another node's.
pub fn passing_on(
    router: Router,
    surface: Surface,
    broker: &Broker,
    by_method: ByMethod,
) -> Router {
    let Broker { peers, meta, .. } = broker;
    if !peers.possible() {
        return router;
    }
    let forward = Forward {
        surface,
        peers: peers.clone(),
        meta: meta.clone(),
        by_method,
    };
    router.layer(middleware::from_fn_with_state(Arc::new(forward), pass_on))
}

async fn pass_on(State(forward): State<Arc<Forward>>, request: Request, next: Next) -> Response {
    if request.extensions().get::<PassedOn>().is_some() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let head = HttpRequest {
        revision: forward.meta.read().revision(),
        surface: forward.surface,
        method: parts.method.to_string(),
        uri: parts.uri.to_string(),
        headers: text_headers(&parts.headers),
    };
    let mut to = (forward.by_method)(&parts.method);
    let mut here = None;
    if to.is_none() {
        let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let response = next.clone().run(request).await;
        match response.extensions().get::<Elsewhere>() {
            Some(Elsewhere(node)) => to = Some(*node),
            None => return response,
        }
        here = Some(response);
    }
    let node = to.expect("just set");
    let question = Question::Http(head);
    let asked = forward.peers.ask(node, &question, &body);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok((Answer::Http(head), body))) => response(head, body),
        failed => {
            tracing::debug!(%node, ?failed, "a request could not be passed on");
            match here {
                Some(response) => response,
                None => next.run(Request::from_parts(parts, Body::from(body))).await,
            }
        }
    }
}

fn text_headers(headers: &axum::http::HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

fn response(head: HttpResponse, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(head.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in head.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The routers of this node, for requests that others pass on.
#[derive(Clone)]
pub struct Surfaces {
    pub registry: Router,
    pub http: Router,
}

impl Surfaces {
    /// Answers a request here; the error says why it is none.
    pub async fn answer(
        &self,
        head: HttpRequest,
        body: Bytes,
    ) -> Result<(HttpResponse, Bytes), String> {
        let mut request = Request::builder()
            .method(head.method.as_str())
            .uri(&head.uri)
            .extension(PassedOn);
        for (name, value) in &head.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body));
        let request = request.map_err(|error| error.to_string())?;
        let router = match head.surface {
            Surface::Registry => self.registry.clone(),
            Surface::Http => self.http.clone(),
        };
        let response = router.oneshot(request).await;
        let response = response.unwrap_or_else(|never| match never {});
        let head = HttpResponse {
            status: response.status().as_u16(),
            headers: text_headers(response.headers()),
        };
        let body = to_bytes(response.into_body(), usize::MAX).await;
        Ok((head, body.map_err(|error| error.to_string())?))
    }
}
