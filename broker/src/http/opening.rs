//! What HTTP answers from the moment that its port is open: first that the process lives and what its start waits for,
//! then what the node serves.
//!
//! A start may take long: a cluster is founded when all seeds are up, and a directory is read before anything is served.
//! Whoever watches the process must be able to tell that from one that hangs.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;
use tower::ServiceExt;

use super::tables::ApiError;
use crate::cluster::message::Surface;
use crate::startup::Startup;

/// How soon it is worth asking again.
const RETRY_SECONDS: u32 = 1;

/// One port, on its way to what it serves.
pub struct Opening {
    surface: Surface,
    startup: Startup,
    served: OnceLock<Router>,
}

impl Opening {
    pub fn new(surface: Surface, startup: &Startup) -> Arc<Opening> {
        Arc::new(Opening {
            surface,
            startup: startup.clone(),
            served: OnceLock::new(),
        })
    }

    /// Serves this from now on.
    pub fn serve(&self, router: Router) {
        assert!(self.served.set(router).is_ok(), "a node comes up once");
    }

    /// What the port is opened with.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(answer).with_state(self.clone())
    }
}

async fn answer(State(opening): State<Arc<Opening>>, request: Request) -> Response {
    if let Some(served) = opening.served.get() {
        let answered = served.clone().oneshot(request).await;
        return answered.unwrap_or_else(|never| match never {});
    }
    let waits_for = opening.startup.waiting_for();
    let message = format!("the node is starting, and waits for {waits_for}");
    match (opening.surface, request.uri().path()) {
        (Surface::Http, "/livez") => "ok\n".into_response(),
        (Surface::Http, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, message + "\n").into_response()
        }
        (Surface::Http, _) => {
            let hint = "ask again; `GET /readyz` says when the node is up";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let mut error = ApiError::new(status, "starting", message, hint);
            error.retry_after_seconds = Some(RETRY_SECONDS);
            error.into_response()
        }
        (Surface::Registry, _) => {
            let body = json!({"error_code": 503, "message": message});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;

    use super::*;

    async fn check(router: &Router, path: &str, status: u16, text: &str) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let body = to_bytes(answer.into_body(), 4096).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains(text), "{path}: {body}");
    }

    #[tokio::test]
    async fn a_start_is_alive_and_says_what_it_waits_for() {
        let startup = Startup::new("its log");
        let opening = Opening::new(Surface::Http, &startup);
        let router = opening.router();
        check(&router, "/livez", 200, "ok").await;
        check(&router, "/readyz", 503, "waits for its log").await;
        startup.waits_for("seeds");
        check(&router, "/readyz", 503, "waits for seeds").await;
        check(&router, "/v1/tables", 503, "\"code\":\"starting\"").await;
        let registry = Opening::new(Surface::Registry, &startup).router();
        check(&registry, "/subjects", 503, "\"error_code\":503").await;
        opening.serve(Router::new().route("/readyz", get(|| async { "up" })));
        check(&router, "/readyz", 200, "up").await;
        check(&router, "/v1/tables", 404, "").await;
    }
}
