//! HTTP calls that answer JSON, and the ones of the port where tables and refusals are.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::HttpError;
use super::connection::localhost;

const PATIENCE: Duration = Duration::from_secs(30);
const SPREAD: &str = "/v1/cluster/balance/partitions";
/// What needs no escape in one part of a path.
const PATH_PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One HTTP service, by its base URL.
pub(super) struct Service {
    base: String,
    client: reqwest::Client,
    /// What it is and which flag names it, for errors.
    what: &'static str,
    flag: &'static str,
}

impl Service {
    pub fn new(base: &str, what: &'static str, flag: &'static str) -> Result<Service, HttpError> {
        let bad = || HttpError::Url(base.to_owned());
        let base = match base.contains("://") {
            true => base.to_owned(),
            false => format!("http://{base}"),
        };
        reqwest::Url::parse(&base).map_err(|_| bad())?;
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .user_agent("weir-cli")
            // The port is the URL's.
            .resolve_to_addrs("localhost", &localhost(0))
            .build()
            .map_err(|_| bad())?;
        Ok(Service {
            base: base.trim_end_matches('/').to_owned(),
            client,
            what,
            flag,
        })
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Result<Value, HttpError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// The JSON of a good answer; of any other the server's words.
    pub async fn send(&self, request: RequestBuilder) -> Result<Value, HttpError> {
        let (status, body) = self.exchange(request).await?;
        if (200..300).contains(&status) {
            if body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&body).map_err(|error| HttpError::Malformed {
                url: self.base.clone(),
                reason: error.to_string(),
            });
        }
        Err(refused(status, &body))
    }

    /// Status and body of whatever the answer is.
    async fn exchange(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>), HttpError> {
        let cannot = |error: reqwest::Error| HttpError::Reach {
            what: self.what,
            url: self.base.clone(),
            reason: innermost(&error),
            flag: self.flag,
        };
        let response = request.send().await.map_err(cannot)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(cannot)?;
        Ok((status, body.to_vec()))
    }
}

/// The cause that says something, such as "connection refused".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Both forms: `{"error":{"code","message","hint"}}`, and the registry's `{"error_code","message"}`.
fn refused(status: u16, body: &[u8]) -> HttpError {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let inner = json.get("error").filter(|error| error.is_object());
    let text = |name: &str| {
        let value = inner.unwrap_or(&json).get(name)?;
        Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        )
    };
    let message = text("message").unwrap_or_else(|| {
        format!(
            "HTTP status {status}: {}",
            String::from_utf8_lossy(body).trim()
        )
    });
    HttpError::Refused {
        status,
        code: text("code")
            .or_else(|| text("error_code"))
            .unwrap_or_default(),
        field: text("field").filter(|field| !message.contains(field.as_str())),
        hint: text("hint"),
        message,
    }
}

/// One part of a path, escaped.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, PATH_PART).to_string()
}

/// The port where tables, refusals and metrics are.
pub struct HttpClient(Service);

/// The last refusals of a topic, as the broker keeps them.
#[derive(Debug, Deserialize)]
pub struct Rejects {
    pub topic: String,
    pub rejects: Vec<Value>,
}

impl HttpClient {
    pub fn new(base: &str) -> Result<HttpClient, HttpError> {
        Service::new(base, "HTTP port", "--http or WEIR_HTTP").map(HttpClient)
    }

    pub async fn rejects(&self, topic: &str) -> Result<Rejects, HttpError> {
        let answer = self
            .0
            .get(&format!("/v1/topics/{}/rejects", part(topic)))
            .await?;
        serde_json::from_value(answer).map_err(|error| HttpError::Malformed {
            url: self.0.base.clone(),
            reason: error.to_string(),
        })
    }

    pub async fn tables(&self) -> Result<Value, HttpError> {
        self.0.get("/v1/tables").await
    }

    pub async fn table(&self, table: &str) -> Result<Value, HttpError> {
        self.0.get(&format!("/v1/tables/{}", part(table))).await
    }

    /// One row. `key` is in the path's own form: parts joined by `,`, each already escaped.
    pub async fn row(&self, table: &str, key: &str) -> Result<Value, HttpError> {
        self.0.get(&row_path(table, key)).await
    }

    /// Many rows by key, in order, null where there is none.
    pub async fn lookup(&self, table: &str, keys: &[Value]) -> Result<Value, HttpError> {
        let path = format!("/v1/tables/{}/lookup", part(table));
        let request = self.0.request(Method::POST, &path);
        self.0.send(request.json(&json!({ "keys": keys }))).await
    }

    pub async fn put_row(&self, table: &str, key: &str, row: &Value) -> Result<Value, HttpError> {
        let request = self.0.request(Method::PUT, &row_path(table, key));
        self.0.send(request.json(row)).await
    }

    pub async fn delete_row(&self, table: &str, key: &str) -> Result<Value, HttpError> {
        self.0
            .send(self.0.request(Method::DELETE, &row_path(table, key)))
            .await
    }

    /// One page of rows, and the cursor of the next. `prefix` is in the form of a key in a path.
    pub async fn rows(
        &self,
        table: &str,
        prefix: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Value, HttpError> {
        let mut path = format!("/v1/tables/{}/rows?limit={limit}", part(table));
        for (name, value) in [
            ("prefix", prefix.map(str::to_owned)),
            ("cursor", cursor.map(part)),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={value}"));
            }
        }
        let request = self.0.request(Method::GET, &path);
        self.0.send(request).await
    }

    pub async fn cluster_health(&self) -> Result<Value, HttpError> {
        self.0.get("/v1/cluster/health").await
    }

    pub async fn cluster_nodes(&self) -> Result<Value, HttpError> {
        self.0.get("/v1/cluster/nodes").await
    }

    /// Has a node lead what `asked` names.
    pub async fn cluster_transfer(&self, asked: &Value) -> Result<Value, HttpError> {
        let request = self.0.request(Method::POST, "/v1/cluster/transfer");
        self.0.send(request.json(asked)).await
    }

    pub async fn cluster_balance(&self) -> Result<Value, HttpError> {
        let request = self.0.request(Method::POST, "/v1/cluster/balance");
        self.0.send(request).await
    }

    /// What would move so that nodes have their share.
    pub async fn cluster_spread(&self) -> Result<Value, HttpError> {
        self.0.get(SPREAD).await
    }

    /// Begins some of these moves.
    pub async fn cluster_spread_begin(&self) -> Result<Value, HttpError> {
        self.0.send(self.0.request(Method::POST, SPREAD)).await
    }

    /// Begins to drain a node; answers how much is left there.
    pub async fn drain(&self, node: i32) -> Result<Value, HttpError> {
        let request = self.0.request(Method::PUT, &drain_path(node));
        self.0.send(request).await
    }

    pub async fn end_drain(&self, node: i32) -> Result<Value, HttpError> {
        let request = self.0.request(Method::DELETE, &drain_path(node));
        self.0.send(request).await
    }

    /// How much is left on a node.
    pub async fn drain_status(&self, node: i32) -> Result<Value, HttpError> {
        self.0.get(&drain_path(node)).await
    }

    /// Makes an empty node no member any more.
    pub async fn remove_node(&self, node: i32) -> Result<(), HttpError> {
        let path = format!("/v1/cluster/nodes/{node}");
        let request = self.0.request(Method::DELETE, &path);
        self.0.send(request).await.map(drop)
    }

    /// Prometheus' text.
    pub async fn metrics(&self) -> Result<String, HttpError> {
        let (_, body) = self
            .0
            .exchange(self.0.request(Method::GET, "/metrics"))
            .await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

fn drain_path(node: i32) -> String {
    format!("/v1/cluster/nodes/{node}/drain")
}

fn row_path(table: &str, key: &str) -> String {
    format!("/v1/tables/{}/rows/{key}", part(table))
}

/// A key as a person types it, as part of a path: columns are parted by `,`, and `%2C` is a comma in one.
pub fn key_path(key: &str) -> String {
    let escaped = |column: &str| part(&percent_decode_str(column).decode_utf8_lossy());
    key.split(',').map(escaped).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::key_path;

    #[test]
    fn a_typed_key_is_escaped_column_by_column() {
        assert_eq!(key_path("JFK"), "JFK");
        assert_eq!(key_path("UA,15%2C45,a/b c"), "UA,15%2C45,a%2Fb%20c");
    }
}
