//! The API as clients call it, over a registry in memory.

mod compatibility;
mod contexts;
mod deletion;
mod forms;
mod registration;
mod settings;

use std::ops::Deref;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use parking_lot::RwLock;
use serde_json::{Value, json};
use tower::ServiceExt;
use weir_schema::registry::{Answer, Command, Registry, RegistryError, decide};

use super::{Options, RegistryBackend, router};

#[derive(Default)]
struct Memory {
    state: RwLock<(Registry, i64)>,
}

impl RegistryBackend for Memory {
    fn read(&self) -> impl Deref<Target = Registry> {
        parking_lot::RwLockReadGuard::map(self.state.read(), |state| &state.0)
    }

    async fn caught_up(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn commit(&self, command: Command) -> Result<Answer, RegistryError> {
        let mut state = self.state.write();
        let decision = decide(&state.0, command)?;
        for record in decision.records {
            let (key, value) = (record.key.as_bytes(), record.value.as_ref());
            let offset = state.1;
            state
                .0
                .apply(key, value.map(String::as_bytes), offset, 5_000)
                .expect("own records are readable");
            state.1 += 1;
        }
        Ok(decision.answer)
    }
}

pub struct Api {
    router: axum::Router,
}

impl Api {
    pub fn new() -> Api {
        let options = Options::new("cluster");
        Api {
            router: router(Arc::new(Memory::default()), options),
        }
    }

    pub async fn send(&self, request: Request<Body>) -> (u16, String, String) {
        let response = self.router.clone().oneshot(request).await;
        let response = response.expect("the router never fails");
        let status = response.status().as_u16();
        let media = response.headers().get("content-type");
        let media = media.map_or_else(String::new, |media| {
            media.to_str().expect("text").to_owned()
        });
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let body = String::from_utf8(body.expect("a body").to_vec()).expect("text");
        (status, media, body)
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder().method(method).uri(path).body(body);
        let (status, _, body) = self.send(request.expect("a request")).await;
        let value = match body.as_str() {
            "" => Value::Null,
            body => serde_json::from_str(body).expect("JSON"),
        };
        (status, value)
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// The HTTP status and `error_code` of a refusal.
    pub async fn refusal(&self, method: &str, path: &str, body: Option<Value>) -> (u16, u64) {
        let (status, body) = self.call(method, path, body).await;
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{body}"
        );
        (status, body["error_code"].as_u64().expect("a code"))
    }

    /// Registers and gives the id.
    pub async fn put(&self, subject: &str, schema: &str) -> u64 {
        let path = format!("/subjects/{subject}/versions");
        let (status, body) = self
            .call("POST", &path, Some(json!({ "schema": schema })))
            .await;
        assert_eq!(status, 200, "{body}");
        body["id"].as_u64().expect("an id")
    }
}

pub const USER: &str = r#"{"type":"record","name":"User","fields":[{"name":"id","type":"long"}]}"#;
pub const USER_WITH_NAME: &str = r#"{"type":"record","name":"User","fields":[{"name":"id","type":"long"},{"name":"name","type":"string","default":""}]}"#;
pub const USER_WITH_AGE: &str = r#"{"type":"record","name":"User","fields":[{"name":"id","type":"long"},{"name":"age","type":"int"}]}"#;
