//! The registry's REST API over a registry in memory: calls one after the other.
//!
//! Input: calls, each as its method (u8), its path and its body, both behind a u16 length.
#![no_main]

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use parking_lot::{RwLock, RwLockReadGuard};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use weir_broker::http::registry::{Options, RegistryBackend, router};
use weir_fuzz::{Bounds, Input, piece};
use weir_schema::registry::{Answer, Command, Registry, RegistryError, decide};

weir_fuzz::target!(Bounds::new(16 << 20, 2048, 5000), seeds, run);

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];
const MAX_CALLS: usize = 12;

#[derive(Default)]
struct Memory {
    state: RwLock<(Registry, i64)>,
}

impl RegistryBackend for Memory {
    fn read(&self) -> impl Deref<Target = Registry> {
        RwLockReadGuard::map(self.state.read(), |state| &state.0)
    }

    async fn caught_up(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn commit(&self, command: Command) -> Result<Answer, RegistryError> {
        let mut state = self.state.write();
        let decision = decide(&state.0, command)?;
        for record in decision.records {
            let offset = state.1;
            let value = record.value.as_ref().map(|value| value.as_bytes());
            let applied = state.0.apply(record.key.as_bytes(), value, offset, 5_000);
            applied.expect("our own is read");
            state.1 += 1;
        }
        Ok(decision.answer)
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime")
}

fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let backend = Arc::new(Memory::default());
    let router = router(backend.clone(), Options::new("cluster"));
    runtime().block_on(async {
        for _ in 0..MAX_CALLS {
            if input.is_empty() {
                break;
            }
            let (method, path, body) = (*input.pick(&METHODS), input.piece(), input.piece());
            call(&router, method, path, body).await;
        }
    });
    let state = backend.state.read();
    state.0.validate();
    let stored = state.0.encode();
    let restored = Registry::decode(&stored).expect("our own is read");
    assert_eq!(restored.encode(), stored, "a state has one form");
}

async fn call(router: &Router, method: &str, path: &[u8], body: &[u8]) {
    let Ok(path) = str::from_utf8(path) else {
        return;
    };
    let body = Body::from(body.to_vec());
    let request = Request::builder()
        .method(method)
        .uri(format!("/{path}"))
        .body(body);
    let Ok(request) = request else { return };
    let response = router.clone().oneshot(request).await.expect("never fails");
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("in memory");
    assert!(status < 500, "{method} /{path} answers {status}: {bytes:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    let call = |method: &str, path: &str, body: &str| {
        let method = METHODS
            .iter()
            .position(|known| *known == method)
            .expect("known") as u8;
        [
            &[method],
            &piece(path.as_bytes())[..],
            &piece(body.as_bytes()),
        ]
        .concat()
    };
    let put =
        |subject: &str, body: &str| call("POST", &format!("subjects/{subject}/versions"), body);
    let int = put("s", r#"{"schema":"\"int\""}"#);
    let long = put(
        "s",
        r#"{"schema":"\"long\"","schemaType":"AVRO","metadata":{"properties":{"a":"b"}}}"#,
    );
    let json = put(
        "j",
        r#"{"schemaType":"JSON","schema":"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"r\"}}}","references":[{"name":"r","subject":"s","version":1}]}"#,
    );
    let cycle = put(
        "c",
        r#"{"schemaType":"PROTOBUF","schema":"import \"c\"; message M {}","references":[{"name":"c","subject":"c","version":-1}]}"#,
    );
    let reads = [
        "subjects",
        "subjects?deleted=true&subjectPrefix=s&offset=0&limit=2",
        "subjects/s/versions",
        "subjects/s/versions/1",
        "subjects/s/versions/latest/schema",
        "subjects/s/versions/-1/referencedby",
        "schemas/ids/1",
        "schemas/ids/1/versions",
        "schemas/types",
        "schemas?latestOnly=true",
        "config?defaultToGlobal=true",
        "contexts",
        "contexts/.c/subjects/s/versions/1?format=resolved",
        "mode/s",
        "schemas/guids/00000000-0000-0000-0000-000000000001/ids",
    ];
    let reads: Vec<Vec<u8>> = reads.iter().map(|path| call("GET", path, "")).collect();
    vec![
        [&int[..], &long, &reads[..5].concat()].concat(),
        [&int[..], &reads[5..15].concat()].concat(),
        [&int[..], &json, &call("DELETE", "subjects/s", ""), &call("DELETE", "subjects/j/versions/1", ""), &call("DELETE", "subjects/j?permanent=true", "")].concat(),
        cycle,
        [&int[..], &call("POST", "compatibility/subjects/s/versions/latest?verbose=true", r#"{"schema":"\"string\""}"#), &call("POST", "subjects/s?normalize=true", r#"{"schema":"\"int\""}"#)].concat(),
        [call("PUT", "config/s", r#"{"compatibility":"FULL","normalize":true,"alias":"t","defaultMetadata":{"properties":{"x":"y"}},"overrideRuleSet":{"domainRules":[]}}"#), long.clone(), call("DELETE", "config/s", "")].concat(),
        [call("PUT", "mode?force=true", r#"{"mode":"IMPORT"}"#), put("s", r#"{"schema":"\"int\"","id":77,"version":5}"#), call("DELETE", "mode/s?recursive=true", "")].concat(),
        [put(":.c:s", r#"{"schema":"\"int\"","ruleSet":{"domainRules":[{"name":"n","kind":"CONDITION","mode":"WRITE","type":"CEL","tags":["t"],"expr":"true"}]}}"#), call("DELETE", "contexts/.c", "")].concat(),
    ]
}
